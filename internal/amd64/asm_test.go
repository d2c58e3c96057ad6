package amd64

import (
	"bytes"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/x86/x86asm"
)

func TestShortAndLongJumps(t *testing.T) {
	for _, tc := range []struct {
		name string
		gap  int // bytes between the jump and its target
		want []byte
	}{
		{"forward, short", 127, []byte{0x74, 127}},
		{"forward, long", 128, []byte{0x0f, 0x84, 128, 0, 0, 0}},
	} {
		var a Asm
		l := a.Labels(1)
		a.Jcc(CondE, l)
		for range tc.gap {
			a.Z(Ret, L)
		}
		a.Bind(l)
		a.Z(Ud2, L)
		require.Equal(t, tc.want, a.Finish()[:len(tc.want)], tc.name)
		require.Equal(t, len(tc.want)+tc.gap, a.Offset(l), tc.name)
	}
	var a Asm
	l := a.Labels(2)
	a.Bind(l)
	a.Jmp(l)
	a.Call(l)
	a.LeaLabel(R11, l)
	a.Jmp(l + 1)
	a.Bind(l + 1)
	require.Equal(t, []byte{
		0xeb, 0xfe,
		0xe8, 0xf9, 0xff, 0xff, 0xff,
		0x4c, 0x8d, 0x1d, 0xf2, 0xff, 0xff, 0xff,
		0xeb, 0,
	}, a.Finish())
}

// TestRandomJumps lets the disassembler follow jumps through random code, whose lengths depend on each other.
func TestRandomJumps(t *testing.T) {
	var a Asm
	for seed := range uint64(200) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(120)
		a.Reset()
		first := a.Labels(n)
		targets := make([]Label, n)
		for i := range n {
			a.Bind(first + Label(i))
			for range r.IntN(6) {
				a.RI(AddI32, Q, R13, 0x11223344)
			}
			targets[i] = first + Label(r.IntN(n))
			switch r.IntN(3) {
			case 0:
				a.Jmp(targets[i])
			case 1:
				a.Jcc(CondNS, targets[i])
			case 2:
				a.Call(targets[i])
			}
		}
		code := a.Finish()
		pos := 0
		for i := range n {
			require.Equal(t, pos, a.Offset(first+Label(i)), "seed %d", seed)
			for {
				inst, err := x86asm.Decode(code[pos:], 64)
				require.NoError(t, err)
				pos += inst.Len
				rel, ok := inst.Args[0].(x86asm.Rel)
				if !ok {
					continue
				}
				require.Equal(t, a.Offset(targets[i]), pos+int(rel), "seed %d, jump %d", seed, i)
				short := inst.Len == 2
				fits := FitsInt8(int32(rel))
				require.True(t, short == fits || inst.Op == x86asm.CALL || !short && nearLimit(int(rel)), "seed %d: %v", seed, inst)
				break
			}
		}
		require.Equal(t, len(code), pos)
	}
}

// nearLimit: a long jump whose distance would fit only because other jumps' long forms moved it is not possible, but a
// long form measures from its own longer end.
func nearLimit(rel int) bool { return rel < -120 || rel > 120 }

func TestMisuse(t *testing.T) {
	var a Asm
	l := a.Labels(1)
	require.Panics(t, func() { a.R(AddRM, Q, RAX) }, "operands of another shape")
	require.Panics(t, func() { a.LockMR(MovMR, Q, At(RAX, 0), RAX) }, "LOCK of a mov")
	require.Panics(t, func() { a.LockMI(MovI32, Q, At(RAX, 0), 1) }, "LOCK of a mov")
	a.Bind(l)
	require.Panics(t, func() { a.Bind(l) }, "bound twice")
	a.Reset()
	a.Jmp(a.Labels(1))
	require.Panics(t, func() { a.Finish() }, "never bound")
}

func TestResetKeepsNothing(t *testing.T) {
	var a, b Asm
	prog := func(a *Asm) []byte {
		l := a.Labels(1)
		a.Jmp(l)
		a.Imm(RAX, 1<<40)
		a.Bind(l)
		a.Z(Ret, L)
		return bytes.Clone(a.Finish())
	}
	first := prog(&a)
	a.Reset()
	require.Equal(t, first, prog(&a))
	require.Equal(t, first, prog(&b))
}
