package expr

import "strings"

// wordShape says what follows a keyword.
type wordShape uint8

const (
	alone     wordShape = iota
	needsNum            // a number
	mayNum              // perhaps a number, parentheses around it allowed
	needsName           // a name
	nameOrNum           // a name or a number
	isByte              // number, operator, number
	isLLC               // perhaps a name
	isATM
)

var shapes = [numWords]wordShape{
	Less: needsNum, Greater: needsNum, Byte: isByte, Inbound: alone, Outbound: alone, IfIndex: needsNum,
	VLAN: mayNum, MPLS: mayNum, PPPoED: alone, PPPoES: mayNum, Geneve: mayNum, VXLAN: mayNum, LLC: isLLC,
	IfName: needsName, RuleSet: needsName, RuleNum: needsNum, SubRuleNum: needsNum, Reason: nameOrNum, Action: needsName, ATM: isATM,
}

// primitive parses a keyword with what belongs to it; proto is the protocol before it.
func (p *parser) primitive(proto Proto) Node {
	t := p.tok
	switch t.kind {
	case tCast:
		p.advance()
		return &Cast{t.span, proto, t.val == 1}
	case tWLANType, tWLANSubtype, tWLANDir:
		return p.wlan()
	case tWord:
		return p.word()
	}
	p.unexpected("a test")
	return nil
}

// word parses a keyword of its own.
func (p *parser) word() Node {
	t := p.tok
	n := &Primitive{span: t.span, Word: Word(t.val)}
	p.advance()
	switch shapes[n.Word] {
	case needsNum:
		n.HasNum, n.Num = true, p.num().Val
	case mayNum:
		if p.tok.kind == tNum || p.tok.kind == tParen {
			n.HasNum, n.Num = true, p.pnum().Val
		}
	case needsName:
		n.Name = p.name("a name")
	case nameOrNum:
		if p.tok.kind == tNum {
			n.HasNum, n.Num = true, p.num().Val
		} else {
			n.Name = p.name("a name or number")
		}
	case isLLC:
		switch {
		case p.tok.kind == tID:
			n.Name = strings.ToLower(p.name("a type"))
		case p.tok.kind == tWord && Word(p.tok.val) == RuleNum && p.text(p.tok.span) == "rnr":
			n.Name = "rnr"
			p.advance()
		}
	case isByte:
		p.byteTest(n)
	case isATM:
		p.fail(t.span, "", "%q is about ATM or SS7 links, which are not supported", p.text(t.span))
	}
	return n
}

// name parses a name.
func (p *parser) name(want string) string {
	if p.tok.kind != tID {
		p.unexpected(want)
	}
	text := strings.TrimPrefix(p.text(p.tok.span), `\`)
	p.advance()
	return text
}

// byteTest parses `byte N op N`.
func (p *parser) byteTest(n *Primitive) {
	n.HasNum, n.Num = true, p.num().Val
	text := p.text(p.tok.span)
	if len(text) != 1 || strings.IndexByte("=<>&|", text[0]) < 0 {
		p.unexpected("one of = < > & |")
	}
	n.Op = text[0]
	p.advance()
	n.Value = p.num().Val
}

// wlan parses `type T`, `type T subtype S`, `subtype S`, `dir D`.
func (p *parser) wlan() Node {
	t := p.tok
	n := &WLAN{span: t.span}
	p.advance()
	switch t.kind {
	case tWLANDir:
		n.Dir, n.Mask = true, 0x03
		n.Value = p.wlanValue("an 802.11 direction: nods, tods, fromds, dstods", 0xff, wlanDirs)
		return n
	case tWLANType:
		n.Mask = 0x0c
		n.Value = p.wlanValue("an 802.11 type: mgt, ctl, data", 0x0c, wlanTypes)
		if p.tok.kind == tWLANSubtype {
			p.advance()
			n.Mask = 0xfc
			n.Value |= p.wlanValue("a subtype of this 802.11 type", 0xf0, subtypesOf(n.Value))
		}
		return n
	}
	n.Mask = 0xfc
	if p.tok.kind != tID {
		p.unexpected("the name of an 802.11 subtype")
	}
	name := strings.ToLower(p.text(p.tok.span))
	for _, s := range wlanSubtypes {
		if v, ok := s.names[name]; ok {
			n.Value = s.typ | v
			p.advance()
			return n
		}
	}
	p.fail(p.tok.span, "", "%q is not an 802.11 subtype", name)
	return nil
}

// subtypesOf returns the names of the subtypes of an 802.11 type, none for the reserved one.
func subtypesOf(typ uint8) map[string]uint8 {
	for _, s := range wlanSubtypes {
		if s.typ == typ {
			return s.names
		}
	}
	return nil
}

// wlanValue parses a name of a table, or a number that has no bits outside a mask.
func (p *parser) wlanValue(want string, mask uint32, names map[string]uint8) uint8 {
	t := p.tok
	switch t.kind {
	case tNum:
		n := p.num().Val
		if n&^mask != 0 {
			p.fail(t.span, "", "%#x has bits outside %#x, it is not %s", n, mask, want)
		}
		return uint8(n)
	case tID:
		v, ok := names[strings.ToLower(strings.TrimPrefix(p.text(t.span), `\`))]
		if !ok {
			p.fail(t.span, "", "%q is not %s", p.text(t.span), want)
		}
		p.advance()
		return v
	}
	p.unexpected(want)
	return 0
}
