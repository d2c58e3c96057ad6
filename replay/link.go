package replay

import (
	"encoding/binary"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// skip says why a packet of a capture is not run.
type skip uint8

const (
	skipNot        skip = iota
	skipShort           // below 14 bytes: the kernel never hands such a frame on
	skipTruncated       // by TruncSkip
	skipLong            // no packet is as long as the record says: not to be padded to that
	skipLink            // a packet that its link type's conversion does not know
	skipManagement      // and the rest: 802.11 frames that no driver hands on, or not alone
	skipControl
	skipNoData
	skipProtected
	skipFragment
	skipAggregate
	skipFCS
	skipNotIP // for programs in the IP layer
	skipReasons
)

var skipNames = [skipReasons]string{skipShort: "short", skipTruncated: "truncated", skipLong: "too-long-to-pad", skipLink: "unknown-link-header",
	skipManagement: "802.11-management", skipControl: "802.11-control", skipNoData: "802.11-no-data", skipProtected: "802.11-protected",
	skipFragment: "802.11-fragment", skipAggregate: "802.11-aggregate", skipFCS: "802.11-bad-fcs", skipNotIP: "not-ip"}

// EtherTypes.
const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherVLAN  = 0x8100
	etherSVLAN = 0x88a8
	etherMin   = 0x0600 // smaller values are lengths
	etherLen   = 14
	vlanLen    = 4
)

// packet is a record on its way to the program: where its bytes are in the chunk, and what else is known of it.
type packet struct {
	off, n int  // bytes are chunk[off : off+n]
	pad    int  // but for so many at the end, which are zeros
	ip     bool // there is no link-layer header
	mac    bool // the addresses of the Ethernet header are those of real interfaces
	wire   uint32
	ts     int64 // ns since 1970, as captured; in.Time never goes back
	in     prog.Input
	link   linktype.Type
	iface  *pcap.Interface // where it came from; set only when somebody wants to know
	addr   uint32          // guest address of the first byte
}

// captured is the packet's bytes without the zeros behind them.
func (p *packet) captured(chunk []byte) []byte { return chunk[p.off : p.off+p.n-p.pad] }

// linkRow is how packets of a link type become Ethernet. convert may write before the packet: at least linkRoom bytes of
// the chunk are free there.
type linkRow struct {
	convert func(chunk []byte, p *packet) skip
	typ     linktype.Type
	bare    func(chunk []byte, p *packet) skip // leaves an IP packet alone, for L2None; nil where there is a link layer
	mac     bool                               // the Ethernet header has the addresses of real interfaces
}

// linkRoom is what a conversion may need before a packet: an Ethernet header.
const linkRoom = 16

var linkRows = []linkRow{
	{nil, linktype.Ethernet, nil, true},
	{fromSLL, linktype.SLL, nil, false},
	{fromSLL2, linktype.SLL2, nil, false},
	{fromRaw, linktype.RawIP, bareIP, false},
	{fromRaw, linktype.RawBSD, bareIP, false},
	{fromRaw, linktype.IPv4, bareIP, false},
	{fromRaw, linktype.IPv6, bareIP, false},
	{fromNull, linktype.Null, bareNull, false},
	{fromNull, linktype.Loop, bareNull, false},
	{from80211, linktype.IEEE80211, nil, true},
	{fromRadiotap, linktype.Radiotap, nil, true},
	{fromPPI, linktype.PPI, nil, true},
	{fromPrism, linktype.Prism, nil, true},
	{fromAVS, linktype.IEEE80211AVS, nil, true},
}

// linkOf finds the row of a link type.
func linkOf(t linktype.Type) *linkRow {
	for i := range linkRows {
		if linkRows[i].typ == t {
			return &linkRows[i]
		}
	}
	return nil
}

// ARPHRD values of cooked captures whose packets can be made Ethernet.
const (
	arphrdEther    = 1
	arphrdLoopback = 772
)

// fromSLL replaces the 16 bytes of LINKTYPE_LINUX_SLL: packet type, ARPHRD type, address length, address, protocol.
func fromSLL(chunk []byte, p *packet) skip {
	if p.n < 16 {
		return skipLink
	}
	h := chunk[p.off:]
	kind, hw, proto := binary.BigEndian.Uint16(h), binary.BigEndian.Uint16(h[2:]), binary.BigEndian.Uint16(h[14:])
	return cooked(chunk, p, 16, 6, kind, hw, proto)
}

// fromSLL2 replaces the 20 bytes of LINKTYPE_LINUX_SLL2: protocol, interface index, ARPHRD type, packet type,
// address length, address.
func fromSLL2(chunk []byte, p *packet) skip {
	if p.n < 20 {
		return skipLink
	}
	h := chunk[p.off:]
	proto, ifindex, hw := binary.BigEndian.Uint16(h), binary.BigEndian.Uint32(h[4:]), binary.BigEndian.Uint16(h[8:])
	if ifindex != 0 {
		p.in.Ifindex = ifindex
		p.iface = &unnamed
	}
	return cooked(chunk, p, 20, 12, uint16(h[10]), hw, proto)
}

// unnamed is an interface of which only a packet knows: the one that it was captured by is another, "any".
var unnamed pcap.Interface

// cooked puts an Ethernet header in place of a cooked one of size bytes with the address at offset addr.
func cooked(chunk []byte, p *packet, size, addr int, kind, hw, proto uint16) skip {
	if hw != arphrdEther && hw != arphrdLoopback || proto < etherMin {
		return skipLink
	}
	h := chunk[p.off : p.off+size]
	var src [6]byte
	copy(src[:], h[addr:])
	p.move(size - etherLen)
	h = h[size-etherLen:]
	clear(h[:6])
	copy(h[6:], src[:])
	binary.BigEndian.PutUint16(h[12:], proto)
	p.in.PktType = uint32(kind) // the numbers are skb->pkt_type's
	return skipNot
}

// move takes by bytes off the front, or adds them when by is negative.
func (p *packet) move(by int) {
	p.off += by
	p.n -= by
	p.wire = uint32(max(int64(p.wire)-int64(by), 0))
}

// bareIP wants an IP packet, and leaves it as it is.
func bareIP(chunk []byte, p *packet) skip {
	if p.n == 0 || versionOf(chunk[p.off]) == 0 {
		return skipLink
	}
	p.ip = true
	return skipNot
}

// fromRaw puts an Ethernet header before an IP packet.
func fromRaw(chunk []byte, p *packet) skip {
	if p.n == 0 || versionOf(chunk[p.off]) == 0 {
		return skipLink
	}
	proto := versionOf(chunk[p.off])
	p.move(-etherLen)
	clear(chunk[p.off : p.off+12])
	binary.BigEndian.PutUint16(chunk[p.off+12:], proto)
	return skipNot
}

// takeFamily takes off the 4-byte address family of BSD loopback captures, in the byte order of the machine that wrote them.
func takeFamily(chunk []byte, p *packet) skip {
	if p.n <= 4 {
		return skipLink
	}
	family := binary.BigEndian.Uint32(chunk[p.off:])
	if family > 0xffff {
		family = binary.LittleEndian.Uint32(chunk[p.off:])
	}
	switch family {
	case 2, 10, 24, 28, 30: // AF_INET; AF_INET6 of Linux, NetBSD, FreeBSD, Darwin
		p.move(4)
		return skipNot
	}
	return skipLink
}

func fromNull(chunk []byte, p *packet) skip {
	if why := takeFamily(chunk, p); why != skipNot {
		return why
	}
	return fromRaw(chunk, p)
}

func bareNull(chunk []byte, p *packet) skip {
	if why := takeFamily(chunk, p); why != skipNot {
		return why
	}
	return bareIP(chunk, p)
}

// takeVLAN moves the outer VLAN tag to the ctx, as the kernel does before TC (skb_vlan_untag).
func takeVLAN(chunk []byte, p *packet) bool {
	if !untag(chunk[p.off:p.off+p.n], &p.in) {
		return false
	}
	p.move(vlanLen)
	return true
}

// untag moves the outer VLAN tag of b to in, if there is one: the packet then begins vlanLen bytes further on.
func untag(b []byte, in *prog.Input) bool {
	if len(b) < etherLen+vlanLen {
		return false
	}
	proto := binary.BigEndian.Uint16(b[12:])
	if proto != etherVLAN && proto != etherSVLAN {
		return false
	}
	in.VlanPresent, in.VlanProto, in.VlanTCI = true, proto, binary.BigEndian.Uint16(b[14:])
	copy(b[vlanLen:], b[:12])
	return true
}

// toIP takes the link-layer header off, for programs that run in the IP layer.
func toIP(chunk []byte, p *packet) skip {
	b := chunk[p.off : p.off+p.n]
	proto, at := behindTags(b)
	if proto != etherIPv4 && proto != etherIPv6 {
		return skipNotIP
	}
	p.in.Protocol = proto
	p.move(at)
	return skipNot
}

// Bits of a record's flags (pcapng, epb_flags): the direction, and how it was received.
const (
	flagDirection = 3
	flagSent      = 2
	flagReception = 7 << 2
)

// receptions are the values of skb->pkt_type by kind of reception; 0 is not known.
var receptions = map[uint32]uint32{1 << 2: 0, 2 << 2: 2, 3 << 2: 1, 4 << 2: 3} // unicast, multicast, broadcast, promiscuous

// pktType is what the record says of the packet's way, or eth_type_trans makes of the destination address; packets for others cannot be told
// by that.
func pktType(rec *pcap.Record, b []byte) uint32 {
	if rec.Has&pcap.HasFlags != 0 {
		if rec.Flags&flagDirection == flagSent {
			return 4 // PACKET_OUTGOING
		}
		if typ, known := receptions[rec.Flags&flagReception]; known {
			return typ
		}
	}
	return addressType(b)
}

// addressType is the type by the destination address.
func addressType(b []byte) uint32 {
	switch {
	case b[0]&1 == 0:
		return 0
	case binary.BigEndian.Uint32(b) == 0xffffffff && binary.BigEndian.Uint16(b[4:]) == 0xffff:
		return 1
	}
	return 2
}
