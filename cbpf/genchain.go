package cbpf

import "github.com/skepvm/skep/cbpf/expr"

// DefaultChainLength is how many headers `protochain` follows when nothing else is asked for.
const DefaultChainLength = 8

// Extension headers of IPv6 (IANA, IPv6 Extension Header Types) that have the length in eights of bytes at 1.
var chainHeaders = [...]uint32{0, 60, 43, protoFragment} // hop by hop, destination options, routing, fragment

// protoChain is `protochain`: the protocol behind IPv6's extension headers and IPsec's authentication header. libpcap's
// code has a loop there, which no kernel takes. Deviation: what is here follows ChainLength headers and gives up. It
// computes what libpcap computes: the place behind an authentication header from that header's length alone.
func (g *gen) protoChain(number uint32, over expr.Proto) condID {
	if g.payload.variable {
		g.fail("", "protochain can't follow headers whose place depends on others")
	}
	length := g.opts.ChainLength
	if length <= 0 {
		length = DefaultChainLength
	}
	switch over {
	case expr.None:
		v4 := g.protoChain(number, expr.IP)
		return g.or(v4, g.protoChain(number, expr.IP6))
	case expr.IP, expr.IP6:
	default:
		g.fail("ip protochain, ip6 protochain", "%v has no chain of headers", over)
	}
	at := g.payload.k + g.nl
	etherType := uint32(etherIP)
	start := []Insn{{Op: ClassLd | SizeB | ModeAbs, K: at + 9}, {Op: ClassLdx | SizeB | ModeMsh, K: at}}
	if over == expr.IP6 {
		etherType = etherIP6
		start = []Insn{{Op: ClassLd | SizeB | ModeAbs, K: at + 6}, {Op: ClassLdx | ModeImm, K: ipv6Header}}
	}
	is := g.protocolType(etherType)
	reg := g.alloc()
	c := g.test(nil, JmpEq, number)
	for i := range length {
		stmts := []Insn(nil)
		if i == length-1 {
			stmts = start
		}
		c = g.or(g.test(stmts, JmpEq, number), g.and(g.nextHeader(over, at, reg), c))
	}
	g.release(reg)
	return g.and(is, c)
}

// nextHeader goes on to the next header, when the protocol in A is one that has one: X is the place from at, in both.
func (g *gen) nextHeader(over expr.Proto, at uint32, reg int8) condID {
	auth := g.and(g.test(nil, JmpEq, protoAH), g.run([]Insn{
		{Op: ClassLd | SizeB | ModeInd, K: at},
		fromA(reg),
		{Op: ClassLd | SizeB | ModeInd, K: at + 1},
		{Op: ClassAlu | AluAdd | SrcK, K: 2},
		{Op: ClassAlu | AluMul | SrcK, K: 4},
		{Op: ClassMisc | MiscTax},
		toA(reg),
	}))
	if over == expr.IP {
		return auth
	}
	is := noCond
	for _, h := range chainHeaders {
		is = g.or(is, g.test(nil, JmpEq, h))
	}
	return g.or(g.and(is, g.run([]Insn{
		{Op: ClassLd | SizeB | ModeInd, K: at},
		fromA(reg),
		{Op: ClassLd | SizeB | ModeInd, K: at + 1},
		{Op: ClassAlu | AluAdd | SrcK, K: 1},
		{Op: ClassAlu | AluMul | SrcK, K: 8},
		{Op: ClassAlu | AluAdd | SrcX},
		{Op: ClassMisc | MiscTax},
		toA(reg),
	})), auth)
}
