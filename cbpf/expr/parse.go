package expr

import (
	"fmt"
	"strings"
)

// Bounds on what is parsed, so that no text takes long.
const (
	maxNesting = 500     // parentheses, signs and negations inside one another
	maxLength  = 1 << 20 // bytes of text
)

// Parse parses an expression. An empty one gives a nil Node: every packet matches. Errors are *Error.
func Parse(src string) (n Node, err error) {
	if len(src) > maxLength {
		return nil, &Error{Src: src[:80], Pos: 0, Msg: fmt.Sprintf("the expression is longer than %d bytes", maxLength)}
	}
	p := parser{lex: lexer{src: src}}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*Error)
			if !ok {
				panic(r)
			}
			n, err = nil, e
		}
	}()
	p.advance()
	if p.tok.kind == tEOF {
		return nil, nil
	}
	n, _ = p.exprFrom(p.operand(Qual{}))
	if p.tok.kind != tEOF {
		p.unexpected("and, or, or the end")
	}
	return n, nil
}

// parser reads one token ahead. Errors are panics of *Error, which Parse catches.
//
// The grammar is pcap-filter(7)'s. What a parenthesis holds, a test, a list of values or a number, is known only when
// it has been read; operand carries that up.
type parser struct {
	lex   lexer
	tok   token
	depth int
}

func (p *parser) advance() { p.tok = p.lex.next() }

func (p *parser) text(s span) string { return p.lex.src[s.pos:s.end] }

func (p *parser) fail(at span, hint, format string, args ...any) {
	panic(&Error{Src: p.lex.src, Pos: at.pos, End: at.end, Msg: fmt.Sprintf(format, args...), Hint: hint})
}

// enter counts a level of nesting; leave undoes it.
func (p *parser) enter() {
	if p.depth++; p.depth > maxNesting {
		p.fail(p.tok.span, "", "nested more than %d deep", maxNesting)
	}
}

func (p *parser) leave() { p.depth-- }

// unexpected fails at the current token.
func (p *parser) unexpected(want string) {
	switch p.tok.kind {
	case tEOF:
		p.fail(p.tok.span, "", "the expression ends where %s is expected", want)
	case tBogus:
		p.fail(p.tok.span, "six groups: 00:11:22:33:44:55", "%q is not an Ethernet address", p.text(p.tok.span))
	case tARCnet:
		p.fail(p.tok.span, "", "ARCnet addresses are not supported")
	case tBad:
		hint := ""
		if p.text(p.tok.span) == "," {
			hint = "tests and values are joined with and, or"
		}
		p.fail(p.tok.span, hint, "%q belongs to no word of the language", p.text(p.tok.span))
	}
	p.fail(p.tok.span, p.hint(), "%q where %s is expected", p.text(p.tok.span), want)
}

// hint guesses what was meant by a token that doesn't belong where it is.
func (p *parser) hint() string {
	text := p.text(p.tok.span)
	before := strings.TrimRight(p.lex.src[:p.tok.pos], " \t\r\n")
	switch p.tok.kind {
	case tID, tDotted, tNum, tSix, tMAC:
		if isWord(text) {
			return "words are written in lower case: " + strings.ToLower(text)
		}
		if p.tok.kind == tID && strings.Contains(text, "-") && class[text[0]]&cDigit != 0 {
			return "a minus between numbers needs spaces around it"
		}
		if p.afterValue(before) {
			return "tests and values are joined with and, or"
		}
	case tRel:
		word := before[strings.LastIndexAny(before, " (")+1:]
		if k, ok := keywords[word]; ok && k.kind == tType {
			return word + " and a value, with nothing between them"
		}
	case tCalc:
		if CalcOp(p.tok.val) == Div && before != "" && class[before[len(before)-1]]&cDigit != 0 {
			return "a network is written with four numbers before the slash: 10.0.0.0/8"
		}
	}
	return ""
}

// kind is what an operand turned out to be.
type kind uint8

const (
	isTest  kind = iota // true or false of a packet
	isValue             // an ID, or several, with the qualifiers of before
	isNum               // a number, perhaps in parentheses: an ID or the beginning of a relation
	isArith             // a number to compare with something
)

// operand is one operand of and, or.
type operand struct {
	kind kind
	node Node  // isTest, isValue
	num  Arith // isNum, isArith
	q    Qual  // what an ID that follows takes over
	span span
}

// exprFrom parses operands with and, or between them, when the first has been read.
func (p *parser) exprFrom(first operand) (Node, Qual) {
	x, q := p.test(first), first.q
	for p.tok.kind == tAnd || p.tok.kind == tOr {
		op := p.tok
		p.advance()
		o := p.operand(q)
		x, q = &Binary{op.span, op.kind == tOr, x, p.testOrValue(o, q)}, o.q
	}
	return x, q
}

// test makes sure that an operand is one that can stand at the beginning.
func (p *parser) test(o operand) Node {
	if o.kind == isNum || o.kind == isArith {
		p.arithAlone(o)
	}
	return o.node
}

// arithAlone fails for a number that is compared with nothing.
func (p *parser) arithAlone(o operand) {
	if p.tok.kind != tEOF && p.tok.kind != tAnd && p.tok.kind != tOr && p.tok.kind != tClose {
		p.unexpected("a comparison (= != < <= > >=)")
	}
	hint := ""
	if o.kind == isNum {
		hint = "say what it is: port " + p.text(o.span)
	}
	p.fail(o.span, hint, "%q is compared with nothing", p.text(o.span))
}

// testOrValue is the node of an operand after and, or.
func (p *parser) testOrValue(o operand, q Qual) Node {
	switch o.kind {
	case isNum:
		return p.number(o, q)
	case isArith:
		p.arithAlone(o)
	}
	return o.node
}

// afterValue says if the text ends with a number or an address.
func (p *parser) afterValue(before string) bool {
	word := before[strings.LastIndexAny(before, " (")+1:]
	l := lexer{src: word}
	t := l.next()
	return t.end == len(word) && (t.kind == tNum || t.kind == tDotted || t.kind == tSix || t.kind == tMAC)
}

// needs fails where a value has no qualifiers that it could take over; example is one that it could have.
func (p *parser) needs(q Qual, at span, example string) {
	if q.given {
		return
	}
	text := strings.Trim(p.text(at), "()")
	hint := example + " " + text
	switch {
	case isWord(text):
		hint = "words are written in lower case: " + strings.ToLower(text)
	case p.tok.kind == tRel && strings.Contains(text, "."):
		hint = "this is not the language of Wireshark's display filters"
	case p.tok.kind == tCalc && CalcOp(p.tok.val) == Div && example == "host":
		hint = "net " + text + "/…"
	}
	p.fail(at, hint, "%q has no qualifier before it that says what it is", p.text(at))
}

// isWord says if a name would be a word of the language in lower case.
func isWord(text string) bool {
	_, known := keywords[strings.ToLower(text)]
	return known && text != strings.ToLower(text)
}

// number makes an ID of a number.
func (p *parser) number(o operand, q Qual) Node {
	n := o.num.(*Num)
	p.needs(q, o.span, "port")
	return &ID{n.span, q, Value{Kind: Number, Num: n.Val, Text: p.text(n.span)}}
}

// operand parses one operand of and, or. q is what an ID in it takes over.
func (p *parser) operand(q Qual) operand {
	start := p.tok
	switch start.kind {
	case tNot:
		p.enter()
		p.advance()
		o := p.operand(q)
		p.leave()
		switch o.kind {
		case isNum:
			o.kind, o.node, o.q = isValue, p.number(o, q), q
		case isArith:
			p.arithAlone(o)
		}
		o.node = &Not{start.span, o.node}
		o.span.pos = start.pos
		return o
	case tParen:
		o := p.group(q)
		if o.kind == isNum || o.kind == isArith {
			return p.relation(o, q)
		}
		return o
	case tNum, tLen:
		return p.relation(p.arith(noPrec), q)
	case tCalc:
		if CalcOp(start.val) == Sub {
			return p.relation(p.arith(noPrec), q)
		}
	case tID, tDotted, tSix, tMAC:
		n := p.value(q)
		return operand{kind: isValue, node: n, q: q, span: span{start.pos, p.endOf(n)}}
	case tProto:
		return p.proto(q)
	case tDir, tType, tIsProto, tIsChain:
		return p.qualified(None)
	}
	return operand{kind: isTest, node: p.primitive(None), span: start.span}
}

// endOf is where a node's text ends.
func (p *parser) endOf(n Node) int { _, end := n.Span(); return end }

// group parses a parenthesis.
func (p *parser) group(q Qual) operand {
	open := p.tok
	p.enter()
	p.advance()
	inner := p.tok
	o := p.operand(q)
	list := o.kind == isNum && (p.tok.kind == tAnd || p.tok.kind == tOr)
	if o.kind == isValue && inner.kind == tParen {
		p.fail(inner.span, "leave these parentheses out", "a list of values may not begin with a list in parentheses")
	}
	switch {
	case list || o.kind == isValue:
		o = p.values(o, q)
	case o.kind == isTest:
		o.node, _ = p.exprFrom(o)
		o.q = q
	}
	p.leave()
	if p.tok.kind != tClose {
		if p.tok.kind == tEOF {
			p.fail(open.span, "", "the parenthesis is never closed")
		}
		p.unexpected(`")"`)
	}
	o.span = span{open.pos, p.tok.end}
	p.advance()
	return o
}

// values parses the rest of a list of values, where each takes over q.
func (p *parser) values(first operand, q Qual) operand {
	x := first.node
	if first.kind == isNum {
		x = p.number(first, q)
	}
	for p.tok.kind == tAnd || p.tok.kind == tOr {
		op := p.tok
		p.advance()
		x = &Binary{op.span, op.kind == tOr, x, p.id(q)}
	}
	return operand{kind: isValue, node: x, q: q}
}

// id parses a value, a list of them in parentheses, or one of these negated: what follows qualifiers.
func (p *parser) id(q Qual) Node {
	start := p.tok
	switch start.kind {
	case tNot:
		p.enter()
		p.advance()
		x := p.id(q)
		p.leave()
		return &Not{start.span, x}
	case tNum:
		n := p.num()
		return p.number(operand{num: n, span: n.span}, q)
	case tParen:
		p.enter()
		p.advance()
		var x Node
		if p.tok.kind == tParen {
			x = p.nested(q)
		} else {
			x = p.id(q)
		}
		x = p.values(operand{kind: isValue, node: x}, q).node
		p.leave()
		if p.tok.kind != tClose {
			if p.tok.kind == tEOF {
				p.fail(start.span, "", "the parenthesis is never closed")
			}
			p.unexpected(`")", and or or`)
		}
		p.advance()
		return x
	}
	return p.value(q)
}

// nested parses a number in parentheses at the beginning of a list of values: there a list of values may not stand.
func (p *parser) nested(q Qual) Node {
	n := p.pnum()
	return p.number(operand{num: n, span: n.span}, q)
}

// pnum parses a number, in any number of parentheses.
func (p *parser) pnum() *Num {
	if p.tok.kind != tParen {
		return p.num()
	}
	p.enter()
	p.advance()
	n := p.pnum()
	p.leave()
	if p.tok.kind != tClose {
		p.unexpected(`")"`)
	}
	p.advance()
	return n
}

// num parses a number.
func (p *parser) num() *Num {
	if p.tok.kind != tNum {
		p.unexpected("a number")
	}
	n := &Num{p.tok.span, p.numVal(p.tok)}
	p.advance()
	return n
}

// numVal is the value of a number or of a name of one: decimal, 0x hexadecimal, octal when it begins with 0.
func (p *parser) numVal(t token) uint32 {
	text := p.text(t.span)
	if class[text[0]]&cDigit == 0 {
		return t.val
	}
	base, digits := uint64(10), text
	switch {
	case len(text) > 2 && (text[1] == 'x' || text[1] == 'X'):
		base, digits = 16, text[2:]
	case text[0] == '0':
		base = 8
	}
	n := uint64(0)
	for i := 0; i < len(digits); i++ {
		d := uint64(digits[i] - '0')
		if d > 9 {
			d = uint64(digits[i]|0x20) - 'a' + 10
		}
		if d >= base {
			p.fail(t.span, "a number that begins with 0 is octal", "%s has a digit that is not octal", text)
		}
		if n = n*base + d; n > 1<<32-1 {
			p.fail(t.span, "", "%s does not fit 32 bits", text)
		}
	}
	return uint32(n)
}

// value parses one name, number or address.
func (p *parser) value(q Qual) Node {
	t := p.tok
	v := Value{Text: p.text(t.span)}
	switch t.kind {
	case tID:
		v.Kind, v.Text = Name, strings.TrimPrefix(v.Text, `\`)
	case tDotted:
		v.Kind = Dotted
	case tSix:
		v.Kind = Six
	case tMAC:
		v.Kind = MAC
	default:
		hint := ""
		if t.kind == tProto {
			hint = `a protocol's name that is a value has a backslash before it: \` + v.Text
		}
		if t.kind == tEOF || hint == "" {
			p.unexpected("a name, number or address")
		}
		p.fail(t.span, hint, "%q where a name, number or address is expected", v.Text)
	}
	p.advance()
	at := t.span
	if t.kind == tMAC {
		p.needs(q, at, "ether host")
	}
	p.needs(q, at, "host")
	switch {
	case (t.kind == tDotted || t.kind == tSix) && p.tok.kind == tCalc && CalcOp(p.tok.val) == Div:
		p.advance()
		n := p.num()
		v.Num, at.end = n.Val, n.end
		v.Kind = Prefix
		if t.kind == tSix {
			v.Kind = Prefix6
		}
	case t.kind == tDotted && p.tok.kind == tMask:
		p.advance()
		if p.tok.kind != tDotted {
			p.unexpected("a mask such as 255.255.255.0")
		}
		v.Kind, v.Mask, at.end = Masked, p.text(p.tok.span), p.tok.end
		p.advance()
	}
	return &ID{at, q, v}
}

// qualified parses the qualifiers after a protocol, if there is one, and the ID.
func (p *parser) qualified(proto Proto) operand {
	start := p.tok
	q := Qual{Proto: proto, given: true}
	if p.tok.kind == tDir {
		q.Dir = p.dir()
	}
	switch {
	case p.tok.kind == tType && (Type(p.tok.val) != Gateway || q.Dir == AnyDir):
		q.Type = Type(p.tok.val)
		p.advance()
	case p.tok.kind == tIsProto && q.Dir == AnyDir:
		q.Type = ProtoType
		p.advance()
	case p.tok.kind == tIsChain && q.Dir == AnyDir:
		q.Type = ProtoChain
		p.advance()
	}
	n := p.id(q)
	return operand{kind: isTest, node: n, q: q, span: span{start.pos, p.endOf(n)}}
}

// dir parses a direction: src, dst, src or dst, ra …
func (p *parser) dir() Dir {
	d := Dir(p.tok.val)
	p.advance()
	if d != Src && d != Dst || p.tok.kind != tAnd && p.tok.kind != tOr {
		return d
	}
	both := SrcAndDst
	if p.tok.kind == tOr {
		both = SrcOrDst
	}
	p.advance()
	if p.tok.kind != tDir || p.tok.val != uint32(Src+Dst-d) {
		p.unexpected(dirNames[Src+Dst-d])
	}
	p.advance()
	return both
}

// protoHints are what a value after a protocol may have been meant to be.
var protoHints = [numProtos]string{
	Link: "%s host, %s proto", IP: "%s host, %s proto", IP6: "%s host, %s proto", ARP: "%s host, %s net", RARP: "%s host, %s net",
	TCP: "%s port, %s portrange", UDP: "%s port, %s portrange", SCTP: "%s port, %s portrange", DECnet: "%s host, %s src",
}

// proto parses what begins with a protocol: alone, as a qualifier, or its bytes.
func (p *parser) proto(q Qual) operand {
	t := p.tok
	proto := Proto(t.val)
	p.advance()
	switch p.tok.kind {
	case tBracket:
		return p.relation(p.arithFrom(p.load(t), noPrec), q)
	case tDir, tType, tIsProto, tIsChain:
		return p.qualified(proto)
	case tCast, tWLANType, tWLANSubtype, tWLANDir:
		return operand{kind: isTest, node: p.primitive(proto), span: t.span}
	case tNum, tID, tDotted, tSix, tMAC:
		if protoHints[proto] == "" || isWord(p.text(p.tok.span)) {
			break
		}
		word := p.text(t.span)
		p.fail(p.tok.span, fmt.Sprintf(protoHints[proto], word, word), "%q after %q needs a word that says what it is", p.text(p.tok.span), word)
	}
	return operand{kind: isTest, node: &Abbrev{t.span, proto}, span: t.span}
}
