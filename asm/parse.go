package asm

import (
	"fmt"
	"math"
	"strings"
)

// ParseOptions resolves the names that a program refers to; a nil function knows no names.
type ParseOptions struct {
	Helpers func(name string) (id int32, ok bool)  // "call bpf_map_lookup_elem"
	Maps    func(name string) (idx int32, ok bool) // "r1 = map[counts]"
	Kfuncs  func(name string) (id int32, ok bool)  // "call kfunc bpf_rdonly_cast"
}

// SyntaxError is a mistake in assembler text.
type SyntaxError struct {
	Line, Col int    // from 1; Col counts bytes
	Want      string // what would have been right there
	Found     string // the offending text; "" at the end of the line
}

func (e *SyntaxError) Error() string {
	found := "the end of the line"
	if e.Found != "" {
		found = fmt.Sprintf("%q", e.Found)
	}
	return fmt.Sprintf("%d:%d: expected %s, found %s", e.Line, e.Col, e.Want, found)
}

// Parse reads assembler text: a line holds an instruction as Format writes it, or as LLVM or the kernel's log do where
// they differ, and before it any number of labels ("out:"). Jumps and calls name labels or count slots; comments
// begin with ;, # or // and end with the line, or lie between /* and */. Numbers are decimal or 0x hexadecimal, either may be negative.
// The fields that the text gives are encoded as they are: whether they are legal is for Check to say.
// Every error is a *SyntaxError.
func Parse(src string, opts ParseOptions) ([]Insn, error) { return syntax().parse(src, opts) }

// Source is a program as read from assembler text.
type Source struct {
	Insns  []Insn
	Lines  []int          // of the text, from 1, by slot
	Labels map[string]int // slots; that of a label at the end is len(Insns)
}

// ParseSource is ParseAny for those who want to know what came from where.
func ParseSource(src string, opts ParseOptions) (*Source, error) {
	return either().parseSource(src, opts)
}

func (g *grammar) parse(src string, opts ParseOptions) ([]Insn, error) {
	s, err := g.parseSource(src, opts)
	if err != nil {
		return nil, err
	}
	return s.Insns, nil
}

func (g *grammar) parseSource(src string, opts ParseOptions) (*Source, error) {
	p := parser{grammar: g, opts: opts, labels: map[string]int{}}
	lines := strings.Split(src, "\n")
	statements := make([]statement, 0, len(lines))
	var block blockComment
	for i, line := range lines {
		st, err := p.readLine(block.blank(line, i+1), i+1)
		if err != nil {
			return nil, err
		}
		if st.tokens[0].kind != tokenEnd || len(st.labels) > 0 {
			statements = append(statements, st)
		}
	}
	if block.open {
		return nil, &SyntaxError{Line: block.line, Col: block.col, Want: "a comment that ends", Found: "/*"}
	}
	for _, st := range statements {
		for _, l := range st.labels {
			p.labels[l] = len(p.prog)
		}
		if st.tokens[0].kind == tokenEnd {
			continue
		}
		if err := p.statement(st); err != nil {
			return nil, err
		}
		for len(p.lines) < len(p.prog) {
			p.lines = append(p.lines, st.line)
		}
	}
	if err := p.resolve(); err != nil {
		return nil, err
	}
	return &Source{p.prog, p.lines, p.labels}, nil
}

// statement is a line that says something.
type statement struct {
	line   int
	labels []string
	tokens []token
}

// jump is a field that waits for the slot of a label.
type jump struct {
	pc    int
	label token
	line  int
	field Field
}

type parser struct {
	grammar *grammar
	opts    ParseOptions
	prog    []Insn
	lines   []int
	labels  map[string]int // slots; -1 while only known to exist
	jumps   []jump
}

// readLine lexes a line and takes the labels off its front.
func (p *parser) readLine(text string, line int) (statement, error) {
	tokens, err := lex(text, line)
	if err != nil {
		return statement{}, err
	}
	st := statement{line: line, tokens: tokens}
	for len(st.tokens) > 2 && st.tokens[0].kind == tokenName && st.tokens[1].text == ":" {
		t := st.tokens[0]
		_, seen := p.labels[t.text]
		switch {
		case seen:
			return st, &SyntaxError{Line: line, Col: t.col, Want: "a label that is not defined yet", Found: t.text}
		case isRegisterName(t.text), t.text == "pc":
			return st, &SyntaxError{Line: line, Col: t.col, Want: "a label that is not a register's name", Found: t.text}
		}
		p.labels[t.text] = -1
		st.labels = append(st.labels, t.text)
		st.tokens = st.tokens[2:]
	}
	return st, nil
}

func isRegisterName(s string) bool {
	_, r := register(s, 'r')
	_, w := register(s, 'w')
	return r || w
}

// statement appends the instruction of st.
func (p *parser) statement(st statement) error {
	if st.tokens[0].text == ".insn" {
		return p.raw(st)
	}
	m := matcher{parser: p, tokens: st.tokens}
	t := m.first(p.grammar.by[shape(st.tokens)])
	for k := Invalid; t == nil && k < NumKinds; k++ { // for the message: what could have stood there
		for i := range p.grammar.of[k] {
			m.match(&p.grammar.of[k][i])
		}
	}
	if t == nil {
		t := st.tokens[m.far]
		return &SyntaxError{Line: st.line, Col: t.col, Want: m.wanted(), Found: t.text}
	}
	for _, j := range m.jumps {
		j.pc, j.line = len(p.prog), st.line
		p.jumps = append(p.jumps, j)
	}
	p.prog = append(p.prog, m.in)
	if t.kind == LdImm64 {
		p.prog = append(p.prog, m.hi)
	}
	return nil
}

// raw reads ".insn OPCODE DST SRC OFF IMM".
func (p *parser) raw(st statement) error {
	limits := [...]struct {
		name     string
		min, max int64
	}{
		{"an opcode 0..255", 0, math.MaxUint8},
		{"a dst 0..15", 0, 15},
		{"a src 0..15", 0, 15},
		{"an off of 16 bits", math.MinInt16, math.MaxInt16},
		{"an imm of 32 bits", math.MinInt32, math.MaxInt32},
	}
	var v [len(limits)]int64
	tokens := st.tokens[1:]
	for i, limit := range limits {
		n, used, ok := signedNumber(tokens, limit.min, limit.max)
		if !ok {
			return &SyntaxError{Line: st.line, Col: tokens[0].col, Want: limit.name, Found: tokens[0].text}
		}
		v[i], tokens = n, tokens[used:]
	}
	if t := tokens[0]; t.kind != tokenEnd {
		return &SyntaxError{Line: st.line, Col: t.col, Want: wantEnd, Found: t.text}
	}
	p.prog = append(p.prog, Insn{uint8(v[0]), Reg(v[1]), Reg(v[2]), int16(v[3]), int32(v[4])})
	return nil
}

// resolve fills in the jumps to labels.
func (p *parser) resolve() error {
	for _, j := range p.jumps {
		delta := p.labels[j.label.text] - j.pc - 1
		in := &p.prog[j.pc]
		switch {
		case j.field == FieldImm:
			in.Imm = int32(delta)
		case delta == int(int16(delta)):
			in.Off = int16(delta)
		default:
			return &SyntaxError{Line: j.line, Col: j.label.col, Want: "a label within 32767 slots (gotol reaches further)", Found: j.label.text}
		}
	}
	return nil
}
