package verifier

import (
	"fmt"

	"github.com/skepvm/skep/asm"
)

// idMap pairs ids of a kept state with ids of the current one: equal up to renaming (kernel: check_ids).
type idMap struct {
	pairs [][2]uint32
	fresh uint32
	// of and to are the pairs once more, by either side, when there are too many to look through.
	of, to map[uint32]uint32
}

// fewPairs are faster to look through than a map.
const fewPairs = 24

func (m *idMap) reset(last uint32) {
	if len(m.pairs) > fewPairs {
		clear(m.of)
		clear(m.to)
	}
	m.pairs = m.pairs[:0]
	m.fresh = last
}

func (m *idMap) same(old, cur uint32) bool {
	if old == 0 || cur == 0 {
		return old == cur
	}
	if len(m.pairs) > fewPairs {
		return m.sameOfMany(old, cur)
	}
	for _, p := range m.pairs {
		if p[0] == old {
			return p[1] == cur
		}
		if p[1] == cur {
			return false
		}
	}
	m.pairs = append(m.pairs, [2]uint32{old, cur})
	if len(m.pairs) > fewPairs {
		if m.of == nil {
			m.of, m.to = map[uint32]uint32{}, map[uint32]uint32{}
		}
		for _, p := range m.pairs {
			m.of[p[0]], m.to[p[1]] = p[1], p[0]
		}
	}
	return true
}

func (m *idMap) sameOfMany(old, cur uint32) bool {
	if to, ok := m.of[old]; ok {
		return to == cur
	}
	if _, ok := m.to[cur]; ok {
		return false
	}
	m.of[old], m.to[cur] = cur, old
	return true
}

// sameScalar is same for scalars, where no id means an id of its own.
func (m *idMap) sameScalar(old, cur uint32) bool {
	if old == 0 && cur == 0 {
		return true
	}
	if old == 0 {
		m.fresh++
		old = m.fresh
	}
	if cur == 0 {
		m.fresh++
		cur = m.fresh
	}
	return m.same(old, cur)
}

// likeness says how alike two states must be.
type likeness uint8

const (
	alike  likeness = iota // imprecise scalars and dead slots may differ; old's exploration is finished
	within                 // every scalar of cur lies in old's
	exact                  // the same up to ids
)

// Heuristics of the kernel for when to keep a state; they decide the processed count, not the verdict.
const (
	keepMinJumps = 2
	keepMinInsns = 8
	loopMinJumps = 20
	loopMinInsns = 100
	maxHistory   = 40 // entries of the path's history after which a state is kept in any case, so that ways back stay short
)

// bucket is the list that a state kept at pc is in. Like the kernel's, it may hold those of other places in functions
// that are called (kernel: explored_state).
func (v *verifier) bucket(pc int) *[]*state {
	callsite := v.cur.top().callsite
	return &v.kept[(uint32(pc)^uint32(callsite))%uint32(len(v.insns))]
}

// pruned reports whether what follows the current state was proved already, because a kept state at the same
// instruction covers it. Otherwise it may keep the current state (kernel: is_state_visited).
func (v *verifier) pruned(in *insn) (bool, *Error) {
	cur := v.cur
	force := in.force || cur.entries > maxHistory
	add := force || v.jumps-v.lastJumps >= keepMinJumps && v.stats.Processed-v.lastProcessed >= keepMinInsns
	bucket := v.bucket(v.pc)
	list := *bucket
	v.cleanKept(list)
	known := 0
	for i := len(list) - 1; i >= 0; i-- {
		old := list[i]
		known++
		if old.pc != v.pc {
			continue
		}
		hit, loop := false, false
		if old.branches > 0 {
			// old is on the current path, or on that of a pending branch: it proves nothing yet.
			var err *Error
			if loop, err = v.onPath(old, in); err != nil {
				return false, err
			}
			hit = loop
			if !hit && !force && v.jumps-v.lastJumps < loopMinJumps && v.stats.Processed-v.lastProcessed < loopMinInsns {
				add = false
			}
		} else {
			how := alike
			if loop = !v.settled(old); loop {
				how = within
			}
			hit = v.equal(old, cur, how)
		}
		if hit {
			old.hits++
			v.inheritPrecision(old, cur, v.pc)
			if loop {
				v.addBackedge(old, cur)
			}
			return true, nil
		}
		if add {
			old.misses++
		}
		limit := 3
		if in.force && old.branches > 0 {
			limit = 64
		}
		if old.misses > old.hits*limit+limit {
			list = append(list[:i], list[i+1:]...)
			*bucket = list
			v.evict(old)
		}
	}
	v.stats.MaxStatesPerInsn = max(v.stats.MaxStatesPerInsn, known)
	if add {
		v.keep()
		return false, v.limitMemory()
	}
	return false, nil
}

// cleanKept cleans the states at the current instruction whose paths have all ended (kernel: clean_live_states).
func (v *verifier) cleanKept(list []*state) {
	for i := len(list) - 1; i >= 0; i-- {
		if old := list[i]; old.branches == 0 && !old.cleaned && old.pc == v.pc && old.sameCalls(v.cur) && v.settled(old) {
			v.clean(old)
		}
	}
}

// onPath looks at a kept state that has open branches, and so lies on the current path. The same state again means a
// loop that never ends. In loops that end at run time (may_goto is counted, helpers bound their callbacks) a state that
// old covers need not be walked again: what follows it is a part of what follows old.
func (v *verifier) onPath(old *state, in *insn) (bool, *Error) {
	cur := v.cur
	bounded := in.class == asm.ClassMayGoto && old.mayGotoDepth != cur.mayGotoDepth || in.class == asm.ClassCall && cur.returned
	switch {
	case in.stepsIter():
		return v.equal(old, cur, within) && v.iterConverges(), nil
	case bounded:
		return v.equal(old, cur, within), nil
	}
	if old.depth == cur.depth && old.mayGotoDepth == cur.mayGotoDepth && old.unrolled == cur.unrolled &&
		old.frames[0].async == cur.frames[0].async &&
		sameRegs(old.top(), cur.top()) && v.equal(old, cur, exact) && !iterDepthsDiffer(old, cur) {
		e := v.fail(InfiniteLoop, "infinite loop detected at insn %d", v.pc)
		e.State = fmt.Sprintf("cur state: %s\nold state: %s", v.stateText(cur), v.stateText(old))
		v.log.endless(v, e.Kernel, old)
		return false, e
	}
	return false, nil
}

// sameRegs is a quick test before equal: the registers of the running frame have equal values, also those that nobody
// reads any more (kernel: states_maybe_looping).
func sameRegs(old, cur *frame) bool {
	for i := 9; i >= 0; i-- { // what survives calls changes in loops
		o, c := &old.regs[i], &cur.regs[i]
		if o.typ != c.typ || o.typ != notInit && (o.off != c.off || o.bounds != c.bounds) {
			return false
		}
	}
	return true
}

// keep remembers the current state as a point where later paths may be pruned.
func (v *verifier) keep() {
	v.lastJumps, v.lastProcessed = v.jumps, v.stats.Processed
	v.stats.States++
	v.insns[v.pc].states++
	v.keptNow++
	v.stats.PeakStates = max(v.stats.PeakStates, v.keptNow+v.evictedNow)
	st := v.checkpoint(v.pc)
	bucket := v.bucket(v.pc)
	*bucket = append(*bucket, st)
	v.cur.entries = 0
	v.enterLoop(st)
}

// maxBack is how many steps there are at most from one state of a path to the next, so that a way back, which ends where
// everything is marked already, is short even if no state was kept for pruning.
const maxBack = 256

// checkpoint makes a copy of the current state its parent.
func (v *verifier) checkpoint(pc int) *state {
	cur := v.cur
	cur.eachReg(func(r *reg) { r.precise = false })
	st := v.pool.copy(cur)
	st.pc = pc
	st.branches = 1
	st.hits, st.misses, st.allPrecise, st.differs = 0, 0, false, 0
	cur.parent = st
	cur.histBase, cur.lengthBase = cur.hist, cur.length
	return st
}

// liveAt is the set of registers of frame i that may still be read.
func (v *verifier) liveAt(st *state, i int) uint16 {
	if i == st.depth {
		return uint16(v.insns[v.pc].live)
	}
	return uint16(v.insns[st.frames[i+1].callsite].live)
}

// equal reports whether old covers cur (kernel: states_equal). Where the two differ is looked at first the next time: it
// likely differs again, as the counter of a loop does.
func (v *verifier) equal(old, cur *state, how likeness) bool {
	if old.depth != cur.depth || len(old.refs) != len(cur.refs) || old.speculative && !cur.speculative ||
		old.sleepable != cur.sleepable {
		return false
	}
	v.ids.reset(v.lastID)
	if old.differs != 0 {
		if i, n := int(old.differs-1)/frameParts, int(old.differs-1)%frameParts; !v.partCovers(old, cur, i, n, how) {
			return false
		}
		v.ids.reset(v.lastID)
	}
	if !v.ids.same(old.lock, cur.lock) || old.lockMap != cur.lockMap {
		return false
	}
	for i := range old.refs {
		if old.refs[i].irq != cur.refs[i].irq || !v.ids.same(old.refs[i].id, cur.refs[i].id) {
			return false
		}
	}
	if old.rcu != cur.rcu || old.preempt != cur.preempt || !v.ids.same(old.irq, cur.irq) {
		return false
	}
	for i := 0; i <= cur.depth; i++ {
		o, c := old.frames[i], cur.frames[i]
		if o.callsite != c.callsite || o.fn != c.fn || o.callback != c.callback || o.calls > c.calls ||
			how == exact && len(o.stack) != len(c.stack) {
			return false
		}
		for n := range numRegs + len(o.stack) {
			if !v.partCovers(old, cur, i, n, how) {
				old.differs = int32(i*frameParts+n) + 1
				return false
			}
		}
	}
	return true
}

// A frame's parts are its registers but R10, and its stack slots.
const (
	numRegs    = 10
	frameParts = numRegs + maxSlots
)

// partCovers compares part n of frame i.
func (v *verifier) partCovers(old, cur *state, i, n int, how likeness) bool {
	o, c := old.frames[i], cur.frames[i]
	if n < numRegs {
		return v.liveAt(cur, i)>>n&1 == 0 || v.covers(&o.regs[n], &c.regs[n], how)
	}
	n -= numRegs
	if n >= len(c.stack) {
		return v.slotNeedsNothing(&o.stack[n])
	}
	return v.slotCovers(&o.stack[n], &c.stack[n], how)
}

// covers reports whether everything that is safe with old is safe with cur (kernel: regsafe).
func (v *verifier) covers(old, cur *reg, how likeness) bool {
	if old.typ == notInit {
		return how != exact || cur.typ == notInit
	}
	const links = linkedAdd | linkedAdd32
	if old.typ != cur.typ || (old.flags^cur.flags)&^links != 0 {
		return false
	}
	linked := old.flags == cur.flags
	if how == exact {
		return linked && old.bounds == cur.bounds && old.off == cur.off && old.aux == cur.aux && old.rng == cur.rng &&
			v.ids.same(old.id, cur.id) && v.ids.same(old.ref, cur.ref)
	}
	switch old.typ {
	case scalar:
		switch {
		case v.exactScalars:
			return linked && old.bounds == cur.bounds && old.off == cur.off && v.ids.sameScalar(old.id, cur.id)
		case !old.precise && how == alike && !v.allMatter:
			return true
		}
		if old.id != 0 && !(linked && old.off == cur.off && v.ids.sameScalar(old.id, cur.id)) {
			return false // a number that is linked to none does not mind what another is linked to
		}
		return cur.within(&old.bounds)
	case ptrPacket, ptrPacketMeta:
		if (old.rng < 0 || cur.rng < 0) && old.rng != cur.rng || old.rng > cur.rng {
			return false
		}
		return old.off == cur.off && v.ids.same(old.id, cur.id) && cur.within(&old.bounds)
	case ptrArena:
		return true
	case ptrMapValue, ptrMapKey, ptrMem, ptrBuf, ptrTPBuffer:
		return old.off == cur.off && old.aux == cur.aux && old.rng == cur.rng && cur.within(&old.bounds) &&
			v.ids.same(old.id, cur.id) && v.ids.same(old.ref, cur.ref)
	}
	return old.bounds == cur.bounds && old.off == cur.off && old.aux == cur.aux && old.rng == cur.rng &&
		v.ids.same(old.id, cur.id) && v.ids.same(old.ref, cur.ref)
}

// slotNeedsNothing reports whether a slot is safe to be uninitialised.
func (v *verifier) slotNeedsNothing(s *slot) bool {
	for _, k := range s.bytes {
		if k != stackInvalid && !(k == stackMisc && v.profile.UninitStack) {
			return false
		}
	}
	return true
}

// slotCovers is covers for a stack slot (kernel: stacksafe).
func (v *verifier) slotCovers(o, c *slot, how likeness) bool {
	if o.bytes[0] > stackZero {
		return o.bytes == c.bytes && o.reg.aux == c.reg.aux && o.reg.rng == c.reg.rng && o.reg.flags == c.reg.flags &&
			v.ids.same(o.reg.ref, c.reg.ref)
	}
	if how == exact {
		return o.bytes == c.bytes && (!o.spilled() || v.covers(&o.reg, &c.reg, how))
	}
	if o.spilled() && o.spillSize() == slotSize && o.reg.typ == scalar && v.anyData(c) {
		// Plain data is an unknown scalar.
		r := unknownReg()
		return v.covers(&o.reg, &r, how)
	}
	spills := o.spilled()
	for b, k := range o.bytes {
		switch {
		case k == stackInvalid, k == stackMisc && v.profile.UninitStack: // all values were allowed for
		case k == stackMisc && c.bytes[b] == stackZero:
		case k == stackMisc && c.bytes[b] == stackSpill && c.reg.typ == scalar:
		case k != c.bytes[b]:
			return false
		}
	}
	return !spills || v.covers(&o.reg, &c.reg, how)
}

// anyData reports whether all of the slot is plain data.
func (v *verifier) anyData(s *slot) bool {
	for _, k := range s.bytes {
		if k != stackMisc && !(k == stackInvalid && v.profile.UninitStack) {
			return false
		}
	}
	return true
}
