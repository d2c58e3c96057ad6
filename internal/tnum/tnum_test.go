package tnum

import (
	"math/bits"
	"testing"
)

// small lists every tristate number of width bits, moved left by shift.
func small(width, shift uint) []T {
	var all []T
	for mask := uint64(0); mask < 1<<width; mask++ {
		for v := uint64(0); v < 1<<width; v++ {
			if v&mask == 0 {
				all = append(all, T{v << shift, mask << shift})
			}
		}
	}
	return all
}

// members calls f with every value in a.
func members(a T, f func(uint64)) {
	for sub := a.Mask; ; sub = (sub - 1) & a.Mask {
		f(a.Value | sub)
		if sub == 0 {
			return
		}
	}
}

var binary = []struct {
	name     string
	abstract func(a, b T) T
	concrete func(x, y uint64) uint64
}{
	{"add", T.Add, func(x, y uint64) uint64 { return x + y }},
	{"sub", T.Sub, func(x, y uint64) uint64 { return x - y }},
	{"mul", T.Mul, func(x, y uint64) uint64 { return x * y }},
	{"and", T.And, func(x, y uint64) uint64 { return x & y }},
	{"or", T.Or, func(x, y uint64) uint64 { return x | y }},
	{"xor", T.Xor, func(x, y uint64) uint64 { return x ^ y }},
	{"withsubreg", T.WithSubreg, func(x, y uint64) uint64 { return x&^0xffffffff | y&0xffffffff }},
	{"union left", T.Union, func(x, _ uint64) uint64 { return x }},
	{"union right", T.Union, func(_, y uint64) uint64 { return y }},
}

// TestBinary proves soundness on all pairs of 4-bit tristate numbers, at the bottom, across the 32-bit border and at
// the top of the word.
func TestBinary(t *testing.T) {
	for _, op := range binary {
		for _, shift := range []uint{0, 30, 60} {
			for _, a := range small(4, shift) {
				for _, b := range small(4, shift) {
					got := op.abstract(a, b)
					if got.Value&got.Mask != 0 {
						t.Fatalf("%s(%v, %v) = %v: value and mask overlap", op.name, a, b, got)
					}
					members(a, func(x uint64) {
						members(b, func(y uint64) {
							if want := op.concrete(x, y); !got.Contains(want) {
								t.Fatalf("%s(%v, %v) = %v lacks %#x (of %#x, %#x)", op.name, a, b, got, want, x, y)
							}
						})
					})
				}
			}
		}
	}
}

func TestUnary(t *testing.T) {
	for _, shift := range []uint{0, 29, 59} {
		for _, a := range small(5, shift) {
			check := func(name string, got T, want func(x uint64) uint64) {
				members(a, func(x uint64) {
					if !got.Contains(want(x)) {
						t.Fatalf("%s(%v) = %v lacks %#x", name, a, got, want(x))
					}
				})
			}
			check("neg", a.Neg(), func(x uint64) uint64 { return -x })
			check("subreg", a.Subreg(), func(x uint64) uint64 { return uint64(uint32(x)) })
			check("clearsubreg", a.ClearSubreg(), func(x uint64) uint64 { return x &^ 0xffffffff })
			for _, size := range []uint8{1, 2, 4, 8} {
				check("cast", a.Cast(size), func(x uint64) uint64 { return x << (64 - size*8) >> (64 - size*8) })
			}
			for n := uint8(0); n < 64; n++ {
				check("lsh", a.Lsh(n), func(x uint64) uint64 { return x << n })
				check("rsh", a.Rsh(n), func(x uint64) uint64 { return x >> n })
				check("arsh64", a.Arsh(n, 64), func(x uint64) uint64 { return uint64(int64(x) >> n) })
				if n < 32 {
					check("arsh32", a.Arsh(n, 32), func(x uint64) uint64 { return uint64(uint32(int32(x) >> n)) })
				}
			}
		}
	}
}

func TestIntersect(t *testing.T) {
	for _, a := range small(4, 0) {
		for _, b := range small(4, 0) {
			var common []uint64
			members(a, func(x uint64) {
				if b.Contains(x) {
					common = append(common, x)
				}
			})
			if a.Disjoint(b) != (len(common) == 0) {
				t.Fatalf("Disjoint(%v, %v) = %v, common %v", a, b, a.Disjoint(b), common)
			}
			got := a.Intersect(b)
			for _, x := range common {
				if !got.Contains(x) {
					t.Fatalf("Intersect(%v, %v) = %v lacks %#x", a, b, got, x)
				}
			}
			if len(common) > 0 && len(common) != 1<<bits.OnesCount64(got.Mask) {
				t.Fatalf("Intersect(%v, %v) = %v is not exact: %v", a, b, got, common)
			}
		}
	}
}

func TestPredicates(t *testing.T) {
	for _, a := range small(4, 0) {
		for _, b := range small(4, 0) {
			subset := true
			members(b, func(x uint64) { subset = subset && a.Contains(x) })
			if a.In(b) != subset {
				t.Fatalf("In(%v, %v) = %v", a, b, a.In(b))
			}
		}
		for _, size := range []uint64{0, 1, 2, 4, 8} {
			aligned := true
			members(a, func(x uint64) { aligned = aligned && (size == 0 || x%size == 0) })
			if a.Aligned(size) != aligned {
				t.Fatalf("Aligned(%v, %d) = %v", a, size, a.Aligned(size))
			}
		}
		var low, high uint64 = ^uint64(0), 0
		members(a, func(x uint64) { low, high = min(low, x), max(high, x) })
		if low != a.Value || high != a.Max() {
			t.Fatalf("%v: min %#x max %#x", a, low, high)
		}
	}
}

func TestRange(t *testing.T) {
	for _, shift := range []uint{0, 30, 60} {
		for lo := uint64(0); lo < 16; lo++ {
			for hi := lo; hi < 16; hi++ {
				a, b := lo<<shift, hi<<shift
				got := Range(a, b)
				for x := lo; x <= hi; x++ {
					if !got.Contains(x << shift) {
						t.Fatalf("Range(%#x, %#x) = %v lacks %#x", a, b, got, x<<shift)
					}
				}
			}
		}
	}
	if Range(5, 5) != Const(5) || Range(6, 1) != (T{0, 7}) || Range(0, ^uint64(0)) != Unknown {
		t.Fatal("special ranges")
	}
}

func TestString(t *testing.T) {
	for want, a := range map[string]T{"(0x10; 0xf)": {0x10, 0xf}, "14": Const(14), "0x10000": Const(0x10000)} {
		if got := a.String(); got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}
