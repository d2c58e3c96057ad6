package asm

// RegSet is a set of registers, a bit each.
type RegSet uint16

// argRegs are R1..R5.
const argRegs RegSet = 0x3e

// Has reports whether r is in s.
func (s RegSet) Has(r Reg) bool { return s>>r&1 != 0 }

// Reads returns the registers that in reads. The arguments of a call depend on what it calls: a call reads
// nothing here but, for CallReg, the address. An instruction without a row reads nothing.
func Reads(in Insn) RegSet {
	k := KindOf(in)
	if k == CallReg {
		return bit(in.Callee(), ReadsDst)
	}
	a := Table[k].Access
	return bit(in.Dst, a&ReadsDst) | bit(in.Src, a&ReadsSrc) | bit(R0, a&ReadsR0) | bit(R6, a&ReadsR6)
}

// Writes returns the registers that in changes, R1..R5 after a call included: their values are lost.
func Writes(in Insn) RegSet { return Table[KindOf(in)].Writes(in) }

// Writes is the function Writes for an instruction of this row's kind.
func (info *Info) Writes(in Insn) RegSet {
	a := info.Access
	s := bit(in.Dst, a&WritesDst) | bit(in.Src, a&WritesSrc) | bit(R0, a&WritesR0)
	if a&ClobbersArgs != 0 {
		s |= argRegs
	}
	return s
}

func bit(r Reg, role Access) RegSet {
	if role == 0 {
		return 0
	}
	return 1 << (r & 0xf)
}

// Callee returns the register that a CallReg calls through: Dst, or Imm where Dst is 0, as clang before release 19
// encoded it. It is one of R0..R10 when Check accepts in.
func (in Insn) Callee() Reg {
	if in.Dst == 0 {
		return Reg(in.Imm & 0xf)
	}
	return in.Dst
}

// Target returns the slot that the instruction at slot pc names: where a jump, branch or may_goto goes when
// taken, the first slot of a local call's function or of a function whose address is loaded. It may be
// outside the program. It is -1 for all other instructions.
func (in Insn) Target(pc int) int { return KindOf(in).Target(in, pc) }

// Target is Insn.Target for an instruction of this kind.
func (k Kind) Target(in Insn, pc int) int {
	switch {
	case k == Ja32, k == CallLocal, k == LdImm64 && in.Src == PseudoFunc:
		return pc + 1 + int(in.Imm)
	case k == Ja, k == MayGoto, Table[k].Class == ClassBranch:
		return pc + 1 + int(in.Off)
	}
	return -1
}
