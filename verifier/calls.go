package verifier

import (
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// stepCall dispatches on what is called.
func (v *verifier) stepCall(in *insn) (done bool, err *Error) {
	v.call.arg = 0
	if v.cur.lock != 0 && !(in.kind == asm.CallHelper && in.imm == helperSpinUnlock) && !(in.kfunc != nil && lockSafe(in.kfunc)) {
		return false, v.fail(LockMisuse, "function calls are not allowed while holding a lock")
	}
	switch in.kind {
	case asm.CallLocal:
		if v.subs[v.subOf[in.target]].global {
			return false, v.enterGlobal(in)
		}
		return false, v.enter(in)
	case asm.CallHelper:
		return false, v.callHelper(in)
	case asm.CallKfunc:
		err := v.callKfunc(in)
		return err == nil && in.throws(), err
	}
	return false, v.fail(UnknownOpcode, "unknown opcode %02x", v.prog.Insns[v.pc].Op)
}

func (v *verifier) kfuncName(in *insn) string {
	if f, ok := v.prog.Kfunc(int32(in.imm)); ok {
		return f.Name
	}
	return fmt.Sprintf("#%d", int32(in.imm))
}

// enter goes into a local function: a new frame that gets R1 to R5 (kernel: check_func_call).
func (v *verifier) enter(in *insn) *Error {
	f, err := v.pushFrame(v.cur, int(v.subOf[in.target]))
	if err != nil {
		return err
	}
	caller := v.cur.frames[v.cur.depth-1]
	for i := 1; i <= 5; i++ {
		f.regs[i] = caller.regs[i]
	}
	clearScratched(caller)
	v.live.cur = nil
	v.log.states(v, "caller", v.cur.depth-1, "callee", v.cur.depth)
	v.log.touchAll()
	v.pc = int(in.target)
	return nil
}

// clearScratched makes R0 to R5 unreadable.
func clearScratched(f *frame) {
	for i := range 6 {
		f.regs[i] = reg{}
	}
}

// pushFrame adds a frame for function fn to st.
func (v *verifier) pushFrame(st *state, fn int) (*frame, *Error) {
	if st.depth+1 >= v.profile.MaxFrames || st.depth+1 >= maxFrames {
		return nil, v.fail(CallDepth, "the call stack of %d frames is too deep", st.depth+2)
	}
	f := v.pool.newFrame(fn, v.pc)
	st.depth++
	st.frames[st.depth] = f
	f.regs[10] = ptrReg(ptrStack)
	f.regs[10].aux = int32(st.depth)
	return f, nil
}

// stepExit leaves a function, or ends the path.
func (v *verifier) stepExit() (done bool, err *Error) {
	if v.cur.lock != 0 {
		what := "BPF_EXIT instruction in main prog"
		if v.cur.depth > 0 {
			what = "BPF_EXIT instruction"
		}
		if v.cur.depth == 0 {
			return false, v.fail(LockMisuse, "%s cannot be used inside bpf_spin_lock-ed region", what)
		}
	}
	if v.cur.depth > 0 {
		return false, v.leave()
	}
	if err := v.checkHeld("BPF_EXIT instruction in main prog"); err != nil {
		return false, err
	}
	if err := v.readReg(0); err != nil {
		return false, err
	}
	if v.leaks(&v.regs()[0]) {
		return false, v.fail(PointerLeak, "R0 leaks addr as return value")
	}
	return true, v.checkReturn(0)
}

// checkReturn checks the value that the program returns, which register n holds (kernel: check_return_code).
func (v *verifier) checkReturn(n uint8) *Error {
	r := &v.regs()[n]
	switch f := v.cur.top(); {
	case f.async > 0:
		return v.checkAsyncReturn(f)
	case v.walking == 0:
	case r.typ != scalar:
		return v.fail(ReturnValue, "At subprogram exit the register R%d is not a scalar value (%s)", n, r.typeString())
	default:
		return nil
	}
	if v.prog.Type == prog.LSM && v.attach != prog.AttachLSMCgroup {
		return v.checkLSMReturn(n)
	}
	want := v.returnRange()
	if want == nil {
		return nil
	}
	if r.typ != scalar {
		return v.fail(ReturnValue, "At program exit the register R%d is not a known value (%s)", n, r.typeString())
	}
	v.markPrecise(n)
	return v.checkRange(r, want.Min, want.Max, fmt.Sprintf("At program exit the register R%d", n))
}

// checkAsyncReturn checks what a callback returns that the kernel calls later.
func (v *verifier) checkAsyncReturn(f *frame) *Error {
	const what = "At async callback return the register R0"
	r0 := &f.regs[0]
	if r0.typ != scalar {
		return v.fail(ReturnValue, "%s is not a known value (%s)", what, r0.typeString())
	}
	v.markPrecise(0)
	return v.checkRange(r0, f.retMin, f.retMax, what)
}

// returnRange is what the attach point, else the program type, demands of R0.
func (v *verifier) returnRange() *prog.Range {
	if s, ok := prog.SectionOf(v.prog.Section); ok && s.Type == v.prog.Type && s.Ret != nil && v.profile.Kernel.AtLeast(s.RetSince) {
		return s.Ret
	}
	return v.row.Ret
}

func (v *verifier) checkRange(r *reg, lo, hi int32, what string) *Error {
	if r.smin >= int64(lo) && r.smax <= int64(hi) {
		return nil
	}
	return v.failRange(r, lo, hi, what)
}

// rangeWords says what is known of a scalar (kernel: verbose_invalid_scalar).
func rangeWords(r *reg) string {
	words, known := "", false
	if r.smin > anyBounds.smin {
		words, known = fmt.Sprintf("smin=%d ", r.smin), true
	}
	if r.smax < anyBounds.smax {
		words, known = words+fmt.Sprintf("smax=%d ", r.smax), true
	}
	if !known {
		return "unknown scalar value"
	}
	return words[:len(words)-1]
}

// leave returns from a local function or a callback (kernel: prepare_func_exit).
func (v *verifier) leave() *Error {
	st := v.cur
	v.updateLiveness()
	callee, caller := st.top(), st.frames[st.depth-1]
	r0 := callee.regs[0]
	switch {
	case r0.typ == ptrStack:
		return v.fail(StackEscape, "cannot return stack pointer to the caller")
	case callee.callback:
		if r0.typ != scalar {
			return v.fail(ReturnValue, "R0 not a scalar value")
		}
		v.markPrecise(0)
		if err := v.checkRange(&r0, callee.retMin, callee.retMax, "At callback return the register R0"); err != nil {
			return err
		}
	}
	callsite, callback := int(callee.callsite), callee.callback
	next := callsite
	if !callback {
		caller.regs[0] = r0
		next++
	}
	v.log.returning(v, next)
	v.pool.putFrame(callee)
	st.frames[st.depth] = nil
	st.depth--
	if callback {
		v.callbackReturned(callsite)
		return nil
	}
	v.pc = next
	return nil
}

// tailCallReturns walks on behind a tail call in a function both ways: it failed, and the function goes on; or another
// program ran, which may have changed the packet, and its result is that of the function (kernel: check_helper_call).
func (v *verifier) tailCallReturns() *Error {
	if _, err := v.push(v.pc + 1); err != nil {
		return err
	}
	v.forgetPackets()
	v.regs()[0] = unknownReg()
	err := v.leave()
	v.log.goesOn()
	return err
}

// invalid is what becomes of a pointer to what is gone (kernel: mark_reg_invalid): a number, where those may be seen.
func (v *verifier) invalid() reg {
	if v.profile.PointerLeaks {
		return unknownReg()
	}
	return reg{}
}

// forgetPackets makes numbers of all packet pointers: the packet may have moved (kernel: clear_all_pkt_pointers).
func (v *verifier) forgetPackets() {
	v.cur.eachReg(func(r *reg) {
		if r.isPacket() || r.typ == ptrPacketEnd || r.typ == ptrMem && r.flags&packetSlice != 0 {
			*r = v.invalid()
		}
	})
}

// checkHeld checks that nothing acquired is left at an instruction after which it could not be released
// (kernel: check_resource_leak).
func (v *verifier) checkHeld(what string) *Error {
	if v.cur.lock != 0 {
		return v.fail(LockMisuse, "%s cannot be used inside bpf_spin_lock-ed region", what)
	}
	words, last := "", ref{}
	for _, r := range v.cur.refs {
		if !r.irq {
			words, last = words+fmt.Sprintf("Unreleased reference id=%d alloc_insn=%d\n", r.id, r.pc), r
		}
	}
	if words != "" {
		e := v.fail(RefLeak, "%s%s would lead to reference leak", words, what)
		e.Reason = fmt.Sprintf("what was acquired at instruction %d is never released on this path", last.pc)
		return e
	}
	if in := v.cur.leftRegion(); in != "" {
		return v.fail(RegionMisuse, "%s cannot be used inside %s region", what, in)
	}
	return nil
}
