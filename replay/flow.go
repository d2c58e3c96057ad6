package replay

import "encoding/binary"

// What is read of headers to tell flows apart.
const (
	maxTags        = 4 // VLAN tags that are looked behind
	etherQinQ      = 0x9100
	protoTCP       = 6
	protoUDP       = 17
	protoSCTP      = 132
	ipv4MinLen     = 20
	ipv6Len        = 40
	ipv4Fragment   = 0x3fff // more fragments, or an offset
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
	maxExtensions  = 8
)

// behindTags is the ethertype of an Ethernet frame of at least a header behind its VLAN tags, and where that payload begins.
func behindTags(b []byte) (proto uint16, at int) {
	proto, at = binary.BigEndian.Uint16(b[12:]), etherLen
	for range maxTags {
		if proto != etherVLAN && proto != etherSVLAN && proto != etherQinQ || len(b) < at+vlanLen {
			break
		}
		proto, at = binary.BigEndian.Uint16(b[at+2:]), at+vlanLen
	}
	return proto, at
}

// upper is what an IP header says of what comes behind it.
type upper struct {
	proto    uint8
	at       int  // where it begins; 0: nowhere in what there is
	dynamic  bool // behind options or extension headers
	fragment bool // of a packet that is in several
	first    bool // the first of those
	routed   bool // a routing header has addresses that are still to come
}

// upper4 looks at an IPv4 header of at least 20 bytes.
func upper4(b []byte) upper {
	frag := binary.BigEndian.Uint16(b[6:]) & ipv4Fragment
	u := upper{proto: b[9], at: int(b[0]&15) * 4, fragment: frag != 0, first: frag&0x1fff == 0}
	u.dynamic = u.at > ipv4MinLen
	if u.at < ipv4MinLen || u.at > len(b) {
		u.at = 0
	}
	return u
}

// upper6 looks at an IPv6 header of at least 40 bytes and the extension headers behind it.
func upper6(b []byte) upper {
	u := upper{proto: b[6], at: ipv6Len, first: true}
	for range maxExtensions {
		ext := u.proto == extHopByHop || u.proto == extRouting || u.proto == extDestination
		if !ext && u.proto != extFragment || len(b) < u.at+8 {
			break
		}
		h := b[u.at:]
		size := (int(h[1]) + 1) * 8
		if !ext {
			frag := binary.BigEndian.Uint16(h[2:])
			u.fragment, u.first, size = u.fragment || frag&^6 != 0, u.first && frag>>3 == 0, 8
		}
		u.routed = u.routed || u.proto == extRouting && h[3] != 0
		u.proto, u.at, u.dynamic = h[0], u.at+size, true
		if u.at > len(b) {
			u.at = 0
			break
		}
		if !u.first {
			break // what follows is a part of anything
		}
	}
	return u
}

// isIPv4 and isIPv6 report whether a payload of that ethertype has a header of the version.
func isIPv4(proto uint16, b []byte) bool {
	return proto == etherIPv4 && len(b) >= ipv4MinLen && b[0]>>4 == 4
}

func isIPv6(proto uint16, b []byte) bool {
	return proto == etherIPv6 && len(b) >= ipv6Len && b[0]>>4 == 6
}

// flowHash is the same number for all packets of a flow, in both directions: it is made of the addresses and, of TCP, UDP and SCTP packets
// that are no fragments, of the ports, each pair in ascending order; of anything but IP, of the two MAC addresses. The packet is an Ethernet
// frame, whatever is missing at its end.
func flowHash(b []byte) uint32 {
	if len(b) < etherLen {
		return 0
	}
	proto, at := behindTags(b)
	if h, ok := flowHashIP(proto, b[at:]); ok {
		return h
	}
	return mix(pair(mac(b), mac(b[6:])))
}

// flowHashIP is flowHash of a packet without a link-layer header, false when it is not IP.
func flowHashIP(proto uint16, b []byte) (uint32, bool) {
	switch {
	case isIPv4(proto, b):
		return hashIPv4(b), true
	case isIPv6(proto, b):
		return hashIPv6(b), true
	}
	return 0, false
}

func mac(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(b))<<16 | uint64(binary.BigEndian.Uint16(b[4:]))
}

func hashIPv4(b []byte) uint32 {
	h := pair(uint64(binary.BigEndian.Uint32(b[12:])), uint64(binary.BigEndian.Uint32(b[16:])))
	u := upper4(b)
	if !u.fragment && u.at != 0 {
		h += ports(u.proto, b[u.at:])
	}
	return mix(h + uint64(u.proto))
}

func hashIPv6(b []byte) uint32 {
	address := func(b []byte) uint64 { return scramble(binary.BigEndian.Uint64(b)) ^ binary.BigEndian.Uint64(b[8:]) }
	h := pair(address(b[8:]), address(b[24:]))
	u := upper6(b)
	switch {
	case u.fragment: // all fragments of a packet stay together, and so do those of its flow
		return mix(h)
	case u.at != 0:
		h += ports(u.proto, b[u.at:])
	}
	return mix(h + uint64(u.proto))
}

// ports is 0 for what has none.
func ports(proto uint8, b []byte) uint64 {
	if proto != protoTCP && proto != protoUDP && proto != protoSCTP || len(b) < 4 {
		return 0
	}
	return pair(uint64(binary.BigEndian.Uint16(b)), uint64(binary.BigEndian.Uint16(b[2:])))
}

// pair makes one number of two, whatever their order.
func pair(a, b uint64) uint64 { return scramble(min(a, b)*0x9e3779b97f4a7c15 + max(a, b)) }

// scramble lets every bit of v have a say in every bit of the result.
func scramble(v uint64) uint64 {
	v = (v ^ v>>32) * 0xd6e8feb86659fd93
	return (v ^ v>>32) * 0xd6e8feb86659fd93
}

func mix(h uint64) uint32 { h = scramble(h); return uint32(h ^ h>>32) }
