package cbpf

import "fmt"

// Error says why bytes, text or a program are refused.
type Error struct {
	Insn      int    // index of the instruction that is meant; -1 when it is none
	Line, Col int    // place in the text that was read, from 1, Col in bytes; 0 when no text was read
	Msg       string // lower case, no trailing dot
}

func (e *Error) Error() string {
	switch {
	case e.Line > 0:
		return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg)
	case e.Insn >= 0:
		return fmt.Sprintf("instruction %d: %s", e.Insn, e.Msg)
	}
	return e.Msg
}

func insnError(pc int, format string, args ...any) *Error {
	return &Error{Insn: pc, Msg: fmt.Sprintf(format, args...)}
}
