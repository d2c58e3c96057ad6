package verifier

// callback walks the function that a helper calls: any number of times, so that the state at the call is reached
// again after each (kernel: push_callback_call). The current path goes on as if the helper was done.
func (v *verifier) callback(id int32) *Error {
	caller := v.cur.top()
	fn := v.call.fn
	if v.subs[fn].start == 0 {
		return v.fail(BadCallback, "callback function not static")
	}
	v.subs[fn].callback = true
	switch id {
	case helperTimerSetCallback:
		return v.asyncCallback(fn, v.valueArgs)
	case helperLoop:
		v.noteInline(fn)
		n := caller.regs[1].umax
		v.markPrecise(1)
		if uint64(caller.calls) >= n {
			caller.calls = 0
			return nil
		}
	case helperForEach, helperUserRingbufDrain:
	default:
		return v.fail(Unsupported, "callbacks of helper %s are not supported", v.call.row.Name)
	}
	other, err := v.push(v.subs[fn].start)
	if err != nil {
		return err
	}
	from := other.top()
	f, err := v.pushFrame(other, fn)
	if err != nil {
		return err
	}
	f.callback = true
	v.log.touchAll()
	f.retMin, f.retMax = 0, 1
	switch id {
	case helperLoop: // fn(index, ctx)
		f.regs[1] = unknownReg()
		f.regs[2] = from.regs[3]
	case helperForEach: // fn(map, key, value, ctx)
		v.valueArgs(f)
		f.regs[4] = from.regs[3]
	case helperUserRingbufDrain: // fn(dynptr, ctx)
		f.regs[1] = ptrReg(ptrDynptr)
		f.regs[1].aux, f.regs[1].id = int32(dynptrLocal), v.newID()
		f.regs[2] = from.regs[3]
	}
	from.calls++
	other.unrolled++
	caller.calls = 0
	return nil
}

// inlining says whether the kernel will make a loop of a call of bpf_loop.
type inlining uint8

const (
	inlineUnknown inlining = iota // the walk did not get there
	inlineYes                     // flags are 0, and the function is the same, on all paths so far
	inlineNo
)

// noteInline notes whether a call of bpf_loop may become a loop, which takes more stack (kernel: update_loop_inline_state).
func (v *verifier) noteInline(fn int) {
	in := &v.insns[v.pc]
	if in.inline == inlineNo {
		return
	}
	first := in.inline == inlineUnknown
	if flags := &v.regs()[4]; flags.isNull() {
		v.markPrecise(4)
		in.inline = inlineYes
	} else {
		in.inline = inlineNo
	}
	if first {
		in.target = int32(fn)
	} else if in.target != int32(fn) {
		in.inline = inlineNo
	}
}

// inlinedLoops adds to each function's stack the registers that loops in place of bpf_loop save there (kernel:
// optimize_bpf_loop).
func (v *verifier) inlinedLoops() {
	const saved = 3 * slotSize
	for i := range v.subs {
		s := &v.subs[i]
		for pc := s.start; pc < s.end; pc++ {
			if v.insns[pc].inline == inlineYes {
				s.stack += saved
				break
			}
		}
	}
}

// kfuncCallback walks the function that a kernel function has called later: for a work queue, whose functions may sleep.
func (v *verifier) kfuncCallback() *Error {
	fn := v.kcall.fn
	switch {
	case v.subs[fn].start == 0:
		return v.fail(BadCallback, "callback function not static")
	case !v.kcall.work:
		return v.fail(Unsupported, "callbacks of kernel function %s are not supported", v.kcall.row.Name)
	}
	v.subs[fn].callback = true
	v.call.mapAux = v.kcall.workMap
	if err := v.asyncCallback(fn, v.valueArgs); err != nil {
		return err
	}
	v.pending[len(v.pending)-1].st.sleepable = true
	return nil
}

// asyncCallback walks a function that the kernel calls later, on a stack of its own; set fills its argument registers
// (kernel: push_async_cb).
func (v *verifier) asyncCallback(fn int, set func(f *frame)) *Error {
	if len(v.pending) >= v.profile.MaxJumpSeq {
		return v.fail(TooManyJumps, "The sequence of %d jumps is too complex for async cb.", len(v.pending)+1)
	}
	v.subs[fn].async = true
	st := &state{branches: 1}
	f := v.pool.newFrame(fn, -1)
	st.frames[0] = f
	f.regs[10] = ptrReg(ptrStack)
	f.async = v.cur.top().async + 1
	f.retMin, f.retMax = 0, 0
	set(f)
	v.pending = append(v.pending, branch{st, v.subs[fn].start, v.pc, v.log.pos()})
	return nil
}

// valueArgs are the arguments of a callback that gets a map's value: fn(map, key, value).
func (v *verifier) valueArgs(f *frame) {
	f.regs[1], f.regs[2], f.regs[3] = ptrReg(ptrMap), ptrReg(ptrMapKey), ptrReg(ptrMapValue)
	f.regs[1].aux, f.regs[2].aux, f.regs[3].aux = v.call.mapAux, v.call.mapAux, v.call.mapAux
	if v.hasLock(&f.regs[3]) {
		f.regs[3].id = v.newID()
	}
}

// callbackReturned goes back to the helper call, which may call again. What changed in imprecise scalars is forgotten,
// so that the state soon is one seen before.
func (v *verifier) callbackReturned(callsite int) {
	st := v.cur
	st.returned = true
	v.pc = callsite
	if p := st.entry(callsite, st); p != nil {
		v.widen(p, st)
	}
}

// widen makes unknown every scalar of cur that differs from old and that decided nothing so far
// (kernel: widen_imprecise_scalars).
func (v *verifier) widen(old, cur *state) {
	v.ids.reset(v.lastID)
	loosen := func(o, c *reg) {
		if o.typ == scalar && c.typ == scalar && !o.precise && !c.precise && !v.covers(o, c, exact) {
			*c = unknownReg()
		}
	}
	for i := cur.depth; i >= 0; i-- {
		o, c := old.frames[i], cur.frames[i]
		for n := range c.regs[:framePointer] {
			loosen(&o.regs[n], &c.regs[n])
		}
		for k := 0; k < len(o.stack) && k < len(c.stack); k++ {
			if o.stack[k].spilled() && c.stack[k].spilled() {
				loosen(&o.stack[k].reg, &c.stack[k].reg)
			}
		}
	}
}
