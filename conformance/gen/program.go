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
	spec := func(name string, t maps.Type, key, value, entries uint32) *maps.Spec {
		return &maps.Spec{Name: name, Type: t, KeySize: key, ValueSize: value, MaxEntries: entries, LockOff: -1, TimerOff: -1}
	}
	all := []*maps.Spec{
		spec("array", maps.Array, 4, 64, 4),
		spec("hash", maps.Hash, 4, 24, 8),
		spec("percpu", maps.PerCPUArray, 4, 32, 2),
		spec("odd", maps.Array, 4, 13, 3),
		spec("global", maps.Array, 4, 40, 1),
		spec("rodata", maps.Array, 4, 24, 1),
		spec("lru", maps.LRUHash, 4, 16, 4),
		spec("percpuhash", maps.PerCPUHash, 4, 16, 4),
		spec("lpm", maps.LPMTrie, 8, 8, 8),
		spec("queue", maps.Queue, 0, 8, 3),
		spec("stack", maps.Stack, 0, 8, 3),
		spec("bloom", maps.BloomFilter, 0, 8, 16),
		spec("ring", maps.RingBuf, 0, 0, 4096),
		spec("progs", maps.ProgArray, 4, 4, 4),
	}
	all[rodata].Flags, all[rodata].Frozen = maps.ReadOnlyProg, true
	all[lpm].Flags = maps.NoPrealloc
	for _, s := range []*maps.Spec{all[0], all[1], all[global], all[rodata]} {
		for key := range min(s.MaxEntries, 3) {
			value := make([]byte, s.ValueSize)
			for i := range value {
				value[i] = byte(uint32(i)*37 + key*11)
			}
			if s == all[rodata] {
				copy(value, "/static\x00text\x00\x00\x00\x00\x01")
			}
			s.Contents = append(s.Contents, maps.Entry{Key: binary.LittleEndian.AppendUint32(nil, key), Value: value})
		}
	}
	return all
}

// Maps that the generator has a use of its own for, by index.
const (
	global     = 4
	rodata     = 5
	lru        = 6
	percpuHash = 7
	lpm        = 8
	queue      = 9
	stack      = 10
	bloom      = 11
	ring       = 12
	progs      = 13
)

// tables are maps with keys; visited those that bpf_for_each_map_elem takes.
var (
	tables  = []int{0, 1, 2, 3, global, 0, 1, 2, 3, global, lru, percpuHash, lpm}
	visited = []int{0, 1, 2, 3, lru, percpuHash}
)

// The program array holds the program itself at 0, and at Next one that every tester provides.
const Next = 2

// NextText is the program at Next of the program array, for any packet type: it does a little of everything.
const NextText = `
	r6 = r1
	r1 = map[global][8]
	r2 = 1
	lock *(u64 *)(r1 + 0) += r2
	r0 = *(u64 *)(r1 + 0)
	may_goto on
	r0 += 7
on:
	call inner
	r0 &= 3
	exit
inner:
	r0 = r2
	*(u64 *)(r10 - 8) = r0
	exit
`

// The maps by index.
var specs = Maps()

// Local reports whether the map's contents depend on more than what programs do with it: which element goes first,
// what the host took out.
func local(m int) bool { return m == lru || m == bloom || m == ring }

// Parse assembles a program over new Maps.
func Parse(t prog.Type, text string) (*prog.Program, error) { return ParseOver(t, text, Maps()) }

// ParseOver is Parse over given maps, which programs may share.
func ParseOver(t prog.Type, text string, over []*maps.Spec) (*prog.Program, error) {
	var kfuncs []prog.Kfunc
	insns, err := asm.Parse(text, asm.ParseOptions{
		Helpers: helpers.ID,
		Maps: func(name string) (int32, bool) {
			i := slices.IndexFunc(over, func(s *maps.Spec) bool { return s.Name == name })
			return int32(i), i >= 0
		},
		Kfuncs: func(name string) (int32, bool) {
			i := slices.Index(kfuncs, prog.Kfunc{Name: name})
			if i < 0 {
				i, kfuncs = len(kfuncs), append(kfuncs, prog.Kfunc{Name: name})
			}
			return int32(i), true
		},
	})
	if err != nil {
		return nil, err
	}
	p := FromInsns(t, insns, over)
	p.Kfuncs = kfuncs
	return p, nil
}

// FromInsns makes a program of instructions over maps that Maps made. Local functions begin where calls lead.
func FromInsns(t prog.Type, insns []asm.Insn, over []*maps.Spec) *prog.Program {
	p := &prog.Program{Name: "main", Section: t.String(), Type: t, License: "GPL", Insns: insns, Maps: over}
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
	return p
}
