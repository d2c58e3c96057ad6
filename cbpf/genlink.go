package cbpf

import (
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// linkKind is what the tests of a link layer depend on.
type linkKind uint8

const (
	linkEthernet linkKind = iota
	linkSLL
	linkSLL2
	linkRaw // IPv4 or IPv6, the version field says which
	linkIPv4
	linkIPv6
	linkNull
	linkLoop
	linkPPP
	linkPPPSerial
	linkWLAN
)

// linkLayout says where things are behind a link-layer header.
type linkLayout struct {
	kind         linkKind
	typeAt       uint32 // of the field that says what the payload is
	header       uint32 // length
	nl, nlNoSnap uint32 // network layer, from the end of the header: without 802.2, and behind 802.2 without SNAP
	hasType      bool
	radio        radioHeader
}

// linkLayouts are the link types that filters can be compiled for.
var linkLayouts = map[linktype.Type]linkLayout{
	linktype.Ethernet:     {kind: linkEthernet, typeAt: 12, header: 14, nlNoSnap: 3, hasType: true},
	linktype.SLL:          {kind: linkSLL, typeAt: 14, header: 16, hasType: true},
	linktype.SLL2:         {kind: linkSLL2, typeAt: 0, header: 20, hasType: true},
	linktype.RawIP:        {kind: linkRaw},
	linktype.RawBSD:       {kind: linkRaw},
	linktype.IPv4:         {kind: linkIPv4},
	linktype.IPv6:         {kind: linkIPv6},
	linktype.Null:         {kind: linkNull, header: 4, hasType: true},
	linktype.Loop:         {kind: linkLoop, header: 4, hasType: true},
	linktype.PPP:          {kind: linkPPP, typeAt: 2, header: 4, hasType: true},
	linktype.IEEE80211:    {kind: linkWLAN, nl: 8, nlNoSnap: 3, hasType: true},
	linktype.Prism:        {kind: linkWLAN, nl: 8, nlNoSnap: 3, hasType: true, radio: prismRadio},
	linktype.IEEE80211AVS: {kind: linkWLAN, nl: 8, nlNoSnap: 3, hasType: true, radio: avsRadio},
	linktype.Radiotap:     {kind: linkWLAN, nl: 8, nlNoSnap: 3, hasType: true, radio: radiotapRadio},
	linktype.PPI:          {kind: linkWLAN, nl: 8, nlNoSnap: 3, hasType: true, radio: ppiRadio},
	linktype.PPPSerial:    {kind: linkPPPSerial, typeAt: 2, header: 4, hasType: true},
}

// Ethernet types (IANA, IEEE 802 numbers) and 802.2 service access points.
const (
	etherIP     = 0x0800
	etherARP    = 0x0806
	etherRARP   = 0x8035
	etherIP6    = 0x86dd
	etherMOPDL  = 0x6001
	etherMOPRC  = 0x6002
	etherDECnet = 0x6003
	etherLAT    = 0x6004
	etherSCA    = 0x6007
	etherTEB    = 0x6558 // transparent Ethernet bridging: an Ethernet frame inside
	etherAtalk  = 0x809b
	etherAARP   = 0x80f3
	etherIPX    = 0x8137
	etherVLAN   = 0x8100
	etherQinQ   = 0x88a8
	etherQinQ91 = 0x9100 // the number from before 802.1ad
	etherMPLS   = 0x8847
	etherPPPoED = 0x8863
	etherPPPoES = 0x8864
	etherMTU    = 1500 // up to here an Ethernet type is a length

	sapIP      = 0x06
	sapSTP     = 0x42
	sapIPX     = 0xe0
	sapNetBEUI = 0xf0
	sapISO     = 0xfe

	sllPseudo8023 = 1 // "protocol" of a cooked packet that is 802.3 with no 802.2 header (Linux: ETH_P_802_3)
	sllPseudo8022 = 4 // one with an 802.2 header (Linux: ETH_P_802_2)
)

// protocolType tests what the link layer says of its payload: an Ethernet type, or an 802.2 access point up to etherMTU.
func (g *gen) protocolType(proto uint32) condID {
	if g.labels > 0 {
		return g.labelled(proto)
	}
	switch g.link {
	case linkEthernet:
		return g.etherType(proto)
	case linkWLAN:
		return g.and(g.dataFrame(), g.llcType(proto))
	case linkSLL:
		return g.cookedType(proto)
	case linkRaw:
		switch proto {
		case etherIP:
			return g.mask(fromLink, 0, SizeB, 0x40, 0xf0)
		case etherIP6:
			return g.mask(fromLink, 0, SizeB, 0x60, 0xf0)
		}
		return g.always(false)
	case linkIPv4:
		return g.always(proto == etherIP)
	case linkIPv6:
		return g.always(proto == etherIP6)
	case linkNull, linkLoop:
		return g.familyType(proto)
	case linkPPP, linkPPPSerial:
		if p, ok := pppTypes[proto]; ok {
			proto = p
		}
	}
	return g.cmp(fromLinkType, 0, SizeH, proto)
}

// pppTypes are PPP protocol numbers (IANA) of what has another Ethernet type.
var pppTypes = map[uint32]uint32{
	etherIP: 0x0021, etherIP6: 0x0057, etherDECnet: 0x0027, etherAtalk: 0x0029, 0x0600: 0x0025, sapISO: 0x0023, sapSTP: 0x0031, sapIPX: 0x002b,
}

// is8023 tests if an Ethernet frame has a length where others have a type.
func (g *gen) is8023() condID { return g.not(g.cmpOp(fromLinkType, 0, SizeH, JmpGt, etherMTU)) }

// snap tests for an 802.2 header with SNAP, an organisation's number and a type.
func (g *gen) snap(org, proto uint32) condID {
	return g.bytes(fromLLC, 0, []byte{0xaa, 0xaa, 0x03, byte(org >> 16), byte(org >> 8), byte(org), byte(proto >> 8), byte(proto)})
}

// appleOrg is the organisation in AppleTalk's SNAP headers.
const appleOrg = 0x080007

// etherType is protocolType on Ethernet.
func (g *gen) etherType(proto uint32) condID {
	switch proto {
	case sapISO, sapIP, sapNetBEUI:
		return g.and(g.is8023(), g.cmp(fromLLC, 0, SizeH, proto<<8|proto))
	case sapIPX:
		llc := g.or(g.cmp(fromLLC, 0, SizeB, sapIPX), g.cmp(fromLLC, 0, SizeH, 0xffff))
		llc = g.or(g.snap(0, etherIPX), llc)
		return g.or(g.cmp(fromLinkType, 0, SizeH, etherIPX), g.and(g.is8023(), llc))
	case etherAtalk, etherAARP:
		org := uint32(0)
		if proto == etherAtalk {
			org = appleOrg
		}
		return g.or(g.cmp(fromLinkType, 0, SizeH, proto), g.and(g.is8023(), g.snap(org, proto)))
	}
	if proto <= etherMTU {
		return g.and(g.is8023(), g.cmp(fromLinkType, 2, SizeB, proto)) // the 802.2 header follows the length
	}
	return g.cmp(fromLinkType, 0, SizeH, proto)
}

// cookedType is protocolType in Linux's first cooked header. The second has no 802.2 in libpcap.
func (g *gen) cookedType(proto uint32) condID {
	llc := func(test condID) condID { return g.and(g.cmp(fromLinkType, 0, SizeH, sllPseudo8022), test) }
	switch proto {
	case sapISO, sapIP, sapNetBEUI:
		return llc(g.cmp(fromLLC, 0, SizeH, proto<<8|proto))
	case sapIPX:
		c := llc(g.or(g.cmp(fromLLC, 0, SizeB, sapIPX), g.snap(0, etherIPX)))
		c = g.or(g.cmp(fromLinkType, 0, SizeH, sllPseudo8023), c)
		return g.or(g.cmp(fromLinkType, 0, SizeH, etherIPX), c)
	case etherAtalk, etherAARP:
		org := uint32(0)
		if proto == etherAtalk {
			org = appleOrg
		}
		return g.or(g.cmp(fromLinkType, 0, SizeH, proto), llc(g.snap(org, proto)))
	}
	if proto <= etherMTU {
		return llc(g.cmp(fromLLC, 0, SizeB, proto))
	}
	return g.cmp(fromLinkType, 0, SizeH, proto)
}

// llcType is protocolType where every payload has an 802.2 header.
func (g *gen) llcType(proto uint32) condID {
	switch proto {
	case sapISO, sapIP, sapNetBEUI:
		return g.cmp(fromLLC, 0, SizeH, proto<<8|proto)
	case sapIPX:
		return g.cmp(fromLLC, 0, SizeB, sapIPX)
	case etherAtalk:
		return g.snap(appleOrg, etherAtalk)
	}
	if proto <= etherMTU {
		return g.cmp(fromLLC, 0, SizeB, proto)
	}
	return g.cmp(fromLLC, 6, SizeH, proto)
}

// familyType is protocolType where the header is an address family. Systems have different numbers for IPv6: those of
// NetBSD and OpenBSD, FreeBSD, and Darwin are all taken, Linux's 10 is not.
func (g *gen) familyType(proto uint32) condID {
	family := func(f uint32) condID {
		if g.link == linkNull && !g.opts.BigEndian {
			f <<= 24
		}
		return g.cmp(fromLink, 0, SizeW, f)
	}
	switch proto {
	case etherIP:
		return family(2)
	case etherIP6:
		bsd := g.or(family(24), family(28))
		return g.or(family(30), bsd)
	}
	return g.always(false)
}

// labelled is protocolType behind an MPLS label: it must be the last one, and the payload's version says what it is.
func (g *gen) labelled(proto uint32) condID {
	version := uint32(0)
	switch proto {
	case etherIP:
		version = 0x40
	case etherIP6:
		version = 0x60
	default:
		g.fail("", "only IPv4 and IPv6 can be told apart behind mpls")
	}
	last := g.mask(fromLabel, 2, SizeB, 0x01, 0x01)
	return g.and(last, g.mask(fromNet, 0, SizeB, version, 0xf0))
}

// isoNLPIDs are the protocols of `iso proto` (ISO/IEC TR 9577).
const (
	isoCLNP = 0x81
	isoESIS = 0x82
	isoISIS = 0x83
)

// linkProtos are the protocols that the link layer names.
var linkProtos = map[expr.Proto]uint32{
	expr.IP: etherIP, expr.ARP: etherARP, expr.RARP: etherRARP, expr.IP6: etherIP6, expr.AppleTalk: etherAtalk, expr.AARP: etherAARP,
	expr.DECnet: etherDECnet, expr.LAT: etherLAT, expr.SCA: etherSCA, expr.MOPDL: etherMOPDL, expr.MOPRC: etherMOPRC,
	expr.ISO: sapISO, expr.STP: sapSTP, expr.IPX: sapIPX, expr.NetBEUI: sapNetBEUI,
}

// IP protocol numbers (IANA).
const (
	protoICMP     = 1
	protoIGMP     = 2
	protoTCP      = 6
	protoIGRP     = 9
	protoUDP      = 17
	protoFragment = 44
	protoESP      = 50
	protoAH       = 51
	protoICMP6    = 58
	protoNone     = 59
	protoPIM      = 103
	protoVRRP     = 112 // CARP's too
	protoSCTP     = 132
)

// ipProtos are the protocols that IP names, and which IP the word is about: None is both.
var ipProtos = map[expr.Proto]struct {
	number uint32
	over   expr.Proto
}{
	expr.TCP: {protoTCP, expr.None}, expr.UDP: {protoUDP, expr.None}, expr.SCTP: {protoSCTP, expr.None}, expr.PIM: {protoPIM, expr.None},
	expr.AH: {protoAH, expr.None}, expr.ESP: {protoESP, expr.None}, expr.ICMP: {protoICMP, expr.IP}, expr.IGMP: {protoIGMP, expr.IP},
	expr.IGRP: {protoIGRP, expr.IP}, expr.VRRP: {protoVRRP, expr.IP}, expr.CARP: {protoVRRP, expr.IP}, expr.ICMP6: {protoICMP6, expr.IP6},
	expr.CLNP: {isoCLNP, expr.ISO}, expr.ESIS: {isoESIS, expr.ISO}, expr.ISIS: {isoISIS, expr.ISO},
}

// isisPDUs are the PDU types of the IS-IS words, in the order of the tests (ISO/IEC 10589 section 9).
var isisPDUs = map[expr.Proto][]uint32{
	expr.ISISL1: {26, 24, 18, 15, 17}, expr.ISISL2: {27, 25, 20, 16, 17}, expr.ISISIIH: {17, 15, 16}, expr.ISISLSP: {18, 20},
	expr.ISISSNP: {27, 26, 24, 25}, expr.ISISCSNP: {24, 25}, expr.ISISPSNP: {26, 27},
}

// abbrev is a protocol's name alone.
func (g *gen) abbrev(p expr.Proto) condID {
	if t, ok := linkProtos[p]; ok {
		return g.protocolType(t)
	}
	if ip, ok := ipProtos[p]; ok {
		return g.proto(ip.number, ip.over, expr.AnyDir)
	}
	c := noCond
	for _, pdu := range isisPDUs[p] {
		c = g.or(c, g.proto(pdu, expr.ISIS, expr.AnyDir))
	}
	if c == noCond {
		g.fail("", "%q names no protocol that could be tested alone", p)
	}
	return c
}

// proto is `proto`: which protocol another one carries.
func (g *gen) proto(number uint32, over expr.Proto, dir expr.Dir) condID {
	if dir != expr.AnyDir {
		g.fail("", "a protocol has no direction")
	}
	switch over {
	case expr.None:
		ip4 := g.proto(number, expr.IP, dir)
		return g.or(ip4, g.proto(number, expr.IP6, dir))
	case expr.Link:
		return g.protocolType(number)
	case expr.IP:
		is := g.protocolType(etherIP)
		return g.and(is, g.cmp(fromNet, 9, SizeB, number))
	case expr.IP6:
		is := g.protocolType(etherIP6)
		first := g.cmp(fromNet, 6, SizeB, number)
		fragment := g.and(g.cmp(fromNet, 6, SizeB, protoFragment), g.cmp(fromIPv6, 0, SizeB, number))
		return g.and(is, g.or(first, fragment))
	case expr.ISO:
		is := g.protocolType(sapISO)
		return g.and(is, g.cmp(fromNetNoSnap, 0, SizeB, number))
	case expr.ISIS:
		is := g.proto(isoISIS, expr.ISO, dir)
		return g.and(is, g.cmp(fromNetNoSnap, 4, SizeB, number))
	}
	g.fail("", "%v names no protocol that it carries", over)
	return noCond
}
