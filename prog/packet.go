package prog

import (
	"encoding/binary"
	"fmt"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/mem"
)

// Room around a packet, as the kernel's own test run (BPF_PROG_TEST_RUN) and most drivers give it.
const (
	XDPHeadroom  = 256                      // XDP_PACKET_HEADROOM
	XDPFrameSize = 40                       // sizeof(struct xdp_frame), kept at the start of the headroom
	XDPTailroom  = 320                      // struct skb_shared_info, kept at the end of the buffer
	XDPBuffer    = 4096                     // one page
	ClassicSize  = 1 << 18                  // the longest packet that libpcap writes (MAXIMUM_SNAPLEN)
	SKBHeadroom  = 4352                     // what bpf_skb_adjust_room can add and a bit: the kernel reallocates to grow
	SKBBuffer    = SKBHeadroom + 65536 + 64 // room for the longest packet that helpers make
)

// ethHLen is the length of an Ethernet header.
const ethHLen = 14

// Ethertypes, host order, that a frame's protocol is derived from.
const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	ether8023  = 0x0001 // ETH_P_802_3: raw IPX frames
	ether8022  = 0x0004 // ETH_P_802_2: length field, LLC
	etherMinII = 0x0600 // below it the field is a length
)

// Offsets of ctx fields that this package and the helpers use. TestFieldOffsets checks them against the tables.
const (
	XDPData         = 0
	XDPDataEnd      = 4
	XDPDataMeta     = 8
	XDPIngress      = 12
	XDPRxQueue      = 16
	XDPEgress       = 20
	SKBLen          = 0
	SKBPktType      = 4
	SKBMark         = 8
	SKBQueueMapping = 12
	SKBProtocol     = 16
	SKBVlanPresent  = 20
	SKBVlanTCI      = 24
	SKBVlanProto    = 28
	SKBPriority     = 32
	SKBIngress      = 36
	SKBIfindex      = 40
	SKBTCIndex      = 44
	SKBCB           = 48
	SKBHash         = 68
	SKBTCClassid    = 72
	SKBData         = 76
	SKBDataEnd      = 80
	SKBNapiID       = 84
	SKBFamily       = 88
	SKBDataMeta     = 140
	SKBFlowKeys     = 144
	SKBTstamp       = 152
	SKBWireLen      = 160
	SKBGSOSegs      = 164
	SKBSk           = 168
	SKBGSOSize      = 176
	SKBTstampType   = 180
	SKBHwtstamp     = 184
	skbSize         = 192
	ClassicData     = 0
	ClassicDataEnd  = 4
	ClassicWireLen  = 8
	ClassicNetOff   = 12
	ClassicProtocol = 16 // and the rest, in order
	classicSize     = 64
)

// DataOffsets returns where in the ctx of a type data, data_end and data_meta are. Types without metadata have data twice; those
// without data, 0 three times: see HasData.
func (t Type) DataOffsets() (data, end, meta uint32) {
	switch t {
	case XDP:
		return XDPData, XDPDataEnd, XDPDataMeta
	case Classic:
		return ClassicData, ClassicDataEnd, ClassicData
	}
	if t >= NumTypes {
		return 0, 0, 0
	}
	d := &dataFields[t]
	return d.data, d.end, d.meta
}

func (t Type) isSKB() bool { return t < NumTypes && dataFields[t].skb }

// HasData reports whether the ctx of a type points to data.
func (t Type) HasData() bool { return t == Classic || t < NumTypes && dataFields[t].end != 0 }

// dataFields are the offsets of what DataOffsets returns.
var dataFields = func() (all [NumTypes]struct {
	data, end, meta uint32
	skb             bool // the ctx is a struct __sk_buff
}) {
	for t := range all {
		d := &all[t]
		for _, f := range append(Types[t].Fields, Types[t].Hidden...) {
			switch f.Yields {
			case PktData:
				d.data, d.meta = uint32(f.Off), uint32(f.Off)
			case PktEnd:
				d.end = uint32(f.Off)
			}
		}
		if Types[t].CtxName == "__sk_buff" {
			d.skb, d.data, d.end, d.meta = true, SKBData, SKBDataEnd, SKBDataMeta // forbidden fields as well
		}
	}
	return all
}()

// MACLen is the length of the link-layer header in front of the network header, as programs of type t see packets:
// Ethernet, or none for types that run in the IP layer. A socket filter sees what a packet socket does, Ethernet
// (the kernel's BPF_PROG_TEST_RUN, which starts at the network header, is the exception).
func (t Type) MACLen() uint32 {
	switch t {
	case CgroupSKB, LWTIn, LWTOut, LWTXmit, LWTSeg6Local, SkSKB:
		return 0
	}
	return ethHLen
}

// Input is what a program sees of a packet besides its bytes. The zero value is a plain packet.
type Input struct {
	Time    uint64 // ns; bpf_ktime_get_ns under the packet clock
	Number  uint64 // of the packet, from 1
	WireLen uint32 // length on the wire; 0 is the length of the data

	Ifindex       uint32 // interface that the packet came in by
	RxQueue       uint32 // rx_queue_index; queue_mapping of an skb is this + 1 when QueueMapping is 0 and it is not
	EgressIfindex uint32 // xdp_md, for programs in a devmap

	// For struct __sk_buff; of XDP programs, Hash and the tag for the metadata: see SetRxMetadata.
	Protocol     uint16 // ethertype, host order; 0 takes it from the packet, except for Classic: 0 there
	VlanProto    uint16 // ethertype of the tag that was taken out of the packet, host order
	VlanTCI      uint16
	VlanPresent  bool
	PktType      uint32 // PACKET_HOST 0, BROADCAST 1, MULTICAST 2, OTHERHOST 3, OUTGOING 4
	Mark         uint32
	Priority     uint32
	QueueMapping uint32
	TCIndex      uint32
	TCClassid    uint32
	Hash         uint32
	NapiID       uint32
	GSOSegs      uint32
	GSOSize      uint32
	CB           [5]uint32
	Tstamp       uint64 // ns
	Hwtstamp     uint64 // ns

	// HashType says what Hash is of, enum xdp_rss_hash_type, and NoMAC that the packet begins with its network header, as those of
	// devices do that have no link layer (tun, wg).
	HashType uint32
	NoMAC    bool

	// For Classic, which takes what it knows from the above.
	NetOff    uint32 // distance of the network header from the first byte
	HaType    uint32 // ARPHRD_ type of the interface
	PayOffset uint32 // where the payload of the transport protocol begins
	CPU       uint32
}

// SetFrame makes a frame at ctx (see FrameHeader) for a program of packet type t: the packet is [data, dataEnd), data
// may move down to head and dataEnd up to limit. It does not look at the addresses: its callers made them.
func SetFrame(s *mem.Space, ctx uint32, t Type, head, data, dataEnd, limit uint32, in *Input) {
	wire := in.WireLen
	if wire == 0 {
		wire = dataEnd - data
	}
	setHeader(s, ctx, t, head, limit, wire, in)
	switch t {
	case Classic:
		setClassic(s, ctx, data, dataEnd, wire, in)
		return
	case XDP:
		md := (*[XDPEgress + 4]byte)(frameBytes(s, ctx, XDPEgress+4))
		put2(md[XDPData:], data, dataEnd)
		put2(md[XDPDataMeta:], data, in.Ifindex)
		put2(md[XDPRxQueue:], in.RxQueue, in.EgressIfindex)
		return
	}
	setSKB(s, ctx, t, data, dataEnd, wire, in)
	if t == FlowDissector {
		beginFlow(s, ctx, in.NoMAC)
	}
}

// SetRxMetadata gives the frame at ctx, of an XDP program, what a device says of a packet beside its bytes. Frames begin without any, and
// SetFrame leaves it as it is: most programs do not ask.
func SetRxMetadata(s *mem.Space, ctx uint32, in *Input) {
	md := (*[XDPRxTCI + 4 - XDPRxHash]byte)(frameBytes(s, ctx+XDPRxHash, XDPRxTCI+4-XDPRxHash))
	put2(md[:], in.Hash, in.HashType)
	proto, tci := uint32(0), uint32(0)
	if in.VlanPresent {
		proto, tci = uint32(in.VlanProto), uint32(in.VlanTCI)
	}
	put2(md[XDPRxVLAN-XDPRxHash:], proto, tci)
}

// setHeader makes the header of a frame.
func setHeader(s *mem.Space, ctx uint32, t Type, head, limit, wire uint32, in *Input) {
	h := (*[FrameHeader]byte)(frameBytes(s, ctx-FrameHeader, FrameHeader))
	put2(h[FrameHeader+FrameHead:], head, limit)
	mac := t.MACLen()
	if in.NoMAC {
		mac = 0
	}
	put2(h[FrameHeader+FrameWireLen:], wire, mac)
	binary.LittleEndian.PutUint64(h[FrameHeader+FrameTime:], in.Time)
	binary.LittleEndian.PutUint64(h[FrameHeader+FrameNumber:], in.Number)
	put2(h[FrameHeader+FrameRedirKind:], 0, 0) // and FrameRedirTo
	put2(h[FrameHeader+FrameRedirMap:], 0, 0)  // and FrameRedirKey
}

// frameBytes is a part of a frame. One look at the bounds for all its fields: a replay makes millions of frames a second.
func frameBytes(s *mem.Space, addr, n uint32) []byte {
	b, ok := s.Bytes(addr, n)
	if !ok {
		panic("prog: frame outside of guest memory")
	}
	return b
}

// put2 writes two fields that are neighbours.
func put2(b []byte, first, second uint32) {
	binary.LittleEndian.PutUint32(b, first)
	binary.LittleEndian.PutUint32(b[4:], second)
}

// setClassic writes every field of what a classic filter sees.
func setClassic(s *mem.Space, ctx, data, dataEnd, wire uint32, in *Input) {
	md := (*[classicSize]byte)(frameBytes(s, ctx, classicSize))
	put2(md[ClassicData:], data, dataEnd)
	put2(md[ClassicWireLen:], wire, in.NetOff)
	put2(md[ClassicProtocol:], uint32(in.Protocol), in.PktType)
	put2(md[24:], in.Ifindex, in.Mark)
	put2(md[32:], in.queueMapping(), in.HaType)
	put2(md[40:], in.Hash, in.CPU)
	tci, present, proto := uint32(0), uint32(0), uint32(0)
	if in.VlanPresent {
		tci, present, proto = uint32(in.VlanTCI), 1, uint32(in.VlanProto)
	}
	put2(md[48:], tci, present)
	put2(md[56:], in.PayOffset, proto)
}

// SetClassicData points the frame at ctx, which SetFrame has made for a Classic filter, at another packet and leaves the rest
// of it. That is all that filters look at which ask for no more than bytes and length, in a fraction of the time.
func SetClassicData(s *mem.Space, ctx, data, dataEnd, wireLen uint32) {
	md := (*[ClassicNetOff]byte)(frameBytes(s, ctx, ClassicNetOff))
	put2(md[ClassicData:], data, dataEnd)
	binary.LittleEndian.PutUint32(md[ClassicWireLen:], wireLen)
}

// setSKB writes every field of struct __sk_buff.
func setSKB(s *mem.Space, ctx uint32, t Type, data, dataEnd, wire uint32, in *Input) {
	md := (*[skbSize]byte)(frameBytes(s, ctx, skbSize))
	put2(md[SKBLen:], dataEnd-data, in.PktType)
	put2(md[SKBMark:], in.Mark, in.queueMapping())
	tci, present, proto := uint32(0), uint32(0), uint32(0)
	if in.VlanPresent {
		tci, present, proto = uint32(in.VlanTCI), 1, swap16(in.VlanProto)
	}
	put2(md[SKBProtocol:], in.protocol(s, t, data, dataEnd), present)
	put2(md[SKBVlanTCI:], tci, proto)
	put2(md[SKBPriority:], in.Priority, in.Ifindex)
	put2(md[SKBIfindex:], in.Ifindex, in.TCIndex)
	put2(md[SKBCB:], in.CB[0], in.CB[1])
	put2(md[SKBCB+8:], in.CB[2], in.CB[3])
	put2(md[SKBCB+16:], in.CB[4], in.Hash)
	put2(md[SKBTCClassid:], in.TCClassid, data)
	put2(md[SKBDataEnd:], dataEnd, in.NapiID)
	clear(md[SKBFamily:SKBDataMeta])
	binary.LittleEndian.PutUint32(md[SKBDataMeta:], data)
	binary.LittleEndian.PutUint64(md[SKBFlowKeys:], 0)
	binary.LittleEndian.PutUint64(md[SKBTstamp:], in.Tstamp)
	put2(md[SKBWireLen:], wire, in.GSOSegs)
	binary.LittleEndian.PutUint64(md[SKBSk:], 0)
	put2(md[SKBGSOSize:], in.GSOSize, 0) // and SKBTstampType
	binary.LittleEndian.PutUint64(md[SKBHwtstamp:], in.Hwtstamp)
}

// maxQueue is the largest queue_mapping: 16 bits of struct sk_buff.
const maxQueue = 1<<16 - 1

func (in *Input) queueMapping() uint32 {
	if in.QueueMapping == 0 && in.RxQueue != 0 {
		return (in.RxQueue + 1) & maxQueue // skb_record_rx_queue
	}
	return in.QueueMapping & maxQueue
}

// protocol is skb->protocol as the ctx shows it: a network-order u16 in a u32 (kernel: eth_type_trans).
func (in *Input) protocol(s *mem.Space, t Type, data, dataEnd uint32) uint32 {
	switch n := dataEnd - data; {
	case in.Protocol != 0:
		return swap16(in.Protocol)
	case t.MACLen() == ethHLen && !in.NoMAC:
		if n < ethHLen {
			return 0
		}
		p := uint16(swap16(s.Load16(data + 12)))
		if p >= etherMinII {
			return swap16(p)
		}
		if n >= ethHLen+2 && s.Load16(data+ethHLen) == 0xffff {
			return swap16(ether8023)
		}
		return swap16(ether8022)
	case n > 0:
		switch s.Load8(data) >> 4 {
		case 4:
			return swap16(etherIPv4)
		case 6:
			return swap16(etherIPv6)
		}
	}
	return 0
}

func swap16(v uint16) uint32 { return uint32(v>>8 | v<<8) }

// Output is what a run left of a packet.
type Output struct {
	Data []byte // [data, data_end), in guest memory: valid until the frame is used again
	Meta []byte // [data_meta, data)
	Redirect
	Time, Number uint64
	WireLen      uint32
	Mark         uint32 // and the rest: of struct __sk_buff
	Priority     uint32
	TCClassid    uint32
	QueueMapping uint32
	CB           [5]uint32
}

// Redirect is where a helper said that the packet goes; it counts only when the verdict is a redirect.
type Redirect struct {
	Kind uint32 // one of the Redirect… values
	To   uint32 // interface index, else what the map holds
	Map  uint32 // handle
	Key  uint32
}

// ReadFrame reads back the frame at ctx. It reports false, with Data and Meta empty, when the ctx no longer describes
// a packet, which an unverified program can bring about.
func ReadFrame(s *mem.Space, ctx uint32, t Type, out *Output) bool {
	at := func(field int32) uint32 { return ctx + uint32(field) }
	*out = Output{}
	out.Time, out.Number, out.WireLen = s.Load64(at(FrameTime)), s.Load64(at(FrameNumber)), s.Load32(at(FrameWireLen))
	out.Kind, out.To = s.Load32(at(FrameRedirKind)), s.Load32(at(FrameRedirTo))
	out.Map, out.Key = s.Load32(at(FrameRedirMap)), s.Load32(at(FrameRedirKey))
	if t.isSKB() {
		out.Mark, out.Priority = s.Load32(ctx+SKBMark), s.Load32(ctx+SKBPriority)
		out.TCClassid, out.QueueMapping = s.Load32(ctx+SKBTCClassid), s.Load32(ctx+SKBQueueMapping)
		for i := range out.CB {
			out.CB[i] = s.Load32(ctx + SKBCB + 4*uint32(i))
		}
	}
	data, end, meta := dataOf(s, ctx, t)
	if end < data {
		return false
	}
	var ok bool
	if out.Data, ok = s.Bytes(data, end-data); !ok {
		return false
	}
	if meta < data {
		out.Meta, ok = s.Bytes(meta, data-meta)
	}
	return ok
}

// dataOf is where all of a ctx's data is: 0 three times when it has none.
func dataOf(s *mem.Space, ctx uint32, t Type) (data, end, meta uint32) {
	if p := t.placement(); p != nil {
		if p.whole == nil && !t.HasData() {
			return 0, 0, 0
		}
		if p.whole != nil {
			data, end = p.whole(s, ctx)
			return data, end, data
		}
	}
	offData, offEnd, offMeta := t.DataOffsets()
	return s.Load32(ctx + offData), s.Load32(ctx + offEnd), s.Load32(ctx + offMeta)
}

// Buffer is a frame with room for one packet, or what else a ctx points to, of any length up to its size, used again and again.
type Buffer struct {
	space *mem.Space
	typ   Type
	place *placement // nil for packets
	ctx   uint32
	base  uint32 // of the packet buffer; 0 when the type has no data
	size  uint32

	types   *btf.Types // of the program, which lay out the objects that a ctx points to
	objects uint32     // those; 0 before the first

	takesFrags bool
	frags      uint32 // fragments' pages, their table behind them; 0 before the first packet that has some
	joined     []byte // the packet put together
}

// TakeFrags says that the program handles packets in several buffers (Section.Frags): Ready divides those that the kernel would.
func (b *Buffer) TakeFrags() { b.takesFrags = true }

// NewBuffer allocates a buffer for programs of type t. size is that of the packet buffer with head- and
// tailroom; 0 is what the kernel would have, XDPBuffer or SKBBuffer. It fails when guest memory is short.
func NewBuffer(s *mem.Space, t Type, size uint32) (*Buffer, error) {
	row := t.Row()
	if !row.Supported {
		return nil, fmt.Errorf("no context can be made for program type %s", t)
	}
	b := &Buffer{space: s, typ: t, place: t.placement(), size: size}
	head, tail := b.room()
	if size == 0 {
		b.size = b.defaultSize()
	}
	if b.size < head+tail {
		return nil, fmt.Errorf("packet buffer of %d bytes: %s needs more than %d", size, t, head+tail)
	}
	hdr, err := s.Alloc(FrameStride(row.FrameSize()), 64)
	if err != nil {
		return nil, err
	}
	if b.size > 0 {
		if b.base, err = s.Alloc(b.size, 64); err != nil {
			s.Free(hdr)
			return nil, err
		}
	}
	b.ctx = hdr + FrameHeader
	s.Allow(b.ctx, uint32(row.CtxSize), true)
	return b, nil
}

func (b *Buffer) defaultSize() uint32 {
	switch {
	case b.place != nil:
		return b.place.room + b.place.grow
	case b.typ == XDP:
		return XDPBuffer
	case b.typ == Classic:
		return ClassicSize
	}
	return SKBBuffer
}

// room is what is kept free before and behind the data, bytes.
func (b *Buffer) room() (head, tail uint32) {
	switch {
	case b.place != nil:
		return 0, b.place.grow
	case b.typ == XDP:
		return XDPHeadroom, XDPTailroom
	case b.typ == Classic:
		return 0, 0
	}
	return SKBHeadroom, 0
}

// Ctx is the guest address to run a program with.
func (b *Buffer) Ctx() uint32 { return b.ctx }

// Type is the program type that the buffer is for.
func (b *Buffer) Type() Type { return b.typ }

// MaxLen is the length of the longest packet that fits.
func (b *Buffer) MaxLen() int {
	if b.typ == Syscall {
		return b.typ.Row().FrameSize()
	}
	head, tail := b.room()
	return int(b.size - head - tail)
}

// Set copies a packet into the buffer and makes the frame. It does not allocate.
func (b *Buffer) Set(packet []byte, in *Input) error {
	if len(packet) > b.MaxLen() {
		if b.MaxLen() == 0 {
			return fmt.Errorf("programs of type %s are given no data, got %d bytes", b.typ, len(packet))
		}
		return fmt.Errorf("packet of %d bytes: the buffer holds %d", len(packet), b.MaxLen())
	}
	if b.place != nil {
		return b.setOther(packet, in)
	}
	head, tail := b.room()
	data, end := b.base+head, b.base+head+uint32(len(packet))
	dst, ok := b.space.Bytes(data, uint32(len(packet)))
	if !ok {
		return fmt.Errorf("packet buffer at %#x is outside the guest's memory", b.base)
	}
	copy(dst, packet)
	lowest := b.base
	if b.typ == XDP {
		lowest += XDPFrameSize
	}
	SetFrame(b.space, b.ctx, b.typ, lowest, data, end, b.base+b.size-tail, in)
	if b.typ == XDP {
		b.space.Store32(b.ctx+XDPLinear, 0)
		b.space.Store32(b.ctx+XDPFragCount, 0)
		SetRxMetadata(b.space, b.ctx, in)
	}
	if b.space.Shadowed() {
		b.space.Forbid(b.base, b.size)
		b.space.Allow(data, uint32(len(packet)), true)
	}
	return nil
}

// setOther is Set for types that see no packets as XDP and tc programs do.
func (b *Buffer) setOther(input []byte, in *Input) error {
	s, n := b.space, uint32(len(input))
	ctx := frameBytes(s, b.ctx, uint32(b.typ.Row().FrameSize()))
	clear(ctx)
	if b.typ == Syscall {
		setHeader(s, b.ctx, b.typ, 0, 0, 0, in)
		b.size = uint32(copy(ctx, input))
		return nil
	}
	data, end := b.base, b.base+n
	if n > 0 {
		copy(frameBytes(s, data, n), input)
	}
	setHeader(s, b.ctx, b.typ, data, b.base+b.size, n, in)
	if b.typ.HasData() {
		offData, offEnd, _ := b.typ.DataOffsets()
		s.Store64(b.ctx+offData, uint64(data))
		s.Store64(b.ctx+offEnd, uint64(end))
	}
	if b.place.begin != nil {
		b.place.begin(s, b.ctx, data, end, in)
	}
	if s.Shadowed() && b.size > 0 {
		s.Forbid(b.base, b.size)
		s.Allow(data, n, true)
	}
	return nil
}

// Ready does what the kernel does to the ctx before a program runs: call it when the ctx's fields are set. The error is a *CtxError: a
// ctx that there cannot be.
func (b *Buffer) Ready() error {
	switch b.typ {
	case SkLookup:
		return readySkLookup(b.space, b.ctx)
	case XDP:
		return b.divide()
	case Netfilter:
		return b.layOut()
	case SkMsg:
		return readyMsg(b.space, b.ctx)
	}
	return nil
}

// Done does what the kernel does to the ctx when a program has returned ret: call it before reading the ctx.
func (b *Buffer) Done(ret uint32) {
	switch {
	case b.typ == XDP && b.frags != 0:
		b.space.Store32(b.ctx+XDPLinear, b.space.Load32(b.ctx+XDPDataEnd)-b.space.Load32(b.ctx+XDPData))
	case b.typ == FlowDissector:
		doneFlow(b.space, b.ctx)
	case b.typ == SkLookup && ret == 0: // SK_DROP: the socket that was chosen does not count (BPF_PROG_SK_LOOKUP_RUN_ARRAY)
		b.space.Store64(b.ctx, 0)
	}
}

// Read is ReadFrame of the buffer's frame.
func (b *Buffer) Read(out *Output) bool {
	ok := ReadFrame(b.space, b.ctx, b.typ, out)
	if b.typ == Syscall {
		out.Data, ok = b.space.Bytes(b.ctx, b.size)
	}
	if b.frags != 0 && ok {
		b.join(out)
	}
	return ok
}

// Free gives the memory back.
func (b *Buffer) Free() {
	b.space.Free(b.ctx - FrameHeader)
	if b.base != 0 {
		b.space.Free(b.base)
	}
	for _, more := range []uint32{b.frags, b.objects} {
		if more != 0 {
			b.space.Free(more)
		}
	}
}
