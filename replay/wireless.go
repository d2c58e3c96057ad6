package replay

import (
	"encoding/binary"

	"github.com/skepvm/skep/linktype"
)

// IEEE 802.11 frames as a driver hands them on: data frames become Ethernet (Linux: ieee80211_data_to_8023), what else there is in the air no
// program sees. Nothing can be made of a frame that is encrypted, or a part of one, or several in one: those are counted, not guessed at.

// wirelessInfo is what the header says that a capture puts before the frame.
type wirelessInfo struct {
	fcs bool // the frame check sequence is at the end
	bad bool // and it is wrong
	pad bool // the header is padded to a multiple of 4 bytes
}

const (
	wirelessHeader = 24 // frame control, duration, three addresses, sequence control
	wirelessFCS    = 4
	snapLen        = 6 // LLC with SNAP, up to the ethertype
)

// Flags of frame control's second byte.
const (
	dot11ToDS      = 1 << 0
	dot11FromDS    = 1 << 1
	dot11More      = 1 << 2 // fragments
	dot11Protected = 1 << 6
	dot11Order     = 1 << 7 // a QoS frame has an HT control field
)

// Bits of a data frame's subtype, and of its QoS control field.
const (
	dot11NoData    = 4
	dot11QoS       = 8
	dot11Aggregate = 1 << 7
	dot11Mesh      = 1 << 8
)

// from80211 makes Ethernet of a bare 802.11 frame.
func from80211(chunk []byte, p *packet) skip { return fromWireless(chunk, p, wirelessInfo{}) }

// fromRadiotap does it behind a radiotap header: version 0, a byte, length, bits of the fields that are there (radiotap.org).
func fromRadiotap(chunk []byte, p *packet) skip {
	b := chunk[p.off : p.off+p.n]
	if len(b) < 8 || b[0] != 0 {
		return skipLink
	}
	size := int(binary.LittleEndian.Uint16(b[2:]))
	if size < 8 || size > len(b) {
		return skipLink
	}
	flags, ok := radiotapFlags(b[:size])
	if !ok {
		return skipLink
	}
	p.move(size)
	return fromWireless(chunk, p, wirelessInfo{fcs: flags&0x10 != 0, pad: flags&0x20 != 0, bad: flags&0x40 != 0})
}

// radiotapFlags is the field Flags, 0 when it is not there; false when it should be.
func radiotapFlags(b []byte) (flags byte, ok bool) {
	const tsft, field, more = 1 << 0, 1 << 1, 1 << 31
	present := binary.LittleEndian.Uint32(b[4:])
	at := 8
	for word := present; word&more != 0; at += 4 {
		if len(b) < at+4 {
			return 0, false
		}
		word = binary.LittleEndian.Uint32(b[at:])
	}
	if present&field == 0 {
		return 0, true
	}
	if present&tsft != 0 {
		at = (at+7)&^7 + 8
	}
	if at >= len(b) {
		return 0, false
	}
	return b[at], true
}

// fromPPI does it behind a header of per-packet information: version 0, flags, length, link type, and fields of a type and a length each. The
// frame may be Ethernet already.
func fromPPI(chunk []byte, p *packet) skip {
	const common, commonFlags = 2, 8
	b := chunk[p.off : p.off+p.n]
	if len(b) < 8 || b[0] != 0 {
		return skipLink
	}
	link, size := linktype.Type(binary.LittleEndian.Uint32(b[4:])), int(binary.LittleEndian.Uint16(b[2:]))
	switch {
	case size < 8 || size > len(b):
		return skipLink
	case link == linktype.Ethernet:
		p.move(size)
		return skipNot
	case link != linktype.IEEE80211:
		return skipLink
	}
	var info wirelessInfo
	for at := 8; at+4 <= size; {
		typ, n := binary.LittleEndian.Uint16(b[at:]), int(binary.LittleEndian.Uint16(b[at+2:]))
		if at += 4; at+n > size {
			return skipLink
		}
		if typ == common && n >= commonFlags+2 {
			flags := binary.LittleEndian.Uint16(b[at+commonFlags:])
			info.fcs, info.bad = flags&1 != 0, flags&4 != 0
		}
		if at += n; b[1]&1 != 0 {
			at = (at + 3) &^ 3
		}
	}
	p.move(size)
	return fromWireless(chunk, p, info)
}

// fromPrism does it behind a Prism monitor header: a message code and the header's length, in the byte order of the machine. Some drivers put
// AVS's header there.
func fromPrism(chunk []byte, p *packet) skip {
	const prismLen = 144
	b := p.captured(chunk)
	if len(b) >= 8 && isAVS(b) {
		return fromAVS(chunk, p)
	}
	if len(b) < prismLen || binary.LittleEndian.Uint32(b[4:]) != prismLen && binary.BigEndian.Uint32(b[4:]) != prismLen {
		return skipLink
	}
	p.move(prismLen)
	return fromWireless(chunk, p, wirelessInfo{})
}

// fromAVS does it behind an AVS header: a magic number with the version, and the header's length, big-endian.
func fromAVS(chunk []byte, p *packet) skip {
	b := p.captured(chunk)
	if len(b) < 8 || !isAVS(b) {
		return skipLink
	}
	size := binary.BigEndian.Uint32(b[4:])
	if size < 8 || int64(size) > int64(len(b)) {
		return skipLink
	}
	p.move(int(size))
	return fromWireless(chunk, p, wirelessInfo{})
}

func isAVS(b []byte) bool { return binary.BigEndian.Uint32(b)>>12 == 0x80211 }

// fromWireless makes Ethernet of the frame that is left.
func fromWireless(chunk []byte, p *packet, info wirelessInfo) skip {
	switch {
	case info.bad:
		return skipFCS
	case info.fcs && !p.cutFCS():
		return skipLink
	}
	b := chunk[p.off : p.off+p.n]
	size, why := dataFrame(b)
	if why != skipNot {
		return why
	}
	if info.pad {
		size = (size + 3) &^ 3
	}
	if len(b) < size+snapLen+2 {
		return skipLink
	}
	dst, src := addresses80211(b)
	at, proto := size+snapLen+2-etherLen, binary.BigEndian.Uint16(b[size+snapLen:])
	switch {
	case !isSNAP(b[size:], proto): // 802.3: a length, and the LLC header
		if at, proto = size-etherLen, uint16(min(p.wire-uint32(size), etherMin)); proto >= etherMin {
			return skipLink
		}
	case proto < etherMin:
		return skipLink
	}
	p.move(at)
	h := chunk[p.off:]
	copy(h, dst[:])
	copy(h[6:], src[:])
	binary.BigEndian.PutUint16(h[12:], proto)
	return skipNot
}

// cutFCS takes the frame check sequence off the end, as far as it was captured.
func (p *packet) cutFCS() bool {
	if p.wire < wirelessFCS || p.n < wirelessFCS {
		return false
	}
	whole := p.n >= int(p.wire)
	if p.wire -= wirelessFCS; whole {
		p.n -= wirelessFCS
	} else {
		p.n = min(p.n, int(p.wire))
	}
	return true
}

// dataFrame is the size of a data frame's header, without padding, when a driver would hand the frame on as it is.
func dataFrame(b []byte) (size int, why skip) {
	if len(b) < 2 || b[0]&3 != 0 {
		return 0, skipLink
	}
	switch b[0] >> 2 & 3 {
	case 0:
		return 0, skipManagement
	case 1:
		return 0, skipControl
	case 3:
		return 0, skipLink
	}
	subtype, flags := b[0]>>4, b[1]
	size = wirelessHeader
	four := flags&(dot11ToDS|dot11FromDS) == dot11ToDS|dot11FromDS
	if four {
		size += 6
	}
	qos := uint16(0)
	if subtype&dot11QoS != 0 {
		if len(b) < size+2 {
			return 0, skipLink
		}
		qos = binary.LittleEndian.Uint16(b[size:])
		if size += 2; flags&dot11Order != 0 {
			size += 4
		}
	}
	switch {
	case len(b) < size:
		return 0, skipLink
	case subtype&dot11NoData != 0:
		return 0, skipNoData
	case flags&dot11Protected != 0:
		return 0, skipProtected
	case flags&dot11More != 0 || b[22]&15 != 0:
		return 0, skipFragment
	case qos&dot11Aggregate != 0:
		return 0, skipAggregate
	case four && qos&dot11Mesh != 0:
		return 0, skipLink
	}
	return size, skipNot
}

// addresses80211 are the frame's destination and source (IEEE 802.11, table of address fields by ToDS and FromDS).
func addresses80211(b []byte) (dst, src [6]byte) {
	d, s := 4, 10
	switch b[1] & (dot11ToDS | dot11FromDS) {
	case dot11ToDS:
		d, s = 16, 10
	case dot11FromDS:
		d, s = 4, 16
	case dot11ToDS | dot11FromDS:
		d, s = 16, 24
	}
	return [6]byte(b[d:]), [6]byte(b[s:])
}

// isSNAP reports whether the ethertype proto is in front of the payload, behind an LLC header that says no more (RFC 1042, or a bridge tunnel;
// AppleTalk's ARP and IPX are left in LLC, as IEEE 802.1H has it).
func isSNAP(b []byte, proto uint16) bool {
	const aarp, ipx = 0x80f3, 0x8137
	switch [snapLen]byte(b) {
	case [snapLen]byte{0xaa, 0xaa, 3, 0, 0, 0}:
		return proto != aarp && proto != ipx
	case [snapLen]byte{0xaa, 0xaa, 3, 0, 0, 0xf8}:
		return true
	}
	return false
}
