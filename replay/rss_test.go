package replay

import (
	"encoding/binary"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/require"
)

// rssPacket makes an IP packet of some protocol without a link layer, with extension headers in front of what it carries.
func rssPacket(src, dst netip.AddrPort, proto uint8, ext ...byte) (ethertype uint16, b []byte) {
	a, z := src.Addr().AsSlice(), dst.Addr().AsSlice()
	if src.Addr().Is4() {
		b = []byte{0x45 + byte(len(ext)/4), 8: 64, 9: proto, 11: 0}
		ethertype = etherIPv4
	} else {
		b = []byte{0x60, 6: proto, 7: 64}
		ethertype = etherIPv6
	}
	b = append(append(append(b, a...), z...), ext...)
	b = binary.BigEndian.AppendUint16(b, src.Port())
	return ethertype, binary.BigEndian.AppendUint16(b, dst.Port())
}

// TestRSSHash has the values that Microsoft publishes with the algorithm, to verify implementations with.
func TestRSSHash(t *testing.T) {
	const noPorts = 50 // ESP
	for _, tt := range []struct {
		dst, src        string
		addresses, port uint32
	}{
		{"161.142.100.80:1766", "66.9.149.187:2794", 0x323e8fc2, 0x51ccc178},
		{"65.69.140.83:4739", "199.92.111.2:14230", 0xd718262a, 0xc626b0ea},
		{"12.22.207.184:38024", "24.19.198.95:12898", 0xd2d0a5de, 0x5c2b394a},
		{"209.142.163.6:2217", "38.27.205.30:48228", 0x82989176, 0xafc7327f},
		{"202.188.127.2:1303", "153.39.163.191:44251", 0x5d1809c5, 0x10e828a2},
		{"[3ffe:2501:200:3::1]:1766", "[3ffe:2501:200:1fff::7]:2794", 0x2cc18cd5, 0x40207d3d},
		{"[ff02::1]:4739", "[3ffe:501:8::260:97ff:fe40:efab]:14230", 0x0f0c461c, 0xdde51bbf},
		{"[fe80::200:f8ff:fe21:67cf]:38024", "[3ffe:1900:4545:3:200:f8ff:fe21:67cf]:44251", 0x4b61e985, 0x02d1feef},
	} {
		src, dst := netip.MustParseAddrPort(tt.src), netip.MustParseAddrPort(tt.dst)
		version := uint32(rssIPv4)
		if src.Addr().Is6() {
			version = rssIPv6
		}
		for proto, bit := range map[uint8]uint32{protoTCP: 1 << 4, protoUDP: 1 << 5, protoSCTP: 1 << 6} {
			hash, kind := rssHash(rssPacket(src, dst, proto))
			require.Equal(t, tt.port, hash, tt.src)
			require.Equal(t, version|rssL4|bit, kind, tt.src)
		}
		hash, kind := rssHash(rssPacket(src, dst, noPorts))
		require.Equal(t, tt.addresses, hash, tt.src)
		require.Equal(t, version, kind, tt.src)
	}
}

// TestRSSHashOfParts: fragments and what is cut short have no ports; options and extension headers are looked behind, and told of.
func TestRSSHashOfParts(t *testing.T) {
	four := [2]netip.AddrPort{netip.MustParseAddrPort("66.9.149.187:2794"), netip.MustParseAddrPort("161.142.100.80:1766")}
	six := [2]netip.AddrPort{netip.MustParseAddrPort("[3ffe:2501:200:1fff::7]:2794"), netip.MustParseAddrPort("[3ffe:2501:200:3::1]:1766")}
	const hash4, hash4L4, hash6, hash6L4 = 0x323e8fc2, 0x51ccc178, 0x2cc18cd5, 0x40207d3d
	check := func(what string, wantHash, wantKind uint32, proto uint16, b []byte) {
		hash, kind := rssHash(proto, b)
		require.Equal(t, [2]uint32{wantHash, wantKind}, [2]uint32{hash, kind}, what)
	}
	proto, b := rssPacket(four[0], four[1], protoTCP)
	check("ports cut off", hash4, rssIPv4, proto, b[:22])
	b[6] = 0x20
	check("first fragment", hash4, rssIPv4, proto, b)
	check("half a header", 0, 0, proto, b[:19])
	check("another version", 0, 0, etherIPv6, append(b, make([]byte, 40)...))
	check("not IP", 0, 0, 0x0806, b)
	proto, b = rssPacket(four[0], four[1], protoTCP, 1, 1, 1, 1)
	check("options", hash4L4, rssIPv4|rssL4|1<<4, proto, b)
	b[9] = 1
	check("options, no ports", hash4, rssIPv4|rssDynamic, proto, b)
	proto, b = rssPacket(six[0], six[1], extHopByHop, protoUDP, 0, 0, 0, 0, 0, 0, 0)
	check("extension header", hash6L4, rssIPv6|rssDynamic|rssL4|1<<5, proto, b)
	proto, b = rssPacket(six[0], six[1], extFragment, protoUDP, 0, 0, 1, 0, 0, 0, 0)
	check("fragment", hash6, rssIPv6|rssDynamic, proto, b)
	proto, b = rssPacket(six[0], six[1], extFragment, protoUDP, 0, 0, 0, 0, 0, 0, 0)
	check("a fragment that is all of the packet", hash6L4, rssIPv6|rssDynamic|rssL4|1<<5, proto, b)
}
