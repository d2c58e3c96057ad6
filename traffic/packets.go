package traffic

import (
	"encoding/binary"
	"math/bits"
)

// EtherTypes.
const (
	etherIPv4  = 0x0800
	etherARP   = 0x0806
	etherVLAN  = 0x8100
	etherIPv6  = 0x86dd
	etherMPLS  = 0x8847
	etherSVLAN = 0x88a8
)

// IP protocol numbers.
const (
	protoHopByHop = 0
	protoICMP     = 1
	protoIGMP     = 2
	protoTCP      = 6
	protoUDP      = 17
	protoGRE      = 47
	protoESP      = 50
	protoAH       = 51
	protoICMPv6   = 58
	protoOSPF     = 89
	protoPIM      = 103
	protoVRRP     = 112
	protoL2TP     = 115
	protoSCTP     = 132
)

const minFrame = 60 // an Ethernet frame without its check sequence is never shorter

// host is an end of a conversation: numbers of the documentation networks.
type host struct {
	net, id uint8 // an index of nets
}

// The networks: three of documentation (RFC 5737), multicast of documentation (RFC 5771 section 9.2), broadcast.
var nets = [5][3]byte{{192, 0, 2}, {198, 51, 100}, {203, 0, 113}, {233, 252, 0}, {255, 255, 255}}

const (
	netMulticast = 3
	netBroadcast = 4
)

var broadcast = host{netBroadcast, 255}

func (h host) ipv4() [4]byte { n := nets[h.net]; return [4]byte{n[0], n[1], n[2], h.id} }

func (h host) ipv6() [16]byte { // RFC 3849; multicast: RFC 6676 section 3
	switch h.net {
	case netMulticast:
		return [16]byte{0xff, 0x0e, 12: 0xdb, 13: 0x8, 15: h.id}
	case netBroadcast: // all nodes of the link
		return [16]byte{0xff, 0x02, 15: 1}
	}
	return [16]byte{0x20, 0x01, 0x0d, 0xb8, 0, 0, 0, h.net, 15: h.id}
}

func (h host) mac() [6]byte {
	switch h.net {
	case netMulticast: // RFC 1112 section 6.4
		return [6]byte{1, 0, 0x5e, 0x7c, 0, h.id}
	case netBroadcast:
		return [6]byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}
	}
	return [6]byte{2, 0, 0, 0, h.net, h.id}
}

func (g *Generator) client() host { return host{uint8(g.rng.n(2)), uint8(1 + g.rng.n(250))} }
func (g *Generator) server() host { return host{2, uint8(1 + g.rng.n(30))} }

func (g *Generator) u8(v ...byte)           { g.b = append(g.b, v...) }
func (g *Generator) u16(v uint16)           { g.b = binary.BigEndian.AppendUint16(g.b, v) }
func (g *Generator) u32(v uint32)           { g.b = binary.BigEndian.AppendUint32(g.b, v) }
func (g *Generator) random(n int)           { at := g.rng.n(poolSize - n); g.b = append(g.b, g.pool[at:at+n]...) }
func (g *Generator) put16(at int, v uint16) { binary.BigEndian.PutUint16(g.b[at:], v) }

// pad fills a short frame up to Ethernet's minimum.
func (g *Generator) pad() {
	for len(g.b) < minFrame {
		g.b = append(g.b, 0)
	}
}

// ethernet writes a frame header with tags VLAN tags: one of VLAN 100, or one of service VLAN 200 before it.
func (g *Generator) ethernet(src, dst host, tags int, etherType uint16) {
	d, s := dst.mac(), src.mac()
	g.u8(d[:]...)
	g.u8(s[:]...)
	if tags == 2 {
		g.u16(etherSVLAN)
		g.u16(200)
	}
	if tags > 0 {
		g.u16(etherVLAN)
		g.u16(3<<13 | 100)
	}
	g.u16(etherType)
}

// ipHeader is what differs between IP headers.
type ipHeader struct {
	src, dst host
	v6       bool
	proto    uint8
	options  bool   // IPv4: a timestamp option; IPv6: a hop-by-hop header
	frag     uint16 // IPv4: flags and fragment offset
	id       uint16
	payload  int // bytes that follow
}

// size is the header's length in bytes.
func (h *ipHeader) size() int {
	n := 20
	if h.v6 {
		n = 40
	}
	if h.options {
		n += 8
	}
	return n
}

func (h *ipHeader) etherType() uint16 {
	if h.v6 {
		return etherIPv6
	}
	return etherIPv4
}

func (h *ipHeader) label() label {
	l := lIPv4
	if h.v6 {
		l = lIPv6
	}
	switch {
	case h.options && h.v6:
		l |= lHopByHop
	case h.options:
		l |= lOptions
	}
	return l
}

// ip writes an IP header.
func (g *Generator) ip(h *ipHeader) {
	if h.v6 {
		g.ipv6(h)
		return
	}
	at := len(g.b)
	g.u8(byte(0x40|h.size()/4), 0)
	g.u16(uint16(h.size() + h.payload))
	g.u16(h.id)
	g.u16(h.frag)
	g.u8(64, h.proto, 0, 0)
	s, d := h.src.ipv4(), h.dst.ipv4()
	g.u8(s[:]...)
	g.u8(d[:]...)
	if h.options {
		g.u8(68, 8, 5, 0, 0, 0, 0, 0) // timestamp option with room for one
	}
	g.put16(at+10, checksum(0, g.b[at:]))
}

func (g *Generator) ipv6(h *ipHeader) {
	payload, next := h.payload, h.proto
	if h.options {
		payload, next = payload+8, protoHopByHop
	}
	g.u32(6 << 28)
	g.u16(uint16(payload))
	g.u8(next, 64)
	s, d := h.src.ipv6(), h.dst.ipv6()
	g.u8(s[:]...)
	g.u8(d[:]...)
	if h.options {
		g.u8(h.proto, 0, 1, 4, 0, 0, 0, 0) // PadN
	}
}

// seal writes the checksum at offset field of the payload that starts at l4, over the pseudo header too.
func (g *Generator) seal(h *ipHeader, l4, field int) {
	sum := uint64(h.proto) + uint64(len(g.b)-l4)
	if h.v6 {
		s, d := h.src.ipv6(), h.dst.ipv6()
		sum += sum16(s[:]) + sum16(d[:])
	} else {
		s, d := h.src.ipv4(), h.dst.ipv4()
		sum += sum16(s[:]) + sum16(d[:])
	}
	c := checksum(sum, g.b[l4:])
	if c == 0 && h.proto == protoUDP {
		c = 0xffff // 0 means none (RFC 768)
	}
	g.put16(l4+field, c)
}

// checksum is the Internet checksum (RFC 1071) of b, begun with sum.
func checksum(sum uint64, b []byte) uint16 {
	sum += sum16(b)
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// sum16 adds b's big-endian 16-bit words, modulo 2^16-1. It adds eight bytes at a time: the order of bytes only swaps
// the sum's (RFC 1071 section 2B).
func sum16(b []byte) uint64 {
	var sum, carry uint64
	for ; len(b) >= 8; b = b[8:] {
		sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(b), carry)
	}
	var last [8]byte
	copy(last[:], b)
	sum, carry = bits.Add64(sum, binary.LittleEndian.Uint64(last[:]), carry)
	sum, carry = bits.Add64(sum, 0, carry)
	sum += carry
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return uint64(bits.ReverseBytes16(uint16(sum)))
}

// udp writes a whole UDP datagram with n random bytes.
func (g *Generator) udp(h *ipHeader, sport, dport uint16, n int) {
	h.proto, h.payload = protoUDP, 8+n
	g.ip(h)
	at := len(g.b)
	g.u16(sport)
	g.u16(dport)
	g.u16(uint16(8 + n))
	g.u16(0)
	g.random(n)
	g.seal(h, at, 6)
}

// tcp writes a whole TCP segment with n random bytes.
func (g *Generator) tcp(h *ipHeader, sport, dport uint16, seq, ack uint32, flags uint8, n int) {
	h.proto, h.payload = protoTCP, 20+n
	g.ip(h)
	at := len(g.b)
	g.u16(sport)
	g.u16(dport)
	g.u32(seq)
	g.u32(ack)
	g.u8(5<<4, flags)
	g.u16(64240)
	g.u32(0)
	g.random(n)
	g.seal(h, at, 16)
}

// tunnel makes a VXLAN (RFC 7348) or Geneve (RFC 8926) packet with a frame of TCP to port 22 or of ICMP inside.
func (g *Generator) tunnel() label {
	h := ipHeader{src: g.client(), dst: g.server(), proto: protoUDP, id: uint16(g.rng.next())}
	set, port := lIPv4|lUDP|lVXLAN, uint16(4789)
	if g.rng.percent(40) {
		set, port = lIPv4|lUDP|lGeneve, 6081
	}
	inner := ipHeader{src: host{0, uint8(1 + g.rng.n(9))}, dst: host{1, uint8(1 + g.rng.n(9))}}
	n := max(0, g.size()-104)
	h.payload = 8 + 8 + 14 + 20 + 20 + n
	g.ethernet(h.src, h.dst, 0, etherIPv4)
	g.ip(&h)
	at := len(g.b)
	g.u16(uint16(49152 + g.rng.n(16384)))
	g.u16(port)
	g.u16(uint16(h.payload))
	g.u16(0)
	if port == 4789 {
		g.u8(8, 0, 0, 0, 0, 0, 42, 0)
	} else {
		g.u8(0, 0, 0x65, 0x58, 0, 0, 42, 0)
	}
	g.ethernet(inner.src, inner.dst, 0, etherIPv4)
	g.tcp(&inner, uint16(1024+g.rng.n(60000)), 22, uint32(g.rng.next()), uint32(g.rng.next()), tcpACK, n)
	g.seal(&h, at, 6)
	return set
}

// icmp makes an echo request or reply.
func (g *Generator) icmp() label {
	h := ipHeader{src: g.client(), dst: g.server(), proto: protoICMP, id: uint16(g.rng.next())}
	request, reply, set := byte(8), byte(0), lICMP
	if h.v6 = g.rng.percent(g.spec.Mix.IPv6); h.v6 {
		h.proto, request, reply, set = protoICMPv6, 128, 129, lICMPv6
	}
	if g.rng.percent(50) {
		h.src, h.dst, request = h.dst, h.src, reply
	}
	n := max(0, min(g.size(), 1024)-14-h.size()-8)
	h.payload = 8 + n
	g.ethernet(h.src, h.dst, 0, h.etherType())
	g.ip(&h)
	at := len(g.b)
	g.u8(request, 0, 0, 0)
	g.u32(uint32(g.rng.next()))
	g.random(n)
	if h.v6 {
		g.seal(&h, at, 2)
	} else {
		g.put16(at+2, checksum(0, g.b[at:]))
	}
	g.pad()
	return set | h.label()
}

// arp makes a request or a reply (RFC 826).
func (g *Generator) arp() label {
	src, dst, op := g.client(), g.server(), uint16(1)
	if g.rng.percent(50) {
		src, dst, op = dst, src, 2
	}
	g.ethernet(src, dst, 0, etherARP)
	if op == 1 {
		copy(g.b, "\xff\xff\xff\xff\xff\xff")
	}
	g.u8(0, 1, 8, 0, 6, 4)
	g.u16(op)
	m, i := src.mac(), src.ipv4()
	g.u8(m[:]...)
	g.u8(i[:]...)
	m, i = dst.mac(), dst.ipv4()
	if op == 1 {
		m = [6]byte{}
	}
	g.u8(m[:]...)
	g.u8(i[:]...)
	g.pad()
	return lARP
}

// fragment makes one fragment of a UDP datagram of three: first, middle or last.
func (g *Generator) fragment() label {
	const part = 512
	id := g.rng.next()
	h := ipHeader{src: g.client(), dst: g.server(), proto: protoUDP, id: uint16(id), payload: part}
	at := g.rng.n(3)
	h.frag = uint16(at * part / 8)
	if at < 2 {
		h.frag |= 0x2000 // more fragments
	}
	g.ethernet(h.src, h.dst, 0, etherIPv4)
	g.ip(&h)
	if at == 0 {
		g.u16(uint16(1024 + g.rng.n(60000)))
		g.u16(5004)
		g.u16(3 * part)
		g.u16(0) // no checksum: it would be of all three
		g.random(part - 8)
	} else {
		g.random(part)
	}
	return lIPv4 | lUDP | lFragment
}

// protocols are the IP protocols that are carried with little but their first header word.
var protocols = []struct {
	proto uint8
	label label
	head  []byte
}{
	{protoGRE, lGRE, []byte{0, 0, 0x08, 0x00}},
	{protoESP, lESP, []byte{0, 0, 0x10, 0x01, 0, 0, 0, 1}},
	{protoAH, lAH, []byte{protoTCP, 4, 0, 0, 0, 0, 0x10, 0x02, 0, 0, 0, 1}},
	{protoSCTP, lSCTP, []byte{0x0b, 0x59, 0x0b, 0x59, 0, 0, 0, 7, 0, 0, 0, 0}},
	{protoOSPF, lOSPF, []byte{2, 1, 0, 44, 192, 0, 2, 1, 0, 0, 0, 0}},
	{protoVRRP, lVRRP, []byte{0x31, 1, 100, 1, 0, 100, 0, 0}},
	{protoIGMP, lIGMP, []byte{0x16, 0, 0, 0, 233, 252, 0, 1}},
	{protoPIM, lPIM, []byte{0x20, 0, 0, 0, 0, 1, 0, 2, 0, 105}},
	{protoL2TP, lL2TP, []byte{0, 0, 0, 9}},
}

// protocol makes an IPv4 packet of a protocol other than TCP, UDP and ICMP. GRE carries an IPv4 packet.
func (g *Generator) protocol() label {
	p := &protocols[g.rng.n(len(protocols))]
	h := ipHeader{src: g.client(), dst: g.server(), proto: p.proto, id: uint16(g.rng.next())}
	n := max(44, min(g.size(), 600)-34) - len(p.head) // OSPF's length field says 44
	inner := ipHeader{src: g.client(), dst: g.server()}
	h.payload = len(p.head) + n
	if p.proto == protoGRE {
		h.payload = len(p.head) + 28 + n
	}
	g.ethernet(h.src, h.dst, 0, etherIPv4)
	g.ip(&h)
	at := len(g.b)
	g.u8(p.head...)
	if p.proto == protoGRE {
		g.udp(&inner, 4000, 4001, n)
	} else {
		g.random(n)
	}
	switch p.proto {
	case protoIGMP, protoPIM:
		g.put16(at+2, 0)
		g.put16(at+2, checksum(0, g.b[at:]))
	}
	g.pad()
	return lIPv4 | p.label
}

// mpls makes UDP under one or two MPLS labels (RFC 3032).
func (g *Generator) mpls() label {
	h := ipHeader{src: g.client(), dst: g.server(), id: uint16(g.rng.next())}
	labels := 1 + g.rng.n(2)
	g.ethernet(h.src, h.dst, 0, etherMPLS)
	for i := range labels {
		bottom := uint32(0)
		if i == labels-1 {
			bottom = 1 << 8
		}
		g.u32(uint32(1000+g.rng.n(1000))<<12 | bottom | 64)
	}
	g.udp(&h, uint16(1024+g.rng.n(60000)), 2152, max(0, g.size()-60))
	g.pad()
	return lMPLS
}

// malformed makes a TCP packet to port 9 and breaks it.
func (g *Generator) malformed() label {
	h := ipHeader{src: g.client(), dst: g.server(), id: uint16(g.rng.next())}
	g.ethernet(h.src, h.dst, 0, etherIPv4)
	g.tcp(&h, uint16(1024+g.rng.n(60000)), 9, uint32(g.rng.next()), 0, tcpSYN, 0)
	l3, l4 := 14, 34
	kind := lCutL3 << g.rng.n(bits.Len64(uint64(lBadOffset/lCutL3)))
	switch kind {
	case lCutL3:
		g.b = g.b[:l3+1+g.rng.n(19)]
	case lCutL4:
		g.b = g.b[:l4+g.rng.n(20)]
	case lBadIHL:
		g.b[l3] = 0x42
	case lBadLength:
		g.put16(l3+2, 65535)
	case lBadVersion:
		g.b[l3] = 0x15
	case lBadOffset:
		g.b[l4+12] = 1 << 4
	}
	return lMalformed | kind
}
