package asm

import "fmt"

// Format returns the text of in.
func Format(in Insn, next *Insn) string { return formatRaw(in) }

// formatRaw spells the fields of a slot out: the form of everything that the syntax has no words for.
func formatRaw(in Insn) string {
	return fmt.Sprintf(".insn 0x%02x %d %d %d %d", in.Op, in.Dst, in.Src, in.Off, in.Imm)
}
