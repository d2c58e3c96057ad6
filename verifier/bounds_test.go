package verifier

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/tnum"
)

// interesting are the values at which ranges break.
var interesting = []uint64{0, 1, 2, 7, 8, 31, 32, 63, 255, 256, 0x7fff, 0xffff, math.MaxInt32 - 1, math.MaxInt32, 1 << 31,
	1<<31 + 1, math.MaxUint32 - 1, math.MaxUint32, 1 << 32, 1<<32 + 1, math.MaxInt64 - 1, math.MaxInt64, 1 << 63, 1<<63 + 1,
	math.MaxUint64 - 1, math.MaxUint64, 0xffffffff_80000000, 0xffffffff_7fffffff, 0x00000001_80000000}

func someValue(r *rand.Rand) uint64 {
	switch r.IntN(4) {
	case 0:
		return r.Uint64()
	case 1:
		return r.Uint64() >> r.IntN(64)
	case 2:
		return interesting[r.IntN(len(interesting))] + r.Uint64N(5) - 2
	}
	return interesting[r.IntN(len(interesting))]
}

// someBounds makes synced bounds that hold v, and other values of it.
func someBounds(r *rand.Rand, v uint64) bounds {
	if r.IntN(8) == 0 {
		return constBounds(v)
	}
	b := anyBounds
	other := func() uint64 { return someValue(r) }
	if r.IntN(2) == 0 {
		x := other()
		b.umin, b.umax = min(v, x), max(v, x)
	}
	if r.IntN(3) == 0 {
		x := int64(other())
		b.smin, b.smax = min(int64(v), x), max(int64(v), x)
	}
	if r.IntN(3) == 0 {
		x := uint32(other())
		b.umin32, b.umax32 = min(uint32(v), x), max(uint32(v), x)
	}
	if r.IntN(3) == 0 {
		x := int32(other())
		b.smin32, b.smax32 = min(int32(v), x), max(int32(v), x)
	}
	if r.IntN(2) == 0 {
		mask := r.Uint64() | r.Uint64()
		b.tn = tnum.T{Value: v &^ mask, Mask: mask}
	}
	b.sync()
	return b
}

// someMember finds a value in b near the ends of its ranges, v when it finds none.
func someMember(r *rand.Rand, b *bounds, v uint64) uint64 {
	for range 4 {
		c := [...]uint64{b.umin, b.umax, uint64(b.smin), uint64(b.smax), b.tn.Value, b.tn.Max(), b.umin + r.Uint64N(9)}[r.IntN(7)]
		if b.contains(c) {
			return c
		}
	}
	return v
}

const rounds = 300_000

// TestSyncSound checks that tightening never loses a value.
func TestSyncSound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for range rounds {
		v := someValue(r)
		b := someBounds(r, v)
		if !b.contains(v) {
			t.Fatalf("%+v lost %#x", b, v)
		}
	}
}

// TestALUSound checks every operation of the domain against the reference semantics.
func TestALUSound(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range rounds {
		x, y := someValue(r), someValue(r)
		if r.IntN(2) == 0 {
			y &= 63
		}
		a, b := someBounds(r, x), someBounds(r, y)
		op := asm.ALUOp(r.IntN(int(asm.Arsh) + 1))
		if op == asm.Mov {
			continue
		}
		width := uint8(32 << r.IntN(2))
		x, y = someMember(r, &a, x), someMember(r, &b, y)
		got := a
		aluScalar(&got, op, &b, width)
		if want := asm.Eval(op, width, x, y); !got.contains(want) {
			t.Fatalf("op %d width %d: %#x in %+v, %#x in %+v gives %#x, not in %+v", op, width, x, a, y, b, want, got)
		}
	}
}

// TestCastSound checks truncation, zero extension and sign extension.
func TestCastSound(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range rounds {
		v := someValue(r)
		b := someBounds(r, v)
		v = someMember(r, &b, v)
		size := uint8(1 << r.IntN(4))
		check := func(name string, f func(*bounds), want uint64) {
			got := b
			f(&got)
			if !got.contains(want) {
				t.Fatalf("%s %d: %#x in %+v gives %#x, not in %+v", name, size, v, b, want, got)
			}
		}
		check("truncate", func(b *bounds) { b.truncate(size) }, v<<(64-8*size)>>(64-8*size))
		check("zext32", (*bounds).zext32, uint64(uint32(v)))
		check("signExtend", func(b *bounds) { b.signExtend(size) }, asm.SignExtend(v, size, 64))
		if size > 1 {
			check("le", func(b *bounds) { b.swap(asm.ToLE, size) }, asm.EvalSwap(asm.ToLE, size, v))
			check("be", func(b *bounds) { b.swap(asm.ToBE, size) }, asm.EvalSwap(asm.ToBE, size, v))
			check("bswap", func(b *bounds) { b.swap(asm.Bswap, size) }, asm.EvalSwap(asm.Bswap, size, v))
		}
		if size == 8 {
			continue
		}
		if size < 4 {
			check("signExtend32", func(b *bounds) { b.signExtend32(size) }, asm.SignExtend(v, size, 32))
		}
	}
}

// TestBranchSound checks that decisions are right and that narrowing keeps every value that takes the side.
func TestBranchSound(t *testing.T) {
	r := rand.New(rand.NewPCG(7, 8))
	for range rounds {
		x := someValue(r)
		y := x + r.Uint64N(5) - 2
		if r.IntN(2) == 0 {
			y = someValue(r)
		}
		a, b := someBounds(r, x), someBounds(r, y)
		x, y = someMember(r, &a, x), someMember(r, &b, y)
		cond := asm.Cond(r.IntN(int(asm.Jsle) + 1))
		width := uint8(32 << r.IntN(2))
		holds := asm.Taken(cond, width, x, y)
		switch o := decide(cond, width, &a, &b); {
		case o == always && !holds, o == never && holds:
			t.Fatalf("cond %d width %d: %#x in %+v, %#x in %+v: decided %d, is %v", cond, width, x, a, y, b, o, holds)
		case o == unknown:
			na, nb := a, b
			refine(cond, holds, width, &na, &nb)
			if !na.contains(x) || !nb.contains(y) {
				t.Fatalf("cond %d width %d %v: lost %#x or %#x\n a %+v\n-> %+v\n b %+v\n-> %+v", cond, width, holds, x, y, a, na, b, nb)
			}
			// Ranges may widen, where deduceMixed takes the low half's; bits are never forgotten.
			if !a.tn.In(na.tn) || !b.tn.In(nb.tn) {
				t.Fatalf("cond %d: narrowing forgot bits", cond)
			}
		}
	}
}

// TestWithin checks the order that pruning relies on.
func TestWithin(t *testing.T) {
	r := rand.New(rand.NewPCG(9, 10))
	for range rounds {
		v := someValue(r)
		a, b := someBounds(r, v), someBounds(r, v)
		if m := someMember(r, &b, v); b.within(&a) && !a.contains(m) {
			t.Fatalf("%+v is within %+v, but %#x is not", b, a, m)
		}
	}
}
