// Package tnum is the tristate number: a 64-bit value of which each bit is known to be 0, known to be 1, or unknown.
//
// It is the bit-level half of the verifier's scalar domain (the other half is ranges). Every operation is sound: when x
// is in a and y is in b, then op(x, y) is in Op(a, b). The tests prove that exhaustively at small widths.
package tnum

import (
	"fmt"
	"math/bits"
)

// T is a set of 64-bit values: x is in it when x agrees with Value in every bit that Mask leaves clear.
// Value and Mask never share a bit.
type T struct{ Value, Mask uint64 }

// Unknown holds every value.
var Unknown = T{0, ^uint64(0)}

// Const holds v alone.
func Const(v uint64) T { return T{v, 0} }

// Range is the smallest tristate number that holds all of [min, max] (unsigned). With min > max it is that of the bits
// that both begin with, as in the kernel (tnum_range).
func Range(min, max uint64) T {
	n := bits.Len64(min ^ max)
	if n > 63 {
		return Unknown
	}
	low := uint64(1)<<n - 1
	return T{min &^ low, low}
}

// IsConst reports whether a holds exactly one value.
func (a T) IsConst() bool { return a.Mask == 0 }

// IsUnknown reports whether no bit of a is known.
func (a T) IsUnknown() bool { return a.Mask == ^uint64(0) }

// Equals reports whether a holds exactly v.
func (a T) Equals(v uint64) bool { return a.Mask == 0 && a.Value == v }

// Contains reports whether v is in a.
func (a T) Contains(v uint64) bool { return v&^a.Mask == a.Value }

// In reports whether every value of b is in a.
func (a T) In(b T) bool { return b.Mask&^a.Mask == 0 && b.Value&^a.Mask == a.Value }

// Max is the largest value in a, unsigned; Min is a.Value.
func (a T) Max() uint64 { return a.Value | a.Mask }

// Next is the smallest value in a that is larger than z; a.Max() when there is none (kernel: tnum_step).
func (a T) Next(z uint64) uint64 {
	switch {
	case z >= a.Max():
		return a.Max()
	case z < a.Value:
		return a.Value
	}
	low := uint64(0) // bits of z that must not be kept: from its highest wrong known bit down
	if wrong := (z ^ a.Value) &^ a.Mask; wrong != 0 {
		low = ^uint64(0) >> bits.LeadingZeros64(wrong)
		if a.Value&(low^low>>1) != 0 { // that bit must be 1: any value with it is larger
			return a.Value | z&a.Mask&^low
		}
	}
	// Count up in the unknown bits above: the carry runs through the others when they are 1.
	return a.Value | ((z|^a.Mask|low)+1)&a.Mask
}

// Aligned reports whether every value in a is a multiple of size, a power of two. Size 0 is always fine.
func (a T) Aligned(size uint64) bool { return size == 0 || (a.Value|a.Mask)&(size-1) == 0 }

// Add is a + b.
func (a T) Add(b T) T {
	sm := a.Mask + b.Mask
	sv := a.Value + b.Value
	// A bit is unknown when it is in an operand, or when a carry into it depends on an unknown bit.
	mu := ((sm + sv) ^ sv) | a.Mask | b.Mask
	return T{sv &^ mu, mu}
}

// Sub is a - b.
func (a T) Sub(b T) T {
	dv := a.Value - b.Value
	mu := ((dv + a.Mask) ^ (dv - b.Mask)) | a.Mask | b.Mask
	return T{dv &^ mu, mu}
}

// Neg is -a.
func (a T) Neg() T { return Const(0).Sub(a) }

// And is a & b.
func (a T) And(b T) T {
	v := a.Value & b.Value
	return T{v, (a.Value | a.Mask) & (b.Value | b.Mask) &^ v}
}

// Or is a | b.
func (a T) Or(b T) T {
	v := a.Value | b.Value
	return T{v, (a.Mask | b.Mask) &^ v}
}

// Xor is a ^ b.
func (a T) Xor(b T) T {
	mu := a.Mask | b.Mask
	return T{(a.Value ^ b.Value) &^ mu, mu}
}

// Mul is a * b: long multiplication in which an unknown bit of a contributes nothing or b.
func (a T) Mul(b T) T {
	if a.Mask == 0 && b.Mask == 0 {
		return Const(a.Value * b.Value)
	}
	acc := Const(0)
	for a.Value|a.Mask != 0 {
		switch {
		case a.Value&1 != 0:
			acc = acc.Add(b)
		case a.Mask&1 != 0:
			acc = acc.Union(acc.Add(b))
		}
		a = a.Rsh(1)
		b = b.Lsh(1)
	}
	return acc
}

// Lsh is a << n, n below 64.
func (a T) Lsh(n uint8) T { return T{a.Value << n, a.Mask << n} }

// Rsh is a >> n without sign, n below 64.
func (a T) Rsh(n uint8) T { return T{a.Value >> n, a.Mask >> n} }

// Arsh is a >> n with sign, of the low width bits (32 or 64); a 32-bit result is zero-extended.
func (a T) Arsh(n, width uint8) T {
	if width == 32 {
		return T{uint64(uint32(int32(a.Value) >> n)), uint64(uint32(int32(a.Mask) >> n))}
	}
	return T{uint64(int64(a.Value) >> n), uint64(int64(a.Mask) >> n)}
}

// Intersect holds the values that are in both. When there are none the result means nothing: test with Disjoint.
func (a T) Intersect(b T) T {
	mu := a.Mask & b.Mask
	return T{(a.Value | b.Value) &^ mu, mu}
}

// Disjoint reports whether no value is in both: some bit is known in both and differs.
func (a T) Disjoint(b T) bool { return (a.Value^b.Value)&^(a.Mask|b.Mask) != 0 }

// Union holds the values of both, and perhaps more.
func (a T) Union(b T) T {
	mu := a.Mask | b.Mask | (a.Value ^ b.Value)
	return T{a.Value & b.Value &^ mu, mu}
}

// Cast keeps the low size bytes and zeroes the rest.
func (a T) Cast(size uint8) T {
	if size >= 8 {
		return a
	}
	low := uint64(1)<<(size*8) - 1
	return T{a.Value & low, a.Mask & low}
}

// Subreg is the low 32 bits, zero-extended.
func (a T) Subreg() T { return a.Cast(4) }

// ClearSubreg zeroes the low 32 bits.
func (a T) ClearSubreg() T { return T{a.Value &^ 0xffffffff, a.Mask &^ 0xffffffff} }

// WithSubreg takes the low 32 bits from sub and the rest from a.
func (a T) WithSubreg(sub T) T { return a.ClearSubreg().Or(sub.Subreg()) }

// String is the kernel's notation (tnum_strn): (0xVALUE; 0xMASK), or a number when every bit is known.
func (a T) String() string {
	switch {
	case a.Mask != 0:
		return fmt.Sprintf("(%#x; %#x)", a.Value, a.Mask)
	case a.Value <= 0xffff:
		return fmt.Sprintf("%d", a.Value)
	}
	return fmt.Sprintf("%#x", a.Value)
}
