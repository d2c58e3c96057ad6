package verifier

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// view is a bounds as a comparison of one width sees it.
type view[U uint32 | uint64, S int32 | int64] struct {
	tn         tnum.T
	umin, umax U
	smin, smax S
}

func (b *bounds) view64() view[uint64, int64] {
	return view[uint64, int64]{b.tn, b.umin, b.umax, b.smin, b.smax}
}

func (b *bounds) view32() view[uint32, int32] {
	return view[uint32, int32]{b.tn.Subreg(), b.umin32, b.umax32, b.smin32, b.smax32}
}

// bitsOf is the bits that a comparison of that width sees.
func (b *bounds) bitsOf(width uint8) tnum.T {
	if width == 32 {
		return b.tn.Subreg()
	}
	return b.tn
}

// outcome is what is known of a comparison before it runs.
type outcome int8

const (
	unknown outcome = iota - 1
	never
	always
)

func (o outcome) not() outcome {
	if o == unknown {
		return unknown
	}
	return 1 - o
}

// inverse is the condition that holds when c doesn't. Jset has none; see refineFalse.
var inverse = [...]asm.Cond{
	asm.Jeq: asm.Jne, asm.Jne: asm.Jeq, asm.Jgt: asm.Jle, asm.Jle: asm.Jgt, asm.Jge: asm.Jlt, asm.Jlt: asm.Jge,
	asm.Jsgt: asm.Jsle, asm.Jsle: asm.Jsgt, asm.Jsge: asm.Jslt, asm.Jslt: asm.Jsge, asm.Jset: asm.Jset,
}

// swapped is the condition that says of (b, a) what c says of (a, b).
var swapped = [...]asm.Cond{
	asm.Jeq: asm.Jeq, asm.Jne: asm.Jne, asm.Jset: asm.Jset, asm.Jgt: asm.Jlt, asm.Jlt: asm.Jgt, asm.Jge: asm.Jle,
	asm.Jle: asm.Jge, asm.Jsgt: asm.Jslt, asm.Jslt: asm.Jsgt, asm.Jsge: asm.Jsle, asm.Jsle: asm.Jsge,
}

// decide says whether "a c b" is known to hold or not (kernel: is_scalar_branch_taken).
func decide(c asm.Cond, width uint8, a, b *bounds) outcome {
	if width == 32 {
		x, y := a.view32(), b.view32()
		return decideViews(c, &x, &y)
	}
	x, y := a.view64(), b.view64()
	o := decideViews(c, &x, &y)
	if o == unknown && (c == asm.Jeq || c == asm.Jne) { // values with different low halves differ
		x, y := a.view32(), b.view32()
		if o = decideViews(c, &x, &y); (o == never) != (c == asm.Jeq) {
			o = unknown
		}
	}
	return o
}

func decideViews[U uint32 | uint64, S int32 | int64](c asm.Cond, x, y *view[U, S]) outcome {
	switch c {
	case asm.Jeq:
		return decideEqual(x, y)
	case asm.Jne:
		return decideEqual(x, y).not()
	case asm.Jset:
		switch {
		case !x.tn.IsConst() && !y.tn.IsConst(): // the kernel decides constant masks only
			return unknown
		case x.tn.Value&y.tn.Value != 0:
			return always
		case x.tn.Max()&y.tn.Max() == 0:
			return never
		}
		return unknown
	case asm.Jgt:
		return decideBelow(y.umin, y.umax, x.umin, x.umax)
	case asm.Jle:
		return decideBelow(y.umin, y.umax, x.umin, x.umax).not()
	case asm.Jlt:
		return decideBelow(x.umin, x.umax, y.umin, y.umax)
	case asm.Jge:
		return decideBelow(x.umin, x.umax, y.umin, y.umax).not()
	case asm.Jsgt:
		return decideBelow(y.smin, y.smax, x.smin, x.smax)
	case asm.Jsle:
		return decideBelow(y.smin, y.smax, x.smin, x.smax).not()
	case asm.Jslt:
		return decideBelow(x.smin, x.smax, y.smin, y.smax)
	case asm.Jsge:
		return decideBelow(x.smin, x.smax, y.smin, y.smax).not()
	}
	return unknown
}

// decideBelow decides x < y of ranges.
func decideBelow[T int32 | uint32 | int64 | uint64](xmin, xmax, ymin, ymax T) outcome {
	switch {
	case xmax < ymin:
		return always
	case xmin >= ymax:
		return never
	}
	return unknown
}

func decideEqual[U uint32 | uint64, S int32 | int64](x, y *view[U, S]) outcome {
	switch {
	case x.tn.IsConst() && y.tn.IsConst():
		if x.tn.Value == y.tn.Value {
			return always
		}
		return never
	case x.umin > y.umax || x.umax < y.umin || x.smin > y.smax || x.smax < y.smin || x.tn.Disjoint(y.tn):
		return never
	}
	return unknown
}

// refine narrows a and b to the values for which "a c b" holds, or, with holds false, doesn't hold. They may be the same
// register: then each step sees what the one before did (kernel: reg_set_min_max, regs_refine_cond_op).
func refine(c asm.Cond, holds bool, width uint8, a, b *bounds) {
	if c == asm.Jset {
		refineSet(holds, width, a, b)
		return
	}
	if !holds {
		c = inverse[c]
	}
	if width == 32 {
		x, y := a.view32(), b.view32()
		refineOrder(c, &x, &y, a == b)
		a.take32(x)
		if a != b {
			b.take32(y)
		}
		return
	}
	x, y := a.view64(), b.view64()
	refineOrder(c, &x, &y, a == b)
	a.take64(x)
	if a != b {
		b.take64(y)
	}
}

// take64 writes a narrowed view back.
func (b *bounds) take64(v view[uint64, int64]) {
	b.tn, b.umin, b.umax, b.smin, b.smax = v.tn, v.umin, v.umax, v.smin, v.smax
	b.sync()
	b.check()
}

func (b *bounds) take32(v view[uint32, int32]) {
	b.tn = b.tn.WithSubreg(v.tn)
	b.umin32, b.umax32, b.smin32, b.smax32 = v.umin, v.umax, v.smin, v.smax
	b.sync()
	b.check()
}

func refineOrder[U uint32 | uint64, S int32 | int64](c asm.Cond, x, y *view[U, S], same bool) {
	if same {
		y = x
	}
	switch c {
	case asm.Jgt, asm.Jge, asm.Jsgt, asm.Jsge:
		c = swapped[c]
		x, y = y, x
	}
	switch c {
	case asm.Jeq:
		x.umin = max(x.umin, y.umin)
		x.umax = min(x.umax, y.umax)
		x.smin = max(x.smin, y.smin)
		x.smax = min(x.smax, y.smax)
		x.tn = x.tn.Intersect(y.tn)
		*y = *x
	case asm.Jne:
		if !y.tn.IsConst() {
			x, y = y, x
		}
		if y.tn.IsConst() {
			exclude(x, U(y.tn.Value))
		}
	case asm.Jlt: // the ranges overlap, or decide would have answered: no wrap at the ends, unless it is one register
		x.umax = min(x.umax, y.umax-1)
		y.umin = max(y.umin, x.umin+1)
	case asm.Jle:
		x.umax = min(x.umax, y.umax)
		y.umin = max(y.umin, x.umin)
	case asm.Jslt:
		x.smax = min(x.smax, y.smax-1)
		y.smin = max(y.smin, x.smin+1)
	case asm.Jsle:
		x.smax = min(x.smax, y.smax)
		y.smin = max(y.smin, x.smin)
	}
}

// exclude removes v from the ends of x's ranges.
func exclude[U uint32 | uint64, S int32 | int64](x *view[U, S], v U) {
	if x.umin == v {
		x.umin++
	}
	if x.umax == v {
		x.umax--
	}
	if x.smin == S(v) {
		x.smin++
	}
	if x.smax == S(v) {
		x.smax--
	}
}

// refineSet is refine for Jset. Only a constant mask tells something: a single bit when set, all of them when not. In the
// latter case the kernel forgets what the ranges said.
func refineSet(holds bool, width uint8, a, b *bounds) {
	x, y := a, b
	if !y.bitsOf(width).IsConst() {
		x, y = y, x
	}
	if mask := y.bitsOf(width); mask.IsConst() {
		bits := x.bitsOf(width)
		if !holds {
			x.unbound64()
			x.unbound32()
			bits = bits.And(tnum.Const(^mask.Value))
		} else if mask.Value != 0 && mask.Value&(mask.Value-1) == 0 {
			bits = bits.Or(mask)
		}
		if width == 32 {
			bits = x.tn.WithSubreg(bits)
		}
		x.tn = bits
	}
	for _, r := range [2]*bounds{a, b} {
		r.sync()
		r.check()
	}
}
