package verifier

import "github.com/skepvm/skep/asm"

// Which stack slots may still be read decides whether two states are alike. It is learnt along the way, for each function
// in each chain of calls: what an instruction may read only grows, what it surely writes only shrinks, and when a path
// ends both are carried backward over the function, and from its start to the call in the caller. Before a state's last
// path has ended, it is not asked (kernel: bpf/liveness.c).

// callChain names a function in a chain of calls.
type callChain struct {
	calls [maxFrames]int32 // pc of the call of each frame but the first
	depth int
	start int // of the function
}

// slotUse is what an instruction does with the stack of one frame, a bit a slot.
type slotUse struct {
	read    uint64 // may be read by it
	written uint64 // surely written whole by it
	covered uint64 // … by it or by what follows, whichever way the function goes on
	live    uint64 // may be read by it or by what follows, before it is written
}

// instance is a function in a chain of calls.
type instance struct {
	callChain
	frames  [maxFrames][]slotUse // of each frame, by instruction from the function's start; nil: nothing known
	seen    []bool               // instructions whose writes are known
	changed bool                 // since what is known was carried backward
	shrunk  bool                 // … what is surely written has become less
}

// liveness knows the instances of a verification.
type liveness struct {
	instances map[callChain]*instance
	cur       *instance // of the running frame; nil when it was not looked up since the frames changed
	pc        int       // the instruction that runs
	writes    [maxFrames]uint64
	wrote     bool // writes has a bit
}

// chainOf names frame i of a state.
func (v *verifier) chainOf(st *state, i int) callChain {
	c := callChain{depth: i, start: v.subs[st.frames[i].fn].start}
	for k := 1; k <= i; k++ {
		c.calls[k] = st.frames[k].callsite
	}
	return c
}

func (v *verifier) instanceOf(st *state, i int) *instance {
	l := &v.live
	c := v.chainOf(st, i)
	f := l.instances[c]
	if f == nil {
		if l.instances == nil {
			l.instances = make(map[callChain]*instance)
		}
		s := &v.subs[st.frames[i].fn]
		f = &instance{callChain: c, seen: make([]bool, s.end-s.start)}
		l.instances[c] = f
	}
	return f
}

// running is the instance of the running frame.
func (v *verifier) running() *instance {
	if v.live.cur == nil {
		v.live.cur = v.instanceOf(v.cur, v.cur.depth)
	}
	return v.live.cur
}

// use is what the instruction at pc does with the stack of a frame.
func (f *instance) use(frame, pc int) *slotUse {
	if f.frames[frame] == nil {
		f.frames[frame] = make([]slotUse, len(f.seen))
	}
	return &f.frames[frame][pc-f.start]
}

// isLive reports whether a slot of a frame may be read from pc on.
func (f *instance) isLive(frame, pc, slot int) bool {
	return f.frames[frame] != nil && f.frames[frame][pc-f.start].live>>slot&1 != 0
}

// readSlot notes that the running instruction may read a slot of a frame.
func (v *verifier) readSlot(frame uint8, slot int) {
	v.running().addReads(int(frame), v.live.pc, 1<<slot)
}

func (f *instance) addReads(frame, pc int, slots uint64) {
	u := f.use(frame, pc)
	if slots&^u.read != 0 && slots&^u.live != 0 {
		f.changed = true
	}
	u.read |= slots
}

// wroteSlot notes that the running instruction writes a whole slot of a frame.
func (v *verifier) wroteSlot(frame uint8, slot int) {
	v.live.writes[frame] |= 1 << slot
	v.live.wrote = true
}

// commitWrites notes what the instruction that ran wrote, or that it wrote nothing this time.
func (v *verifier) commitWrites() {
	l := &v.live
	if l.cur != nil {
		l.cur.addWrites(l.pc, &l.writes)
	}
	if l.wrote {
		l.writes, l.wrote = [maxFrames]uint64{}, false
	}
}

// addWrites makes less of what is surely written by the instruction at pc, unless this is the first time it runs.
func (f *instance) addWrites(pc int, writes *[maxFrames]uint64) {
	seen := f.seen[pc-f.start]
	for i := 0; i <= f.depth; i++ {
		w := writes[i]
		if w == 0 && !seen {
			continue
		}
		u := f.use(i, pc)
		if seen {
			w &= u.written
		}
		if w != u.written {
			f.changed = true
			f.shrunk = f.shrunk || u.written&^w != 0
			u.written = w
		}
	}
	f.seen[pc-f.start] = true
}

// updateLiveness carries what was learnt on the current path backward, inner functions first.
func (v *verifier) updateLiveness() {
	for i := v.cur.depth; i >= 0; i-- {
		if f := v.instanceOf(v.cur, i); f.changed {
			v.carryBack(v.cur, f)
			f.changed, f.shrunk = false, false
		}
	}
	v.live.cur = nil
}

// carryBack works out what is live in a function, until nothing changes, and tells the caller.
func (v *verifier) carryBack(st *state, f *instance) {
	flow := v.flowOf(st.frames[f.depth].fn)
	if f.shrunk {
		for _, uses := range f.frames[:f.depth+1] {
			for i := range uses {
				uses[i].covered = 0
			}
		}
	}
	rounds := 1
	for v.carryRound(f, flow.order) {
		rounds++
		if flow.straight {
			break // the next round would change nothing
		}
	}
	v.log.livenessDone(f, rounds)
	if f.depth == 0 {
		return
	}
	call := int(f.calls[f.depth])
	outer := v.instanceOf(st, f.depth-1)
	var writes [maxFrames]uint64
	for i, uses := range f.frames[:f.depth] {
		if uses != nil {
			writes[i] = uses[0].covered
			outer.addReads(i, call, uses[0].live)
		}
	}
	outer.addWrites(call, &writes)
}

// carryRound carries what is known once over all instructions; false when nothing changed.
func (v *verifier) carryRound(f *instance, order []flowStep) (changed bool) {
	for frame, uses := range f.frames[:f.depth+1] {
		if uses == nil {
			continue
		}
		for _, s := range order {
			u, a, b := &uses[s.at], &uses[s.next], &uses[s.branch]
			live := (a.live|b.live)&^u.written | u.read
			covered := a.covered&b.covered | u.written
			if live != u.live || covered != u.covered {
				v.log.liveSlots(v, f, frame, f.start+int(s.at), live, covered)
				u.live, u.covered = live, covered
				changed = true
			}
		}
	}
	return changed
}

// flowStep is an instruction and the one or two that may follow it, counted from the function's start.
type flowStep struct{ at, next, branch int32 }

// flowGraph is the control flow of a function.
type flowGraph struct {
	order    []flowStep // each behind those that follow it, as far as possible; without exits
	straight bool       // it was possible for all
}

// flowOf is the control flow graph of a function in the order in which it is walked backward (kernel: compute_postorder).
func (v *verifier) flowOf(fn int32) *flowGraph {
	s := &v.subs[fn]
	if s.flow != nil {
		return s.flow
	}
	g := &flowGraph{straight: true, order: make([]flowStep, 0, s.end-s.start)}
	if v.jumpsBack {
		v.postorder(s, g)
	} else {
		v.backward(s, g)
	}
	s.flow = g
	return g
}

// backward lists a function in which nothing jumps back: the last instruction first.
func (v *verifier) backward(s *subprog, g *flowGraph) {
	for pc := s.end - 1; pc >= s.start; pc-- {
		if pc > s.start && v.insns[pc-1].kind == asm.LdImm64 {
			continue // its second slot
		}
		if next, n := v.successors(pc); n > 0 {
			g.order = append(g.order, flowStep{int32(pc - s.start), int32(next[0] - s.start), int32(next[n-1] - s.start)})
		}
	}
}

// postorder lists a function so that what comes after an instruction comes before it, as far as loops allow.
func (v *verifier) postorder(s *subprog, g *flowGraph) {
	const found, open, done = 1, 2, 3
	state := make([]uint8, s.end-s.start)
	stack := []int32{0}
	for len(stack) > 0 {
		at := stack[len(stack)-1]
		next, n := v.successors(s.start + int(at))
		if state[at] == open {
			stack = stack[:len(stack)-1]
			for _, to := range next[:n] {
				g.straight = g.straight && state[to-s.start] == done
			}
			state[at] = done
			if n > 0 {
				g.order = append(g.order, flowStep{at, int32(next[0] - s.start), int32(next[n-1] - s.start)})
			}
			continue
		}
		state[at] = open
		for _, to := range next[:n] {
			if m := &state[to-s.start]; *m == 0 {
				*m = found
				stack = append(stack, int32(to-s.start))
			}
		}
	}
}

// clean forgets in a kept state whose last path has ended what nobody will read: then it is like more states
// (kernel: clean_verifier_state).
func (v *verifier) clean(st *state) {
	st.cleaned = true
	var in [maxFrames]*instance
	for i := range st.depth + 1 {
		in[i] = v.instanceOf(st, i)
	}
	for i := range st.depth + 1 {
		f := st.frames[i]
		live := v.liveAt(st, i)
		for n := range f.regs[:framePointer] {
			if live>>n&1 == 0 {
				f.regs[n] = reg{}
			}
		}
		for k := range f.stack {
			if !slotLive(st, &in, i, k) {
				f.stack[k] = slot{}
			}
		}
	}
}

// slotLive reports whether what follows a kept state may read slot k of its frame i: in the running function, or in one
// that it returns to (kernel: bpf_stack_slot_alive).
func slotLive(st *state, in *[maxFrames]*instance, i, k int) bool {
	if in[st.depth].isLive(i, st.pc, k) {
		return true
	}
	for fr := i; fr < st.depth; fr++ {
		pc := int(st.frames[fr+1].callsite)
		if !st.frames[fr+1].callback {
			pc++
		}
		if in[fr].isLive(i, pc, k) {
			return true
		}
	}
	return false
}

// frameNumber is the number of a frame of the current state.
func (v *verifier) frameNumber(f *frame) uint8 {
	for i := v.cur.depth; i > 0; i-- {
		if v.cur.frames[i] == f {
			return uint8(i)
		}
	}
	return 0
}
