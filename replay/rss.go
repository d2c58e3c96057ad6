package replay

import (
	"encoding/binary"
	"sync"
)

// Receive side scaling: the hash that a network device makes of a packet's addresses and ports to choose a queue, Toeplitz's with the key that
// Microsoft's specification of RSS publishes and most drivers begin with. Unlike flowHash it is not the same in both directions.

// rssKey is that key: as many bytes as the longest input, and a word to begin with.
var rssKey = [40]byte{
	0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67, 0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
	0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30, 0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa,
}

// rssInput is the longest input: two IPv6 addresses and two ports.
const rssInput = 36

// rssTable is what each value of each byte of the input adds to the hash.
var rssTable = sync.OnceValue(func() *[rssInput][256]uint32 {
	var t [rssInput][256]uint32
	for at := range t {
		var key [8]byte
		copy(key[:], rssKey[at:])
		window := binary.BigEndian.Uint64(key[:])
		for v := range t[at] {
			for bit := range 8 {
				if v>>(7-bit)&1 != 0 {
					t[at][v] ^= uint32(window << bit >> 32)
				}
			}
		}
	}
	return &t
})

// Bits of enum xdp_rss_hash_type.
const (
	rssIPv4    = 1 << 0
	rssIPv6    = 1 << 1
	rssDynamic = 1 << 2 // behind options, or extension headers
	rssL4      = 1 << 3 // with ports
)

// rssL4Bits says which bit a protocol has whose ports are hashed.
var rssL4Bits = map[uint8]uint32{protoTCP: 1 << 4, protoUDP: 1 << 5, protoSCTP: 1 << 6}

// rssHash is the hash of an IP packet, and enum xdp_rss_hash_type's number of what it was made of: addresses and, of TCP, UDP and SCTP packets
// that are no fragments, ports. Both are 0 of anything else.
func rssHash(proto uint16, b []byte) (hash, kind uint32) {
	var u upper
	var addresses []byte
	switch {
	case isIPv4(proto, b):
		u, addresses, kind = upper4(b), b[12:20], rssIPv4
	case isIPv6(proto, b):
		u, addresses, kind = upper6(b), b[8:40], rssIPv6
	default:
		return 0, 0
	}
	if u.dynamic {
		kind |= rssDynamic
	}
	t := rssTable()
	hash = toeplitz(t[:], addresses)
	if u.fragment || u.at == 0 || len(b) < u.at+4 {
		return hash, kind
	}
	bit, ok := rssL4Bits[u.proto]
	if !ok {
		return hash, kind
	}
	hash ^= toeplitz(t[len(addresses):], b[u.at:u.at+4])
	kind |= rssL4 | bit
	if kind&rssIPv4 != 0 {
		kind &^= rssDynamic // there is no type of that
	}
	return hash, kind
}

func toeplitz(t [][256]uint32, b []byte) (hash uint32) {
	for i, v := range b {
		hash ^= t[i][v]
	}
	return hash
}
