package asm

import (
	"fmt"
	"strings"
	"sync"
)

// The second syntax: a mnemonic and its operands, destination first, as user-space virtual machines and their test
// vectors write it ("ldxw %r0, [%r1+4]", "jgt32 %r1, 7, +3").

// FormatMnemonic is Format in the mnemonic syntax.
func FormatMnemonic(in Insn, next *Insn) string {
	return string(mnemonics().append(make([]byte, 0, 48), in, next))
}

// FormatMnemonicProgram is FormatProgram in the mnemonic syntax.
func FormatMnemonicProgram(prog []Insn) string { return mnemonics().program(prog) }

// ParseMnemonic is Parse in the mnemonic syntax: the same labels, comments, names and errors.
func ParseMnemonic(src string, opts ParseOptions) ([]Insn, error) {
	return mnemonics().parse(src, opts)
}

var mnemonics = sync.OnceValue(func() *grammar { return newGrammar(mnemonicTemplates) })

var mnemonicSize = map[uint8]string{1: "b", 2: "h", 4: "w", 8: "dw"}

// mnemonicControl is controlText in this syntax.
var mnemonicControl = map[Kind][]string{
	Ja:         {"ja {j}"},
	Ja32:       {"ja32 {l}"},
	MayGoto:    {"may_goto {j}"},
	CallHelper: {"call {helper}"},
	CallLocal:  {"call local {l}", "call {fn}"},
	CallKfunc:  {"call kfunc {kfunc}{module}"},
	CallReg:    {"callx %{rd}", "callx imm %{ri}"},
	Exit:       {"exit"},
}

var imm64Mnemonic = strings.NewReplacer("{rd} = ", "lddw %{rd}, ", " ll", "")

func mnemonicTemplates(k Kind) (list []template) {
	row := &Table[k]
	switch row.Class {
	case ClassAddrCast:
		return castTemplates("addr_space_cast %%{rd}, %%{rs}, %d, %d")
	case ClassImm64:
		return imm64Templates(imm64Mnemonic)
	case ClassJump, ClassMayGoto, ClassCall, ClassExit:
		return controlTemplates(k, mnemonicControl)
	}
	return []template{newTemplate(k, mnemonicText(k, row))}
}

// mnemonicText spells the kinds that have one spelling. Names of 64-bit operations have no suffix.
func mnemonicText(k Kind, row *Info) string {
	suffix, operand := "", "{k}"
	if row.Width == 32 {
		suffix = "32"
	}
	if row.UseSrc {
		operand = "%{rs}"
	}
	size := mnemonicSize[row.Size]
	switch row.Class {
	case ClassALU:
		return strings.ToLower(aluFamily[row.ALU].name) + suffix + " %{rd}, " + operand
	case ClassNeg:
		return "neg" + suffix + " %{rd}"
	case ClassMovsx:
		return fmt.Sprintf("movsx%d%d %%{rd}, %%{rs}", 8*row.Size, row.Width)
	case ClassSwap:
		return strings.ToLower(k.String()) + " %{rd}"
	case ClassBranch:
		return strings.ToLower(condFamily[row.Cond].name) + suffix + " %{rd}, " + operand + ", {j}"
	case ClassLoad:
		return "ldx" + map[bool]string{true: "s"}[row.Signed] + size + " %{rd}, [%{rs}{disp}]"
	case ClassStore:
		return "st" + map[bool]string{true: "x"}[row.UseSrc] + size + " [%{rd}{disp}], " + operand
	case ClassAtomic:
		fetch := ""
		if row.Fetch && row.Atomic < AtomicXchg {
			fetch = "fetch_"
		}
		return "lock " + fetch + atomicText[row.Atomic].name + suffix + " [%{rd}{disp}], %{rs}"
	case ClassLoadAcq:
		return "load_acquire" + size + " %{rd}, [%{rs}{disp}]"
	case ClassStoreRel:
		return "store_release" + size + " [%{rd}{disp}], %{rs}"
	case ClassAbs:
		return "ldabs" + size + " {k}"
	case ClassInd:
		return "ldind" + size + " %{rs}, {k}"
	}
	panic("asm: " + row.Name + " has no mnemonic")
}
