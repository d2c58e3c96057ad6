package cbpf

import (
	"fmt"
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenWord
	tokenNumber
	tokenPunct // one character
)

// token is a word of program text.
type token struct {
	kind      tokenKind
	text      string
	line, col int
	value     uint32 // of a number
}

// want makes the error that t is not what would be right there.
func (t token) want(what string) *Error {
	found := "the end of the text"
	if t.kind != tokenEnd {
		found = strconv.Quote(t.text)
	}
	return &Error{Insn: -1, Line: t.line, Col: t.col, Msg: fmt.Sprintf("expected %s, found %s", what, found)}
}

func (t token) errorf(format string, args ...any) *Error {
	return &Error{Insn: -1, Line: t.line, Col: t.col, Msg: fmt.Sprintf(format, args...)}
}

const punctuation = ":,#%[](){}+-*&"

// lex splits text into tokens; the last one is always a tokenEnd. Comments are /* … */, ; to the end of the line, and
// lines that begin with #.
func lex(text string) ([]token, error) {
	var tokens []token
	line, lineStart, blank := 1, 0, true // blank: nothing but blanks in this line so far
	for i := 0; i < len(text); {
		c := text[i]
		t := token{line: line, col: i - lineStart + 1}
		size := 1
		switch {
		case c == '\n':
			line, lineStart, blank = line+1, i+1, true
			i++
			continue
		case c == ' ' || c == '\t' || c == '\r':
			i++
			continue
		case c == ';' || c == '#' && blank:
			i += lineLength(text[i:])
			continue
		case strings.HasPrefix(text[i:], "/*"):
			end := strings.Index(text[i+2:], "*/")
			if end < 0 {
				return nil, t.errorf("the comment has no end")
			}
			comment := text[i : i+2+end+2]
			if n := strings.Count(comment, "\n"); n > 0 {
				line, lineStart = line+n, i+strings.LastIndexByte(comment, '\n')+1
			}
			i += len(comment)
			continue
		case isDigit(c):
			size = wordLength(text[i:])
			base := 0 // 0x, 0b, and 0 for octal
			if len(tokens) > 0 && tokens[len(tokens)-1].text == "(" {
				base = 10 // (008) counts an instruction
			}
			v, err := strconv.ParseUint(text[i:i+size], base, 32)
			if err != nil || strings.Contains(text[i:i+size], "_") {
				return nil, t.errorf("%q is no number of 32 bits", clip(text[i:i+size]))
			}
			t.kind, t.value = tokenNumber, uint32(v)
		case isLetter(c):
			t.kind, size = tokenWord, wordLength(text[i:])
		case strings.IndexByte(punctuation, c) >= 0:
			t.kind = tokenPunct
		default:
			return nil, t.errorf("%q does not belong here", []rune(clip(text[i:]))[0])
		}
		t.text, blank = text[i:i+size], false
		tokens = append(tokens, t)
		i += size
	}
	return append(tokens, token{line: line, col: len(text) - lineStart + 1}), nil
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c|0x20 >= 'a' && c|0x20 <= 'z' || c == '_' }

// wordLength is the number of bytes at the start of s that are letters or digits.
func wordLength(s string) int {
	n := 0
	for n < len(s) && (isLetter(s[n]) || isDigit(s[n])) {
		n++
	}
	return n
}

func lineLength(s string) int {
	if n := strings.IndexByte(s, '\n'); n >= 0 {
		return n
	}
	return len(s)
}

// clip keeps messages short.
func clip(s string) string {
	if len(s) > 40 {
		return s[:40]
	}
	return s
}
