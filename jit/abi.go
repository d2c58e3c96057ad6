package jit

import (
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/vm"
)

// This file is the contract between Go and machine code: who lives in which register, the state block that both
// read and write, and the reasons for leaving machine code. Nothing else states any of it.

// regMap gives the home of each BPF register. R1-R5 and R0 follow the C calling convention where they can, as in the
// kernel's JIT. R10 holds the guest address like any other register, not a host address: an access of the frame is
// [base + R10 + offset], one instruction either way, and R10 as a value needs no conversion.
var regMap = [asm.NumRegs]amd64.Reg{
	asm.R0:  amd64.RAX,
	asm.R1:  amd64.RDI,
	asm.R2:  amd64.RSI,
	asm.R3:  amd64.R8,
	asm.R4:  amd64.R9,
	asm.R5:  amd64.R10,
	asm.R6:  amd64.RBX,
	asm.R7:  amd64.R13,
	asm.R8:  amd64.R14,
	asm.R9:  amd64.R15,
	asm.R10: amd64.RBP,
}

// The registers that no BPF register lives in. RSP is a private native stack.
const (
	// fuelReg counts down the instructions that may still run before the next visit to Go. Shifts by a register, which
	// want their count in CL, use BMI2 or save it; everything else leaves it alone, and so a block costs one sub.
	fuelReg = amd64.RCX
	// baseReg is the host address of guest address 0. Division overwrites it and loads it again.
	baseReg = amd64.RDX
	// stateReg is the address of the state block.
	stateReg = amd64.R12
	// scratch holds guest addresses and whatever else dies within one BPF instruction.
	scratch = amd64.R11
)

// state is the block that stateReg points to, at the end of the native stack's mapping. It holds no Go pointers: the
// collector doesn't know of it. Addresses are uint64, so that the layout is the same on every architecture.
type state struct {
	goSP     uint64 // Go's stack while machine code runs; the trampoline's
	goBP     uint64
	nativeSP uint64 // the private stack while Go runs
	resume   uint64 // where the resume stub continues
	base     uint64 // host address of guest address 0
	fuel     int64  // fuelReg while Go runs
	regs     [asm.NumRegs]uint64

	site      uint32 // why machine code left: index of a site of program code, or siteDone
	code      uint32 // id of the program that site belongs to
	ctx       uint32 // R1 at the start of the run, the frame of a batch
	stackTop  uint32 // R10 of frame 0
	lastFrame uint32 // R10 of the last frame that there is
	cpu       uint32 // number of the virtual CPU
	stride    uint32 // distance of a batch's frames
	left      uint32 // frames of the batch from the current one on; 0 outside a batch
	frameFuel int64  // fuel at the start of the current frame, plus what Go added since
	loops     [vm.MaxFrames]uint32
}

// Offsets of state's fields from stateReg.
const (
	offGoSP      = int32(unsafe.Offsetof(state{}.goSP))
	offGoBP      = int32(unsafe.Offsetof(state{}.goBP))
	offNativeSP  = int32(unsafe.Offsetof(state{}.nativeSP))
	offResume    = int32(unsafe.Offsetof(state{}.resume))
	offBase      = int32(unsafe.Offsetof(state{}.base))
	offFuel      = int32(unsafe.Offsetof(state{}.fuel))
	offRegs      = int32(unsafe.Offsetof(state{}.regs))
	offSite      = int32(unsafe.Offsetof(state{}.site))
	offCode      = int32(unsafe.Offsetof(state{}.code))
	offCtx       = int32(unsafe.Offsetof(state{}.ctx))
	offStackTop  = int32(unsafe.Offsetof(state{}.stackTop))
	offLastFrame = int32(unsafe.Offsetof(state{}.lastFrame))
	offCPU       = int32(unsafe.Offsetof(state{}.cpu))
	offStride    = int32(unsafe.Offsetof(state{}.stride))
	offLeft      = int32(unsafe.Offsetof(state{}.left))
	offFrameFuel = int32(unsafe.Offsetof(state{}.frameFuel))
	offLoops     = int32(unsafe.Offsetof(state{}.loops))
)

// siteDone in state.site says that the run, or the batch, is over and R0 is in regs[0].
const siteDone = 0

// site is a place where a program's machine code leaves for Go. Code at the site only puts its number in scratch and
// jumps to the leave stub; all else that Go needs to know of it is here.
type site struct {
	kind   siteKind
	pc     int32 // slot of the instruction
	over   int32 // instructions charged to the fuel but not yet executed
	resume int32 // offset in the code to continue at
}

type siteKind uint8

const (
	exitDone   siteKind = iota
	exitYield           // fuel is used up at a taken backward jump or a local call
	exitBatch           // fuel is used up between two frames of a batch
	exitHelper          // call of a helper: Imm of the instruction is its id
	exitDepth           // local call in the last frame
	exitBad             // instruction that no engine runs
	exitPacket          // classic packet load
	exitAtomic          // atomic at an address that is not a multiple of its size
)
