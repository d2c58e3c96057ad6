package verifier

import (
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// verifier is one verification.
type verifier struct {
	prog    *prog.Program
	profile *Profile
	row     *prog.TypeRow
	attach  prog.Attach
	log     *logger // nil when nobody reads it

	givenBTF     *btf.Types // nil when the caller has none
	kernel       *btf.Types // see kernelTypes
	hook         hook       // of tracing and LSM programs
	tables       *helpers.Tables
	arenaMap     int    // index of the arena that the program loads; -1 without one
	packetStores uint32 // see prog.Proof
	kernelPC     int    // where the program does what only a kernel can do for it; -1 when it doesn't
	outside      bool   // see Options
	sleepable    bool

	mapFields, innerFields [][]btf.Field
	structFields           map[int32][]btf.Field

	insns []insn
	subs  []subprog
	subOf []int32 // function of each slot
	// jumpsBack says that something leads to an instruction before it.
	jumpsBack bool

	walking int // the function that is walked by itself: the program, or a global function
	cur     *state
	pc      int
	pending []branch
	links   []link
	ids     idMap
	*arena

	lastID uint32 // last id given out
	// jumps and processed of now and of when a state was kept last, for the kernel's heuristics.
	jumps, lastJumps, lastProcessed int

	keptNow    int // states that paths are compared with
	evictedNow int // evicted states that are still on some path
	live       liveness
	visits     []*loopVisit
	unsettled  int // ends of paths in loops that are not done yet
	// allMatter is set when every number of two states is compared, not only those that were relied on: without CAP_BPF, and
	// in old releases.
	allMatter bool
	// sweepAt is how many evicted states there are when finished ones are looked for next; memLimit how many bytes of
	// states when limitMemory has something to do next.
	sweepAt, memLimit int

	mitigations  []mitigation // against Spectre, by slot; nil when the loader has CAP_PERFMON
	exactScalars bool         // states are alike only when their scalars are the same: masks depend on them

	stats Stats
	back  backtracker
	call  callInfo
	trace *trace // records the path to a rejection, in a second walk
	kcall kfuncInfo

	structs []string // names of kernel structs that pointers point to, see structID
}

// branch is the other way of a branch that was not walked yet.
type branch struct {
	st     *state
	pc     int
	from   int // the branch
	logged int // end of the log then
}

// Verify proves p safe to run under the profile's rules, or says why it can't. The error is an *Error. It always ends:
// work is bounded by the profile's limits.
func Verify(p *prog.Program, o Options) (*Verified, error) {
	v := newVerifier(p, &o)
	if o.Log != nil {
		v.log = newLogger(&o)
	}
	err := v.run()
	v.report(o.Heat)
	if err != nil {
		err = v.explain(&o, err)
	}
	if v.log != nil {
		v.log.end(v, err)
	}
	proof := prog.Proof{Arena: v.arenaProof(), PacketStores: v.packetStores}
	v.recycle()
	if err != nil {
		err.Stats = v.stats
		return nil, err
	}
	return &Verified{prog: p, profile: v.profile, stats: v.stats, tables: v.tables, kernelPC: v.kernelPC, proof: proof}, nil
}

// newVerifier makes a verifier that writes no log. Its arena has to be recycled.
func newVerifier(p *prog.Program, o *Options) *verifier {
	profile := o.Profile
	if profile == nil {
		profile = Newest()
	}
	return &verifier{prog: p, profile: profile, givenBTF: o.BTF, tables: o.Tables, kernelPC: -1, arenaMap: -1, outside: o.Outside, arena: arenas.Get().(*arena)}
}

func (v *verifier) run() *Error {
	if err := v.checkProgram(); err != nil {
		return err
	}
	v.row = v.prog.Row()
	v.attach = v.prog.Attach()
	s, ok := prog.SectionOf(v.prog.Section)
	v.sleepable = v.prog.Type == prog.Syscall || ok && s.Sleepable && s.Type == v.prog.Type
	if err := v.findHook(); err != nil {
		return err
	}
	v.findFields()
	v.decode()
	if err := v.checkForm(); err != nil {
		return err
	}
	v.allMatter = !v.profile.Capable || !v.profile.Precision || len(v.subs) > 1 && !v.profile.FuncPrecision
	v.prepare(len(v.insns))
	if v.profile.Mitigate {
		v.mitigations = make([]mitigation, len(v.insns))
	}
	if err := v.walkAll(); err != nil {
		return err
	}
	v.cur = nil
	if err := v.checkArenaLoads(); err != nil {
		return err
	}
	if err := v.checkStackDepth(); err != nil {
		return err
	}
	if err := v.checkTailCalls(); err != nil {
		return err
	}
	if err := v.checkCallbacksThrow(); err != nil {
		return err
	}
	v.inlinedLoops()
	return v.checkDead()
}

// checkProgram checks what concerns the program as a whole.
func (v *verifier) checkProgram() *Error {
	p := v.prog
	switch {
	case p == nil:
		return v.failAt(-1, Broken, "no program")
	case p.Broken != "":
		return v.failAt(-1, Broken, "%s", p.Broken)
	case slices.Contains(p.Maps, nil):
		return v.failAt(-1, Broken, "map %d is not there", slices.Index(p.Maps, nil))
	case len(p.Insns) == 0:
		return v.failAt(-1, Empty, "program has no instructions")
	case len(p.Insns) > v.profile.MaxInsns:
		return v.failAt(-1, TooLong, "program is too large: %d instructions, the limit is %d", len(p.Insns), v.profile.MaxInsns)
	case p.Type == prog.Own && p.Own != nil:
		return v.checkOwnType()
	case p.Type.Row().Type == prog.Unspec, p.Type == prog.Own:
		return v.failAt(-1, BadProgType, "unknown program type %d", p.Type)
	case !v.profile.Kernel.AtLeast(p.Type.Row().Since):
		since := p.Type.Row().Since
		return v.failAt(-1, BadProgType, "program type %s needs kernel %v", p.Type, since).needs(NeedType, p.Type.String(), since)
	case !v.profile.Caps.Has(p.Type.Row().Needs):
		return v.failAt(-1, NotPrivileged, "%s", v.lacks("program type "+p.Type.String(), p.Type.Row().Needs))
	}
	if s, ok := prog.SectionOf(p.Section); ok && s.Type == p.Type && !v.profile.Kernel.AtLeast(s.Since) {
		return v.failAt(-1, BadProgType, "programs of section %s need kernel %v", s.Name(), s.Since).needs(NeedAttach, s.Name(), s.Since)
	}
	return nil
}

// checkDead makes sure that also the instructions that no path reaches are such as engines take: they decode them.
func (v *verifier) checkDead() *Error {
	for pc := 0; pc < len(v.insns); pc++ {
		in := &v.insns[pc]
		var err *Error
		switch {
		case in.illegal:
			err = v.checkLegal(pc)
		case in.class == asm.ClassAbs, in.class == asm.ClassInd:
			err = v.checkPacketLoadType(pc)
		case in.class == asm.ClassImm64:
			pc++
		}
		if err != nil {
			err.Reason = DeadReason
			return err
		}
	}
	return nil
}

// DeadReason is the Reason of an Error about an instruction that no path leads to: the kernel removes such instructions
// without a look at their fields.
const DeadReason = "no path leads to this instruction, but engines decode it all the same"

// tailCallStack is the most stack below a function that makes tail calls.
const tailCallStack = 256

// chain is the heaviest chain of calls from a function on.
type chain struct {
	bytes, frames int
	longest       int // most frames of any chain
	tail          int // most stack between the start of the chain and a function that makes tail calls; -1 without one
	open, done    bool
}

// checkStackDepth adds the stacks of every chain of calls (kernel: check_max_stack_depth).
func (v *verifier) checkStackDepth() *Error {
	chains := make([]chain, len(v.subs))
	for fn := range v.subs {
		if fn > 0 && !v.subs[fn].async {
			continue
		}
		if err := v.chainFrom(fn, 1, chains); err != nil {
			return err
		}
		c := &chains[fn]
		if c.tail >= tailCallStack {
			return v.failAt(-1, StackDepth, "tail_calls are not allowed when call stack of previous frames is %d bytes. Too large", c.tail)
		}
		if c.bytes > v.profile.MaxStack {
			return v.failAt(-1, StackDepth, "combined stack size of %d calls is %d. Too large", c.frames, c.bytes)
		}
	}
	return nil
}

// chainFrom measures the chains from function fn on, which is the depth-th frame.
func (v *verifier) chainFrom(fn, depth int, chains []chain) *Error {
	s, c := &v.subs[fn], &chains[fn]
	if c.open || depth > v.profile.MaxFrames {
		return v.failAt(s.start, CallDepth, "the call stack of %d frames is too deep !", v.profile.MaxFrames)
	}
	c.open = true
	own := (max(s.stack, 1) + v.profile.StackRound - 1) / v.profile.StackRound * v.profile.StackRound
	heaviest, longest, tail := chain{}, 0, -1
	for pc := s.start; pc < s.end; pc++ {
		in := &v.insns[pc]
		if in.kind != asm.CallLocal && !(in.kind == asm.LdImm64 && asm.Reg(in.src) == asm.PseudoFunc) {
			continue
		}
		callee := int(v.subOf[in.target])
		if v.subs[callee].async && in.kind != asm.CallLocal {
			continue // it has a stack of its own
		}
		if !chains[callee].done || chains[callee].open {
			if err := v.chainFrom(callee, depth+1, chains); err != nil {
				return err
			}
		}
		if chains[callee].bytes > heaviest.bytes {
			heaviest = chains[callee]
		}
		longest = max(longest, chains[callee].longest)
		if below := chains[callee].tail; below >= 0 {
			tail = max(tail, own+below)
		}
	}
	if fn != 0 && s.tailCall {
		tail = max(tail, 0)
	}
	c.tail = tail
	c.bytes, c.frames, c.longest = own+heaviest.bytes, 1+heaviest.frames, 1+longest
	c.open, c.done = false, true
	if c.longest+depth-1 > v.profile.MaxFrames {
		return v.failAt(s.start, CallDepth, "the call stack of %d frames is too deep !", v.profile.MaxFrames)
	}
	return nil
}

// report fills the statistics that are not counted along the way.
func (v *verifier) report(heat bool) {
	v.stats.StackDepth = make([]int, len(v.subs))
	for i := range v.subs {
		v.stats.StackDepth[i] = v.subs[i].stack
	}
	if heat && v.stats.Processed > 0 {
		v.stats.Heat = make([]Heat, len(v.insns))
		for i := range v.insns {
			v.stats.Heat[i] = Heat{Visits: int(v.insns[i].visits), States: int(v.insns[i].states)}
		}
	}
}

// newID gives out an id that no register has.
func (v *verifier) newID() uint32 {
	v.lastID++
	return v.lastID
}

// mapOf is the map that a map pointer or value pointer refers to.
func (v *verifier) mapOf(r *reg) *maps.Spec {
	if r.aux >= 0 {
		return v.prog.Maps[r.aux]
	}
	return v.prog.Maps[^r.aux].Inner
}

// checkOwnType checks what programs of an embedder's type may call.
func (v *verifier) checkOwnType() *Error {
	for _, name := range v.prog.Own.Calls {
		r, helper := helpers.ByName(name)
		_, kfunc := helpers.KfuncByName(name)
		switch {
		case !helper && !kfunc:
			return v.failAt(-1, BadProgType, "program type %s: no helper or kernel function %s", v.prog.Own.Name, name)
		case helper && !helpers.CallsOwn(r):
			return v.failAt(-1, BadProgType, "program type %s: %s works on a ctx of the kernel's", v.prog.Own.Name, name)
		}
	}
	return nil
}

// available reports whether the program may call the helper at all.
func (v *verifier) available(r *helpers.Row) bool {
	if v.prog.Type == prog.Own && slices.Contains(v.row.Calls, r.Name) {
		return v.profile.Kernel.AtLeast(r.Since) && v.profile.Caps.Has(r.Needs)
	}
	return helpers.Allowed(r, v.prog.Type, v.profile.Kernel) && v.profile.Caps.Has(r.Needs) && v.inPlace(r)
}

// inPlace reports whether the program is attached where the helper may be called.
func (v *verifier) inPlace(r *helpers.Row) bool {
	l := r.LimitOf(v.prog.Type)
	_, hook, _ := strings.Cut(v.prog.Section, "/")
	return l == nil || l.Allows(v.attach, hook)
}
