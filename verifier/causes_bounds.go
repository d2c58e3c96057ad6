package verifier

import (
	"fmt"
	"math"

	"github.com/skepvm/skep/asm"
)

// packetCheck is a comparison of a packet pointer with the packet's end on the failing path.
type packetCheck struct {
	step  int32
	n     uint8 // register of the pointer
	pkt   reg   // before
	after reg   // the same register after
	wide  bool  // all 64 bits were compared
}

// packetChecks lists the comparisons of pointers of the given type.
func (x *explainer) packetChecks(typ regType) []packetCheck {
	var list []packetCheck
	for step := range x.failing() {
		in := x.insn(step)
		if in.class != asm.ClassBranch || !in.useSrc {
			continue
		}
		depth := x.t.steps[step].depth
		n := in.dst
		pkt, end := x.t.value(place{depth, in.dst}, step).reg, x.t.value(place{depth, in.src}, step).reg
		if end.typ == typ {
			pkt, end, n = end, pkt, in.src
		}
		isEnd := end.typ == ptrPacketEnd || typ == ptrPacketMeta && end.typ == ptrPacket
		if pkt.typ != typ || !isEnd {
			continue
		}
		list = append(list, packetCheck{step, n, pkt, x.t.value(place{depth, n}, step+1).reg, in.width == 64})
	}
	return list
}

// packetBounds compares what the access needs with what was checked.
func (x *explainer) packetBounds() {
	p, r, ok := x.subject()
	if !ok || !r.isPacket() {
		return
	}
	a := x.e.about
	need := a.off + a.size
	moved := x.moved(p, r.id)
	base, at := x.packetBase(&r, moved)
	x.e.Hint = fmt.Sprintf("before this, compare %s + %d with %s, and leave when it is beyond", base, need, packetEnd(&r))
	switch {
	case a.off < 0:
		x.e.Reason = fmt.Sprintf("the access begins %s before %s", countBytes(-a.off), at)
		x.e.Hint = "access nothing before the packet's start"
	case r.rng > 0:
		x.e.Reason = fmt.Sprintf("the access needs %s from %s on; %d were checked", countBytes(need), at, r.rng)
	default:
		x.e.Reason = fmt.Sprintf("the access needs %s from %s on; none were checked on this path", countBytes(need), at)
	}
	for _, c := range x.packetChecks(r.typ) {
		x.packetCheck(&c, &r, need, moved)
	}
	if r.id != 0 && moved >= 0 {
		x.cause(moved, "here a number that is not constant was added to the pointer: bounds checks before this do not hold for the sum")
	}
}

// packetBase names the place that the bytes of an access are counted from.
func (x *explainer) packetBase(r *reg, moved int32) (short, long string) {
	switch {
	case r.id == 0 && r.typ == ptrPacketMeta:
		return "data_meta", "data_meta"
	case r.id == 0:
		return "data", "the packet's start"
	case moved >= 0:
		return "the pointer of " + x.where(moved), "the pointer made at " + x.where(moved)
	}
	return "the pointer", "a pointer with a variable offset"
}

func packetEnd(r *reg) string {
	if r.typ == ptrPacketMeta {
		return "data"
	}
	return "data_end"
}

// moved is the step that gave the packet pointer in p its id: where a number that is not constant was added; -1 when there
// is none on the path.
func (x *explainer) moved(p place, id uint32) int32 {
	if id == 0 {
		return -1
	}
	for step := x.failing(); ; {
		e := x.t.before(p, step)
		if e == nil || e.step < 0 {
			return -1
		}
		if from, ok := x.t.copied(x.v, e); ok {
			p, step = from, e.step
			continue
		}
		in := x.insn(e.step)
		if in.class != asm.ClassALU {
			return -1
		}
		p = place{x.t.steps[e.step].depth, in.dst}
		if r := x.t.value(p, e.step).reg; !r.isPacket() {
			if !in.useSrc {
				return -1
			}
			p.n = in.src
		}
		if x.t.value(p, e.step).reg.id != id {
			return e.step
		}
		step = e.step
	}
}

// packetCheck says what a comparison on the path did for an access of need bytes through r.
func (x *explainer) packetCheck(c *packetCheck, r *reg, need int64, moved int32) {
	at := x.where(c.step)
	max := int64(c.pkt.umax) + int64(c.pkt.off)
	short := r.rng <= 0
	switch {
	case c.pkt.id != r.id && moved > c.step:
		x.cause(c.step, "this check is of the pointer before it was moved at %s", x.where(moved))
		if short {
			x.e.Reason += fmt.Sprintf("; the check at %s came before the pointer was moved at %s", at, x.where(moved))
		}
	case c.pkt.id != r.id:
		x.cause(c.step, "this check is of another pointer: R%d=%s", c.n, x.v.regText(&c.pkt))
		if short {
			x.e.Reason += fmt.Sprintf("; the check at %s is of another pointer", at)
		}
	case !c.wide:
		x.cause(c.step, "this compares only 32 bits of the pointers, which says nothing")
	case c.after.rng > 0 && c.after.rng > c.pkt.rng:
		x.cause(c.step, "this check lets %s be accessed", countBytes(int64(c.after.rng)))
		if int64(c.after.rng) < need && c.after.rng == r.rng {
			x.e.Hint = fmt.Sprintf("let the check at %s cover %s instead of %d", at, countBytes(need), c.after.rng)
		}
	case c.after.rng < 0:
		x.cause(c.step, "this is the side of the check where the packet is too short")
		if short {
			x.e.Reason += fmt.Sprintf("; this is the wrong side of the check at %s: here the packet is known to be too short", at)
			x.e.Hint = fmt.Sprintf("make the access on the other side of the check at %s", at)
		}
	case c.pkt.off <= 0:
		x.cause(c.step, "this compares the pointer itself with the end, and so says nothing of the bytes behind it: add the size first")
	case max > maxPacketOff:
		x.cause(c.step, "the offset may be up to %d here; checks count only when it is at most %d", max, maxPacketOff)
		x.e.Hint = fmt.Sprintf("bound the offset before it is added: mask it (offset &= 0x7fff) or compare it, so that it stays below %d", maxPacketOff)
	}
}

// regionBounds compares the offsets of an access with the size of the memory.
func (x *explainer) regionBounds() {
	p, r, ok := x.subject()
	if !ok {
		return
	}
	a := x.e.about
	if a.size == 0 && a.limit == 0 {
		x.origins()
		return
	}
	who := "the access is to"
	if x.insn(x.failing()).class == asm.ClassCall {
		who = fmt.Sprintf("%s accesses", x.callee(x.insn(x.failing())))
	}
	mem := x.kind(&r)
	if m := x.region(&r); m != "" {
		mem = m
	}
	if r.isConst() {
		x.e.Reason = fmt.Sprintf("%s %s of %s, which has %s", who, span(a.off+int64(r.tn.Value), a.size), mem, countBytes(a.limit))
		x.e.Hint = fmt.Sprintf("stay within the %d bytes: smaller offset or smaller access, or make the value larger", a.limit)
		if e := x.t.origin(x.v, p, x.failing()); e != nil && p.n != 10 {
			x.cause(e.step, "%s was %s", p.name(), x.made(e))
		}
		return
	}
	most := a.limit - a.size - a.off
	x.e.Reason = fmt.Sprintf("the offset may be from %s to %s; with the %s of the access it must be 0 to %d, as %s has %s",
		bound(a.off+r.smin), bound(int64(min(r.umax, 1<<62))+a.off), countBytes(a.size), a.limit-a.size, mem, countBytes(a.limit))
	x.e.Hint = fmt.Sprintf("bound what is added before the access, so that it is at most %d", most)
	if most < 0 {
		x.e.Hint = "what is added is too large already without its variable part: use smaller constants"
	} else if x.e.Code == NegativeOffset {
		x.e.Hint = fmt.Sprintf("use an unsigned index, or check that it is at least 0; and at most %d", most)
	}
	x.offsetStory(p, most)
}

// bound is a number of a range, in words when it is no limit at all.
func bound(n int64) string {
	switch {
	case n >= 1<<61:
		return "any size"
	case n <= -1<<61:
		return "minus any size"
	}
	return fmt.Sprint(n)
}

// region names the memory that a pointer points to.
func (x *explainer) region(r *reg) string {
	switch r.typ {
	case ptrMapValue:
		if m := x.v.mapOf(r); m != nil {
			return "the value of map " + m.Name
		}
	case ptrMapKey:
		return "the key"
	case ptrMem:
		return "the memory"
	}
	return ""
}

// offsetStory follows the number that was added to the pointer in p, and may be at most the given; -1 when any is too much.
func (x *explainer) offsetStory(p place, most int64) {
	for step := x.failing(); ; {
		e := x.t.before(p, step)
		if e == nil || e.step < 0 {
			return
		}
		if from, ok := x.t.copied(x.v, e); ok {
			p, step = from, e.step
			continue
		}
		in := x.insn(e.step)
		depth := x.t.steps[e.step].depth
		if in.class != asm.ClassALU {
			return
		}
		ptr, num := place{depth, in.dst}, place{depth, in.src}
		if r := x.t.value(ptr, e.step).reg; in.useSrc && !r.isPtr() {
			ptr, num = num, ptr
		}
		if n := x.t.value(num, e.step).reg; in.useSrc && n.typ == scalar && !n.isConst() {
			x.cause(e.step, "this adds %s, %s, to the pointer", num.name(), rangeText(&n))
			x.numberStory(num, e.step)
			if factor, at := x.scaled(num, e.step); at >= 0 && most >= 0 {
				x.e.Hint += fmt.Sprintf(": %s before `%s` at most %d", num.name(), x.text(at), most/factor)
			}
			return
		}
		p, step = ptr, e.step
	}
}

// sizeBounds says what the size of a helper's memory may be.
func (x *explainer) sizeBounds() {
	p, r, ok := x.subject()
	if !ok || r.typ != scalar || x.v.call.row == nil {
		x.origins()
		return
	}
	x.e.Reason = fmt.Sprintf("argument %d of %s, a size, may be %s", p.n, x.v.call.row.Name, rangeText(&r))
	switch x.e.Code {
	case ZeroSize:
		x.e.Reason += "; it must be at least 1"
		if !bounded(&r) {
			x.e.Reason += ", and bounded above"
			x.e.Hint = "check both ends: if (size == 0 || size > sizeof(buffer)) return …"
		}
	case NegativeSize:
		x.e.Reason += "; it must not be negative"
	default:
		x.e.Reason += fmt.Sprintf("; it must be bounded, and at most what R%d points to", p.n-1)
	}
	x.numberStory(p, x.failing())
}

func rangeText(r *reg) string {
	switch {
	case r.isConst():
		return hexOrDec(r.tn.Value)
	case r.smin < 0 && r.smin > anyBounds.smin && r.smax < anyBounds.smax:
		return fmt.Sprintf("%d to %d", r.smin, r.smax)
	case r.smin >= 0 && r.umax < 1<<62:
		return fmt.Sprintf("%d to %d", r.umin, r.umax)
	case r.smin > anyBounds.smin:
		return fmt.Sprintf("anything from %d on", r.smin)
	case r.smax < 1<<47:
		return fmt.Sprintf("at most %d, but also negative", r.smax)
	case r.smax < anyBounds.smax:
		return anyNumber + ", also negative"
	}
	return anyNumber
}

const anyNumber = "any number"

// learnt says what a comparison told of a number: of its low 32 bits when those were compared.
func learnt(r *reg, width uint8) string {
	text := rangeText(r)
	if width == 64 || r.isConst() || r.smin >= 0 && r.umax < math.MaxUint32 {
		return text
	}
	switch {
	case r.umax32 < math.MaxUint32:
		return fmt.Sprintf("its low 32 bits are %d to %d", r.umin32, r.umax32)
	case r.smin32 > math.MinInt32:
		return fmt.Sprintf("its low 32 bits are %d to %d, signed", r.smin32, r.smax32)
	case r.smax32 < math.MaxInt32:
		return fmt.Sprintf("its low 32 bits, signed, are at most %d, but may be negative", r.smax32)
	}
	return text
}

// maxStory is how many steps back the way of a number is told.
const maxStory = 6

// numberStory follows a number back: where it was bounded, where the bounds were lost, where it came from, and whether it
// was another copy of it that was compared.
func (x *explainer) numberStory(p place, step int32) {
	x.show(p)
	root := x.rootOf(p, step)
	first, end := p, step
	own := map[*event]bool{} // values that lead to the number
	for told := 0; told < maxStory; {
		e := x.t.before(p, step)
		if e == nil || e.step < 0 {
			break
		}
		own[e] = true
		if from, ok := x.t.copied(x.v, e); ok {
			in := x.insn(e.step)
			if text := learnt(&e.val.reg, in.width); in.class == asm.ClassBranch && from == e.place && text != anyNumber {
				x.cause(e.step, "this bounds %s: %s", p.name(), text)
				told++
			}
			p, step = from, e.step
			continue
		}
		if first := x.signExtension(e); first != nil {
			x.cause(e.step, "`%s` and `%s` extend the sign of the low 32 bits: %s", x.text(first.step), x.text(e.step), rangeText(&e.val.reg))
			p, step = e.place, first.step
			told++
			continue
		}
		next, more := x.numberMade(e)
		if !more {
			break
		}
		p, step = next, e.step
		told++
	}
	if root != nil && root.step >= 0 {
		x.otherChecks(root, own, first, end)
	}
}

// signExtension is the first of two shifts, left and right by 32 bits, of which e is the second; nil when it is no such.
func (x *explainer) signExtension(e *event) *event {
	shift := func(e *event, op asm.ALUOp) bool {
		in := x.insn(e.step)
		return in.class == asm.ClassALU && asm.ALUOp(in.op) == op && !in.useSrc && in.imm == 32 && in.width == 64
	}
	if e.prev == 0 || !shift(e, asm.Arsh) {
		return nil
	}
	if first := &x.t.events[e.prev]; first.step >= 0 && shift(first, asm.Lsh) {
		return first
	}
	return nil
}

// scaled finds what the number in p was multiplied with, by a constant, last.
func (x *explainer) scaled(p place, step int32) (factor int64, at int32) {
	e := x.t.origin(x.v, p, step)
	if e == nil || e.step < 0 {
		return 1, -1
	}
	in := x.insn(e.step)
	if in.class != asm.ClassALU || in.useSrc || in.width != 64 {
		return 1, -1
	}
	switch {
	case asm.ALUOp(in.op) == asm.Lsh && in.imm < 16:
		return 1 << in.imm, e.step
	case asm.ALUOp(in.op) == asm.Mul && in.imm > 0 && in.imm < 1<<16:
		return int64(in.imm), e.step
	}
	return 1, -1
}

// numberMade tells how a number was computed, and returns the operand that it owes its range to.
func (x *explainer) numberMade(e *event) (next place, more bool) {
	in := x.insn(e.step)
	now := e.val.reg
	depth := x.t.steps[e.step].depth
	computed := in.class == asm.ClassALU && (asm.ALUOp(in.op) != asm.Mov || in.useSrc) || in.class == asm.ClassMovsx ||
		in.class == asm.ClassNeg || in.class == asm.ClassSwap
	if !computed || e.isSlot() {
		text := fmt.Sprintf("%s was %s", e.name(), x.made(e))
		if !now.isConst() {
			text += ": " + rangeText(&now)
		}
		x.cause(e.step, "%s", text)
		return next, false
	}
	dst, src := place{depth, in.dst}, place{depth, in.src}
	if in.class == asm.ClassMovsx || asm.ALUOp(in.op) == asm.Mov && in.class == asm.ClassALU {
		dst = src
	}
	was := x.t.value(dst, e.step).reg
	other := constReg(in.imm)
	if in.useSrc {
		other = x.t.value(src, e.step).reg
	}
	switch {
	case bounded(&was) && (bounded(&other) || other.isConst()) && !bounded(&now):
		x.cause(e.step, "here %s: `%s` makes %s of %s", lost(&now), x.text(e.step), rangeText(&now), rangeText(&was))
		return dst, true
	case bounded(&was) && in.useSrc && !other.isConst() && !bounded(&other):
		x.cause(e.step, "`%s` brings in R%d, %s", x.text(e.step), in.src, rangeText(&other))
		return src, true
	default:
		x.cause(e.step, "`%s` makes %s of %s", x.text(e.step), rangeText(&now), rangeText(&was))
		return dst, true
	}
}

// lost says what is wrong with a number that is not bounded.
func lost(r *reg) string {
	switch {
	case rangeText(r) == anyNumber:
		return "the bounds are lost"
	case r.smin < 0:
		return "it may become negative"
	}
	return "it becomes too large"
}

// bounded reports whether a number is small enough to be an offset or a size.
func bounded(r *reg) bool { return r.typ == scalar && r.smin >= 0 && r.umax < maxVarOff }

// rootOf follows a number back through copies and arithmetic to the load or call that made it.
func (x *explainer) rootOf(p place, step int32) *event {
	for range 4 * maxStory {
		e := x.t.origin(x.v, p, step)
		if e == nil || e.step < 0 {
			return e
		}
		in := x.insn(e.step)
		switch in.class {
		case asm.ClassALU:
			if asm.ALUOp(in.op) == asm.Mov && !in.useSrc {
				return e
			}
			p = place{x.t.steps[e.step].depth, in.dst}
			if asm.ALUOp(in.op) == asm.Mov {
				p.n = in.src
			}
		case asm.ClassMovsx:
			p = place{x.t.steps[e.step].depth, in.src}
		case asm.ClassNeg, asm.ClassSwap:
			p = place{x.t.steps[e.step].depth, in.dst}
		default:
			return e
		}
		step = e.step
	}
	return nil
}

// maxChecks is how many comparisons of other copies are named.
const maxChecks = 3

// otherChecks names comparisons of other values that come from the same load or call as the number in p: they bound that
// value and not this one. own are those that lead to p.
func (x *explainer) otherChecks(root *event, own map[*event]bool, p place, end int32) {
	told := 0
	for step := end - 1; step > root.step && told < maxChecks; step-- {
		in := x.insn(step)
		if in.class != asm.ClassBranch {
			continue
		}
		for i, n := range []uint8{in.dst, in.src} {
			q := place{x.t.steps[step].depth, n}
			e := x.t.before(q, step)
			if i == 1 && !in.useSrc || e == nil || own[e] || e.val.reg.typ != scalar || e.val.reg.isConst() ||
				x.linked(own, &e.val.reg) || x.rootOf(q, step) != root {
				continue
			}
			x.cause(step, "this compares %s, another value made from the same one: it says nothing of %s", q.name(), p.name())
			told++
		}
	}
}

// linked reports whether a scalar is one value with one of own, so that what is learnt of it holds for that.
func (x *explainer) linked(own map[*event]bool, r *reg) bool {
	for e := range own {
		if r.id != 0 && e.val.reg.id == r.id {
			return true
		}
	}
	return false
}
