package conformance

import (
	"bytes"
	"embed"
	"encoding/binary"
	"io/fs"
	"net/netip"
	"strings"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
)

//go:embed referee/*.bpf.o
var referee embed.FS

// Referees are the small programs of the referee, an object each: see referee/referee.h. They run over packets of each kind, in the
// order of the object.
func Referees() ([]*Datapath, error) {
	files, err := fs.Glob(referee, "referee/*.bpf.o")
	if err != nil {
		return nil, err
	}
	var all []*Datapath
	for _, file := range files {
		d := &Datapath{Name: strings.TrimSuffix(strings.TrimPrefix(file, "referee/"), ".bpf.o"), referee: true,
			Listener: netip.MustParseAddrPort("127.0.0.1:7000")}
		elf, err := d.Object()
		if err != nil {
			return nil, err
		}
		o, err := object.Load(bytes.NewReader(elf), d.Name, object.Options{})
		if err != nil {
			return nil, err
		}
		for _, p := range o.Programs {
			d.programs = append(d.programs, p.Name)
		}
		all = append(all, d)
	}
	return all, nil
}

// packets are what d's programs run over.
func (d *Datapath) packets() ([][]byte, error) {
	if !d.referee {
		return DatapathPackets()
	}
	four, six := base4(), base6()
	vlan := tagged(four[12], 0x8100)
	ect := changed(four[12], 15, 1)
	seal(ect)
	return [][]byte{four[0], four[12], four[15], four[18], four[27], vlan, tagged(vlan, 0x88a8), ect, changed(ect, 15, 3), six[0], six[5],
		changed(six[5], offIP, 0x60, 0x20), six[9], six[18], six[25], append(bytes.Clone(four[1]), data(9)...)}, nil
}

// fillTarget puts the listener into the map of its address, if there is one: a tuple of which only the destination counts.
func (d *Datapath) fillTarget(m maps.Map) error {
	if m == nil {
		return nil
	}
	addr := d.Listener.Addr().As4()
	tuple := append(append([]byte{127, 0, 0, 1}, addr[:]...), 0, 1)
	return m.HostUpdate(make([]byte, 4), binary.BigEndian.AppendUint16(tuple, d.Listener.Port()), maps.Any)
}
