package cbpf

import "github.com/skepvm/skep/cbpf/expr"

// Tunnels over UDP: Geneve (RFC 8926) and VXLAN (RFC 7348). Both have flags in the first byte and a virtual network's
// identifier in the three bytes from the fourth on. Offsets are from the UDP header.
const (
	genevePort    = 6081
	vxlanPort     = 4789
	tunnelFlagsAt = 8
	tunnelVNIAt   = 12
	udpHeader     = 8
	vxlanHeader   = 8
)

// geneve is `geneve`: everything after it is about what Geneve carries. How long its header is says the packet, so the
// places of what follows are in scratch memory from here on.
func (g *gen) geneve(n *expr.Primitive) condID {
	c := g.tunnel(n, genevePort, 0, 0xc0) // version 0
	return g.and(c, g.geneveOffsets())
}

// vxlan is `vxlan`: everything after it is about the Ethernet frame that VXLAN carries.
func (g *gen) vxlan(n *expr.Primitive) condID {
	c := g.tunnel(n, vxlanPort, 0x08, 0x08) // the flag I: there is an identifier
	reg := g.alloc()
	at := g.payload.k + g.nl + udpHeader + vxlanHeader
	c = g.and(c, g.run([]Insn{fromA(reg)}))
	frame := func(k uint32) offset { return offset{k: at + k, variable: true, reg: reg} }
	g.link, g.inGeneve, g.hasType = linkEthernet, false, true
	g.linkHdr, g.linkType, g.payload = frame(0), frame(12), frame(14)
	g.nl, g.nlNoSnap, g.labels = 0, 3, 0
	return c
}

// tunnel tests for a tunnel over UDP in either version of IP, and leaves in A the length of what stands before the UDP
// header, from the end of the constant part of the payload's offset.
func (g *gen) tunnel(n *expr.Primitive, port, flags, mask uint32) condID {
	if n.Num > 0xffffff {
		g.fail("", "%d is not a virtual network, they are 0 to 16777215", n.Num)
	}
	g.noEncapsulation(g.outerKind == linkWLAN)
	over := func(etherType uint32, base base) condID {
		c := g.portsOver(etherType, expr.Dst, port, port, expr.OverUDP, false)
		c = g.and(c, g.mask(base, tunnelFlagsAt, SizeB, flags, mask))
		if n.HasNum {
			c = g.and(c, g.mask(base, tunnelVNIAt, SizeW, n.Num<<8, 0xffffff00))
		}
		return c
	}
	v4 := over(etherIP, fromIPv4)
	length := append(g.headerLength(), Insn{Op: ClassMisc | MiscTxa})
	v4 = g.and(v4, g.test(length, JmpEq|SrcX, 0)) // A is X: always true, and A goes on to the block after
	v6 := over(etherIP6, fromIPv6)
	var s []Insn
	if g.payload.variable {
		s = append(s, g.loadX(&g.payload))
	}
	s = append(s, Insn{Op: ClassLd | ModeImm, K: ipv6Header})
	if g.payload.variable {
		s = append(s, Insn{Op: ClassAlu | AluAdd | SrcX})
	}
	s = append(s, Insn{Op: ClassMisc | MiscTax})
	v6 = g.and(v6, g.test(s, JmpEq|SrcX, 0))
	return g.or(v4, v6)
}

// geneveOffsets computes where Geneve's payload is, from what tunnel left in A.
func (g *gen) geneveOffsets() condID {
	typeReg := g.alloc()
	start := []Insn{
		{Op: ClassAlu | AluAdd | SrcK, K: g.payload.k + g.nl + udpHeader},
		{Op: ClassMisc | MiscTax},
		{Op: ClassAlu | AluAdd | SrcK, K: 2},
		fromA(typeReg), // the protocol field of the Geneve header, an Ethernet type
		{Op: ClassLd | SizeB | ModeInd},
		{Op: ClassAlu | AluAnd | SrcK, K: 0x3f},
		{Op: ClassAlu | AluMul | SrcK, K: 4},
		{Op: ClassAlu | AluAdd | SrcK, K: 8},
		{Op: ClassAlu | AluAdd | SrcX},
	}
	headReg := g.alloc()
	start = append(start, fromA(headReg), Insn{Op: ClassLd | SizeH | ModeInd, K: 2}, toX(headReg))
	isEthernet := g.test(start, JmpEq, etherTEB)
	inFrame := g.test([]Insn{
		{Op: ClassMisc | MiscTxa},
		{Op: ClassAlu | AluAdd | SrcK, K: 12},
		fromA(typeReg),
		{Op: ClassAlu | AluAdd | SrcK, K: 2},
		{Op: ClassMisc | MiscTax},
	}, JmpEq, 0)
	payloadReg := g.alloc()
	done := g.test([]Insn{{Op: ClassStx, K: uint32(payloadReg)}, {Op: ClassLd | ModeImm}}, JmpEq, 0)

	variable := func(reg int8) offset { return offset{variable: true, reg: reg} }
	g.link, g.inGeneve, g.hasType = linkEthernet, true, true
	g.linkHdr, g.linkType, g.payload = variable(headReg), variable(typeReg), variable(payloadReg)
	g.nl = 0 // nlNoSnap stays what it was, as in libpcap
	return g.and(g.newCond(condition{kind: condWhen, a: isEthernet, b: inFrame}), done)
}

// geneveEthernet tests, behind `geneve`, that there is an Ethernet header: the payload begins after the link layer.
func (g *gen) geneveEthernet() condID {
	if !g.inGeneve {
		return noCond
	}
	s := []Insn{toA(g.linkHdr.reg), toX(g.payload.reg)}
	return g.not(g.test(s, JmpEq|SrcX, 0))
}
