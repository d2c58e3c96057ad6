package vm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// TestReadsHash: a program reads the hash of a packet if it loads that field of its ctx, from wherever it keeps the ctx, or asks for it.
func TestReadsHash(t *testing.T) {
	for _, tt := range []struct {
		name, src string
		typ       prog.Type
		want      bool
	}{
		{"nothing", "r0 = *(u32 *)(r1 + 0)\nexit", prog.SchedCLS, false},
		{"the field", "r0 = *(u32 *)(r1 + 68)\nexit", prog.SchedCLS, true},
		{"a part of it", "r0 = *(u8 *)(r1 + 71)\nexit", prog.SchedCLS, true},
		{"the fields around it", "r0 = *(u32 *)(r1 + 64)\nr0 = *(u32 *)(r1 + 72)\nexit", prog.SchedCLS, false},
		{"of a copy", "r6 = r1\nr7 = r6\nr0 = *(u32 *)(r7 + 68)\nexit", prog.SchedCLS, true},
		{"of what was on the stack", "*(u64 *)(r10 - 8) = r1\nr8 = *(u64 *)(r10 - 8)\nr0 = *(u32 *)(r8 + 68)\nexit", prog.SchedCLS, true},
		{"of another pointer", "r2 = *(u32 *)(r1 + 76)\nr0 = *(u32 *)(r2 + 68)\nexit", prog.SchedCLS, false},
		{"a store", "*(u32 *)(r1 + 68) = 1\nr0 = 0\nexit", prog.SchedCLS, false},
		{"the helper", "call bpf_get_hash_recalc\nexit", prog.SchedCLS, true},
		{"no such field", "r0 = *(u32 *)(r1 + 68)\nexit", prog.XDP, false},
		{"a copy before it is made", "if r1 == 0 goto end\nr9 = r8\nr8 = r1\nr0 = *(u32 *)(r9 + 68)\nend:\nexit", prog.SchedCLS, true},
	} {
		insns, err := asm.Parse(tt.src, asm.ParseOptions{Helpers: helpers.ID})
		require.NoError(t, err, tt.name)
		p := &prog.Program{Name: "test", Type: tt.typ, Insns: insns, Funcs: []prog.Func{{Name: "test", End: len(insns)}}}
		m := newMachine(t, vm.Config{})
		_, err = m.LinkVerified(p)
		require.NoError(t, err, tt.name)
		require.Equal(t, tt.want, m.ReadsHash(), tt.name)
		_, err = m.Link(p)
		require.NoError(t, err)
		require.Equal(t, tt.want || tt.typ == prog.SchedCLS, m.ReadsHash(), "%s: nobody verified it", tt.name)
	}
}
