package verifier

import (
	"strings"

	"github.com/skepvm/skep/helpers"
)

// Open-coded iterators live on the stack between their constructor and destructor. Each slot of one has kind stackIter; its
// reg has typ ptrIter, the struct in aux (see structID), and of the first slot, which is at the lowest address, the reference.
// rng is the state and off the depth: how often the iterator was stepped on this path.

// States of an iterator. (Linux: enum bpf_iter_state.)
const (
	iterActive  = 1
	iterDrained = 2 // the last step returned NULL, and so will all others
)

var iterStates = [...]string{"<invalid>", "active", "drained"}

// iterPrefix begins the name of every iterator's struct.
const iterPrefix = "bpf_iter_"

// iterPlace is where an iterator is.
type iterPlace struct {
	frame uint8
	slot  int
}

// iterAt is the first slot of an iterator.
func (v *verifier) iterAt(st *state, p iterPlace) *slot { return &st.frames[p.frame].stack[p.slot] }

// checkIter checks the iterator argument of one of its functions, and constructs or destroys it (kernel: process_iter_arg).
func (v *verifier) checkIter(i int, n uint8, r *reg, a *helpers.KfuncArg) *Error {
	c := &v.kcall
	if c.row.Name == kfuncIterCSSTaskNew && !v.cssTaskAllowed() {
		return v.fail(KfuncUnavailable, "css_task_iter is only allowed in bpf_lsm, bpf_iter and sleepable progs")
	}
	if r.typ != ptrStack {
		return v.fail(ArgType, "arg#%d expected pointer to an iterator on stack", i)
	}
	slots := helpers.IterSlots(a.Type.Name)
	name := strings.TrimPrefix(a.Type.Name, iterPrefix)
	if c.row.Flags.Has(helpers.KfuncIterNew) {
		return v.constructIter(i, n, r, a.Type.Name, slots)
	}
	first, words := v.objectSlot(r, "iter", slots)
	if first < 0 {
		return v.fail(IterMisuse, "%sexpected an initialized iter_%s as arg #%d", words, name, i)
	}
	f := v.cur.frames[r.frame()]
	id := v.structID(a.Type.Name)
	for k := range slots {
		s := &f.stack[first-k]
		switch {
		case s.bytes[0] == stackIter && s.reg.flags&untrusted != 0:
			return v.fail(IterMisuse, "expected an RCU CS when using %s", c.row.Name)
		case !s.filled(stackIter) || s.reg.aux != id || (s.reg.ref != 0) != (k == 0):
			return v.fail(IterMisuse, "expected an initialized iter_%s as arg #%d", name, i)
		}
	}
	for k := range slots {
		v.readSlot(r.frame(), first-k)
	}
	c.iter = iterPlace{r.frame(), first}
	c.ref = f.stack[first].reg.ref
	if c.row.Flags.Has(helpers.KfuncIterDestroy) {
		v.releaseAll(c.ref)
		for k := range slots {
			f.stack[first-k] = slot{}
			v.wroteSlot(v.frameNumber(f), first-k)
			v.log.touchSlot(first - k)
		}
	}
	return nil
}

// cssTaskAllowed reports whether the program may walk the tasks of a css (kernel: check_css_task_iter_allowlist).
func (v *verifier) cssTaskAllowed() bool {
	return v.prog.Type.String() == "lsm" || strings.HasPrefix(v.prog.Section, "iter") || v.maySleep()
}

// constructIter makes an iterator on the stack (kernel: mark_stack_slots_iter).
func (v *verifier) constructIter(i int, n uint8, r *reg, typ string, slots int) *Error {
	first, words := v.objectSlot(r, "iter", slots)
	f := v.cur.frames[r.frame()]
	bad := words != ""
	for k := 0; first >= 0 && k < slots; k++ {
		for _, b := range f.stack[first-k].bytes {
			bad = bad || b == stackIter
		}
	}
	if bad {
		return v.fail(IterMisuse, "%sexpected uninitialized iter_%s as arg #%d", words, strings.TrimPrefix(typ, iterPrefix), i)
	}
	for k := range slots {
		if err := v.access(&access{n: n, off: int32(k * slotSize), size: slotSize, write: true, value: noValue}); err != nil {
			return err
		}
	}
	first = slotOf(int(r.off) + int(r.tn.Value))
	it := ptrReg(ptrIter)
	it.aux, it.rng = v.structID(typ), iterActive
	if v.kcall.row.Flags.Has(helpers.KfuncRCUProtected) {
		it.flags = untrusted
		if v.inRCU() {
			it.flags = rcu
		}
	}
	ref := v.acquire()
	for k := range slots {
		s := &f.stack[first-k]
		s.fill(stackIter)
		s.reg = it
		v.wroteSlot(v.frameNumber(f), first-k)
		v.log.touchSlot(first - k)
	}
	f.stack[first].reg.ref = ref
	return nil
}

// iterNext splits the path after a step of an iterator: it went on, or it is drained. A drained iterator stays so. Scalars
// that decided nothing in the last round are forgotten where it went on, so that the state soon is one seen before
// (kernel: process_iter_next_call).
func (v *verifier) iterNext() *Error {
	it := v.iterAt(v.cur, v.kcall.iter)
	v.log.touchSlot(v.kcall.iter.slot)
	if it.reg.rng == iterActive {
		next, err := v.push(v.pc + 1)
		if err != nil {
			return err
		}
		v.iterAt(next, v.kcall.iter).reg.off++
		if p := v.cur.parent.entry(v.pc, v.cur); p != nil {
			v.widen(p, next)
		}
		v.notNull(&next.top().regs[0])
	}
	it.reg.rng = iterDrained
	v.regs()[0] = constReg(0)
	return nil
}

// iterConverges reports whether the iterator that the current instruction steps is active: then a state that was seen in
// an earlier round need not be walked again, for the iterator will end.
func (v *verifier) iterConverges() bool {
	r := &v.regs()[1]
	if r.typ != ptrStack || !r.isConst() {
		return false
	}
	off := int(r.off) + int(r.tn.Value)
	f := v.cur.frames[r.frame()]
	if off >= 0 || slotOf(off) >= len(f.stack) {
		return false
	}
	s := &f.stack[slotOf(off)]
	return s.bytes[0] == stackIter && s.reg.rng == iterActive
}

// iterDepthsDiffer reports whether an iterator that is active in old was stepped since: then the loop is one that ends
// (kernel: iter_active_depths_differ).
func iterDepthsDiffer(old, cur *state) bool {
	for i := 0; i <= old.depth; i++ {
		for k := range old.frames[i].stack {
			s := &old.frames[i].stack[k]
			if s.bytes[0] != stackIter || s.reg.rng != iterActive {
				continue
			}
			if f := cur.frames[i]; k < len(f.stack) && f.stack[k].reg.off != s.reg.off {
				return true
			}
		}
	}
	return false
}
