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
	opMovAdd64K asm.Kind = opTailCall + 1 + iota
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
	numOps
)

// fusion is a row of what can be done at once: the first two kinds, on one destination register, and perhaps a third
// that reads that register.
type fusion struct {
	first, second, third asm.Kind // third is asm.Invalid for pairs
	op                   asm.Kind
}

// fusions has longer ones before those that they begin with.
var fusions = []fusion{
	{asm.Mov64X, asm.Lsh64K, asm.Xor64X, opMovLshXor64},
	{asm.Mov64X, asm.Rsh64K, asm.Xor64X, opMovRshXor64},
	{asm.Mov64X, asm.Add64K, asm.Jgt64X, opMovAddJgt64},
	{asm.Mov64X, asm.Add64K, asm.Invalid, opMovAdd64K},
	{asm.Mov64X, asm.And64K, asm.Invalid, opMovAnd64K},
	{asm.Mov64X, asm.Lsh64K, asm.Invalid, opMovLsh64K},
	{asm.Mov64X, asm.Rsh64K, asm.Invalid, opMovRsh64K},
	{asm.Mov64X, asm.Arsh64K, asm.Invalid, opMovArsh64K},
	{asm.Mov64X, asm.Add64X, asm.Invalid, opMovAdd64X},
	{asm.Add64K, asm.Jne64K, asm.Invalid, opAddJne64K},
	{asm.Ldx8, asm.Jeq32K, asm.Invalid, opLdx8Jeq32K},
	{asm.Ldx8, asm.Jne32K, asm.Invalid, opLdx8Jne32K},
	{asm.Ldx16, asm.Jeq32K, asm.Invalid, opLdx16Jeq32K},
	{asm.Ldx16, asm.Jne32K, asm.Invalid, opLdx16Jne32K},
	{asm.Ldx32, asm.Jeq32K, asm.Invalid, opLdx32Jeq32K},
	{asm.Ldx32, asm.Jne32K, asm.Invalid, opLdx32Jne32K},
}

// fuse returns code with the kinds above.
func fuse(plain []insn) []insn {
	code := slices.Clone(plain)
	for i := range code {
		for _, f := range fusions {
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
	case len(code) < 2 || code[0].op != f.first || code[1].op != f.second || code[0].dst != code[1].dst:
		return false
	case code[0].op == asm.Mov64X && code[0].src == code[0].dst, f.second == asm.Add64X && code[1].src == code[1].dst:
		return false // the handlers write the destination once, at the end
	case f.third == asm.Invalid:
		return true
	case len(code) < 3 || code[2].op != f.third:
		return false
	case f.third == asm.Jgt64X:
		return code[2].dst == code[0].dst && code[2].src != code[0].dst
	}
	return code[2].src == code[0].dst && code[2].dst != code[0].dst
}
