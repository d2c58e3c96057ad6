package asm

import (
	"strconv"
	"strings"
)

type tokenKind uint8

const (
	tokenEnd tokenKind = iota
	tokenName
	tokenNumber
	tokenPunct
)

// token is a word of a line.
type token struct {
	kind  tokenKind
	text  string
	col   int    // from 1
	value uint64 // of a number
}

// punctuation, longest first. The signed operators begin with a letter, which is why they are looked for before names.
var punctuation = []string{
	"s>>=", "s>=", "s<=", "s/=", "s%=", ">>=", "<<=", "s>", "s<", "==", "!=", "+=", "-=", "*=", "/=", "|=", "&=", "^=", "%=", ">=", "<=",
	"=", "+", "-", "*", "(", ")", "[", "]", ",", ":", ">", "<", "&", "%",
}

// lex splits a line, without its comment, into tokens; the last one is always a tokenEnd.
func lex(line string, lineNo int) ([]token, error) {
	var tokens []token
	for i := 0; i < len(line); {
		c := line[i]
		switch {
		case c == ' ' || c == '\t' || c == '\r':
			i++
			continue
		case c == ';' || c == '#' || strings.HasPrefix(line[i:], "//"):
			return append(tokens, token{kind: tokenEnd, col: i + 1}), nil
		}
		t := token{col: i + 1}
		switch p := punctuationAt(line[i:]); {
		case p != "":
			t.kind, t.text = tokenPunct, p
		case isDigit(c):
			t.kind, t.text = tokenNumber, wordAt(line[i:])
			v, ok := number(t.text)
			if !ok {
				return nil, &SyntaxError{Line: lineNo, Col: t.col, Want: "a number of at most 64 bits", Found: t.text}
			}
			t.value = v
		case isLetter(c):
			t.kind, t.text = tokenName, wordAt(line[i:])
		default:
			return nil, &SyntaxError{Line: lineNo, Col: t.col, Want: "an instruction", Found: firstRune(line[i:])}
		}
		tokens = append(tokens, t)
		i += len(t.text)
	}
	return append(tokens, token{kind: tokenEnd, col: len(line) + 1}), nil
}

// blockComment follows /* comments */ over lines.
type blockComment struct {
	open      bool
	line, col int // where it began
}

// blank puts spaces in the place of block comments. What follows a line comment is left as it is.
func (c *blockComment) blank(line string, lineNo int) string {
	if !c.open && !strings.Contains(line, "/*") {
		return line
	}
	out := []byte(line)
	for i := 0; i < len(line); i++ {
		rest := line[i:]
		switch {
		case c.open && strings.HasPrefix(rest, "*/"):
			c.open = false
			out[i], out[i+1] = ' ', ' '
			i++
		case c.open:
			out[i] = ' '
		case rest[0] == ';' || rest[0] == '#' || strings.HasPrefix(rest, "//"):
			return string(out)
		case strings.HasPrefix(rest, "/*"):
			*c = blockComment{true, lineNo, i + 1}
			out[i], out[i+1] = ' ', ' '
			i++
		}
	}
	return string(out)
}

func punctuationAt(s string) string {
	for _, p := range punctuation {
		if strings.HasPrefix(s, p) {
			return p
		}
	}
	return ""
}

func wordAt(s string) string {
	i := 1
	for i < len(s) && (isLetter(s[i]) || isDigit(s[i])) {
		i++
	}
	return s[:i]
}

func firstRune(s string) string {
	for _, r := range s {
		return string(r)
	}
	return ""
}

func isDigit(c byte) bool { return '0' <= c && c <= '9' }

func isLetter(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || c == '_' || c == '.' || c == '$'
}

// number reads a decimal or 0x number.
func number(s string) (uint64, bool) {
	digits, base := s, 10
	if hex, ok := strings.CutPrefix(s, "0x"); ok {
		digits, base = hex, 16
	}
	v, err := strconv.ParseUint(digits, base, 64)
	return v, err == nil
}

// register reads r0..r10 or w0..w10; prefix is 'r' or 'w'.
func register(s string, prefix byte) (Reg, bool) {
	if len(s) < 2 || len(s) > 3 || s[0] != prefix || s[1] == '0' && len(s) > 2 {
		return 0, false
	}
	v, err := strconv.ParseUint(s[1:], 10, 8)
	return Reg(v), err == nil && v < NumRegs
}
