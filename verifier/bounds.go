package verifier

import (
	"math"

	"github.com/skepvm/skep/internal/tnum"
)

// bounds is the set of values that a 64-bit scalar may have (or the variable part of a pointer's offset): the
// intersection of a tristate number and of four ranges, which view the value as unsigned and signed, and all of it or
// its low 32 bits. After sync the parts know of each other. (Kernel: the value part of struct bpf_reg_state.)
type bounds struct {
	tn         tnum.T
	umin, umax uint64
	smin, smax int64

	umin32, umax32 uint32
	smin32, smax32 int32
}

// anyBounds is every value.
var anyBounds = bounds{tnum.Unknown, 0, math.MaxUint64, math.MinInt64, math.MaxInt64, 0, math.MaxUint32, math.MinInt32, math.MaxInt32}

// constBounds is v alone.
func constBounds(v uint64) bounds {
	return bounds{tnum.Const(v), v, v, int64(v), int64(v), uint32(v), uint32(v), int32(v), int32(v)}
}

// isConst reports whether b is one value, which is b.tn.Value.
func (b *bounds) isConst() bool { return b.tn.Mask == 0 }

// const32 reports whether the low 32 bits are known; they are uint32(b.tn.Value).
func (b *bounds) const32() bool { return uint32(b.tn.Mask) == 0 }

func (b *bounds) unbound64() {
	b.umin, b.umax, b.smin, b.smax = 0, math.MaxUint64, math.MinInt64, math.MaxInt64
}

func (b *bounds) unbound32() {
	b.umin32, b.umax32, b.smin32, b.smax32 = 0, math.MaxUint32, math.MinInt32, math.MaxInt32
}

// known32 says that the low half is v; what is known of the rest stays.
func (b *bounds) known32(v uint32) {
	b.tn = b.tn.WithSubreg(tnum.Const(uint64(v)))
	b.umin32, b.umax32, b.smin32, b.smax32 = v, v, int32(v), int32(v)
}

// unbounded reports whether no range says anything.
func (b *bounds) unbounded() bool {
	return b.umin == 0 && b.umax == math.MaxUint64 && b.smin == math.MinInt64 && b.smax == math.MaxInt64 &&
		b.umin32 == 0 && b.umax32 == math.MaxUint32 && b.smin32 == math.MinInt32 && b.smax32 == math.MaxInt32
}

// empty reports whether no value fits: the path that led here cannot be taken.
func (b *bounds) empty() bool {
	return b.umin > b.umax || b.smin > b.smax || b.umin32 > b.umax32 || b.smin32 > b.smax32
}

// contains reports whether v is in b. For tests.
func (b *bounds) contains(v uint64) bool {
	return b.tn.Contains(v) && v >= b.umin && v <= b.umax && int64(v) >= b.smin && int64(v) <= b.smax &&
		uint32(v) >= b.umin32 && uint32(v) <= b.umax32 && int32(v) >= b.smin32 && int32(v) <= b.smax32
}

// within reports whether every value of b is in old (kernel: range_within and tnum_in).
func (b *bounds) within(old *bounds) bool {
	return old.umin <= b.umin && old.umax >= b.umax && old.smin <= b.smin && old.smax >= b.smax &&
		old.umin32 <= b.umin32 && old.umax32 >= b.umax32 && old.smin32 <= b.smin32 && old.smax32 >= b.smax32 &&
		old.tn.In(b.tn)
}

// sync makes every part of b as tight as the other parts allow (kernel: reg_bounds_sync).
func (b *bounds) sync() {
	if b.tn.Mask == 0 && b.umin == b.tn.Value && b.umax == b.tn.Value && b.smin == int64(b.umin) && b.smax == b.smin &&
		b.umin32 == uint32(b.umin) && b.umax32 == b.umin32 && b.smin32 == int32(b.umin32) && b.smax32 == b.smin32 {
		return
	}
	b.rangesFromBits()
	for range 3 {
		b.deduce32()
		b.deduce64()
		b.deduceMixed()
	}
	b.bitsFromRanges()
	b.rangesFromBits()
}

// rangesFromBits narrows the ranges to what the known bits allow (kernel: __update_reg_bounds).
func (b *bounds) rangesFromBits() {
	b.clampToBits()
	if mask := b.tn.Mask; mask&(mask+1) != 0 || b.umin >= b.umax { // else the bits are a range, and more than one value of it is left
		b.single()
	}
}

// clampToBits moves the ends of the ranges to what the known bits allow.
func (b *bounds) clampToBits() {
	lo, mask := b.tn.Value, b.tn.Mask
	const sign64, sign32 = uint64(1) << 63, uint32(1) << 31
	lo32, mask32 := uint32(lo), uint32(mask)
	b.umin32, b.umax32 = max(b.umin32, lo32), min(b.umax32, lo32|mask32)
	b.smin32 = max(b.smin32, int32(lo32|mask32&sign32))
	b.smax32 = min(b.smax32, int32(lo32|mask32&^sign32))
	b.umin, b.umax = max(b.umin, lo), min(b.umax, lo|mask)
	b.smin = max(b.smin, int64(lo|mask&sign64))
	b.smax = min(b.smax, int64(lo|mask&^sign64))
}

// single makes b the one value that is in the unsigned range and has the known bits, when there is one. With bounds that
// contradict each other the outcome is the kernel's too.
func (b *bounds) single() {
	next := b.tn.Next(b.umin)
	switch {
	case b.tn.Contains(b.umin):
		if next > b.umax {
			*b = constBounds(b.umin)
		}
	case next == b.tn.Max(), next <= b.umax && b.tn.Next(next) > b.umax:
		*b = constBounds(next)
	}
}

// deduce32 narrows the 32-bit ranges with the 64-bit ones and with each other (kernel: __reg32_deduce_bounds).
func (b *bounds) deduce32() {
	b.lowOf(b.umin, b.umax)
	b.lowOf(uint64(b.smin), uint64(b.smax))
	if int32(b.umin32) <= int32(b.umax32) { // the unsigned range doesn't cross the sign border
		b.smin32 = max(b.smin32, int32(b.umin32))
		b.smax32 = min(b.smax32, int32(b.umax32))
	}
	switch {
	case uint32(b.smin32) <= uint32(b.smax32): // the signed range doesn't cross zero
		b.umin32 = max(b.umin32, uint32(b.smin32))
		b.umax32 = min(b.umax32, uint32(b.smax32))
	case b.umax32 < uint32(b.smin32): // it does, and the unsigned range meets only its part from zero up
		b.smin32 = int32(b.umin32)
		b.umax32 = min(b.umax32, uint32(b.smax32))
	case uint32(b.smax32) < b.umin32: // … only its negative part
		b.smax32 = int32(b.umax32)
		b.umin32 = max(b.umin32, uint32(b.smin32))
	}
}

// lowOf narrows the 32-bit ranges given that the whole value runs from lo to hi, in steps of one (wrapping for a
// signed range).
func (b *bounds) lowOf(lo, hi uint64) {
	lo32, hi32 := uint32(lo), uint32(hi)
	switch {
	case lo>>32 == hi>>32: // the upper halves agree: the low half runs from lo32 to hi32
		if lo32 <= hi32 {
			b.umin32, b.umax32 = max(b.umin32, lo32), min(b.umax32, hi32)
		}
		if int32(lo32) <= int32(hi32) {
			b.smin32, b.smax32 = max(b.smin32, int32(lo32)), min(b.smax32, int32(hi32))
		}
	case uint32(lo>>32)+1 == uint32(hi>>32) && int32(lo32) < 0 && int32(hi32) >= 0:
		// One step of the upper half: the low half runs from negative lo32 over zero to hi32.
		b.smin32, b.smax32 = max(b.smin32, int32(lo32)), min(b.smax32, int32(hi32))
	}
}

// deduce64 narrows the unsigned and the signed 64-bit range with each other (kernel: __reg64_deduce_bounds).
func (b *bounds) deduce64() {
	if int64(b.umin) <= int64(b.umax) {
		b.smin, b.smax = max(b.smin, int64(b.umin)), min(b.smax, int64(b.umax))
	}
	switch {
	case uint64(b.smin) <= uint64(b.smax):
		b.umin, b.umax = max(b.umin, uint64(b.smin)), min(b.umax, uint64(b.smax))
	case b.umax < uint64(b.smin): // signed crosses zero, and the unsigned range meets only its part from zero up
		b.smin = int64(b.umin)
		b.umax = min(b.umax, uint64(b.smax))
	case uint64(b.smax) < b.umin: // … only its negative part
		b.smax = int64(b.umax)
		b.umin = max(b.umin, uint64(b.smin))
	}
}

// deduceMixed narrows the 64-bit ranges with the 32-bit ones (kernel: __reg_deduce_mixed_bounds).
func (b *bounds) deduceMixed() {
	const high = uint64(0xffffffff_00000000)
	b.umin = max(b.umin, b.umin&high|uint64(b.umin32))
	b.umax = min(b.umax, b.umax&high|uint64(b.umax32))
	b.smin = max(b.smin, int64(uint64(b.smin)&high|uint64(b.umin32)))
	b.smax = min(b.smax, int64(uint64(b.smax)&high|uint64(b.umax32)))
	// The value is the sign extension of its low half. The kernel uses that only where the low half is not negative, and
	// then takes the low half's range in place of the others, though they may be tighter.
	if b.smin32 >= 0 && b.smin >= math.MinInt32 && b.smax <= math.MaxInt32 {
		b.smin, b.smax = int64(b.smin32), int64(b.smax32)
		b.umin, b.umax = uint64(b.smin), uint64(b.smax)
		b.tn = b.tn.Intersect(tnum.Range(b.umin, b.umax))
	}
}

// bitsFromRanges narrows the known bits to what the unsigned ranges allow (kernel: __reg_bound_offset).
func (b *bounds) bitsFromRanges() {
	t := b.tn.Intersect(tnum.Range(b.umin, b.umax))
	low := t.Subreg().Intersect(tnum.Range(uint64(b.umin32), uint64(b.umax32)))
	b.tn = t.WithSubreg(low)
}

// check forgets the ranges when they contradict each other or the bits: no value is left, so what runs can't be here, and
// the kernel too goes on with what the bits say (reg_bounds_sanity_check).
func (b *bounds) check() {
	if b.empty() || b.const32() && b.off32() || b.isConst() && b.off64() {
		b.unbound64()
		b.unbound32()
	}
}

// off64 and off32 report whether the ranges are something else than the one value of the bits.
func (b *bounds) off64() bool {
	v := b.tn.Value
	return b.umin != v || b.umax != v || b.smin != int64(v) || b.smax != int64(v)
}

func (b *bounds) off32() bool {
	v := uint32(b.tn.Value)
	return b.umin32 != v || b.umax32 != v || b.smin32 != int32(v) || b.smax32 != int32(v)
}

// broken reports whether b is what check leaves of a contradiction: one value by its bits, any by its ranges.
func (b *bounds) broken() bool { return b.isConst() && (b.smin != b.smax || b.umin != b.umax) }

// zext32 keeps the low 32 bits and zeroes the rest (kernel: zext_32_to_64).
func (b *bounds) zext32() {
	b.tn = b.tn.Subreg()
	b.umin, b.umax = uint64(b.umin32), uint64(b.umax32)
	b.smin, b.smax = 0, math.MaxUint32
	if b.smin32 >= 0 && b.smax32 >= 0 {
		b.smin, b.smax = int64(b.smin32), int64(b.smax32)
	}
	b.sync()
}

// truncate keeps the low size bytes and zeroes the rest (kernel: coerce_reg_to_size).
func (b *bounds) truncate(size uint8) {
	if size >= 8 {
		return
	}
	b.cutBits(size)
	if size < 4 {
		b.unbound32()
	}
	b.sync()
}

// cutBits keeps the low size bytes (1, 2, 4) in the bits and in the 64-bit ranges.
func (b *bounds) cutBits(size uint8) {
	low := uint64(1)<<(size*8) - 1
	b.tn = b.tn.Cast(size)
	if b.umin&^low == b.umax&^low {
		b.umin, b.umax = b.umin&low, b.umax&low
	} else {
		b.umin, b.umax = 0, low
	}
	b.smin, b.smax = int64(b.umin), int64(b.umax)
}

// signExtend makes the low size bytes (1, 2, 4) the whole value, with sign (kernel: coerce_reg_to_size_sx). Known bits are
// forgotten, as the kernel does.
func (b *bounds) signExtend(size uint8) {
	if size >= 8 {
		return
	}
	n := 64 - size*8
	ext := func(v uint64) int64 { return int64(v<<n) >> n }
	if b.isConst() {
		*b = constBounds(uint64(ext(b.tn.Value)))
		return
	}
	*b = signExtended(b.smin, b.smax, size)
}

// signExtended is the low size bytes of a value from smin to smax, with sign. The kernel leaves it unsynced.
func signExtended(smin, smax int64, size uint8) bounds {
	n := 64 - size*8
	// Where the bits above the kept ones never change, the kept ones run from the one end to the other.
	if a, z := smin<<n>>n, smax<<n>>n; smin>>(size*8) == smax>>(size*8) && (a < 0) == (z < 0) {
		a, z = min(a, z), max(a, z)
		return bounds{tnum.Range(uint64(a), uint64(z)), uint64(a), uint64(z), a, z, uint32(a), uint32(z), int32(a), int32(z)}
	}
	b := anyBounds
	b.smin, b.smax = math.MinInt64>>n, math.MaxInt64>>n
	b.smin32, b.smax32 = int32(b.smin), int32(b.smax)
	return b
}

// signExtend32 sign-extends the low size bytes (1, 2) to 32 bits and zeroes the rest (kernel: coerce_subreg_to_size_sx).
func (b *bounds) signExtend32(size uint8) {
	n := 32 - size*8
	if b.isConst() {
		*b = constBounds(uint64(uint32(int32(uint32(b.tn.Value)<<n) >> n)))
		return
	}
	*b = signExtended(int64(b.smin32), int64(b.smax32), size)
	b.zext32()
}
