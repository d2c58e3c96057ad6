package verifier

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
)

// subject is what a rejection is about, for its explanation.
type subject struct {
	reg       int8  // register that was checked; -1 none
	off, size int64 // bytes asked for, from the pointer's base without its variable part
	limit     int64 // bytes that there are
}

// aboutReg says which register a rejection is about.
func (e *Error) aboutReg(n uint8) *Error {
	e.about.reg = int8(n)
	return e
}

// aboutBytes says which bytes a rejection is about.
func (e *Error) aboutBytes(n uint8, off, size, limit int64) *Error {
	e.about = subject{int8(n), off, size, limit}
	return e
}

// subjectOf is the register that a check of the current instruction is most likely about.
func (v *verifier) subjectOf(pc int) int8 {
	if pc != v.pc || v.cur == nil {
		return -1
	}
	in := &v.insns[pc]
	switch in.class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		return int8(in.src)
	case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic, asm.ClassALU, asm.ClassNeg, asm.ClassSwap, asm.ClassBranch:
		return int8(in.dst)
	case asm.ClassMovsx:
		return int8(in.src)
	case asm.ClassCall:
		if v.call.arg == 0 {
			return -1
		}
		return int8(v.call.arg)
	case asm.ClassExit:
		return 0
	}
	return -1
}

// explainer finds out what led to a rejection.
type explainer struct {
	v      *verifier
	t      *trace // of the failing path
	e      *Error
	causes []datedCause
	shown  []place // what the cause involves
	gone   bool    // a call made a number of the pointer
	null   bool    // a comparison says that the pointer is NULL here
}

// datedCause is a cause and the step of the path that it was at.
type datedCause struct {
	step int32
	Cause
}

// explain completes a rejection by walking the program again, with the failing path recorded.
func (v *verifier) explain(o *Options, e *Error) *Error {
	if v.cur == nil || e.Code == TooComplex || e.Code == TooManyJumps {
		(&explainer{v: v, e: e}).run()
		return e
	}
	again := newVerifier(v.prog, o)
	again.trace = newTrace(v)
	defer again.recycle()
	found := again.run()
	if found == nil || found.Code != e.Code || found.PC != e.PC || again.cur == nil {
		(&explainer{v: v, e: e}).run() // cannot be: the walk is deterministic
		return e
	}
	if again.trace.next == len(again.trace.path) && e.Code == InfiniteLoop {
		again.trace.enter(again) // found between two instructions
	}
	found.Stats = e.Stats
	(&explainer{v: again, t: again.trace, e: found}).run()
	return found
}

// run fills in what the rejection's class asks for.
func (x *explainer) run() {
	row, _ := Lookup(x.e.Code)
	x.e.Reason = cmp.Or(x.e.Reason, row.Meaning)
	if n := x.e.Need; n != nil {
		x.e.Hint = cmp.Or(x.e.Hint, fmt.Sprintf("choose a kernel from %v on, or do without %s", n.Since, n.Name))
	}
	x.e.Hint = cmp.Or(x.e.Hint, row.Hint)
	if x.t == nil {
		if f := formCauses[x.e.Code]; f != nil {
			f(x)
		}
	} else {
		x.describePath()
		if x.e.Need != nil {
			x.origins()
		} else if f := pathCauses[x.e.Code]; f != nil {
			f(x)
		} else {
			x.origins()
		}
		x.refineCode()
		x.describeState()
	}
	slices.SortStableFunc(x.causes, func(a, b datedCause) int { return cmp.Compare(a.step, b.step) })
	for _, c := range x.causes {
		if n := len(x.e.Causes); n == 0 || x.e.Causes[n-1].PC != c.PC || x.e.Causes[n-1].Text != c.Text {
			x.e.Causes = append(x.e.Causes, c.Cause)
		}
	}
}

// refineCode tells apart what the kernel has one message for.
func (x *explainer) refineCode() {
	switch {
	case x.e.Code != MemScalar:
	case x.gone:
		x.recode(StalePointer)
	case x.null:
		x.recode(NullPointer)
	}
}

// recode changes the class of a rejection.
func (x *explainer) recode(c Code) {
	old, _ := Lookup(x.e.Code)
	row, _ := Lookup(c)
	if x.e.Reason == old.Meaning {
		x.e.Reason = row.Meaning
	}
	if x.e.Hint == old.Hint {
		x.e.Hint = row.Hint
	}
	x.e.Code = c
}

// failing is the step that was rejected.
func (x *explainer) failing() int32 { return x.t.end() - 1 }

// depth is the frame that was running then.
func (x *explainer) depth() uint8 { return x.t.steps[x.failing()].depth }

// reg is a register of that frame.
func (x *explainer) reg(n uint8) place { return place{x.depth(), n} }

// subject is the register that the rejection is about, and what it held; ok is false when there is none.
func (x *explainer) subject() (p place, r reg, ok bool) {
	if x.e.about.reg < 0 {
		return p, r, false
	}
	p = x.reg(uint8(x.e.about.reg))
	x.show(p)
	return p, x.t.value(p, x.failing()).reg, true
}

// show notes that a place belongs to the cause.
func (x *explainer) show(p place) {
	if !slices.Contains(x.shown, p) {
		x.shown = append(x.shown, p)
	}
}

// cause adds a cause at a step of the path.
func (x *explainer) cause(step int32, format string, args ...any) {
	if step < 0 {
		return
	}
	x.causeAt(step, int(x.t.steps[step].pc), fmt.Sprintf(format, args...))
}

func (x *explainer) causeAt(order int32, pc int, text string) {
	x.causes = append(x.causes, datedCause{order, Cause{PC: pc, Line: x.v.prog.LineAt(pc), Text: text}})
}

// insn is the instruction of a step.
func (x *explainer) insn(step int32) *insn { return &x.v.insns[x.t.steps[step].pc] }

// text is the instruction of a step in assembler.
func (x *explainer) text(step int32) string { return x.v.insnText(int(x.t.steps[step].pc)) }

func (v *verifier) insnText(pc int) string {
	var next *asm.Insn
	if pc+1 < len(v.prog.Insns) {
		next = &v.prog.Insns[pc+1]
	}
	return insnText(v.prog.Insns[pc], next)
}

// where names the place of a step in the source, or in the program when there is no source.
func (x *explainer) where(step int32) string {
	if step < 0 {
		return "the start"
	}
	return x.v.where(int(x.t.steps[step].pc))
}

func (v *verifier) where(pc int) string {
	if l := v.prog.LineAt(pc); l != nil {
		return fmt.Sprintf("line %d", l.Line)
	}
	return fmt.Sprintf("instruction %d", pc)
}

// name is a place in the kernel's notation.
func (p place) name() string {
	if p.isSlot() {
		return fmt.Sprintf("fp%d", -(int(p.n)-firstSlot+1)*slotSize)
	}
	return fmt.Sprintf("R%d", p.n)
}

// describeState shows the registers and slots that the cause involves, frame by frame.
func (x *explainer) describeState() {
	if x.e.State != "" {
		return
	}
	slices.SortFunc(x.shown, func(a, b place) int {
		return cmp.Or(cmp.Compare(a.frame, b.frame), cmp.Compare(a.n, b.n))
	})
	var lines []string
	frame := -1
	for _, p := range x.shown {
		val := x.t.value(p, x.t.end())
		text := x.v.regText(&val.reg)
		switch {
		case p.isSlot():
			text = x.v.slotText(&val)
		case val.reg.typ == notInit:
			text = "?"
		}
		if text == "" {
			continue
		}
		if int(p.frame) != frame {
			frame = int(p.frame)
			head := ""
			if x.depth() > 0 {
				head = fmt.Sprintf("frame%d: ", frame)
			}
			lines = append(lines, head+p.name()+"="+text)
			continue
		}
		lines[len(lines)-1] += " " + p.name() + "=" + text
	}
	x.e.State = strings.Join(lines, "\n")
}

// describePath says of each branch of the path why it went the way it did, when it could go no other.
func (x *explainer) describePath() {
	x.e.Path = x.v.path()
	first := len(x.t.steps)
	for i := len(x.e.Path) - 1; i >= 0; i-- {
		s := &x.e.Path[i]
		for first--; first >= 0 && int(x.t.steps[first].pc) != s.PC; first-- {
		}
		if first < 0 {
			return
		}
		s.Why = x.whyBranch(int32(first))
	}
}

// whyBranch says what decided a branch, "" when it goes both ways.
func (x *explainer) whyBranch(step int32) string {
	in := x.insn(step)
	if in.class != asm.ClassBranch {
		return ""
	}
	depth := x.t.steps[step].depth
	dst := x.t.value(place{depth, in.dst}, step).reg
	src := constReg(in.imm)
	if in.useSrc {
		src = x.t.value(place{depth, in.src}, step).reg
	}
	if x.v.decideBranch(in, asm.Cond(in.op), &dst, &src) == unknown {
		return ""
	}
	why := fmt.Sprintf("always: R%d=%s", in.dst, x.v.regText(&dst))
	if in.useSrc {
		why += fmt.Sprintf(" R%d=%s", in.src, x.v.regText(&src))
	}
	return why
}
