package expr

import (
	"fmt"
	"strings"
)

// An Error says what is wrong with an expression and where.
type Error struct {
	Src      string // the whole expression
	Pos, End int    // byte offsets in Src: the part that the message is about; Pos == len(Src) is its end
	Msg      string
	Hint     string // what to write instead; may be empty
}

func (e *Error) Error() string {
	text := fmt.Sprintf("filter, byte %d: %s", e.Pos, e.Msg)
	if e.Hint != "" {
		text += " (" + e.Hint + ")"
	}
	return text
}

// Caret returns two lines: the part of the expression around the error, and marks below it.
func (e *Error) Caret() string {
	const before, after = 50, 30 // bytes of the expression that are shown
	from, to := max(0, e.Pos-before), min(len(e.Src), max(e.End, e.Pos+1)+after)
	for from > 0 && from < len(e.Src) && e.Src[from]&0xc0 == 0x80 {
		from--
	}
	for to < len(e.Src) && e.Src[to]&0xc0 == 0x80 {
		to++
	}
	shown := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, e.Src[from:to])
	pos := min(e.Pos, len(e.Src)) - from
	indent := len([]rune(e.Src[from : from+pos]))
	marks := max(1, len([]rune(e.Src[from+pos:min(max(e.End, e.Pos), to)])))
	return shown + "\n" + strings.Repeat(" ", indent) + strings.Repeat("^", marks)
}
