package jit

import (
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/vm"
)

// This file is the contract between Go and machine code: who lives in which register, the state block that both
// read and write, and the reasons for leaving machine code. Nothing else states any of it.

// x64Map gives the home of each BPF register on amd64. R1-R5 and R0 follow the C calling convention where they can, as in the
// kernel's JIT. R10 holds the guest address like any other register, not a host address: an access of the frame is
// [base + R10 + offset], one instruction either way, and R10 as a value needs no conversion.
var x64Map = [asm.NumRegs]amd64.Reg{
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

// The registers of amd64 that no BPF register lives in. RSP is a private native stack.
const (
	// x64Fuel counts down the instructions that may still run before the next visit to Go. Shifts by a register, which
	// want their count in CL, use BMI2 or save it; everything else leaves it alone, and so a block costs one sub.
	x64Fuel = amd64.RCX
	// x64Base is the host address of guest address 0. Division overwrites it and loads it again.
	x64Base = amd64.RDX
	// x64State is the address of the state block.
	x64State = amd64.R12
	// x64Scratch holds guest addresses and whatever else dies within one BPF instruction.
	x64Scratch = amd64.R11
)

// a64Map gives the home of each BPF register on arm64: R1-R5 are those of the C calling convention, R6-R10 are saved by it.
var a64Map = [asm.NumRegs]arm64.Reg{
	asm.R0:  arm64.X7,
	asm.R1:  arm64.X0,
	asm.R2:  arm64.X1,
	asm.R3:  arm64.X2,
	asm.R4:  arm64.X3,
	asm.R5:  arm64.X4,
	asm.R6:  arm64.X19,
	asm.R7:  arm64.X20,
	asm.R8:  arm64.X21,
	asm.R9:  arm64.X22,
	asm.R10: arm64.X25,
}

// The registers of arm64 that no BPF register lives in. SP is a private native stack, a multiple of 16 at all times, and
// X30 the return address of the running function. X28 is Go's g, which its signal handlers rely on, and X18 belongs to
// the system: machine code never touches either.
const (
	// a64Fuel counts down the instructions that may still run before the next visit to Go.
	a64Fuel = arm64.X8
	// a64Frame is the host address of the middle of the frame, see frameMiddle.
	a64Frame = arm64.X23
	// a64Base is the host address of guest address 0.
	a64Base = arm64.X24
	// a64State is the address of the state block.
	a64State = arm64.X26
	// What dies within one BPF instruction: constants and the numbers of sites, guest addresses, host addresses, and the
	// outcome of an exclusive store.
	a64Scratch = arm64.X9
	a64Addr    = arm64.X11
	a64Host    = arm64.X10
	a64Status  = arm64.X12
)

// state is the block that x64State or a64State points to, behind the native stack. It holds no Go pointers: the
// collector doesn't look into it. Addresses are uint64, so that the layout is the same on every architecture.
type state struct {
	goSP     uint64 // Go's stack while machine code runs; the trampoline's
	goBP     uint64
	nativeSP uint64 // the private stack while Go runs
	resume   uint64 // where the resume stub continues
	base     uint64 // host address of guest address 0
	fuel     int64  // x64Fuel or a64Fuel while Go runs
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
	goLR      uint64 // arm64: where the trampoline was called
}

// Offsets of state's fields.
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
	offGoLR      = int32(unsafe.Offsetof(state{}.goLR))
)

// siteDone in state.site says that the run, or the batch, is over and R0 is in regs[0].
const siteDone = 0

// site is a place where a program's machine code leaves for Go. Code at the site only puts its number in a scratch register and
// jumps to the leave stub; all else that Go needs to know of it is here.
type site struct {
	kind   siteKind
	pc     int32 // slot of the instruction
	over   int32 // instructions charged to the fuel but not yet executed
	resume int32 // offset in the code to continue at
}

type siteKind uint8

const (
	exitDone    siteKind = iota
	exitYield            // fuel is used up at a taken backward jump or a local call
	exitPause            // fuel is used up where a long program goes on without a loop
	exitBatch            // fuel is used up between two frames of a batch
	exitHelper           // call of a helper: Imm of the instruction is its id
	exitCallReg          // call of a helper: the register that the instruction names has its id
	exitDepth            // local call in the last frame
	exitBad              // instruction that no engine runs
	exitPacket           // classic packet load
	exitArena            // load, store, atomic or cast of an arena's pointer
	exitAtomic           // atomic at an address that is not a multiple of its size
)
