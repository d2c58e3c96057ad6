package traffic

import (
	"encoding/binary"
	"maps"
	"slices"

	"github.com/skepvm/skep/linktype"
)

// link is how a frame looks on a link type: relink appends to out what an Ethernet frame is there.
type link struct {
	typ    linktype.Type
	ether  bool // carries any EtherType
	only   int  // the IP version that it carries alone; 0 is both
	relink func(g *Generator, out, frame []byte) []byte
}

var links = map[string]link{
	"ether":      {typ: linktype.Ethernet, ether: true},
	"sll":        {typ: linktype.SLL, ether: true, relink: toSLL},
	"sll2":       {typ: linktype.SLL2, ether: true, relink: toSLL2},
	"raw":        {typ: linktype.RawIP, relink: toRaw},
	"ipv4":       {typ: linktype.IPv4, only: 4, relink: toRaw},
	"ipv6":       {typ: linktype.IPv6, only: 6, relink: toRaw},
	"null":       {typ: linktype.Null, relink: toNull},
	"loop":       {typ: linktype.Loop, relink: toLoop},
	"ppp":        {typ: linktype.PPP, ether: true, relink: toPPP},
	"ppp_serial": {typ: linktype.PPPSerial, ether: true, relink: toPPPSerial},
	"wlan":       {typ: linktype.IEEE80211, ether: true, relink: toWLAN},
	"radiotap":   {typ: linktype.Radiotap, ether: true, relink: toRadiotap},
	"prism":      {typ: linktype.Prism, ether: true, relink: toPrism},
	"avs":        {typ: linktype.IEEE80211AVS, ether: true, relink: toAVS},
	"ppi":        {typ: linktype.PPI, ether: true, relink: toPPI},
}

// Links returns the names that Spec.Link may have, sorted.
func Links() []string { return slices.Sorted(maps.Keys(links)) }

// LinkType returns the link type of a name of Links.
func LinkType(name string) (linktype.Type, bool) {
	l, ok := links[name]
	return l.typ, ok
}

// can reports whether the link can carry what k makes.
func (l link) can(k *kind) bool {
	return l.ether || k.needs == needsIP || k.needs == needsIPv4 && l.only != 6
}

// toSLL makes a frame of LINKTYPE_LINUX_SLL. An 802.3 frame has protocol 4 there: ETH_P_802_2.
func toSLL(_ *Generator, out, frame []byte) []byte {
	kind := byte(0) // to us
	switch {
	case frame[0] == 0xff:
		kind = 1 // broadcast
	case frame[0]&1 != 0:
		kind = 2 // multicast
	}
	out = append(out, 0, kind, 0, 1, 0, 6) // ARPHRD_ETHER; address of 6 bytes
	out = append(out, frame[6:12]...)
	out = append(out, 0, 0)
	if frame[12] < 6 {
		out = append(out, 0, 4)
		return append(out, frame[14:]...)
	}
	return append(out, frame[12:]...)
}

// toSLL2 makes a frame of LINKTYPE_LINUX_SLL2, of interface 3.
func toSLL2(_ *Generator, out, frame []byte) []byte {
	proto := [2]byte(frame[12:14])
	if frame[12] < 6 {
		proto = [2]byte{0, 4}
	}
	out = append(out, proto[0], proto[1], 0, 0, 0, 0, 0, 3, 0, 1, 0, 6)
	out = append(out, frame[6:12]...)
	out = append(out, 0, 0)
	return append(out, frame[14:]...)
}

func toRaw(_ *Generator, out, frame []byte) []byte { return append(out, frame[14:]...) }

// toNull makes a frame of LINKTYPE_NULL, as FreeBSD writes it in the byte order of the file.
func toNull(g *Generator, out, frame []byte) []byte {
	family := uint32(2)
	if frame[12] == etherIPv6>>8 {
		family = 30
		if g.spec.Mix.Rare > 0 { // NetBSD and macOS differ, Linux has one that no tool knows
			family = [...]uint32{24, 28, 30, 10}[g.rng.n(4)]
		}
	}
	if g.spec.BigEndian {
		out = binary.BigEndian.AppendUint32(out, family)
	} else {
		out = binary.LittleEndian.AppendUint32(out, family)
	}
	return append(out, frame[14:]...)
}

// toLoop makes a frame of LINKTYPE_LOOP, as OpenBSD writes it.
func toLoop(_ *Generator, out, frame []byte) []byte {
	family := byte(2)
	if frame[12] == etherIPv6>>8 {
		family = 24
	}
	out = append(out, 0, 0, 0, family)
	return append(out, frame[14:]...)
}

// pppProtocols has the protocol numbers of what has one other than its EtherType (RFC 3818).
var pppProtocols = map[uint16]uint16{
	etherIPv4: 0x0021, etherIPv6: 0x0057, etherMPLS: 0x0281, 0x8848: 0x0283, etherIPX: 0x002b, etherAppleTalk: 0x0029,
	0x6003: 0x0027, etherPPPControl: 0xc021,
}

// pppPayload appends protocol number and payload. 802.3 frames are OSI's or bridged.
func pppPayload(out, frame []byte) []byte {
	etherType := binary.BigEndian.Uint16(frame[12:])
	if proto, ok := pppProtocols[etherType]; ok {
		out = binary.BigEndian.AppendUint16(out, proto)
		return append(out, frame[14:]...)
	}
	if etherType < 1500 && len(frame) > 17 && frame[14] == llcISO {
		out = append(out, 0, 0x23)
		return append(out, frame[17:]...)
	}
	return append(append(out, 0, 0x31), frame...)
}

// toPPP makes a frame of LINKTYPE_PPP: some have HDLC's address and control before, or a direction as pppd writes.
func toPPP(g *Generator, out, frame []byte) []byte {
	out = append(out, 0xff, 3)
	if g.rng.percent(20) {
		out[0], out[1] = byte(g.rng.n(2)), 3
	}
	return pppPayload(out, frame)
}

// toPPPSerial makes a frame of LINKTYPE_PPP_HDLC, or of Cisco's HDLC in its place.
func toPPPSerial(g *Generator, out, frame []byte) []byte {
	if g.rng.percent(25) {
		return append(append(out, 0x0f, 0), frame[12:]...)
	}
	return pppPayload(append(out, 0xff, 3), frame)
}

// Frame control of 802.11 (IEEE 802.11 section 9.2.4.1).
const (
	wlanData   = 2 << 2 // of the first byte
	wlanQoS    = 8 << 4
	wlanNull   = 4 << 4
	wlanToDS   = 1 // of the second byte
	wlanFromDS = 2
	wlanSealed = 0x40
)

// toWLAN makes a frame of LINKTYPE_IEEE802_11: of data with a header of any form, or, where the Ethernet frame is a
// ready-made one (wlanReady), just that.
func toWLAN(g *Generator, out, frame []byte) []byte { return g.wlan(out, frame, false) }

// wlan is toWLAN, with the header padded to four bytes or not.
func (g *Generator) wlan(out, frame []byte, pad bool) []byte {
	if binary.BigEndian.Uint16(frame[12:]) == wlanReady {
		return append(out, frame[14:]...)
	}
	ds := byte(g.rng.n(4))
	fc := byte(wlanData)
	if g.rng.percent(40) {
		fc |= wlanQoS
	}
	sealed := byte(0)
	if g.rng.percent(5) {
		sealed = wlanSealed
	}
	dst, src, bss := frame[:6], frame[6:12], []byte{2, 0, 0, 0, 9, byte(1 + g.rng.n(3))}
	out = append(out, fc, ds|sealed, 0, 0)
	for _, address := range [4][][]byte{
		0:                     {dst, src, bss},
		wlanToDS:              {bss, src, dst},
		wlanFromDS:            {dst, bss, src},
		wlanToDS | wlanFromDS: {bss, bss, dst},
	}[ds] {
		out = append(out, address...)
	}
	out = append(out, 0x10, 0) // sequence control
	if ds == wlanToDS|wlanFromDS {
		out = append(out, src...)
	}
	if fc&wlanQoS != 0 {
		out = append(out, byte(g.rng.n(8)), 0)
	}
	if pad && (fc&wlanQoS != 0) != (ds == wlanToDS|wlanFromDS) { // 26 or 30 bytes
		out = append(out, 0, 0)
	}
	if frame[12] < 6 { // has an LLC header already
		return append(out, frame[14:]...)
	}
	out = append(out, 0xaa, 0xaa, 3, 0, 0, 0)
	return append(out, frame[12:]...)
}

// radiotapHeads are headers without version and length: presence words, then the fields that they announce.
var radiotapHeads = [][]byte{
	{0, 0, 0, 0},
	{2, 0, 0, 0, 0},           // flags: none
	{2, 0, 0, 0, radiotapPad}, //
	{3, 0, 0, 0, 9, 8, 7, 6, 5, 4, 3, 2, radiotapPad}, // time, flags
	{2, 0, 0, 0x80, 0, 0, 0, 0, radiotapPad},          // two presence words
	{0x2e, 0x48, 0, 0, 0x10, 2, 0x85, 9, 0xa0, 0, 0xd8, 0, 0, 0, 1, 0, 0},
}

const radiotapPad = 0x20 // the 802.11 header is padded to four bytes

// toRadiotap puts a radiotap header before an 802.11 frame (radiotap.org).
func toRadiotap(g *Generator, out, frame []byte) []byte {
	head := radiotapHeads[g.rng.n(len(radiotapHeads))]
	out = append(out, 0, 0, byte(4+len(head)), 0)
	out = append(out, head...)
	return g.wlan(out, frame, head[len(head)-1] == radiotapPad)
}

// toPrism puts a Prism monitor header of 144 bytes before an 802.11 frame, or sometimes, as drivers did under the
// same number, one of AVS.
func toPrism(g *Generator, out, frame []byte) []byte {
	if g.rng.percent(25) {
		return toAVS(g, out, frame)
	}
	out = append(out, 0x44, 0, 0, 0, 144, 0, 0, 0)
	out = append(out, "wlan0"...)
	return toWLAN(g, append(out, make([]byte, 144-len(out))...), frame)
}

// toAVS puts an AVS header of 64 bytes before an 802.11 frame: magic and length, then what the radio measured.
func toAVS(g *Generator, out, frame []byte) []byte {
	out = append(out, 0x80, 0x21, 0x10, 1, 0, 0, 0, 64)
	return toWLAN(g, append(out, make([]byte, 56)...), frame)
}

// toPPI makes a frame of LINKTYPE_PPI: 802.11 mostly, sometimes with a field in the header.
func toPPI(g *Generator, out, frame []byte) []byte {
	n := 8
	if g.rng.percent(50) {
		n = 32
	}
	out = append(out, 0, 0, byte(n), 0)
	if g.rng.percent(20) {
		out = append(out, byte(linktype.Ethernet), 0, 0, 0)
		return append(append(out, make([]byte, n-len(out))...), frame...)
	}
	out = append(out, byte(linktype.IEEE80211), 0, 0, 0)
	if n > 8 { // 802.11-Common
		out = append(out, 2, 0, 20, 0)
	}
	return toWLAN(g, append(out, make([]byte, n-len(out))...), frame)
}
