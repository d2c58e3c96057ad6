package replay

import (
	"encoding/binary"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// What a classic filter can ask of a packet beside its bytes (Linux: SKF_AD_…), which it sees as they were captured: the tag is in them, and what
// no capture has, a mark and a CPU, is 0.

// arphrdNone is the ARPHRD value of devices without a link layer.
const arphrdNone = 0xfffe

// classic sets the facts about a packet, as far as its link type is known.
func (r *runner) classic(rec *pcap.Record, p *packet) {
	b, in := p.captured(r.chunk), &p.in
	known := true
	switch row := linkOf(p.link); {
	case p.link == linktype.Ethernet && len(b) >= etherLen:
		in.HaType, in.NetOff, in.PktType = arphrdEther, etherLen, pktType(rec, b)
		in.Protocol = typeTrans(b)
	case p.link == linktype.SLL && len(b) >= 16:
		in.PktType, in.HaType, in.NetOff = uint32(binary.BigEndian.Uint16(b)), uint32(binary.BigEndian.Uint16(b[2:])), 16
		in.Protocol = binary.BigEndian.Uint16(b[14:])
	case p.link == linktype.SLL2 && len(b) >= 20:
		in.PktType, in.HaType, in.NetOff = uint32(b[10]), uint32(binary.BigEndian.Uint16(b[8:])), 20
		in.Protocol = binary.BigEndian.Uint16(b)
		if ifindex := binary.BigEndian.Uint32(b[4:]); ifindex != 0 {
			in.Ifindex = ifindex
		}
	case row != nil && row.bare != nil:
		ip := *p
		if known = row.bare(r.chunk, &ip) == skipNot; known {
			in.HaType, in.NetOff, in.Protocol = arphrdNone, uint32(ip.off-p.off), versionOf(r.chunk[ip.off])
		}
	default:
		known = false
	}
	if !known {
		return
	}
	proto, at := in.Protocol, int(in.NetOff)
	if p.link == linktype.Ethernet {
		proto, at = behindTags(b)
	}
	in.PayOffset = payOffset(proto, b[at:], uint32(at))
	if r.hashed {
		in.Hash, in.HashType = rssHash(proto, b[at:])
	}
}

// typeTrans is the protocol of an Ethernet frame (Linux: eth_type_trans): where there is a length, that of LLC, or of IPX without it.
func typeTrans(b []byte) uint16 {
	const ether8022, ether8023 = 4, 1
	proto := binary.BigEndian.Uint16(b[12:])
	switch {
	case proto >= etherMin:
		return proto
	case len(b) >= etherLen+2 && b[etherLen] == 0xff && b[etherLen+1] == 0xff:
		return ether8023
	}
	return ether8022
}

// headerLens are the lengths of transport headers, as far as bpf_filter's payload offset knows them (Linux: __skb_get_poff).
var headerLens = map[uint8]uint32{protoTCP: 20, protoUDP: 8, protoUDPLite: 8, protoICMP: 8, protoICMPv6: 8, protoIGMP: 8, protoDCCP: 12, protoSCTP: 12}

const protoIGMP = 2

// payOffset is where the payload of an IP packet's transport protocol begins, for a packet that is b and begins at distance at; 0 when it is
// not IP.
func payOffset(proto uint16, b []byte, at uint32) uint32 {
	var u upper
	switch {
	case isIPv4(proto, b):
		u = upper4(b)
	case isIPv6(proto, b):
		u = upper6(b)
	}
	if u.at == 0 {
		return 0
	}
	off := at + uint32(u.at)
	if !u.first {
		return off
	}
	n := headerLens[u.proto]
	if u.proto == protoTCP {
		if len(b) < u.at+13 {
			return off
		}
		n = max(n, uint32(b[u.at+12]>>4)*4)
	}
	return off + n
}
