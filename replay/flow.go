package replay

import "encoding/binary"

// What flowHash reads of headers.
const (
	maxTags        = 4 // VLAN tags and MPLS labels that are looked behind, each
	protoTCP       = 6
	protoUDP       = 17
	protoSCTP      = 132
	ipv4Fragment   = 0x3fff // more fragments, or an offset
	extHopByHop    = 0
	extRouting     = 43
	extFragment    = 44
	extDestination = 60
	maxExtensions  = 8
)

// flowHash is the same number for all packets of a flow, in both directions: it is made of the addresses and, of TCP, UDP and SCTP packets
// that are no fragments, of the ports, each pair in ascending order; of anything but IP, of the two MAC addresses. The packet is an Ethernet
// frame, whatever is missing at its end.
func flowHash(b []byte) uint32 {
	if len(b) < etherLen {
		return 0
	}
	proto, rest := binary.BigEndian.Uint16(b[12:]), b[etherLen:]
	for range maxTags {
		if proto != 0x8100 && proto != 0x88a8 && proto != 0x9100 || len(rest) < vlanLen {
			break
		}
		proto, rest = binary.BigEndian.Uint16(rest[2:]), rest[vlanLen:]
	}
	switch {
	case proto == 0x0800 && len(rest) >= 20 && rest[0]>>4 == 4:
		return hashIPv4(rest)
	case proto == 0x86dd && len(rest) >= 40 && rest[0]>>4 == 6:
		return hashIPv6(rest)
	}
	return mix(pair(mac(b), mac(b[6:])))
}

func mac(b []byte) uint64 {
	return uint64(binary.BigEndian.Uint32(b))<<16 | uint64(binary.BigEndian.Uint16(b[4:]))
}

func hashIPv4(b []byte) uint32 {
	h := pair(uint64(binary.BigEndian.Uint32(b[12:])), uint64(binary.BigEndian.Uint32(b[16:])))
	header := int(b[0]&15) * 4
	if binary.BigEndian.Uint16(b[6:])&ipv4Fragment == 0 && header >= 20 && header <= len(b) {
		h += ports(b[9], b[header:])
	}
	return mix(h + uint64(b[9]))
}

func hashIPv6(b []byte) uint32 {
	address := func(b []byte) uint64 { return scramble(binary.BigEndian.Uint64(b)) ^ binary.BigEndian.Uint64(b[8:]) }
	h := pair(address(b[8:]), address(b[24:]))
	next, rest := b[6], b[40:]
	for range maxExtensions {
		if next != extHopByHop && next != extRouting && next != extDestination || len(rest) < 8 {
			break
		}
		size := (int(rest[1]) + 1) * 8
		if size > len(rest) {
			rest = nil
			break
		}
		next, rest = rest[0], rest[size:]
	}
	if next == extFragment { // all fragments of a packet stay together, and so do those of its flow
		return mix(h)
	}
	return mix(h + ports(next, rest) + uint64(next))
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
