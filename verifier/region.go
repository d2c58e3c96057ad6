package verifier

import (
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
)

// region are the sections of a path in which less is allowed, between a kernel function that begins and one that ends them.
type region struct {
	rcu     bool   // an RCU read-side critical section
	preempt int32  // how often preemption was disabled
	irq     uint32 // reference of the interrupt state that was saved last; 0 none
}

// inRCU reports whether what RCU protects lives on: until the region ends, or, in programs that cannot sleep, until the
// program does (kernel: in_rcu_cs).
func (v *verifier) inRCU() bool {
	return v.cur.rcu || v.cur.lock != 0 || !v.maySleep()
}

// maySleep reports whether the running function may (kernel: in_sleepable).
func (v *verifier) maySleep() bool { return v.sleepable || v.cur.sleepable }

// enterRegion begins or ends the region that a kernel function is for, and checks that those that sleep are called outside.
func (v *verifier) enterRegion(k *helpers.Kfunc) *Error {
	r := &v.cur.region
	switch k.Name {
	case "bpf_rcu_read_lock":
		if r.rcu {
			return v.fail(RegionMisuse, "nested rcu read lock (kernel function %s)", k.Name)
		}
		r.rcu = true
	case "bpf_rcu_read_unlock":
		if !r.rcu {
			return v.fail(RegionMisuse, "unmatched rcu read unlock (kernel function %s)", k.Name)
		}
		r.rcu = false
		v.endRCU()
	case "bpf_preempt_disable":
		r.preempt++
	case "bpf_preempt_enable":
		if r.preempt == 0 {
			return v.fail(RegionMisuse, "unmatched attempt to enable preemption (kernel function %s)", k.Name)
		}
		r.preempt--
	}
	if k.Flags.Has(helpers.KfuncRCUProtected) && !v.inRCU() && v.profile.Kernel.AtLeast(rcuEnforced) {
		return v.fail(RegionMisuse, "kernel func %s requires RCU critical section protection", k.Name)
	}
	if in := r.atomic(); in != "" && k.Flags.Has(helpers.KfuncSleepable) {
		return v.fail(RegionMisuse, "kernel func %s is sleepable within %s region", k.Name, in)
	}
	return nil
}

// rcuEnforced is the kernel that began to demand RCU of functions that say so; before, only of what they return.
var rcuEnforced = kver.V(6, 18)

// atomic names the region if the program may not sleep in it, else it is "".
func (r *region) atomic() string {
	switch {
	case r.rcu:
		return "rcu_read_lock"
	case r.preempt > 0:
		return "non-preemptible"
	case r.irq != 0:
		return "IRQ-disabled"
	}
	return ""
}

// endRCU distrusts what RCU protected.
func (v *verifier) endRCU() {
	distrust := func(r *reg) {
		if r.flags&rcu != 0 && r.typ != scalar {
			r.flags = r.flags&^(rcu|maybeNull) | untrusted
		}
	}
	v.cur.eachReg(distrust)
	for _, f := range v.cur.frames[:v.cur.depth+1] {
		for i := range f.stack {
			if f.stack[i].bytes[0] == stackIter {
				distrust(&f.stack[i].reg)
			}
		}
	}
}

// leftRegion names the region that the path is still in, "" when it is in none.
func (st *state) leftRegion() string {
	switch {
	case st.irq != 0:
		return "bpf_local_irq_save-ed"
	case st.rcu:
		return "bpf_rcu_read_lock-ed"
	case st.preempt > 0:
		return "bpf_preempt_disable-ed"
	}
	return ""
}

// checkIRQFlag checks the word of stack with the state of interrupts, and saves or restores them
// (kernel: process_irq_flag).
func (v *verifier) checkIRQFlag(i int, n uint8, r *reg) *Error {
	if r.typ != ptrStack {
		return v.fail(ArgType, "arg#%d doesn't point to an irq flag on stack", i)
	}
	if v.kcall.row.Name == "bpf_local_irq_save" {
		return v.saveIRQ(i, n, r)
	}
	if v.kcall.row.Name == "bpf_local_irq_restore" {
		return v.restoreIRQ(i, r)
	}
	return v.fail(Unsupported, "kernel function %s is not supported", v.kcall.row.Name)
}

func (v *verifier) saveIRQ(i int, n uint8, r *reg) *Error {
	at, words := v.objectSlot(r, "irq_flag", 1)
	f := v.cur.frames[r.frame()]
	if words != "" || at >= 0 && f.stack[at].holds(stackIRQ) {
		return v.fail(RegionMisuse, "%sexpected uninitialized irq flag as arg#%d", words, i)
	}
	if err := v.access(&access{n: n, size: slotSize, write: true, value: noValue}); err != nil {
		return err
	}
	at = slotOf(int(r.off) + int(r.tn.Value))
	id := v.newID()
	v.cur.refs = append(v.cur.refs, ref{id: id, pc: int32(v.pc), irq: true})
	v.cur.irq = id
	s := &f.stack[at]
	s.fill(stackIRQ)
	s.reg = ptrReg(ptrIRQ)
	s.reg.ref = id
	v.wroteSlot(v.frameNumber(f), at)
	return nil
}

func (v *verifier) restoreIRQ(i int, r *reg) *Error {
	at, words := v.objectSlot(r, "irq_flag", 1)
	f := v.cur.frames[r.frame()]
	if at < 0 || !f.stack[at].filled(stackIRQ) {
		return v.fail(RegionMisuse, "%sexpected an initialized irq flag as arg#%d", words, i)
	}
	v.readSlot(r.frame(), at)
	id := f.stack[at].reg.ref
	last := ref{}
	for _, held := range v.cur.refs {
		if held.id == v.cur.irq {
			last = held
		}
	}
	if id != v.cur.irq {
		return v.fail(RegionMisuse, "cannot restore irq state out of order, expected id=%d acquired at insn_idx=%d", last.id, last.pc)
	}
	v.cur.releaseRef(id)
	v.cur.irq = 0
	for _, held := range v.cur.refs {
		if held.irq {
			v.cur.irq = held.id
		}
	}
	f.stack[at] = slot{}
	v.wroteSlot(v.frameNumber(f), at)
	v.log.touchSlot(at)
	return nil
}
