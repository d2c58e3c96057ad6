package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
)

// Error is one line: where, the kernel's last words, the stable code. Detail has the rest.
func (e *Error) Error() string {
	var b strings.Builder
	if e.Prog != "" {
		fmt.Fprintf(&b, "program %s: ", e.Prog)
	}
	if e.PC >= 0 {
		fmt.Fprintf(&b, "pc %d: ", e.PC)
	}
	words := e.Kernel
	if i := strings.LastIndexByte(words, '\n'); i >= 0 {
		words = words[i+1:]
	}
	b.WriteString(words)
	fmt.Fprintf(&b, " [%s]", e.Code)
	return b.String()
}

// Detail is Error and, on lines of their own, Report.
func (e *Error) Detail() string { return e.Error() + "\n" + e.Report() }

// Report is the whole story: the kernel's words, the reason, the source line with a mark under the column, the instructions
// that it goes back to, the state, the path that led there and what to change. Each line begins with two spaces.
func (e *Error) Report() string {
	var r report
	if e.PC >= 0 {
		r.add("insn", fmt.Sprintf("%d: %s", e.PC, insnText(e.Insn, nil)))
	}
	r.add("kernel", strings.TrimRight(e.Kernel, "\n"))
	r.add("reason", wrap(e.Reason))
	if l := e.Line; l != nil {
		r.add("source", fmt.Sprintf("%s:%d:%d\n%s", l.File, l.Line, l.Col, quoteLine(l, true)))
	}
	for i, c := range e.Causes {
		r.addAs(i == 0, "cause", c.text())
	}
	r.add("state", e.State)
	for i, s := range pathText(e.Path) {
		r.addAs(i == 0, "path", s)
	}
	r.add("hint", wrap(e.Hint))
	r.add("code", fmt.Sprintf("%s  (skep explain %s)", e.Code, e.Code))
	return r.String()
}

// insnText is an instruction in assembler, helpers by name.
func insnText(in asm.Insn, next *asm.Insn) string {
	if asm.KindOf(in) == asm.CallHelper {
		if r := helpers.ByID(in.Imm); r != nil {
			return "call " + r.Name
		}
	}
	return asm.Format(in, next)
}

// report is text in two columns.
type report struct{ strings.Builder }

const reportIndent = "          "

func (r *report) add(name, text string) { r.addAs(true, name, text) }

// addAs adds text, which names its part when first is set.
func (r *report) addAs(first bool, name, text string) {
	if text == "" {
		return
	}
	if !first {
		name = ""
	}
	fmt.Fprintf(r, "  %-8s%s\n", name, strings.ReplaceAll(text, "\n", "\n"+reportIndent))
}

// wrap breaks text into lines of at most reportWidth bytes where it has spaces.
func wrap(text string) string {
	const reportWidth = 110
	var b strings.Builder
	column := 0
	for i, word := range strings.Split(text, " ") {
		switch {
		case i == 0:
		case column+1+len(word) > reportWidth:
			b.WriteByte('\n')
			column = 0
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}

// quoteLine shows a source line and, if asked, a mark under its column.
func quoteLine(l *prog.Line, mark bool) string {
	text := strings.TrimLeft(l.Text, " \t")
	if text == "" {
		return ""
	}
	out := "| " + text
	if caret := l.Col - 1 - (len(l.Text) - len(text)); mark && caret >= 0 && caret <= len(text) {
		out += "\n| " + strings.Repeat(" ", caret) + "^"
	}
	return out
}

// text is a cause in one line, its source in another.
func (c *Cause) text() string {
	if c.Line == nil {
		return wrap(fmt.Sprintf("%d: %s", c.PC, c.Text))
	}
	return wrap(fmt.Sprintf("%d: %s:%d: %s", c.PC, c.Line.File, c.Line.Line, c.Text)) + "\n" + quoteLine(c.Line, false)
}

// pathText writes a path, a line a branch. Branches that say the same one after the other are one line, and the middle is
// left out when it is long.
func pathText(path []Step) []string {
	const ends = 8
	var lines []string
	for i := 0; i < len(path); {
		line, times := path[i].text(), 1
		for i++; i < len(path) && path[i].text() == line; i++ {
			times++
		}
		if times > 1 {
			line = fmt.Sprintf("%s  (%d times)", line, times)
		}
		lines = append(lines, line)
	}
	if n := len(lines); n > 2*ends {
		middle := fmt.Sprintf("… %d lines …", n-2*ends)
		lines = append(append(lines[:ends:ends], middle), lines[n-ends:]...)
	}
	return lines
}

// text is a branch in one line.
func (s *Step) text() string {
	way := "not taken"
	if s.Taken {
		way = "taken"
	}
	line := fmt.Sprintf("%d: %s  %s", s.PC, s.Text, way)
	if s.Why != "" {
		line += " (" + s.Why + ")"
	}
	if s.Line != nil {
		line += fmt.Sprintf("  %s:%d %s", s.Line.File, s.Line.Line, quoteLine(s.Line, false))
	}
	return line
}

// fail makes the rejection of the current instruction. The format is the kernel's message.
func (v *verifier) fail(code Code, format string, args ...any) *Error {
	return v.failAt(v.pc, code, format, args...)
}

// failAt makes the rejection of the instruction at pc, or, with pc -1, of the program.
func (v *verifier) failAt(pc int, code Code, format string, args ...any) *Error {
	words := format
	if len(args) > 0 {
		words = fmt.Sprintf(format, args...)
	}
	if v.profile != nil {
		words = inWordsOf(v.profile.Kernel, words)
	}
	e := &Error{Code: code, PC: pc, Kernel: words, about: subject{reg: -1}}
	if v.prog != nil {
		e.Prog = v.prog.Name
		if pc >= 0 && pc < len(v.prog.Insns) {
			e.Insn = v.prog.Insns[pc]
			e.about.reg = v.subjectOf(pc)
			e.Line = v.prog.LineAt(pc)
		}
	}
	return e
}

// needs says that a newer kernel has what is missing.
func (e *Error) needs(what NeedKind, name string, since kver.Version) *Error {
	if !since.AtLeast(asm.Never) {
		e.Need = &Need{What: what, Name: name, Since: since, PC: e.PC}
		e.Reason = fmt.Sprintf("%s %s: only since kernel %v", what, name, since)
	}
	return e
}

// path lists the branches of the current path.
func (v *verifier) path() []Step {
	var steps []Step
	next := v.pc
	for h := v.cur.hist; h != 0; {
		s := v.steps.at(h)
		pc := int(s.pc)
		in := &v.insns[pc]
		if in.class == asm.ClassBranch && pc != v.pc {
			steps = append(steps, Step{PC: pc, Taken: next == int(in.target), Line: v.prog.LineAt(pc),
				Text: asm.Format(v.prog.Insns[pc], nil)})
		}
		next = pc
		h = s.prev
	}
	for i, j := 0, len(steps)-1; i < j; i, j = i+1, j-1 {
		steps[i], steps[j] = steps[j], steps[i]
	}
	return steps
}
