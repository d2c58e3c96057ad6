package verifier

import "slices"

// A state of a loop that is covered by an earlier one of it may end its path although not all paths of the earlier one
// have ended: iterators, callbacks and may_goto end such loops at run time. What the earlier state needs of its numbers
// is not known then. So the place where the path ended is remembered, and when all paths of the loop have ended, what has
// become precise is carried over all these places until nothing changes (kernel: struct bpf_scc_visit).

// loopID names a loop in a chain of calls: the calls of the frames outside of it, and its number.
type loopID struct {
	calls [maxFrames]int32
	scc   int32
}

// loopVisit is one entry into a loop.
type loopVisit struct {
	id    loopID
	entry *state // the first state kept in the loop, nil when no path in it is open
	back  []backedge
}

// backedge is the end of a path: at is what it ended with, equal the state that covers it.
type backedge struct {
	at    *state
	pc    int
	equal *state
}

// findLoops numbers the strongly connected parts of the control flow graph that are loops, in each function (kernel:
// compute_scc). A call of a helper that calls back is a loop of its own, with a negative number. Deviation: in Linux 6.18 it
// is none, which is a mistake there: precision is not carried over it.
func (v *verifier) findLoops() {
	if !v.jumpsBack {
		v.findCallbackLoops()
		return
	}
	const offStack = 1 << 30
	n := len(v.insns)
	low, pre := make([]int32, n), make([]int32, n)
	var stack, path []int
	order, id, implicit := int32(1), int32(1), int32(0)
	for start := range n {
		if pre[start] != 0 {
			continue
		}
		path = append(path[:0], start)
	visit:
		for len(path) > 0 {
			pc := path[len(path)-1]
			if pre[pc] == 0 {
				low[pc], pre[pc] = order, order
				order++
				stack = append(stack, pc)
			}
			next, k := v.successors(pc)
			for _, to := range next[:k] {
				if to >= n {
					continue
				}
				if pre[to] == 0 {
					path = append(path, to)
					continue visit
				}
				low[pc] = min(low[pc], low[to])
			}
			path = path[:len(path)-1]
			if low[pc] < pre[pc] {
				continue
			}
			number := int32(0)
			switch {
			case stack[len(stack)-1] != pc || slices.Contains(next[:k], pc):
				number = id
				id++
			case v.callsBack(pc):
				implicit--
				number = implicit
			}
			for {
				t := stack[len(stack)-1]
				stack = stack[:len(stack)-1]
				low[t] = offStack
				v.insns[t].scc = number
				if t == pc {
					break
				}
			}
		}
	}
}

// findCallbackLoops is findLoops of a program in which nothing jumps back.
func (v *verifier) findCallbackLoops() {
	implicit := int32(0)
	for pc := range v.insns {
		if v.callsBack(pc) {
			implicit--
			v.insns[pc].scc = implicit
		}
	}
}

// callsBack reports whether the instruction at pc calls a helper that calls a function of the program.
func (v *verifier) callsBack(pc int) bool {
	in := &v.insns[pc]
	return in.helper != nil && callsBack(in.helper)
}

// loopOf names the outermost loop that a state is in; ok is false when it is in none.
func (v *verifier) loopOf(st *state, pc int) (id loopID, ok bool) {
	for i := 0; i <= st.depth; i++ {
		at := pc
		if i < st.depth {
			at = int(st.frames[i+1].callsite)
		}
		if id.scc = v.insns[at].scc; id.scc != 0 {
			return id, true
		}
		id.calls[i] = int32(at)
	}
	return id, false
}

func (v *verifier) visitOf(id *loopID) *loopVisit {
	for _, l := range v.visits {
		if l.id == *id {
			return l
		}
	}
	return nil
}

// enterLoop notes that a state was kept, which may be the first in a loop.
func (v *verifier) enterLoop(st *state) {
	id, ok := v.loopOf(st, st.pc)
	if !ok {
		return
	}
	l := v.visitOf(&id)
	if l == nil {
		l = &loopVisit{id: id}
		v.visits = append(v.visits, l)
	}
	if l.entry == nil {
		l.entry = st
		v.log.loop("enter", &id)
	}
}

// leaveLoop notes that all paths from a kept state have ended.
func (v *verifier) leaveLoop(st *state) {
	if len(v.visits) == 0 {
		return
	}
	id, ok := v.loopOf(st, st.pc)
	if !ok {
		return
	}
	l := v.visitOf(&id)
	if l == nil || l.entry != st {
		return
	}
	v.log.loop("exit", &id)
	l.entry = nil
	v.settle(l)
}

// maxSettleRounds bounds how often precision is carried over the back edges of a loop (kernel: MAX_BACKEDGE_ITERS).
const maxSettleRounds = 64

// settle carries precision over the back edges of a loop, and forgets them.
func (v *verifier) settle(l *loopVisit) {
	if l.id.scc < 0 { // the kernel does not know of it
		defer func(log *logger) { v.log = log }(v.log)
		v.log = nil
	}
	for rounds, changed := 0, len(l.back) > 0; changed; rounds++ {
		changed = false
		for _, b := range slices.Backward(l.back) {
			if rounds > maxSettleRounds {
				v.allPrecise(b.at)
			} else if v.inheritPrecision(b.equal, b.at, b.pc) {
				changed = true
			}
		}
	}
	for _, b := range l.back {
		v.pool.put(b.at)
	}
	v.unsettled -= len(l.back)
	l.back = l.back[:0]
}

// addBackedge notes that the path to cur ends because old, not all of whose own paths have ended, covers it.
func (v *verifier) addBackedge(old, cur *state) {
	id, ok := v.loopOf(old, old.pc)
	l := v.visitOf(&id)
	if !ok || l == nil {
		v.allPrecise(cur)
		return
	}
	v.log.loop("backedge", &id)
	l.back = append(l.back, backedge{v.pool.copy(cur), v.pc, old})
	v.unsettled++
}

// settled reports whether all is known of what a kept state needs.
func (v *verifier) settled(st *state) bool {
	if v.unsettled == 0 {
		return true
	}
	id, ok := v.loopOf(st, st.pc)
	l := v.visitOf(&id)
	return !ok || l == nil || len(l.back) == 0
}
