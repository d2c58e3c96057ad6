package verifier

import (
	"fmt"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// Profile is a set of rules as data: limits, what control flow may do, and what a kernel knew. Make one with Newest,
// Linux or DAG, and change a copy for anything else (Profile is a plain value).
type Profile struct {
	Name   string
	Kernel kver.Version // what exists: helpers, map types, program types, instructions

	MaxInsns     int // most instruction slots of a program
	MaxProcessed int // most instructions visited over all paths
	MaxJumpSeq   int // most branches waiting on the path stack
	MaxFrames    int // most nested calls, the main function included
	MaxSubprogs  int
	MaxStack     int // bytes of stack of a chain of calls
	StackRound   int // each frame's stack counts rounded up to a multiple of it

	BackEdges BackEdgeRule

	// Caps are the loader's capabilities as far as the kernel knows them. With sets it, and what follows from it:
	Caps prog.Caps
	// PointerLeaks lets pointers become scalars and reach memory (kernel: allow_ptr_leaks, CAP_PERFMON).
	PointerLeaks bool
	// Mitigate walks mispredicted branches too, and refuses pointer arithmetic that can't be masked: Spectre (kernel: the
	// opposite of bypass_spec_v1, CAP_PERFMON).
	Mitigate bool
	// UninitStack lets uninitialised stack be read as unknown (kernel: allow_uninit_stack).
	UninitStack bool
	// Capable says that the loader has CAP_BPF (kernel: bpf_capable): local calls, bounded loops, precision.
	Capable bool
	// StrictAlign demands that packet and map accesses are aligned to their size (BPF_F_STRICT_ALIGNMENT).
	// Without it the rule is x86's and arm64's: unaligned packet and map accesses are fine.
	StrictAlign bool

	// Rules that releases brought; Rules says which.
	LinkedAdd      bool // scalars linked by x = y + const (6.12)
	LinkedSub      bool // also by negative constants, differences and 32-bit sums
	ForkSigns      bool // and, or of a number that is 0 or -1 are walked for each
	MapNotNull     bool // a map is not NULL (6.12)
	SpecBarriers   bool // what is wrong on a mispredicted path asks for a barrier, and is no rejection (6.17)
	ConstKeyMaps   bool // lookup of a constant valid array key is not null (6.15)
	Precision      bool // numbers that were not relied on may differ between states that are alike (5.3)
	FuncPrecision  bool // also in programs with functions (5.10)
	LinkedCopies   bool // copies of a number are linked (5.10)
	NullBranches   bool // comparisons of a valid pointer with 0 are decided (5.8)
	PacketEnds     bool // comparisons of a packet pointer with the end are decided by earlier ones (5.10)
	CtxImmStores   bool // constants may be stored to the ctx (6.4)
	PointerEquals  bool // a pointer that equals a valid one is not NULL (6.2)
	GlobalFuncs    bool // global functions are proved alone (5.6)
	GlobalMemory   bool // they may take pointers to memory (5.12)
	MapStructs     bool // programs may read the kernel's struct of a map (5.9)
	VarStackArgs   bool // helpers may get stack at variable offsets (4.19)
	VarStack       bool // loads and stores of stack may have variable offsets (5.10)
	TailCallsMix   bool // programs with functions may make tail calls (5.10)
	PacketLoadsMix bool // programs with functions may have classic packet loads (5.10)
	NumberSpill    bool // spilled numbers that are not constant are followed (5.10)
	NarrowSpill    bool // spills of less than 8 bytes are followed (5.10)
	ImmSpill       bool // so are stored constants (5.10)
	ZeroSpill      bool // zero is spilled as other numbers are, not as zero bytes (6.8)
	TruncatedFill  bool // fills narrower than the spill keep bounds (6.9)
	LinkedSpill    bool // spills are linked to the register (6.9)
	TestedBits     bool // branches on tested bits are decided and narrow (5.0)
	Bounds32       bool // numbers have 32-bit ranges (5.7)
	XorBounds      bool // xor is followed (5.10)
	EqualRanges    bool // (in)equality is decided by ranges, not only by constants (6.4)
	DeduceBounds   bool // ranges learn all they can of each other (6.8)
	UnknownBits    bool // or, xor and products with an unknown operand are followed (6.10)
	WrapSums       bool // sums and differences of which both ends wrap around are followed (6.17)
	RegBounds      bool // comparisons of two unknown registers are decided and narrow both (6.8)
	MulBounds      bool // products of negative and of wide ranges are followed (6.14)
	NegBounds      bool // negation keeps bounds (6.18)
	SwapBits       bool // byte swaps keep known bits
}

// BackEdgeRule says which backward edges the control flow may have.
type BackEdgeRule uint8

// The back-edge rules.
const (
	BackEdgesNone  BackEdgeRule = iota // none: a DAG (before 5.3, and unprivileged always)
	BackEdgesJumps                     // closed by a jump, but not by falling through or by a call (5.3 to 6.7)
	BackEdgesAll                       // any; walking finds out whether a loop ends (6.8)
)

// newestKernel is the release whose answers Newest gives.
var newestKernel = kver.V(6, 18)

// Newest is the newest kernel known here, 6.18, for a loader with CAP_BPF, CAP_PERFMON and CAP_NET_ADMIN.
func Newest() *Profile { return Linux(int(newestKernel.Major), int(newestKernel.Minor)) }

// Linux is the kernel release major.minor for a privileged loader: the rules of Rules up to it, and the tables of helpers,
// maps, program types and instructions. A release stands for the newest stable one of its series, as distributions ship
// them: fixes and what they brought along count from the series that has them. Releases newer than Newest answer as Newest,
// under their own name. Deviation: a release without a row that differs is one that nobody looked into; docs/kernels.md says
// which rows were read in sources.
func Linux(major, minor int) *Profile {
	p := &Profile{
		Name:   fmt.Sprintf("linux-%d.%d", major, minor),
		Kernel: kver.V(uint8(major), uint8(minor)),

		MaxFrames: 8, MaxSubprogs: 256, MaxStack: 512,

		Caps: prog.AllCaps, PointerLeaks: true, Capable: true,
	}
	p.setRules()
	return p
}

// Unprivileged is the newest kernel for a loader without capabilities: Newest().With(prog.NoCaps).
func Unprivileged() *Profile {
	p := Newest().With(prog.NoCaps)
	p.Name = "unprivileged"
	return p
}

// DAG is the classic rule set: no back edge of any kind, at most 4096 instructions, everything else as Newest.
func DAG() *Profile {
	p := Newest()
	p.Name = "dag"
	p.MaxInsns = 4096
	p.BackEdges = BackEdgesNone
	return p
}
