package verifier

// callback walks the function that a helper calls: any number of times, so that the state at the call is reached
// again after each (kernel: push_callback_call). The current path goes on as if the helper was done.
func (v *verifier) callback(id int32) *Error {
	caller := v.cur.top()
	fn := v.call.fn
	if v.subs[fn].start == 0 {
		return v.fail(BadCallback, "callback function not static")
	}
	switch id {
	case helperLoop:
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
	f.retMin, f.retMax = 0, 1
	switch id {
	case helperLoop: // fn(index, ctx)
		f.regs[1] = unknownReg()
		f.regs[2] = from.regs[3]
	case helperForEach: // fn(map, key, value, ctx)
		f.regs[1] = from.regs[1]
		f.regs[2] = ptrReg(ptrMapKey)
		f.regs[2].aux = int32(v.call.m.KeySize)
		f.regs[3] = ptrReg(ptrMapValue)
		f.regs[3].aux = v.call.mapAux
		if hasLock(v.call.m) {
			f.regs[3].id = v.newID()
		}
		f.regs[4] = from.regs[3]
	case helperUserRingbufDrain: // fn(dynptr, ctx)
		f.regs[1] = ptrReg(ptrDynptr)
		f.regs[1].aux, f.regs[1].id = int32(dynptrLocal), v.newID()
		f.regs[2] = from.regs[3]
	}
	caller.calls = 0
	return nil
}

// callbackReturned goes back to the helper call, which may call again. What changed in imprecise scalars is forgotten,
// so that the state soon is one seen before.
func (v *verifier) callbackReturned(callsite int) {
	st := v.cur
	st.returned = true
	st.top().calls++
	v.pc = callsite
	if p := st.entry(callsite, st); p != nil {
		widen(p, st)
	}
}

// widen makes unknown every scalar of cur that differs from old and that decided nothing so far
// (kernel: widen_imprecise_scalars).
func widen(old, cur *state) {
	loosen := func(o, c *reg) {
		if o.typ == scalar && c.typ == scalar && !o.precise && o.bounds != c.bounds {
			*c = unknownReg()
		}
	}
	for i := 0; i <= cur.depth; i++ {
		o, c := old.frames[i], cur.frames[i]
		for n := range c.regs[:10] {
			loosen(&o.regs[n], &c.regs[n])
		}
		for k := 0; k < len(o.stack) && k < len(c.stack); k++ {
			if o.stack[k].spilledScalar() && c.stack[k].spilledScalar() {
				loosen(&o.stack[k].reg, &c.stack[k].reg)
			}
		}
	}
}
