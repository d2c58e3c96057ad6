package verifier

import (
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
)

// subprog is a function of the program: slots [start, end).
type subprog struct {
	start, end  int
	stack       int        // deepest byte that it touches
	tailCall    bool       // calls bpf_tail_call
	reachesTail bool       // so does a function that it calls
	flow        *flowGraph // nil until it is needed
	movesPacket bool       // it, or a function that it calls, may change packet pointers
	global      bool       // not static
	callback    bool       // a helper or the kernel calls it
	async       bool       // some helper has it called later
	sleeps      bool       // it, or a function that it calls, may sleep

	// Of a global function: its type, what it takes, whether something calls it, and whether it was proved (see global.go).
	typ            btf.ID
	args           []globalArg
	called, proved bool
}

// checkForm looks at the whole program before walking it: functions, targets of jumps, form of the 64-bit loads,
// control flow (kernel: add_subprog_and_kfunc, check_subprogs, resolve_pseudo_ldimm64, check_cfg).
func (v *verifier) checkForm() *Error {
	for _, check := range []func() *Error{v.findSubprogs, v.checkKfuncs, v.checkSubprogs, v.checkLoads, v.checkFlow} {
		if err := check(); err != nil {
			return err
		}
	}
	v.findEffects()
	v.findLoops()
	v.liveRegs()
	v.log.liveRegs(v)
	return nil
}

// findSubprogs finds where functions start: slot 0 and every target of a call or function load.
func (v *verifier) findSubprogs() *Error {
	n := len(v.insns)
	starts := make([]bool, n)
	starts[0] = true
	count := 1
	for pc := range v.insns {
		in := &v.insns[pc]
		if in.kind != asm.CallLocal && !(in.kind == asm.LdImm64 && asm.Reg(in.src) == asm.PseudoFunc) {
			continue
		}
		if in.target < 0 || int(in.target) >= n {
			return v.failAt(pc, BadCallTarget, "call to invalid destination")
		}
		if !v.profile.Capable {
			return v.failAt(pc, NotPrivileged, "loading/calling other bpf or kernel functions are allowed for CAP_BPF and CAP_SYS_ADMIN")
		}
		if !starts[in.target] {
			starts[in.target] = true
			if count++; count > v.profile.MaxSubprogs {
				return v.failAt(pc, TooManySubprogs, "too many subprograms")
			}
		}
	}
	v.subOf = make([]int32, n)
	for pc, s := range starts {
		if s {
			if k := len(v.subs); k > 0 {
				v.subs[k-1].end = pc
			}
			v.subs = append(v.subs, subprog{start: pc, end: n})
		}
		v.subOf[pc] = int32(len(v.subs) - 1)
	}
	v.log.functions(v)
	for _, f := range v.prog.Funcs {
		if f.Start > 0 && f.Start < n && starts[f.Start] {
			s := &v.subs[v.subOf[f.Start]]
			s.typ = f.Type
			s.global = f.Global && f.Type != 0 && v.prog.Types != nil && v.profile.GlobalFuncs
		}
	}
	return nil
}

// checkSubprogs checks that control stays within each function.
func (v *verifier) checkSubprogs() *Error {
	for i := range v.subs {
		s := &v.subs[i]
		for pc := s.start; pc < s.end; pc++ {
			in := &v.insns[pc]
			switch in.class {
			case asm.ClassCall:
				if in.kind == asm.CallHelper && in.imm == helperTailCall {
					s.tailCall = true
				}
			case asm.ClassAbs, asm.ClassInd:
				if i > 0 && v.profile.PacketLoadsMix {
					return v.failAt(pc, LegacyLoad, "LD_ABS is not allowed in subprogs without BTF")
				}
			case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
				if t := int(in.target); t < s.start || t >= s.end {
					return v.failAt(pc, JumpOutOfRange, "jump out of range from insn %d to %d", pc, t)
				}
			}
		}
		last := &v.insns[s.end-1]
		if last.class != asm.ClassExit && last.class != asm.ClassJump {
			return v.failAt(s.end-1, FallsOff, "last insn is not an exit or jmp")
		}
	}
	return nil
}

// checkLoads checks the form of 64-bit immediate loads, what they refer to, and that every opcode exists.
func (v *verifier) checkLoads() *Error {
	for pc := 0; pc < len(v.insns); pc++ {
		in := v.prog.Insns[pc]
		if v.insns[pc].kind != asm.LdImm64 {
			if err := v.checkOpcode(pc); err != nil {
				return err
			}
			continue
		}
		if pc+1 >= len(v.insns) {
			return v.failAt(pc, BadImm64, "invalid bpf_ld_imm64 insn")
		}
		if err := asm.CheckImm64(in, v.prog.Insns[pc+1]); err != nil {
			return v.failAt(pc, BadImm64, "%s", err.(*asm.FieldError).Reason)
		}
		if err := v.checkPseudo(pc, in); err != nil {
			return err
		}
		pc++
	}
	return nil
}

// checkOpcode rejects an opcode byte that no instruction has. Illegal fields of a known opcode matter only when the
// walk gets there.
func (v *verifier) checkOpcode(pc int) *Error {
	switch k := v.insns[pc].kind; {
	case k.Info().Since == asm.Never:
		return v.failAt(pc, UnknownOpcode, "unknown opcode %02x", v.prog.Insns[pc].Op)
	case k != asm.Invalid:
		return nil
	}
	if err := asm.Check(v.prog.Insns[pc]); err != nil {
		if fe := err.(*asm.FieldError); fe.Field == asm.FieldOp {
			code := UnknownOpcode
			if v.prog.Insns[pc].Op&7 == 1 {
				code = ReservedField
			}
			return v.failAt(pc, code, "%s", fe.Reason)
		}
	}
	return nil
}

// checkPseudo checks what a 64-bit load refers to.
func (v *verifier) checkPseudo(pc int, in asm.Insn) *Error {
	switch in.Src {
	case asm.PseudoNone, asm.PseudoBTFID: // of the latter see checkKfuncs
		return nil
	case asm.PseudoFunc:
		return v.checkPseudoSince(pc, "addresses of functions", callbacks)
	case asm.PseudoMapIdx:
	case asm.PseudoMapIdxValue:
		if err := v.checkPseudoSince(pc, "addresses of map values", globalData); err != nil {
			return err
		}
	case asm.PseudoMapFD, asm.PseudoMapValue:
		return v.failAt(pc, BadMap, "fd %d is not pointing to valid bpf_map", in.Imm)
	default:
		return v.failAt(pc, BadImm64, "unrecognized bpf_ld_imm64 insn")
	}
	if in.Imm < 0 || int(in.Imm) >= len(v.prog.Maps) || v.prog.Maps[in.Imm] == nil {
		return v.failAt(pc, BadMap, "fd %d is not pointing to valid bpf_map", in.Imm)
	}
	m := v.prog.Maps[in.Imm]
	if m.Broken != "" {
		return v.failAt(pc, Broken, "map %s: %s", m.Name, m.Broken)
	}
	if err := v.checkMapCaps(pc, m); err != nil {
		return err
	}
	if err := v.checkMapType(pc, m); err != nil {
		return err
	}
	if err := v.checkMapUse(pc, m, v.mapFields[in.Imm]); err != nil {
		return err
	}
	if m.Type == maps.Arena {
		return v.checkArena(pc, in)
	}
	if in.Src == asm.PseudoMapIdx {
		return nil
	}
	off := uint32(v.prog.Insns[pc+1].Imm)
	switch {
	case off >= maxVarOff:
		return v.failAt(pc, MapValueBounds, "direct value offset of %d is not allowed", off)
	case !m.Type.Row().DirectValue || m.MaxEntries != 1 && !m.DataSection:
		return v.failAt(pc, MapMisuse, "no direct value access support for this map type")
	case off >= m.ValueSize:
		return v.failAt(pc, MapValueBounds, "invalid access to map value pointer, value_size=%d off=%d", m.ValueSize, off)
	}
	return nil
}

// checkPseudoSince rejects a 64-bit load of a kind that the profile's kernel does not know.
func (v *verifier) checkPseudoSince(pc int, name string, since kver.Version) *Error {
	if v.profile.Kernel.AtLeast(since) {
		return nil
	}
	return v.failAt(pc, BadImm64, "unrecognized bpf_ld_imm64 insn").needs(NeedInsns, name, since)
}

// withInner is a map, and the one that its elements are like when it is a map of maps. Maps do not nest deeper (kernel:
// bpf_map_meta_alloc).
func withInner(m *maps.Spec) []*maps.Spec {
	if m.Inner == nil {
		return []*maps.Spec{m}
	}
	return []*maps.Spec{m, m.Inner}
}

// checkMapType rejects a map that the profile's kernel could not create. The kernel never gets to see such a program: these
// words are not its own.
func (v *verifier) checkMapType(pc int, m *maps.Spec) *Error {
	switch {
	case !m.Type.Row().MapInMap:
	case m.Inner == nil:
		return v.failAt(pc, BadMap, "map in map without description of its inner map")
	case m.Inner.Type.Row().MapInMap:
		return v.failAt(pc, BadMap, "map in map whose inner map is one, too")
	}
	for _, m := range withInner(m) {
		if since := m.Type.Row().Since; !v.profile.Kernel.AtLeast(since) {
			return v.failAt(pc, MapType, "map type %s needs kernel %v", m.Type, since).needs(NeedMap, m.Type.String(), since)
		}
		for _, f := range m.NewFlags() {
			if !v.profile.Kernel.AtLeast(f.Since) {
				return v.failAt(pc, MapType, "map flag %s needs kernel %v", f.Name, f.Since).needs(NeedMapFlag, f.Name, f.Since)
			}
		}
	}
	return nil
}

// Marks of the depth-first search of checkFlow.
const (
	flowNew uint8 = iota
	flowOpen
	flowDone
)

// flow is the depth-first search over the control flow graph.
type flow struct {
	v     *verifier
	state []uint8
	stack []openInsn
}

// openInsn is an instruction on the way from the start, and the ways on that were not followed yet.
type openInsn struct {
	pc    int
	edges [2]edge
	n     int
}

// checkFlow finds unreachable instructions, jumps into the middle of 64-bit loads and back edges that the profile
// refuses, and marks where states are worth keeping (kernel: check_cfg).
func (v *verifier) checkFlow() *Error {
	n := len(v.insns)
	f := &flow{v: v, state: make([]uint8, n), stack: v.flowStack[:0]}
	defer func() { v.flowStack = f.stack }()
	f.open(0)
	for len(f.stack) > 0 {
		if err := f.advance(); err != nil {
			return err
		}
	}
	for pc := 0; pc < n; pc++ {
		if f.state[pc] == flowNew {
			return v.failAt(pc, Unreachable, "unreachable insn %d", pc)
		}
		if v.insns[pc].kind == asm.LdImm64 {
			if f.state[pc+1] != flowNew {
				return v.failAt(pc, IntoImm64, "jump into the middle of ldimm64 insn %d", pc)
			}
			pc++
		}
	}
	return nil
}

func (f *flow) open(pc int) {
	f.state[pc] = flowOpen
	edges, n := f.edges(pc)
	if n == 2 {
		edges[0], edges[1] = edges[1], edges[0] // the last is followed first
	}
	f.stack = append(f.stack, openInsn{pc, edges, n})
}

// edge is a way on from an instruction.
type edge struct {
	to   int
	jump bool // taken by a jump, not by falling through or by a call
}

// edges lists the ways on from pc, and marks prune points.
func (f *flow) edges(pc int) (out [2]edge, n int) {
	v := f.v
	in := &v.insns[pc]
	mark := func(pc int) {
		if pc < len(v.insns) {
			v.insns[pc].prune = true
		}
	}
	jumpTo := func(pc int) {
		mark(pc)
		if pc < len(v.insns) {
			v.insns[pc].entry = true
		}
	}
	size := 1
	if in.kind == asm.LdImm64 {
		size = 2
	}
	switch in.class {
	case asm.ClassExit:
		return out, 0
	case asm.ClassJump:
		jumpTo(int(in.target))
		return [2]edge{{int(in.target), true}}, 1
	case asm.ClassBranch, asm.ClassMayGoto:
		mark(pc)
		jumpTo(int(in.target))
		in.force = in.force || in.class == asm.ClassMayGoto
		return [2]edge{{pc + 1, false}, {int(in.target), true}}, 2
	case asm.ClassCall:
		mark(pc + 1)
		if in.kind == asm.CallLocal {
			mark(pc)
			jumpTo(pc + 1)
			mark(int(in.target))
			return [2]edge{{pc + 1, false}, {int(in.target), false}}, 2
		}
		if in.helper != nil && callsBack(in.helper) || in.kfunc != nil && kfuncCallsBack(in.kfunc) || in.stepsIter() {
			mark(pc)
			in.force = true
		}
	case asm.ClassImm64:
		if asm.Reg(in.src) == asm.PseudoFunc {
			mark(pc)
			mark(pc + 2)
			mark(int(in.target))
			return [2]edge{{pc + 2, false}, {int(in.target), false}}, 2
		}
	}
	return [2]edge{{pc + size, false}}, 1
}

// advance follows the next edge of the innermost open instruction, or closes it.
func (f *flow) advance() *Error {
	top := &f.stack[len(f.stack)-1]
	pc := top.pc
	if top.n == 0 {
		f.state[pc] = flowDone
		f.stack = f.stack[:len(f.stack)-1]
		return nil
	}
	top.n--
	e := top.edges[top.n]
	f.v.jumpsBack = f.v.jumpsBack || e.to <= pc
	if e.to < 0 || e.to >= len(f.v.insns) {
		return f.v.failAt(pc, JumpOutOfRange, "jump out of range from insn %d to %d", pc, e.to)
	}
	switch f.state[e.to] {
	case flowNew:
		f.open(e.to)
	case flowOpen:
		rule := f.v.profile.BackEdges
		if !f.v.profile.Capable || rule == BackEdgesNone || rule == BackEdgesJumps && !e.jump {
			return f.v.failAt(pc, BackEdge, "back-edge from insn %d to %d", pc, e.to)
		}
	}
	return nil
}

// successors returns where control may go from pc within the same function: calls come back.
func (v *verifier) successors(pc int) (out [2]int, n int) {
	in := &v.insns[pc]
	switch in.class {
	case asm.ClassExit:
		return out, 0
	case asm.ClassJump:
		return [2]int{int(in.target)}, 1
	case asm.ClassBranch, asm.ClassMayGoto:
		return [2]int{pc + 1, int(in.target)}, 2
	}
	if in.kind == asm.LdImm64 {
		return [2]int{pc + 2}, 1
	}
	return [2]int{pc + 1}, 1
}

// liveRegs computes, for each instruction, the registers that may be read before they are written. A dead register
// never keeps two states apart.
func (v *verifier) liveRegs() {
	for pc := range v.insns {
		in := &v.insns[pc]
		in.use, in.def = v.useDef(pc)
	}
	// Without jumps back the second look changes nothing, and with loops that are not nested the third.
	const looks = 4
	for range looks {
		changed := false
		for pc := len(v.insns) - 1; pc >= 0; pc-- {
			changed = v.growLive(pc) || changed
		}
		if !changed || !v.jumpsBack {
			return
		}
	}
	v.liveInLoops()
}

// growLive recomputes what may be read from pc on of what may be read behind it, and reports whether it became more.
func (v *verifier) growLive(pc int) bool {
	in := &v.insns[pc]
	var live asm.RegSet
	out, k := v.successors(pc)
	for _, to := range out[:k] {
		if to < len(v.insns) {
			live |= v.insns[to].live
		}
	}
	live = live&^in.def | in.use
	grown := live != in.live
	in.live = live
	return grown
}

// liveInLoops looks at instructions again for as long as something changes. Live sets only grow, so each is looked at a bounded
// number of times.
func (v *verifier) liveInLoops() {
	n := len(v.insns)
	first := make([]int32, n+2) // predecessors of pc: preds[first[pc]:first[pc+1]]
	each := func(f func(from, to int)) {
		for pc := range v.insns {
			out, k := v.successors(pc)
			for _, to := range out[:k] {
				if to < n {
					f(pc, to)
				}
			}
		}
	}
	each(func(_, to int) { first[to+2]++ })
	for i := 1; i < len(first); i++ {
		first[i] += first[i-1]
	}
	preds := make([]int32, first[n+1])
	each(func(from, to int) {
		preds[first[to+1]] = int32(from)
		first[to+1]++
	})
	var work []int32
	queued := make([]bool, n)
	grow := func(pc int) {
		if !v.growLive(pc) {
			return
		}
		for _, p := range preds[first[pc]:first[pc+1]] {
			if !queued[p] {
				queued[p] = true
				work = append(work, p)
			}
		}
	}
	for pc := n - 1; pc >= 0; pc-- {
		grow(pc)
	}
	for len(work) > 0 {
		pc := int(work[len(work)-1])
		work = work[:len(work)-1]
		queued[pc] = false
		grow(pc)
	}
}

// useDef returns the registers that the instruction at pc reads and surely writes.
func (v *verifier) useDef(pc int) (use, def asm.RegSet) {
	const args, scratched = asm.RegSet(0x3e), asm.RegSet(0x3f)
	in := &v.insns[pc]
	switch in.class {
	case asm.ClassCall:
		use = args
		switch {
		case in.helper != nil && v.available(in.helper): // of others the kernel looks at no prototype
			use = asm.RegSet(1)<<(in.helper.NumArgs()+1) - 2
		case in.kfunc != nil:
			use = asm.RegSet(1)<<(len(in.kfunc.Args)+1) - 2
		}
		return use, scratched
	case asm.ClassExit:
		return 1, 0
	case asm.ClassAbs, asm.ClassInd: // the kernel does not look closer
		return 1<<asm.NumRegs - 1, 0
	}
	raw := v.prog.Insns[pc]
	return asm.Reads(raw), asm.Writes(raw)
}

// callsBack reports whether a helper calls a function of the program.
func callsBack(r *helpers.Row) bool {
	for _, a := range r.Args {
		if a.Base() == helpers.ArgFunc {
			return true
		}
	}
	return false
}

// kfuncCallsBack is callsBack for a kernel function.
func kfuncCallsBack(k *helpers.Kfunc) bool {
	return slices.ContainsFunc(k.Args, func(a helpers.KfuncArg) bool { return a.Kind == helpers.KfuncCallback })
}

// findEffects marks the functions in which a tail call may happen, and those that may move the packet: by themselves
// or by what they call.
func (v *verifier) findEffects() {
	for changed := true; changed; {
		changed = false
		for i := range v.subs {
			s := &v.subs[i]
			tail, moves, sleeps := s.tailCall, s.movesPacket, s.sleeps
			for pc := s.start; pc < s.end; pc++ {
				in := &v.insns[pc]
				switch {
				case in.kind == asm.CallLocal:
					callee := &v.subs[v.subOf[in.target]]
					tail, moves, sleeps = tail || callee.reachesTail, moves || callee.movesPacket, sleeps || callee.sleeps
				case in.helper != nil && in.helper.ChangesPacket, in.kfunc != nil && in.kfunc.Flags.Has(helpers.KfuncChangesPacket):
					moves = true
				}
				sleeps = sleeps || mightSleep(in)
			}
			moves = moves || tail
			if tail != s.reachesTail || moves != s.movesPacket || sleeps != s.sleeps {
				s.reachesTail, s.movesPacket, s.sleeps, changed = tail, moves, sleeps, true
			}
		}
	}
}
