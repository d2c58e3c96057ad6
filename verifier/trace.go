package verifier

import "github.com/skepvm/skep/asm"

// A rejection is explained by walking the program once more: the walk is deterministic, so its steps have the same numbers
// again, and those of the failing path are known. Only then, and only on that path, changes of registers and stack slots
// are recorded. The first walk pays nothing for it.

// maxTraced is how many steps before a rejection are recorded at most.
const maxTraced = 1 << 15

// place is a register or a stack slot of a frame: n below firstSlot is a register.
type place struct{ frame, n uint8 }

const (
	firstSlot = 11
	numPlaces = firstSlot + maxSlots
)

func (p place) isSlot() bool { return p.n >= firstSlot }

// event is a change of a place. A register's value is val.reg.
type event struct {
	place
	step int32 // that changed it; negative when it was so at the start of the recording
	prev int32 // the place's event before; 0 none
	val  slot
}

// traced is a step of the recorded path.
type traced struct {
	pc    int32
	depth uint8 // frame that was running
}

// trace records one path.
type trace struct {
	path   []uint32 // numbers of its steps, ascending
	next   int      // index in path of the step to come
	steps  []traced
	events []event                     // [0] is not used
	last   [maxFrames][numPlaces]int32 // newest event of each place
}

// newTrace makes a trace of the path that ends with step hist of v.
func newTrace(v *verifier) *trace {
	t := &trace{events: make([]event, 1, 256)}
	for h := v.cur.hist; h != 0 && len(t.path) < maxTraced; h = v.steps.at(h).prev {
		t.path = append(t.path, h)
	}
	for i, j := 0, len(t.path)-1; i < j; i, j = i+1, j-1 {
		t.path[i], t.path[j] = t.path[j], t.path[i]
	}
	return t
}

// step is called before each instruction of the second walk.
func (t *trace) step(v *verifier) {
	if t.next < len(t.path) && t.path[t.next] == v.steps.n {
		t.next++
		t.enter(v)
	}
}

// enter records what the path's last step changed, and begins the next one.
func (t *trace) enter(v *verifier) {
	st := v.cur
	for fr := range st.depth + 1 {
		f := st.frames[fr]
		for n := range f.regs {
			t.note(place{uint8(fr), uint8(n)}, &slot{reg: f.regs[n]})
		}
		for i := range maxSlots {
			p := place{uint8(fr), uint8(firstSlot + i)}
			switch {
			case i < len(f.stack):
				t.note(p, &f.stack[i])
			case t.last[fr][p.n] != 0:
				t.note(p, &slot{})
			}
		}
	}
	t.steps = append(t.steps, traced{int32(v.pc), uint8(st.depth)})
}

// note records the value of a place if it is not what it was.
func (t *trace) note(p place, val *slot) {
	last := t.last[p.frame][p.n]
	now := *val
	now.reg.precise = false // says nothing of the value
	if t.events[last].val == now {
		return
	}
	t.events = append(t.events, event{place: p, step: int32(len(t.steps) - 1), prev: last, val: now})
	t.last[p.frame][p.n] = int32(len(t.events) - 1)
}

// before is the event that gave a place the value that it has before a step; nil when it never got one.
func (t *trace) before(p place, step int32) *event {
	for i := t.last[p.frame][p.n]; i != 0; i = t.events[i].prev {
		if t.events[i].step < step {
			return &t.events[i]
		}
	}
	return nil
}

// value is what a place holds before a step.
func (t *trace) value(p place, step int32) slot {
	if e := t.before(p, step); e != nil {
		return e.val
	}
	return slot{}
}

// end is the number that the step after the last has: before it, places hold what they held at the rejection.
func (t *trace) end() int32 { return int32(len(t.steps)) }

// copied is the place that the value of an event was copied from unchanged: by a move, a spill, a fill, a call or a return;
// or, at a branch, which changes no value, the place itself. ok is false when the event's step made the value.
func (t *trace) copied(v *verifier, e *event) (from place, ok bool) {
	if e.step < 0 {
		return from, false
	}
	s := t.steps[e.step]
	in := &v.insns[s.pc]
	reg := func(n uint8) place { return place{s.depth, n} }
	if !in.mayChange(e.place, s.depth) {
		return e.place, t.kept(e)
	}
	switch in.class {
	case asm.ClassALU:
		if asm.ALUOp(in.op) != asm.Mov || !in.useSrc {
			return from, false
		}
		from = reg(in.src)
	case asm.ClassLoad:
		base := t.value(reg(in.src), e.step).reg
		if base.typ != ptrStack || !base.isConst() {
			return from, false
		}
		off := int(base.off) + int(base.tn.Value) + int(in.off)
		if off >= 0 || off < -stackBytes || off%slotSize != 0 {
			return from, false
		}
		from = place{base.frame(), uint8(firstSlot + slotOf(off))}
	case asm.ClassStore:
		if !in.useSrc {
			return from, false
		}
		from = reg(in.src)
	case asm.ClassCall:
		if in.kind != asm.CallLocal || e.frame != s.depth+1 || e.n < 1 || e.n > 5 {
			return from, false
		}
		from = reg(e.n)
	case asm.ClassExit:
		if s.depth == 0 || e.frame != s.depth-1 || e.n != 0 {
			return from, false
		}
		from = reg(0)
	default:
		return from, false
	}
	was := t.value(from, e.step)
	return from, was.reg.typ == e.val.reg.typ && (was.reg.bounds == e.val.reg.bounds || was.reg.isPtr()) &&
		(!from.isSlot() || was.spilled()) && (!e.isSlot() || e.val.spilled())
}

// mayChange reports whether the instruction, run in a frame, may give a place another value. What it tells of the value
// that is there (a branch its range, a copy its id) is no such thing.
func (in *insn) mayChange(p place, frame uint8) bool {
	switch in.class {
	case asm.ClassBranch, asm.ClassJump, asm.ClassMayGoto:
		return false
	case asm.ClassALU, asm.ClassNeg, asm.ClassMovsx, asm.ClassSwap, asm.ClassImm64, asm.ClassLoad, asm.ClassLoadAcq:
		return p == place{frame, in.dst}
	case asm.ClassStore, asm.ClassStoreRel:
		return p.isSlot()
	}
	return true
}

// kept reports whether an event left the place's type as it was.
func (t *trace) kept(e *event) bool {
	return e.prev != 0 && t.events[e.prev].val.reg.typ == e.val.reg.typ
}

// origin follows a value back from a place before a step to the event that made it; nil when nothing did.
func (t *trace) origin(v *verifier, p place, step int32) *event {
	for {
		e := t.before(p, step)
		if e == nil {
			return nil
		}
		from, ok := t.copied(v, e)
		if !ok {
			return e
		}
		p, step = from, e.step
	}
}

// lastVisit is the newest step before the given one that was at pc in the same frame; -1 when there is none.
func (t *trace) lastVisit(step int32) int32 {
	at := t.steps[step]
	for i := step - 1; i >= 0; i-- {
		if t.steps[i] == at {
			return i
		}
	}
	return -1
}
