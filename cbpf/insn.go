// Package cbpf is classic BPF: the instruction set of tcpdump's filters and of seccomp, its interpreter and text
// forms, the compiler of the filter language, and the conversion to eBPF.
package cbpf

// Insn is one instruction: struct bpf_insn of libpcap and struct sock_filter of Linux.
type Insn struct {
	Op     uint16 // class, size or operation, and mode or source (Linux: include/uapi/linux/bpf_common.h)
	Jt, Jf uint8  // of a conditional jump: instructions to skip when it is true and when it is false
	K      uint32 // immediate, offset, or index into scratch memory
}

// Program is a filter. It says how many bytes of a packet to keep, 0 when the packet does not match; to seccomp it
// says what becomes of a system call.
type Program []Insn

// Limits of a program.
const (
	MaxInsns = 4096 // Linux: BPF_MAXINSNS; libpcap compiles longer ones, no kernel takes them
	MemWords = 16   // words of scratch memory, M[0] to M[15] (BPF_MEMWORDS)
)

// Classes, the low three bits of Op.
const (
	ClassLd   = 0x00
	ClassLdx  = 0x01
	ClassSt   = 0x02
	ClassStx  = 0x03
	ClassAlu  = 0x04
	ClassJmp  = 0x05
	ClassRet  = 0x06
	ClassMisc = 0x07
)

// Sizes and modes of loads.
const (
	SizeW   = 0x00
	SizeH   = 0x08
	SizeB   = 0x10
	ModeImm = 0x00
	ModeAbs = 0x20
	ModeInd = 0x40
	ModeMem = 0x60
	ModeLen = 0x80
	ModeMsh = 0xa0
)

// Operations of arithmetic and jumps, and where their right side comes from.
const (
	AluAdd = 0x00
	AluSub = 0x10
	AluMul = 0x20
	AluDiv = 0x30
	AluOr  = 0x40
	AluAnd = 0x50
	AluLsh = 0x60
	AluRsh = 0x70
	AluNeg = 0x80
	AluMod = 0x90
	AluXor = 0xa0

	JmpJa  = 0x00
	JmpEq  = 0x10
	JmpGt  = 0x20
	JmpGe  = 0x30
	JmpSet = 0x40

	SrcK = 0x00
	SrcX = 0x08
)

// What a return gives (K or A), and the moves between the registers.
const (
	RetK = 0x00
	RetA = 0x10

	MiscTax = 0x00 // X = A
	MiscTxa = 0x80 // A = X
)
