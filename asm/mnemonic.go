package asm

import (
	"fmt"
	"strings"
	"sync"
)

// The second syntax: a mnemonic and its operands, destination first, as user-space virtual machines and their test
// vectors write it ("ldxw %r0, [%r1+4]", "jgt32 %r1, 7, +3"). It speaks of fields: an immediate is the 32 bits of the field,
// signed or not, where LLVM's syntax speaks of values and refuses 0xffffffff for what would be -1.

// FormatMnemonic is Format in the mnemonic syntax.
func FormatMnemonic(in Insn, next *Insn) string {
	g := mnemonics()
	return string(g.append(make([]byte, 0, 48), g.find(in, next), in, next, nil))
}

// FormatMnemonicProgram is FormatProgram in the mnemonic syntax.
func FormatMnemonicProgram(prog []Insn) string { return (&Printer{Mnemonic: true}).program(prog) }

// ParseMnemonic is Parse in the mnemonic syntax: the same labels, comments, names and errors. Where assemblers spell an
// instruction in several ways it reads all of them; the % before a register may be left out.
func ParseMnemonic(src string, opts ParseOptions) ([]Insn, error) {
	return mnemonics().parse(src, opts)
}

// ParseAny is Parse in both syntaxes, each line in either: no text means one thing in one and another in the other.
func ParseAny(src string, opts ParseOptions) ([]Insn, error) { return either().parse(src, opts) }

var mnemonics = sync.OnceValue(func() *grammar { return newGrammar(mnemonicTemplates) })

var either = sync.OnceValue(func() *grammar {
	return newGrammar(func(k Kind) []template { return append(kindTemplates(k), mnemonicTemplates(k)...) })
})

var mnemonicSize = map[uint8]string{1: "b", 2: "h", 4: "w", 8: "dw"}

// mnemonicControl is controlText in this syntax.
var mnemonicControl = map[Kind][]string{
	Ja:         {"ja {j}"},
	Ja32:       {"ja32 {l}"},
	MayGoto:    {"may_goto {j}"},
	CallHelper: {"call {helper}", "call helper {helper}", "call system {helper}"},
	CallLocal:  {"call local {l}", "call {fn}"},
	CallKfunc:  {"call kfunc {kfunc}{module}", "call btf {kfunc}{module}"},
	CallReg:    {"callx {pd}", "callx imm {pi}"},
	Exit:       {"exit"},
}

var imm64Mnemonic = strings.NewReplacer("{rd} = ", "lddw {pd}, ", " ll", "")

func mnemonicTemplates(k Kind) (list []template) {
	row := &Table[k]
	switch row.Class {
	case ClassAddrCast:
		return castTemplates("addr_space_cast {pd}, {ps}, %d, %d")
	case ClassImm64:
		return imm64Templates(imm64Mnemonic)
	case ClassJump, ClassMayGoto, ClassCall, ClassExit:
		return controlTemplates(k, mnemonicControl)
	}
	names, operands := mnemonicText(k, row)
	for _, name := range names {
		list = append(list, newTemplate(k, name+" "+operands))
	}
	return list
}

// mnemonicText spells the kinds whose operands have one form. The first name is the one that is written; names of 64-bit
// operations have no suffix then.
func mnemonicText(k Kind, row *Info) (names []string, operands string) {
	operand := "{bits}"
	if row.UseSrc {
		operand = "{ps}"
	}
	sized := func(name string) []string {
		if row.Width == 32 {
			return []string{name + "32"}
		}
		return []string{name, name + "64"}
	}
	size := mnemonicSize[row.Size]
	switch row.Class {
	case ClassALU:
		return sized(strings.ToLower(aluFamily[row.ALU].name)), "{pd}, " + operand
	case ClassNeg:
		return sized("neg"), "{pd}"
	case ClassMovsx:
		return []string{fmt.Sprintf("movsx%d%d", 8*row.Size, row.Width)}, "{pd}, {ps}"
	case ClassSwap:
		names = []string{strings.ToLower(k.String())}
		if row.Swap == Bswap {
			names = append(names, fmt.Sprintf("swap%d", 8*row.Size))
		}
		return names, "{pd}"
	case ClassBranch:
		return sized(strings.ToLower(condFamily[row.Cond].name)), "{pd}, " + operand + ", {j}"
	case ClassLoad:
		if row.Signed {
			return []string{"ldxs" + size, "ldx" + size + "sx"}, "{pd}, [{ps}{disp}]"
		}
		return []string{"ldx" + size}, "{pd}, [{ps}{disp}]"
	case ClassStore:
		return []string{"st" + map[bool]string{true: "x"}[row.UseSrc] + size}, "[{pd}{disp}], " + operand
	case ClassAtomic:
		name := "lock "
		if row.Fetch && row.Atomic < AtomicXchg {
			name += "fetch_"
		}
		return sized(name + atomicText[row.Atomic].name), "[{pd}{disp}], {ps}"
	case ClassLoadAcq:
		return []string{"load_acquire" + size}, "{pd}, [{ps}{disp}]"
	case ClassStoreRel:
		return []string{"store_release" + size}, "[{pd}{disp}], {ps}"
	case ClassAbs:
		return []string{"ldabs" + size}, "{bits}"
	case ClassInd:
		return []string{"ldind" + size}, "{ps}, {bits}"
	}
	panic("asm: " + row.Name + " has no mnemonic")
}
