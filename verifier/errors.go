package verifier

import (
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
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

// Detail is the whole story over several lines: the kernel's words, the reason, the source line, the state, the path
// that led there and what to change.
func (e *Error) Detail() string {
	var b strings.Builder
	b.WriteString(e.Error())
	b.WriteByte('\n')
	section := func(name, text string) {
		if text != "" {
			fmt.Fprintf(&b, "  %-7s %s\n", name+":", strings.ReplaceAll(text, "\n", "\n          "))
		}
	}
	if strings.Contains(e.Kernel, "\n") {
		section("kernel", e.Kernel)
	}
	section("why", e.Reason)
	if e.PC >= 0 {
		section("insn", fmt.Sprintf("%d: %s", e.PC, asm.Format(e.Insn, nil)))
	}
	if e.Line != nil {
		section("source", fmt.Sprintf("%s:%d: %s", e.Line.File, e.Line.Line, strings.TrimSpace(e.Line.Text)))
	}
	section("state", e.State)
	section("path", pathText(e.Path))
	section("hint", e.Hint)
	return b.String()
}

// pathText writes a path, its middle left out when it is long.
func pathText(path []Step) string {
	const ends = 8
	var lines []string
	for i, s := range path {
		if len(path) > 2*ends && i >= ends && i < len(path)-ends {
			if i == ends {
				lines = append(lines, fmt.Sprintf("… %d branches …", len(path)-2*ends))
			}
			continue
		}
		way := "not taken"
		if s.Taken {
			way = "taken"
		}
		line := fmt.Sprintf("%d: %s  (%s)", s.PC, s.Text, way)
		if s.Line != nil {
			line += fmt.Sprintf("  %s:%d", s.Line.File, s.Line.Line)
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
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
	e := &Error{Code: code, PC: pc, Kernel: words}
	row, _ := Lookup(code)
	e.Reason, e.Hint = row.Meaning, row.Hint
	if v.prog != nil {
		e.Prog = v.prog.Name
		if pc >= 0 && pc < len(v.prog.Insns) {
			e.Insn = v.prog.Insns[pc]
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

// complete adds what only a walk knows.
func (v *verifier) complete(e *Error) *Error {
	if v.cur != nil && e.State == "" {
		e.State = v.cur.String()
		e.Path = v.path()
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
