package arm64

import (
	"encoding/binary"
	"slices"
)

// Asm assembles one piece of code. The zero value is ready; Reset makes it ready again and keeps its memory.
//
// Jumps to labels are first emitted in their short form, one instruction. Finish then finds those that don't reach, makes
// each a jump by the opposite condition over a plain one, and fills in the distances.
type Asm struct {
	buf    []byte
	labels []labelPos
	fixups []fixup
	grown  []int32 // by Finish: bytes added by the fixups before the i-th
}

// Label is a place in the code. It is an alias so that a code generator for several processors can keep labels of any.
type Label = int32

type labelPos struct {
	pos   int32 // in the short code; -1 until bound
	after int32 // fixups before it
}

// fixup is a distance to a label, in an instruction.
type fixup struct {
	pos    int32 // of the instruction in the short code
	target Label
	kind   fixKind
	long   bool
}

type fixKind uint8

const (
	fixJmp  fixKind = iota // b and bl: no long form
	fixCond                // b.cond, cbz, cbnz
	fixBit                 // tbz, tbnz
)

// fixField has, for each kind, where in the instruction the distance is, counted in instructions, and in how many bits.
var fixField = [...]struct{ shift, bits uint8 }{
	fixJmp:  {0, 26}, // 128 MiB either way
	fixCond: {5, 19}, // 1 MiB
	fixBit:  {5, 14}, // 32 KiB
}

// Cond is a condition code as encoded in b.cond.
type Cond uint8

// The condition codes; HS, LO, HI and LS are unsigned, GE, LT, GT and LE signed.
const (
	CondEQ Cond = 0x0
	CondNE Cond = 0x1
	CondHS Cond = 0x2
	CondLO Cond = 0x3
	CondMI Cond = 0x4
	CondPL Cond = 0x5
	CondHI Cond = 0x8
	CondLS Cond = 0x9
	CondGE Cond = 0xa
	CondLT Cond = 0xb
	CondGT Cond = 0xc
	CondLE Cond = 0xd
)

// Not is the opposite condition.
func (c Cond) Not() Cond { return c ^ 1 }

// Reset forgets code and labels.
func (a *Asm) Reset() {
	a.buf, a.labels, a.fixups = a.buf[:0], a.labels[:0], a.fixups[:0]
}

// Grow makes room for n more bytes of code.
func (a *Asm) Grow(n int) { a.buf = slices.Grow(a.buf, n) }

// Labels makes n new labels with consecutive numbers and returns the first.
func (a *Asm) Labels(n int) Label {
	first := Label(len(a.labels))
	for range n {
		a.labels = append(a.labels, labelPos{pos: -1})
	}
	return first
}

// Bind puts l here. A label is bound once.
func (a *Asm) Bind(l Label) {
	if a.labels[l].pos >= 0 {
		panic("arm64: label bound twice")
	}
	a.labels[l] = labelPos{int32(len(a.buf)), int32(len(a.fixups))}
}

// The jumps, with all operands zero.
const (
	opB     = 0x14000000
	opBL    = 0x94000000
	opBcond = 0x54000000
	opCBZ   = 0x34000000
	opCBNZ  = 0x35000000
	opTBZ   = 0x36000000
	opTBNZ  = 0x37000000
)

// Jmp emits a jump to l.
func (a *Asm) Jmp(l Label) { a.jump(opB, l, fixJmp) }

// Call emits a call of l.
func (a *Asm) Call(l Label) { a.jump(opBL, l, fixJmp) }

// Jcc emits a conditional jump to l.
func (a *Asm) Jcc(c Cond, l Label) { a.jump(opBcond|uint32(c), l, fixCond) }

// Jzero emits a jump to l that is taken when reg is 0.
func (a *Asm) Jzero(w Width, reg Reg, l Label) { a.jump(opCBZ|width31(w)|field(reg, 0), l, fixCond) }

// Jnonzero emits a jump to l that is taken when reg is not 0.
func (a *Asm) Jnonzero(w Width, reg Reg, l Label) {
	a.jump(opCBNZ|width31(w)|field(reg, 0), l, fixCond)
}

// JbitClear emits a jump to l that is taken when that bit of reg is 0.
func (a *Asm) JbitClear(reg Reg, bit uint8, l Label) {
	a.jump(opTBZ|bitField(bit)|field(reg, 0), l, fixBit)
}

// JbitSet emits a jump to l that is taken when that bit of reg is 1.
func (a *Asm) JbitSet(reg Reg, bit uint8, l Label) {
	a.jump(opTBNZ|bitField(bit)|field(reg, 0), l, fixBit)
}

func width31(w Width) uint32 {
	if w == X {
		return sf
	}
	return 0
}

func bitField(bit uint8) uint32 { return uint32(bit&31)<<19 | uint32(bit>>5)<<31 }

func (a *Asm) jump(op uint32, l Label, k fixKind) {
	a.fixups = append(a.fixups, fixup{pos: int32(len(a.buf)), target: l, kind: k})
	a.word(op)
}

// Finish resolves all labels and returns the code, which is valid until the next Reset. Nothing may be emitted after it.
func (a *Asm) Finish() []byte {
	a.relax()
	a.spread()
	for i := range a.fixups {
		a.patch(i)
	}
	for i := range a.labels {
		a.labels[i] = labelPos{pos: a.offset(Label(i))}
	}
	a.fixups = a.fixups[:0]
	return a.buf
}

// Offset is the place of l in the finished code, or -1 when it was never bound.
func (a *Asm) Offset(l Label) int { return int(a.labels[l].pos) }

// Offsets is Offset of consecutive labels from first on.
func (a *Asm) Offsets(dst []int32, first Label) {
	for i, l := range a.labels[first:][:len(dst)] {
		dst[i] = l.pos
	}
}

// relax starts from all jumps short and makes those long whose target is too far, until none is: the smallest code.
func (a *Asm) relax() {
	a.grown = append(a.grown[:0], make([]int32, len(a.fixups)+1)...)
	for again := true; again; {
		again = false
		for i := range a.fixups {
			f := &a.fixups[i]
			if !f.long && !fits(a.distance(i), fixField[f.kind].bits) {
				if f.kind == fixJmp {
					panic("arm64: code of more than 128 MiB")
				}
				f.long, again = true, true
			}
		}
		for i, f := range a.fixups {
			a.grown[i+1] = a.grown[i]
			if f.long {
				a.grown[i+1] += 4
			}
		}
	}
}

// fits reports whether a distance in bytes can be had in n bits.
func fits(d int32, n uint8) bool { return d>>(n+1) == 0 || d>>(n+1) == -1 }

// offset is the place of l after lengthening.
func (a *Asm) offset(l Label) int32 {
	p := a.labels[l]
	if p.pos < 0 {
		return -1
	}
	return p.pos + a.grown[p.after]
}

// distance is from fixup i's jump, the second instruction of a long one, to its target.
func (a *Asm) distance(i int) int32 {
	f := &a.fixups[i]
	to := a.offset(f.target)
	if to < 0 {
		panic("arm64: jump to a label that was never bound")
	}
	return to - (f.pos + a.grown[i+1])
}

// spread makes room behind the long jumps, from the end on.
func (a *Asm) spread() {
	end := int32(len(a.buf))
	total := a.grown[len(a.fixups)]
	a.buf = append(a.buf, make([]byte, total)...)
	for i := len(a.fixups) - 1; i >= 0 && a.grown[i+1] > 0; i-- {
		if f := &a.fixups[i]; f.long {
			copy(a.buf[f.pos+4+a.grown[i+1]:], a.buf[f.pos+4:end])
			end = f.pos + 4
		}
	}
}

// patch writes the distance of fixup i.
func (a *Asm) patch(i int) {
	f := &a.fixups[i]
	kind := f.kind
	at := a.buf[f.pos+a.grown[i]:]
	op := binary.LittleEndian.Uint32(at)
	if f.long {
		binary.LittleEndian.PutUint32(at, opposite(op)|2<<5) // over the next instruction
		at, op, kind = at[4:], opB, fixJmp
	}
	l := fixField[kind]
	mask := uint32(1)<<l.bits - 1
	binary.LittleEndian.PutUint32(at, op|uint32(a.distance(i)>>2)&mask<<l.shift)
}

// opposite turns the condition of a jump round.
func opposite(op uint32) uint32 {
	if op>>24 == opBcond>>24 {
		return op ^ 1
	}
	return op ^ 1<<24 // z and nz
}
