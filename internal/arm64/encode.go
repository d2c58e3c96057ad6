// Package arm64 encodes A64 instructions: a table with one row an instruction form, and an assembler with
// labels that makes every jump as short as it can be. It is pure and runs on every architecture.
package arm64

import (
	"encoding/binary"
	"math/bits"
)

// Reg is a general register with the processor's number.
type Reg uint8

// The registers. Number 31 is the stack pointer as a base and in RRI's additions (but not as the destination of those
// that set the flags), and zero everywhere else.
const (
	X0 Reg = iota
	X1
	X2
	X3
	X4
	X5
	X6
	X7
	X8
	X9
	X10
	X11
	X12
	X13
	X14
	X15
	X16
	X17
	X18
	X19
	X20
	X21
	X22
	X23
	X24
	X25
	X26
	X27
	X28
	X29
	X30
	ZR
	None Reg = 0xff // no index in a Mem

	SP = ZR // where the stack pointer is meant
)

// Width is the operand size of a form: W is 32 bits (and clears the upper half of a destination register), X 64.
type Width bool

// The widths.
const (
	W Width = false
	X Width = true
)

// Mem is the memory operand [Base, #Disp], or [Base, Index] with Disp 0: all of Index, or its lower half with zeros
// above when Half is set.
type Mem struct {
	Base, Index Reg
	Half        bool
	Disp        int32
}

// At is the memory operand [base, #disp].
func At(base Reg, disp int32) Mem { return Mem{Base: base, Index: None, Disp: disp} }

// Indexed is the memory operand [base, index].
func Indexed(base, index Reg) Mem { return Mem{Base: base, Index: index} }

// IndexedHalf is the memory operand [base, windex, uxtw].
func IndexedHalf(base, index Reg) Mem { return Mem{Base: base, Index: index, Half: true} }

// FitsArith reports whether v can be the immediate of an addition or subtraction: 12 bits, or 12 bits shifted by 12.
func FitsArith(v uint64) bool { return v&^0xfff == 0 || v&^0xfff000 == 0 }

// FitsUnscaled reports whether any load and store takes the displacement v, whatever its size.
func FitsUnscaled(v int32) bool { return -256 <= v && v < 256 }

// FitsLogic reports whether v, cut to w, can be the immediate of and, orr, eor and ands: a run of ones, rotated, in an
// element of 2, 4, 8, 16, 32 or 64 bits that is repeated.
func FitsLogic(w Width, v uint64) bool {
	_, ok := logicImm(w, v)
	return ok
}

// RRR emits "op rd, rn, rm".
func (a *Asm) RRR(op Op, w Width, rd, rn, rm Reg) {
	a.word(op.mustBe(shapeRRR).at(w) | regs(rd, rn) | field(rm, 16))
}

// RRRR emits "op rd, rn, rm, ra".
func (a *Asm) RRRR(op Op, w Width, rd, rn, rm, ra Reg) {
	a.word(op.mustBe(shapeRRRR).at(w) | regs(rd, rn) | field(rm, 16) | field(ra, 10))
}

// RR emits "op rd, rn".
func (a *Asm) RR(op Op, w Width, rd, rn Reg) {
	a.word(op.mustBe(shapeRR).at(w) | regs(rd, rn))
}

// RRI emits "op rd, rn, #imm"; imm must satisfy FitsArith or FitsLogic.
func (a *Asm) RRI(op Op, w Width, rd, rn Reg, imm uint64) {
	f := op.mustBe(shapeArith, shapeLogic)
	code, ok := arithImm(imm)
	if f.shape == shapeLogic {
		code, ok = logicImm(w, imm)
	}
	if !ok {
		panic("arm64: immediate of " + f.name)
	}
	a.word(f.at(w) | regs(rd, rn) | code)
}

// Wide emits "op rd, #imm, lsl #16*place"; places 2 and 3 are there in X only.
func (a *Asm) Wide(op Op, w Width, rd Reg, imm uint16, place uint8) {
	f := op.mustBe(shapeWide)
	if place > 3 || place > 1 && w == W {
		panic("arm64: place of " + f.name)
	}
	a.word(f.at(w) | regs(rd, 0) | uint32(imm)<<5 | uint32(place)<<21)
}

// Field emits "op rd, rn, #immr, #imms".
func (a *Asm) Field(op Op, w Width, rd, rn Reg, immr, imms uint8) {
	f := op.mustBe(shapeField)
	if immr|imms > 63 || w == W && immr|imms > 31 {
		panic("arm64: bit number of " + f.name)
	}
	a.word(f.at(w) | regs(rd, rn) | uint32(immr)<<16 | uint32(imms)<<10)
}

// RM emits "op rt, m".
func (a *Asm) RM(op Op, rt Reg, m Mem) {
	f := op.mustBe(shapeMem)
	code, ok := m.encode(f.word >> 30)
	if !ok {
		panic("arm64: displacement of " + f.name)
	}
	a.word(f.word | field(rt, 0) | code)
}

// Pair emits "stp rt, rt2, [base, #disp]", the same with "!", or "ldp rt, rt2, [base], #disp".
func (a *Asm) Pair(op Op, rt, rt2, base Reg, disp int32) {
	f := op.mustBe(shapePair)
	if disp%8 != 0 || disp < -512 || disp > 504 {
		panic("arm64: displacement of " + f.name)
	}
	a.word(f.word | regs(rt, base) | field(rt2, 10) | uint32(disp/8)&0x7f<<15)
}

// ExLoad emits "op rt, [base]".
func (a *Asm) ExLoad(op Op, w Width, rt, base Reg) {
	a.word(op.mustBe(shapeExLoad).at(w) | regs(rt, base))
}

// ExStore emits "op status, rt, [base]". status must be neither of the others.
func (a *Asm) ExStore(op Op, w Width, status, rt, base Reg) {
	a.word(op.mustBe(shapeExStore).at(w) | regs(rt, base) | field(status, 16))
}

// Atomic emits "op rs, rt, [base]": rs is the operand, or what casal expects and where it puts the old value; rt gets the
// old value, or is what casal stores.
func (a *Asm) Atomic(op Op, w Width, rs, rt, base Reg) {
	a.word(op.mustBe(shapeAtomic).at(w) | regs(rt, base) | field(rs, 16))
}

// R emits "op rn".
func (a *Asm) R(op Op, rn Reg) { a.word(op.mustBe(shapeBranch).word | regs(0, rn)) }

// Z emits an instruction without operands.
func (a *Asm) Z(op Op) { a.word(op.mustBe(shapeNone).word) }

// Mov emits "mov rd, rm".
func (a *Asm) Mov(w Width, rd, rm Reg) { a.RRR(OrrR, w, rd, ZR, rm) }

// Imm emits the fewest instructions that put v into rd: one of movz, movn and orr, then movk for each other 16 bits.
func (a *Asm) Imm(rd Reg, v uint64) {
	w, n := W, 2
	if v>>32 != 0 {
		w, n = X, 4
	}
	zeros, ones := 0, 0 // parts of 16 bits
	for place := range n {
		switch uint16(v >> (16 * place)) {
		case 0:
			zeros++
		case 0xffff:
			ones++
		}
	}
	op, flip := MovzI, uint16(0)
	if ones > zeros {
		op, flip = MovnI, 0xffff
	}
	switch {
	case max(zeros, ones) == n:
		a.Wide(op, w, rd, 0, 0)
		return
	case max(zeros, ones) < n-1 && FitsLogic(w, v):
		a.RRI(OrrI, w, rd, ZR, v)
		return
	}
	for place := range n {
		part := uint16(v >> (16 * place))
		switch {
		case part == flip:
		case op == MovkI:
			a.Wide(MovkI, w, rd, part, uint8(place))
		default:
			a.Wide(op, w, rd, part^flip, uint8(place))
			op = MovkI
		}
	}
}

func (op Op) mustBe(shapes ...shape) *form {
	f := &forms[op]
	for _, s := range shapes {
		if f.shape == s {
			return f
		}
	}
	panic("arm64: wrong operands for " + f.name)
}

// at is the encoding at a width.
func (f *form) at(w Width) uint32 {
	if w == X {
		return f.word | f.wide
	}
	return f.word
}

func field(r Reg, shift uint) uint32 { return uint32(r) << shift }

// regs encodes the registers that nearly every instruction has, Rd or Rt and Rn.
func regs(rd, rn Reg) uint32 { return field(rd, 0) | field(rn, 5) }

func (a *Asm) word(w uint32) { a.buf = binary.LittleEndian.AppendUint32(a.buf, w) }

// encode gives the bits of the operand for an access of 1<<scale bytes.
func (m Mem) encode(scale uint32) (uint32, bool) {
	const (
		byReg    = 1<<21 | 1<<11
		uxtw     = 2 << 13
		lsl      = 3 << 13
		unsigned = 1 << 24
	)
	base := field(m.Base, 5)
	switch {
	case m.Index != None && m.Half:
		return base | byReg | uxtw | field(m.Index, 16), m.Disp == 0
	case m.Index != None:
		return base | byReg | lsl | field(m.Index, 16), m.Disp == 0
	case m.Disp >= 0 && m.Disp&(1<<scale-1) == 0 && m.Disp>>scale < 1<<12:
		return base | unsigned | uint32(m.Disp)>>scale<<10, true
	}
	return base | uint32(m.Disp)&0x1ff<<12, FitsUnscaled(m.Disp)
}

func arithImm(v uint64) (uint32, bool) {
	if v&^0xfff == 0 {
		return uint32(v) << 10, true
	}
	return 1<<22 | uint32(v>>12)<<10, FitsArith(v)
}

// logicImm encodes v as N:immr:imms. (Arm ARM, DecodeBitMasks.)
func logicImm(w Width, v uint64) (uint32, bool) {
	if w == W {
		v = v<<32 | v&0xffffffff
	}
	if v == 0 || v == ^uint64(0) {
		return 0, false
	}
	size := uint(64)
	for half := size / 2; half >= 2 && v<<(64-half) == v>>(size-half)<<(64-half); half /= 2 {
		size = half
	}
	mask := ^uint64(0) >> (64 - size)
	element := v & mask
	run := uint(bits.OnesCount64(element))
	// Turned left so that its run of ones ends at bit 0, the element must be nothing but that run.
	var turn uint
	if element&1 == 0 {
		turn = size - uint(bits.TrailingZeros64(element))
	} else if element != mask>>(size-run) {
		turn = uint(bits.LeadingZeros64(^(element << (64 - size)))) // ones at the top
	}
	if turned := (element<<turn | element>>(size-turn)) & mask; turned != mask>>(size-run) {
		return 0, false
	}
	code := uint32(turn)<<16 | (^uint32(size*2-1)&0x3f|uint32(run-1))<<10
	if size == 64 {
		code |= 1 << 22
	}
	return code, true
}
