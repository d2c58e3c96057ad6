package jit

import (
	"math"
	"math/bits"
	"slices"

	"github.com/skepvm/skep/asm"
)

// This file follows what numbers registers can hold, so that addresses that need no masking get none and constants are
// known. It takes nothing from the verifier: what it finds follows from the instructions alone, in every way that control
// can take, and so a mistake of the verifier's cannot make machine code leave guest memory.

// span is an inclusive range of a register, as a signed number.
type span struct{ lo, hi int64 }

// everything is what is known of a register of which nothing is known.
var everything = span{math.MinInt64, math.MaxInt64}

// reach bounds the spans that are computed with: far from overflow, and far beyond any address.
const reach = 1 << 40

func (s span) within(lo, hi int64) bool { return lo <= s.lo && s.hi <= hi }

// kept is s, or everything when it is too wide to compute with.
func (s span) kept() span {
	if s.within(-reach, reach) {
		return s
	}
	return everything
}

func (s span) join(t span) span { return span{min(s.lo, t.lo), max(s.hi, t.hi)} }

// low is the span of the low n bits, n < 64, of a number in s.
func (s span) low(n uint8) span {
	if all := int64(1)<<n - 1; !s.within(0, all) {
		return span{0, all}
	}
	return s
}

// signed is the span of the low n bits as a signed number.
func (s span) signed(n uint8) span {
	if half := int64(1) << (n - 1); n < 64 && !s.within(-half, half-1) {
		return span{-half, half - 1}
	}
	return s
}

// constant tells the only number in s.
func (s span) constant() (int64, bool) { return s.lo, s.lo == s.hi }

// ranges has a span for each register.
type ranges [asm.NumRegs]span

// unknown is what is known where control comes from elsewhere: only that R10 is a guest address.
var unknown = func() (r ranges) {
	for i := range r {
		r[i] = everything
	}
	r[asm.R10] = span{0, math.MaxUint32}
	return r
}()

// atEntry is what is known at slot 0, which runs and tail calls go to: R1 is a guest address too.
var atEntry = func() ranges {
	r := unknown
	r[asm.R1] = span{0, math.MaxUint32}
	return r
}()

func (r *ranges) join(t *ranges) {
	for i := range r {
		r[i] = r[i].join(t[i])
	}
}

// after follows one instruction that is no ALU operation; next is the slot behind it.
func (r *ranges) after(in asm.Insn, info *asm.Info, next *asm.Insn) {
	switch info.Class {
	case asm.ClassALU: // see alu
	case asm.ClassStore, asm.ClassBranch, asm.ClassJump:
	case asm.ClassImm64:
		v := int64(asm.Imm64(in, *next))
		r[in.Dst] = span{v, v}.kept()
	case asm.ClassLoad, asm.ClassLoadAcq:
		r[in.Dst] = loaded(info)
	case asm.ClassMovsx:
		r[in.Dst] = r[in.Src].signed(8 * info.Size)
		if info.Width == 32 {
			r[in.Dst] = r[in.Dst].low(32)
		}
	case asm.ClassSwap:
		r[in.Dst] = everything
		if info.Size < 8 {
			r[in.Dst] = span{0, int64(1)<<(8*info.Size) - 1}
		}
	default:
		for w := info.Writes(in); w != 0; w &= w - 1 {
			r[bits.TrailingZeros16(uint16(w))] = everything
		}
	}
}

// loaded is what a load can give.
func loaded(info *asm.Info) span {
	switch {
	case info.Size == 8:
		return everything
	case info.Signed:
		return everything.signed(8 * info.Size)
	}
	return everything.low(8 * info.Size)
}

// alu is the result of an ALU operation.
func (r *ranges) alu(in asm.Insn, info *asm.Info) span {
	a, b := r[in.Dst], span{int64(in.Imm), int64(in.Imm)}
	if info.UseSrc {
		b = r[in.Src]
	}
	if info.Width == 64 {
		return result(info.ALU, a, b, 63).kept()
	}
	return result(info.ALU, a.low(32), b.low(32), 31).low(32)
}

// result is the span of a op b, everything when there is nothing better to say. Shift counts have the bits of mask.
func result(op asm.ALUOp, a, b span, mask int64) span {
	positive := a.lo >= 0
	count, fixed := b.constant()
	count &= mask
	switch {
	case op == asm.Mov:
		return b
	case op == asm.And && (positive || b.lo >= 0):
		return span{0, smallest(a, b)}
	case op == asm.Mod && fixed && b.lo > 0:
		return span{0, b.lo - 1}
	case !a.within(-reach, reach) || !b.within(-reach, reach):
	case op == asm.Add:
		return span{a.lo + b.lo, a.hi + b.hi}
	case op == asm.Sub:
		return span{a.lo - b.hi, a.hi - b.lo}
	case (op == asm.Or || op == asm.Xor) && positive && b.lo >= 0:
		return span{0, int64(1)<<bits.Len64(uint64(a.hi|b.hi)) - 1}
	case op == asm.Rsh && positive && fixed:
		return span{a.lo >> count, a.hi >> count}
	case op == asm.Lsh && positive && fixed && count < 20:
		return span{a.lo << count, a.hi << count}
	case op == asm.Mul && positive && fixed && b.within(0, 1<<20):
		return span{a.lo * b.lo, a.hi * b.lo}
	}
	return everything
}

// smallest is an upper bound of a & b when one of them at least is not negative.
func smallest(a, b span) int64 {
	switch {
	case a.lo < 0:
		return b.hi
	case b.lo < 0:
		return a.hi
	}
	return min(a.hi, b.hi)
}

// flow is where control is while code is generated from the first instruction to the last, and what is known there.
type flow struct {
	ranges
	falls   bool     // control can come from the instruction before
	open    []bool   // by slot: control may come from behind, or from anywhere
	arrived []int32  // by slot: index+1 of what forward jumps to it know, 0 for none
	known   []ranges // of all forward jumps so far
}

// reset makes f ready for a program of n slots.
func (f *flow) reset(n int) {
	f.open = slices.Grow(f.open[:0], n)[:n]
	f.arrived = slices.Grow(f.arrived[:0], n)[:n]
	clear(f.open)
	clear(f.arrived)
	f.known, f.falls = f.known[:0], false
}

// begin is the start of the block at pc.
func (f *flow) begin(pc int) {
	switch at := f.arrived[pc]; {
	case f.open[pc]:
		f.ranges = unknown
	case pc == 0:
		f.ranges = atEntry
	case at == 0 && f.falls:
	case at == 0: // nothing goes here
		f.ranges = unknown
	case f.falls:
		f.join(&f.known[at-1])
	default:
		f.ranges = f.known[at-1]
	}
	f.falls = true
}

// jumps notes a jump forward to that slot.
func (f *flow) jumps(to int) {
	if f.open[to] {
		return
	}
	if at := f.arrived[to]; at != 0 {
		f.known[at-1].join(&f.ranges)
		return
	}
	f.known = append(f.known, f.ranges)
	f.arrived[to] = int32(len(f.known))
}
