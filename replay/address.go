package replay

import "encoding/binary"

// Other addresses in every pass over a capture, so that its flows are new ones: the number of the pass is added to the addresses of each IP
// header, and to those of the packet that an ICMP error quotes. Both directions of a flow, and all its fragments, stay together.
// Checksums change by as much as the addresses do (RFC 1624): what was right stays right, what was wrong stays wrong.

const (
	protoICMP    = 1
	protoDCCP    = 33
	protoICMPv6  = 58
	protoUDPLite = 136
	icmpQuote    = 8 // where an ICMP error has the packet that it is about
)

// checksumAt is where the transport protocols have their checksum, which covers the addresses.
var checksumAt = map[uint8]int{protoTCP: 16, protoUDP: 6, protoUDPLite: 6, protoDCCP: 6, protoICMPv6: 2}

// icmpErrors are the types of messages that quote a packet, by protocol.
var icmpErrors = map[uint8][]uint8{protoICMP: {3, 4, 5, 11, 12}, protoICMPv6: {1, 2, 3, 4}}

// readdress adds by to the addresses of an IP packet; others are left alone.
func readdress(proto uint16, b []byte, by uint32) { readdressed(proto, b, by, false) }

// readdressed does it for a packet, or one that is quoted, and returns the change of the one's complement sum of its bytes.
func readdressed(proto uint16, b []byte, by uint32, quoted bool) (change uint32) {
	var u upper
	var seen uint32 // change of what the transport protocol's checksum sees
	switch {
	case isIPv4(proto, b):
		u, seen = upper4(b), addTo4(b[12:], by)+addTo4(b[16:], by)
		change = seen + adjust(b[10:], seen)
	case isIPv6(proto, b):
		u, seen = upper6(b), addTo6(b[8:], by)
		dst := addTo6(b[24:], by)
		change = seen + dst
		if !u.routed { // RFC 8200 §8.1: the address that counts is the last one of the routing header
			seen = change
		}
	}
	if u.at == 0 || !u.first {
		return change
	}
	return change + readdressUpper(u.proto, b[u.at:], by, seen, quoted)
}

// readdressUpper corrects what is behind the IP header, where addresses that the checksum sees have changed.
func readdressUpper(proto uint8, b []byte, by, seen uint32, quoted bool) (change uint32) {
	at, ok := checksumAt[proto]
	if proto == protoICMP {
		at, ok, seen = 2, true, 0
	}
	if !ok || len(b) < at+2 {
		return 0
	}
	if _, may := icmpErrors[proto]; may && !quoted && len(b) > icmpQuote && isOneOf(b[0], icmpErrors[proto]) {
		change = readdressed(versionOf(b[icmpQuote]), b[icmpQuote:], by, true)
	}
	sum := b[at:]
	if proto == protoUDP && sum[0]|sum[1] == 0 {
		return change // there is none
	}
	before := binary.BigEndian.Uint16(sum)
	adjust(sum, seen+change)
	if proto == protoUDP && sum[0]|sum[1] == 0 {
		binary.BigEndian.PutUint16(sum, 0xffff)
	}
	return change + differ(before, binary.BigEndian.Uint16(sum))
}

func isOneOf(v uint8, list []uint8) bool {
	for _, w := range list {
		if v == w {
			return true
		}
	}
	return false
}

// versionOf is the ethertype of an IP packet by its first byte; 0 when it is none.
func versionOf(first byte) uint16 {
	switch first >> 4 {
	case 4:
		return etherIPv4
	case 6:
		return etherIPv6
	}
	return 0
}

// addTo4 adds to an IPv4 address, within its first byte's network; those that are of no one host are left.
func addTo4(b []byte, by uint32) (change uint32) {
	const host = 1<<24 - 1
	if b[0] == 0 || b[0] == 127 || b[0] >= 224 {
		return 0
	}
	a := binary.BigEndian.Uint32(b)
	return put32(b, a&^host|(a+by)&host)
}

// addTo6 adds to the last 32 bits of an IPv6 address; those that are of no one host are left.
func addTo6(b []byte, by uint32) (change uint32) {
	high, low := binary.BigEndian.Uint64(b), binary.BigEndian.Uint64(b[8:])
	if b[0] == 0xff || high == 0 && low <= 1 {
		return 0
	}
	return put32(b[12:], uint32(low)+by)
}

func put32(b []byte, v uint32) (change uint32) {
	was := binary.BigEndian.Uint32(b)
	binary.BigEndian.PutUint32(b, v)
	return differ(uint16(was>>16), uint16(v>>16)) + differ(uint16(was), uint16(v))
}

// differ is what a 16-bit word that changes adds to a one's complement sum.
func differ(was, is uint16) uint32 { return uint32(^was) + uint32(is) }

// adjust corrects a checksum by a change of what it covers (RFC 1624, equation 3), and returns its own.
func adjust(b []byte, change uint32) uint32 {
	was := binary.BigEndian.Uint16(b)
	sum := uint32(^was) + change
	sum = sum>>16 + sum&0xffff
	sum = sum>>16 + sum&0xffff
	is := ^uint16(sum)
	binary.BigEndian.PutUint16(b, is)
	return differ(was, is)
}
