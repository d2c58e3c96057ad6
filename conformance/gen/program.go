package gen

import (
	"encoding/binary"
	"fmt"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Maps makes the maps that generated programs and fixtures use, by the names of MapNames; every call makes new ones.
func Maps() []*maps.Spec {
	spec := func(name string, t maps.Type, value, entries uint32) *maps.Spec {
		return &maps.Spec{Name: name, Type: t, KeySize: 4, ValueSize: value, MaxEntries: entries, LockOff: -1, TimerOff: -1}
	}
	all := []*maps.Spec{
		spec("array", maps.Array, 64, 4),
		spec("hash", maps.Hash, 24, 8),
		spec("percpu", maps.PerCPUArray, 32, 2),
		spec("odd", maps.Array, 13, 3),
		spec("global", maps.Array, 40, 1),
		spec("rodata", maps.Array, 24, 1),
	}
	rodata := all[5]
	rodata.Flags, rodata.Frozen = maps.ReadOnlyProg, true
	for _, s := range []*maps.Spec{all[0], all[1], all[4], rodata} {
		for key := range min(s.MaxEntries, 3) {
			value := make([]byte, s.ValueSize)
			for i := range value {
				value[i] = byte(uint32(i)*37 + key*11)
			}
			if s == rodata {
				copy(value, "/static\x00text\x00\x00\x00\x00\x01")
			}
			s.Contents = append(s.Contents, maps.Entry{Key: binary.LittleEndian.AppendUint32(nil, key), Value: value})
		}
	}
	return all
}

// Maps that the generator has a use of its own for, by index.
const (
	global   = 4
	rodata   = 5
	lookedUp = 5 // maps before this one are looked up in
)

// The maps' names and value sizes.
var mapNames, valueSizes = func() (names []string, sizes []int) {
	for _, s := range Maps() {
		names, sizes = append(names, s.Name), append(sizes, int(s.ValueSize))
	}
	return names, sizes
}()

// Parse assembles a program over new Maps. Local functions begin where calls lead.
func Parse(t prog.Type, text string) (*prog.Program, error) {
	insns, err := asm.Parse(text, asm.ParseOptions{
		Helpers: func(name string) (int32, bool) {
			row, ok := helpers.ByName(name)
			if !ok {
				return 0, false
			}
			return row.ID, true
		},
		Maps: func(name string) (int32, bool) {
			i := slices.Index(mapNames, name)
			return int32(i), i >= 0
		},
	})
	if err != nil {
		return nil, err
	}
	p := &prog.Program{Name: "main", Section: t.String(), Type: t, License: "GPL", Insns: insns, Maps: Maps()}
	starts := []int{0}
	for pc, in := range insns {
		k := asm.KindOf(in)
		if k != asm.CallLocal && (k != asm.LdImm64 || in.Src != asm.PseudoFunc) {
			continue
		}
		if target := in.Target(pc); target > 0 && target < len(insns) && !slices.Contains(starts, target) {
			starts = append(starts, target)
		}
	}
	slices.Sort(starts)
	for i, start := range starts {
		end := len(insns)
		if i+1 < len(starts) {
			end = starts[i+1]
		}
		p.Funcs = append(p.Funcs, prog.Func{Name: fmt.Sprintf("f%d", i), Start: start, End: end})
	}
	return p, nil
}
