package traffic

import "encoding/binary"

// EtherTypes and SAPs that only rare packets have.
const (
	etherRARP       = 0x8035
	etherIPX        = 0x8137
	etherAppleTalk  = 0x809b
	etherPPPoED     = 0x8863
	etherPPPoES     = 0x8864
	etherPPPControl = 0x880b // PPP's link control protocol, on links ppp
	etherMPLSUp     = 0x8848
	wlanReady       = 0x5a5a // not registered: an 802.11 frame follows

	llcISO = 0xfe
)

// rareHost is one of six on each side, so that a filter for one of them finds packets of every kind.
func (g *Generator) rareHost() host {
	switch at := g.rng.n(20); at {
	case 0:
		return broadcast
	case 1, 2:
		return host{netMulticast, uint8(1 + g.rng.n(3))}
	case 3: // the subnet's broadcast address, or its oldest form
		return host{uint8(g.rng.n(3)), uint8(255 * g.rng.n(2))}
	}
	return host{uint8(g.rng.n(3)), uint8(1 + g.rng.n(6))}
}

// rareKind is a row of what rare draws from.
type rareKind struct {
	weight int
	needs  need
	make   func(*Generator)
}

var rareKinds = []rareKind{
	{12, needsIP, func(g *Generator) { g.rareIP(etherTag{}) }},
	{6, needsEther, func(g *Generator) { g.rareIP(g.rareTags()) }},
	{4, needsEther, (*Generator).rareARP},
	{3, needsEther, (*Generator).rareLLC},
	{2, needsEther, (*Generator).rareEtherType},
	{3, needsEther, (*Generator).rareWLAN},
	{5, needsIP, (*Generator).rareTunnel},
	{4, needsIP, (*Generator).rareBroken},
}

// rare makes a packet of a kind that is seldom seen, but that filters have a word for.
func (g *Generator) rare() label {
	total := 0
	for _, k := range rareKinds {
		total += k.share(g.link)
	}
	at := g.rng.n(total)
	for _, k := range rareKinds {
		if at -= k.share(g.link); at < 0 {
			k.make(g)
			return lRare
		}
	}
	panic("traffic: weights do not add up")
}

// share is the row's weight on a link.
func (k *rareKind) share(l link) int {
	if k.needs == needsEther && !l.ether {
		return 0
	}
	return k.weight
}

// etherTag is what comes between the addresses of a frame and its payload.
type etherTag struct {
	bytes []byte // EtherTypes and tags
	ppp   bool   // the payload's type is PPP's protocol number
	none  bool   // the payload has no type: an MPLS label says that it is IP
}

// rareTags draws a stack of VLAN tags, MPLS labels or a PPPoE header.
func (g *Generator) rareTags() etherTag {
	var t etherTag
	vlan := func(types ...uint16) {
		for _, typ := range types {
			t.bytes = binary.BigEndian.AppendUint16(t.bytes, typ)
			t.bytes = binary.BigEndian.AppendUint16(t.bytes, uint16(g.rng.n(8)<<13|100*(1+g.rng.n(3))))
		}
	}
	switch g.rng.n(9) {
	case 0, 1:
		vlan(etherVLAN)
	case 2:
		vlan([]uint16{etherSVLAN, 0x9100}[g.rng.n(2)])
	case 3:
		vlan([]uint16{etherSVLAN, 0x9100, etherVLAN}[g.rng.n(3)], etherVLAN)
	case 4:
		vlan(etherSVLAN, etherVLAN, etherVLAN)
	case 5, 6: // one to three labels, perhaps under a VLAN tag
		if g.rng.percent(20) {
			vlan(etherVLAN)
		}
		t.none = true
		t.bytes = binary.BigEndian.AppendUint16(t.bytes, []uint16{etherMPLS, etherMPLS, etherMPLSUp}[g.rng.n(3)])
		for n := g.rng.n(3); n >= 0; n-- {
			label := uint32([]int{0, 2, 3, 1000, 1001, 1024}[g.rng.n(6)])<<12 | 64
			if n == 0 {
				label |= 1 << 8
			}
			t.bytes = binary.BigEndian.AppendUint32(t.bytes, label)
		}
	default:
		if g.rng.percent(20) {
			vlan(etherVLAN)
		}
		t.ppp = true
		t.bytes = binary.BigEndian.AppendUint16(t.bytes, etherPPPoES)
		t.bytes = append(t.bytes, 0x11, 0, 0, byte(1+g.rng.n(3)), 2, 0) // version and type, code, session, length
	}
	return t
}

// rareL2 writes the frame header of a payload of etherType.
func (g *Generator) rareL2(src, dst host, t etherTag, etherType uint16) {
	d, s := dst.mac(), src.mac()
	if etherType == etherIPv6 && dst.net == netMulticast { // RFC 2464 section 7
		d = [6]byte{0x33, 0x33, 0xdb, 0x8, 0, dst.id}
	}
	g.u8(d[:]...)
	g.u8(s[:]...)
	g.u8(t.bytes...)
	switch {
	case t.ppp:
		g.u16(pppProtocols[etherType])
	case !t.none:
		g.u16(etherType)
	}
}

// rareVersion draws whether IPv6 is spoken.
func (g *Generator) rareVersion() bool {
	if g.link.only != 0 {
		return g.link.only == 6
	}
	return g.rng.percent(50)
}

// Ports of rare packets: those that services have names for, and one that has none.
var rarePorts = []uint16{22, 80, 443, 53, 21, 20, 25, 123, 67, 68, 69, 161, 179, 514, 1812, 2049, 3784, 4789, 6081, 8080, 49152}

func (g *Generator) rarePort() uint16 { return rarePorts[g.rng.n(len(rarePorts))] }

// rareIP makes an IP packet of any protocol, with options, extension headers and fragments of any offset.
func (g *Generator) rareIP(t etherTag) {
	h := ipHeader{src: g.rareHost(), dst: g.rareHost(), v6: g.rareVersion(), id: uint16(g.rng.next())}
	h.proto = rareProtocols[g.rng.n(len(rareProtocols))]
	g.rareL2(h.src, h.dst, t, h.etherType())
	g.rarePacket(&h)
	g.pad()
}

// rarePacket writes the packet whose header is h, apart from its length.
func (g *Generator) rarePacket(h *ipHeader) {
	h.options = g.rng.percent(15)
	if !h.v6 && g.rng.percent(15) {
		h.frag = []uint16{0x2000, 0x2001, 185, 0x2000 | 185, 0x4000, 0x6000}[g.rng.n(6)]
	}
	at := len(g.b)
	proto := h.proto
	if h.v6 && g.rng.percent(25) {
		h.options = false
		h.proto = []byte{protoHopByHop, 43, 44, 60, protoAH}[g.rng.n(5)]
	}
	g.ip(h)
	for next := h.proto; next != proto && len(g.b)-at < 120; {
		next = g.extension(next, proto)
	}
	l4 := len(g.b)
	g.rareL4(proto)
	h.payload = len(g.b) - at - h.size()
	tail := append([]byte(nil), g.b[at+h.size():]...)
	g.b = g.b[:at]
	g.ip(h) // once more, now that the length is known
	g.b = append(g.b, tail...)
	h.proto = proto
	if field, ok := checksums[proto]; ok && h.frag&0x3fff == 0 {
		g.put16(l4+field, 0)
		g.seal(h, l4, field)
	}
}

// checksums says where in a header the checksum over the pseudo header is.
var checksums = map[byte]int{protoTCP: 16, protoUDP: 6, protoICMPv6: 2}

// extension writes an IPv6 extension header of type typ (RFC 8200 section 4, RFC 4302), mostly the last one, and
// returns the type of what follows.
func (g *Generator) extension(typ, proto byte) (next byte) {
	if next = proto; g.rng.percent(25) {
		next = []byte{43, 44, 60, protoAH}[g.rng.n(4)]
	}
	switch typ {
	case protoHopByHop, 60:
		g.u8(next, 0, 1, 4, 0, 0, 0, 0) // PadN
	case 43:
		g.u8(next, 0, 253, 0, 0, 0, 0, 0) // no segments left
	case 44: // first or middle fragment
		g.u8(next, 0, 0, byte(g.rng.n(2)*8|1), 0, 0, 0, 7)
	case protoAH:
		g.u8(next, 4, 0, 0, 0, 0, 0x10, 2, 0, 0, 0, 1)
		g.random(12)
	default: // not an extension
		return proto
	}
	return next
}

// rareProtocols are drawn with equal chances; the ones that filters ask for most come several times.
var rareProtocols = []byte{
	protoTCP, protoTCP, protoTCP, protoTCP, protoTCP, protoUDP, protoUDP, protoUDP, protoUDP, protoICMP, protoICMP, protoICMP,
	protoICMPv6, protoICMPv6, protoICMPv6, protoSCTP, protoSCTP, protoIGMP, protoPIM, protoVRRP, protoAH, protoESP,
	protoGRE, protoOSPF, protoL2TP, 4, 8, 9, 41, 43, 44, 60, protoHopByHop, 59, 136, 253,
}

// rareL4 writes a header of protocol proto and some payload.
func (g *Generator) rareL4(proto byte) {
	switch proto {
	case protoTCP:
		g.u16(g.rarePort())
		g.u16(g.rarePort())
		g.u32(uint32(g.rng.next()))
		g.u32(uint32(g.rng.next()))
		words := []byte{5, 5, 5, 8, 10}[g.rng.n(5)]
		flags := []byte{tcpSYN, tcpSYN | tcpACK, tcpACK, tcpPSH | tcpACK, tcpFIN | tcpACK, tcpRST, 0x20 | tcpACK, 0xc2, 0, 0xff}[g.rng.n(10)]
		g.u8(words<<4|byte(g.rng.n(2)), flags)
		g.u16(64240)
		g.u32(0)
		for n := words; n > 5; n-- {
			g.u8(1, 1, 1, 1)
		}
		g.u8([]byte("GET / HTTP/1.1\r\n")[:4*g.rng.n(5)]...)
	case protoUDP:
		n := g.rng.n(64)
		g.u16(g.rarePort())
		g.u16(g.rarePort())
		g.u16(uint16(8 + n))
		g.u16(0)
		g.random(n)
	case protoSCTP:
		g.u16(g.rarePort())
		g.u16(g.rarePort())
		g.u32(7)
		g.u32(0)
		g.u8(byte(g.rng.n(15)), 0, 0, 4)
	case protoICMP:
		at := len(g.b)
		g.u8(byte(g.rng.n(20)), byte(g.rng.n(4)), 0, 0)
		g.u32(uint32(g.rng.next()))
		g.random(28)
		g.put16(at+2, checksum(0, g.b[at:]))
	case protoICMPv6:
		g.u8([]byte{1, 2, 3, 4, 127, 128, 129, 130, 131, 132, 133, 134, 135, 136, 137, 138, 143, 151, 153, 155}[g.rng.n(20)], byte(g.rng.n(4)), 0, 0)
		g.random(28)
	case protoVRRP: // version 2 or 3, or CARP, which took the same number
		g.u8([]byte{0x21, 0x31, 0x24}[g.rng.n(3)], 1, 100, 1, 0, 100, 0, 0)
		g.random(12)
	case 4, 41: // IP in IP
		h := ipHeader{src: g.rareHost(), dst: g.rareHost(), v6: proto == 41}
		g.udp(&h, g.rarePort(), g.rarePort(), g.rng.n(32))
	default:
		g.random(8 + g.rng.n(40))
	}
}

// rareARP makes ARP and RARP of any operation, now and then for hardware or protocols other than Ethernet and IPv4.
func (g *Generator) rareARP() {
	src, dst, t := g.rareHost(), g.rareHost(), etherTag{}
	if g.rng.percent(25) {
		if t = g.rareTags(); t.ppp || t.none {
			t = etherTag{}
		}
	}
	g.rareL2(src, dst, t, []uint16{etherARP, etherARP, etherRARP}[g.rng.n(3)])
	hardware, proto := uint16(1), uint16(etherIPv4)
	if g.rng.percent(15) {
		hardware, proto = 6, 0x86dd
	}
	g.u16(hardware)
	g.u16(proto)
	g.u8(6, 4)
	g.u16(uint16(1 + g.rng.n(4)))
	for _, h := range []host{src, dst} {
		m, i := h.mac(), h.ipv4()
		g.u8(m[:]...)
		g.u8(i[:]...)
	}
	g.pad()
}

// rareLLC makes an 802.3 frame: LLC of every form, SNAP, spanning tree, OSI, IPX, NetBEUI.
func (g *Generator) rareLLC() {
	src, dst := g.rareHost(), g.rareHost()
	g.rareL2(src, dst, etherTag{}, 0)
	control := [][]byte{{3}, {0x13}, {0xaf}, {0x63}, {0x73}, {0xe3}, {0x7f}, {0x0f}, {1, 0}, {5, 2}, {9, 4}, {0, 2}, {4, 7}}
	switch g.rng.n(8) {
	case 0: // spanning tree
		d := [6]byte{1, 0x80, 0xc2, 0, 0, 0}
		copy(g.b, d[:])
		g.u8(0x42, 0x42, 3, 0, 0, 0, 0)
	case 1: // ISO: CLNP, ES-IS, IS-IS of every PDU
		g.u8(llcISO, llcISO, 3, []byte{0x81, 0x82, 0x83, 0x83, 0x83, 0x83}[g.rng.n(6)], 27, 1, 0)
		g.u8([]byte{15, 16, 17, 18, 20, 24, 25, 26, 27, 0x1c}[g.rng.n(10)], 1, 0, 3)
	case 2: // IPX without LLC, and with
		if g.rng.percent(50) {
			g.u8(0xff, 0xff, 0, 40)
		} else {
			g.u8(0xe0, 0xe0, 3, 0xff, 0xff)
		}
	case 3: // NetBEUI
		g.u8(0xf0, 0xf0, 3, 0x2c, 0)
	case 4: // SNAP with EtherTypes
		g.u8(0xaa, 0xaa, 3, 0, 0, 0)
		if g.rng.percent(50) {
			h := ipHeader{src: src, dst: dst, v6: g.rng.percent(50), proto: protoTCP}
			g.u16(h.etherType())
			g.rarePacket(&h)
		} else {
			g.u16([]uint16{etherARP, etherAppleTalk, 0x80f3, etherIPX}[g.rng.n(4)])
		}
	case 5: // SNAP of Apple and of Cisco
		g.u8(0xaa, 0xaa, 3)
		if g.rng.percent(50) {
			g.u8(8, 0, 7, 0x80, 0x9b)
		} else {
			g.u8(0, 0, 0xc, 0x20, 0)
		}
	default:
		g.u8([]byte{0, 4, 0x42, 0xaa, 0xf0, llcISO}[g.rng.n(6)], []byte{0, 1, 4, 5, 0xf0, 0xf1}[g.rng.n(6)])
		g.u8(control[g.rng.n(len(control))]...)
	}
	g.random(20)
	binary.BigEndian.PutUint16(g.b[12:], uint16(len(g.b)-14))
	g.pad()
}

// rareEtherTypes are protocols with a number of their own.
var rareEtherTypes = []uint16{
	etherIPX, etherAppleTalk, 0x80f3, 0x6001, 0x6002, 0x6003, 0x6004, 0x6007, 0x9000, 0x888e, 0x88cc, 0x8809, 0x88f7, 0x0842,
	etherPPPoED, etherPPPControl, 0x05ff, 0x0600, 0x88a8,
}

// rareEtherType makes a frame of a protocol of which only its number matters.
func (g *Generator) rareEtherType() {
	g.rareL2(g.rareHost(), g.rareHost(), etherTag{}, rareEtherTypes[g.rng.n(len(rareEtherTypes))])
	g.u8(0x11, 9, 0, byte(g.rng.n(2)), 0, 4)
	g.random(40)
	g.pad()
}

// rareWLAN makes a management, control, extension or null data frame; on a wired link something else.
func (g *Generator) rareWLAN() {
	switch g.link.typ {
	default:
		g.rareLLC()
		return
	case links["wlan"].typ, links["radiotap"].typ, links["prism"].typ, links["avs"].typ, links["ppi"].typ:
	}
	a, b, bss := g.rareHost().mac(), g.rareHost().mac(), [6]byte{2, 0, 0, 0, 9, byte(1 + g.rng.n(3))}
	g.u8(make([]byte, 12)...)
	g.u16(wlanReady)
	switch typ := byte(g.rng.n(8)); typ {
	case 0, 1, 2: // management
		g.u8(byte(g.rng.n(16))<<4, 0, 0, 0)
		g.u8(a[:]...)
		g.u8(b[:]...)
		g.u8(bss[:]...)
		g.u8(0x20, 0)
	case 3, 4, 5: // control, the short ones with one address
		sub := byte(g.rng.n(16))
		g.u8(sub<<4|1<<2, 0, 0, 0)
		g.u8(a[:]...)
		if sub != 12 && sub != 13 {
			g.u8(b[:]...)
		}
	case 6: // data without data
		g.u8(wlanData|wlanNull|wlanQoS*byte(g.rng.n(2)), byte(g.rng.n(4)), 0, 0)
		g.u8(bss[:]...)
		g.u8(a[:]...)
		g.u8(b[:]...)
		g.u8(0x30, 0)
	default: // extension: its first subtype is DMG beacon
		g.u8(byte(g.rng.n(16))<<4|3<<2, 0, 0, 0)
		g.u8(bss[:]...)
	}
	g.random(24)
}

// rareTunnel makes VXLAN and Geneve over either IP, with a frame or an IP packet inside, and lies about some ports.
func (g *Generator) rareTunnel() {
	h := ipHeader{src: g.rareHost(), dst: g.rareHost(), v6: g.rareVersion(), proto: protoUDP}
	inner := ipHeader{src: g.rareHost(), dst: g.rareHost(), v6: g.rng.percent(50), proto: rareProtocols[g.rng.n(len(rareProtocols))]}
	port := []uint16{4789, 6081, 6081, 8472}[g.rng.n(4)]
	g.rareL2(h.src, h.dst, etherTag{}, h.etherType())
	at := len(g.b)
	g.ip(&h)
	g.u16(49152)
	g.u16(port)
	g.u16(0)
	g.u16(0)
	g.rareTunnelHead(port == 4789 || port == 8472, &inner)
	g.rarePacket(&inner)
	g.finish(&h, at)
	g.pad()
}

// rareTunnelHead writes the header of VXLAN (RFC 7348) or Geneve (RFC 8926), and of the frame inside when there is one.
func (g *Generator) rareTunnelHead(vxlan bool, inner *ipHeader) {
	vni, odd := byte(42+g.rng.n(3)), g.rng.n(8)/7 // odd: no VNI flag, a version to come
	if vxlan {
		g.u8(8*byte(1-odd), 0, 0, 0, 0, 0, vni, 0)
		g.rareL2(inner.src, inner.dst, etherTag{}, inner.etherType())
		return
	}
	words, protocol := byte(g.rng.n(4)), []uint16{0x6558, 0x6558, inner.etherType(), etherARP}[g.rng.n(4)]
	g.u8(byte(odd)<<6|words, 0)
	g.u16(protocol)
	g.u8(0, 0, vni, 0)
	for range words {
		g.u8(1, 2, 3, 4)
	}
	if protocol == 0x6558 {
		var t etherTag
		if g.rng.percent(30) {
			t = g.rareTags()
		}
		g.rareL2(inner.src, inner.dst, t, inner.etherType())
	}
}

// finish sets length and checksums of the UDP packet of header h that starts at at and ends the frame.
func (g *Generator) finish(h *ipHeader, at int) {
	l4 := at + h.size()
	h.payload = len(g.b) - l4
	end := g.b
	g.b = g.b[:at]
	g.ip(h)
	g.b = end
	g.put16(l4+4, uint16(h.payload))
	g.put16(l4+6, 0)
	g.seal(h, l4, 6)
}

// rareBroken makes a packet as above and then changes some of its bytes, or cuts it and leaves its length fields.
func (g *Generator) rareBroken() {
	g.rareIP(etherTag{})
	if g.rng.percent(30) {
		g.b = g.b[:14+g.rng.n(len(g.b)-14)]
		return
	}
	for range 1 + g.rng.n(3) {
		at := 14 + g.rng.n(min(len(g.b)-14, 64))
		g.b[at] = []byte{0, 0xff, 0x45, 0x60, byte(g.rng.next())}[g.rng.n(5)]
	}
}
