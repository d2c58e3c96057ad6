package main

import (
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strings"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// support says from which kernel on a program loads.
type support struct {
	Lowest  string   `json:"lowest,omitempty"`  // release; "" when no release that skep knows accepts it
	Decides []string `json:"decides,omitempty"` // what the long-term release before it lacks; empty when there is none before it
	Why     string   `json:"why,omitempty"`     // code of the last rejection before Lowest, or of the newest release's
}

// supportOf looks for the lowest kernel of program i among the long-term releases, and then among those since the one
// before it. What the matrix knows already is not asked again.
func (v *verification) supportOf(i int) support {
	p, pr := &v.plan, v.programs[i]
	n, code := v.rejectedFirst(i)
	if n == len(verifier.LongTerm) {
		return support{Why: string(code)}
	}
	s := p.lowest(pr, verifier.LongTerm[max(0, n-1):])
	var out support
	if s.Error != nil {
		out.Why = string(s.Error.Code)
	}
	if s.Lowest == nil {
		return out
	}
	out.Lowest = s.Lowest.Kernel.String()
	if s.Before != nil {
		out.Lowest = p.lowest(pr, releasesBetween(s.Before.Kernel, s.Lowest.Kernel)).Lowest.Kernel.String()
	}
	for _, n := range s.Decides {
		out.Decides = append(out.Decides, n.String())
	}
	return out
}

// rejectedFirst counts the long-term releases, from the oldest on, that are in the matrix and reject program i, and returns
// the code of the last of them.
func (v *verification) rejectedFirst(i int) (n int, code verifier.Code) {
	for _, profile := range verifier.Profiles(verifier.LongTerm) {
		name := profile.With(v.caps).Name
		t := slices.IndexFunc(v.targets, func(t target) bool { return t.profile.Name == name })
		if t < 0 || v.of(i)[t].Accepted {
			break
		}
		n, code = n+1, v.of(i)[t].cause.Code
	}
	return n, code
}

// lowest is verifier.Lowest for the plan's loader.
func (p *plan) lowest(pr *prog.Program, releases []kver.Version) verifier.Support {
	profiles := verifier.Profiles(releases)
	for i := range profiles {
		profiles[i] = profiles[i].With(p.caps)
	}
	return verifier.Lowest(pr, verifier.Options{BTF: p.types}, profiles)
}

// lastMinor is the last release of each major version that has ended.
var lastMinor = map[uint8]uint8{4: 20, 5: 19, 6: 19}

// releasesBetween are all releases from one to the other.
func releasesBetween(from, to kver.Version) []kver.Version {
	all := []kver.Version{from}
	for k := from; k != to; all = append(all, k) {
		if last, ok := lastMinor[k.Major]; ok && k.Minor == last {
			k = kver.V(k.Major+1, 0)
		} else {
			k.Minor++
		}
	}
	return all
}

// printSupport prints the lowest kernel of each program and what decides it.
func printSupport(w io.Writer, v *verification) {
	fmt.Fprintln(w)
	t := &table{}
	t.add("object", "program", "type", "lowest", "decided by")
	for i, s := range v.support {
		o := &v.of(i)[0]
		lowest, why := s.Lowest, strings.Join(s.Decides, ", ")
		switch {
		case lowest == "":
			lowest, why = "none", s.Why
		case s.Why == "":
			why = "-"
		case len(s.Decides) == 0:
			why = s.Why + " before"
		}
		row := []string{filepath.Base(o.Object), o.Program, o.Type, lowest, why}
		if i > 0 && v.of(i - 1)[0].Object == o.Object {
			row[0] = ""
		}
		t.add(row...)
	}
	t.print(w)
}
