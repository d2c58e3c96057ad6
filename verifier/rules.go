package verifier

import (
	"slices"

	"github.com/skepvm/skep/kver"
)

// RuleRow is a rule of the verifier that a kernel release brought: something that older ones refuse, do not know or
// count differently.
type RuleRow struct {
	Name    string       // stable: tools may match on it
	Since   kver.Version // release that brought it
	Meaning string
	Source  Source
	set     func(p *Profile, on bool)
}

// Source says where a statement about releases comes from.
type Source string

// The sources.
const (
	Read  Source = "sources"   // read in the sources of a release before and of one after
	Seen  Source = "seen"      // measured on a running kernel
	Known Source = "knowledge" // from change logs and documentation, or from memory
)

// Rules are the rules that depend on the release, the oldest first. Rules without a row hold in every profile. A profile
// of a release has the rules up to it: the row's Set says what that means.
var Rules = []RuleRow{
	{Name: "variable stack arguments", Since: kver.V(4, 19), Source: Known,
		Meaning: "helpers may get stack memory at a variable offset (5.2, and the later releases of the 4.19 series)",
		set:     func(p *Profile, on bool) { p.VarStackArgs = on }},
	{Name: "tested bits", Since: kver.V(5, 0), Source: Read,
		Meaning: "a branch on tested bits (jset) is decided by known bits, and narrows them",
		set:     func(p *Profile, on bool) { p.TestedBits = on }},
	{Name: "big programs", Since: kver.V(5, 2), Source: Read,
		Meaning: "1,000,000 instructions in a program and over all its paths, in place of 4096 and 131,072",
		set: func(p *Profile, on bool) {
			p.MaxInsns, p.MaxProcessed, p.MaxJumpSeq = 4096, 131072, 1024
			if on {
				p.MaxInsns, p.MaxProcessed, p.MaxJumpSeq = 1_000_000, 1_000_000, 8192
			}
		}},
	{Name: "bounded loops", Since: kver.V(5, 3), Source: Read,
		Meaning: "jumps may go backward: the walk finds out whether the loop ends",
		set:     func(p *Profile, on bool) { p.BackEdges = pick(on, BackEdgesJumps, BackEdgesNone) }},
	{Name: "precision", Since: kver.V(5, 3), Source: Read,
		Meaning: "two states are alike although numbers differ in them that nothing relied on",
		set:     func(p *Profile, on bool) { p.Precision = on }},
	{Name: "global functions", Since: kver.V(5, 6), Source: Known,
		Meaning: "functions that are not static are proved alone: callers know of the result only that it is a number",
		set:     func(p *Profile, on bool) { p.GlobalFuncs = on }},
	{Name: "32-bit bounds", Since: kver.V(5, 7), Source: Read,
		Meaning: "the low half of a number has ranges of its own, which 32-bit operations and comparisons follow",
		set:     func(p *Profile, on bool) { p.Bounds32 = on }},
	{Name: "null branches", Since: kver.V(5, 8), Source: Known,
		Meaning: "a comparison of a valid pointer with 0 is decided",
		set:     func(p *Profile, on bool) { p.NullBranches = on }},
	{Name: "structs of maps", Since: kver.V(5, 9), Source: Known,
		Meaning: "privileged programs may read the kernel's struct of a map",
		set:     func(p *Profile, on bool) { p.MapStructs = on }},
	{Name: "xor bounds", Since: kver.V(5, 10), Source: Read,
		Meaning: "xor with a constant keeps bounds",
		set:     func(p *Profile, on bool) { p.XorBounds = on }},
	{Name: "precision in programs with functions", Since: kver.V(5, 10), Source: Read,
		Meaning: "as precision (6.2, and the later releases of the 5.10 series)",
		set:     func(p *Profile, on bool) { p.FuncPrecision = on }},
	{Name: "linked copies", Since: kver.V(5, 10), Source: Read,
		Meaning: "what is learnt of a number holds for the registers that it was copied to and from",
		set:     func(p *Profile, on bool) { p.LinkedCopies = on }},
	{Name: "packet ends", Since: kver.V(5, 10), Source: Read,
		Meaning: "a comparison of a packet pointer with the packet's end is decided by an earlier one",
		set:     func(p *Profile, on bool) { p.PacketEnds = on }},
	{Name: "variable stack offsets", Since: kver.V(5, 10), Source: Read,
		Meaning: "loads and stores of the stack may have a variable offset (5.12, and the later releases of the 5.10 series)",
		set:     func(p *Profile, on bool) { p.VarStack = on }},
	{Name: "tail calls beside functions", Since: kver.V(5, 10), Source: Read,
		Meaning: "programs with functions may make tail calls, on x86-64",
		set:     func(p *Profile, on bool) { p.TailCallsMix = on }},
	{Name: "packet loads beside functions", Since: kver.V(5, 10), Source: Read,
		Meaning: "programs with functions may have classic packet loads",
		set:     func(p *Profile, on bool) { p.PacketLoadsMix = on }},
	{Name: "number spills", Since: kver.V(5, 10), Source: Read,
		Meaning: "numbers that are not constant keep their bounds on the stack",
		set:     func(p *Profile, on bool) { p.NumberSpill = on }},
	{Name: "narrow spills", Since: kver.V(5, 10), Source: Read,
		Meaning: "numbers of less than 8 bytes do too (5.16, and the later releases of the 5.10 series)",
		set:     func(p *Profile, on bool) { p.NarrowSpill = on }},
	{Name: "constant stores", Since: kver.V(5, 10), Source: Read,
		Meaning: "constants that are stored to the stack are known when they are loaded (6.3, and the later releases of the 5.10 series)",
		set:     func(p *Profile, on bool) { p.ImmSpill = on }},
	{Name: "memory for global functions", Since: kver.V(5, 12), Source: Known,
		Meaning: "global functions may take pointers to memory of a size that their prototype tells",
		set:     func(p *Profile, on bool) { p.GlobalMemory = on }},
	{Name: "uninit stack", Since: kver.V(6, 1), Source: Read,
		Meaning: "privileged programs may read stack that they never wrote (6.3, and the later releases of the 6.1 series)",
		set:     func(p *Profile, on bool) { p.UninitStack = on }},
	{Name: "equal pointers", Since: kver.V(6, 2), Source: Known,
		Meaning: "a pointer that may be NULL is not where it equals one that is not",
		set:     func(p *Profile, on bool) { p.PointerEquals = on }},
	{Name: "constants into the ctx", Since: kver.V(6, 4), Source: Read,
		Meaning: "a constant may be stored to a ctx field without a register",
		set:     func(p *Profile, on bool) { p.CtxImmStores = on }},
	{Name: "equal ranges", Since: kver.V(6, 4), Source: Read,
		Meaning: "a comparison for equality is decided where the ranges do not meet",
		set:     func(p *Profile, on bool) { p.EqualRanges = on }},
	{Name: "any back edge", Since: kver.V(6, 8), Source: Read,
		Meaning: "a loop may also be closed by a call or by falling through",
		set: func(p *Profile, on bool) {
			p.BackEdges = pick(on, BackEdgesAll, min(p.BackEdges, BackEdgesJumps))
		}},
	{Name: "spilled zeros", Since: kver.V(6, 8), Source: Read,
		Meaning: "a zero that is stored to the stack is one number, as others are; before, it was zero bytes",
		set:     func(p *Profile, on bool) { p.ZeroSpill = on }},
	{Name: "register bounds", Since: kver.V(6, 8), Source: Read,
		Meaning: "a comparison of two unknown registers is decided by their ranges, and narrows both",
		set:     func(p *Profile, on bool) { p.RegBounds = on }},
	{Name: "deduced bounds", Since: kver.V(6, 8), Source: Read,
		Meaning: "signed, unsigned, 64-bit and 32-bit ranges learn all they can of each other, and inequality narrows them",
		set:     func(p *Profile, on bool) { p.DeduceBounds = on }},
	{Name: "truncated fills", Since: kver.V(6, 9), Source: Read,
		Meaning: "loads of the low part of what was spilled keep bounds",
		set:     func(p *Profile, on bool) { p.TruncatedFill = on }},
	{Name: "linked spills", Since: kver.V(6, 9), Source: Known,
		Meaning: "a number on the stack stays linked to the register that it came from",
		set:     func(p *Profile, on bool) { p.LinkedSpill = on }},
	{Name: "unknown bits", Since: kver.V(6, 10), Source: Read,
		Meaning: "or, xor and products of two unknown numbers have bounds",
		set:     func(p *Profile, on bool) { p.UnknownBits = on }},
	{Name: "linked sums", Since: kver.V(6, 12), Source: Read,
		Meaning: "x = y + constant stays linked to y: what is learnt of one holds for the other",
		set:     func(p *Profile, on bool) { p.LinkedAdd = on }},
	{Name: "map not null", Since: kver.V(6, 12), Source: Read,
		Meaning: "the address of a map is not NULL (6.17, and the later releases of the 6.12 series)",
		set:     func(p *Profile, on bool) { p.MapNotNull = on }},
	{Name: "sign forks", Since: kver.V(6, 12), Source: Read,
		Meaning: "and, or of a number that is 0 or -1 are walked for each of the two (the later releases of the 6.12 series)",
		set:     func(p *Profile, on bool) { p.ForkSigns = on }},
	{Name: "stack by 16", Since: kver.V(6, 12), Source: Read,
		Meaning: "each function's stack counts in steps of 16 bytes, not 32, where there is a JIT",
		set:     func(p *Profile, on bool) { p.StackRound = pick(on, 16, 32) }},
	{Name: "product bounds", Since: kver.V(6, 14), Source: Read,
		Meaning: "products of negative numbers and of wide ranges have bounds",
		set:     func(p *Profile, on bool) { p.MulBounds = on }},
	{Name: "constant keys", Since: kver.V(6, 15), Source: Read,
		Meaning: "a lookup of a constant, valid key of an array is not NULL",
		set:     func(p *Profile, on bool) { p.ConstKeyMaps = on }},
	{Name: "speculation barriers", Since: kver.V(6, 17), Source: Read,
		Meaning: "without CAP_PERFMON, what is wrong only behind a mispredicted branch gets a barrier and is no rejection",
		set:     func(p *Profile, on bool) { p.SpecBarriers = on }},
	{Name: "wrapping sums", Since: kver.V(6, 17), Source: Known,
		Meaning: "a sum or difference has bounds where both its ends wrap around",
		set:     func(p *Profile, on bool) { p.WrapSums = on }},
	{Name: "negation bounds", Since: kver.V(6, 18), Source: Seen,
		Meaning: "a negated number keeps bounds",
		set:     func(p *Profile, on bool) { p.NegBounds = on }},
	{Name: "linked differences", Since: kver.V(6, 18), Source: Seen,
		Meaning: "x = y - constant, and sums of 32 bits, stay linked to y",
		set:     func(p *Profile, on bool) { p.LinkedSub = on }},
	{Name: "swap bits", Since: kver.V(6, 18), Source: Seen,
		Meaning: "byte swaps keep known bits",
		set:     func(p *Profile, on bool) { p.SwapBits = on }},
}

func pick[T any](on bool, yes, no T) T {
	if on {
		return yes
	}
	return no
}

// Set switches the rule on or off in p.
func (r *RuleRow) Set(p *Profile, on bool) { r.set(p, on) }

// setRules gives p the rules of its kernel.
func (p *Profile) setRules() {
	for i := range slices.Backward(Rules) {
		Rules[i].set(p, false)
	}
	for i := range Rules {
		if p.Kernel.AtLeast(Rules[i].Since) {
			Rules[i].set(p, true)
		}
	}
}
