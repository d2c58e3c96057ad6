package asm

import (
	"fmt"
	"strings"
)

// FieldError says which field of an instruction is illegal.
type FieldError struct {
	Field  Field
	Value  int64
	Reason string // the kernel's words where the kernel looks at the field
}

func (e *FieldError) Error() string {
	return fmt.Sprintf("%s (%s=%d)", e.Reason, e.Field, e.Value)
}

// Check reports the first illegal field of in as a *FieldError: unknown opcode, a reserved field that is not zero,
// a register number above R10, a write to the frame pointer. Legal is what the newest kernel takes: reserved
// fields before registers, as it looks at them. Values that are only wrong in context (shift widths, division
// by a constant zero, jump targets, uninitialised registers) are the verifier's, and so is CallReg, which compilers
// make and no kernel takes. The second slot of an LdImm64 is CheckImm64's.
func Check(in Insn) error {
	k := KindOf(in)
	if k == Invalid {
		return checkUnknown(in)
	}
	row := &Table[k]
	for _, f := range [...]struct {
		field Field
		rule  Rule
		value int64
	}{
		{FieldDst, row.Legal.Dst, int64(in.Dst)},
		{FieldSrc, row.Legal.Src, int64(in.Src)},
		{FieldOff, row.Legal.Off, int64(in.Off)},
		{FieldImm, row.Legal.Imm, int64(in.Imm)},
	} {
		if reason := f.rule.refuse(f.value, in, row); reason != "" {
			return &FieldError{f.field, f.value, reason}
		}
	}
	if reason := row.Legal.Src.refuseReg(in.Src); reason != "" {
		return &FieldError{FieldSrc, int64(in.Src), reason}
	}
	if reason := row.Legal.Dst.refuseReg(in.Dst); reason != "" {
		return &FieldError{FieldDst, int64(in.Dst), reason}
	}
	return nil
}

// refuse says why v breaks a rule that is not about registers, "" when it doesn't.
func (r Rule) refuse(v int64, in Insn, row *Info) string {
	switch {
	case r == Reserved && v != 0:
		return words(row, v)
	case r == PseudoSrc && v > int64(PseudoMapIdxValue):
		return "unrecognized bpf_ld_imm64 insn"
	case r == CastSpace && v != 1 && v != 1<<16:
		return row.Words
	case r == CalleeImm && v != 0 && (in.Dst != 0 || v < 0 || v > int64(R10)):
		return row.Words
	}
	return ""
}

// refuseReg says why the register breaks the rule, "" when it doesn't (kernel: check_reg_arg).
func (r Rule) refuseReg(reg Reg) string {
	switch {
	case (r == ReadReg || r == WriteReg) && reg > R10:
		return fmt.Sprintf("R%d is invalid", reg)
	case r == WriteReg && reg == R10:
		return "frame pointer is read only"
	}
	return ""
}

// checkUnknown finds the words for an instruction that has no row.
func checkUnknown(in Insn) error {
	e := opcodes[in.Op]
	mode := in.Op & modeMask
	switch {
	case in.Op&classMask == classLDX && mode != modeMEM && mode != modeMEMSX:
		// The kernel looks at the mode of loads before it looks the opcode up (resolve_pseudo_ldimm64).
		return &FieldError{FieldOp, int64(in.Op), wordsLdx}
	case e.selector == FieldNone:
		return &FieldError{FieldOp, int64(in.Op), fmt.Sprintf("unknown opcode %02x", in.Op)}
	}
	if Table[e.kind].Words == wordsAtomic && KindOf(Insn{Op: in.Op | sizeDW, Imm: in.Imm}) != Invalid {
		return &FieldError{FieldImm, int64(in.Imm), "invalid atomic operand size"}
	}
	v := map[Field]int64{FieldSrc: int64(in.Src), FieldOff: int64(in.Off), FieldImm: int64(in.Imm)}[e.selector]
	return &FieldError{e.selector, v, words(&Table[e.kind], v)}
}

// words fills the value, a 32-bit immediate, into the words that show it.
func words(row *Info, v int64) string {
	switch {
	case strings.Contains(row.Words, "%d"):
		return fmt.Sprintf(row.Words, v)
	case strings.Contains(row.Words, "%"):
		return fmt.Sprintf(row.Words, uint32(v))
	}
	return row.Words
}

// CheckImm64 reports an illegal pair of slots of a 64-bit immediate load as a *FieldError about the second slot:
// anything but a zero opcode, registers and offset, or an upper half where the first slot's form has none
// (kernel: resolve_pseudo_ldimm64). Check(lo) is separate.
func CheckImm64(lo, hi Insn) error {
	const reason = "invalid bpf_ld_imm64 insn"
	switch {
	case hi.Op != 0:
		return &FieldError{FieldOp, int64(hi.Op), reason}
	case hi.Dst != 0:
		return &FieldError{FieldDst, int64(hi.Dst), reason}
	case hi.Src != 0:
		return &FieldError{FieldSrc, int64(hi.Src), reason}
	case hi.Off != 0:
		return &FieldError{FieldOff, int64(hi.Off), reason}
	case hi.Imm != 0 && (lo.Src == PseudoMapFD || lo.Src == PseudoMapIdx):
		return &FieldError{FieldImm, int64(hi.Imm), "unrecognized bpf_ld_imm64 insn"}
	}
	return nil
}
