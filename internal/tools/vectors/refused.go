package main

import "fmt"

// refusal is a slot that makes a program wrong, with the words that must be in the error.
type refusal struct {
	name, why string
	slot      slot
	words     string
}

// Opcodes that the refusals use.
const (
	mov64X, mov64K   = alu64 | 0xb0 | regOperand, alu64 | 0xb0
	exitOp, callOp   = jmp | 0x90, jmp | 0x80
	ldxdw, stxdw     = ldx | modeMem | 0x18, stx | modeMem | 0x18
	stdw, atomicdw   = st | modeMem | 0x18, stx | modeAtomic | 0x18
	negOp, endOp     = alu64 | 0x80, alu | 0xd0
	lddwOp           = ld | 0x18
	reservedALU      = "BPF_ALU uses reserved fields"
	reservedMov      = "BPF_MOV uses reserved fields"
	reservedNeg      = "BPF_NEG uses reserved fields"
	reservedEnd      = "BPF_END uses reserved fields"
	reservedJump     = "BPF_JMP/JMP32 uses reserved fields"
	reservedJa       = "BPF_JA uses reserved fields"
	reservedExit     = "BPF_EXIT uses reserved fields"
	reservedCall     = "BPF_CALL uses reserved fields"
	reservedLoad     = "BPF_LDX uses reserved fields"
	reservedStore    = "BPF_ST uses reserved fields"
	reservedStoreReg = "BPF_STX uses reserved fields"
	readOnly         = "frame pointer is read only"
	unknown          = "unknown opcode %02x"
)

var refusals = []refusal{
	{"write_r10_imm", "r10 is read-only", slot{op: mov64K, dst: 10, imm: 1}, readOnly},
	{"write_r10_reg", "r10 is read-only", slot{op: mov64X, dst: 10, src: 1}, readOnly},
	{"write_r10_add32", "r10 is read-only", slot{op: alu, dst: 10, imm: 1}, readOnly},
	{"write_r10_neg", "r10 is read-only", slot{op: negOp, dst: 10}, readOnly},
	{"write_r10_end", "r10 is read-only", slot{op: endOp, dst: 10, imm: 16}, readOnly},
	{"write_r10_load", "r10 is read-only", slot{op: ldxdw, dst: 10, src: 10, off: -8}, readOnly},
	{"write_r10_fetch", "r10 is read-only", slot{op: atomicdw, dst: 10, src: 10, off: -8, imm: 0x01}, readOnly},
	{"write_r10_lddw", "r10 is read-only", slot{op: lddwOp, dst: 10, imm: 1}, readOnly},
	{"dst_r11", "there is no r11", slot{op: mov64K, dst: 11}, "R11 is invalid"},
	{"dst_r15", "there is no r15", slot{op: mov64K, dst: 15}, "R15 is invalid"},
	{"src_r11", "there is no r11", slot{op: mov64X, src: 11}, "R11 is invalid"},
	{"src_r15_load", "there is no r15", slot{op: ldxdw, src: 15}, "R15 is invalid"},
	{"dst_r12_branch", "there is no r12", slot{op: jmp | 0x10, dst: 12}, "R12 is invalid"},
	{"alu_imm_with_src", "an operand that is an immediate has no source register", slot{op: alu64, src: 1, imm: 1}, reservedALU},
	{"alu_reg_with_imm", "an operand that is a register has no immediate", slot{op: alu64 | regOperand, src: 1, imm: 1}, reservedALU},
	{"alu32_imm_with_src", "an operand that is an immediate has no source register", slot{op: alu, src: 1, imm: 1}, reservedALU},
	{"alu32_reg_with_imm", "an operand that is a register has no immediate", slot{op: alu | regOperand, src: 1, imm: 1}, reservedALU},
	{"add_with_off", "only divisions and moves look at off", slot{op: alu64, off: 1, imm: 1}, reservedALU},
	{"mul_with_off", "there is no signed multiplication", slot{op: alu64 | 0x20, off: 1, imm: 1}, reservedALU},
	{"div_off_2", "off of a division is 0 or 1", slot{op: alu64 | 0x30, off: 2, imm: 1}, reservedALU},
	{"mod_off_minus_1", "off of a modulo is 0 or 1", slot{op: alu64 | 0x90, off: -1, imm: 1}, reservedALU},
	{"div32_off_2", "off of a division is 0 or 1", slot{op: alu | 0x30, off: 2, imm: 1}, reservedALU},
	{"mov_imm_with_off", "a move of an immediate extends no sign", slot{op: mov64K, off: 8, imm: 1}, reservedMov},
	{"mov_imm_with_src", "a move of an immediate has no source register", slot{op: mov64K, src: 1, imm: 1}, reservedMov},
	{"movsx_off_7", "sign extension is from 8, 16 or 32 bits", slot{op: mov64X, src: 1, off: 7}, reservedMov},
	{"movsx_off_64", "sign extension is from 8, 16 or 32 bits", slot{op: mov64X, src: 1, off: 64}, reservedMov},
	{"movsx32_off_32", "32 bits cannot be extended to 32", slot{op: alu | 0xb0 | regOperand, src: 1, off: 32}, reservedMov},
	{"movsx_with_imm", "a move of a register has no immediate", slot{op: mov64X, src: 1, off: 8, imm: 1}, reservedMov},
	{"neg_with_imm", "negation has no operand", slot{op: negOp, imm: 1}, reservedNeg},
	{"neg_with_src", "negation has no operand", slot{op: negOp, src: 1}, reservedNeg},
	{"neg_with_off", "negation has no off", slot{op: negOp, off: 1}, reservedNeg},
	{"neg_reg", "negation of another register is no instruction", slot{op: negOp | regOperand, src: 1}, "unknown opcode 8f"},
	{"swap_8", "byte order is of 16, 32 or 64 bits", slot{op: endOp, imm: 8}, reservedEnd},
	{"swap_0", "byte order is of 16, 32 or 64 bits", slot{op: endOp}, reservedEnd},
	{"swap_128", "byte order is of 16, 32 or 64 bits", slot{op: endOp | regOperand, imm: 128}, reservedEnd},
	{"bswap_24", "byte order is of 16, 32 or 64 bits", slot{op: alu64 | 0xd0, imm: 24}, reservedEnd},
	{"swap_with_off", "byte order has no off", slot{op: endOp, off: 1, imm: 16}, reservedEnd},
	{"swap_with_src", "byte order has no source register", slot{op: endOp, src: 1, imm: 16}, reservedEnd},
	{"branch_imm_with_src", "a comparison with an immediate has no source register", slot{op: jmp | 0x10, src: 1}, reservedJump},
	{"branch_reg_with_imm", "a comparison with a register has no immediate", slot{op: jmp | 0x10 | regOperand, src: 1, imm: 1}, reservedJump},
	{"branch32_imm_with_src", "a comparison with an immediate has no source register", slot{op: jmp32 | 0x50, src: 1}, reservedJump},
	{"ja_with_imm", "a jump by off has no immediate", slot{op: jmp, imm: 1}, reservedJa},
	{"ja_with_dst", "a jump has no registers", slot{op: jmp, dst: 1}, reservedJa},
	{"ja32_with_off", "a jump by the immediate has no off", slot{op: jmp32, off: 1}, reservedJa},
	{"exit_with_imm", "exit has no operands", slot{op: exitOp, imm: 1}, reservedExit},
	{"exit_with_dst", "exit has no operands", slot{op: exitOp, dst: 1}, reservedExit},
	{"exit_with_src", "exit has no operands", slot{op: exitOp, src: 1}, reservedExit},
	{"call_with_dst", "a call has no destination", slot{op: callOp, dst: 1, imm: 8}, reservedCall},
	{"call_with_off", "a call has no off", slot{op: callOp, off: 1, imm: 8}, reservedCall},
	{"call_src_3", "there are three kinds of call", slot{op: callOp, src: 3, imm: 8}, reservedCall},
	{"callx_with_src", "a call by register has one register", slot{op: callOp | regOperand, dst: 1, src: 1}, reservedCall},
	{"callx_with_off", "a call by register has no off", slot{op: callOp | regOperand, dst: 1, off: 1}, reservedCall},
	{"callx_two_registers", "the register stands in dst or in imm", slot{op: callOp | regOperand, dst: 1, imm: 2}, reservedCall},
	{"callx_imm_11", "there is no r11", slot{op: callOp | regOperand, imm: 11}, reservedCall},
	{"callx_dst_11", "there is no r11", slot{op: callOp | regOperand, dst: 11}, "R11 is invalid"},
	{"load_with_imm", "a load has no immediate", slot{op: ldxdw, src: 1, imm: 1}, reservedLoad},
	{"load_sx_64", "64 bits cannot be extended to 64", slot{op: ldx | modeMemsx | 0x18, src: 1}, "unknown opcode 99"},
	{"load_abs_ldx", "a load has mode MEM or MEMSX", slot{op: ldx | modeAbs, src: 1}, reservedLoad},
	{"store_imm_with_src", "a store of an immediate has no source register", slot{op: stdw, dst: 10, src: 1, off: -8}, reservedStore},
	{"store_reg_with_imm", "a store of a register has no immediate", slot{op: stxdw, dst: 10, src: 1, off: -8, imm: 1}, reservedStoreReg},
	{"atomic_unknown", "there is no atomic subtraction", slot{op: atomicdw, dst: 10, src: 1, off: -8, imm: 0x10}, "BPF_ATOMIC uses invalid atomic opcode 10"},
	{"atomic_xchg_no_fetch", "exchange always fetches", slot{op: atomicdw, dst: 10, src: 1, off: -8, imm: 0xe0}, "BPF_ATOMIC uses invalid atomic opcode e0"},
	{"atomic_cmpxchg_no_fetch", "compare-and-exchange always fetches", slot{op: atomicdw, dst: 10, src: 1, off: -8, imm: 0xf0}, "BPF_ATOMIC uses invalid atomic opcode f0"},
	{"atomic_16", "atomics are of 32 or 64 bits", slot{op: stx | modeAtomic | 0x08, dst: 10, src: 1, off: -8}, "invalid atomic operand size"},
	{"atomic_8", "atomics are of 32 or 64 bits", slot{op: stx | modeAtomic | 0x10, dst: 10, src: 1, off: -8, imm: 1}, "invalid atomic operand size"},
	{"jump_far", "a jump beyond the end", slot{op: jmp, off: 100}, "target 102 is outside the program"},
	{"jump_before", "a jump before the start", slot{op: jmp, off: -3}, "target -1 is outside the program"},
	{"jump_to_end", "a jump to just behind the last instruction", slot{op: jmp, off: 1}, "target 3 is outside the program"},
	{"ja32_far", "a long jump beyond the end", slot{op: jmp32, imm: 0x7fffffff}, "is outside the program"},
	{"ja32_before", "a long jump before the start", slot{op: jmp32, imm: -0x80000000}, "is outside the program"},
	{"branch_far", "a branch beyond the end", slot{op: jmp | 0x10, off: 1}, "target 3 is outside the program"},
	{"branch_before", "a branch before the start", slot{op: jmp32 | 0x20, off: -3}, "target -1 is outside the program"},
	{"may_goto_far", "a may_goto beyond the end", slot{op: jmp | 0xe0, off: 1}, "target 3 is outside the program"},
	{"call_local_far", "a function beyond the end", slot{op: callOp, src: 1, imm: 1}, "target 3 is outside the program"},
	{"lddw_cut", "the second half of a 64-bit immediate is another instruction", slot{op: lddwOp, imm: 1}, "invalid bpf_ld_imm64 insn"},
	{"lddw_src_7", "there are seven kinds of 64-bit immediates", slot{op: lddwOp, src: 7, imm: 1}, "unrecognized bpf_ld_imm64 insn"},
	{"lddw_map", "a vector has no maps", slot{op: lddwOp, src: 5}, "invalid bpf_ld_imm64 insn"},
}

// unknownOpcodes are bytes that no instruction begins with, one for each class and mode.
var unknownOpcodes = []byte{0x00, 0x10, 0x38, 0x58, 0x02, 0x22, 0x03, 0x23, 0x8c, 0xe4, 0xf4, 0xe7, 0xff, 0xdf, 0x95 | 0x08, 0x0d, 0xf5, 0x86, 0x96, 0x8e}

// errorVectors makes programs with one wrong slot each.
func errorVectors() (all []file) {
	before, end := slot{op: mov64K}, slot{op: exitOp}
	add := func(r refusal) {
		all = append(all, file{name: "errors/" + r.name, comment: r.why, words: []uint64{before.word(), r.slot.word(), end.word()}, err: r.words})
	}
	for _, r := range refusals {
		add(r)
	}
	for _, op := range unknownOpcodes {
		add(refusal{fmt.Sprintf("opcode_%02x", op), "no such instruction", slot{op: op}, fmt.Sprintf(unknown, op)})
	}
	return all
}
