// Package amd64 encodes x86-64 instructions: a table with one row an instruction form, and an assembler with
// labels that makes every jump as short as it can be. It is pure and runs on every architecture.
package amd64

import "encoding/binary"

// Reg is a general register with the processor's number.
type Reg uint8

// The registers.
const (
	RAX Reg = iota
	RCX
	RDX
	RBX
	RSP
	RBP
	RSI
	RDI
	R8
	R9
	R10
	R11
	R12
	R13
	R14
	R15
	None Reg = 0xff // no base or no index in a Mem
)

// Width is the operand size of a form: L is 32 bits (and clears the upper half of a destination register), Q 64.
type Width bool

// The widths.
const (
	L Width = false
	Q Width = true
)

// Mem is the memory operand Base + Index*Scale + Disp. At least one of Base and Index is there; Scale is 1, 2, 4 or 8
// and counts only when there is an Index, which cannot be RSP.
type Mem struct {
	Base, Index Reg
	Scale       uint8
	Disp        int32
}

// At is the memory operand [base+disp].
func At(base Reg, disp int32) Mem { return Mem{Base: base, Index: None, Disp: disp} }

// Indexed is the memory operand [base+index+disp].
func Indexed(base, index Reg, disp int32) Mem {
	return Mem{Base: base, Index: index, Scale: 1, Disp: disp}
}

// FitsInt8 reports whether v can be an 8-bit immediate, which the processor sign-extends.
func FitsInt8(v int32) bool { return v == int32(int8(v)) }

// RR emits "op reg, rm" with two registers; for the MR forms "op rm, reg" is meant, and reg is still the first argument.
func (a *Asm) RR(op Op, w Width, reg, rm Reg) {
	f := op.mustBe(shapeReg, shapeStore)
	if f.memOnly {
		panic("amd64: " + f.name + " of a register")
	}
	a.head(f, w, reg, None, rm, f.byteReg && reg >= RSP || f.byteRM && rm >= RSP)
	a.modrmReg(uint8(reg), rm)
}

// RM emits "op reg, [m]".
func (a *Asm) RM(op Op, w Width, reg Reg, m Mem) {
	f := op.mustBe(shapeReg, shapeReg)
	a.head(f, w, reg, m.Index, m.Base, false)
	a.modrmMem(uint8(reg), m)
}

// MR emits "op [m], reg".
func (a *Asm) MR(op Op, w Width, m Mem, reg Reg) {
	f := op.mustBe(shapeStore, shapeStore)
	a.head(f, w, reg, m.Index, m.Base, f.byteReg && reg >= RSP)
	a.modrmMem(uint8(reg), m)
}

// LockMR emits "lock op [m], reg".
func (a *Asm) LockMR(op Op, w Width, m Mem, reg Reg) {
	if !forms[op].lock {
		panic("amd64: " + forms[op].name + " cannot be locked")
	}
	a.buf = append(a.buf, 0xf0)
	a.MR(op, w, m, reg)
}

// LockMI emits "lock op [m], imm".
func (a *Asm) LockMI(op Op, w Width, m Mem, imm int32) {
	if !forms[op].lock {
		panic("amd64: " + forms[op].name + " cannot be locked")
	}
	a.buf = append(a.buf, 0xf0)
	a.MI(op, w, m, imm)
}

// R emits "op rm".
func (a *Asm) R(op Op, w Width, rm Reg) {
	f := op.mustBe(shapeDigit, shapeDigit)
	a.head(f, w, 0, None, rm, f.byteRM && rm >= RSP)
	a.modrmReg(f.digit, rm)
}

// M emits "op [m]".
func (a *Asm) M(op Op, w Width, m Mem) {
	f := op.mustBe(shapeDigit, shapeDigit)
	a.head(f, w, 0, m.Index, m.Base, false)
	a.modrmMem(f.digit, m)
}

// RI emits "op rm, imm"; the form's immediate must hold imm.
func (a *Asm) RI(op Op, w Width, rm Reg, imm int32) {
	f := op.mustBe(shapeImm, shapeImm)
	a.head(f, w, 0, None, rm, f.byteRM && rm >= RSP)
	a.modrmReg(f.digit, rm)
	a.imm(f.imm, imm)
}

// MI emits "op [m], imm"; a wider imm than the form's is cut.
func (a *Asm) MI(op Op, w Width, m Mem, imm int32) {
	f := op.mustBe(shapeImm, shapeImm)
	a.head(f, w, 0, m.Index, m.Base, false)
	a.modrmMem(f.digit, m)
	a.imm(f.imm, imm)
}

// RRI emits "op reg, rm, imm".
func (a *Asm) RRI(op Op, w Width, reg, rm Reg, imm int32) {
	f := op.mustBe(shapeRegImm, shapeRegImm)
	a.head(f, w, reg, None, rm, false)
	a.modrmReg(uint8(reg), rm)
	a.imm(f.imm, imm)
}

// RMI emits "op reg, [m], imm".
func (a *Asm) RMI(op Op, w Width, reg Reg, m Mem, imm int32) {
	f := op.mustBe(shapeRegImm, shapeRegImm)
	a.head(f, w, reg, m.Index, m.Base, false)
	a.modrmMem(uint8(reg), m)
	a.imm(f.imm, imm)
}

// RRR emits "op dst, rm, count", a VEX form of BMI2.
func (a *Asm) RRR(op Op, w Width, dst, rm, count Reg) {
	f := op.mustBe(shapeVEX, shapeVEX)
	const inverted = 0xe0 // R, X, B are stored inverted
	b1 := byte(inverted) ^ byte(dst>>3)<<7 ^ byte(rm>>3)<<5 | f.escape
	b2 := byte(^count&0xf)<<3 | vexPrefix(f.prefix)
	if w == Q {
		b2 |= 0x80
	}
	a.buf = append(a.buf, 0xc4, b1, b2, f.opcode)
	a.modrmReg(uint8(dst), rm)
}

// O emits "op reg" with the register in the opcode.
func (a *Asm) O(op Op, w Width, reg Reg) {
	f := op.mustBe(shapeOpcode, shapeOpcode)
	a.head(f, w, 0, None, reg, false)
	a.buf[len(a.buf)-1] += byte(reg & 7)
}

// Z emits an instruction without operands.
func (a *Asm) Z(op Op, w Width) {
	f := op.mustBe(shapeNone, shapeNone)
	a.head(f, w, 0, None, 0, false)
}

// Imm emits the shortest "mov reg, v" that leaves the flags alone.
func (a *Asm) Imm(reg Reg, v uint64) {
	switch {
	case v>>32 == 0:
		a.O(MovImmO, L, reg)
		a.buf = binary.LittleEndian.AppendUint32(a.buf, uint32(v))
	case int64(v) == int64(int32(v)):
		a.RI(MovI32, Q, reg, int32(v))
	default:
		a.O(MovImmO, Q, reg)
		a.buf = binary.LittleEndian.AppendUint64(a.buf, v)
	}
}

func (op Op) mustBe(s1, s2 shape) *form {
	f := &forms[op]
	if f.shape != s1 && f.shape != s2 {
		panic("amd64: wrong operands for " + f.name)
	}
	return f
}

// put emits the low n bytes of bits.
func (a *Asm) put(bits uint64, n int) {
	a.buf = binary.LittleEndian.AppendUint64(a.buf, bits)
	a.buf = a.buf[:len(a.buf)-8+n]
}

// head emits prefixes and opcode.
func (a *Asm) head(f *form, w Width, reg, index, base Reg, needREX bool) {
	rex := reg >> 3 & 1 << 2
	if base != None {
		rex |= base >> 3 & 1
	}
	if index != None {
		rex |= index >> 3 & 1 << 1
	}
	if bool(w) && !f.no64 {
		rex |= 8
	}
	bits, n := uint64(f.opcode), 1 // from the last byte to the first
	for e := f.escape; e > 0; e-- {
		bits, n = bits<<8|uint64(escapes[e]), n+1
	}
	if rex != 0 || needREX {
		bits, n = bits<<8|0x40|uint64(rex), n+1
	}
	if f.prefix != 0 {
		bits, n = bits<<8|uint64(f.prefix), n+1
	}
	a.put(bits, n)
}

// escapes are the bytes before the opcode of map 2, the first one also of map 1.
var escapes = [...]byte{1: 0x0f, 2: 0x38}

func (a *Asm) modrmReg(reg uint8, rm Reg) {
	a.buf = append(a.buf, 0xc0|reg&7<<3|byte(rm)&7)
}

// modrmMem emits modrm, SIB and displacement. RSP and R12 as a base need a SIB byte, RBP and R13 a displacement.
func (a *Asm) modrmMem(reg uint8, m Mem) {
	mod, size := byte(0x80), 4
	switch {
	case m.Base == None: // RBP's number in the SIB byte with mod 0: a 32-bit displacement and no base
		mod = 0
		m.Base = RBP
	case m.Disp == 0 && m.Base&7 != RBP:
		mod, size = 0, 0
	case FitsInt8(m.Disp):
		mod, size = 0x40, 1
	}
	mod |= reg & 7 << 3
	disp := uint64(uint32(m.Disp))
	switch {
	case m.Index != None:
		sib := scaleBits(m.Scale) | byte(m.Index)&7<<3 | byte(m.Base)&7
		a.put(uint64(mod|4)|uint64(sib)<<8|disp<<16, 2+size)
	case m.Base&7 == RSP:
		a.put(uint64(mod|4)|0x24<<8|disp<<16, 2+size)
	default:
		a.put(uint64(mod|byte(m.Base)&7)|disp<<8, 1+size)
	}
}

func (a *Asm) imm(size uint8, v int32) { a.put(uint64(uint32(v)), int(size)) }

func scaleBits(scale uint8) byte {
	switch scale {
	case 2:
		return 0x40
	case 4:
		return 0x80
	case 8:
		return 0xc0
	}
	return 0
}

func vexPrefix(p byte) byte {
	switch p {
	case 0x66:
		return 1
	case 0xf3:
		return 2
	case 0xf2:
		return 3
	}
	return 0
}
