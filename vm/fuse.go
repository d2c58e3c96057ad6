package vm

import (
	"slices"

	"github.com/skepvm/skep/asm"
)

// Going from one instruction to the next costs the interpreter more than most instructions themselves do. The kinds
// below do two or three at once that compilers often put together. Only the first instruction's kind changes; the
// others stay behind it with their fields, where a jump to them finds them, and pc, and so the count, moves over each.

// Kinds that only fuse makes; the names list what they stand for.
const (
	opMovAdd64K asm.Kind = opArena + 1 + iota
	opMovAnd64K
	opMovLsh64K
	opMovRsh64K
	opMovArsh64K
	opMovAdd64X
	opMovLshXor64 // a step of xorshift, as in hashes: rT = rS; rT <<= K; rD ^= rT
	opMovRshXor64
	opMovAddJgt64 // the check of a packet's length: rT = rS; rT += K; if rT > rE goto
	opAddJne64K   // the end of a loop
	opLdx8Jeq32K  // a look at a header's field
	opLdx8Jne32K
	opLdx16Jeq32K
	opLdx16Jne32K
	opLdx32Jeq32K
	opLdx32Jne32K
	opMovAndJne32    // a look at some bits: wT = wS; wT &= K; if wT != K goto
	opLdx16AndJne32K // the same of a field
	opAndJne32K
	opLshAnd32K  // a length in words
	opLdx32Ldx32 // data and data_end
	numOps
)

// fusion is a row of what can be done at once: the first two kinds, on one destination register unless they are apart, and
// perhaps a third that reads that register.
type fusion struct {
	first, second, third asm.Kind // third is asm.Invalid for pairs
	op                   asm.Kind
	apart                bool
}

// fusions has longer ones before those that they begin with.
var fusions = []fusion{
	{asm.Mov64X, asm.Lsh64K, asm.Xor64X, opMovLshXor64, false},
	{asm.Mov64X, asm.Rsh64K, asm.Xor64X, opMovRshXor64, false},
	{asm.Mov64X, asm.Add64K, asm.Jgt64X, opMovAddJgt64, false},
	{asm.Mov32X, asm.And32K, asm.Jne32K, opMovAndJne32, false},
	{asm.Ldx16, asm.And32K, asm.Jne32K, opLdx16AndJne32K, false},
	{asm.Mov64X, asm.Add64K, asm.Invalid, opMovAdd64K, false},
	{asm.Mov64X, asm.And64K, asm.Invalid, opMovAnd64K, false},
	{asm.Mov64X, asm.Lsh64K, asm.Invalid, opMovLsh64K, false},
	{asm.Mov64X, asm.Rsh64K, asm.Invalid, opMovRsh64K, false},
	{asm.Mov64X, asm.Arsh64K, asm.Invalid, opMovArsh64K, false},
	{asm.Mov64X, asm.Add64X, asm.Invalid, opMovAdd64X, false},
	{asm.Add64K, asm.Jne64K, asm.Invalid, opAddJne64K, false},
	{asm.Ldx8, asm.Jeq32K, asm.Invalid, opLdx8Jeq32K, false},
	{asm.Ldx8, asm.Jne32K, asm.Invalid, opLdx8Jne32K, false},
	{asm.Ldx16, asm.Jeq32K, asm.Invalid, opLdx16Jeq32K, false},
	{asm.Ldx16, asm.Jne32K, asm.Invalid, opLdx16Jne32K, false},
	{asm.Ldx32, asm.Jeq32K, asm.Invalid, opLdx32Jeq32K, false},
	{asm.Ldx32, asm.Jne32K, asm.Invalid, opLdx32Jne32K, false},
	{asm.And32K, asm.Jne32K, asm.Invalid, opAndJne32K, false},
	{asm.Lsh32K, asm.And32K, asm.Invalid, opLshAnd32K, false},
	{asm.Ldx32, asm.Ldx32, asm.Invalid, opLdx32Ldx32, true},
}

// fusionsOf has the fusions by their first kind.
var fusionsOf = func() (by [opArena + 1][]fusion) {
	for _, f := range fusions {
		by[f.first] = append(by[f.first], f)
	}
	return by
}()

// fuse returns code with the kinds above.
func fuse(plain []insn) []insn {
	code := slices.Clone(plain)
	for i := range code {
		for _, f := range fusionsOf[plain[i].op] {
			if f.matches(plain[i:]) {
				code[i].op = f.op
				break
			}
		}
	}
	return code
}

func (f *fusion) matches(code []insn) bool {
	switch {
	case len(code) < 2 || code[1].op != f.second || !f.apart && code[0].dst != code[1].dst:
		return false
	case !f.apart && f.first.Info().UseSrc && code[0].src == code[0].dst, f.second == asm.Add64X && code[1].src == code[1].dst:
		return false // the handlers write the destination once, at the end
	case f.third == asm.Invalid:
		return true
	case len(code) < 3 || code[2].op != f.third:
		return false
	case f.third == asm.Jgt64X:
		return code[2].dst == code[0].dst && code[2].src != code[0].dst
	case f.third == asm.Jne32K:
		return code[2].dst == code[0].dst
	}
	return code[2].src == code[0].dst && code[2].dst != code[0].dst
}
