package prog

import (
	"bytes"
	"fmt"

	"github.com/skepvm/skep/mem"
)

// Hidden fields of a ctx: see TypeRow.Hidden. Helpers find them at fixed distances from the ctx. TestFieldOffsets checks these
// against the table.
const (
	ReuseportSelected = 56 // u64 guest address of the socket that the program selected
	ReuseportPacket   = 64 // u32 first byte of the packet, its link-layer header
	ReuseportEnd      = 68 // u32 one past its last
	ReuseportNet      = 72 // u32 network header; 0 when the packet has none

	MsgApply    = 80 // u32 bpf_msg_apply_bytes
	MsgCork     = 84 // u32 bpf_msg_cork_bytes
	MsgBegin    = 88 // u32 first byte of the message
	MsgEnd      = 92 // u32 one past its last
	MsgSG       = 96 // u32[MsgSGMax] lengths of the scatterlist's elements, which lie side by side; 0 ends the list
	MsgSGMax    = 20
	msgMaxElems = 17 // MAX_MSG_FRAGS

	SockOpsOptLen   = 224 // u32 bytes of TCP options that the program may still reserve, or write
	SockOpsReserved = 228 // u32 bytes that it has reserved
	SockOpsSynLen   = 232 // u32 length of the SYN's TCP header
	SockOpsSyn      = 236 // u8[60] that header

	SockAddrRetval    = 72  // s32 bpf_set_retval
	SockAddrBoundPort = 76  // u32 network order: bpf_bind
	SockAddrBoundIP4  = 80  // u32
	SockAddrBoundIP6  = 84  // u32[4]
	SockAddrSunLen    = 100 // u32 length of sun_path, abstract names have a 0 first
	SockAddrSunPath   = 104 // char[108]

	CgroupSockRetval   = 80
	CgroupDeviceRetval = 16

	SysctlRetval  = 8
	SysctlUpdated = 12   // u32 the program has set a value
	SysctlNewLen  = 16   // u32 its length
	SysctlName    = 20   // char[SysctlNameMax] below /proc/sys: "net/ipv4/ip_forward"
	SysctlValue   = 148  // char[SysctlMax] as it is now
	SysctlNew     = 4244 // char[SysctlMax] as it is to be, when it is written
	SysctlNameMax = 128
	SysctlMax     = 4096 // PAGE_SIZE

	FlowKeysOff   = 192 // struct bpf_flow_keys, where flow_keys of the ctx points to
	flowNhoff     = FlowKeysOff
	flowThoff     = FlowKeysOff + 2
	flowProto     = FlowKeysOff + 10
	maxFlowOffset = 1<<16 - 1

	NetfilterSKB = 8 // u64 of the ctx itself: the struct sk_buff

	XDPLinear    = 24   // u32 bytes of the packet that are before its fragments; 0: as the kernel's test run divides it
	XDPFragCount = 28   // u32 number of fragments
	XDPFragTable = 32   // u32 where their places and sizes are, two u32 each
	XDPRxHash    = 36   // u32 what the device made of the packet's addresses: bpf_xdp_metadata_rx_hash
	XDPRxType    = 40   // u32 of what it made it, enum xdp_rss_hash_type; with the hash 0: there is none
	XDPRxVLAN    = 44   // u32 ethertype, host order, of the tag that the device took out; 0: none
	XDPRxTCI     = 48   // u32 what the tag said
	MaxFrags     = 17   // MAX_SKB_FRAGS
	FragSize     = 4096 // the largest fragment: a page

	sockoptMax = 4096 // the longest option value that a program sees: PAGE_SIZE
)

// hide makes hidden fields: "name offset" each, 4 bytes.
func hide(pairs ...string) []CtxField { return list(Read|Write, pairs...) }

// text is a field with a string of at most size-1 bytes.
func text(name string, off, size int) CtxField {
	return CtxField{Name: name, Off: off, Size: size, Unit: 1, Access: Read | Write, Text: true}
}

// inner is a field for helpers alone.
func inner(name string, off int, y Yield) CtxField {
	return CtxField{Name: name, Off: off, Size: 4, Unit: 4, Yields: y}
}

var (
	netfilterHidden = append(append([]CtxField{inner("data", 16, PktData), inner("data_end", 20, PktEnd)},
		hide("hook 24", "pf 28", "in 32", "out 36", "mark 40", "protocol 44")...), inner("begin", nfBegin, Scalar))
	xdpHidden = append(append(hide("linear 24"), inner("frag_count", XDPFragCount, Scalar), inner("frag_table", XDPFragTable, Scalar)),
		hide("rx_hash 36", "rx_hash_type 40", "rx_vlan_proto 44", "rx_vlan_tci 48")...)
	reuseportHidden = []CtxField{{Name: "selected", Off: ReuseportSelected, Size: 8, Unit: 8, Access: Read, Yields: SockOrNull},
		inner("packet", ReuseportPacket, Scalar), inner("packet_end", ReuseportEnd, Scalar), inner("net", ReuseportNet, Scalar)}
	msgHidden = append(hide("apply_bytes 80", "cork_bytes 84"), inner("begin", MsgBegin, Scalar), inner("end", MsgEnd, Scalar),
		CtxField{Name: "sg", Off: MsgSG, Size: 4 * MsgSGMax, Unit: 4, Access: Read | Write})
	sockOpsHidden = append(hide("remaining_opt_len 224", "reserved_opt_len 228", "syn_len 232"),
		CtxField{Name: "syn", Off: SockOpsSyn, Size: 60, Unit: 1, Access: Read | Write})
	sockAddrHidden = append(hide("retval 72", "bound_port 76", "bound_ip4 80"),
		CtxField{Name: "bound_ip6", Off: SockAddrBoundIP6, Size: 16, Unit: 4, Access: Read | Write},
		CtxField{Name: "sun_path_len", Off: SockAddrSunLen, Size: 4, Unit: 4, Access: Read | Write},
		text("sun_path", SockAddrSunPath, 108))
	sysctlHidden = append(hide("retval 8", "updated 12", "new_len 16"), text("name", SysctlName, SysctlNameMax),
		text("value", SysctlValue, SysctlMax), text("new_value", SysctlNew, SysctlMax))
	flowKeysHidden = func() (out []CtxField) {
		for _, f := range flowKeysFields {
			f.Name, f.Off, f.Access = "flow_keys."+f.Name, f.Off+FlowKeysOff, Read|Write
			out = append(out, f)
		}
		return out
	}()
)

// flowKeysFields is struct bpf_flow_keys.
var flowKeysFields = []CtxField{
	{Name: "nhoff", Off: 0, Size: 2, Unit: 2}, {Name: "thoff", Off: 2, Size: 2, Unit: 2}, {Name: "addr_proto", Off: 4, Size: 2, Unit: 2},
	{Name: "is_frag", Off: 6, Size: 1, Unit: 1}, {Name: "is_first_frag", Off: 7, Size: 1, Unit: 1},
	{Name: "is_encap", Off: 8, Size: 1, Unit: 1}, {Name: "ip_proto", Off: 9, Size: 1, Unit: 1},
	{Name: "n_proto", Off: 10, Size: 2, Unit: 2}, {Name: "sport", Off: 12, Size: 2, Unit: 2}, {Name: "dport", Off: 14, Size: 2, Unit: 2},
	{Name: "ipv4_src", Off: 16, Size: 4, Unit: 4}, {Name: "ipv4_dst", Off: 20, Size: 4, Unit: 4},
	{Name: "ipv6_src", Off: 16, Size: 16, Unit: 4}, {Name: "ipv6_dst", Off: 32, Size: 16, Unit: 4},
	{Name: "flags", Off: 48, Size: 4, Unit: 4}, {Name: "flow_label", Off: 52, Size: 4, Unit: 4},
}

// SizeofFlowKeys is the size of struct bpf_flow_keys in bytes.
const SizeofFlowKeys = 56

// placement is how a type's ctx is filled when there is data for it, or none: data is [data, end). nil members have nothing to do.
type placement struct {
	begin func(s *mem.Space, ctx, data, end uint32, in *Input)
	// whole is where all of the data is, when that is not what data and data_end say.
	whole func(s *mem.Space, ctx uint32) (data, end uint32)
	room  uint32 // bytes of data that a buffer takes
	grow  uint32 // bytes that helpers may add behind it
}

// placements are those of types that see no packets as XDP and tc programs do.
var placements = [NumTypes]*placement{
	CgroupSock:     {},
	CgroupDevice:   {},
	CgroupSockAddr: {begin: beginSockAddr},
	CgroupSysctl:   {},
	CgroupSockopt:  {begin: beginSockopt, room: 1 << 16, whole: wholeSockopt},
	SockOps:        {begin: beginSockOps, room: 1 << 12, grow: 64},
	SkMsg:          {begin: beginMsg, room: 1 << 16, grow: 1 << 16, whole: wholeMsg},
	SkLookup:       {begin: beginSkLookup},
	SkReuseport:    {begin: beginReuseport, room: 1 << 16, whole: wholeReuseport},
	Syscall:        {},
	Netfilter:      {begin: beginNetfilter, room: 1 << 16, whole: wholeNetfilter},
}

// placement is that of a type, nil when it has none.
func (t Type) placement() *placement {
	if t < NumTypes {
		return placements[t]
	}
	return nil
}

const inet, tcp, stream = 2, 6, 1 // AF_INET, IPPROTO_TCP, SOCK_STREAM

func beginSockAddr(s *mem.Space, ctx, _, _ uint32, _ *Input) {
	s.Store32(ctx, inet)      // user_family
	s.Store32(ctx+28, inet)   // family
	s.Store32(ctx+32, stream) // type
	s.Store32(ctx+36, tcp)    // protocol
}

func beginSkLookup(s *mem.Space, ctx, _, _ uint32, in *Input) {
	s.Store32(ctx+8, inet)
	s.Store32(ctx+12, tcp)
	s.Store32(ctx+64, in.Ifindex)
}

// readySkLookup shows the addresses of the ctx's family alone, and refuses what bpf_prog_test_run_sk_lookup of Linux refuses.
func readySkLookup(s *mem.Space, ctx uint32) error {
	const family, port, inet6, ip6 = 8, 60, 10, 16
	if p := s.Load32(ctx + port); p > 1<<16-1 {
		return &CtxError{SkLookup, "local_port", fmt.Sprintf("%d is no port", p)}
	}
	switch f := s.Load32(ctx + family); f {
	case inet:
		clear(frameBytes(s, ctx+20, ip6))
		clear(frameBytes(s, ctx+44, ip6))
	case inet6:
		s.Store32(ctx+16, 0)
		s.Store32(ctx+40, 0)
	default:
		return &CtxError{SkLookup, "family", fmt.Sprintf("%d: want 2 (AF_INET) or 10 (AF_INET6)", f)}
	}
	return nil
}

func beginSockOps(s *mem.Space, ctx, data, end uint32, _ *Input) {
	s.Store32(ctx+20, inet) // family
	s.Store32(ctx+72, 1)    // is_fullsock
	s.Store32(ctx+208, end-data)
}

// beginSockopt shows a page of the value at most (Linux: sockopt_alloc_buf).
func beginSockopt(s *mem.Space, ctx, data, end uint32, _ *Input) {
	s.Store32(ctx+32, end-data) // optlen
	s.Store64(ctx+16, uint64(min(end, data+sockoptMax)))
}

func wholeSockopt(s *mem.Space, ctx uint32) (data, end uint32) {
	return s.Load32(ctx + 8), s.Load32(ctx + 16)
}

// beginMsg makes a message of one element.
func beginMsg(s *mem.Space, ctx, data, end uint32, _ *Input) {
	s.Store32(ctx+16, inet)
	s.Store32(ctx+68, end-data) // size
	s.Store32(ctx+MsgBegin, data)
	s.Store32(ctx+MsgEnd, end)
	s.Store32(ctx+MsgSG, end-data)
}

// readyMsg makes the first element of a message its data (Linux: sk_msg_compute_data_pointers). The elements must be the message.
func readyMsg(s *mem.Space, ctx uint32) error {
	begin, end := wholeMsg(s, ctx)
	sum, n := uint64(0), uint32(0)
	for ; n < MsgSGMax; n++ {
		length := s.Load32(ctx + MsgSG + 4*n)
		if length == 0 {
			break
		}
		sum += uint64(length)
	}
	if sum != uint64(end-begin) || n > msgMaxElems {
		return &CtxError{SkMsg, "sg", fmt.Sprintf("%d elements of %d bytes, the message has %d", n, sum, end-begin)}
	}
	s.Store64(ctx+8, uint64(begin+s.Load32(ctx+MsgSG)))
	return nil
}

func wholeMsg(s *mem.Space, ctx uint32) (data, end uint32) {
	return s.Load32(ctx + MsgBegin), s.Load32(ctx + MsgEnd)
}

// beginReuseport takes an Ethernet frame apart: data is the transport header, as where the kernel runs these programs (tcp_v4_rcv,
// udp_rcv).
func beginReuseport(s *mem.Space, ctx, data, end uint32, _ *Input) {
	s.Store32(ctx+ReuseportPacket, data)
	s.Store32(ctx+ReuseportEnd, end)
	packet, _ := s.Bytes(data, end-data)
	if len(packet) < ethHLen {
		return
	}
	proto := uint16(packet[12])<<8 | uint16(packet[13])
	ip, l4, next := packet[ethHLen:], 0, byte(0)
	switch {
	case proto == etherIPv4 && len(ip) >= 20:
		l4, next = int(ip[0]&15)*4, ip[9]
	case proto == etherIPv6 && len(ip) >= 40:
		l4, next = 40, ip[6]
	}
	at := min(data+ethHLen+uint32(l4), end)
	s.Store64(ctx, uint64(at))
	s.Store32(ctx+16, end-at)
	s.Store32(ctx+20, swap16(proto))
	s.Store32(ctx+24, uint32(next))
	s.Store32(ctx+ReuseportNet, data+ethHLen)
}

func wholeReuseport(s *mem.Space, ctx uint32) (data, end uint32) {
	return s.Load32(ctx + ReuseportPacket), s.Load32(ctx + ReuseportEnd)
}

// beginFlow is what bpf_flow_dissect of the kernel does before a flow dissector runs.
func beginFlow(s *mem.Space, ctx uint32, noMAC bool) {
	keys, _ := s.Bytes(ctx+FlowKeysOff, SizeofFlowKeys)
	clear(keys)
	s.Store64(ctx+SKBFlowKeys, uint64(ctx+FlowKeysOff))
	proto := uint16(s.Load32(ctx + SKBProtocol))
	if noMAC {
		s.Store16(ctx+flowProto, proto)
		return
	}
	s.Store16(ctx+flowNhoff, ethHLen)
	s.Store16(ctx+flowThoff, ethHLen)
	if data := s.Load32(ctx + SKBData); s.Load32(ctx+SKBDataEnd)-data >= ethHLen {
		proto = s.Load16(data + ethHLen - 2) // a length as well
	}
	s.Store16(ctx+flowProto, proto)
}

// doneFlow is what it does afterwards: offsets stay inside the packet.
func doneFlow(s *mem.Space, ctx uint32) {
	end := min(s.Load32(ctx+SKBDataEnd)-s.Load32(ctx+SKBData), maxFlowOffset)
	n := min(max(uint32(s.Load16(ctx+flowNhoff)), ethHLen), end)
	t := min(max(uint32(s.Load16(ctx+flowThoff)), n), end)
	s.Store16(ctx+flowNhoff, uint16(n))
	s.Store16(ctx+flowThoff, uint16(t))
}

// textOf is the string in a field.
func textOf(b []byte) string {
	if i := bytes.IndexByte(b, 0); i >= 0 {
		b = b[:i]
	}
	return string(b)
}
