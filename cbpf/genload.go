package cbpf

// base is what an offset is counted from.
type base uint8

const (
	fromLink     base = iota // the link-layer header
	fromLinkType             // the link layer's type field
	fromLLC                  // the link layer's payload, where an 802.2 header is
	fromNet                  // the network layer's header
	fromNetNoSnap
	fromLabel // the MPLS label before
	fromIPv4  // what follows the IPv4 header
	fromIPv6  // what follows the fixed IPv6 header
)

// ipv6Header is the length of the fixed IPv6 header (RFC 8200 section 3).
const ipv6Header = 40

// load returns statements that load bytes of the packet into A.
func (g *gen) load(from base, off uint32, size uint16) []Insn {
	switch from {
	case fromLink:
		return g.loadAt(&g.linkHdr, off, size)
	case fromLinkType:
		return g.loadAt(&g.linkType, off, size)
	case fromLLC:
		return g.loadAt(&g.payload, off, size)
	case fromNet:
		return g.loadAt(&g.payload, g.nl+off, size)
	case fromNetNoSnap:
		return g.loadAt(&g.payload, g.nlNoSnap+off, size)
	case fromLabel:
		return g.loadAt(&g.payload, g.nl-4+off, size)
	case fromIPv6:
		return g.loadAt(&g.payload, g.nl+ipv6Header+off, size)
	}
	s := g.headerLength()
	return append(s, Insn{Op: ClassLd | size | ModeInd, K: g.payload.k + g.nl + off})
}

// loadAt loads bytes at a distance from a place.
func (g *gen) loadAt(o *offset, off uint32, size uint16) []Insn {
	if o.variable {
		return g.stmts(g.loadX(o), Insn{Op: ClassLd | size | ModeInd, K: o.k + off})
	}
	return g.stmts(Insn{Op: ClassLd | size | ModeAbs, K: o.k + off})
}

// loadX loads the variable part of a place into X.
func (g *gen) loadX(o *offset) Insn {
	if o.reg == noReg {
		o.reg = g.alloc()
	}
	return Insn{Op: ClassLdx | ModeMem, K: uint32(o.reg)}
}

// headerLength loads the length of the IPv4 header into X, with the variable part of where it begins added.
func (g *gen) headerLength() []Insn {
	k := g.payload.k + g.nl
	if !g.payload.variable {
		return g.stmts(Insn{Op: ClassLdx | SizeB | ModeMsh, K: k})
	}
	return g.stmts(
		g.loadX(&g.payload),
		Insn{Op: ClassLd | SizeB | ModeInd, K: k},
		Insn{Op: ClassAlu | AluAnd | SrcK, K: 0xf},
		Insn{Op: ClassAlu | AluLsh | SrcK, K: 2},
		Insn{Op: ClassAlu | AluAdd | SrcX},
		Insn{Op: ClassMisc | MiscTax},
	)
}

// cmp compares bytes of the packet with a value.
func (g *gen) cmp(from base, off uint32, size uint16, val uint32) condID {
	return g.test(g.load(from, off, size), JmpEq, val)
}

// cmpOp is cmp with another comparison.
func (g *gen) cmpOp(from base, off uint32, size uint16, op uint16, val uint32) condID {
	return g.test(g.load(from, off, size), op, val)
}

// mask compares some bits of bytes of the packet.
func (g *gen) mask(from base, off uint32, size uint16, val, mask uint32) condID {
	s := g.load(from, off, size)
	if mask != 0xffffffff {
		s = append(s, Insn{Op: ClassAlu | AluAnd | SrcK, K: mask})
	}
	return g.test(s, JmpEq, val)
}

// bytes compares a run of bytes, its end first.
func (g *gen) bytes(from base, off uint32, want []byte) condID {
	c := noCond
	n := len(want)
	for n >= 4 {
		w := want[n-4 : n]
		n -= 4
		c = g.and(c, g.cmp(from, off+uint32(n), SizeW, uint32(w[0])<<24|uint32(w[1])<<16|uint32(w[2])<<8|uint32(w[3])))
	}
	for n >= 2 {
		w := want[n-2 : n]
		n -= 2
		c = g.and(c, g.cmp(from, off+uint32(n), SizeH, uint32(w[0])<<8|uint32(w[1])))
	}
	if n > 0 {
		c = g.and(c, g.cmp(from, off, SizeB, uint32(want[0])))
	}
	return c
}
