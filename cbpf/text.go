package cbpf

import (
	"fmt"
	"strconv"
)

// Form is a text form of programs.
type Form uint8

const (
	Disasm  Form = iota // tcpdump -d: one numbered line an instruction
	CArray              // tcpdump -dd: the elements of an array of struct bpf_insn
	Decimal             // tcpdump -ddd: a line with the number of instructions, then one of four numbers for each
	Comma               // the same in one line, "4,40 0 0 12,…": iptables' and tc's bytecode
	Asm                 // bpf_asm of the Linux tree, with labels
)

// String gives the program as tcpdump -d does.
func (p Program) String() string { return p.Text(Disasm) }

// Text gives the program in a form; all but Comma end with a newline.
func (p Program) Text(form Form) string { return string(p.AppendText(nil, form)) }

// AppendText is Text that appends to dst.
func (p Program) AppendText(dst []byte, form Form) []byte {
	switch form {
	case Asm:
		return p.appendAsm(dst)
	case Decimal:
		dst = strconv.AppendInt(dst, int64(len(p)), 10)
		dst = append(dst, '\n')
	case Comma:
		dst = strconv.AppendInt(dst, int64(len(p)), 10)
	}
	for pc, in := range p {
		switch form {
		case Disasm:
			dst = append(in.appendDisasm(dst, pc), '\n')
		case CArray:
			dst = fmt.Appendf(dst, "{ 0x%x, %d, %d, 0x%08x },\n", in.Op, in.Jt, in.Jf, in.K)
		case Decimal:
			dst = fmt.Appendf(dst, "%d %d %d %d\n", in.Op, in.Jt, in.Jf, in.K)
		case Comma:
			dst = fmt.Appendf(dst, ",%d %d %d %d", in.Op, in.Jt, in.Jf, in.K)
		}
	}
	return dst
}

// appendDisasm writes the instruction at pc as libpcap's bpf_image does, byte for byte, blanks at the end too.
//
// Deviation: "ldx #pktlen", which libpcap calls unimplemented, though it runs it.
func (in Insn) appendDisasm(dst []byte, pc int) []byte {
	row := in.row()
	name, operand := row.name, in.disasmOperand(row, pc)
	if name == "" {
		name, operand = "unimp", fmt.Sprintf("0x%x", in.Op)
	}
	dst = fmt.Appendf(dst, "(%03d) %-8s ", pc, name)
	if in.Op&7 == ClassJmp && in.Op&0xf0 != JmpJa {
		return fmt.Appendf(dst, "%-16s jt %d\tjf %d", operand, pc+1+int(in.Jt), pc+1+int(in.Jf))
	}
	return append(dst, operand...)
}

// disasmOperand gives the operand as tcpdump -d writes it.
func (in Insn) disasmOperand(row *opRow, pc int) string {
	switch row.arg {
	case opX, opCondX:
		return "x"
	case opImm, opCondK:
		if row.hex {
			return fmt.Sprintf("#0x%x", in.K)
		}
		return fmt.Sprintf("#%d", int32(in.K))
	case opAbs:
		if which, ok := ancillary(in.K); ok {
			return "[" + ancTable[which/4].tcpdump + "]"
		}
		return fmt.Sprintf("[%d]", int32(in.K))
	case opInd:
		return fmt.Sprintf("[x + %d]", int32(in.K))
	case opMem:
		return fmt.Sprintf("M[%d]", int32(in.K))
	case opMsh:
		return fmt.Sprintf("4*([%d]&0xf)", int32(in.K))
	case opLen:
		return "#pktlen"
	case opJa:
		return strconv.Itoa(int(int32(uint32(pc) + 1 + in.K)))
	}
	return "" // libpcap writes nothing for "ret a"
}
