package verifier

import (
	"math"
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// aluScalar computes a op= b on scalars, width bits wide (kernel: adjust_scalar_min_max_vals). The result of a 32-bit
// operation is zero-extended. Division and modulo are not followed: the kernel says nothing of their result either, not
// even that 32-bit ones have a zero upper half.
func aluScalar(a *bounds, op asm.ALUOp, b *bounds, width uint8) {
	if !followed(op, b, width) {
		*a = anyBounds
		return
	}
	if a.isConst() && b.isConst() { // all that follows comes to the same
		*a = constBounds(asm.Eval(op, width, a.tn.Value, b.tn.Value))
		return
	}
	if width == 32 {
		alu32(a, op, b)
		a.zext32()
		return
	}
	alu64(a, op, b)
	a.sync()
}

// followed reports whether the domain can say anything of the operation's result
// (kernel: is_safe_to_compute_dst_reg_range).
func followed(op asm.ALUOp, b *bounds, width uint8) bool {
	switch op {
	case asm.Add, asm.Sub, asm.And, asm.Or, asm.Xor, asm.Mul:
		return true
	case asm.Lsh, asm.Rsh, asm.Arsh:
		if b.umax >= uint64(width) { // the kernel looks at the whole register
			return false
		}
		if width == 32 {
			return b.const32() && b.smin32 == b.smax32 && b.umin32 == b.umax32
		}
		return b.isConst() && b.smin == b.smax && b.umin == b.umax
	}
	return false
}

// alu64 is the 64-bit half of aluScalar. It leaves the 32-bit ranges right, if not tight.
func alu64(a *bounds, op asm.ALUOp, b *bounds) {
	switch op {
	case asm.Add:
		a.add32(b)
		a.add64(b)
		a.tn = a.tn.Add(b.tn)
	case asm.Sub:
		a.sub32(b)
		a.sub64(b)
		a.tn = a.tn.Sub(b.tn)
	case asm.Mul:
		tn := a.tn.Mul(b.tn)
		a.mul32(b)
		a.mul64(b)
		a.tn = tn
	case asm.And, asm.Or, asm.Xor:
		a.bitwise(op, b)
	case asm.Lsh:
		a.lsh64(uint8(b.tn.Value))
	case asm.Rsh:
		n := uint8(b.tn.Value)
		umin, umax, tn := a.umin>>n, a.umax>>n, a.tn.Rsh(n)
		*a = anyBounds
		a.umin, a.umax, a.tn = umin, umax, tn
	case asm.Arsh:
		n := uint8(b.tn.Value)
		smin, smax, tn := a.smin>>n, a.smax>>n, a.tn.Arsh(n, 64)
		*a = anyBounds
		a.smin, a.smax, a.tn = smin, smax, tn
	}
}

// alu32 is the 32-bit half: only the 32-bit ranges and the low bits of a are right afterwards.
func alu32(a *bounds, op asm.ALUOp, b *bounds) {
	switch op {
	case asm.Add:
		a.add32(b)
		a.tn = a.tn.Add(b.tn)
	case asm.Sub:
		a.sub32(b)
		a.tn = a.tn.Sub(b.tn)
	case asm.Mul:
		tn := a.tn.Mul(b.tn)
		a.mul32(b)
		a.tn = tn
	case asm.And, asm.Or, asm.Xor:
		a.bitwise(op, b)
	case asm.Lsh:
		n := uint8(b.tn.Value)
		a.lsh32(n)
		a.tn = a.tn.Subreg().Lsh(n)
	case asm.Rsh:
		n := uint8(b.tn.Value)
		a.tn = a.tn.Subreg().Rsh(n)
		a.umin32, a.umax32 = a.umin32>>n, a.umax32>>n
		a.smin32, a.smax32 = math.MinInt32, math.MaxInt32
	case asm.Arsh:
		n := uint8(b.tn.Value)
		a.tn = a.tn.Arsh(n, 32)
		a.smin32, a.smax32 = a.smin32>>n, a.smax32>>n
		a.umin32, a.umax32 = 0, math.MaxUint32
	}
	// The 64-bit ranges are those of the zero-extended low half: zext32 sets them.
	a.unbound64()
}

func (b *bounds) add64(o *bounds) {
	smin, c1 := addS64(b.smin, o.smin)
	smax, c2 := addS64(b.smax, o.smax)
	if c1 || c2 {
		smin, smax = math.MinInt64, math.MaxInt64
	}
	umin, carryMin := bits.Add64(b.umin, o.umin, 0)
	umax, carryMax := bits.Add64(b.umax, o.umax, 0)
	if carryMin != carryMax { // when both ends wrap, so does everything between, and order is kept
		umin, umax = 0, math.MaxUint64
	}
	b.smin, b.smax, b.umin, b.umax = smin, smax, umin, umax
}

func (b *bounds) add32(o *bounds) {
	smin, smax := int64(b.smin32)+int64(o.smin32), int64(b.smax32)+int64(o.smax32)
	if smin < math.MinInt32 || smax > math.MaxInt32 {
		smin, smax = math.MinInt32, math.MaxInt32
	}
	umin, umax := uint64(b.umin32)+uint64(o.umin32), uint64(b.umax32)+uint64(o.umax32)
	if umin>>32 != umax>>32 {
		umin, umax = 0, math.MaxUint32
	}
	b.smin32, b.smax32, b.umin32, b.umax32 = int32(smin), int32(smax), uint32(umin), uint32(umax)
}

func (b *bounds) sub64(o *bounds) {
	smin, c1 := subS64(b.smin, o.smax)
	smax, c2 := subS64(b.smax, o.smin)
	if c1 || c2 {
		smin, smax = math.MinInt64, math.MaxInt64
	}
	umin, borrowMin := bits.Sub64(b.umin, o.umax, 0)
	umax, borrowMax := bits.Sub64(b.umax, o.umin, 0)
	if borrowMin != borrowMax {
		umin, umax = 0, math.MaxUint64
	}
	b.smin, b.smax, b.umin, b.umax = smin, smax, umin, umax
}

func (b *bounds) sub32(o *bounds) {
	smin, smax := int64(b.smin32)-int64(o.smax32), int64(b.smax32)-int64(o.smin32)
	if smin < math.MinInt32 || smax > math.MaxInt32 {
		smin, smax = math.MinInt32, math.MaxInt32
	}
	umin, umax := int64(b.umin32)-int64(o.umax32), int64(b.umax32)-int64(o.umin32)
	if (umin < 0) != (umax < 0) {
		umin, umax = 0, math.MaxUint32
	}
	b.smin32, b.smax32, b.umin32, b.umax32 = int32(smin), int32(smax), uint32(umin), uint32(umax)
}

// narrowMul forgets b's ranges where kernels before 6.14 do not multiply them with o's (profile.MulBounds).
func (b *bounds) narrowMul(o *bounds) {
	if b.smin < 0 || o.smin < 0 || b.umax > math.MaxUint32 || o.umax > math.MaxUint32 {
		b.unbound64()
	}
	if b.smin32 < 0 || o.smin32 < 0 || b.umax32 > math.MaxUint16 || o.umax32 > math.MaxUint16 {
		b.unbound32()
	}
}

func (b *bounds) mul64(o *bounds) {
	if hi, lo := bits.Mul64(b.umax, o.umax); hi == 0 {
		b.umin, b.umax = b.umin*o.umin, lo
	} else {
		b.umin, b.umax = 0, math.MaxUint64
	}
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, x := range [2]int64{b.smin, b.smax} {
		for _, y := range [2]int64{o.smin, o.smax} {
			p, over := mulS64(x, y)
			if over {
				b.smin, b.smax = math.MinInt64, math.MaxInt64
				return
			}
			lo, hi = min(lo, p), max(hi, p)
		}
	}
	b.smin, b.smax = lo, hi
}

func (b *bounds) mul32(o *bounds) {
	if p := uint64(b.umax32) * uint64(o.umax32); p <= math.MaxUint32 {
		b.umin32, b.umax32 = b.umin32*o.umin32, uint32(p)
	} else {
		b.umin32, b.umax32 = 0, math.MaxUint32
	}
	lo, hi := int64(math.MaxInt64), int64(math.MinInt64)
	for _, x := range [2]int64{int64(b.smin32), int64(b.smax32)} {
		for _, y := range [2]int64{int64(o.smin32), int64(o.smax32)} {
			lo, hi = min(lo, x*y), max(hi, x*y)
		}
	}
	if lo < math.MinInt32 || hi > math.MaxInt32 {
		lo, hi = math.MinInt32, math.MaxInt32
	}
	b.smin32, b.smax32 = int32(lo), int32(hi)
}

// bitwise is and, or, xor.
func (b *bounds) bitwise(op asm.ALUOp, o *bounds) {
	switch op {
	case asm.And:
		b.tn = b.tn.And(o.tn)
		b.umax32, b.umax = min(b.umax32, o.umax32), min(b.umax, o.umax)
		b.umin32, b.umin = uint32(b.tn.Value), b.tn.Value
	case asm.Or:
		b.tn = b.tn.Or(o.tn)
		b.umin32, b.umin = max(b.umin32, o.umin32), max(b.umin, o.umin)
		b.umax32, b.umax = uint32(b.tn.Max()), b.tn.Max()
	default:
		b.tn = b.tn.Xor(o.tn)
		b.umin32, b.umin = uint32(b.tn.Value), b.tn.Value
		b.umax32, b.umax = uint32(b.tn.Max()), b.tn.Max()
	}
	// Signed bounds follow where the unsigned range stays on one side of the sign border.
	b.smin32, b.smax32, b.smin, b.smax = math.MinInt32, math.MaxInt32, math.MinInt64, math.MaxInt64
	if int32(b.umin32) <= int32(b.umax32) {
		b.smin32, b.smax32 = int32(b.umin32), int32(b.umax32)
	}
	if int64(b.umin) <= int64(b.umax) {
		b.smin, b.smax = int64(b.umin), int64(b.umax)
	}
	b.rangesFromBits()
}

// lsh64 shifts left. The kernel's bounds on what may be shifted are a bit short of what would fit.
func (b *bounds) lsh64(n uint8) {
	b.smin, b.smax = math.MinInt64, math.MaxInt64
	if n == 32 { // the first half of the usual sign extension of a 32-bit value
		b.smin, b.smax = int64(b.smin32)<<32, int64(b.smax32)<<32
	}
	if b.umax <= 1<<(63-n) {
		b.umin, b.umax = b.umin<<n, b.umax<<n
	} else {
		b.umin, b.umax = 0, math.MaxUint64
	}
	b.lsh32(n)
	b.tn = b.tn.Lsh(n)
}

// lsh32 is the part of a left shift that concerns the 32-bit ranges.
func (b *bounds) lsh32(n uint8) {
	if n < 32 && b.umax32 <= 1<<(31-n) {
		b.umin32, b.umax32 = b.umin32<<n, b.umax32<<n
	} else {
		b.umin32, b.umax32 = 0, math.MaxUint32
	}
	b.smin32, b.smax32 = math.MinInt32, math.MaxInt32
}

// addS64 is a + b, and whether it overflows.
func addS64(a, b int64) (int64, bool) {
	s := a + b
	return s, (a^s)&(b^s) < 0
}

// subS64 is a - b, and whether it overflows.
func subS64(a, b int64) (int64, bool) {
	d := a - b
	return d, (a^b)&(a^d) < 0
}

// mulS64 is a * b, and whether it overflows.
func mulS64(a, b int64) (int64, bool) {
	if a == 0 || b == 0 {
		return 0, false
	}
	p := a * b
	return p, p/b != a || a == -1 && b == math.MinInt64 || b == -1 && a == math.MinInt64
}

// swap puts the low size bytes in another order and zeroes the rest. Only known bits survive a change of order.
func (b *bounds) swap(op asm.SwapOp, size uint8) {
	b.truncate(size)
	if op == asm.ToLE { // no change: guests are little-endian
		return
	}
	tn := tnum.T{Value: asm.EvalSwap(op, size, b.tn.Value), Mask: asm.EvalSwap(op, size, b.tn.Mask)}
	*b = anyBounds
	b.tn = tn
	b.sync()
}
