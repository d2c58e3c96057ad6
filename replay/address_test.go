package replay

import (
	"bytes"
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/traffic"
)

// sum16 is the one's complement sum of b (RFC 1071), done the long way.
func sum16(b []byte, sum uint32) uint32 {
	for ; len(b) > 1; b = b[2:] {
		sum += uint32(binary.BigEndian.Uint16(b))
	}
	if len(b) > 0 {
		sum += uint32(b[0]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

// rightSums says which checksums of an IP packet are right: the header's, and that of TCP, UDP, ICMP or ICMPv6 in a packet that is whole.
func rightSums(proto uint16, b []byte) (header, upperSum bool) {
	var u upper
	var pseudo uint32
	end := 0
	switch {
	case isIPv4(proto, b):
		u, end = upper4(b), int(binary.BigEndian.Uint16(b[2:]))
		if u.at != 0 {
			header = sum16(b[:u.at], 0) == 0xffff
		}
		pseudo = sum16(b[12:20], 0)
	case isIPv6(proto, b):
		u, end = upper6(b), ipv6Len+int(binary.BigEndian.Uint16(b[4:]))
		pseudo = sum16(b[8:40], 0)
	}
	if _, known := checksumAt[u.proto]; !known && u.proto != protoICMP || u.at == 0 || u.fragment || end > len(b) || end < u.at {
		return header, false
	}
	if u.proto == protoICMP {
		return header, sum16(b[u.at:end], 0) == 0xffff
	}
	return header, sum16(b[u.at:end], sum16([]byte{0, u.proto}, pseudo+uint32(end-u.at))) == 0xffff
}

// TestReaddress: in generated traffic, what was right stays right and what was wrong stays wrong; both directions of a flow stay
// together, and flows do not run into one another. What the packet holds beside addresses and checksums is as it was.
func TestReaddress(t *testing.T) {
	for _, by := range []uint32{1, 2, 255, 1 << 20} {
		flows := map[uint32]uint32{}
		var sums [2]int
		for _, frame := range samplePackets(t) {
			if len(frame) < etherLen {
				continue
			}
			proto, at := behindTags(frame)
			was := bytes.Clone(frame)
			readdress(proto, frame[at:], by)
			if !isIPv4(proto, was[at:]) && !isIPv6(proto, was[at:]) {
				require.Equal(t, was, frame, "not IP")
				continue
			}
			header, upper := rightSums(proto, was[at:])
			header2, upper2 := rightSums(proto, frame[at:])
			require.Equal(t, [2]bool{header, upper}, [2]bool{header2, upper2}, "%x\n%x", was, frame)
			sums[0] += btoi(header)
			sums[1] += btoi(upper)
			if to, known := flows[flowHash(was)]; known {
				require.Equal(t, to, flowHash(frame), "%x", was)
			}
			flows[flowHash(was)] = flowHash(frame)
			again := bytes.Clone(frame)
			readdress(proto, again[at:], -by)
			require.Equal(t, was, again, "and back")
		}
		require.Greater(t, sums[0], 300)
		require.Greater(t, sums[1], 300)
	}
}

// TestReaddressQuoted: an ICMP error quotes a packet of the flow as it is in that pass, with right checksums around it.
func TestReaddressQuoted(t *testing.T) {
	src4, dst4 := []byte{10, 0, 0, 1}, []byte{10, 0, 0, 255}
	src6, dst6 := append(make([]byte, 15), 9), append(make([]byte, 15), 255)
	src6[0], dst6[0] = 0x20, 0x20
	udp := []byte{0, 1, 0, 2, 0, 10, 0, 0, 'a', 'b'}
	tests := map[string]struct {
		proto uint16
		inner func() []byte
		outer func(payload []byte) []byte
	}{
		"IPv4": {etherIPv4, func() []byte { return ip4(protoUDP, src4, dst4, udp) }, func(p []byte) []byte {
			return ip4(protoICMP, dst4, src4, append([]byte{3, 3, 0, 0, 0, 0, 0, 0}, p...))
		}},
		"IPv6": {etherIPv6, func() []byte { return ip6(protoUDP, src6, dst6, udp) }, func(p []byte) []byte {
			return ip6(protoICMPv6, dst6, src6, append([]byte{1, 4, 0, 0, 0, 0, 0, 0}, p...))
		}},
	}
	for name, tt := range tests {
		inner := tt.inner()
		outer := tt.outer(inner)
		header, upperSum := rightSums(tt.proto, outer)
		require.Equal(t, [2]bool{tt.proto == etherIPv4, true}, [2]bool{header, upperSum}, name)
		readdress(tt.proto, outer, 300)
		readdress(tt.proto, inner, 300)
		header, upperSum = rightSums(tt.proto, outer)
		require.Equal(t, [2]bool{tt.proto == etherIPv4, true}, [2]bool{header, upperSum}, name)
		require.True(t, bytes.HasSuffix(outer, inner), "%s: %x does not end in %x", name, outer, inner)
	}
}

// TestReaddressFragments: of a packet in two parts the first has the checksum of all of it, and that is right when they are put together.
func TestReaddressFragments(t *testing.T) {
	src6, dst6 := append(make([]byte, 15), 9), append(make([]byte, 15), 255)
	src6[0], dst6[0] = 0x20, 0x20
	udp := append([]byte{0, 1, 0, 2, 0, 24, 0, 0}, "sixteen bytes.16"...)
	whole := ip4(protoUDP, []byte{10, 0, 0, 1}, []byte{10, 255, 255, 255}, udp)
	first, second := bytes.Clone(whole[:36]), append(bytes.Clone(whole[:20]), whole[36:]...)
	for at, part := range map[byte][]byte{0x20: first, 0: second} {
		part[3], part[6], part[7] = byte(len(part)), at, 2*(1-at>>5)
		part[10], part[11] = 0, 0
		binary.BigEndian.PutUint16(part[10:], ^uint16(sum16(part[:20], 0)))
		readdress(etherIPv4, part, 3)
		header, _ := rightSums(etherIPv4, part)
		require.True(t, header)
	}
	readdress(etherIPv4, whole, 3)
	require.Equal(t, whole[20:], append(bytes.Clone(first[20:]), second[20:]...))
	require.Equal(t, whole[12:20], first[12:20])
	require.Equal(t, whole[12:20], second[12:20])
	_, upperSum := rightSums(etherIPv4, whole)
	require.True(t, upperSum)

	whole = ip6(protoUDP, src6, dst6, udp)
	fragment := func(offset byte, payload []byte) []byte {
		b := append(bytes.Clone(whole[:40]), protoUDP, 0, 0, offset, 0, 0, 0, 1)
		b[5], b[6] = byte(8+len(payload)), extFragment
		return append(b, payload...)
	}
	first, second = fragment(1, whole[40:56]), fragment(16, whole[56:])
	for _, b := range [][]byte{whole, first, second} {
		readdress(etherIPv6, b, 3)
		require.Equal(t, whole[8:40], b[8:40])
	}
	require.Equal(t, whole[40:], append(bytes.Clone(first[48:]), second[48:]...))
	_, upperSum = rightSums(etherIPv6, whole)
	require.True(t, upperSum)
}

// ip4 and ip6 make packets with right checksums.
func ip4(proto byte, src, dst, payload []byte) []byte {
	payload = bytes.Clone(payload)
	b := append(append([]byte{0x45, 0, 0, byte(20 + len(payload)), 0, 0, 0, 0, 64, proto, 0, 0}, src...), dst...)
	binary.BigEndian.PutUint16(b[10:], ^uint16(sum16(b, 0)))
	pseudo := sum16(b[12:20], uint32(proto)+uint32(len(payload)))
	at := checksumAt[proto]
	if proto == protoICMP {
		at, pseudo = 2, 0
	}
	binary.BigEndian.PutUint16(payload[at:], ^uint16(sum16(payload, pseudo)))
	return append(b, payload...)
}

func ip6(proto byte, src, dst, payload []byte) []byte {
	payload = bytes.Clone(payload)
	b := append(append([]byte{0x60, 0, 0, 0, 0, byte(len(payload)), proto, 64}, src...), dst...)
	binary.BigEndian.PutUint16(payload[checksumAt[proto]:], ^uint16(sum16(payload, sum16(b[8:40], uint32(proto)+uint32(len(payload))))))
	return append(b, payload...)
}

// samplePackets are the frames of the sample capture.
func samplePackets(t testing.TB) (frames [][]byte) {
	r, err := pcap.NewReader(bytes.NewReader(traffic.Sample()), nil)
	require.NoError(t, err)
	recs := make([]pcap.Record, 64)
	for {
		n, err := r.ReadBatch(recs)
		if err != nil {
			return frames
		}
		for i := range recs[:n] {
			frames = append(frames, bytes.Clone(r.Data(&recs[i])))
		}
	}
}

// FuzzReaddress: whatever the packet, only bytes of it change, and turning back gives what was there, but for UDP's two zeros.
func FuzzReaddress(f *testing.F) {
	for i, frame := range samplePackets(f) {
		if i%25 == 0 && len(frame) > etherLen {
			proto, at := behindTags(frame)
			f.Add(proto, frame[at:], uint32(1))
		}
	}
	f.Fuzz(func(t *testing.T, proto uint16, b []byte, by uint32) {
		was := bytes.Clone(b)
		readdress(proto, b, by)
		if !isIPv4(proto, was) && !isIPv6(proto, was) {
			require.Equal(t, was, b)
		}
		rssHash(proto, b)
	})
}

// FuzzWireless: whatever a frame says, what is made of it lies in the buffer.
func FuzzWireless(f *testing.F) {
	frame := append([]byte{0x88, 1, 0, 0, 22: 0, 23: 0, 24: 0, 25: 0}, 0xaa, 0xaa, 3, 0, 0, 0, 8, 0, 0x45)
	f.Add(0, frame, uint32(len(frame)))
	f.Add(1, append([]byte{0, 0, 17, 0, 3, 0, 0, 0, 8: 0, 15: 0, 16: 0x10}, frame...), uint32(100))
	f.Add(2, append([]byte{0, 1, 32, 0, 105, 0, 0, 0, 2, 0, 20, 0, 20: 1, 31: 0}, frame...), uint32(60))
	convert := []func([]byte, *packet) skip{from80211, fromRadiotap, fromPPI, fromPrism, fromAVS}
	f.Fuzz(func(t *testing.T, which int, b []byte, wire uint32) {
		chunk := append(make([]byte, linkRoom), b...)
		p := packet{off: linkRoom, n: len(b), wire: wire}
		if convert[uint(which)%uint(len(convert))](chunk, &p) != skipNot {
			return
		}
		require.GreaterOrEqual(t, p.off, 0)
		require.GreaterOrEqual(t, p.n, 0) // what is shorter than a header is skipped after that
		require.LessOrEqual(t, p.off+p.n, len(chunk))
	})
}
