package verifier

import "math"

// Words that the kernel puts into messages about the stack.
const (
	readFrom = " read from"
	writeTo  = " write to"
)

// accessStack checks a load or store of the stack and does it (kernel: check_stack_read, check_stack_write).
func (v *verifier) accessStack(a *access, r *reg) *Error {
	what := readFrom
	if a.write {
		what = writeTo
	}
	if err := v.checkStackRange(a.n, r, int64(a.off), int64(a.size), what); err != nil {
		return v.ofAccess(err)
	}
	f := v.cur.frames[r.frame()]
	off := int(r.off) + int(a.off)
	if r.isConst() {
		off += int(r.tn.Value)
		if a.write {
			return v.storeStack(f, r.frame(), off, a)
		}
		return v.loadStack(f, r.frame(), off, a)
	}
	if !v.profile.PointerLeaks {
		return v.fail(Speculation, "R%d variable stack access prohibited for !root, var_off=%v off=%d", a.n, r.tn, r.off)
	}
	if !v.profile.VarStack {
		return v.fail(StackAccess, "variable stack access var_off=%v off=%d size=%d", r.tn, int64(r.off)+int64(a.off), a.size)
	}
	if a.write {
		return v.storeStackVar(f, r, a)
	}
	if a.value == noValue {
		return v.fail(StackAccess, "variable offset stack pointer cannot be passed into helper function; var_off=%v off=%d size=%d",
			r.tn, r.off, a.size)
	}
	return v.loadStackVar(f, r, a)
}

// checkStackRange checks that an access stays in the frame, and makes that much stack exist
// (kernel: check_stack_access_within_bounds).
func (v *verifier) checkStackRange(n uint8, r *reg, insnOff, size int64, what string) *Error {
	off := int64(r.off) + insnOff
	lo, hi := off+int64(r.tn.Value), off+int64(r.tn.Value)+size
	if !r.isConst() {
		if r.smax >= maxVarOff || r.smin <= -maxVarOff {
			return v.fail(StackAccess, "invalid unbounded variable-offset%s stack R%d", what, n)
		}
		lo, hi = off+r.smin, off+r.smax+size
	}
	f := v.cur.frames[r.frame()]
	lowest := int64(-stackBytes)
	if what != writeTo && !v.profile.UninitStack {
		lowest = -int64(len(f.stack) * slotSize)
	}
	if lo < lowest || lo > -1 || hi > 0 || size < 0 {
		if r.isConst() {
			return v.fail(StackAccess, "invalid%s stack R%d off=%d size=%d", what, n, lo, size).aboutBytes(n, off, size, -lowest)
		}
		return v.fail(StackAccess, "invalid variable-offset%s stack R%d var_off=%v off=%d size=%d", what, n, r.tn, insnOff+int64(r.off), size).aboutBytes(n, off, size, -lowest)
	}
	return v.growStack(f, int(lo))
}

// growStack makes the stack down to off exist, and remembers how deep the function's stack gets.
func (v *verifier) growStack(f *frame, off int) *Error {
	had := len(f.stack)
	f.grow(off)
	if s := &v.subs[f.fn]; -off > s.stack {
		s.stack = (slotOf(off) + 1) * slotSize
	}
	if len(f.stack) == had || v.cur.depth == 0 {
		return nil
	}
	slots := 0
	for _, f := range v.cur.frames[:v.cur.depth+1] {
		slots += len(f.stack)
	}
	if slots*slotSize <= 2*v.profile.MaxStack {
		return nil
	}
	// Much more than there may be: what every state costs would get out of hand. Deviation: the kernel finds errors in what
	// follows first.
	return v.checkStackDepth()
}

// storeStack stores at a known place.
func (v *verifier) storeStack(f *frame, fr uint8, off int, a *access) *Error {
	i := slotOf(off)
	s := &f.stack[i]
	v.log.touchSlot(i)
	var val *reg
	if a.value != noValue {
		val = &v.regs()[a.value]
	}
	if !v.profile.PointerLeaks && s.spilled() && !s.spilledScalar() && a.size != slotSize {
		return v.fail(NotPrivileged, "attempt to corrupt spilled pointer on stack")
	}
	if v.mitigations != nil {
		v.noteStore(f, off, a.size, val)
	}
	if err := v.destroyDynptr(f, i); err != nil {
		return err
	}
	aligned := off%slotSize == 0
	if a.size == slotSize {
		v.wroteSlot(fr, i)
	}
	switch {
	case aligned && val != nil && val.typ == scalar && v.profile.Capable:
		if v.profile.spills(val, a.size) {
			fits := val.width() <= 8*a.size
			if v.profile.LinkedSpill && fits {
				v.link(val)
			}
			v.spill(s, val, a.size)
			if !fits {
				s.reg.unlink()
			}
			v.steps.at(v.cur.hist).stack = stackStep(fr, i)
			return nil
		}
	case aligned && a.isImm && v.profile.ImmSpill && (a.imm != 0 || v.profile.ZeroSpill) && v.profile.Capable:
		c := constReg(a.imm)
		v.spill(s, &c, a.size)
		v.steps.at(v.cur.hist).stack = stackStep(fr, i)
		return nil
	case val != nil && val.isPtr():
		if a.size != slotSize {
			return v.fail(BadSpill, "invalid size of register spill")
		}
		if int(fr) != v.cur.depth && val.typ == ptrStack {
			return v.fail(StackEscape, "cannot spill pointers to stack into stack frame of the caller")
		}
		v.spill(s, val, a.size)
		v.steps.at(v.cur.hist).stack = stackStep(fr, i)
		return nil
	}
	kind := stackMisc
	if val != nil && val.isNull() || a.isImm && a.imm == 0 {
		if val != nil {
			v.markPrecise(uint8(a.value))
		}
		kind = stackZero
	}
	s.scrub()
	for b := range a.size {
		*f.byteAt(off + b) = kind
	}
	return nil
}

// spills reports whether the release follows a number that is stored in size bytes.
func (p *Profile) spills(val *reg, size int) bool {
	switch {
	case size < slotSize && !p.NarrowSpill, val.isNull() && !p.ZeroSpill:
		return false
	case !p.NumberSpill:
		return val.isConst()
	}
	return p.LinkedSpill || !val.unbounded() || !val.tn.IsUnknown()
}

// spill puts a register into the low size bytes of a slot.
func (v *verifier) spill(s *slot, val *reg, size int) {
	s.reg = *val
	for b := range s.bytes {
		switch {
		case b < size:
			s.bytes[b] = stackSpill
		case s.bytes[b] == stackZero && v.profile.ZeroSpill, s.bytes[b] == stackInvalid:
		default:
			s.bytes[b] = stackMisc
		}
	}
}

// storeStackVar stores somewhere in a range: every byte of it may have changed.
func (v *verifier) storeStackVar(f *frame, r *reg, a *access) *Error {
	lo, hi := int(r.smin)+int(r.off)+int(a.off), int(r.smax)+int(r.off)+int(a.off)+a.size
	var val *reg
	if a.value != noValue {
		val = &v.regs()[a.value]
	}
	zero := val != nil && val.isNull() || a.isImm && a.imm == 0
	usedZero := false
	for i := slotOf(hi - 1); i <= slotOf(lo); i++ {
		if err := v.destroyDynptr(f, i); err != nil {
			return err
		}
	}
	for off := lo; off < hi; off++ {
		s := &f.stack[slotOf(off)]
		v.log.touchSlot(slotOf(off))
		k := f.byteAt(off)
		if *k == stackInvalid && !v.profile.UninitStack {
			return v.fail(NotPrivileged, "uninit stack in range of var-offset write prohibited for !root; invalid size")
		}
		if *k == stackSpill && zero && s.spilledScalar() && s.reg.tn.Equals(0) && s.spillSize() == slotSize {
			usedZero = true
			continue // still zero
		}
		s.scrub()
		if *k == stackZero && zero {
			usedZero = true
			continue
		}
		*k = stackMisc
	}
	if usedZero && val != nil {
		v.markPrecise(uint8(a.value))
	}
	return nil
}

// loadStack loads from a known place.
func (v *verifier) loadStack(f *frame, fr uint8, off int, a *access) *Error {
	i := slotOf(off)
	s := &f.stack[i]
	v.log.touchSlot(i)
	if s.spilled() && s.spillSize() == slotSize && a.size == slotSize {
		v.readSlot(fr, i)
		if a.value == noValue {
			if v.leaks(&s.reg) {
				return v.fail(PointerLeak, "leaking pointer from stack off %d", off)
			}
			return nil
		}
		v.regs()[a.value] = s.reg
		v.steps.at(v.cur.hist).stack = stackStep(fr, i)
		return nil
	}
	if s.spilled() && s.reg.typ != scalar {
		return v.fail(BadFill, "invalid size of register fill")
	}
	counts, err := v.countBytes(f, off, a.size)
	if err != nil {
		return err
	}
	v.readSlot(fr, i)
	if a.value == noValue {
		return nil
	}
	dst := &v.regs()[a.value]
	switch {
	case counts[stackSpill] == a.size && off%slotSize == 0 && (v.profile.TruncatedFill || a.size == s.spillSize()):
		*dst = s.reg
		if s.reg.width() > 8*a.size {
			dst.unlink()
		}
		v.steps.at(v.cur.hist).stack = stackStep(fr, i)
	case counts[stackSpill] == a.size && s.reg.tn.Equals(0):
		*dst = constReg(0)
		v.steps.at(v.cur.hist).stack = stackStep(fr, i)
	case counts[stackZero] == a.size:
		*dst = constReg(0)
	default:
		*dst = unknownReg()
	}
	return nil
}

// countBytes counts the bytes of each kind in a load, all of which must be readable.
func (v *verifier) countBytes(f *frame, off, size int) (counts [numByteKinds]int, err *Error) {
	for b := range size {
		k := *f.byteAt(off + b)
		if k == stackInvalid && !v.profile.UninitStack || k > stackZero {
			return counts, v.fail(UninitStack, "invalid read from stack off %d+%d size %d", off, b, size)
		}
		counts[k]++
	}
	return counts, nil
}

// loadStackVar loads from somewhere in a range. All of it must be readable, and no pointer may be in it.
func (v *verifier) loadStackVar(f *frame, r *reg, a *access) *Error {
	if err := v.checkStackInit(a.n, r, int64(a.off), int64(a.size), false); err != nil {
		return err
	}
	lo, hi := int(r.smin)+int(r.off)+int(a.off), int(r.smax)+int(r.off)+int(a.off)+a.size
	for off := lo; off < hi; off++ {
		v.log.touchSlot(slotOf(off))
		if *f.byteAt(off) != stackZero {
			v.regs()[a.value] = unknownReg()
			return nil
		}
	}
	v.regs()[a.value] = constReg(0)
	return nil
}

// checkStackInit checks that a range of stack may be read as plain data; clobber says that it is also written to.
// The range itself was checked before (kernel: check_stack_range_initialized).
func (v *verifier) checkStackInit(n uint8, r *reg, insnOff, size int64, clobber bool) *Error {
	f := v.cur.frames[r.frame()]
	lo, hi := int(int64(r.off)+insnOff), int(int64(r.off)+insnOff+size)
	if r.isConst() {
		lo, hi = lo+int(r.tn.Value), hi+int(r.tn.Value)
	} else {
		lo, hi = lo+int(r.smin), hi+int(r.smax)
	}
	for off := lo; off < hi; off++ {
		s := &f.stack[slotOf(off)]
		k := f.byteAt(off)
		switch {
		case *k == stackMisc:
		case *k == stackZero, *k == stackInvalid && v.profile.UninitStack:
			if clobber {
				*k = stackMisc
			}
		case *k == stackSpill && (s.reg.typ == scalar || v.profile.PointerLeaks):
			if clobber {
				s.scrub()
			}
		case r.isConst():
			return v.fail(UninitStack, "invalid read from stack R%d off %d+%d size %d", n, lo, off-lo, size).aboutBytes(n, int64(r.off)+insnOff, size, 0)
		default:
			return v.fail(UninitStack, "invalid read from stack R%d var_off %v+%d size %d", n, r.tn, off-lo, size).aboutBytes(n, int64(r.off)+insnOff, size, 0)
		}
		v.readSlot(r.frame(), slotOf(off))
	}
	return nil
}

// constKey returns the constant 32-bit key that r points to on the stack (kernel: get_constant_map_key).
func (v *verifier) constKey(r *reg) (uint32, bool) {
	if r.typ != ptrStack || !r.isConst() {
		return 0, false
	}
	f := v.cur.frames[r.frame()]
	off := int(r.off) + int(r.tn.Value)
	i := slotOf(off)
	if off < -stackBytes || off >= 0 || i >= len(f.stack) || off+4 > 0 {
		return 0, false
	}
	zeros := 0
	for b := range 4 {
		if *f.byteAt(off + b) == stackZero {
			zeros++
		}
	}
	s := &f.stack[i]
	switch {
	case zeros == 4:
		return 0, true
	case off%slotSize != 0, s.spillSize() != 4, !s.spilledScalar(), !s.reg.isConst(), s.reg.tn.Value > math.MaxUint32:
		return 0, false
	}
	v.markPreciseSlot(int(r.frame()), i)
	return uint32(s.reg.tn.Value), true
}
