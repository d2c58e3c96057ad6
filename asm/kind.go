package asm

// Kind names an instruction: opcode, plus what offset, source and immediate say of it (sdiv, movsx, atomics …).
// Kinds are dense, so that engines switch and index by them.
type Kind uint8

// The kinds. Invalid is any slot that no row of the table describes, and the second slot of an LdImm64.
const (
	Invalid Kind = iota

	// ALU, 64 and 32 bits wide, with an immediate (K) or a register (X) operand.
	Add64K
	Add64X
	Sub64K
	Sub64X
	Mul64K
	Mul64X
	Div64K
	Div64X
	SDiv64K
	SDiv64X
	Or64K
	Or64X
	And64K
	And64X
	Lsh64K
	Lsh64X
	Rsh64K
	Rsh64X
	Mod64K
	Mod64X
	SMod64K
	SMod64X
	Xor64K
	Xor64X
	Mov64K
	Mov64X
	Arsh64K
	Arsh64X
	Add32K
	Add32X
	Sub32K
	Sub32X
	Mul32K
	Mul32X
	Div32K
	Div32X
	SDiv32K
	SDiv32X
	Or32K
	Or32X
	And32K
	And32X
	Lsh32K
	Lsh32X
	Rsh32K
	Rsh32X
	Mod32K
	Mod32X
	SMod32K
	SMod32X
	Xor32K
	Xor32X
	Mov32K
	Mov32X
	Arsh32K
	Arsh32X
	Neg64
	Neg32
	Movsx64B
	Movsx64H
	Movsx64W
	Movsx32B
	Movsx32H

	// Byte order: LeN and BeN keep or swap and then zero-extend; BswapN always swaps.
	Le16
	Le32
	Le64
	Be16
	Be32
	Be64
	Bswap16
	Bswap32
	Bswap64

	// Address space cast (arena pointers).
	AddrCast

	// Jumps, comparing 64 or 32 bits.
	Ja
	Ja32
	Jeq64K
	Jeq64X
	Jgt64K
	Jgt64X
	Jge64K
	Jge64X
	Jset64K
	Jset64X
	Jne64K
	Jne64X
	Jsgt64K
	Jsgt64X
	Jsge64K
	Jsge64X
	Jlt64K
	Jlt64X
	Jle64K
	Jle64X
	Jslt64K
	Jslt64X
	Jsle64K
	Jsle64X
	Jeq32K
	Jeq32X
	Jgt32K
	Jgt32X
	Jge32K
	Jge32X
	Jset32K
	Jset32X
	Jne32K
	Jne32X
	Jsgt32K
	Jsgt32X
	Jsge32K
	Jsge32X
	Jlt32K
	Jlt32X
	Jle32K
	Jle32X
	Jslt32K
	Jslt32X
	Jsle32K
	Jsle32X
	MayGoto
	CallHelper
	CallLocal
	CallKfunc
	CallReg
	Exit

	// Loads (zero-extending), sign-extending loads, stores of an immediate and of a register: 1, 2, 4, 8 bytes.
	Ldx8
	Ldx16
	Ldx32
	Ldx64
	Ldsx8
	Ldsx16
	Ldsx32
	St8
	St16
	St32
	St64
	Stx8
	Stx16
	Stx32
	Stx64

	// Atomics, 4 and 8 bytes.
	AtomicAdd32
	AtomicOr32
	AtomicAnd32
	AtomicXor32
	AtomicFetchAdd32
	AtomicFetchOr32
	AtomicFetchAnd32
	AtomicFetchXor32
	AtomicXchg32
	AtomicCmpxchg32
	AtomicAdd64
	AtomicOr64
	AtomicAnd64
	AtomicXor64
	AtomicFetchAdd64
	AtomicFetchOr64
	AtomicFetchAnd64
	AtomicFetchXor64
	AtomicXchg64
	AtomicCmpxchg64
	LoadAcq8
	LoadAcq16
	LoadAcq32
	LoadAcq64
	StoreRel8
	StoreRel16
	StoreRel32
	StoreRel64

	// 64-bit immediate (two slots) and the classic packet loads.
	LdImm64
	LdAbs8
	LdAbs16
	LdAbs32
	LdInd8
	LdInd16
	LdInd32

	NumKinds = iota
)
