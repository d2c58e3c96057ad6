package cbpf

import "github.com/skepvm/skep/cbpf/expr"

// computed is arithmetic that has been generated: statements that leave the result in a word of scratch memory, and what a
// packet must be for it to make sense.
type computed struct {
	stmts []Insn
	reg   int8
	check condID
}

func toX(reg int8) Insn   { return Insn{Op: ClassLdx | ModeMem, K: uint32(reg)} }
func toA(reg int8) Insn   { return Insn{Op: ClassLd | ModeMem, K: uint32(reg)} }
func fromA(reg int8) Insn { return Insn{Op: ClassSt, K: uint32(reg)} }

// relation generates a comparison.
func (g *gen) relation(n *expr.Relation) condID {
	x := g.arith(n.X)
	y := g.arith(n.Y)
	g.at = n
	s := append(append(x.stmts, y.stmts...), toX(y.reg), toA(x.reg))
	op, negate := uint16(0), false
	switch n.Op {
	case expr.Gt, expr.Le:
		op, negate = JmpGt|SrcX, n.Op == expr.Le
	case expr.Ge, expr.Lt:
		op, negate = JmpGe|SrcX, n.Op == expr.Lt
	default:
		s = append(s, Insn{Op: ClassAlu | AluSub | SrcX})
		op, negate = JmpEq|SrcK, n.Op == expr.Ne
	}
	c := g.test(s, op, 0)
	if negate {
		c = g.not(c)
	}
	g.release(x.reg)
	g.release(y.reg)
	return g.and(g.and(x.check, y.check), c)
}

// store ends a value with putting A into a new word.
func (g *gen) store(stmts []Insn, check condID) computed {
	if len(stmts) > maxConds {
		g.tooLong()
	}
	reg := g.alloc()
	return computed{append(stmts, fromA(reg)), reg, check}
}

// arith generates arithmetic.
func (g *gen) arith(a expr.Arith) computed {
	switch a := a.(type) {
	case *expr.Num:
		return g.store([]Insn{{Op: ClassLd | ModeImm, K: a.Val}}, noCond)
	case *expr.Len:
		return g.store([]Insn{{Op: ClassLd | ModeLen}}, noCond)
	case *expr.Neg:
		x := g.arith(a.X)
		x.stmts = append(x.stmts, toA(x.reg), Insn{Op: ClassAlu | AluNeg}, fromA(x.reg))
		return x
	case *expr.Calc:
		return g.calc(a)
	}
	return g.access(a.(*expr.Load))
}

var aluOps = [...]uint16{expr.Add: AluAdd, expr.Sub: AluSub, expr.Mul: AluMul, expr.Div: AluDiv, expr.Mod: AluMod,
	expr.And: AluAnd, expr.Or: AluOr, expr.Xor: AluXor, expr.Lsh: AluLsh, expr.Rsh: AluRsh}

// calc generates an operation. As in libpcap the result is only as checked as its left side: `1 + tcp[0]` doesn't ask
// if the packet is TCP.
func (g *gen) calc(n *expr.Calc) computed {
	x := g.arith(n.X)
	y := g.arith(n.Y)
	g.at = n
	if k, isNum := leading(y.stmts); isNum {
		switch {
		case n.Op == expr.Div && k == 0:
			g.fail("", "division by zero")
		case n.Op == expr.Mod && k == 0:
			g.fail("", "modulus by zero")
		case (n.Op == expr.Lsh || n.Op == expr.Rsh) && k > 31:
			g.fail("", "shift by more than 31 bits")
		}
	}
	s := append(append(x.stmts, y.stmts...), toX(y.reg), toA(x.reg), Insn{Op: ClassAlu | aluOps[n.Op] | SrcX})
	g.release(x.reg)
	g.release(y.reg)
	return g.store(s, x.check)
}

// leading returns the number that a value's statements begin with. libpcap looks no further than that: `4 / (0 + 2)` is
// refused too.
func leading(s []Insn) (uint32, bool) {
	return s[0].K, s[0].Op == ClassLd|ModeImm
}

var loadSizes = [...]uint16{1: SizeB, 2: SizeH, 4: SizeW}

// access generates `proto[off:size]`.
func (g *gen) access(n *expr.Load) computed {
	off := g.arith(n.Off)
	g.at = n
	reg := g.alloc()
	g.release(off.reg)
	size := loadSizes[n.Size]
	s, check := off.stmts, off.check
	switch n.Proto {
	case expr.Radio:
		if !radioLinks[g.outer] {
			g.fail("", "packets of link type %v have no radio header", g.outer)
		}
		s = append(s, toX(off.reg), Insn{Op: ClassLd | size | ModeInd})
	case expr.Link:
		s = g.accessAt(s, off.reg, size, &g.linkHdr, g.linkHdr.k)
	case expr.ARP, expr.RARP, expr.AppleTalk, expr.DECnet, expr.LAT, expr.SCA, expr.MOPRC, expr.MOPDL, expr.IP, expr.IP6:
		s = g.accessAt(s, off.reg, size, &g.payload, g.payload.k+g.nl)
		check = g.and(check, g.abbrev(n.Proto))
	case expr.SCTP, expr.TCP, expr.UDP, expr.ICMP, expr.IGMP, expr.IGRP, expr.PIM, expr.VRRP, expr.CARP:
		s = append(append(s, g.headerLength()...), toA(off.reg), Insn{Op: ClassAlu | AluAdd | SrcX}, Insn{Op: ClassMisc | MiscTax},
			Insn{Op: ClassLd | size | ModeInd, K: g.payload.k + g.nl})
		// only an IPv4 packet that is whole, or the first fragment, has the header there
		c := g.and(g.abbrev(n.Proto), g.notFragment())
		check = g.and(g.abbrev(expr.IP), g.and(check, c))
	case expr.ICMP6:
		check = g.and(check, g.abbrev(expr.IP6))
		check = g.and(check, g.cmp(fromNet, 6, SizeB, protoICMP6))
		s = g.accessAt(s, off.reg, size, &g.payload, g.payload.k+g.nl+ipv6Header)
	default:
		g.fail("", "bytes of %v can't be accessed by name", n.Proto)
	}
	s = append(s, fromA(reg))
	return computed{s, reg, check}
}

// accessAt loads bytes at a computed distance from a place.
func (g *gen) accessAt(s []Insn, reg int8, size uint16, o *offset, k uint32) []Insn {
	if o.variable {
		s = append(s, g.loadX(o), toA(reg), Insn{Op: ClassAlu | AluAdd | SrcX}, Insn{Op: ClassMisc | MiscTax})
	} else {
		s = append(s, toX(reg))
	}
	return append(s, Insn{Op: ClassLd | size | ModeInd, K: k})
}
