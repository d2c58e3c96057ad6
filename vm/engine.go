// Package vm runs programs: a Machine holds the guest memory, maps and linked programs, a CPU is one virtual
// processor of it, and an Engine runs one program on one CPU. The engine here is the interpreter; package jit has
// another with the same meaning.
package vm

// Engine runs one program on one CPU. All engines agree on R0, memory, maps and the instruction count of every
// run that ends without a fault; that, and what follows, is the contract that their tests check.
//
// Addresses. Every access is at uint32(register + offset), masked to the space.
//
// Start. R1 is the ctx, R10 the top of frame 0; R0 and R2-R9 are zero.
//
// Frames. A frame is zeroed when an activation begins in it, and when a tail call's target takes it over, if the program
// that begins there is one that ZeroesFrames. Those that LinkVerified made find what was there: it depends on earlier runs.
//
// Count. Each executed instruction counts 1, a 64-bit immediate load too. The budget is compared at three places only:
// a taken jump to the same or an earlier slot, a call of a local function, a tail call that succeeds. When the count, that
// instruction included, is above the budget, the run stops there with BudgetExceeded. Helper calls don't look.
//
// Local calls. R6-R9 are saved and given back, R10 is the next frame's top; more than MaxFrames frames is a CallDepth
// fault. R0-R5 pass through unchanged. Each callback of a helper (bpf_loop, bpf_for_each_map_elem) is such a call.
//
// Tail calls (helper 12: R1 ctx, R2 program array, R3 index). The target takes the place of the running function, in its
// frame and with the lower half of R1: an exit goes to whoever called that function. A tail call that fails leaves
// R0 = TailCallFailed and goes on. At most MaxTailCalls succeed in a run.
//
// callx calls the helper whose id the register holds, all 64 bits of it: also a tail call or one that calls back. Only
// programs that were not verified have it.
//
// may_goto. Each function activation may pass MaxLoops of them without jumping; after that every one jumps.
//
// Packet loads (LD_ABS, LD_IND) read [data, data_end) of the run's ctx, not through R6. Out of bounds, R0 becomes 0
// and the function exits. R1-R5 are kept.
type Engine interface {
	Name() string // "interp", "checked", "jit"
	// Run runs the program once. The error is a *Fault; Result.Insns is valid then too.
	Run(ctx uint32) (Result, error)
	// RunBatch runs the program on n ctxs, stride bytes apart, and writes prog.FrameRet and prog.FrameInsns of each frame
	// header. It stops at the first fault; done counts the runs before it.
	RunBatch(first, stride uint32, n int) (done int, err error)
}

// Result is how a run ended.
type Result struct {
	R0    uint64
	Insns uint64 // instructions executed
}

// Limits of a run, the kernel's.
const (
	MaxFrames     = 8       // activations of functions of a run, the entry included (MAX_CALL_FRAMES)
	FrameSize     = 512     // bytes of stack of each (MAX_BPF_STACK)
	MaxTailCalls  = 33      // successful tail calls of a run (MAX_TAIL_CALL_CNT)
	MaxLoops      = 8 << 20 // passed may_gotos of an activation, and iterations of bpf_loop (BPF_MAX_LOOPS)
	MaxInsns      = 1 << 20 // slots of a program
	DefaultBudget = 1 << 32 // instructions of a run when Config.Budget is 0
)
