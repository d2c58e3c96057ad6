package cbpf

import (
	"testing"

	"github.com/skepvm/skep/linktype"
)

// RefereeLink is a link type of the referee, for the tests outside of the package.
type RefereeLink struct {
	Name    string
	Type    linktype.Type
	Options CompileOptions
	Packets []Packet
}

// RefereeLinks returns what the referee compiles filters for and runs them on.
func RefereeLinks(t testing.TB) (all []RefereeLink) {
	for _, l := range refLinks() {
		r := RefereeLink{Name: l.name, Type: l.typ, Options: CompileOptions{BigEndian: l.big}}
		for _, p := range packetsOf(t, l) {
			r.Packets = append(r.Packets, Packet{Data: p.data, WireLen: p.wire})
		}
		all = append(all, r)
	}
	return all
}

// RefereeFilters returns the referee's filters.
func RefereeFilters(t testing.TB) []string { return readFilters(t) }

// Full reports whether the flag full is set.
func Full() bool { return *full }
