package kernel_test

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// TestArenas asks the kernel about the programs of testdata/arena: verdicts and words, and results of runs on new maps.
func TestArenas(t *testing.T) {
	requireKernel(t)
	all, err := conformance.ArenaFixtures("../testdata/arena/cases.txt")
	require.NoError(t, err)
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			specs := conformance.ArenaMaps()
			p, err := f.ArenaProgram(specs)
			require.NoError(t, err)
			set, err := kernel.NewMaps(specs)
			require.NoError(t, err)
			defer set.Close()
			loaded, err := kernel.LoadProgram(p, set)
			require.Equal(t, f.KernelAccepts(), err == nil, "%v", err)
			if err != nil {
				sameArenaWords(t, f, p, err)
				return
			}
			defer loaded.Close()
			if f.R0 != "" && f.Type == prog.Syscall {
				ret, err := loaded.RunCtx(make([]byte, 64))
				require.NoError(t, err)
				require.Equal(t, f.R0, fmt.Sprint(int32(ret)))
			}
		})
	}
}

func sameArenaWords(t *testing.T, f *conformance.Fixture, p *prog.Program, refused error) {
	_, ours := verifier.Verify(p, verifier.Options{})
	if f.Kernel != "" {
		require.Contains(t, strings.Join(refused.(*kernel.Rejected).Log, "\n"), f.Kernel)
		return
	}
	got := ours.(*verifier.Error).Kernel
	require.True(t, strings.HasSuffix(refused.Error(), got), "the verifier says %q, the kernel %q", got, refused)
}

// TestArenaList runs the list of arena.c: what programs return, and their variables, the arena's pointers among them.
func TestArenaList(t *testing.T) {
	requireKernel(t)
	const file = "testdata/arena.o"
	elf, err := os.ReadFile(file)
	require.NoError(t, err)
	obj, err := object.Load(bytes.NewReader(elf), file, object.Options{})
	require.NoError(t, err)
	set, err := kernel.NewMaps(obj.Maps)
	require.NoError(t, err)
	defer set.Close()
	arena := slices.IndexFunc(obj.Maps, func(m *maps.Spec) bool { return m.Type == maps.Arena })
	require.NoError(t, set.FillArena(arena, obj.Maps[arena]))
	theirs := map[string]*kernel.Program{}
	for _, p := range obj.Programs { // not by cilium/ebpf, which drops the casts
		loaded, err := kernel.LoadProgram(over(p, obj.Maps), set)
		require.NoError(t, err, p.Name)
		defer loaded.Close()
		theirs[p.Name] = loaded
	}
	bss := slices.IndexFunc(obj.Maps, func(m *maps.Spec) bool { return strings.HasSuffix(m.Name, ".bss") })
	machines := everyEngine(t, file, nil)
	for i, name := range strings.Fields("globals sum globals push push push sum pop sum push push pop pop pop pop pop push sum globals") {
		in := binary.LittleEndian.AppendUint64(nil, uint64(100+i))
		ret, err := theirs[name].RunCtx(bytes.Clone(in))
		require.NoError(t, err)
		for _, v := range machines {
			res, err := v.Run(name, skep.Packet{Data: in})
			require.NoError(t, err)
			require.Equal(t, ret, res.Ret, "%d: %s", i, name)
			ours, err := v.Map(obj.Maps[bss].Name).HostLookup(make([]byte, 4))
			require.NoError(t, err)
			for _, value := range set.Contents(bss) {
				require.Equal(t, value, string(ours), "%d: %s", i, name)
			}
		}
	}
}

// over is the program with its maps' numbers in that list.
func over(p *prog.Program, all []*maps.Spec) *prog.Program {
	q := *p
	q.Insns = slices.Clone(p.Insns)
	for pc := range q.Insns {
		in := &q.Insns[pc]
		if asm.KindOf(*in) == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue) {
			in.Imm = int32(slices.Index(all, p.Maps[in.Imm]))
		}
	}
	q.Maps = all
	return &q
}
