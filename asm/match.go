package asm

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
)

const (
	wantEnd  = "the end of the line"
	wantJump = "a jump target: +N, -N or a label"
)

// matcher tries templates on the tokens of a statement, and keeps what the ones that got furthest wanted there.
type matcher struct {
	parser *parser
	tokens []token

	pos    int
	row    *Info
	in, hi Insn
	filled [holeUp + 1]bool
	jumps  []jump

	far   int
	wants []want
}

// want is what would have been right: a literal, or words that describe an operand.
type want struct {
	text    string
	literal bool
}

// first returns the first template of list that the statement matches, nil when there is none.
func (m *matcher) first(list []*template) *template {
	for _, t := range list {
		if m.match(t) {
			return t
		}
	}
	return nil
}

// match reads the whole statement as t.
func (m *matcher) match(t *template) bool {
	row := &Table[t.kind]
	m.pos, m.row, m.filled, m.jumps = 0, row, [len(m.filled)]bool{}, m.jumps[:0]
	m.in, m.hi = Insn{Op: row.Opcode}, Insn{}
	switch row.Selector() {
	case FieldSrc:
		m.in.Src = Reg(row.Select)
	case FieldOff:
		m.in.Off = int16(row.Select)
	case FieldImm:
		m.in.Imm = row.Select
	}
	switch t.fix {
	case FieldSrc:
		m.in.Src = Reg(t.fixed)
	case FieldImm:
		m.in.Imm = t.fixed
	}
	for i := range t.parts {
		p := &t.parts[i]
		if p.hole != holeNone {
			if !m.fill(p.hole) {
				return false
			}
			continue
		}
		for _, want := range p.tokens {
			if !m.literal(want) {
				return false
			}
		}
	}
	return m.next().kind == tokenEnd || m.fail(wantEnd)
}

func (m *matcher) next() token { return m.tokens[m.pos] }

// fail notes what was wanted at the current token, and returns false.
func (m *matcher) fail(words string) bool { return m.miss(want{text: words}) }

func (m *matcher) miss(w want) bool {
	if m.pos > m.far {
		m.far, m.wants = m.pos, m.wants[:0]
	}
	if m.pos == m.far {
		m.wants = append(m.wants, w)
	}
	return false
}

func (m *matcher) literal(lit token) bool {
	if t := m.next(); t.kind != lit.kind || t.value != lit.value || t.kind != tokenNumber && t.text != lit.text {
		return m.miss(want{lit.text, true})
	}
	m.pos++
	return true
}

// wanted joins what would have been right into words, but not long lists of literals.
func (m *matcher) wanted() string {
	const enough, tooMany = 8, 20 // beside words, and alone
	if m.far == 0 {
		return "an instruction"
	}
	var words, literals []string
	for _, w := range m.wants {
		if w.literal {
			literals = append(literals, strconv.Quote(w.text))
		} else {
			words = append(words, w.text)
		}
	}
	for _, list := range []*[]string{&words, &literals} {
		slices.Sort(*list)
		*list = slices.Compact(*list)
	}
	if n := len(literals); n > tooMany || n > enough && len(words) > 0 {
		literals = []string{"a keyword"}
	}
	all := append(words, literals...)
	last := len(all) - 1
	if last == 0 {
		return all[0]
	}
	return strings.Join(all[:last], ", ") + " or " + all[last]
}

// fill reads the operand of a hole into the instruction.
func (m *matcher) fill(h hole) bool {
	switch h {
	case holeRD, holeWD, holePD:
		return m.register(h, &m.in.Dst)
	case holeRS, holeWS, holePS:
		return m.register(h, &m.in.Src)
	case holeRI, holePI:
		reg := Reg(0)
		ok := m.register(h, &reg)
		m.in.Imm = int32(reg)
		return ok
	case holeOff, holeDisp:
		return m.displacement("an offset of 16 bits", math.MinInt16, math.MaxInt16, func(v int64) { m.in.Off = int16(v) })
	case holeIx:
		return m.displacement("an offset of 32 bits", math.MinInt32, math.MaxInt32, func(v int64) { m.in.Imm = int32(v) })
	case holeK:
		return m.immediate()
	case holeBits:
		return m.number("a number of 32 bits", math.MinInt32, math.MaxUint32, func(v int64) { m.in.Imm = int32(v) })
	case holeJ:
		return m.target(wantJump, false, FieldOff, math.MinInt16, math.MaxInt16)
	case holeL:
		return m.target(wantJump, false, FieldImm, math.MinInt32, math.MaxInt32)
	case holeFn:
		return m.target("a function: pc+N, pc-N or a label", true, FieldImm, math.MinInt32, math.MaxInt32)
	case holeHelper:
		if _, ok := m.parser.labels[m.next().text]; ok {
			return m.fail("a helper's number or name") // a label hides a helper
		}
		return m.named("a helper's number", m.parser.opts.Helpers)
	case holeKfunc:
		return m.named("a kernel function's number", m.parser.opts.Kfuncs)
	case holeMap:
		return m.named("a map's number", m.parser.opts.Maps)
	case holeModule:
		if m.next().text != "module" {
			return true
		}
		m.pos++
		return m.number("a module number", math.MinInt16, math.MaxInt16, func(v int64) { m.in.Off = int16(v) })
	case holeQ:
		return m.imm64()
	case holeUp:
		return m.number("a number of 32 bits", math.MinInt32, math.MaxUint32, func(v int64) { m.hi.Imm = int32(v) })
	}
	panic("asm: hole without a parser")
}

// register reads a register; a hole's second mention must repeat the first.
func (m *matcher) register(h hole, field *Reg) bool {
	prefix, shown := byte('r'), "r"
	switch h {
	case holeWD, holeWS:
		prefix, shown = 'w', "w"
	case holePD, holePS, holePI:
		shown = "%r"
	}
	t, used := m.next(), 1
	if shown == "%r" && t.text == "%" {
		t, used = m.tokens[m.pos+1], 2
	}
	r, ok := register(t.text, prefix)
	if shown == "%r" && t.text == "rfp" {
		r, ok = FP, true
	}
	switch {
	case m.filled[h] && (!ok || r != *field):
		return m.fail(fmt.Sprintf("%s%d again", shown, *field))
	case !ok:
		m.pos += used - 1 // behind the %
		return m.fail(fmt.Sprintf("a register %s0..%s10", shown, shown))
	}
	m.filled[h], *field = true, r
	m.pos += used
	return true
}

// number reads a signed number in [min, max].
func (m *matcher) number(want string, min, max int64, set func(int64)) bool {
	v, used, ok := signedNumber(m.tokens[m.pos:], min, max)
	if !ok {
		return m.fail(want)
	}
	m.pos += used
	set(v)
	return true
}

// signedNumber reads a number, a sign before it or not, and counts the tokens.
func signedNumber(tokens []token, min, max int64) (v int64, used int, ok bool) {
	negative := false
	if s := tokens[0].text; tokens[0].kind == tokenPunct && (s == "-" || s == "+") {
		negative, used = s == "-", 1
	}
	t := tokens[used]
	if t.kind != tokenNumber || t.value > math.MaxInt64 {
		return 0, 0, false
	}
	if v = int64(t.value); negative {
		v = -v
	}
	return v, used + 1, min <= v && v <= max
}

// displacement reads "+ 4", "- 4" or nothing, which is 0.
func (m *matcher) displacement(want string, min, max int64, set func(int64)) bool {
	if s := m.next().text; s != "+" && s != "-" {
		return true
	}
	return m.number(want, min, max, set)
}

// immediate reads a 32-bit number. Where an instruction looks at 32 bits only, they may be written as unsigned; where
// it extends the sign, 0xffffffff would not be what it says.
func (m *matcher) immediate() bool {
	want, max := "a signed number of 32 bits", int64(math.MaxInt32)
	if m.row.Width == 32 || m.row.Class == ClassStore && m.row.Size <= 4 {
		want, max = "a number of 32 bits", math.MaxUint32
	}
	return m.number(want, math.MinInt32, max, func(v int64) { m.in.Imm = int32(v) })
}

// imm64 reads a number of 64 bits, signed or not, into both slots.
func (m *matcher) imm64() bool {
	t, negative := m.next(), false
	if t.text == "-" {
		t, negative = m.tokens[m.pos+1], true
	}
	if t.kind != tokenNumber || negative && t.value > 1<<63 {
		return m.fail("a number of 64 bits before ll")
	}
	v := t.value
	if negative {
		v = -v
		m.pos++
	}
	m.pos++
	m.in.Imm, m.hi.Imm = int32(v), int32(v>>32)
	return true
}

// target reads pc+3, pc-3, a label or, unless pc is a must, +3 or -3.
func (m *matcher) target(want string, pc bool, field Field, min, max int64) bool {
	t, start := m.next(), m.pos
	if t.kind == tokenName && t.text != "pc" {
		if _, ok := m.parser.labels[t.text]; !ok {
			return m.fail("a label that is defined")
		}
		m.jumps = append(m.jumps, jump{label: t, field: field})
		m.pos++
		return true
	}
	if t.text == "pc" {
		m.pos++
	}
	if s := m.next().text; s != "+" && s != "-" || pc && m.pos == start {
		m.pos = start
		return m.fail(want)
	}
	return m.number(want, min, max, func(v int64) {
		if field == FieldOff {
			m.in.Off = int16(v)
		} else {
			m.in.Imm = int32(v)
		}
	})
}

// named reads a number, or a name that lookup, if there is one, knows.
func (m *matcher) named(want string, lookup func(string) (int32, bool)) bool {
	if lookup != nil {
		want += " or name"
	}
	if t := m.next(); t.kind == tokenName && lookup != nil {
		if id, ok := lookup(t.text); ok {
			m.in.Imm = id
			m.pos++
			return true
		}
	}
	if m.next().text == "+" { // a helper has no sign, and "call +5" means a function elsewhere
		return m.fail(want)
	}
	return m.number(want, math.MinInt32, math.MaxInt32, func(v int64) { m.in.Imm = int32(v) })
}
