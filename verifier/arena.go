package verifier

import (
	"sync"
	"unsafe"
)

// arena is the memory of a verification, used again by later ones.
type arena struct {
	pool  pool
	steps steps
	kept  [][]*state // states kept at each slot, newest last
	// evicted are states that are kept no more, but lay on a path that was not finished yet.
	evicted   []*state
	insns     []insn
	flowStack []openInsn // of checkFlow
}

var arenas = sync.Pool{New: func() any { return new(arena) }}

// prepare makes the arena ready for a program of n slots.
func (a *arena) prepare(n int) {
	if cap(a.kept) < n {
		a.kept = make([][]*state, n)
	}
	a.kept = a.kept[:n]
	a.steps.n = 0
}

// newInsns makes room for n instructions.
func (a *arena) newInsns(n int) []insn {
	if cap(a.insns) < n {
		a.insns = make([]insn, n)
	}
	a.insns = a.insns[:n]
	clear(a.insns)
	return a.insns
}

// What an arena keeps for the next verification at most.
const (
	spareBytes  = 4 << 20 // of states
	spareChunks = 128
	spareSlots  = 1 << 16
)

// recycle gives all memory back. After a large verification the collector gets it.
func (v *verifier) recycle() {
	a := v.arena
	v.arena = nil
	if a.pool.made > spareBytes || len(a.steps.chunks) > spareChunks || max(cap(a.kept), cap(a.insns), cap(a.flowStack)) > spareSlots {
		return
	}
	for _, b := range v.pending {
		a.pool.put(b.st)
	}
	if v.cur != nil {
		a.pool.put(v.cur)
	}
	v.forgetStates(a)
	arenas.Put(a)
}

// forgetStates gives back the states that were kept. No path may go on from one.
func (v *verifier) forgetStates(a *arena) {
	for _, st := range a.evicted {
		a.pool.put(st)
	}
	for _, l := range v.visits {
		for _, b := range l.back {
			a.pool.put(b.at)
		}
	}
	v.visits = v.visits[:0]
	clear(a.evicted)
	a.evicted = a.evicted[:0]
	for pc, list := range a.kept {
		for _, st := range list {
			a.pool.put(st)
		}
		clear(list)
		a.kept[pc] = list[:0]
	}
}

// pool recycles states and frames of one verification.
type pool struct {
	states []*state
	frames []*frame
	fresh  []frame // not used yet
	made   int     // bytes of all states and frames
	live   int     // … of those that are in use as copies
}

const (
	frameBytes = int(unsafe.Sizeof(frame{}))
	stateBytes = int(unsafe.Sizeof(state{}))
	slotBytes  = int(unsafe.Sizeof(slot{}))
	refBytes   = int(unsafe.Sizeof(ref{}))
)

func (p *pool) frame() *frame {
	if n := len(p.frames); n > 0 {
		f := p.frames[n-1]
		p.frames = p.frames[:n-1]
		return f
	}
	if len(p.fresh) == 0 {
		p.fresh = make([]frame, 16)
	}
	f := &p.fresh[0]
	p.fresh = p.fresh[1:]
	p.made += frameBytes
	return f
}

func (p *pool) newFrame(fn, callsite int) *frame {
	f := p.frame()
	stack := f.stack[:0]
	*f = frame{stack: stack, fn: int32(fn), callsite: int32(callsite)}
	return f
}

func (p *pool) putFrame(f *frame) { p.frames = append(p.frames, f) }

// copy makes an independent copy of s.
func (p *pool) copy(s *state) *state {
	var c *state
	if n := len(p.states); n > 0 {
		c = p.states[n-1]
		p.states = p.states[:n-1]
	} else {
		c = new(state)
		p.made += stateBytes
	}
	had := cap(c.refs)
	refs := append(c.refs[:0], s.refs...)
	p.made += (cap(refs) - had) * refBytes
	*c = *s
	c.refs, c.bytes, c.thin = refs, stateBytes+cap(refs)*refBytes, false
	for i := 0; i <= s.depth; i++ {
		f := p.frame()
		had := cap(f.stack)
		f.copyFrom(s.frames[i])
		p.made += (cap(f.stack) - had) * slotBytes
		c.frames[i] = f
		c.bytes += frameBytes + cap(f.stack)*slotBytes
	}
	for i := s.depth + 1; i < maxFrames; i++ {
		c.frames[i] = nil
	}
	p.live += c.bytes
	return c
}

// put gives s and its frames back. Nothing may refer to s any more.
func (p *pool) put(s *state) {
	p.putFrames(s)
	p.live -= s.bytes
	s.parent, s.thin, s.bytes = nil, false, 0
	p.states = append(p.states, s)
}

func (p *pool) putFrames(s *state) {
	for i := 0; i <= s.depth; i++ {
		if s.frames[i] != nil {
			p.frames = append(p.frames, s.frames[i])
			s.frames[i] = nil
		}
	}
}

// Memory of a verification. A path needs states to find out which scalars matter: one for every maxBack instructions. The
// others are there to save work, so they may go. What the kernel rejects, is rejected without them too.
const (
	softBytes = 64 << 20  // of states; above it, those that can go are thrown away
	hardBytes = 512 << 20 // … a program that needs more than that is refused
)

// evict forgets a kept state that was of no use. It may lie on a path that is not finished: then it goes later.
func (v *verifier) evict(st *state) {
	v.keptNow--
	if st.branches == 0 && v.settled(st) {
		v.pool.put(st)
		return
	}
	st.evicted = true
	v.evictedNow++
	v.evicted = append(v.evicted, st)
	if len(v.evicted) >= max(v.sweepAt, 64) {
		v.sweep(false)
		v.sweepAt = 2 * len(v.evicted)
	}
}

// sweep gives back what lay on paths that are finished now. With thin it takes their frames from those that the current
// paths can do without.
func (v *verifier) sweep(thin bool) {
	left := v.evicted[:0]
	for _, st := range v.evicted {
		if st.branches == 0 && v.settled(st) {
			v.pool.put(st)
			continue
		}
		if thin {
			v.thinOut(st)
		}
		left = append(left, st)
	}
	clear(v.evicted[len(left):])
	v.evicted = left
}

// thinOut takes its frames from an evicted state, unless it is the first behind a multiple of maxBack instructions. On the
// way back over it nothing is marked, and nothing is found marked.
func (v *verifier) thinOut(st *state) {
	if st.thin || st.parent == nil || st.length/maxBack != st.parent.length/maxBack {
		return
	}
	v.pool.putFrames(st)
	v.pool.made -= cap(st.refs) * refBytes
	v.pool.live -= st.bytes - stateBytes
	st.refs, st.bytes, st.thin = nil, stateBytes, true
}

// limitMemory throws states away when there are too many: first those of finished paths that were of no use, then all of
// them, and then those on open paths.
func (v *verifier) limitMemory() *Error {
	limit := max(softBytes, v.memLimit)
	if v.pool.live <= limit {
		return nil
	}
	if v.log == nil { // which wants to show all of them
		for _, goes := range []func(*state) bool{
			func(st *state) bool { return st.branches == 0 && st.hits == 0 },
			func(st *state) bool { return st.branches == 0 },
			func(*state) bool { return true },
		} {
			if v.pool.live > limit/2 {
				v.evictAll(goes)
			}
		}
	}
	v.memLimit = 2 * v.pool.live
	if v.pool.live > hardBytes {
		return v.fail(TooComplex, "BPF program is too complex. %d MB of states", v.pool.live>>20)
	}
	return nil
}

// evictAll evicts the kept states that goes picks.
func (v *verifier) evictAll(goes func(*state) bool) {
	for pc, list := range v.kept {
		left := list[:0]
		for _, st := range list {
			if goes(st) {
				v.evict(st)
			} else {
				left = append(left, st)
			}
		}
		clear(list[len(left):])
		v.kept[pc] = left
	}
	v.sweep(true)
}
