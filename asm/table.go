package asm

import "github.com/skepvm/skep/kver"

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

// Field is a field of an instruction slot.
type Field uint8

// The fields, in the order of the encoding.
const (
	FieldNone Field = iota
	FieldOp
	FieldDst
	FieldSrc
	FieldOff
	FieldImm
)

func (f Field) String() string {
	return [...]string{"none", "opcode", "dst", "src", "off", "imm"}[f]
}

// Rule says which values of a field are legal.
type Rule uint8

// The rules. Every field that a row does not mention is Reserved.
const (
	Reserved  Rule = iota // must be zero
	AnyValue              // every value is an operand
	ReadReg               // R0..R10
	WriteReg              // R0..R9: the frame pointer is read-only
	Selector              // tells kinds of one opcode apart: must be Info.Select
	PseudoSrc             // PseudoNone..PseudoMapIdxValue
	CastSpace             // 1 or 0x10000: cast from address space 1 to 0, or from 0 to 1
	Unchecked             // the kernel does not look, and the instruction does not use it
	CalleeImm             // 0, or R1..R10 where Dst is 0: where older compilers put the register of a CallReg
)

// Rules has a rule for each field behind the opcode.
type Rules struct{ Dst, Src, Off, Imm Rule }

// Access is a set of the registers that a kind reads and writes, by role.
type Access uint8

// The roles. A helper call's arguments depend on its prototype, so calls read nothing here.
const (
	ReadsDst Access = 1 << iota
	ReadsSrc
	ReadsR0
	ReadsR6 // the context of the classic packet loads
	WritesDst
	WritesSrc
	WritesR0
	ClobbersArgs // R1..R5 are unreadable afterwards
)

// Group is a conformance group (RFC 9669 §2.4); a base or 64-bit group includes nothing of the others here.
type Group uint8

// The conformance groups; NoGroup is what Linux added to the RFC.
const (
	NoGroup Group = iota
	Base32
	Base64
	DivMul32
	DivMul64
	Atomic32
	Atomic64
	Packet
	CallX // call by register, which the RFC leaves out and user-space virtual machines have
)

func (g Group) String() string {
	return [...]string{"none", "base32", "base64", "divmul32", "divmul64", "atomic32", "atomic64", "packet", "callx"}[g]
}

// ISA is the compilers' name for an instruction set version: the lowest -mcpu=vN at which LLVM uses the instruction.
// A kernel may have taken it earlier or later: see Info.Since.
type ISA uint8

// The versions; ISALinux is what the kernel added beyond v4.
const (
	ISAv1 ISA = iota + 1
	ISAv2
	ISAv3
	ISAv4
	ISALinux
)

func (v ISA) String() string { return [...]string{"none", "v1", "v2", "v3", "v4", "linux"}[v] }

// Never is the Since of an instruction that compilers make and no kernel takes.
var Never = kver.V(255, 255)

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

	Legal   Rules
	Select  int32  // value of the field whose rule is Selector
	Words   string // what the kernel says of a reserved field; a verb stands for its value
	Access  Access
	Section string // of RFC 9669; "" for what is not in it
	Group   Group
	ISA     ISA
	Since   kver.Version // first kernel; zero: every kernel with eBPF; Never: none
}

// Selector tells which field Info.Select is the value of: FieldNone when the opcode alone says the kind.
func (i *Info) Selector() Field {
	switch {
	case i.Legal.Src == Selector:
		return FieldSrc
	case i.Legal.Off == Selector:
		return FieldOff
	case i.Legal.Imm == Selector:
		return FieldImm
	}
	return FieldNone
}

// Table is the one table of the instruction set, by Kind: everything else reads it or is tested against it.
// It is not to be written to.
var Table = buildTable()

// Info returns the row of k.
func (k Kind) Info() *Info { return &Table[k] }

func (k Kind) String() string {
	if int(k) < len(Table) {
		return Table[k].Name
	}
	return "Invalid"
}

// Example returns a legal instruction of kind k (the first slot of an LdImm64), the zero Insn for Invalid.
func (k Kind) Example() Insn {
	row := &Table[k]
	legal := func(r Rule, reg, other int32) int32 {
		switch r {
		case ReadReg, WriteReg:
			return reg
		case AnyValue:
			return other
		case Selector:
			return row.Select
		case CastSpace:
			return 1
		}
		return 0
	}
	return Insn{
		Op:  row.Opcode,
		Dst: Reg(legal(row.Legal.Dst, 1, 0)),
		Src: Reg(legal(row.Legal.Src, 2, 0)),
		Off: int16(legal(row.Legal.Off, 0, 8)),
		Imm: legal(row.Legal.Imm, 0, 5),
	}
}
