package asm

// Class groups kinds by shape: what their operands are and where control goes next.
type Class uint8

// The classes. Fields of Info that matter are named behind each.
const (
	ClassInvalid  Class = iota
	ClassALU            // Dst = Dst ALU operand; Width, UseSrc, ALU
	ClassNeg            // Dst = -Dst; Width
	ClassMovsx          // Dst = sign-extended low Size bytes of Src; Width, Size
	ClassSwap           // byte order of the low Size bytes of Dst; Size, Swap
	ClassAddrCast       // arena address space cast
	ClassJump           // unconditional: Off (Ja) or Imm (Ja32)
	ClassBranch         // conditional: Off; Width, UseSrc, Cond
	ClassMayGoto        // bounded back edge: Off
	ClassCall           // CallHelper, CallLocal, CallKfunc, CallReg
	ClassExit
	ClassLoad    // Dst = *(Size)(Src + Off); Signed
	ClassStore   // *(Size)(Dst + Off) = Imm or Src; UseSrc
	ClassAtomic  // read-modify-write of *(Size)(Dst + Off) with Src; Atomic, Fetch
	ClassLoadAcq // Dst = *(Size)(Src + Off), acquire
	ClassStoreRel
	ClassImm64 // two slots
	ClassAbs   // R0 = packet[Imm], big-endian, Size bytes
	ClassInd   // R0 = packet[Src + Imm]
)

// ALUOp is an arithmetic operation.
type ALUOp uint8

// The arithmetic operations of ClassALU.
const (
	Add ALUOp = iota
	Sub
	Mul
	Div
	SDiv
	Or
	And
	Lsh
	Rsh
	Mod
	SMod
	Xor
	Mov
	Arsh
)

// Cond is the condition of a ClassBranch: Dst Cond operand.
type Cond uint8

// The conditions. Jset is true when the operands share a set bit; the S forms are signed.
const (
	Jeq Cond = iota
	Jgt
	Jge
	Jset
	Jne
	Jsgt
	Jsge
	Jlt
	Jle
	Jslt
	Jsle
)

// AtomicOp is the operation of a ClassAtomic.
type AtomicOp uint8

// The atomic operations. Cmpxchg compares with R0 and loads the old value into R0.
const (
	AtomicAdd AtomicOp = iota
	AtomicOr
	AtomicAnd
	AtomicXor
	AtomicXchg
	AtomicCmpxchg
)

// SwapOp is the byte order operation of a ClassSwap.
type SwapOp uint8

// The byte order operations.
const (
	ToLE SwapOp = iota
	ToBE
	Bswap
)

// Info is the table row of a Kind.
type Info struct {
	Name   string // as in the kind's Go name
	Class  Class
	Opcode uint8
	Width  uint8 // bits that an ALU operation or comparison looks at: 32 or 64
	Size   uint8 // bytes of memory, or of a swap or sign extension
	UseSrc bool  // the second operand is Src, not Imm
	Signed bool  // sign-extending load
	Fetch  bool  // the atomic returns the old value in Src (R0 for Cmpxchg)
	ALU    ALUOp
	Cond   Cond
	Atomic AtomicOp
	Swap   SwapOp
}
