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
	{Name: "narrow spills", Since: kver.V(5, 16), Source: Known,
		Meaning: "numbers of less than 8 bytes keep their bounds on the stack",
		set:     func(p *Profile, on bool) { p.NarrowSpill = on }},
	{Name: "uninit stack", Since: kver.V(6, 1), Source: Read,
		Meaning: "privileged programs may read stack that they never wrote (6.3, and the later releases of the 6.1 series)",
		set:     func(p *Profile, on bool) { p.UninitStack = on }},
	{Name: "any back edge", Since: kver.V(6, 8), Source: Read,
		Meaning: "a loop may also be closed by a call or by falling through",
		set: func(p *Profile, on bool) {
			p.BackEdges = pick(on, BackEdgesAll, min(p.BackEdges, BackEdgesJumps))
		}},
	{Name: "truncated fills", Since: kver.V(6, 8), Source: Read,
		Meaning: "loads narrower than what was spilled, and spilled constants, keep bounds",
		set:     func(p *Profile, on bool) { p.TruncatedFill = on }},
	{Name: "register bounds", Since: kver.V(6, 8), Source: Read,
		Meaning: "a comparison of two unknown registers is decided by their ranges, and narrows both",
		set:     func(p *Profile, on bool) { p.RegBounds = on }},
	{Name: "linked sums", Since: kver.V(6, 12), Source: Read,
		Meaning: "x = y + constant stays linked to y: what is learnt of one holds for the other",
		set:     func(p *Profile, on bool) { p.LinkedAdd = on }},
	{Name: "map not null", Since: kver.V(6, 12), Source: Read,
		Meaning: "the address of a map is not NULL (6.17, and the later releases of the 6.12 series)",
		set:     func(p *Profile, on bool) { p.MapNotNull = on }},
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
	{Name: "negation bounds", Since: kver.V(6, 18), Source: Seen,
		Meaning: "a negated number keeps bounds",
		set:     func(p *Profile, on bool) { p.NegBounds = on }},
	{Name: "linked differences", Since: kver.V(6, 18), Source: Seen,
		Meaning: "x = y - constant, and sums of 32 bits, stay linked to y",
		set:     func(p *Profile, on bool) { p.LinkedSub = on }},
	{Name: "sign forks", Since: kver.V(6, 18), Source: Seen,
		Meaning: "and, or of a number that is 0 or -1 are walked for each of the two",
		set:     func(p *Profile, on bool) { p.ForkSigns = on }},
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
