package gen_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/prog"
)

// TestMutate: the same seed makes the same change, the program it is made of stays as it is, and what is made is legal often
// enough to get past a verifier's first look.
func TestMutate(t *testing.T) {
	base := gen.Make(gen.FromSeed(3), nil).Program
	before := asm.EncodeProgram(base.Insns)
	same, legal := 0, 0
	const rounds = 2000
	for seed := range uint64(rounds) {
		a := gen.Mutate(gen.FromSeed(seed), base.Insns, base.Insns)
		require.Equal(t, a, gen.Mutate(gen.FromSeed(seed), base.Insns, base.Insns))
		if string(asm.EncodeProgram(a)) == string(before) {
			same++
		}
		ok := true
		for pc := 0; pc < len(a); pc++ {
			ok = ok && asm.Check(a[pc]) == nil
			if asm.KindOf(a[pc]) == asm.LdImm64 {
				pc++
			}
		}
		if ok {
			legal++
		}
	}
	require.Equal(t, before, asm.EncodeProgram(base.Insns))
	require.Less(t, same, rounds/10)
	require.Greater(t, legal, rounds/2)
}

// TestMutateKeepsTargets: an instruction more or less leaves jumps over it where they led.
func TestMutateKeepsTargets(t *testing.T) {
	p, err := gen.Parse(prog.XDP, "r0 = 0\nif r0 == 7 goto out\nr0 += 1\nr0 += 2\nr0 += 3\nout:\nr6 = 5\nexit\n")
	require.NoError(t, err)
	lengths := map[int]int{}
	for seed := range uint64(3000) {
		m := gen.Mutate(gen.FromSeed(seed), p.Insns, p.Insns[:1])
		if len(m) == len(p.Insns) || asm.KindOf(m[1]) != asm.Jeq64K || m[1].Imm != 7 {
			continue
		}
		target := m[1].Target(1)
		if target >= 0 && target < len(m) && m[target].Imm == 5 {
			lengths[len(m)-len(p.Insns)]++
		}
	}
	require.Greater(t, lengths[1], 10)
	require.Greater(t, lengths[-1], 10)
}
