package verifier

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// view is a bounds as a comparison of one width sees it.
type view struct {
	tn         tnum.T
	umin, umax uint64
	smin, smax int64
}

func (b *bounds) view(width uint8) view {
	if width == 64 {
		return view{b.tn, b.umin, b.umax, b.smin, b.smax}
	}
	return view{b.tn.Subreg(), uint64(b.umin32), uint64(b.umax32), int64(b.smin32), int64(b.smax32)}
}

// take writes a narrowed view back and settles b.
func (b *bounds) take(v view, width uint8) {
	if width == 64 {
		b.tn, b.umin, b.umax, b.smin, b.smax = v.tn, v.umin, v.umax, v.smin, v.smax
	} else {
		b.tn = b.tn.WithSubreg(v.tn)
		b.umin32, b.umax32, b.smin32, b.smax32 = uint32(v.umin), uint32(v.umax), int32(v.smin), int32(v.smax)
	}
	if v.umin > v.umax || v.smin > v.smax { // the 32-bit ranges may have wrapped
		b.unbound64()
		b.unbound32()
		return
	}
	b.settle()
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
	x, y := a.view(width), b.view(width)
	switch c {
	case asm.Jeq, asm.Jne:
		o := decideEqual(x, y)
		if o == unknown && width == 64 && decideEqual(a.view(32), b.view(32)) == never {
			o = never // values with different low halves differ
		}
		if c == asm.Jne {
			o = o.not()
		}
		return o
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
func decideBelow[T int64 | uint64](xmin, xmax, ymin, ymax T) outcome {
	switch {
	case xmax < ymin:
		return always
	case xmin >= ymax:
		return never
	}
	return unknown
}

func decideEqual(x, y view) outcome {
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

// refine narrows a and b to the values for which "a c b" holds, or, with holds false, doesn't hold
// (kernel: regs_refine_cond_op).
func refine(c asm.Cond, holds bool, width uint8, a, b *bounds) {
	x, y := a.view(width), b.view(width)
	if c == asm.Jset {
		refineSet(&x, &y, holds)
	} else {
		if !holds {
			c = inverse[c]
		}
		refineOrder(c, &x, &y)
	}
	a.take(x, width)
	b.take(y, width)
}

func refineOrder(c asm.Cond, x, y *view) {
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
		if x.tn.IsConst() {
			x, y = y, x
		}
		if y.tn.IsConst() {
			exclude(x, y)
		}
	case asm.Jlt: // the ranges overlap, or decide would have answered: no wrap at the ends
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

// exclude removes the constant y from the ends of x's ranges.
func exclude(x, y *view) {
	if x.umin == y.umin {
		x.umin++
	}
	if x.umax == y.umin {
		x.umax--
	}
	if x.smin == y.smin {
		x.smin++
	}
	if x.smax == y.smin {
		x.smax--
	}
}

// refineSet is refine for Jset. Only a constant mask tells something: a single bit when set, all of them when not.
func refineSet(x, y *view, holds bool) {
	if !y.tn.IsConst() {
		x, y = y, x
	}
	if !y.tn.IsConst() {
		return
	}
	mask := y.tn.Value
	if !holds {
		x.tn = x.tn.And(tnum.Const(^mask))
	} else if mask != 0 && mask&(mask-1) == 0 {
		x.tn = x.tn.Or(tnum.Const(mask))
	}
}
