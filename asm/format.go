package asm

import (
	"fmt"
	"strconv"
)

// Format returns the text of in, in the syntax of LLVM and of the kernel's log: "r0 = *(u32 *)(r1 + 4)",
// "if w1 > 7 goto +3", "call 1", "r1 = 0x5 ll". next is the slot behind in, which a 64-bit immediate load needs to be
// shown in full; nil shows the forms that use one half only.
// What the syntax has no words for (no row, reserved fields in use, registers above 10, half a 64-bit load) is written
// as its fields, ".insn OPCODE DST SRC OFF IMM", for that slot alone. Parse reads all of it back unchanged.
func Format(in Insn, next *Insn) string {
	return string(AppendFormat(make([]byte, 0, 48), in, next))
}

// AppendFormat appends what Format returns to b.
func AppendFormat(b []byte, in Insn, next *Insn) []byte {
	g := syntax()
	return g.append(b, g.find(in, next), in, next, nil)
}

// FormatProgram returns the text of a whole program, a line an instruction: Parse reads it back unchanged.
func FormatProgram(prog []Insn) string { return (&Printer{}).program(prog) }

// Printer writes instructions of programs as text. The zero value writes what Format does.
type Printer struct {
	Mnemonic bool // the mnemonic syntax instead of LLVM's
	// Label names the slots that jumps and calls go to; those for which it returns "" are written as distances. nil names
	// none. Who reads the text back must put the labels there.
	Label func(pc int) string
}

// Append appends the text of the instruction at prog[pc], and returns the number of its slots: 2 for a 64-bit immediate load
// that is written in full, else 1.
func (p *Printer) Append(b []byte, prog []Insn, pc int) ([]byte, int) {
	g := syntax()
	if p.Mnemonic {
		g = mnemonics()
	}
	in, next := prog[pc], &Insn{Op: 0xff} // behind the last slot there is no half of a load
	if pc+1 < len(prog) {
		next = &prog[pc+1]
	}
	t, slots := g.find(in, next), 1
	if t != nil && t.kind == LdImm64 {
		slots = 2
	}
	var label func(distance int32) string
	if p.Label != nil {
		label = func(distance int32) string { return p.Label(pc + 1 + int(distance)) }
	}
	return g.append(b, t, in, next, label), slots
}

func (p *Printer) program(prog []Insn) string {
	var b []byte
	for pc, slots := 0, 0; pc < len(prog); pc += slots {
		b, slots = p.Append(b, prog, pc)
		b = append(b, '\n')
	}
	return string(b)
}

// append writes in as t, or as its fields when t is nil. label, if not nil, names what lies a distance from the next slot.
func (g *grammar) append(b []byte, t *template, in Insn, next *Insn, label func(int32) string) []byte {
	if t == nil {
		return fmt.Appendf(b, ".insn 0x%02x %d %d %d %d", in.Op, in.Dst, in.Src, in.Off, in.Imm)
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.hole == holeNone {
			b = append(b, p.text...)
			continue
		}
		if label != nil && (p.hole == holeJ || p.hole == holeL || p.hole == holeFn) {
			distance := in.Imm
			if p.hole == holeJ {
				distance = int32(in.Off)
			}
			if name := label(distance); name != "" {
				b = append(b, name...)
				continue
			}
		}
		b = appendHole(b, p.hole, in, next)
	}
	return b
}

// find returns the template that shows every field of in, nil when there is none.
func (g *grammar) find(in Insn, next *Insn) *template {
	k := KindOf(in)
	if k == Invalid || !expressible(in, &Table[k]) {
		return nil
	}
	if next != nil && k == LdImm64 && CheckImm64(in, *next) != nil {
		return nil
	}
	list := g.of[k]
	for i := range list {
		t := &list[i]
		switch {
		case t.fix == FieldSrc && in.Src != Reg(t.fixed), t.fix == FieldImm && in.Imm != t.fixed:
		case k == LdImm64 && next == nil && (t.upper || in.Src == PseudoBTFID):
		case k == LdImm64 && next != nil && next.Imm != 0 && !t.upper:
		default:
			return t
		}
	}
	return nil
}

// expressible reports whether the fields that no template shows are zero, and the registers have names.
func expressible(in Insn, row *Info) bool {
	l := &row.Legal
	silent := func(r Rule) bool { return r == Reserved || r == Unchecked }
	return !(silent(l.Dst) && in.Dst != 0 || silent(l.Src) && in.Src != 0 || silent(l.Off) && in.Off != 0 || silent(l.Imm) && in.Imm != 0) &&
		!(l.Imm == CalleeImm && in.Imm != 0 && (in.Dst != 0 || uint32(in.Imm) >= NumRegs)) &&
		in.Dst < NumRegs && in.Src < NumRegs
}

func appendHole(b []byte, h hole, in Insn, next *Insn) []byte {
	switch h {
	case holeRD:
		return strconv.AppendUint(append(b, 'r'), uint64(in.Dst), 10)
	case holeRS:
		return strconv.AppendUint(append(b, 'r'), uint64(in.Src), 10)
	case holeWD:
		return strconv.AppendUint(append(b, 'w'), uint64(in.Dst), 10)
	case holeWS:
		return strconv.AppendUint(append(b, 'w'), uint64(in.Src), 10)
	case holePD:
		return strconv.AppendUint(append(b, "%r"...), uint64(in.Dst), 10)
	case holePS:
		return strconv.AppendUint(append(b, "%r"...), uint64(in.Src), 10)
	case holeRI:
		return strconv.AppendInt(append(b, 'r'), int64(in.Imm), 10)
	case holePI:
		return strconv.AppendInt(append(b, "%r"...), int64(in.Imm), 10)
	case holeOff:
		return appendDisplacement(b, int64(in.Off))
	case holeIx:
		return appendDisplacement(b, int64(in.Imm))
	case holeDisp:
		return appendSigned(b, int64(in.Off))
	case holeK, holeBits, holeHelper, holeKfunc, holeMap:
		return strconv.AppendInt(b, int64(in.Imm), 10)
	case holeJ:
		return appendSigned(b, int64(in.Off))
	case holeL:
		return appendSigned(b, int64(in.Imm))
	case holeFn:
		return appendSigned(append(b, "pc"...), int64(in.Imm))
	case holeModule:
		if in.Off == 0 {
			return b
		}
		return strconv.AppendInt(append(b, " module "...), int64(in.Off), 10)
	case holeQ:
		return strconv.AppendUint(append(b, "0x"...), Imm64(in, *next), 16)
	case holeUp:
		return strconv.AppendInt(b, int64(next.Imm), 10)
	}
	panic("asm: hole without a format")
}

// appendDisplacement writes " + 4" or " - 4".
func appendDisplacement(b []byte, v int64) []byte {
	if v < 0 {
		return strconv.AppendInt(append(b, " - "...), -v, 10)
	}
	return strconv.AppendInt(append(b, " + "...), v, 10)
}

// appendSigned writes +3 or -3.
func appendSigned(b []byte, v int64) []byte {
	if v >= 0 {
		b = append(b, '+')
	}
	return strconv.AppendInt(b, v, 10)
}
