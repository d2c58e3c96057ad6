package amd64

import (
	"encoding/binary"
	"slices"
)

// Asm assembles one piece of code. The zero value is ready; Reset makes it ready again and keeps its memory.
//
// Jumps to labels are first emitted in their long form. Finish then finds the shortest form of each, moves the code
// together and fills in the distances.
type Asm struct {
	buf    []byte
	labels []labelPos
	fixups []fixup
	saved  []int32 // by Finish: bytes saved by the fixups before the i-th
}

// Label is a place in the code. It is an alias so that a code generator for several processors can keep labels of any.
type Label = int32

type labelPos struct {
	pos   int32 // in the long code; -1 until bound
	after int32 // fixups before it
}

// fixup is a 32-bit distance to a label, at the end of an instruction.
type fixup struct {
	pos    int32 // of the 4 bytes in the long code
	target Label
	kind   fixKind
	short  bool
}

type fixKind uint8

const (
	fixFixed fixKind = iota // call and lea: no short form
	fixJmp                  // e9 rel32, eb rel8
	fixJcc                  // 0f 8x rel32, 7x rel8
)

// gain is the number of bytes that a fixup's short form saves.
var gain = [...]int32{fixFixed: 0, fixJmp: 3, fixJcc: 4}

// Cond is a condition code as encoded in Jcc.
type Cond uint8

// The condition codes; A and B are unsigned, G and L signed.
const (
	CondB  Cond = 0x2
	CondAE Cond = 0x3
	CondE  Cond = 0x4
	CondNE Cond = 0x5
	CondBE Cond = 0x6
	CondA  Cond = 0x7
	CondS  Cond = 0x8
	CondNS Cond = 0x9
	CondL  Cond = 0xc
	CondGE Cond = 0xd
	CondLE Cond = 0xe
	CondG  Cond = 0xf
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
		panic("amd64: label bound twice")
	}
	a.labels[l] = labelPos{int32(len(a.buf)), int32(len(a.fixups))}
}

// Jmp emits a jump to l.
func (a *Asm) Jmp(l Label) {
	a.buf = append(a.buf, 0xe9)
	a.fix(l, fixJmp)
}

// Jcc emits a conditional jump to l.
func (a *Asm) Jcc(c Cond, l Label) {
	a.buf = append(a.buf, 0x0f, 0x80|byte(c))
	a.fix(l, fixJcc)
}

// Call emits a call of l.
func (a *Asm) Call(l Label) {
	a.buf = append(a.buf, 0xe8)
	a.fix(l, fixFixed)
}

// LeaLabel emits "lea reg, [rip+l]": the address of l.
func (a *Asm) LeaLabel(reg Reg, l Label) {
	a.buf = append(a.buf, 0x48|byte(reg>>3)<<2, 0x8d, byte(reg)&7<<3|5)
	a.fix(l, fixFixed)
}

func (a *Asm) fix(l Label, k fixKind) {
	a.fixups = append(a.fixups, fixup{pos: int32(len(a.buf)), target: l, kind: k, short: k != fixFixed})
	a.buf = append(a.buf, 0, 0, 0, 0)
}

// Finish resolves all labels and returns the code, which is valid until the next Reset. Nothing may be emitted after it.
func (a *Asm) Finish() []byte {
	a.relax()
	a.pack()
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
	a.saved = append(a.saved[:0], 0)
	for range a.fixups {
		a.saved = append(a.saved, 0)
	}
	for again := true; again; {
		again = false
		for i, f := range a.fixups {
			a.saved[i+1] = a.saved[i]
			if f.short {
				a.saved[i+1] += gain[f.kind]
			}
		}
		for i := range a.fixups {
			f := &a.fixups[i]
			if f.short && !FitsInt8(a.distance(i)) {
				f.short, again = false, true
			}
		}
	}
}

// offset is the place of l after shortening.
func (a *Asm) offset(l Label) int32 {
	p := a.labels[l]
	if p.pos < 0 {
		return -1
	}
	return p.pos - a.saved[p.after]
}

// distance is from the end of fixup i's instruction to its target.
func (a *Asm) distance(i int) int32 {
	f := &a.fixups[i]
	to := a.offset(f.target)
	if to < 0 {
		panic("amd64: jump to a label that was never bound")
	}
	return to - (f.pos + 4 - a.saved[i+1])
}

// pack moves the code together over the bytes that short jumps save, and writes the distances.
func (a *Asm) pack() {
	to, from := int32(0), int32(0)
	for i := range a.fixups {
		f := &a.fixups[i]
		d := a.distance(i)
		if !f.short {
			binary.LittleEndian.PutUint32(a.buf[f.pos:], uint32(d))
			continue
		}
		opcode := byte(0xeb)
		start := f.pos - 1
		if f.kind == fixJcc {
			opcode = a.buf[f.pos-1] - 0x10
			start = f.pos - 2
		}
		to += int32(copy(a.buf[to:], a.buf[from:start]))
		a.buf[to], a.buf[to+1] = opcode, byte(d)
		to += 2
		from = f.pos + 4
	}
	to += int32(copy(a.buf[to:], a.buf[from:]))
	a.buf = a.buf[:to]
}
