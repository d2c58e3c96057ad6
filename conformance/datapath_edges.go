package conformance

import (
	"bytes"
	"encoding/binary"
	"io"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// The edge packets: each kind of packet that the larger programs know, and what can be wrong with it. Addresses are those of
// package traffic.

// onesSum is the ones' complement sum of 16-bit words, the last padded with zeros (RFC 1071).
func onesSum(sum uint32, b []byte) uint32 {
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum&0xffff + sum>>16
	}
	return sum
}

// pseudo is the sum of the pseudo header of the frame's IP packet, whose transport header and data are b[l4:].
func pseudo(b []byte, l4 int) uint32 {
	if b[offIP]>>4 == 4 {
		return onesSum(uint32(b[23])+uint32(len(b)-l4), b[26:34])
	}
	return onesSum(uint32(b[20])+uint32(len(b)-l4), b[22:54])
}

// checksumAt is where a protocol has its checksum, and whether a pseudo header counts.
func checksumAt(proto byte) (at int, withPseudo, ok bool) {
	switch proto {
	case 1:
		return 2, false, true
	case 58:
		return 2, true, true
	case 6:
		return 16, true, true
	case 17:
		return 6, true, true
	}
	return 0, false, false
}

// transport is the offset of the transport header of a frame without tags and extension headers, and its protocol.
func transport(b []byte) (l4 int, proto byte) {
	if b[offIP]>>4 == 4 {
		return offIP + int(b[offIP]&15)*4, b[23]
	}
	return offIP + 40, b[20]
}

// seal fills in lengths and checksums of a frame: everything behind the Ethernet header is the IP packet.
func seal(b []byte) {
	l4, proto := transport(b)
	if b[offIP]>>4 == 4 {
		binary.BigEndian.PutUint16(b[16:], uint16(len(b)-offIP))
		clear(b[24:26])
		binary.BigEndian.PutUint16(b[24:], ^uint16(onesSum(0, b[offIP:l4])))
	} else {
		binary.BigEndian.PutUint16(b[18:], uint16(len(b)-l4))
	}
	if proto == 17 {
		binary.BigEndian.PutUint16(b[l4+4:], uint16(len(b)-l4))
	}
	at, with, ok := checksumAt(proto)
	if !ok {
		return
	}
	clear(b[l4+at : l4+at+2])
	sum := uint32(0)
	if with {
		sum = pseudo(b, l4)
	}
	binary.BigEndian.PutUint16(b[l4+at:], ^uint16(onesSum(sum, b[l4:])))
}

// sealed reports whether the checksums of a frame are right.
func sealed(b []byte) bool {
	c := bytes.Clone(b)
	seal(c)
	return bytes.Equal(b, c)
}

// frame4 and frame6 make a frame of a transport header with data, or of any bytes; client and server are numbers of hosts.
func frame4(client, server, proto byte, l4 ...byte) []byte {
	b := []byte{2, 0, 0, 0, 2, server, 2, 0, 0, 0, 0, client, 8, 0, 0x45, 0, 0, 0, 0x12, 0x34, 0x40, 0, 64, proto, 0, 0,
		192, 0, 2, client, 203, 0, 113, server}
	b = append(b, l4...)
	seal(b)
	return b
}

func frame6(client, server, proto byte, l4 ...byte) []byte {
	b := []byte{2, 0, 0, 0, 2, server, 2, 0, 0, 0, 0, client, 0x86, 0xdd, 0x60, 0, 0, 0, 0, 0, proto, 64,
		0x20, 1, 0x0d, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, client, 0x20, 1, 0x0d, 0xb8, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, server}
	b = append(b, l4...)
	seal(b)
	return b
}

// tcp is a segment from an odd port with options and n bytes of data.
func tcp(port uint16, flags byte, options []byte, n int) []byte {
	b := []byte{0x9c, 0x41, byte(port >> 8), byte(port), 1, 2, 3, 4, 9, 8, 7, 6, byte(5+len(options)/4) << 4, flags, 0xfa, 0xf0, 0, 0, 0, 0}
	return append(append(b, options...), data(n)...)
}

func udp(port uint16, n int) []byte {
	return append([]byte{0x9c, 0x42, byte(port >> 8), byte(port), 0, 0, 0, 0}, data(n)...)
}

// data is n bytes that count up.
func data(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i)
	}
	return b
}

func icmp(kind, code byte, rest ...byte) []byte { return append([]byte{kind, code, 0, 0}, rest...) }

// icmpError4 is an error from a router to the sender of a frame that it quotes.
func icmpError4(quoted []byte, router [4]byte, kind, code byte) []byte {
	ip := quoted[offIP:]
	ip = ip[:min(len(ip), 28)]
	b := append(bytes.Clone(quoted[:offIP]), 0x45, 0, 0, 0, 0, 1, 0, 0, 64, 1, 0, 0)
	b = append(append(b, router[:]...), ip[12:16]...)
	b = append(b, icmp(kind, code, 0, 0, 5, 0xdc)...)
	b = append(b, ip...)
	seal(b)
	return b
}

// icmpError6 is icmpError4 for IPv6, from the host that the frame went to.
func icmpError6(quoted []byte, kind, code byte) []byte {
	ip := quoted[offIP:]
	b := bytes.Clone(quoted[:offIP+40])
	swap(b, offIP+8, offIP+24, 16)
	b[20] = 58
	b = append(b, icmp(kind, code, 0, 0, 5, 0xdc)...)
	b = append(b, ip[:min(len(ip), 96)]...)
	seal(b)
	return b
}

// base4 and base6 are the packets that edges are made of.
func base4() [][]byte {
	fancy := []byte{2, 4, 5, 180, 4, 2, 8, 10, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 1, 3, 3, 9}
	all := [][]byte{
		frame4(5, 1, 6, tcp(80, 2, fancy, 0)...), frame4(200, 2, 6, tcp(443, 2, nil, 0)...),
		frame4(6, 3, 6, tcp(22, 2, []byte{1, 3, 3, 14, 4, 2, 1, 1}, 0)...), frame4(7, 3, 6, tcp(443, 2, []byte{2, 4, 2, 0, 3, 3, 20, 0}, 0)...),
		frame4(8, 1, 6, tcp(443, 2, []byte{8, 10, 1, 2, 3, 4, 0, 0, 0, 0, 1, 1}, 0)...), frame4(8, 4, 6, tcp(80, 2, []byte{2, 40, 1, 1}, 0)...),
		frame4(77, 1, 6, tcp(80, 2, fancy, 9)...), frame4(9, 2, 6, tcp(80, 0x10, nil, 100)...), frame4(9, 2, 6, tcp(80, 0x11, nil, 0)...),
		frame4(9, 2, 6, tcp(80, 4, nil, 0)...), frame4(9, 2, 6, tcp(80, 0, nil, 0)...), frame4(9, 2, 6, tcp(80, 3, nil, 0)...),
		frame4(10, 1, 17, udp(53, 33)...), frame4(200, 5, 17, udp(53, 0)...), frame4(10, 1, 17, udp(9, 1)...),
		frame4(11, 6, 1, icmp(8, 0, 0x11, 0x22, 0, 1, 1, 2, 3)...), frame4(11, 6, 1, icmp(0, 0, 0x11, 0x22, 0, 1)...),
		frame4(11, 6, 1, icmp(13, 0, 0, 1, 0, 1)...), frame4(12, 7, 47, data(40)...), frame4(12, 7, 4, frame4(1, 2, 17, udp(53, 8)...)[14:]...),
		frame4(3, 30, 132, data(30)...),
	}
	for _, n := range []int{1180, 1232, 1400, 1440, 1466, 1467} {
		all = append(all, frame4(13, 1, 6, tcp(80, 0x18, nil, n-20)...), frame4(14, 20, 17, udp(53, n-8)...))
	}
	return all
}

func base6() [][]byte {
	fancy := []byte{2, 4, 5, 160, 4, 2, 8, 10, 0, 0, 0x12, 0x34, 0, 0, 0, 0, 1, 3, 3, 7}
	all := [][]byte{
		frame6(5, 1, 6, tcp(80, 2, fancy, 0)...), frame6(6, 2, 6, tcp(443, 2, nil, 0)...), frame6(6, 3, 6, tcp(22, 2, []byte{4, 2, 1, 1}, 0)...),
		frame6(7, 2, 6, tcp(80, 0x10, nil, 64)...), frame6(7, 2, 6, tcp(80, 4, nil, 0)...), frame6(8, 1, 17, udp(53, 31)...),
		frame6(9, 4, 58, icmp(128, 0, 0x11, 0x22, 0, 1, 9)...), frame6(9, 4, 58, icmp(135, 0, data(20)...)...), frame6(3, 30, 132, data(30)...),
		frame6(10, 1, 0, append([]byte{6, 0, 1, 4, 0, 0, 0, 0}, tcp(80, 2, nil, 0)...)...),
		frame6(10, 1, 60, append([]byte{17, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0}, udp(53, 4)...)...),
		frame6(10, 1, 43, append([]byte{6, 2, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2}, tcp(443, 2, nil, 0)...)...),
		frame6(11, 1, 44, append([]byte{17, 0, 0, 1, 0, 0, 0, 9}, udp(53, 24)...)...), frame6(11, 1, 44, append([]byte{17, 0, 0, 32, 0, 0, 0, 9}, data(24)...)...),
		frame6(11, 1, 44, append([]byte{6, 0, 0, 0, 0, 0, 0, 9}, tcp(22, 2, nil, 0)...)...), frame6(12, 1, 59),
		frame6(12, 1, 0, append([]byte{60, 0, 1, 4, 0, 0, 0, 0, 43, 0, 1, 4, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0, 0, 0, 44, 0, 1, 4, 0, 0, 0, 0, 60, 0, 0, 0, 0, 0,
			0, 1, 6, 0, 1, 4, 0, 0, 0, 0}, tcp(80, 2, nil, 0)...)...),
		frame6(12, 1, 0, []byte{6, 31, 1, 4, 0, 0, 0, 0}...), frame6(13, 1, 41, frame6(1, 2, 17, udp(53, 8)...)[14:]...),
	}
	for _, n := range []int{1160, 1220, 1400, 1420, 1446, 1447} {
		all = append(all, frame6(14, 1, 6, tcp(80, 0x18, nil, n-20)...), frame6(15, 20, 17, udp(53, n-8)...))
	}
	return all
}

// changed is a copy with bytes set from at on.
func changed(b []byte, at int, to ...byte) []byte {
	c := bytes.Clone(b)
	copy(c[at:], to)
	return c
}

// Edges makes the edge packets.
func Edges() [][]byte {
	four, six := base4(), base6()
	all := append(append([][]byte{}, four...), six...)
	for client := range byte(6) { // more than there are ports for
		all = append(all, frame4(20+client, 9, 17, udp(7, 3)...))
	}
	for i, b := range four[:21] {
		hop := changed(b, 22, byte(i%2)) // 0 or 1
		seal(hop)
		ect := changed(b, 15, 2)
		seal(ect)
		options := append(append(append(bytes.Clone(b[:34]), 148, 4, 0, 0), 7, 3, 4, 1), b[34:]...)
		options[offIP] = 0x47
		seal(options)
		all = append(all, hop, ect, options, changed(b, 16, 0xff), changed(b, 16, 0, 19), changed(b, 20, 0x20, 0), changed(b, 20, 0, 3),
			changed(b, 20, 0, 0), changed(b, offIP, 0x44), changed(b, offIP, 0x65), append(bytes.Clone(b), data(7)...),
			changed(b, len(b)-1, b[len(b)-1]^1), tagged(b, 0x8100), tagged(tagged(b, 0x8100), 0x88a8))
	}
	for i, b := range six[:19] {
		all = append(all, changed(b, 21, byte(i%2)), changed(b, offIP, 0x60, 0x20), changed(b, 18, 0xff), changed(b, 18, 0, 3),
			changed(b, offIP, 0x40), append(bytes.Clone(b), data(7)...), tagged(b, 0x8100))
	}
	for _, b := range [][]byte{four[0], four[12], four[15], six[0], six[5], six[9]} {
		for n := offIP; n < min(len(b), 100); n += 5 {
			all = append(all, b[:n])
		}
	}
	return append(all, edgeErrors(four, six)...)
}

// edgeErrors are ICMP errors about packets, to clients and to servers, whole and cut.
func edgeErrors(four, six [][]byte) (all [][]byte) {
	for i, b := range [][]byte{four[0], four[1], four[12], four[15], four[18]} {
		back := bytes.Clone(b)
		swap(back, 26, 30, 4)
		if b[23] != 1 {
			swap(back, 34, 36, 2)
		}
		for _, quoted := range [][]byte{b, back} {
			e := icmpError4(quoted, [4]byte{198, 51, 100, 1}, []byte{3, 11, 12}[i%3], byte(i))
			all = append(all, e, e[:60], changed(e, 42, 0x46))
		}
	}
	for i, b := range [][]byte{six[0], six[5], six[6], six[7]} {
		back := bytes.Clone(b)
		swap(back, 22, 38, 16)
		swap(back, 54, 56, 2)
		for _, quoted := range [][]byte{b, back} {
			e := icmpError6(quoted, byte(1+i), 0)
			all = append(all, e, e[:90])
		}
	}
	return all
}

// tagged puts a VLAN tag into a frame.
func tagged(b []byte, tpid uint16) []byte {
	c := append(bytes.Clone(b[:12]), byte(tpid>>8), byte(tpid), 0x60, 100)
	return append(c, b[12:]...)
}

// WriteEdges writes the edge packets as a capture.
func WriteEdges(w io.Writer) error {
	out, err := pcap.NewWriter(w, pcap.WriterOptions{Link: linktype.Ethernet})
	if err != nil {
		return err
	}
	for i, b := range Edges() {
		p := pcap.Packet{Data: b, OrigLen: uint32(len(b)), TS: 1767225600e9 + int64(i)*1e6}
		if err := out.Write(&p); err != nil {
			return err
		}
	}
	return out.Flush()
}
