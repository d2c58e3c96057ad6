// Package asm is the eBPF instruction set: one table of every instruction, a lossless codec, the reference
// semantics, and the text syntax. It follows RFC 9669 and the Linux kernel's later additions.
//
// An instruction is an Insn, a slot of 8 bytes as encoded. Its opcode byte is, by class (RFC 9669 §3.3, §4, §5):
//
//	 7 6 5 4   3   2 1 0             7 6 5  4 3   2 1 0
//	+-------+-----+-----+           +------+----+-----+
//	| code  |  s  |class|           | mode | sz |class|
//	+-------+-----+-----+           +------+----+-----+
//	arithmetic and jumps:           loads and stores:
//	class 4 ALU    32 bits          class 0 LD   64-bit immediate, packet
//	      7 ALU64  64 bits                1 LDX  load
//	      5 JMP    comparing 64           2 ST   store an immediate
//	      6 JMP32  comparing 32           3 STX  store a register, atomics
//	s     0 K  operand is imm       mode  0 IMM  1 ABS  2 IND  3 MEM  4 MEMSX  6 ATOMIC
//	      1 X  operand is src       sz    0 W 32  1 H 16  2 B 8  3 DW 64 bits
//
// Where the opcode does not tell, another field does: off makes a division signed or a move sign-extending, imm
// names the atomic operation and the width of a byte swap, src what a call calls. KindOf looks at all of that and
// gives a Kind, a small dense number that engines switch on and that indexes Table.
//
// Four questions, four functions: Decode asks nothing and never fails; KindOf asks which instruction it is; Check
// asks whether its fields are legal; Eval, Taken, EvalSwap, SignExtend and EvalAtomic say what it does. Format and
// Parse go to text and back without loss, whatever the slot holds.
package asm
