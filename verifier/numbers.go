package verifier

import (
	"math"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// Ranges of numbers as the releases before the newest follow them. bounds and its operations are the newest kernel's; what
// follows is chosen by the profile's rules:
//
//	Bounds32     off (before 5.7): there are no 32-bit ranges. A 32-bit operation cuts its operands and its result
//	             (coerce_reg_to_size), a 32-bit comparison tells something where the upper half is known.
//	DeduceBounds off (before 6.8): ranges learn of each other at the sign border only, a comparison narrows ranges of its
//	             own width, and the others start anew from that.

// syncNumber is bounds.sync by the profile's rules (kernel: reg_bounds_sync; before 5.19 its three steps).
func (p *Profile) syncNumber(b *bounds) {
	if p.DeduceBounds {
		b.sync()
		return
	}
	b.clampToBits()
	if p.Bounds32 {
		v := signs(b.view32())
		b.umin32, b.umax32, b.smin32, b.smax32 = v.umin, v.umax, v.smin, v.smax
	}
	v := signs(b.view64())
	b.umin, b.umax, b.smin, b.smax = v.umin, v.umax, v.smin, v.smax
	if p.Bounds32 {
		b.bitsFromRanges()
	} else {
		b.tn = b.tn.Intersect(tnum.Range(b.umin, b.umax))
	}
	b.clampToBits()
	if !p.Bounds32 {
		b.forget32()
	}
}

// forget32 is what Bounds32 off makes of the 32-bit ranges: those of a constant say no more than its bits.
func (b *bounds) forget32() {
	b.unbound32()
	if b.isConst() {
		b.known32(uint32(b.tn.Value))
	}
}

// signs narrows the signed and the unsigned range with each other where one of them does not cross the sign border
// (kernel before 6.8: __reg64_deduce_bounds, __reg32_deduce_bounds).
func signs[U uint32 | uint64, S int32 | int64](v view[U, S]) view[U, S] {
	switch {
	case v.smin >= 0 || v.smax < 0:
		v.umin, v.umax = max(U(v.smin), v.umin), min(U(v.smax), v.umax)
		v.smin, v.smax = S(v.umin), S(v.umax)
	case S(v.umax) >= 0:
		v.umax = min(U(v.smax), v.umax)
		v.smin, v.smax = S(v.umin), S(v.umax)
	case S(v.umin) < 0:
		v.umin = max(U(v.smin), v.umin)
		v.smin, v.smax = S(v.umin), S(v.umax)
	}
	return v
}

// zext is bounds.zext32 by the profile's rules.
func (p *Profile) zext(b *bounds) {
	switch {
	case p.DeduceBounds:
		b.zext32()
	case p.Bounds32:
		b.tn = b.tn.Subreg()
		b.from32()
		p.syncNumber(b)
	default:
		p.cut(b, 4)
	}
}

// from32 takes the 64-bit ranges of a number without an upper half from the 32-bit ones (kernel: __reg_assign_32_into_64).
func (b *bounds) from32() {
	b.umin, b.umax = uint64(b.umin32), uint64(b.umax32)
	b.smin, b.smax = 0, math.MaxUint32
	if b.smin32 >= 0 && b.smax32 >= 0 {
		b.smin, b.smax = int64(b.smin32), int64(b.smax32)
	}
}

// cut is bounds.truncate by the profile's rules.
func (p *Profile) cut(b *bounds, size uint8) {
	if p.DeduceBounds || size >= 8 {
		b.truncate(size)
		return
	}
	b.cutBits(size)
	switch {
	case !p.Bounds32:
		b.forget32()
	case size < 4:
		p.low(b)
	}
}

// low takes the 32-bit ranges from the 64-bit ones, where those fit (kernel before 6.8: __reg_combine_64_into_32).
func (p *Profile) low(b *bounds) {
	b.unbound32()
	if b.smin >= math.MinInt32 && b.smax <= math.MaxInt32 && b.smin <= math.MaxInt32 && b.smax >= math.MinInt32 {
		b.smin32, b.smax32 = int32(b.smin), int32(b.smax)
	}
	if b.umin <= math.MaxUint32 && b.umax <= math.MaxUint32 {
		b.umin32, b.umax32 = uint32(b.umin), uint32(b.umax)
	}
	p.syncNumber(b)
}

// high takes the 64-bit ranges from the 32-bit ones after a comparison of 32 bits: they start anew unless the upper half
// is zero (kernel before 6.8: __reg_combine_32_into_64).
func (p *Profile) high(b *bounds) {
	if b.tn.Subreg() == b.tn {
		b.from32()
	} else {
		b.unbound64()
	}
	p.syncNumber(b)
}

// alu computes a op= b on scalars (kernel: adjust_scalar_min_max_vals).
func (p *Profile) alu(a *bounds, op asm.ALUOp, b *bounds, width uint8) {
	if !p.follows(op, b, width) {
		*a = anyBounds
		return
	}
	if op == asm.Mul && !p.MulBounds {
		a.narrowMul(b)
	}
	if !p.WrapSums {
		a.narrowSum(op, b)
	}
	if p.DeduceBounds {
		aluScalar(a, op, b, width)
		return
	}
	if !followed(op, b, width) {
		*a = anyBounds
		return
	}
	if p.Bounds32 {
		p.alu32or64(a, op, b, width)
		return
	}
	src := *b
	if width == 32 {
		p.cut(a, 4)
		p.cut(&src, 4)
	}
	if width == 32 && op == asm.Arsh {
		alu32(a, op, &src)
		a.smin, a.smax = int64(uint32(a.smin32)), int64(uint32(a.smax32))
	} else {
		alu64(a, op, &src)
	}
	if width == 32 {
		p.cut(a, 4)
	}
	p.syncNumber(a)
}

// alu32or64 is alu of 5.7 to 6.7.
func (p *Profile) alu32or64(a *bounds, op asm.ALUOp, b *bounds, width uint8) {
	if width == 64 {
		alu64(a, op, b)
		p.syncNumber(a)
		return
	}
	alu32(a, op, b)
	a.clampToBits()
	p.zext(a)
	p.syncNumber(a)
}

// follows reports whether the release follows the operation at all: with an unknown second operand, before 6.10 only sums,
// differences and and; before 5.10 no xor.
func (p *Profile) follows(op asm.ALUOp, b *bounds, width uint8) bool {
	switch op {
	case asm.Add, asm.Sub, asm.And:
		return true
	case asm.Xor:
		return p.XorBounds && (p.UnknownBits || b.bitsOf(width).IsConst())
	case asm.Or, asm.Mul:
		return p.UnknownBits || b.bitsOf(width).IsConst()
	}
	return true
}

// narrowSum forgets b's ranges where kernels before 6.17 do not add o to them or subtract it: where an end may wrap around.
func (b *bounds) narrowSum(op asm.ALUOp, o *bounds) {
	over64, over32, wraps64, wraps32 := false, false, false, false
	switch op {
	case asm.Add:
		_, low := addS64(b.smin, o.smin)
		_, high := addS64(b.smax, o.smax)
		over64 = low || high
		wraps64 = b.umin+o.umin < b.umin || b.umax+o.umax < b.umax
		over32 = int64(b.smin32)+int64(o.smin32) < math.MinInt32 || int64(b.smax32)+int64(o.smax32) > math.MaxInt32
		wraps32 = b.umin32+o.umin32 < b.umin32 || b.umax32+o.umax32 < b.umax32
	case asm.Sub:
		_, low := subS64(b.smin, o.smax)
		_, high := subS64(b.smax, o.smin)
		over64 = low || high
		wraps64 = b.umin < o.umax
		over32 = int64(b.smin32)-int64(o.smax32) < math.MinInt32 || int64(b.smax32)-int64(o.smin32) > math.MaxInt32
		wraps32 = b.umin32 < o.umax32
	}
	if over64 {
		b.smin, b.smax = math.MinInt64, math.MaxInt64
	}
	if wraps64 {
		b.umin, b.umax = 0, math.MaxUint64
	}
	if over32 {
		b.smin32, b.smax32 = math.MinInt32, math.MaxInt32
	}
	if wraps32 {
		b.umin32, b.umax32 = 0, math.MaxUint32
	}
}

// decideNumbers is decide by the profile's rules (kernel: is_branch_taken).
func (p *Profile) decideNumbers(c asm.Cond, width uint8, a, b *bounds) outcome {
	if p.RegBounds && p.DeduceBounds {
		return decide(c, width, a, b)
	}
	if !p.RegBounds && !b.bitsOf(width).IsConst() || c == asm.Jset && !p.TestedBits {
		return unknown
	}
	if (c == asm.Jeq || c == asm.Jne) && !p.EqualRanges && !a.bitsOf(width).IsConst() {
		return unknown
	}
	if width == 32 && !p.Bounds32 {
		x, y := p.low32(a), p.low32(b)
		return decideViews(c, &x, &y)
	}
	if width == 32 {
		x, y := a.view32(), b.view32()
		return decideViews(c, &x, &y)
	}
	x, y := a.view64(), b.view64()
	return decideViews(c, &x, &y)
}

// low32 is the low half of a number without 32-bit ranges, for a comparison.
func (p *Profile) low32(b *bounds) view[uint32, int32] {
	low := *b
	p.cut(&low, 4)
	v := view[uint32, int32]{low.tn, uint32(low.umin), uint32(low.umax), int32(low.umin), int32(low.umax)}
	if (low.umin^low.umax)>>31 != 0 {
		v.smin, v.smax = math.MinInt32, math.MaxInt32
	}
	return v
}

// narrowNumbers is refine by the profile's rules (kernel: reg_set_min_max and reg_combine_min_max). Before 6.8 a comparison
// with a constant narrows the other operand; what Profile.narrows refuses does not get here.
func (p *Profile) narrowNumbers(c asm.Cond, holds bool, width uint8, a, b *bounds) {
	if p.DeduceBounds {
		refine(c, holds, width, a, b)
		return
	}
	x, y := a, b
	if !y.bitsOf(width).IsConst() {
		x, y = y, x
		c = swapped[c]
	}
	switch {
	case !y.bitsOf(width).IsConst():
		p.combine(a, b)
	case c == asm.Jset:
		p.narrowBits(holds, width, x, y.bitsOf(width).Value)
	default:
		if !holds {
			c = inverse[c]
		}
		p.narrowOrder(c, width, x, y.bitsOf(width).Value)
	}
}

// combine narrows two numbers that are equal.
func (p *Profile) combine(a, b *bounds) {
	x, y := a.view64(), b.view64()
	refineOrder(asm.Jeq, &x, &y, a == b)
	for _, r := range [2]*bounds{a, b} {
		r.tn, r.umin, r.umax, r.smin, r.smax = x.tn, x.umin, x.umax, x.smin, x.smax
		p.syncNumber(r)
	}
}

// narrowBits learns of a test of the bits in mask.
func (p *Profile) narrowBits(holds bool, width uint8, x *bounds, mask uint64) {
	if !p.TestedBits {
		return
	}
	if width == 32 {
		mask = uint64(uint32(mask))
	}
	bits := x.bitsOf(width)
	switch {
	case !holds:
		x.unbound64()
		x.unbound32()
		bits = bits.And(tnum.Const(^mask))
	case mask&(mask-1) == 0:
		bits = bits.Or(tnum.Const(mask))
	}
	if width == 32 {
		bits = x.tn.WithSubreg(bits)
	}
	x.tn = bits
	p.spread(width, x)
}

// spread takes what a comparison of one width said to the other width.
func (p *Profile) spread(width uint8, x *bounds) {
	switch {
	case !p.Bounds32:
		p.syncNumber(x)
	case width == 32:
		p.high(x)
	default:
		p.low(x)
	}
}

// narrowOrder learns that "x c val" holds, in the given width.
func (p *Profile) narrowOrder(c asm.Cond, width uint8, x *bounds, val uint64) {
	switch {
	case c == asm.Jne: // tells nothing of ranges before 6.8
	case c == asm.Jeq && width == 64:
		*x = constBounds(val)
		return
	case width == 64:
		v, k := x.view64(), view[uint64, int64]{tnum.Const(val), val, val, int64(val), int64(val)}
		refineOrder(c, &v, &k, false)
		x.umin, x.umax, x.smin, x.smax = v.umin, v.umax, v.smin, v.smax
	case !p.Bounds32:
		x.narrowLow(c, uint32(val))
	case c == asm.Jeq:
		x.known32(uint32(val))
	default:
		n := uint32(val)
		v, k := x.view32(), view[uint32, int32]{tnum.Const(uint64(n)), n, n, int32(n), int32(n)}
		refineOrder(c, &v, &k, false)
		x.umin32, x.umax32, x.smin32, x.smax32 = v.umin, v.umax, v.smin, v.smax
	}
	p.spread(width, x)
}

// narrowLow learns of a comparison of the low half, without 32-bit ranges: it narrows the bits, and the ranges by what
// the upper half may be (kernel before 5.7: set_upper_bound, set_lower_bound, cmp_val_with_extended_s64).
func (b *bounds) narrowLow(c asm.Cond, n uint32) {
	const high = uint64(0xffffffff) << 32
	lo, hi := uint64(0), uint64(math.MaxUint32)
	switch c {
	case asm.Jeq:
		b.tn = b.tn.WithSubreg(tnum.Const(uint64(n)))
		return
	case asm.Jlt, asm.Jle:
		if hi = uint64(n); c == asm.Jlt {
			hi--
		}
	case asm.Jgt, asm.Jge:
		if lo = uint64(n); c == asm.Jgt {
			lo++
		}
	default:
		b.narrowSigned(c, int32(n))
		return
	}
	if lo > math.MaxUint32 || hi > math.MaxUint32 {
		return // no number is: what follows never runs
	}
	t := tnum.Range(lo, hi)
	t.Mask |= high
	b.tn = b.tn.Intersect(t)
	b.umax = min(b.umax, hi+b.tn.Max()&high)
	b.umin = max(b.umin, lo+b.tn.Value&high)
}

// narrowSigned is narrowLow of a signed comparison, which tells something of numbers that are a sign-extended half.
func (b *bounds) narrowSigned(c asm.Cond, n int32) {
	if n >= 0 && (b.smin < 0 || b.smax > math.MaxInt32) || n < 0 && (b.smax > 0 || b.smin < math.MinInt32) {
		return
	}
	v := view[uint64, int64]{b.tn, b.umin, b.umax, b.smin, b.smax}
	k := view[uint64, int64]{tnum.Const(uint64(int64(n))), uint64(int64(n)), uint64(int64(n)), int64(n), int64(n)}
	refineOrder(c, &v, &k, false)
	b.smin, b.smax = v.smin, v.smax
}
