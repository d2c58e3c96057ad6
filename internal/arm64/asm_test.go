package arm64

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/arch/arm64/arm64asm"
)

func words(code []byte) []uint32 {
	out := make([]uint32, len(code)/4)
	for i := range out {
		out[i] = binary.LittleEndian.Uint32(code[4*i:])
	}
	return out
}

// TestReach jumps as far as each sort of jump reaches, and one instruction farther.
func TestReach(t *testing.T) {
	for _, tc := range []struct {
		name string
		emit func(a *Asm, l Label)
		far  int // instructions
	}{
		{"b.eq", func(a *Asm, l Label) { a.Jcc(CondEQ, l) }, 1 << 18},
		{"cbz", func(a *Asm, l Label) { a.Jzero(X, X3, l) }, 1 << 18},
		{"cbnz", func(a *Asm, l Label) { a.Jnonzero(W, X3, l) }, 1 << 18},
		{"tbz", func(a *Asm, l Label) { a.JbitClear(X3, 63, l) }, 1 << 13},
		{"tbnz", func(a *Asm, l Label) { a.JbitSet(X3, 5, l) }, 1 << 13},
	} {
		for _, long := range []bool{false, true} {
			size := 1
			if long {
				size = 2
			}
			forward := tc.far - 1
			if long {
				forward++
			}
			code := jumpOver(tc.emit, forward-1, false)
			require.Equal(t, size, len(code)-(forward-1), "%s forward", tc.name)
			checkJump(t, tc.name, code, 0, size, forward-1+size)

			back := tc.far
			if long {
				back++
			}
			code = jumpOver(tc.emit, back, true)
			require.Equal(t, size, len(code)-back, "%s back", tc.name)
			checkJump(t, tc.name, code, back, size, 0)
		}
	}
}

// jumpOver makes a jump over n instructions.
func jumpOver(emit func(*Asm, Label), n int, back bool) []uint32 {
	var a Asm
	l := a.Labels(1)
	if back {
		a.Bind(l)
	} else {
		emit(&a, l)
	}
	for range n {
		a.Z(DmbIsh)
	}
	if back {
		emit(&a, l)
	} else {
		a.Bind(l)
	}
	return words(a.Finish())
}

// checkJump checks that the jump at an index goes to another.
func checkJump(t *testing.T, name string, code []uint32, at, size, to int) {
	t.Helper()
	first := decode(t, code[at])
	if size == 1 {
		require.EqualValues(t, 4*(to-at), target(first), name)
		require.Equal(t, name, mnemonic(first))
		return
	}
	require.EqualValues(t, 8, target(first), "over the next")
	require.Equal(t, map[string]string{"b.eq": "b.ne", "cbz": "cbnz", "cbnz": "cbz", "tbz": "tbnz", "tbnz": "tbz"}[name], mnemonic(first))
	second := decode(t, code[at+1])
	require.Equal(t, "b", mnemonic(second))
	require.EqualValues(t, 4*(to-at-1), target(second), name)
}

func decode(t *testing.T, word uint32) arm64asm.Inst {
	inst, err := arm64asm.Decode(binary.LittleEndian.AppendUint32(nil, word))
	require.NoError(t, err, "%08x", word)
	return inst
}

func mnemonic(inst arm64asm.Inst) string {
	var name string
	fmt.Sscan(arm64asm.GNUSyntax(inst), &name)
	return name
}

// target is the distance of a jump, 0 when it is none.
func target(inst arm64asm.Inst) int64 {
	for _, arg := range inst.Args {
		if rel, ok := arg.(arm64asm.PCRel); ok {
			return int64(rel)
		}
	}
	return 0
}

// TestRandomJumps follows jumps through random code, some of which is too far for tbz.
func TestRandomJumps(t *testing.T) {
	var a Asm
	longs := 0
	for seed := range uint64(60) {
		r := rand.New(rand.NewPCG(seed, 1))
		n := 1 + r.IntN(120)
		gap := []int{6, 400}[seed%2]
		a.Reset()
		first := a.Labels(n)
		targets := make([]Label, n)
		kinds := make([]int, n)
		for i := range n {
			a.Bind(first + Label(i))
			for range r.IntN(gap) {
				a.RRI(AddI, X, X3, X4, 5)
			}
			targets[i] = first + Label(r.IntN(n))
			kinds[i] = r.IntN(5)
			switch kinds[i] {
			case 0:
				a.Jmp(targets[i])
			case 1:
				a.Jcc(CondPL, targets[i])
			case 2:
				a.Call(targets[i])
			case 3:
				a.JbitSet(X9, 40, targets[i])
			case 4:
				a.Jzero(W, X9, targets[i])
			}
		}
		code := words(a.Finish())
		pos := 0
		for i := range n {
			require.Equal(t, 4*pos, a.Offset(first+Label(i)), "seed %d", seed)
			inst := decode(t, code[pos])
			for ; target(inst) == 0 && mnemonic(inst) == "add"; inst = decode(t, code[pos]) {
				pos++
			}
			if mnemonic(inst) == "tbz" { // turned round
				require.EqualValues(t, 8, target(inst))
				longs++
				pos++
				inst = decode(t, code[pos])
			}
			require.Equal(t, a.Offset(targets[i]), 4*pos+int(target(inst)), "seed %d, jump %d", seed, i)
			pos++
		}
		require.Equal(t, len(code), pos)
	}
	require.NotZero(t, longs)
}

func TestMisuse(t *testing.T) {
	var a Asm
	l := a.Labels(1)
	require.Panics(t, func() { a.RR(AddR, X, X0, X1) }, "operands of another shape")
	require.Panics(t, func() { a.RRI(AddI, X, X0, X1, 4097) }, "immediate that has no encoding")
	require.Panics(t, func() { a.RRI(AndI, W, X0, X1, 5) }, "immediate that has no encoding")
	require.Panics(t, func() { a.Wide(MovzI, W, X0, 1, 2) }, "upper half of a 32-bit register")
	require.Panics(t, func() { a.Field(UbfmI, W, X0, X1, 32, 0) }, "bit number")
	require.Panics(t, func() { a.RM(LdrX, X0, At(X1, 4096*8)) }, "displacement")
	require.Panics(t, func() { a.Pair(StpPre, X0, X1, SP, 4) }, "displacement of a pair")
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
		a.JbitSet(X1, 3, l)
		for range 9000 {
			a.Imm(X3, 1<<40)
		}
		a.Bind(l)
		a.R(Ret, X30)
		return bytes.Clone(a.Finish())
	}
	first := prog(&a)
	a.Reset()
	require.Equal(t, first, prog(&a))
	require.Equal(t, first, prog(&b))
}
