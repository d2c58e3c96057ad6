package verifier

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

// Options of Verify. The zero value is the newest kernel's privileged rules.
type Options struct {
	// Profile says whose rules; nil is Newest().
	Profile *Profile
	// BTF are the types of the kernel. Without them its objects can be passed on, but not looked into, and of struct bpf_map
	// only the first members are known.
	BTF *btf.Types
	// Log receives the verifier's log, a line a call without the newline, in the kernel's format; nil is faster. Addresses
	// in the kernel are 0 in it.
	Log func(line string)
	// LogLevel says what Log receives; 0 is LogBranches.
	LogLevel LogLevel
	// Tables are the helpers and kernel functions that there are, an embedder's own among them; nil is the kernel's.
	Tables *helpers.Tables
	// Outside says that the program is to run outside of a kernel: weak kernel functions that no engine has are absent then,
	// whatever the profile has, and the program counts as bound to the device that its packets come from.
	Outside bool
	// Heat asks for Stats.Heat.
	Heat bool
}

// LogLevel is a set of the kernel's log levels (BPF_LOG_LEVEL1, BPF_LOG_LEVEL2, BPF_LOG_STATS).
type LogLevel uint8

// The log levels.
const (
	LogBranches LogLevel = 1 << iota // the path to the error; of paths that ended well nothing stays
	LogInsns                         // all paths, the whole state where one is taken up, and what becomes precise
	LogStats                         // time, and the depth of the stack

	// LogStates has before every instruction a line with the whole state, instead of what changed behind it. The kernel has
	// no such level.
	LogStates LogLevel = 1 << 7
)

// Verified is the proof that a program may run: only Verify makes one.
type Verified struct {
	prog    *prog.Program
	profile *Profile
	stats   Stats
	tables  *helpers.Tables
	proof   prog.Proof

	kernelPC int
}

// Program returns the program that was proved.
func (v *Verified) Program() *prog.Program { return v.prog }

// Profile returns the rules that it was proved under.
func (v *Verified) Profile() *Profile { return v.profile }

// Tables returns the helpers and kernel functions that it was proved with: the machine that runs it must have the same.
func (v *Verified) Tables() *helpers.Tables { return v.tables }

// Proof is what engines want to know that only a proof shows: see vm.Machine.LinkProved.
func (v *Verified) Proof() prog.Proof { return v.proof }

// Stats returns what the proof cost.
func (v *Verified) Stats() Stats { return v.stats }

// Runnable says why the program cannot run outside of a kernel, although it would load there: nil when it can. The error is
// an *Error. Reads of a kernel's objects and calls of helpers and kernel functions that no engine has are a reason where a path leads to
// them.
func (v *Verified) Runnable() error {
	if v.kernelPC < 0 {
		return nil
	}
	at := verifier{prog: v.prog}
	in := v.prog.Insns[v.kernelPC]
	if r := v.tables.ByID(in.Imm); r != nil && asm.KindOf(in) == asm.CallHelper {
		return at.failAt(v.kernelPC, Unsupported, "helper %s is not implemented: %s", r.Name, helpers.WhyNot(r.Name))
	}
	if f, ok := v.prog.Kfunc(in.Imm); ok && (asm.KindOf(in) == asm.CallKfunc || in.Src == asm.PseudoBTFID) {
		return at.failAt(v.kernelPC, Unsupported, "kernel function %s is not implemented: %s", f.Name, helpers.WhyNot(f.Name))
	}
	return at.failAt(v.kernelPC, Unsupported, "this reads an object of the kernel, and there is none here")
}

// Stats counts the work of a verification, as the kernel's log does.
type Stats struct {
	Processed   int   // instructions visited, over all paths
	States      int   // states kept for pruning
	PeakStates  int   // states kept at one time
	StackDepth  []int // bytes of stack of each function in the order of prog.Program.Funcs
	LongestPath int   // instructions of the longest path, from the start or until it was pruned

	MaxStatesPerInsn int // most states that one instruction had to be compared with

	// Heat says where the work went: an entry for each slot of prog.Program.Insns. nil without Options.Heat, and when the
	// program was rejected before the walk.
	Heat []Heat
}

// Heat is the part of an instruction in the work of a verification.
type Heat struct {
	Visits int // how often it was visited; they add up to Stats.Processed
	States int // states that were kept there; they add up to Stats.States
}

// Error is a rejection. It is data; Error and the command line make text of it.
type Error struct {
	Code   Code
	Prog   string
	PC     int        // slot of the offending instruction; -1 when no one instruction is
	Insn   asm.Insn   // at PC
	Line   *prog.Line // C source of PC, nil when the object has no line info
	Kernel string     // what the kernel's log would say
	Reason string     // what was expected and what was found
	Causes []Cause    // instructions that it goes back to, in the order of the path; its reason in steps
	State  string     // registers and stack slots that the cause involves, kernel notation
	Path   []Step     // branches that led to PC, oldest first
	Hint   string     // what to change
	Stats  Stats
	// Need is what the program asks for and only a newer kernel than the profile's has; nil when the program is at fault.
	Need *Need

	about subject
}

// Cause is an instruction before an error that had a part in it.
type Cause struct {
	PC   int
	Line *prog.Line // C source of PC, nil when the object has no line info
	Text string     // what it did
}

// Step is a branch on the path to an error.
type Step struct {
	PC    int
	Taken bool
	Line  *prog.Line
	Text  string // the instruction
	Why   string // what left no other way; "" when both were possible
}
