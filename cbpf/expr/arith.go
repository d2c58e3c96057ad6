package expr

// Precedence of arithmetic operators: higher binds tighter. % and ^ have none in libpcap's grammar, which has a
// consequence that filters depend on: everything to the right of them is taken first, and they are taken before what is
// to the left. `6 * 4 % 2` is 6 * (4 % 2), `7 % 4 * 2` is 7 % (4 * 2).
const (
	noPrec    = 0
	unaryPrec = 10
)

var precedence = [...]int{Or: 1, And: 2, Lsh: 3, Rsh: 3, Add: 4, Sub: 4, Mul: 5, Div: 5, Mod: noPrec, Xor: noPrec}

// relation parses the rest of a comparison whose left side begins with o. When there is none, o stays a number.
func (p *parser) relation(o operand, q Qual) operand {
	if p.tok.kind == tCalc {
		o = p.arithFrom(o, noPrec)
	}
	if p.tok.kind != tRel {
		o.q = q
		return o
	}
	op := p.tok
	p.advance()
	y := p.arith(noPrec)
	return operand{kind: isTest, node: &Relation{op.span, RelOp(op.val), o.num, y.num}, span: span{o.span.pos, y.span.end}}
}

// arith parses arithmetic to the right of an operator with a precedence.
func (p *parser) arith(prec int) operand { return p.arithFrom(p.arithOperand(), prec) }

// arithFrom is arith when the first operand has been read.
func (p *parser) arithFrom(x operand, prec int) operand {
	for p.tok.kind == tCalc {
		op := p.tok
		opPrec := precedence[op.val]
		if prec != noPrec && opPrec != noPrec && opPrec <= prec {
			break
		}
		p.enter()
		p.advance()
		y := p.arith(opPrec)
		p.leave()
		x = operand{kind: isArith, num: &Calc{op.span, CalcOp(op.val), x.num, y.num}, span: span{x.span.pos, y.span.end}}
	}
	return x
}

// arithOperand parses a number, a length, bytes of a header, or arithmetic in parentheses or with a sign.
func (p *parser) arithOperand() operand {
	t := p.tok
	switch t.kind {
	case tNum:
		n := p.num()
		return operand{kind: isNum, num: n, span: n.span}
	case tLen:
		p.advance()
		return operand{kind: isArith, num: &Len{t.span}, span: t.span}
	case tProto:
		p.advance()
		return p.load(t)
	case tCalc:
		if CalcOp(t.val) != Sub {
			break
		}
		p.enter()
		p.advance()
		x := p.arith(unaryPrec)
		p.leave()
		return operand{kind: isArith, num: &Neg{t.span, x.num}, span: span{t.pos, x.span.end}}
	case tParen:
		p.enter()
		p.advance()
		x := p.arith(noPrec)
		p.leave()
		if p.tok.kind != tClose {
			p.unexpected(`")"`)
		}
		x.span = span{t.pos, p.tok.end}
		p.advance()
		return x
	}
	p.unexpected("a number, len, or bytes of a header such as ip[0]")
	return operand{}
}

// load parses the bracket after a protocol.
func (p *parser) load(proto token) operand {
	if p.tok.kind != tBracket {
		p.unexpected(`"["`)
	}
	p.enter()
	p.advance()
	off := p.arith(noPrec)
	p.leave()
	l := &Load{proto.span, Proto(proto.val), off.num, 1}
	if p.tok.kind == tColon {
		p.advance()
		size := p.num()
		if size.Val != 1 && size.Val != 2 && size.Val != 4 {
			p.fail(size.span, "", "%d bytes can't be loaded at once, only 1, 2 or 4", size.Val)
		}
		l.Size = size.Val
	}
	if p.tok.kind != tUnbracket {
		p.unexpected(`"]"`)
	}
	s := span{proto.pos, p.tok.end}
	p.advance()
	return operand{kind: isArith, num: l, span: s}
}
