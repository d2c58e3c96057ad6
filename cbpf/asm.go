package cbpf

import (
	"fmt"
	"strconv"
)

// asmRow is a word that instructions of the text forms begin with.
type asmRow struct {
	word  string
	forms []asmForm // tried in turn
	bare  bool      // an immediate needs no #
}

// asmForm is one shape of operands and the opcode that it makes.
type asmForm struct {
	arg    operand
	op     uint16
	negate bool // of a conditional jump: the one target is where it goes when the condition does not hold
}

// asmTable is bpf_asm's vocabulary (Linux: Documentation/networking/filter.rst) with tcpdump -d's.
var asmTable = func() []asmRow {
	t := []asmRow{
		{"ld", loads(SizeW), false}, {"ldh", loads(SizeH)[:2], false}, {"ldb", loads(SizeB)[:2], false},
		{"ldi", []asmForm{{opImm, ClassLd | ModeImm, false}}, true},
		{"ldx", []asmForm{{opImm, ClassLdx | ModeImm, false}, {opMem, ClassLdx | ModeMem, false},
			{opLen, ClassLdx | ModeLen, false}, {opMsh, ClassLdx | SizeB | ModeMsh, false}}, false},
		{"ldxi", []asmForm{{opImm, ClassLdx | ModeImm, false}}, true},
		{"ldxb", []asmForm{{opMsh, ClassLdx | SizeB | ModeMsh, false}}, false},
		{"st", []asmForm{{opMem, ClassSt, false}}, false},
		{"stx", []asmForm{{opMem, ClassStx, false}}, false},
		{"neg", []asmForm{{opNone, ClassAlu | AluNeg, false}}, false},
		{"tax", []asmForm{{opNone, ClassMisc | MiscTax, false}}, false},
		{"txa", []asmForm{{opNone, ClassMisc | MiscTxa, false}}, false},
		{"ret", []asmForm{{opImm, ClassRet | RetK, false}, {opA, ClassRet | RetA, false}}, false},
		{"ja", []asmForm{{opJa, ClassJmp | JmpJa, false}}, false},
		{"jmp", []asmForm{{opJa, ClassJmp | JmpJa, false}}, false},
		{"jne", cond(JmpEq, true), false}, {"jneq", cond(JmpEq, true), false}, {"jlt", cond(JmpGe, true), false}, {"jle", cond(JmpGt, true), false},
		{"jeq", cond(JmpEq, false), false}, {"jgt", cond(JmpGt, false), false}, {"jge", cond(JmpGe, false), false}, {"jset", cond(JmpSet, false), false},
	}
	for _, op := range []uint16{AluAdd, AluSub, AluMul, AluDiv, AluMod, AluAnd, AluOr, AluXor, AluLsh, AluRsh} {
		t = append(t, asmRow{opTable[ClassAlu|op].name, []asmForm{
			{opImm, ClassAlu | op | SrcK, false}, {opX, ClassAlu | op | SrcX, false}}, false})
	}
	return t
}()

func loads(size uint16) []asmForm {
	return []asmForm{{opAbs, ClassLd | size | ModeAbs, false}, {opInd, ClassLd | size | ModeInd, false},
		{opImm, ClassLd | ModeImm, false}, {opMem, ClassLd | ModeMem, false}, {opLen, ClassLd | ModeLen, false}}
}

func cond(op uint16, negate bool) []asmForm {
	return []asmForm{{opCondK, ClassJmp | op | SrcK, negate}, {opCondX, ClassJmp | op | SrcX, negate}}
}

// asmWords finds the rows by word.
var asmWords = func() map[string]*asmRow {
	m := map[string]*asmRow{}
	for i := range asmTable {
		m[asmTable[i].word] = &asmTable[i]
	}
	return m
}()

// ancWords are the names of ancillary loads, in bpf_asm and in tcpdump.
var ancWords = func() map[string]Ancillary {
	m := map[string]Ancillary{"vlan_pr": AncVLANPresent}
	for i, row := range ancTable {
		m[row.tcpdump] = Ancillary(4 * i)
		if row.asm != "" {
			m[row.asm] = Ancillary(4 * i)
		}
	}
	return m
}()

// reserved reports whether a word can't be a label.
func reserved(word string) bool {
	_, anc := ancWords[word]
	return anc || asmWords[word] != nil || word == "len" || word == "pktlen" || word == "a" || word == "x" || word == "m"
}

// appendAsm writes the program for bpf_asm. Instructions that don't exist become a line that no parser takes.
func (p Program) appendAsm(dst []byte) []byte {
	label := make([]bool, len(p)) // something jumps there
	mark := func(to int64) {
		if to < int64(len(p)) {
			label[to] = true
		}
	}
	for pc, in := range p {
		switch in.row().arg {
		case opJa:
			mark(int64(pc) + 1 + int64(in.K))
		case opCondK, opCondX:
			if in.Jt != 0 || in.Jf == 0 || in.Op&0xf0 == JmpSet {
				mark(int64(pc) + 1 + int64(in.Jt))
			}
			if in.Jf != 0 {
				mark(int64(pc) + 1 + int64(in.Jf))
			}
		}
	}
	for pc, in := range p {
		if label[pc] {
			dst = fmt.Appendf(dst, "L%d:", pc)
		}
		dst = append(in.appendAsm(append(dst, '\t'), pc), '\n')
	}
	return dst
}

// negated are the jumps with one target that go when the condition does not hold.
var negated = map[uint16]string{JmpEq: "jne", JmpGt: "jle", JmpGe: "jlt"}

func (in Insn) appendAsm(dst []byte, pc int) []byte {
	row := in.row()
	name, operand := row.name, in.disasmOperand(row, pc)
	switch row.arg {
	case opNone:
		if name == "" {
			return fmt.Appendf(dst, "unimp 0x%x", in.Op)
		}
		return append(dst, name...)
	case opA:
		operand = "a"
	case opLen:
		operand = "len"
	case opAbs:
		if which, ok := in.Ancillary(); ok && ancTable[which/4].asm != "" {
			operand = ancTable[which/4].asm
		} else {
			operand = fmt.Sprintf("[%d]", int32(in.K))
		}
	case opImm:
		if in.Op == ClassRet|RetK {
			operand = fmt.Sprintf("#0x%x", in.K)
		}
	case opJa:
		operand = "L" + strconv.FormatInt(int64(pc)+1+int64(in.K), 10)
	case opCondK, opCondX:
		jt, jf := pc+1+int(in.Jt), pc+1+int(in.Jf)
		other := negated[in.Op&0xf0]
		switch {
		case in.Jf == 0:
			operand = fmt.Sprintf("%s, L%d", operand, jt)
		case in.Jt == 0 && other != "":
			name, operand = other, fmt.Sprintf("%s, L%d", operand, jf)
		default:
			operand = fmt.Sprintf("%s, L%d, L%d", operand, jt, jf)
		}
	}
	return fmt.Appendf(dst, "%s %s", name, operand)
}
