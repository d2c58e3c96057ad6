package verifier

import (
	"fmt"

	"github.com/skepvm/skep/helpers"
)

// dynptrType says what a dynptr points to. (Linux: enum bpf_dynptr_type.)
type dynptrType int32

const (
	dynptrAny dynptrType = iota
	dynptrLocal
	dynptrRingbuf
	dynptrSKB
	dynptrXDP
	dynptrSKBMeta
)

var dynptrNames = [...]string{"<invalid>", "local", "ringbuf", "skb", "xdp", "skb_meta"}

func (t dynptrType) String() string { return dynptrNames[t] }

// counted reports whether a dynptr of the type is a reference that must be released.
func (t dynptrType) counted() bool { return t == dynptrRingbuf }

// packet reports whether slices of such a dynptr point into the packet, and die when it moves.
func (t dynptrType) packet() bool { return t == dynptrSKB || t == dynptrXDP || t == dynptrSKBMeta }

// skb reports whether a write through such a dynptr may move the packet.
func (t dynptrType) skb() bool { return t == dynptrSKB || t == dynptrSKBMeta }

// dynptrMakers are the kernel functions that make a dynptr of a type.
var dynptrMakers = map[string]dynptrType{
	"bpf_dynptr_from_skb": dynptrSKB, "bpf_dynptr_from_xdp": dynptrXDP, "bpf_dynptr_from_skb_meta": dynptrSKBMeta,
}

// dynptrSlots are the stack slots of a struct bpf_dynptr. Both have kind stackDynptr; the reg of each has typ ptrDynptr,
// the type in aux, the dynptr's id and its reference, and that of the first one, which is at the lower address, rng 1.
const dynptrSlots = 2

// dynptrArg says what a function wants of a dynptr (kernel: the flags of ARG_PTR_TO_DYNPTR).
type dynptrArg struct {
	uninit   bool       // the function constructs it
	readOnly bool       // the function does not change the struct bpf_dynptr
	typ      dynptrType // dynptrAny unless one type is wanted or made
	ref      uint32     // of what is cloned; 0 makes a new reference
}

// objectSlot finds the stack slot at which a pointer to an object of some slots points. The words are the kernel's when
// the pointer cannot be one to such an object; slot is -1 when the stack there was never touched
// (kernel: stack_slot_obj_get_spi).
func (v *verifier) objectSlot(r *reg, what string, slots int) (slot int, words string) {
	if !r.isConst() {
		return -1, what + " has to be at a constant offset\n"
	}
	off := int(r.off) + int(r.tn.Value)
	if off%slotSize != 0 || off >= 0 || slotOf(off)+1 < slots {
		return -1, fmt.Sprintf("cannot pass in %s at an offset=%d\n", what, off)
	}
	if slot = slotOf(off); slot >= len(v.cur.frames[r.frame()].stack) {
		return -1, ""
	}
	return slot, ""
}

// processDynptr checks a dynptr argument, and constructs the dynptr if the function does (kernel: process_dynptr_func).
func (v *verifier) processDynptr(n uint8, r *reg, a dynptrArg) *Error {
	if r.typ != ptrStack && r.typ != ptrDynptr {
		return v.fail(ArgType, "arg#%d expected pointer to stack or const struct bpf_dynptr", n-1)
	}
	if a.uninit {
		return v.constructDynptr(n, r, a)
	}
	if r.typ == ptrDynptr && !a.readOnly {
		return v.fail(DynptrMisuse, "cannot pass pointer to const bpf_dynptr, the helper mutates it")
	}
	d, words := v.dynptrAt(r)
	if d == nil {
		return v.fail(DynptrMisuse, "%sExpected an initialized dynptr as arg #%d", words, n-1)
	}
	if a.typ != dynptrAny && dynptrType(d.aux) != a.typ {
		return v.fail(DynptrMisuse, "Expected a dynptr of type %v as arg #%d", a.typ, n-1)
	}
	if r.typ == ptrStack {
		slot := slotOf(int(r.off) + int(r.tn.Value))
		v.readSlot(r.frame(), slot)
		v.readSlot(r.frame(), slot-1)
	}
	return nil
}

// dynptrAt is the initialised dynptr that r points to; nil when there is none.
func (v *verifier) dynptrAt(r *reg) (d *reg, words string) {
	if r.typ == ptrDynptr {
		return r, ""
	}
	i, words := v.objectSlot(r, "dynptr", dynptrSlots)
	if i < 0 {
		return nil, words
	}
	if s := &v.cur.frames[r.frame()].stack[i]; s.bytes[0] == stackDynptr && s.reg.rng == dynptrFirst {
		return &s.reg, ""
	}
	return nil, ""
}

// dynptrFirst is reg.rng of the first slot of a dynptr.
const dynptrFirst = 1

// constructDynptr makes a dynptr on the stack (kernel: mark_stack_slots_dynptr).
func (v *verifier) constructDynptr(n uint8, r *reg, a dynptrArg) *Error {
	words := ""
	if r.typ == ptrStack {
		_, words = v.objectSlot(r, "dynptr", dynptrSlots)
	}
	if r.typ == ptrDynptr || words != "" {
		return v.fail(DynptrMisuse, "%sDynptr has to be an uninitialized dynptr", words)
	}
	for i := range dynptrSlots {
		if err := v.access(&access{n: n, off: int32(i * slotSize), size: slotSize, write: true, value: noValue}); err != nil {
			return err
		}
	}
	f := v.cur.frames[r.frame()]
	first := slotOf(int(r.off) + int(r.tn.Value))
	if err := v.destroyDynptr(f, first); err != nil {
		return err
	}
	if err := v.destroyDynptr(f, first-1); err != nil {
		return err
	}
	d := ptrReg(ptrDynptr)
	d.aux, d.id = int32(a.typ), v.newID()
	if a.typ.counted() {
		if d.ref = a.ref; d.ref == 0 {
			d.ref = v.acquire()
		}
	}
	for i := range dynptrSlots {
		s := &f.stack[first-i]
		s.fill(stackDynptr)
		s.reg = d
		v.wroteSlot(v.frameNumber(f), first-i)
	}
	f.stack[first].reg.rng = dynptrFirst
	return nil
}

// destroyDynptr takes the dynptr away that slot i belongs to, if any, because something is written there
// (kernel: destroy_if_dynptr_stack_slot).
func (v *verifier) destroyDynptr(f *frame, i int) *Error {
	if f.stack[i].bytes[0] != stackDynptr {
		return nil
	}
	if f.stack[i].reg.rng != dynptrFirst {
		i++
	}
	d := f.stack[i].reg
	if dynptrType(d.aux).counted() {
		return v.fail(DynptrMisuse, "cannot overwrite referenced dynptr")
	}
	v.forgetDynptr(f, i)
	v.cur.eachReg(func(r *reg) {
		if r.typ == ptrMem && r.flags&^maybeNull == 0 && r.rng == int32(d.id) {
			*r = v.invalid()
		}
	})
	return nil
}

// forgetDynptr makes uninitialised stack of the dynptr whose first slot is i (kernel: invalidate_dynptr).
func (v *verifier) forgetDynptr(f *frame, i int) {
	for k := range dynptrSlots {
		f.stack[i-k] = slot{}
		v.wroteSlot(v.frameNumber(f), i-k)
		v.log.touchSlot(i - k)
	}
}

// releaseDynptr ends the dynptr that r points to, its clones and the slices of all of them
// (kernel: unmark_stack_slots_dynptr).
func (v *verifier) releaseDynptr(r *reg) {
	d, _ := v.dynptrAt(r)
	ref := d.ref
	v.releaseAll(ref)
	for _, f := range v.cur.frames[:v.cur.depth+1] {
		for i := range f.stack {
			if s := &f.stack[i]; s.bytes[0] == stackDynptr && s.reg.rng == dynptrFirst && s.reg.ref == ref {
				v.endSlices(s.reg.id)
				v.forgetDynptr(f, i)
			}
		}
	}
}

// endSlices makes numbers of the slices of a dynptr. Deviation: the kernel up to 6.18 lets those that bpf_dynptr_slice
// returned live on when a ring buffer's record is gone.
func (v *verifier) endSlices(id uint32) {
	v.cur.eachReg(func(r *reg) {
		if r.typ == ptrMem && r.rng == int32(id) {
			*r = v.invalid()
		}
	})
}

// checkKfuncDynptr checks a dynptr argument of a kernel function.
func (v *verifier) checkKfuncDynptr(_ int, n uint8, r *reg, a *helpers.KfuncArg) *Error {
	c := &v.kcall
	arg := dynptrArg{uninit: a.Uninit, readOnly: r.typ == ptrDynptr}
	if a.Uninit {
		arg.typ = dynptrMakers[c.row.Name]
		if c.row.Name == kfuncDynptrClone {
			arg.typ, arg.ref = dynptrType(c.dynptr.aux), c.dynptr.ref
		}
	}
	if err := v.processDynptr(n, r, arg); err != nil {
		return err
	}
	if !a.Uninit {
		d, _ := v.dynptrAt(r)
		c.dynptr = *d
	}
	return nil
}

// setSlice makes R0 the result of bpf_dynptr_slice and bpf_dynptr_slice_rdwr.
func (v *verifier) setSlice(r0 *reg) *Error {
	c := &v.kcall
	typ := dynptrType(c.dynptr.aux)
	*r0 = ptrReg(ptrMem)
	r0.aux, r0.rng = int32(c.constant), int32(c.dynptr.id)
	r0.flags = dynptrSlice
	if typ.packet() {
		r0.flags |= packetSlice
	}
	if c.row.Name == kfuncDynptrSlice {
		r0.flags |= readOnly
	} else if !v.row.PktWrite {
		return v.fail(DynptrMisuse, "the prog does not allow writes to packet data")
	}
	return nil
}

// checkDynptrArg checks a dynptr argument of a helper (kernel: check_func_arg).
func (v *verifier) checkDynptrArg(n uint8, r *reg, arg helpers.Arg) *Error {
	a := dynptrArg{uninit: arg.Has(helpers.ArgUninit), readOnly: arg.Has(helpers.ArgReadOnly)}
	switch {
	case arg.Has(helpers.ArgRingbuf):
		a.typ = dynptrRingbuf
	case a.uninit:
		a.typ = dynptrLocal
	}
	if arg.Has(helpers.ArgRelease) {
		if r.typ == ptrDynptr {
			return v.fail(BadRelease, "cannot release unowned const bpf_dynptr")
		}
		if d, words := v.dynptrAt(r); d == nil || d.ref == 0 {
			return v.fail(BadRelease, "%sarg %d is an unacquired reference", words, n)
		}
		v.call.release = n
	}
	if err := v.processDynptr(n, r, a); err != nil {
		return err
	}
	if !a.uninit {
		d, _ := v.dynptrAt(r)
		v.call.dynptr = *d
	}
	return nil
}
