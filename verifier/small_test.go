package verifier

import (
	"flag"
	"fmt"
	"math"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// Small sets of numbers, all of them: what the domain says of an operation is compared with what the operation does to every
// member. Sets lie in windows of 2^bits consecutive values around the places where ranges break. As a set of bounds is an
// intersection of ranges and known bits, it holds all results when it holds their extremes, so results are not looked at
// one by one: that is what makes all pairs affordable.

var smallBits = flag.Uint("small", 2, "width in bits of the stretches in which all pairs of sets are tried under the newest rules")

// borders are where windows lie: half below, half above.
var borders = map[string]uint64{
	"zero": 0, "int32": 1 << 31, "uint32": 1 << 32, "int64": 1 << 63, "-int32": 0xffffffff_80000000, "int33": 1<<32 + 1<<31,
}

// smallProfiles are releases between which the rules of numbers differ.
var smallProfiles = []*Profile{Newest(), Linux(6, 1), Linux(5, 4)}

// smallWidth is less for older releases: they follow less, so that far more sets differ.
func smallWidth(p *Profile) uint {
	if p.DeduceBounds {
		return *smallBits
	}
	return 2
}

// extremes are what a set of numbers spans, in every way that bounds know of.
type extremes struct {
	umin, umax     uint64
	smin, smax     int64
	umin32, umax32 uint32
	smin32, smax32 int32
	and, or        uint64
}

var noNumber = extremes{math.MaxUint64, 0, math.MaxInt64, math.MinInt64, math.MaxUint32, 0, math.MaxInt32, math.MinInt32, ^uint64(0), 0}

func (e *extremes) add(v uint64) {
	e.umin, e.umax = min(e.umin, v), max(e.umax, v)
	e.smin, e.smax = min(e.smin, int64(v)), max(e.smax, int64(v))
	e.umin32, e.umax32 = min(e.umin32, uint32(v)), max(e.umax32, uint32(v))
	e.smin32, e.smax32 = min(e.smin32, int32(v)), max(e.smax32, int32(v))
	e.and &= v
	e.or |= v
}

func (e *extremes) merge(o *extremes) {
	e.umin, e.umax = min(e.umin, o.umin), max(e.umax, o.umax)
	e.smin, e.smax = min(e.smin, o.smin), max(e.smax, o.smax)
	e.umin32, e.umax32 = min(e.umin32, o.umin32), max(e.umax32, o.umax32)
	e.smin32, e.smax32 = min(e.smin32, o.smin32), max(e.smax32, o.smax32)
	e.and &= o.and
	e.or |= o.or
}

func (e *extremes) in(b *bounds) bool {
	return b.umin <= e.umin && b.umax >= e.umax && b.smin <= e.smin && b.smax >= e.smax && b.umin32 <= e.umin32 &&
		b.umax32 >= e.umax32 && b.smin32 <= e.smin32 && b.smax32 >= e.smax32 && b.tn.In(tnum.T{Value: e.and, Mask: e.and ^ e.or})
}

// small is a set in a stretch: bit i says that the stretch's first value plus i is a member.
type small struct {
	bounds
	set uint64
}

// stretch is 2^bits values around a border.
type stretch struct {
	name  string
	first uint64
	size  int
}

func stretches(bits uint) (all []stretch) {
	for name, at := range borders {
		all = append(all, stretch{name, at - 1<<(bits-1), 1 << bits})
	}
	return all
}

func (w *stretch) value(i int) uint64 { return w.first + uint64(i) }

// members are the values of the stretch that are in b.
func (w *stretch) members(b *bounds) (set uint64) {
	for i := range w.size {
		if b.contains(w.value(i)) {
			set |= 1 << i
		}
	}
	return set
}

// sets are all that known low bits, a 64-bit range and a 32-bit range can say in the stretch, synced: ranges from value i to
// value j where they are in order.
func (w *stretch) sets(t *testing.T, p *Profile) []small {
	var all []small
	seen := map[bounds]bool{}
	n := uint64(w.size)
	for mask := range n {
		for v := range n {
			if v&mask != 0 {
				continue
			}
			for i := range w.size {
				for j := i; j < w.size; j++ {
					for k := range w.size {
						for l := k; l < w.size; l++ {
							b := anyBounds
							b.tn = tnum.T{Value: v, Mask: mask | ^(n - 1)}
							w.restrict(&b, w.value(i), w.value(j), w.value(k), w.value(l), p.Bounds32)
							set := w.members(&b)
							if set == 0 {
								continue
							}
							p.syncNumber(&b)
							if got := w.members(&b); set&^got != 0 {
								t.Fatalf("%s: sync of %+v lost values: %b of %b left", w.name, b, got, set)
							}
							if !seen[b] {
								seen[b] = true
								all = append(all, small{b, w.members(&b)})
							}
						}
					}
				}
			}
		}
	}
	return all
}

func (w *stretch) restrict(b *bounds, lo, hi, lo2, hi2 uint64, has32 bool) {
	if lo <= hi {
		b.umin, b.umax = lo, hi
	}
	if int64(lo2) <= int64(hi2) {
		b.smin, b.smax = int64(lo2), int64(hi2)
	}
	if !has32 {
		return
	}
	if uint32(lo2) <= uint32(hi2) {
		b.umin32, b.umax32 = uint32(lo2), uint32(hi2)
	}
	if int32(lo) <= int32(hi) {
		b.smin32, b.smax32 = int32(lo), int32(hi)
	}
}

// eachPair calls f for pairs of windows whose sets are combined: with itself and with the one around zero.
func eachPair(t *testing.T, p *Profile, bits uint, f func(a, b *stretch, as, bs []small)) {
	all := stretches(bits)
	sets := map[string][]small{}
	for i := range all {
		sets[all[i].name] = all[i].sets(t, p)
	}
	zero := stretch{"zero", borders["zero"] - 1<<(bits-1), 1 << bits}
	for i := range all {
		w := &all[i]
		f(w, w, sets[w.name], sets[w.name])
		if w.name != "zero" {
			f(w, &zero, sets[w.name], sets["zero"])
			f(&zero, w, sets["zero"], sets[w.name])
		}
	}
}

// TestSmallALU tries every operation, 32 and 64 bits wide, on all pairs of small sets.
func TestSmallALU(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	for _, p := range smallProfiles {
		pairs := 0
		eachPair(t, p, smallWidth(p), func(wa, wb *stretch, as, bs []small) {
			pairs += len(as) * len(bs)
			for op := asm.Add; op <= asm.Arsh; op++ {
				if op == asm.Mov {
					continue
				}
				smallOp(t, p, op, 32, wa, wb, as, bs)
				smallOp(t, p, op, 64, wa, wb, as, bs)
			}
		})
		t.Logf("%s: %d pairs of sets, %d operations each", p.Name, pairs, 2*int(asm.Arsh))
	}
}

func smallOp(t *testing.T, p *Profile, op asm.ALUOp, width uint8, wa, wb *stretch, as, bs []small) {
	t.Helper()
	results := make([]extremes, wa.size) // for each first operand
	for bi := range bs {
		b := &bs[bi]
		for i := range results {
			results[i] = noNumber
			for j := range wb.size {
				if b.set>>j&1 != 0 {
					results[i].add(asm.Eval(op, width, wa.value(i), wb.value(j)))
				}
			}
		}
		for ai := range as {
			a := &as[ai]
			want := noNumber
			for i := range results {
				if a.set>>i&1 != 0 {
					want.merge(&results[i])
				}
			}
			got := a.bounds
			p.alu(&got, op, &b.bounds, width)
			if !want.in(&got) {
				t.Fatalf("%s: op %d, %d bits:\n   %+v (%s %b)\nop %+v (%s %b)\ngives %+v\nlacks some of %+v", p.Name, op, width, a.bounds,
					wa.name, a.set, b.bounds, wb.name, b.set, got, want)
			}
		}
	}
}

var rangeBits = flag.Uint("ranges", 4, "width in bits of the stretches in which all pairs of ranges are tried")

// TestRangeALU tries every operation, 32 and 64 bits wide, on all pairs of ranges.
func TestRangeALU(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	p := Newest()
	all := stretches(*rangeBits)
	for i := range all {
		for j := range all {
			for op := asm.Add; op <= asm.Arsh; op++ {
				if op == asm.Mov || op == asm.Div || op == asm.SDiv || op == asm.Mod || op == asm.SMod {
					continue // nothing is said of their results
				}
				rangeOp(t, p, op, 32, &all[i], &all[j])
				rangeOp(t, p, op, 64, &all[i], &all[j])
			}
		}
	}
}

// rangeOp goes over the second operands with growing ends, and over the first ones in the same way: extremes only grow.
func rangeOp(t *testing.T, p *Profile, op asm.ALUOp, width uint8, wa, wb *stretch) {
	t.Helper()
	ranges := func(w *stretch) (all [][]bounds) { // by first and number of more
		for i := range w.size {
			var row []bounds
			for j := i; j < w.size; j++ {
				b := anyBounds
				w.restrict(&b, w.value(i), w.value(j), w.value(i), w.value(j), true)
				p.syncNumber(&b)
				row = append(row, b)
			}
			all = append(all, row)
		}
		return all
	}
	as := ranges(wa)
	results := make([]extremes, wa.size)
	for i, row := range ranges(wb) {
		for k := range results {
			results[k] = noNumber
		}
		for j := range row {
			for k := range results {
				results[k].add(asm.Eval(op, width, wa.value(k), wb.value(i+j)))
			}
			for k, firsts := range as {
				want := noNumber
				for l := range firsts {
					want.merge(&results[k+l])
					got := firsts[l]
					p.alu(&got, op, &row[j], width)
					if !want.in(&got) {
						t.Fatalf("op %d, %d bits: %+v op %+v gives %+v, lacks some of %+v", op, width, firsts[l], row[j], got, want)
					}
				}
			}
		}
	}
}

// unary are the operations on one number.
func unary(p *Profile) map[string]struct {
	abstract func(*bounds)
	concrete func(uint64) uint64
} {
	type op = struct {
		abstract func(*bounds)
		concrete func(uint64) uint64
	}
	all := map[string]op{
		"zext32": {func(b *bounds) { p.zext(b) }, func(v uint64) uint64 { return uint64(uint32(v)) }},
		"neg64":  {func(b *bounds) { negate(p, b, 64) }, func(v uint64) uint64 { return -v }},
		"neg32":  {func(b *bounds) { negate(p, b, 32) }, func(v uint64) uint64 { return uint64(-uint32(v)) }},
	}
	for _, size := range []uint8{1, 2, 4, 8} {
		n := 64 - 8*size
		all[fmt.Sprintf("cut%d", size)] = op{func(b *bounds) { p.cut(b, size) }, func(v uint64) uint64 { return v << n >> n }}
		all[fmt.Sprintf("sext%d", size)] = op{func(b *bounds) { b.signExtend(size) }, func(v uint64) uint64 { return asm.SignExtend(v, size, 64) }}
		if size < 4 {
			all[fmt.Sprintf("sext%d to 32", size)] = op{func(b *bounds) { b.signExtend32(size) }, func(v uint64) uint64 { return asm.SignExtend(v, size, 32) }}
		}
		for _, swap := range []asm.SwapOp{asm.ToLE, asm.ToBE, asm.Bswap} {
			if size > 1 {
				all[fmt.Sprintf("swap %d to %d", swap, size)] = op{func(b *bounds) { b.swap(swap, size) }, func(v uint64) uint64 { return asm.EvalSwap(swap, size, v) }}
			}
		}
	}
	return all
}

// negate is what stepUnary does.
func negate(p *Profile, b *bounds, width uint8) {
	zero := constBounds(0)
	p.alu(&zero, asm.Sub, b, width)
	*b = zero
}

// TestSmallUnary tries every operation on one number on all ranges and all known bits of 8 bits.
func TestSmallUnary(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	const bits = 8
	for _, p := range []*Profile{Newest(), Linux(6, 1)} {
		for name, op := range unary(p) {
			if !p.DeduceBounds && name[:3] != "cut" {
				continue // it has no such instruction, or says nothing of it
			}
			for _, w := range stretches(bits) {
				check := func(b *bounds, want *extremes) {
					got := *b
					op.abstract(&got)
					if !want.in(&got) {
						t.Fatalf("%s: %s of %+v gives %+v, lacks some of %+v", p.Name, name, *b, got, *want)
					}
				}
				for i := range w.size {
					want := noNumber
					for j := i; j < w.size; j++ {
						want.add(op.concrete(w.value(j)))
						b := anyBounds
						w.restrict(&b, w.value(i), w.value(j), w.value(i), w.value(j), p.Bounds32)
						p.syncNumber(&b)
						check(&b, &want)
					}
				}
				for mask := range uint64(w.size) {
					for v := range uint64(w.size) {
						if v&mask != 0 {
							continue
						}
						b := anyBounds
						b.tn = tnum.T{Value: v | w.first&^(1<<bits-1), Mask: mask}
						p.syncNumber(&b)
						want := noNumber
						for sub := mask; ; sub = (sub - 1) & mask {
							want.add(op.concrete(b.tn.Value | sub))
							if sub == 0 {
								break
							}
						}
						check(&b, &want)
					}
				}
			}
		}
	}
}

// TestSmallBranch tries every comparison on all pairs of small sets: what is decided is right, and narrowing keeps every value
// for which it comes out that way.
func TestSmallBranch(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	for _, p := range smallProfiles {
		decided, undecided := 0, 0
		eachPair(t, p, smallWidth(p), func(wa, wb *stretch, as, bs []small) {
			for cond := asm.Jeq; cond <= asm.Jsle; cond++ {
				for _, width := range []uint8{32, 64} {
					var holds [64]uint64 // for each first operand, the second ones
					for i := range wa.size {
						for j := range wb.size {
							if asm.Taken(cond, width, wa.value(i), wb.value(j)) {
								holds[i] |= 1 << j
							}
						}
					}
					for ai := range as {
						for bi := range bs {
							if smallBranch(t, p, cond, width, wa, wb, &as[ai], &bs[bi], holds[:wa.size]) {
								decided++
							} else {
								undecided++
							}
						}
					}
				}
			}
		})
		t.Logf("%s: %d comparisons decided, %d narrowed", p.Name, decided, undecided)
	}
}

func smallBranch(t *testing.T, p *Profile, cond asm.Cond, width uint8, wa, wb *stretch, a, b *small, holds []uint64) bool {
	t.Helper()
	var yes, no [2]uint64 // members of a and b for which it can hold, and not
	for i, with := range holds {
		if a.set>>i&1 == 0 {
			continue
		}
		if with&b.set != 0 {
			yes[0] |= 1 << i
			yes[1] |= with & b.set
		}
		if b.set&^with != 0 {
			no[0] |= 1 << i
			no[1] |= b.set &^ with
		}
	}
	switch o := p.decideNumbers(cond, width, &a.bounds, &b.bounds); {
	case o == always && no[0] != 0, o == never && yes[0] != 0:
		t.Fatalf("%s: cond %d, %d bits: %+v, %+v: decided %d", p.Name, cond, width, a.bounds, b.bounds, o)
	case o != unknown:
		return true
	}
	if !p.RegBounds && !b.bitsOf(width).IsConst() {
		return false // not narrowed, or only where they are equal: see Profile.narrows
	}
	for outcome, want := range [2][2]uint64{no, yes} {
		na, nb := a.bounds, b.bounds
		p.narrowNumbers(cond, outcome == 1, width, &na, &nb)
		if want[0]&^wa.members(&na) != 0 || want[1]&^wb.members(&nb) != 0 {
			t.Fatalf("%s: cond %d, %d bits, outcome %d: lost values\n a %+v\n-> %+v\n b %+v\n-> %+v", p.Name, cond, width, outcome,
				a.bounds, na, b.bounds, nb)
		}
	}
	return false
}

// TestSmallSame tries every comparison of a number with itself.
func TestSmallSame(t *testing.T) {
	p := Newest()
	for _, w := range stretches(*smallBits) {
		for _, a := range w.sets(t, p) {
			for cond := asm.Jeq; cond <= asm.Jsle; cond++ {
				for _, width := range []uint8{32, 64} {
					var want [2]uint64
					for i := range w.size {
						if a.set>>i&1 != 0 {
							v := w.value(i)
							want[btoi(asm.Taken(cond, width, v, v))] |= 1 << i
						}
					}
					o := p.decideNumbers(cond, width, &a.bounds, &a.bounds)
					if o == always && want[0] != 0 || o == never && want[1] != 0 {
						t.Fatalf("cond %d, %d bits: %+v with itself: decided %d", cond, width, a.bounds, o)
					}
					for outcome := range 2 {
						n := a.bounds
						if o == unknown {
							p.narrowNumbers(cond, outcome == 1, width, &n, &n)
						}
						if want[outcome]&^w.members(&n) != 0 {
							t.Fatalf("cond %d, %d bits, outcome %d: %+v with itself becomes %+v", cond, width, outcome, a.bounds, n)
						}
					}
				}
			}
		}
	}
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}

// TestSmallLinked tries what is learnt of a number that is linked to another with a constant between them.
func TestSmallLinked(t *testing.T) {
	if testing.Short() {
		t.Skip("exhaustive")
	}
	p := Newest()
	for _, w := range stretches(*smallBits) {
		for _, a := range w.sets(t, p) {
			for diff := int32(-5); diff <= 5; diff++ {
				for _, flag := range []regFlags{linkedAdd, linkedAdd32} {
					known := reg{typ: scalar, id: 1, bounds: a.bounds}
					r := reg{typ: scalar, id: 1, bounds: anyBounds, off: diff, flags: flag}
					r.follow(&known)
					for i := range w.size {
						v := w.value(i)
						if flag == linkedAdd32 {
							if v > math.MaxUint32 {
								continue // keepsLink refuses it
							}
							v = uint64(uint32(v) + uint32(diff))
						} else {
							v += uint64(int64(diff))
						}
						if a.set>>i&1 != 0 && !r.contains(v) {
							t.Fatalf("%+v plus %d (%v): %#x is not in %+v", a.bounds, diff, flag, v, r.bounds)
						}
					}
				}
			}
		}
	}
}

// TestSmallPointer tries sums and differences of a pointer's offset and a number.
func TestSmallPointer(t *testing.T) {
	for _, p := range smallProfiles {
		v := &verifier{profile: p}
		eachPair(t, p, 2, func(wa, wb *stretch, as, bs []small) {
			for ai := range as {
				for bi := range bs {
					a, b := &as[ai], &bs[bi]
					for _, op := range []asm.ALUOp{asm.Add, asm.Sub} {
						ptr := reg{typ: ptrMapValue, bounds: a.bounds, off: 16}
						off := reg{typ: scalar, bounds: b.bounds}
						if op == asm.Add {
							v.addPtr(&ptr, &off, off.isConst())
						} else {
							v.subPtr(&ptr, &off, off.isConst())
						}
						p.syncNumber(&ptr.bounds)
						for i := range wa.size {
							for j := range wb.size {
								at := 16 + asm.Eval(op, 64, wa.value(i), wb.value(j))
								if a.set>>i&1 != 0 && b.set>>j&1 != 0 && !ptr.contains(at-uint64(int64(ptr.off))) {
									t.Fatalf("%s: op %d of %+v+16 and %+v gives %+v%+d, lacks %#x", p.Name, op, a.bounds, b.bounds, ptr.bounds, ptr.off, at)
								}
							}
						}
					}
				}
			}
		})
	}
}
