package asm

import (
	"encoding/binary"
	"fmt"
)

// InsnSize is the size of one instruction slot in bytes.
const InsnSize = 8

// Insn is one 8-byte instruction slot, exactly as encoded (RFC 9669 §3.1):
//
//	+--------+----+----+----------------+--------------------------------+
//	|opcode  |dst |src |     offset     |           immediate            |
//	|8 bits  |4   |4   |     16 bits    |            32 bits             |
//	+--------+----+----+----------------+--------------------------------+
//
// A program is a []Insn indexed by slot: the 64-bit immediate load takes two slots, so an index is the pc of
// jumps, of llvm-objdump and of kernel logs. Whether the fields are legal is a separate question: see Check.
type Insn struct {
	Op  uint8
	Dst Reg // 0..15 as encoded; 0..10 are legal
	Src Reg
	Off int16
	Imm int32
}

// Reg is a register number: R0..R9 are general, R10 is the read-only frame pointer.
type Reg uint8

// The registers. NumRegs counts those that a program can name.
const (
	R0 Reg = iota
	R1
	R2
	R3
	R4
	R5
	R6
	R7
	R8
	R9
	R10
	NumRegs = 11
	FP      = R10
)

func (r Reg) String() string { return fmt.Sprintf("r%d", uint8(r)) }

// Values of Src in a 64-bit immediate load (Linux: BPF_PSEUDO_*; RFC 9669 §5.4).
const (
	PseudoNone        Reg = 0 // dst = imm64
	PseudoMapFD       Reg = 1 // dst = map(imm)
	PseudoMapValue    Reg = 2 // dst = value 0 of map(imm) + next imm
	PseudoBTFID       Reg = 3 // dst = address of a kernel variable
	PseudoFunc        Reg = 4 // dst = address of the function at pc+imm+1
	PseudoMapIdx      Reg = 5 // as 1, by index into the program's map list: the form that package object makes
	PseudoMapIdxValue Reg = 6 // as 2, by index into the program's map list: the form that package object makes
)

// Values of Src in a call.
const (
	CallHelperID  Reg = 0 // imm is a helper's id
	CallLocalFunc Reg = 1 // imm is a slot offset from the next instruction
	CallKfuncID   Reg = 2 // imm is the BTF id of a kernel function
)

// Decode reads one slot. It is total and lossless: Append(nil, Decode(b)) gives b back for every 8 bytes.
func Decode(b [InsnSize]byte) Insn {
	return Insn{
		Op:  b[0],
		Dst: Reg(b[1] & 0xf),
		Src: Reg(b[1] >> 4),
		Off: int16(binary.LittleEndian.Uint16(b[2:])),
		Imm: int32(binary.LittleEndian.Uint32(b[4:])),
	}
}

// Append encodes in at the end of b.
func Append(b []byte, in Insn) []byte {
	b = append(b, in.Op, byte(in.Dst&0xf)|byte(in.Src)<<4)
	b = binary.LittleEndian.AppendUint16(b, uint16(in.Off))
	return binary.LittleEndian.AppendUint32(b, uint32(in.Imm))
}

// DecodeProgram reads a whole program. It fails only when the length is not a multiple of 8.
func DecodeProgram(b []byte) ([]Insn, error) {
	if len(b)%InsnSize != 0 {
		return nil, fmt.Errorf("program of %d bytes: not a multiple of %d", len(b), InsnSize)
	}
	prog := make([]Insn, 0, len(b)/InsnSize)
	for ; len(b) > 0; b = b[InsnSize:] {
		prog = append(prog, Decode([InsnSize]byte(b)))
	}
	return prog, nil
}

// EncodeProgram is the inverse of DecodeProgram.
func EncodeProgram(prog []Insn) []byte {
	b := make([]byte, 0, len(prog)*InsnSize)
	for _, in := range prog {
		b = Append(b, in)
	}
	return b
}

// Imm64 joins the halves of a 64-bit immediate load whose first slot is lo and whose second is hi.
func Imm64(lo, hi Insn) uint64 { return uint64(uint32(lo.Imm)) | uint64(uint32(hi.Imm))<<32 }
