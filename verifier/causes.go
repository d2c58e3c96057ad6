package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

// pathCauses explain rejections that the walk found, formCauses those that are about the program as a whole. A class that
// has none is explained by where the values of its instruction come from.
var (
	pathCauses = map[Code]func(*explainer){
		PacketBounds:   (*explainer).packetBounds,
		MapValueBounds: (*explainer).regionBounds,
		MemBounds:      (*explainer).regionBounds,
		Unbounded:      (*explainer).regionBounds,
		NegativeOffset: (*explainer).regionBounds,
		UnboundedSize:  (*explainer).sizeBounds,
		NegativeSize:   (*explainer).sizeBounds,
		ZeroSize:       (*explainer).sizeBounds,
		MemScalar:      (*explainer).notPointer,
		MaybeNull:      (*explainer).maybeNull,
		ArgMaybeNull:   (*explainer).maybeNull,
		NullArith:      (*explainer).maybeNull,
		ArgType:        (*explainer).argType,
		UninitReg:      (*explainer).uninitReg,
		UninitStack:    (*explainer).uninitStack,
		StackAccess:    (*explainer).stackAccess,
		CtxAccess:      (*explainer).ctxAccess,
		RefLeak:        (*explainer).refLeak,
		InfiniteLoop:   (*explainer).infiniteLoop,
		ReturnValue:    (*explainer).returnValue,
		NeedsGPL:       (*explainer).needsGPL,
		PacketToHelper: (*explainer).packetToHelper,
		PointerRange:   (*explainer).pointerRange,
		PointerArith:   (*explainer).pointerArith,
		PointerArith32: (*explainer).pointerArith,
		PointerPointer: (*explainer).pointerArith,
		Misaligned:     (*explainer).misaligned,
		ModifiedPtr:    (*explainer).modifiedPtr,
		BadFill:        (*explainer).partOfPointer,
		BadSpill:       (*explainer).partOfPointer,
		MemType:        (*explainer).pointerKind,
		ReadOnlyMem:    (*explainer).pointerKind,
		WriteOnlyMem:   (*explainer).pointerKind,
		MapMisuse:      (*explainer).pointerKind,
		BadAtomic:      (*explainer).pointerKind,
		SockAccess:     (*explainer).pointerKind,
		MapHelper:      (*explainer).mapHelper,
		CallDepth:      (*explainer).callDepth,
		LockMisuse:     (*explainer).lockMisuse,
		RegionMisuse:   (*explainer).regionMisuse,
		MixedPointers:  (*explainer).mixedPointers,

		HelperUnavailable: (*explainer).unavailable,
	}
	formCauses = map[Code]func(*explainer){
		TooComplex:   (*explainer).tooComplex,
		TooManyJumps: (*explainer).tooComplex,
		StackDepth:   (*explainer).stackDepth,
		BackEdge:     (*explainer).backEdge,
		Unreachable:  (*explainer).unreachable,
	}
)

// kinds says in words what a register holds.
var kinds = [numRegTypes]string{
	notInit: "nothing", scalar: "a number", ptrCtx: "the ctx", ptrMap: "a map", ptrMapValue: "a pointer to a map's value",
	ptrMapKey: "a pointer to a map's key", ptrStack: "a pointer to the stack", ptrPacket: "a packet pointer",
	ptrPacketMeta: "a packet pointer (data_meta)", ptrPacketEnd: "data_end", ptrFlowKeys: "a pointer to flow keys",
	ptrSocket: "a socket", ptrSockCommon: "a socket (sock_common)", ptrTCPSock: "a TCP socket", ptrXDPSock: "an XDP socket",
	ptrTPBuffer: "a pointer to a tracepoint's buffer", ptrBTF: "a kernel object", ptrMem: "a pointer to memory",
	ptrBuf: "a pointer to a buffer", ptrFunc: "a function",
}

func (x *explainer) kind(r *reg) string {
	switch {
	case int(r.typ) >= len(kinds) || kinds[r.typ] == "":
		return r.typeString()
	case r.typ == scalar && r.isConst():
		return "the number " + hexOrDec(r.tn.Value)
	case r.typ == ptrMap || r.typ == ptrMapValue:
		if m := x.v.mapOf(r); m != nil {
			return strings.Replace(kinds[r.typ], "a map", "map "+m.Name, 1)
		}
	}
	return kinds[r.typ]
}

// made says how a value came to be, nil being a value that was never made.
func (x *explainer) made(e *event) string {
	if e == nil || e.step < 0 {
		return "there from the start"
	}
	in := x.insn(e.step)
	switch in.class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		base := x.t.value(place{x.t.steps[e.step].depth, in.src}, e.step).reg
		return fmt.Sprintf("loaded from %s (%s)", x.memory(&base, int(in.off)), countBytes(int64(in.size)))
	case asm.ClassCall:
		return "returned by " + x.callee(in)
	case asm.ClassExit:
		return "returned by a function that is proved alone: its callers know nothing of the result"
	case asm.ClassImm64:
		return "set to " + x.kind(&e.val.reg)
	case asm.ClassALU:
		if asm.ALUOp(in.op) == asm.Mov && !in.useSrc {
			return "set to " + x.kind(&e.val.reg)
		}
	}
	return fmt.Sprintf("computed by `%s`", x.text(e.step))
}

// memory names what a pointer points to, and which field where that is known.
func (x *explainer) memory(base *reg, off int) string {
	switch base.typ {
	case ptrCtx:
		for i := range x.v.row.Fields {
			if f := &x.v.row.Fields[i]; off >= f.Off && off < f.Off+f.Size {
				return fmt.Sprintf("ctx->%s", f.Name)
			}
		}
	case ptrMapValue:
		if m := x.v.mapOf(base); m != nil {
			return "a value of map " + m.Name
		}
	case ptrPacket, ptrPacketMeta:
		return "the packet"
	case ptrStack:
		return "the stack"
	}
	return "memory behind " + x.kind(base)
}

func (x *explainer) callee(in *insn) string {
	switch {
	case in.helper != nil:
		return in.helper.Name
	case in.kind == asm.CallKfunc:
		return x.v.kfuncName(in)
	case in.kind == asm.CallLocal:
		return x.v.funcName(int(x.v.subOf[in.target]))
	}
	return "a call"
}

// funcName is the name of a function of the program.
func (v *verifier) funcName(fn int) string {
	for _, f := range v.prog.Funcs {
		if f.Start == v.subs[fn].start && f.Name != "" {
			return f.Name
		}
	}
	if fn == 0 {
		return "the program"
	}
	return fmt.Sprintf("the function at instruction %d", v.subs[fn].start)
}

// origins names where the value comes from that an instruction was rejected for.
func (x *explainer) origins() {
	p, r, ok := x.subject()
	if !ok || r.typ == notInit || p.n == 10 {
		return
	}
	if e := x.t.origin(x.v, p, x.failing()); e != nil {
		x.addMade(p, &r, e)
	}
}

// addMade adds how a value came to be.
func (x *explainer) addMade(p place, r *reg, e *event) {
	if r.typ == scalar {
		x.cause(e.step, "%s was %s", p.name(), x.made(e))
		return
	}
	x.cause(e.step, "%s, %s, was %s", p.name(), x.kind(r), x.made(e))
}

// maybeNull names the call that may return NULL, and comparisons that are of another pointer.
func (x *explainer) maybeNull() {
	p, r, ok := x.subject()
	if x.e.Code == NullArith {
		in := x.insn(x.failing())
		if p, ok = x.reg(in.dst), true; in.useSrc && !x.mayBeNull(p) {
			p = x.reg(in.src)
		}
		x.show(p)
		r = x.t.value(p, x.failing()).reg
	}
	if !ok || !r.null() {
		return
	}
	e := x.t.origin(x.v, p, x.failing())
	if e == nil || e.step < 0 {
		x.e.Reason = fmt.Sprintf("R%d may be NULL and was not compared with 0", p.n)
		return
	}
	at, here := x.where(e.step), x.where(x.failing())
	x.e.Reason = fmt.Sprintf("R%d may be NULL: it was %s at %s, and is not compared with NULL between there and here", p.n, x.made(e), at)
	x.cause(e.step, "R%d was %s, which may be NULL%s", e.n, x.made(e), x.whyNull(e))
	x.e.Hint = fmt.Sprintf("compare it with NULL after %s and before %s: if (!ptr) return …", at, here)
	if at == here {
		x.e.Hint = "keep the result in a variable, and compare it with NULL before it is used: if (!ptr) return …"
	}
	x.otherNullChecks(&r, e.step)
}

func (x *explainer) mayBeNull(p place) bool {
	r := x.t.value(p, x.failing()).reg
	return r.null()
}

func (x *explainer) whyNull(e *event) string {
	in := x.insn(e.step)
	switch {
	case in.helper == nil:
		return ""
	case in.helper.Ret.Base() == helpers.RetMapValue:
		return " when the map has no such element"
	case in.helper.Ret.Base() == helpers.RetAllocMem:
		return " when there is no room"
	}
	return ""
}

// otherNullChecks names comparisons with NULL since a step that are of other pointers than r.
func (x *explainer) otherNullChecks(r *reg, since int32) {
	for step := since + 1; step < x.failing(); step++ {
		in := x.insn(step)
		if in.class != asm.ClassBranch || in.useSrc || in.imm != 0 {
			continue
		}
		p := place{x.t.steps[step].depth, in.dst}
		other := x.t.value(p, step).reg
		switch {
		case other.null() && other.id != r.id:
			x.cause(step, "this compares another pointer with NULL: R%d, %s", in.dst, x.v.regText(&other))
		case other.isPtr() && other.id == r.id && in.width == 32:
			x.cause(step, "this compares only the low 32 bits of the pointer")
		}
	}
}

// notPointer finds where a pointer became a number, or that there never was one.
func (x *explainer) notPointer() {
	p, r, ok := x.subject()
	if !ok {
		return
	}
	n := p.n
	for step := x.failing(); ; {
		e := x.t.before(p, step)
		if e == nil || e.step < 0 {
			x.e.Reason = fmt.Sprintf("R%d is a number where a pointer is needed", n)
			return
		}
		if from, ok := x.t.copied(x.v, e); ok {
			p, step = from, e.step
			continue
		}
		x.lostPointer(n, &r, e)
		return
	}
}

// lostPointer explains the step that left a number, r, in what is now register n.
func (x *explainer) lostPointer(n uint8, r *reg, e *event) {
	in := x.insn(e.step)
	was := slot{}
	if e.prev != 0 {
		was = x.t.events[e.prev].val
	}
	at := x.where(e.step)
	scratched := in.class == asm.ClassCall && !e.isSlot() && e.n <= 5 && e.frame == x.t.steps[e.step].depth
	switch {
	case in.class == asm.ClassBranch && was.reg.null():
		x.null = true
		x.e.Reason = fmt.Sprintf("R%d is NULL here: the program comes this way only when the comparison at %s finds it so", n, at)
		x.cause(e.step, "on this side of the branch the pointer is NULL")
		x.e.Hint = fmt.Sprintf("use the pointer on the other side of the comparison at %s", at)
	case (in.class == asm.ClassCall || in.class == asm.ClassExit) && was.reg.isPtr() && !scratched:
		x.gone = true
		x.invalidated(n, &was.reg, e)
	case in.class == asm.ClassALU, in.class == asm.ClassNeg, in.class == asm.ClassSwap, in.class == asm.ClassMovsx:
		x.lostByALU(n, e)
	case in.class == asm.ClassLoad:
		base := x.t.value(place{x.t.steps[e.step].depth, in.src}, e.step).reg
		x.e.Reason = fmt.Sprintf("R%d is a number: it was loaded from %s (%s) at %s, and the verifier does not know what that points to",
			n, x.memory(&base, int(in.off)), countBytes(int64(in.size)), at)
		x.cause(e.step, "%s was loaded from %s", e.name(), x.memory(&base, int(in.off)))
		if base.typ == ptrMapValue {
			x.e.Hint = "a pointer that went through a map is a number: keep an offset instead, and add it to a pointer that is known"
		}
		if base.typ == ptrStack {
			x.cause(e.step, "the stack there holds no whole pointer")
		}
	default:
		x.e.Reason = fmt.Sprintf("R%d is %s, not a pointer: %s at %s", n, x.kind(r), x.made(e), at)
		x.cause(e.step, "%s was %s", e.name(), x.made(e))
	}
}

// invalidated explains a pointer that a call made useless.
func (x *explainer) invalidated(n uint8, was *reg, e *event) {
	in := x.insn(e.step)
	name, at := x.callee(in), x.where(e.step)
	if in.class == asm.ClassExit {
		name = "a function that may change the packet"
	}
	if was.isPacket() || was.typ == ptrPacketEnd {
		x.e.Reason = fmt.Sprintf("R%d was a packet pointer until %s at %s, which may move the packet: all packet pointers end there", n, name, at)
		x.e.Hint = fmt.Sprintf("after %s load data and data_end from the ctx again, and check the bounds again", at)
	} else {
		x.e.Reason = fmt.Sprintf("R%d was %s until %s at %s released it", n, x.kind(was), name, at)
		x.e.Hint = fmt.Sprintf("use it before %s, or take another reference", at)
	}
	x.cause(e.step, "this makes the pointer invalid; it was %s", x.v.regText(was))
}

// lostByALU explains arithmetic that left a number.
func (x *explainer) lostByALU(n uint8, e *event) {
	in := x.insn(e.step)
	depth := x.t.steps[e.step].depth
	dst := x.t.value(place{depth, in.dst}, e.step).reg
	src := reg{}
	if in.useSrc {
		src = x.t.value(place{depth, in.src}, e.step).reg
	}
	if in.class == asm.ClassMovsx {
		src = x.t.value(place{depth, in.src}, e.step).reg
	}
	move := in.class == asm.ClassMovsx || in.class == asm.ClassALU && asm.ALUOp(in.op) == asm.Mov
	at, text := x.where(e.step), x.text(e.step)
	switch {
	case move && src.isPtr():
		x.e.Reason = fmt.Sprintf("R%d is a number: `%s` at %s copied only a part of a pointer", n, text, at)
		x.cause(e.step, "this cuts the pointer")
		x.e.Hint = "keep the pointer in a 64-bit variable: a pointer type, long, or u64"
	case !move && dst.isPtr() && src.isPtr():
		x.e.Reason = fmt.Sprintf("R%d is a number: `%s` at %s subtracted one pointer from another", n, text, at)
		x.cause(e.step, "the difference of two pointers is a number")
	case !move && (dst.isPtr() || src.isPtr()):
		x.e.Reason = fmt.Sprintf("R%d was a pointer until `%s` at %s, which leaves a number", n, text, at)
		x.cause(e.step, "this makes a number of the pointer")
		x.e.Hint = "only add numbers to pointers and subtract them: keep the pointer apart from what is computed"
	default:
		x.e.Reason = fmt.Sprintf("R%d is %s, not a pointer: %s at %s", n, x.kind(&e.val.reg), x.made(e), at)
		x.cause(e.step, "%s was %s", e.name(), x.made(e))
	}
}

// argType says what a helper takes and what it got.
func (x *explainer) argType() {
	p, r, ok := x.subject()
	row := x.v.call.row
	if !ok || row == nil || p.n < 1 || p.n > 5 {
		return
	}
	want := argWords[row.Args[p.n-1].Base()]
	if want == "" {
		x.origins()
		return
	}
	x.e.Reason = fmt.Sprintf("argument %d of %s has to be %s; R%d is %s", p.n, row.Name, want, p.n, x.kind(&r))
	x.e.Hint = fmt.Sprintf("pass %s as argument %d", want, p.n)
	x.origins()
}

// argWords says in words what an argument takes.
var argWords = map[helpers.Arg]string{
	helpers.ArgMapPtr:     "a map",
	helpers.ArgMapKey:     "a pointer to a key of the map (memory: stack, packet, map value)",
	helpers.ArgMapValue:   "a pointer to a value for the map (memory: stack, packet, map value)",
	helpers.ArgMem:        "a pointer to memory",
	helpers.ArgFixedMem:   "a pointer to memory",
	helpers.ArgSize:       "a number, the size of the memory",
	helpers.ArgSizeOrZero: "a number, the size of the memory",
	helpers.ArgAllocSize:  "a number, the size of the record",
	helpers.ArgScalar:     "a number",
	helpers.ArgCtx:        "the ctx, as the program got it",
	helpers.ArgSpinLock:   "a pointer to the lock in a map's value",
	helpers.ArgSock:       "a socket",
	helpers.ArgSockCommon: "a socket",
	helpers.ArgBTFSock:    "a socket",
	helpers.ArgRingMem:    "the pointer that bpf_ringbuf_reserve returned",
	helpers.ArgFunc:       "a static function",
	helpers.ArgStack:      "a pointer to the stack, or NULL",
	helpers.ArgConstStr:   "a constant string in .rodata",
	helpers.ArgTimer:      "a pointer to the timer in a map's value",
}

// packetToHelper says that the bytes have to be copied.
func (x *explainer) packetToHelper() {
	p, _, ok := x.subject()
	if !ok || x.v.call.row == nil {
		return
	}
	x.e.Reason = fmt.Sprintf("%s takes no packet pointers, and R%d is one", x.v.call.row.Name, p.n)
	x.origins()
}

// uninitReg says why a register holds nothing.
func (x *explainer) uninitReg() {
	p, _, ok := x.subject()
	if !ok {
		return
	}
	e := x.t.before(p, x.failing())
	in := x.insn(x.failing())
	exits := in.class == asm.ClassExit && p.n == 0
	switch {
	case e != nil && e.step >= 0 && e.val.reg.typ == notInit:
		by := x.insn(e.step)
		name, at := x.callee(by), x.where(e.step)
		switch {
		case by.class == asm.ClassCall && p.n == 0 && by.helper != nil && by.helper.Ret.Base() == helpers.RetVoid:
			x.e.Reason = fmt.Sprintf("R0 holds nothing: %s at %s returns no value", name, at)
		case by.class == asm.ClassCall:
			x.e.Reason = fmt.Sprintf("the call of %s at %s scratched R%d: calls leave nothing in R1 to R5", name, at, p.n)
			x.e.Hint = fmt.Sprintf("keep the value in R6 to R9 or on the stack over the call at %s", at)
		default:
			x.e.Reason = fmt.Sprintf("`%s` at %s left nothing in R%d", x.text(e.step), at, p.n)
		}
		x.cause(e.step, "this leaves nothing in %s", p.name())
	case exits && x.depth() == 0:
		x.e.Reason = "the program ends without a return value: nothing was written to R0 on this path"
		x.e.Hint = "return a value on every path"
	case x.depth() > 0:
		x.e.Reason = fmt.Sprintf("R%d was never written in this function: it begins with the arguments in R1 to R5 that its caller had, and with R10", p.n)
	default:
		x.e.Reason = fmt.Sprintf("R%d was never written on this path: a program begins with R1, the ctx, and R10, the stack", p.n)
		x.e.Hint = "initialise the variable on every path that leads here"
	}
}

// uninitStack names the bytes that were never written.
func (x *explainer) uninitStack() {
	p, r, ok := x.subject()
	if !ok || r.typ != ptrStack {
		return
	}
	in := x.insn(x.failing())
	lo := x.e.about.off + int64(r.tn.Value)
	size := x.e.about.size
	if in.class == asm.ClassLoad {
		lo, size = int64(r.off)+int64(r.tn.Value)+int64(in.off), int64(in.size)
	}
	var holes []string
	missing := 0
	for i := int64(0); i < size; {
		j := i
		for j < size && !x.written(r.frame(), lo+j) {
			j++
		}
		switch {
		case j == i+1:
			holes = append(holes, fmt.Sprint(i))
		case j > i:
			holes = append(holes, fmt.Sprintf("%d to %d", i, j-1))
		}
		missing += int(j - i)
		i = j + 1
	}
	if missing == 0 {
		return
	}
	if int64(missing) == size {
		x.e.Reason = fmt.Sprintf("none of the %d bytes of stack from fp%d on were written", size, lo)
		x.e.Hint = "initialise the variable before it is read or passed on"
	} else {
		x.e.Reason = fmt.Sprintf("of the %d bytes of stack from fp%d on, byte %s were not written: padding, or a field that was left out", size, lo, strings.Join(holes, ", "))
		x.e.Hint = "clear the whole struct first (= {} leaves padding as it is: use memset)"
	}
	for off := lo; off < lo+size; off += slotSize {
		x.show(place{r.frame(), uint8(firstSlot + slotOf(int(off)))})
	}
	x.show(p)
}

// written reports whether a byte of a frame's stack was written.
func (x *explainer) written(frame uint8, off int64) bool {
	if off >= 0 || off < -stackBytes {
		return true
	}
	s := x.t.value(place{frame, uint8(firstSlot + slotOf(int(off)))}, x.failing())
	return s.bytes[uint(off)%slotSize] != stackInvalid
}

// stackAccess says which bytes were asked for.
func (x *explainer) stackAccess() {
	p, r, ok := x.subject()
	a := x.e.about
	if !ok || r.typ != ptrStack || a.size == 0 {
		x.origins()
		return
	}
	if r.isConst() {
		lo := a.off + int64(r.tn.Value)
		x.e.Reason = fmt.Sprintf("the access is to %s; the stack that may be accessed is fp-%d to fp-1", stackSpan(lo, a.size), a.limit)
		return
	}
	x.e.Reason = fmt.Sprintf("the access begins somewhere from fp%+d to fp%+d and has %s; the stack is fp-%d to fp-1",
		a.off+r.smin, a.off+r.smax, countBytes(a.size), a.limit)
	x.offsetStory(p, -1)
}

// span names size bytes from off on.
func span(off, size int64) string {
	if size <= 1 {
		return fmt.Sprintf("byte %d", off)
	}
	return fmt.Sprintf("bytes %d to %d", off, off+size-1)
}

// stackSpan is span for the stack.
func stackSpan(off, size int64) string {
	if size <= 1 {
		return fmt.Sprintf("byte fp%+d", off)
	}
	return fmt.Sprintf("bytes fp%+d to fp%+d", off, off+size-1)
}

// countBytes is a number of bytes in words.
func countBytes(n int64) string {
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// ctxAccess names the fields near the access.
func (x *explainer) ctxAccess() {
	in := x.insn(x.failing())
	row := x.v.row
	name := row.CtxName
	if name == "" {
		name = "the ctx"
	} else {
		name = "struct " + strings.TrimPrefix(name, "struct ")
	}
	off, size := int(in.off), int(in.size)
	write := in.class != asm.ClassLoad
	verb := "read"
	if write {
		verb = "written"
	}
	asked := span(int64(off), int64(size))
	if row.CtxSize > 0 && (off < 0 || off+size > row.CtxSize) {
		x.e.Reason = fmt.Sprintf("%s has %s; this asks for %s", name, countBytes(int64(row.CtxSize)), asked)
		return
	}
	for i := range row.Fields {
		f := &row.Fields[i]
		if off+size <= f.Off || off >= f.Off+f.Size {
			continue
		}
		_, whole := row.Access(f.Off, f.Unit, write, x.v.attach, x.v.profile.Kernel)
		switch {
		case !x.v.profile.Kernel.AtLeast(f.Since):
			x.e.Reason = fmt.Sprintf("field %s exists since kernel %v; the profile is kernel %v", f.Name, f.Since, x.v.profile.Kernel)
		case whole:
			has := countBytes(int64(f.Unit))
			if f.Unit < f.Size {
				has = fmt.Sprintf("%d elements of %s", f.Size/f.Unit, has)
			}
			x.e.Reason = fmt.Sprintf("field %s is at offset %d and has %s; this asks for %s", f.Name, f.Off, has, asked)
			x.e.Hint = fmt.Sprintf("access %s with its own type and size", f.Name)
		default:
			x.e.Reason = fmt.Sprintf("field %s cannot be %s by programs of type %s", f.Name, verb, row.Name)
			if write {
				x.e.Hint = x.writable()
			}
		}
		return
	}
	x.e.Reason = fmt.Sprintf("%s has no field at %s that programs of type %s may access", name, asked, row.Name)
}

// writable names the ctx fields that the program may write.
func (x *explainer) writable() string {
	row := x.v.row
	var names []string
	for i := range row.Fields {
		f := &row.Fields[i]
		if _, ok := row.Access(f.Off, f.Unit, true, x.v.attach, x.v.profile.Kernel); ok {
			names = append(names, f.Name)
		}
	}
	if len(names) == 0 {
		return "programs of this type may write no field of the ctx"
	}
	return "programs of this type may write " + strings.Join(names, ", ")
}

// releasers name what gives back what a helper acquires.
var releasers = map[string]string{
	"bpf_ringbuf_reserve":        "bpf_ringbuf_submit or bpf_ringbuf_discard",
	"bpf_ringbuf_reserve_dynptr": "bpf_ringbuf_submit_dynptr or bpf_ringbuf_discard_dynptr",
	"bpf_sk_lookup_tcp":          "bpf_sk_release",
	"bpf_sk_lookup_udp":          "bpf_sk_release",
	"bpf_skc_lookup_tcp":         "bpf_sk_release",
	"bpf_map_lookup_elem":        "bpf_sk_release",
}

// releaserOf names what gives back what a function acquires; kernel functions have the pairs of names that are usual there.
func releaserOf(name string) string {
	if release := releasers[name]; release != "" {
		return release
	}
	for _, pair := range [][2]string{{"_new", "_destroy"}, {"_acquire", "_release"}, {"_create", "_release"}} {
		if base, ok := strings.CutSuffix(name, pair[0]); ok {
			return base + pair[1]
		}
	}
	return "the function that releases it"
}

// refLeak names what was acquired, and where the path ends.
func (x *explainer) refLeak() {
	refs := x.v.cur.refs
	if len(refs) == 0 {
		return
	}
	r := refs[len(refs)-1]
	name := x.callee(&x.v.insns[r.pc])
	release := releaserOf(name)
	at, here := x.v.where(int(r.pc)), x.where(x.failing())
	x.e.Reason = fmt.Sprintf("what %s returned at %s is still held where this path leaves the program, at %s", name, at, here)
	x.e.Hint = fmt.Sprintf("call %s on every path from %s on, also on those that leave early", release, at)
	for _, r := range refs {
		x.causeAt(0, int(r.pc), fmt.Sprintf("acquired here: reference %d, from %s", r.id, x.callee(&x.v.insns[r.pc])))
	}
	for i := range maxFrames {
		for n := range numPlaces {
			p := place{uint8(i), uint8(n)}
			if val := x.t.value(p, x.t.end()).reg; i <= int(x.depth()) && val.ref == r.id && val.isPtr() {
				x.show(p)
			}
		}
	}
}

// returnValue says what was returned and what may be.
func (x *explainer) returnValue() {
	x.show(x.reg(0))
	r := x.t.value(x.reg(0), x.failing()).reg
	what := x.kind(&r)
	if r.typ == scalar && !r.isConst() {
		what = fmt.Sprintf("a number from %d to %d", r.smin, r.smax)
	}
	x.e.Reason = "R0 is " + what
	if want := x.v.returnRange(); want != nil && x.depth() == 0 {
		x.e.Reason += fmt.Sprintf("; a program of type %s may return %d to %d%s", x.v.row.Name, want.Min, want.Max, x.verdicts(want))
	}
	x.origins()
}

// verdicts names the values that the program type may return.
func (x *explainer) verdicts(allowed *prog.Range) string {
	var names []string
	for _, w := range x.v.row.Verdicts {
		if w.Value >= allowed.Min && w.Value <= allowed.Max {
			names = append(names, fmt.Sprintf("%d %s", w.Value, w.Name))
		}
	}
	if len(names) == 0 {
		return ""
	}
	return " (" + strings.Join(names, ", ") + ")"
}

func (x *explainer) needsGPL() {
	x.e.Reason = fmt.Sprintf("%s is for GPL-compatible programs, and this one's licence is %q", x.callee(x.insn(x.failing())), x.v.prog.License)
	x.e.Hint = `declare the licence: char _license[] SEC("license") = "GPL" ("Dual BSD/GPL" and the like will do)`
}
