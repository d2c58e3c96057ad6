package cbpf

// Packet is what a program is run on.
type Packet struct {
	Data    []byte // captured bytes: loads beyond them end the program with 0. For seccomp, see Mode
	WireLen uint32 // length on the wire, what "len" gives; often more than len(Data)
	Meta    *Meta  // nil when nothing but the bytes is known: all of it is 0 then
}

// Meta is what a program can ask about a packet beside its bytes; each field answers the Ancillary load of its name.
type Meta struct {
	Protocol    uint32
	PktType     uint32
	IfIndex     uint32
	Mark        uint32
	Queue       uint32 // of which there are 16 bits (struct sk_buff, queue_mapping)
	HaType      uint32
	RxHash      uint32
	CPU         uint32
	VLANTag     uint32
	VLANPresent uint32 // 0 or 1
	PayOffset   uint32
	VLANProto   uint32
	NetOff      uint32        // distance of the network header from the first byte, for loads relative to it (Socket mode)
	Random      func() uint32 // nil: always 0
}

// UsesMeta reports whether the program's answer in a mode can depend on Packet.Meta.
func (p Program) UsesMeta(mode Mode) bool {
	for _, in := range p {
		which, anc := in.Ancillary()
		arg := in.row().arg
		switch {
		case mode == Seccomp:
			return false
		case anc:
			if ancFields[which/4] != nil {
				return true
			}
		case mode == Socket && (arg == opInd || (arg == opAbs || arg == opMsh) && in.K >= NetOff):
			return true // from the network header, perhaps
		}
	}
	return false
}

// ancFields maps ancillary loads that just read a field to it.
var ancFields = [16]func(*Meta) uint32{
	AncProtocol / 4:    func(m *Meta) uint32 { return m.Protocol },
	AncPktType / 4:     func(m *Meta) uint32 { return m.PktType },
	AncIfIndex / 4:     func(m *Meta) uint32 { return m.IfIndex },
	AncMark / 4:        func(m *Meta) uint32 { return m.Mark },
	AncQueue / 4:       func(m *Meta) uint32 { return m.Queue & 0xffff },
	AncHaType / 4:      func(m *Meta) uint32 { return m.HaType },
	AncRxHash / 4:      func(m *Meta) uint32 { return m.RxHash },
	AncCPU / 4:         func(m *Meta) uint32 { return m.CPU },
	AncVLANTag / 4:     func(m *Meta) uint32 { return m.VLANTag },
	AncVLANPresent / 4: func(m *Meta) uint32 { return m.VLANPresent },
	AncPayOffset / 4:   func(m *Meta) uint32 { return m.PayOffset },
	AncVLANProto / 4:   func(m *Meta) uint32 { return m.VLANProto },
	AncRandom / 4: func(m *Meta) uint32 {
		if m.Random == nil {
			return 0
		}
		return m.Random()
	},
}

// ancillary answers an ancillary load, with A and X as they are.
func (pkt *Packet) ancillary(which Ancillary, a, x uint32) uint32 {
	switch which {
	case AncXorX:
		return a ^ x
	case AncNlAttr:
		return findAttr(pkt.Data, int64(a), int64(len(pkt.Data)), x)
	case AncNlAttrNest:
		return pkt.nestedAttr(a, x)
	}
	if pkt.Meta == nil {
		return 0
	}
	return ancFields[which/4](pkt.Meta)
}

// Netlink attributes: a header of two native (little-endian) u16, length with the header and type, then the payload; each
// begins at a multiple of 4 from the first. The upper two bits of the type are flags.
const (
	attrHeader   = 4
	attrTypeMask = 0x3fff
)

// findAttr returns the offset of the first attribute of the given type in data[at:end], 0 when there is none (kernel:
// bpf_skb_get_nlattr, nla_find).
func findAttr(data []byte, at, end int64, typ uint32) uint32 {
	for at+attrHeader <= end {
		size := int64(data[at]) | int64(data[at+1])<<8
		if size < attrHeader || at+size > end {
			return 0
		}
		if (uint32(data[at+2])|uint32(data[at+3])<<8)&attrTypeMask == typ {
			return uint32(at)
		}
		at += (size + 3) &^ 3
	}
	return 0
}

// nestedAttr looks for an attribute in the payload of the one at offset a (kernel: bpf_skb_get_nlattr_nest).
func (pkt *Packet) nestedAttr(a, typ uint32) uint32 {
	data, at := pkt.Data, int64(a)
	if at+attrHeader > int64(len(data)) {
		return 0
	}
	size := int64(data[at]) | int64(data[at+1])<<8
	if at+size > int64(len(data)) {
		return 0
	}
	return findAttr(data, at+attrHeader, at+size, typ)
}
