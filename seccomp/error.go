package seccomp

import (
	"bytes"
	"fmt"
)

// Error says what is wrong with a profile, an event or a filter, and where.
type Error struct {
	Line, Col int    // from 1, Col in bytes; 0 when the input is no text
	Msg       string // lower case, no trailing dot
}

func (e *Error) Error() string {
	if e.Line == 0 {
		return e.Msg
	}
	return fmt.Sprintf("%d:%d: %s", e.Line, e.Col, e.Msg)
}

// errorAt makes an error at an offset of text, in bytes.
func errorAt(text []byte, off int64, format string, args ...any) *Error {
	off = min(off, int64(len(text)))
	before := text[:off]
	return &Error{Line: bytes.Count(before, []byte("\n")) + 1, Col: int(off) - bytes.LastIndexByte(before, '\n'), Msg: fmt.Sprintf(format, args...)}
}
