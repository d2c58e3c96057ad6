package cbpf

import "github.com/skepvm/skep/cbpf/expr"

// primitive generates a keyword of its own.
func (g *gen) primitive(n *expr.Primitive) condID {
	switch n.Word {
	case expr.Less:
		return g.not(g.test(g.stmts(Insn{Op: ClassLd | ModeLen}), JmpGt, n.Num))
	case expr.Greater:
		return g.test(g.stmts(Insn{Op: ClassLd | ModeLen}), JmpGe, n.Num)
	case expr.Byte:
		return g.byteTest(n)
	case expr.Inbound, expr.Outbound:
		return g.direction(n.Word == expr.Outbound)
	case expr.IfIndex:
		if g.link != linkSLL2 {
			if g.opts.LinuxExt {
				return g.test(g.stmts(kernelSays(AncIfIndex, SizeW)), JmpEq, n.Num)
			}
			g.fail("", "%s no interface number", g.packets())
		}
		return g.cmp(fromLink, 4, SizeW, n.Num)
	case expr.VLAN:
		return g.vlan(n)
	case expr.MPLS:
		return g.mpls(n)
	case expr.PPPoED:
		return g.protocolType(etherPPPoED)
	case expr.PPPoES:
		return g.pppoe(n)
	case expr.Geneve:
		return g.geneve(n)
	case expr.LLC:
		return g.llc(n.Name)
	case expr.VXLAN:
		return g.vxlan(n)
	}
	g.fail("", "%v is about packets that OpenBSD's pf logged, which are not supported", n.Word)
	return noCond
}

// byteTest is `byte N op V`.
func (g *gen) byteTest(n *expr.Primitive) condID {
	switch n.Op {
	case '=':
		return g.cmp(fromLink, n.Num, SizeB, n.Value)
	case '>':
		return g.cmpOp(fromLink, n.Num, SizeB, JmpGt, n.Value)
	case '<':
		return g.not(g.cmpOp(fromLink, n.Num, SizeB, JmpGe, n.Value))
	}
	// libpcap forgets to load the byte: what it makes of this depends on what came before.
	g.fail("link[N] & VALUE != 0 says what is meant", "byte with %c doesn't work in libpcap and is not supported", n.Op)
	return noCond
}

// direction is inbound or outbound, which cooked headers know, and Linux.
func (g *gen) direction(out bool) condID {
	const outgoing = 4 // Linux: PACKET_OUTGOING
	var c condID
	switch g.link {
	case linkSLL:
		c = g.cmp(fromLink, 0, SizeH, outgoing)
	case linkSLL2:
		c = g.cmp(fromLink, 10, SizeB, outgoing)
	default:
		if !g.opts.LinuxExt {
			g.fail("", "%s no direction", g.packets())
		}
		c = g.test(g.stmts(kernelSays(AncPktType, SizeH)), JmpEq, outgoing)
	}
	if !out {
		c = g.not(c)
	}
	return c
}

// llcTypes are the types of 802.2 frames: the bits of the control field that are looked at, and what they are.
var llcTypes = map[string]struct{ val, mask uint32 }{
	"s": {0x01, 0x03}, "u": {0x03, 0x03}, "rr": {0x01, 0x0f}, "rnr": {0x05, 0x0f}, "rej": {0x09, 0x0f},
	"ui": {0x03, 0xef}, "ua": {0x63, 0xef}, "disc": {0x43, 0xef}, "dm": {0x0f, 0xef}, "sabme": {0x6f, 0xef},
	"test": {0xe3, 0xef}, "xid": {0xaf, 0xef}, "frmr": {0x87, 0xef},
}

// llc is `llc`, perhaps with a type.
func (g *gen) llc(name string) condID {
	var c condID
	switch g.link {
	case linkEthernet:
		length := g.is8023()
		c = g.and(length, g.not(g.cmp(fromLLC, 0, SizeH, 0xffff))) // 0xffff: Novell's 802.3 without 802.2
	case linkWLAN:
		c = g.dataFrame()
	default:
		g.fail("", "%s no 802.2 header", g.packets())
	}
	switch t, ok := llcTypes[name]; {
	case name == "":
		return c
	case name == "i":
		return g.and(c, g.not(g.cmpOp(fromLLC, 2, SizeB, JmpSet, 1)))
	case ok:
		return g.and(c, g.mask(fromLLC, 2, SizeB, t.val, t.mask))
	}
	g.fail("", "no 802.2 frame is called %q", name)
	return noCond
}

// vlan is `vlan`: everything after it is about what the tag is followed by.
func (g *gen) vlan(n *expr.Primitive) condID {
	if g.labels > 0 {
		g.fail("", "a VLAN tag can't be found behind mpls")
	}
	if g.link != linkEthernet && g.link != linkWLAN || g.link == linkWLAN && g.radio == ppiRadio {
		g.fail("", "%s no VLAN tags", g.packets())
	}
	if n.Num > 0xfff {
		g.fail("", "%d is not a VLAN, they are 0 to 4095", n.Num)
	}
	if g.opts.LinuxExt && g.atFrame() && !g.payload.variable {
		return g.takenTag(n)
	}
	c := g.tagged()
	if n.HasNum {
		c = g.and(c, g.mask(fromNet, 0, SizeH, n.Num, tagVLAN))
	}
	g.payload.k += 4
	g.linkType.k += 4
	return c
}

// tagVLAN are the bits of a tag that say which VLAN it is.
const tagVLAN = 0x0fff

// tagged tests for the Ethernet types of a VLAN tag.
func (g *gen) tagged() condID {
	c := g.or(g.protocolType(etherVLAN), g.protocolType(etherQinQ))
	return g.or(c, g.protocolType(etherQinQ91))
}

// atFrame says if the innermost link layer is the Ethernet header that the packet begins with.
func (g *gen) atFrame() bool {
	return g.outerKind == linkEthernet && g.link == linkEthernet && !g.inGeneve
}

// kernelSays loads what Linux knows of a packet beside its bytes.
func kernelSays(a Ancillary, size uint16) Insn {
	return Insn{Op: ClassLd | size | ModeAbs, K: AncillaryOff + uint32(a)}
}

// takenTag is the first `vlan` of a filter that runs in Linux: the kernel takes the tag off and keeps it beside the
// packet. Where it hasn't, the tag is in the frame and what follows is 4 bytes further on, which is in memory then.
func (g *gen) takenTag(n *expr.Primitive) condID {
	present := func() condID {
		return g.test(g.stmts(kernelSays(AncVLANPresent, SizeB)), JmpEq, 1)
	}
	inFrame := g.tagged()
	vid := []Insn{{Op: ClassLd | SizeH | ModeAbs, K: g.payload.k + g.nl}}
	g.payload.reg, g.linkType.reg = g.alloc(), g.alloc()
	g.payload.variable, g.linkType.variable = true, true
	g.tagRegs = []int8{g.payload.reg, g.linkType.reg}
	var further []Insn
	for _, reg := range g.tagRegs {
		further = append(further, toA(reg), Insn{Op: ClassAlu | AluAdd | SrcK, K: 4}, fromA(reg))
	}
	g.before(inFrame, further)
	c := g.or(present(), inFrame)
	if !n.HasNum {
		return c
	}
	tag := g.newCond(condition{kind: condPick, a: present(), b: g.run([]Insn{kernelSays(AncVLANTag, SizeB)}), c: g.run(vid)})
	is := g.test([]Insn{{Op: ClassAlu | AluAnd | SrcK, K: tagVLAN}}, JmpEq, n.Num)
	return g.and(c, g.and(tag, is))
}

// before puts statements at the beginning of a condition.
func (g *gen) before(head condID, s []Insn) {
	for g.conds[head].kind != condTest {
		head = g.conds[head].a
	}
	g.conds[head].stmts = append(s, g.conds[head].stmts...)
}

// noEncapsulation refuses to look inside what has headers of variable length before it: libpcap's code then takes lengths
// from memory where nothing was stored.
func (g *gen) noEncapsulation(broken bool) {
	if broken {
		g.fail("", "%v is not supported in captures of link type %v", g.at, g.outer)
	}
}

// mpls is `mpls`: everything after it is about what the label is followed by.
func (g *gen) mpls(n *expr.Primitive) condID {
	if n.Num > 0xfffff {
		g.fail("", "%d is not an MPLS label, they are 0 to 1048575", n.Num)
	}
	var c condID
	switch {
	case g.labels > 0:
		c = g.mask(fromLabel, 2, SizeB, 0, 0x01) // the label before is not the last
	case g.link == linkPPP:
		c = g.protocolType(0x0281)
	case g.link == linkEthernet:
		c = g.protocolType(etherMPLS)
	default:
		g.fail("", "%s no MPLS labels", g.packets())
	}
	if n.HasNum {
		c = g.and(c, g.mask(fromNet, 0, SizeW, n.Num<<12, 0xfffff000))
	}
	g.labels++
	g.nl += 4
	g.nlNoSnap += 4
	return c
}

// pppoe is `pppoes`: everything after it is about the PPP packet inside.
func (g *gen) pppoe(n *expr.Primitive) condID {
	if n.Num > 0xffff {
		g.fail("", "%d is not a PPPoE session, they are 0 to 65535", n.Num)
	}
	g.noEncapsulation(g.radio != noRadio)
	c := g.protocolType(etherPPPoES)
	if n.HasNum {
		c = g.and(c, g.mask(fromNet, 0, SizeW, n.Num, 0xffff))
	}
	g.link, g.inGeneve, g.hasType = linkPPP, false, true
	g.linkHdr = g.payload
	g.linkHdr.k += g.nl + 6
	g.linkType = g.linkHdr
	g.payload = g.linkHdr
	g.payload.k += 2
	g.nl, g.nlNoSnap = 0, 0
	return c
}
