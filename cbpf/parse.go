package cbpf

import (
	"strconv"
	"strings"
)

// Source is a program as read from text.
type Source struct {
	Program Program
	Lines   []int // line of the text, from 1, by instruction
	Cols    []int // column, in bytes from 1, by instruction
}

// Parse reads a program from text in any Form: which one it is shows in its first character. Whether the instructions
// make a valid program is Validate's to say. Every error is an *Error with a place.
func Parse(text string) (Program, error) {
	s, err := ParseSource(text)
	if err != nil {
		return nil, err
	}
	return s.Program, nil
}

// ParseSource is Parse for those who want to know what came from where.
func ParseSource(text string) (*Source, error) {
	start := strings.TrimLeft(text, " \t\r\n")
	if start != "" && isDigit(start[0]) {
		return parseNumbers(text)
	}
	tokens, err := lex(text)
	if err != nil {
		return nil, err
	}
	p := parser{tokens: tokens, labels: map[string]int{}}
	switch {
	case p.at("{"):
		err = p.parseArray()
	case p.at("("):
		err = p.parseDisasm()
	default:
		err = p.parseAsm()
	}
	if err == nil && len(p.src.Program) == 0 {
		err = p.peek().want("an instruction")
	}
	if err != nil {
		return nil, err
	}
	return &p.src, nil
}

// Validate is Program.Validate that says the place in the text, too.
func (s *Source) Validate(mode Mode) error {
	err := s.Program.Validate(mode)
	if e, ok := err.(*Error); ok && e.Insn >= 0 && e.Insn < len(s.Lines) {
		e.Line, e.Col = s.Lines[e.Insn], s.Cols[e.Insn]
	}
	return err
}

// add appends an instruction that begins at t.
func (s *Source) add(in Insn, t token) {
	s.Program = append(s.Program, in)
	s.Lines = append(s.Lines, t.line)
	s.Cols = append(s.Cols, t.col)
}

// parseNumbers reads the Decimal and Comma forms: records end with a comma or a line, empty ones don't count.
func parseNumbers(text string) (*Source, error) {
	var src Source
	var count numberField
	first := true
	t := token{line: 1, col: 1, kind: tokenWord}
	for at := 0; at <= len(text); {
		size := strings.IndexAny(text[at:], ",\n")
		if size < 0 {
			size = len(text) - at
		}
		fields, err := numbers(text[at:at+size], t)
		switch {
		case err != nil:
			return nil, err
		case len(fields) == 0:
		case first && len(fields) != 1:
			return nil, t.errorf("expected the number of instructions, found %d numbers", len(fields))
		case first:
			count, first = fields[0], false
		default:
			if err := src.addNumbers(fields); err != nil {
				return nil, err
			}
		}
		t.col += size + 1
		if at += size; at < len(text) && text[at] == '\n' {
			t.line, t.col = t.line+1, 1
		}
		at++
	}
	if count.n != uint64(len(src.Program)) {
		return nil, count.t.errorf("%d instructions were announced, %d are there", count.n, len(src.Program))
	}
	if count.n == 0 {
		return nil, count.t.errorf("the program has no instructions")
	}
	return &src, nil
}

// numberField is one number of a record and its place.
type numberField struct {
	n uint64
	t token
}

// numbers splits a record that begins at t into its numbers, which are decimal.
func numbers(record string, t token) ([]numberField, error) {
	var out []numberField
	for i := 0; i < len(record); {
		if c := record[i]; c == ' ' || c == '\t' || c == '\r' {
			i++
			continue
		}
		size := strings.IndexAny(record[i:], " \t\r")
		if size < 0 {
			size = len(record) - i
		}
		place := t
		place.col += i
		n, err := strconv.ParseUint(record[i:i+size], 10, 32)
		if err != nil {
			return nil, place.errorf("%q is no number of 32 bits", clip(record[i:i+size]))
		}
		out = append(out, numberField{n, place})
		i += size
	}
	return out, nil
}

// addNumbers appends the instruction of a record.
func (s *Source) addNumbers(f []numberField) error {
	if len(f) != 4 {
		return f[0].t.errorf("expected the 4 numbers of an instruction, found %d", len(f))
	}
	return s.addFields([4]numberField(f))
}

// addFields appends the instruction code, jt, jf, k.
func (s *Source) addFields(f [4]numberField) error {
	for i, limit := range [...]struct {
		what string
		max  uint64
	}{{"opcode", 0xffff}, {"jt", 0xff}, {"jf", 0xff}} {
		if f[i].n > limit.max {
			return f[i].t.errorf("%s %d is more than %d", limit.what, f[i].n, limit.max)
		}
	}
	s.add(Insn{Op: uint16(f[0].n), Jt: uint8(f[1].n), Jf: uint8(f[2].n), K: uint32(f[3].n)}, f[0].t)
	return nil
}

// parser reads the forms that are made of tokens.
type parser struct {
	tokens   []token
	next     int
	src      Source
	numbered bool           // the form with numbers of instructions in the place of labels
	labels   map[string]int // index of the instruction that a label stands before
	jumps    []labelUse
}

func (p *parser) peek() token { return p.tokens[p.next] }

func (p *parser) take() token {
	t := p.tokens[p.next]
	if t.kind != tokenEnd {
		p.next++
	}
	return t
}

// at reports whether the next token is the word or character s, in lower or upper case.
func (p *parser) at(s string) bool {
	return p.peek().kind != tokenEnd && strings.EqualFold(p.peek().text, s)
}

// skip takes s when it comes next, and reports whether it did.
func (p *parser) skip(s string) bool {
	if p.at(s) {
		p.next++
		return true
	}
	return false
}

// expect takes each of the words or characters in turn.
func (p *parser) expect(words ...string) error {
	for _, w := range words {
		if !p.skip(w) {
			return p.peek().want(strconv.Quote(w))
		}
	}
	return nil
}

// number takes a number; a sign may stand before it when signed.
func (p *parser) number(signed bool) (uint32, error) {
	first := p.peek()
	neg := false
	if signed && !p.skip("+") {
		neg = p.skip("-")
	}
	t := p.peek()
	if t.kind != tokenNumber {
		return 0, t.want("a number")
	}
	p.next++
	if neg && t.value > 1<<31 {
		return 0, first.errorf("-%s is no number of 32 bits", t.text)
	}
	if neg {
		return -t.value, nil
	}
	return t.value, nil
}

// parseArray reads the CArray form.
func (p *parser) parseArray() error {
	for p.peek().kind != tokenEnd {
		var f [4]numberField
		if err := p.expect("{"); err != nil {
			return err
		}
		for i := range f {
			if i > 0 {
				if err := p.expect(","); err != nil {
					return err
				}
			}
			f[i].t = p.peek()
			n, err := p.number(false)
			if err != nil {
				return err
			}
			f[i].n = uint64(n)
		}
		if err := p.expect("}"); err != nil {
			return err
		}
		if err := p.src.addFields(f); err != nil {
			return err
		}
		if !p.skip(",") && p.peek().kind != tokenEnd {
			return p.peek().want(`","`)
		}
	}
	return nil
}
