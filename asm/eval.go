package asm

import "math/bits"

// This file is the reference: what the operations mean, written once. Every engine is compared with it.

// Operand returns the second operand of in: src, the value of the source register, or the immediate, sign-extended
// to 64 bits (RFC 9669 §4.1, §4.3).
func Operand(in Insn, src uint64) uint64 {
	if Table[KindOf(in)].UseSrc {
		return src
	}
	return uint64(int64(in.Imm))
}

// Eval computes dst op src (RFC 9669 §4.1). A width of 32 looks at the low halves and zero-extends the result.
// Division by zero gives 0, modulo by zero leaves dst (its low half when 32 bits wide), the most negative
// number divided by -1 is itself with remainder 0, and shifts look at the low 6 or 5 bits of src.
func Eval(op ALUOp, width uint8, dst, src uint64) uint64 {
	if width == 32 {
		return uint64(eval32(op, uint32(dst), uint32(src)))
	}
	return eval64(op, dst, src)
}

func eval64(op ALUOp, dst, src uint64) uint64 {
	switch op {
	case Add:
		return dst + src
	case Sub:
		return dst - src
	case Mul:
		return dst * src
	case Div:
		if src == 0 {
			return 0
		}
		return dst / src
	case SDiv:
		if src == 0 {
			return 0
		}
		return uint64(int64(dst) / int64(src)) // Go: the quotient of MinInt64 and -1 is MinInt64
	case Or:
		return dst | src
	case And:
		return dst & src
	case Lsh:
		return dst << (src & 63)
	case Rsh:
		return dst >> (src & 63)
	case Mod:
		if src == 0 {
			return dst
		}
		return dst % src
	case SMod:
		if src == 0 {
			return dst
		}
		return uint64(int64(dst) % int64(src)) // Go: truncated, the sign of the dividend, as RFC 9669 asks
	case Xor:
		return dst ^ src
	case Mov:
		return src
	case Arsh:
		return uint64(int64(dst) >> (src & 63))
	}
	panic("asm: no such ALU operation")
}

func eval32(op ALUOp, dst, src uint32) uint32 {
	switch op {
	case Add:
		return dst + src
	case Sub:
		return dst - src
	case Mul:
		return dst * src
	case Div:
		if src == 0 {
			return 0
		}
		return dst / src
	case SDiv:
		if src == 0 {
			return 0
		}
		return uint32(int32(dst) / int32(src))
	case Or:
		return dst | src
	case And:
		return dst & src
	case Lsh:
		return dst << (src & 31)
	case Rsh:
		return dst >> (src & 31)
	case Mod:
		if src == 0 {
			return dst
		}
		return dst % src
	case SMod:
		if src == 0 {
			return dst
		}
		return uint32(int32(dst) % int32(src))
	case Xor:
		return dst ^ src
	case Mov:
		return src
	case Arsh:
		return uint32(int32(dst) >> (src & 31))
	}
	panic("asm: no such ALU operation")
}

// EvalNeg negates v, of 64 or 32 bits (RFC 9669 §4.1); 32-bit results are zero-extended.
func EvalNeg(width uint8, v uint64) uint64 {
	if width == 32 {
		return uint64(-uint32(v))
	}
	return -v
}

// Taken reports whether the branch dst c src is taken (RFC 9669 §4.3). A width of 32 compares the low halves.
func Taken(c Cond, width uint8, dst, src uint64) bool {
	sdst, ssrc := int64(dst), int64(src)
	if width == 32 {
		dst, src = uint64(uint32(dst)), uint64(uint32(src))
		sdst, ssrc = int64(int32(dst)), int64(int32(src))
	}
	switch c {
	case Jeq:
		return dst == src
	case Jgt:
		return dst > src
	case Jge:
		return dst >= src
	case Jset:
		return dst&src != 0
	case Jne:
		return dst != src
	case Jsgt:
		return sdst > ssrc
	case Jsge:
		return sdst >= ssrc
	case Jlt:
		return dst < src
	case Jle:
		return dst <= src
	case Jslt:
		return sdst < ssrc
	case Jsle:
		return sdst <= ssrc
	}
	panic("asm: no such condition")
}

// EvalSwap converts the byte order of the low size bytes (2, 4 or 8) of v and zeroes the rest (RFC 9669 §4.2). The
// guest is little-endian: ToLE keeps the order, ToBE and Bswap reverse it.
func EvalSwap(op SwapOp, size uint8, v uint64) uint64 {
	if op != ToLE {
		v = bits.ReverseBytes64(v) >> (64 - 8*size)
	}
	return truncate(v, size)
}

// truncate keeps the low size bytes of v.
func truncate(v uint64, size uint8) uint64 { return v & (^uint64(0) >> (64 - 8*size)) }

// SignExtend extends the sign of the low size bytes (1, 2, 4 or 8) of v to width bits; the upper half of a
// 32-bit result is zero (RFC 9669 §4.1 MOVSX, §5.2).
func SignExtend(v uint64, size uint8, width uint8) uint64 {
	shift := 64 - 8*size
	v = uint64(int64(v<<shift) >> shift)
	if width == 32 {
		return uint64(uint32(v))
	}
	return v
}

// EvalAtomic computes what an atomic operation on size bytes (4 or 8) of memory, which hold old, writes back
// (RFC 9669 §5.3). store is false when memory is left alone: a compare-and-exchange that found another value than
// r0. A fetching operation gives the register old, zero-extended.
func EvalAtomic(op AtomicOp, size uint8, old, src, r0 uint64) (newv uint64, store bool) {
	switch op {
	case AtomicAdd:
		newv = old + src
	case AtomicOr:
		newv = old | src
	case AtomicAnd:
		newv = old & src
	case AtomicXor:
		newv = old ^ src
	case AtomicXchg:
		newv = src
	case AtomicCmpxchg:
		if truncate(old, size) != truncate(r0, size) {
			return truncate(old, size), false
		}
		newv = src
	default:
		panic("asm: no such atomic operation")
	}
	return truncate(newv, size), true
}
