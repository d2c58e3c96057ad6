package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// operands are the pointer and the number of an arithmetic instruction that has one of each. num is nil when it is in the
// instruction.
func (x *explainer) operands() (ptr place, num *place) {
	in := x.insn(x.failing())
	dst, src := x.reg(in.dst), x.reg(in.src)
	switch {
	case !in.useSrc:
		return dst, nil
	case x.held(dst).isPtr():
		return dst, &src
	}
	return src, &dst
}

// held is what a place holds before the failing instruction.
func (x *explainer) held(p place) *reg {
	val := x.t.value(p, x.failing())
	return &val.reg
}

// pointerRange tells what was to be added to the pointer.
func (x *explainer) pointerRange() {
	if x.insn(x.failing()).class != asm.ClassALU {
		x.origins()
		return
	}
	ptr, num := x.operands()
	x.show(ptr)
	r := x.held(ptr)
	limit := fmt.Sprintf("a pointer may be moved by less than %d bytes in all", maxVarOff)
	if num == nil {
		x.e.Reason = fmt.Sprintf("%s; R%d, %s, would be moved beyond that", limit, ptr.n, x.kind(r))
		return
	}
	n := x.held(*num)
	x.e.Reason = fmt.Sprintf("%s is moved by %s, which may be %s; %s", x.kind(r), num.name(), rangeText(n), limit)
	if n.smin < 0 && !n.isConst() {
		x.e.Hint = "the number may be negative: make it unsigned, or check that it is at least 0; and compare it with its upper end"
	}
	x.numberStory(*num, x.failing())
}

// pointerArith says which operation on which pointer makes none.
func (x *explainer) pointerArith() {
	in := x.insn(x.failing())
	ptr, num := x.operands()
	x.show(ptr)
	r := x.held(ptr)
	switch {
	case num != nil && x.held(*num).isPtr():
		x.show(*num)
		x.e.Reason = fmt.Sprintf("R%d is %s and R%d is %s: of two pointers no other can be made", ptr.n, x.kind(r), num.n, x.kind(x.held(*num)))
	case num != nil && ptr.n != in.dst && asm.ALUOp(in.op) == asm.Sub:
		x.e.Reason = fmt.Sprintf("this subtracts R%d, %s, from a number", ptr.n, x.kind(r))
	case asm.ALUOp(in.op) == asm.Sub && r.typ == ptrStack:
		x.e.Reason = fmt.Sprintf("R%d is %s: only adding to it is allowed, also of negative numbers", ptr.n, x.kind(r))
		x.e.Hint = "add the negative number instead"
	case in.class == asm.ClassALU && (asm.ALUOp(in.op) == asm.Add || asm.ALUOp(in.op) == asm.Sub):
		x.e.Reason = fmt.Sprintf("R%d is %s: it cannot be moved", ptr.n, x.kind(r))
		x.e.Hint = "leave it as it is; move another pointer to the same memory"
	default:
		x.e.Reason = fmt.Sprintf("R%d is %s: `%s` would make no pointer of it", ptr.n, x.kind(r), x.text(x.failing()))
	}
	if e := x.t.origin(x.v, ptr, x.failing()); e != nil && ptr.n != 10 {
		x.addMade(ptr, r, e)
	}
}

// misaligned gives the numbers.
func (x *explainer) misaligned() {
	p, r, ok := x.subject()
	in := x.insn(x.failing())
	if !ok || in.size == 0 {
		x.origins()
		return
	}
	base := ""
	if r.isPacket() {
		base = ", and the packet begins 2 bytes past an aligned address"
	}
	at := fmt.Sprintf("%d", int64(r.off)+int64(in.off)+int64(r.tn.Value))
	if !r.isConst() {
		at = fmt.Sprintf("%d plus a number that is not constant", int64(r.off)+int64(in.off))
	}
	x.e.Reason = fmt.Sprintf("an access of %s has to be at a multiple of %d; this one is at offset %s of %s%s",
		countBytes(int64(in.size)), in.size, at, x.kind(&r), base)
	if r.typ == ptrStack {
		x.e.Hint = "align the variable to its size; copy what is packed with memcpy, byte by byte"
	}
	if p.n != 10 {
		x.origins()
	}
}

// modifiedPtr says how far the pointer was moved.
func (x *explainer) modifiedPtr() {
	p, r, ok := x.subject()
	if !ok {
		return
	}
	by := fmt.Sprintf("%+d bytes", r.off)
	if !r.isConst() {
		by = "a number that is not constant"
	}
	x.e.Reason = fmt.Sprintf("R%d, %s, was moved by %s; it must be used as it was given", p.n, x.kind(&r), by)
	x.origins()
}

// partOfPointer says what a load or store would tear.
func (x *explainer) partOfPointer() {
	in := x.insn(x.failing())
	if in.class == asm.ClassStore && in.useSrc {
		p := x.reg(in.src)
		x.show(p)
		x.e.Reason = fmt.Sprintf("R%d is %s, and only %d of its 8 bytes would be stored", p.n, x.kind(x.held(p)), in.size)
		return
	}
	_, base, ok := x.subject()
	off := int(base.off) + int(base.tn.Value) + int(in.off)
	if !ok || base.typ != ptrStack || off >= 0 || off < -stackBytes {
		return
	}
	slot := place{base.frame(), uint8(firstSlot + slotOf(off))}
	x.show(slot)
	x.e.Reason = fmt.Sprintf("the stack at %s holds %s, and only %d of its 8 bytes would be loaded", slot.name(), x.kind(x.held(slot)), in.size)
	if e := x.t.before(slot, x.failing()); e != nil {
		x.cause(e.step, "the pointer was stored here")
	}
}

// pointerKind says what sort of pointer cannot be used so.
func (x *explainer) pointerKind() {
	p, r, ok := x.subject()
	if !ok || !r.isPtr() {
		x.origins()
		return
	}
	row, _ := Lookup(x.e.Code)
	x.e.Reason = fmt.Sprintf("R%d is %s: %s", p.n, x.kind(&r), row.Meaning)
	x.origins()
}

// mapHelper names the map's type.
func (x *explainer) mapHelper() {
	c := &x.v.call
	if c.m == nil || c.row == nil {
		return
	}
	x.e.Reason = fmt.Sprintf("map %s is of type %s, and %s does not work on those", c.m.Name, c.m.Type, c.row.Name)
}

// unavailable says which program types may call a helper.
func (x *explainer) unavailable() {
	r := x.insn(x.failing()).helper
	if r == nil || x.e.Reason != "" && x.e.Reason != meaning(x.e.Code) {
		return
	}
	var types []string
	for t := prog.Type(1); t < prog.NumTypes; t++ {
		if r.Types.Has(t) && x.v.profile.Kernel.AtLeast(t.Row().Since) {
			types = append(types, t.String())
		}
	}
	switch {
	case r.Types.Has(x.v.prog.Type):
		x.e.Reason = fmt.Sprintf("programs of type %s may call %s on newer kernels than %v only", x.v.prog.Type, r.Name, x.v.profile.Kernel)
	case len(types) > 8:
		x.e.Reason = fmt.Sprintf("programs of type %s may not call %s; those of type %s and %d more may",
			x.v.prog.Type, r.Name, strings.Join(types[:6], ", "), len(types)-6)
	case len(types) > 0:
		x.e.Reason = fmt.Sprintf("programs of type %s may not call %s; those of type %s may", x.v.prog.Type, r.Name, strings.Join(types, ", "))
	default:
		x.e.Reason = fmt.Sprintf("programs of type %s may not call %s", x.v.prog.Type, r.Name)
	}
}

func meaning(c Code) string {
	row, _ := Lookup(c)
	return row.Meaning
}

// callDepth lists the functions that are active.
func (x *explainer) callDepth() {
	st := x.v.cur
	var names []string
	recursive := ""
	seen := map[int32]bool{}
	for i := range st.depth + 1 {
		f := st.frames[i]
		names = append(names, x.v.funcName(int(f.fn)))
		if seen[f.fn] && recursive == "" {
			recursive = x.v.funcName(int(f.fn))
		}
		seen[f.fn] = true
		if i > 0 && len(x.causes) < x.v.profile.MaxFrames {
			x.causeAt(int32(i), int(f.callsite), fmt.Sprintf("calls %s", names[i]))
		}
	}
	if recursive != "" {
		x.e.Reason = fmt.Sprintf("%s calls itself, directly or through others: recursion has no end that the verifier can see", recursive)
		x.e.Hint = "turn the recursion into a loop with a constant limit"
		return
	}
	x.e.Reason = fmt.Sprintf("%d functions are active here (%s); at most %d may be", len(names), strings.Join(names, ", "), x.v.profile.MaxFrames)
}

// lastCall is the newest call on the path that the function accepts; -1 when there is none.
func (x *explainer) lastCall(is func(*insn) bool) int32 {
	for step := x.failing() - 1; step >= 0; step-- {
		if in := x.insn(step); in.class == asm.ClassCall && is(in) {
			return step
		}
	}
	return -1
}

// lockMisuse names where the lock was taken.
func (x *explainer) lockMisuse() {
	at := x.lastCall(func(in *insn) bool { return in.helper != nil && in.helper.ID == helperSpinLock })
	if at < 0 || x.v.cur.lock == 0 {
		x.origins()
		return
	}
	x.cause(at, "the lock is taken here")
	in := x.insn(x.failing())
	switch {
	case in.class == asm.ClassExit:
		x.e.Reason = fmt.Sprintf("the lock taken at %s is still held where the program ends", x.where(at))
		x.e.Hint = fmt.Sprintf("call bpf_spin_unlock on every path from %s on", x.where(at))
	case in.class == asm.ClassCall:
		x.e.Reason = fmt.Sprintf("%s is called while the lock taken at %s is held", x.callee(in), x.where(at))
		x.e.Hint = "call it before the lock is taken or after it is given back"
	}
}

// regions are the kernel functions that begin what must be ended.
var regions = map[string]string{
	"bpf_rcu_read_lock":   "bpf_rcu_read_unlock",
	"bpf_preempt_disable": "bpf_preempt_enable",
	"bpf_local_irq_save":  "bpf_local_irq_restore",
}

// regionMisuse names where the region was entered.
func (x *explainer) regionMisuse() {
	at := x.lastCall(func(in *insn) bool { return in.kind == asm.CallKfunc && regions[x.v.kfuncName(in)] != "" })
	if at < 0 {
		x.origins()
		return
	}
	name := x.v.kfuncName(x.insn(at))
	x.cause(at, "the region begins here")
	if x.insn(x.failing()).class == asm.ClassExit {
		x.e.Reason = fmt.Sprintf("the program ends in the region that %s at %s began", name, x.where(at))
		x.e.Hint = fmt.Sprintf("call %s on every path from %s on", regions[name], x.where(at))
	}
}

// mixedPointers names both sorts of pointers.
func (x *explainer) mixedPointers() {
	p, r, ok := x.subject()
	other := x.insn(x.failing()).memTyp
	if !ok || !r.isPtr() || kinds[other] == "" {
		return
	}
	x.e.Reason = fmt.Sprintf("R%d is %s on this path, and %s on one that was walked before: the kernel translates one of them into other instructions",
		p.n, x.kind(&r), kinds[other])
	x.origins()
}

// backEdge names both ends of the jump.
func (x *explainer) backEdge() {
	in := &x.v.insns[x.e.PC]
	to := x.e.PC + 1
	if in.class == asm.ClassJump || in.class == asm.ClassBranch || in.kind == asm.CallLocal {
		to = int(in.target)
	}
	x.e.Reason = fmt.Sprintf("the jump at %s goes back to %s: a loop, and %s allows none of this kind", x.v.where(x.e.PC), x.v.where(to), x.v.profile.Name)
	x.causeAt(0, to, "the loop begins here")
}

// unreachable says what is before the instruction.
func (x *explainer) unreachable() {
	if x.e.PC > 0 {
		x.e.Reason = fmt.Sprintf("no jump leads here, and `%s` before it does not go on to it", x.v.insnText(x.e.PC-1))
	}
}
