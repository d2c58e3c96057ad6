package helpers

import (
	"encoding/binary"
	"net/netip"

	"github.com/skepvm/skep/prog"
)

// ownCookie is the cookie of a socket that no table has.
const ownCookie = 1 << 32

// ctxSocket says where the ctx of a type describes its socket. Offsets are those in the ctx; -1: it does not say.
type ctxSocket struct {
	sk                             int32 // of the pointer to it; -1: the ctx is the socket, or there is none
	family, typ, proto             int32
	localIP4, localIP6, localPort  int32
	remoteIP4, remoteIP6, remPort  int32
	shift                          uint8 // of the remote port's network order within its word
	state, tcp                     int32
	mark, priority, boundIf, queue int32
}

// ctxSockets has the types whose programs always have a socket.
var ctxSockets = map[prog.Type]*ctxSocket{
	prog.SockOps: {sk: 184, family: 20, typ: -1, proto: -1, localIP4: 28, localIP6: 48, localPort: 68, remoteIP4: 24, remoteIP6: 32,
		remPort: 64, shift: 16, state: 88, tcp: 76, mark: -1, priority: -1, boundIf: -1, queue: -1},
	prog.SkMsg: {sk: 72, family: 16, typ: -1, proto: -1, localIP4: 24, localIP6: 44, localPort: 64, remoteIP4: 20, remoteIP6: 28,
		remPort: 60, shift: 16, state: -1, tcp: -1, mark: -1, priority: -1, boundIf: -1, queue: -1},
	prog.CgroupSockAddr: {sk: 64, family: 28, typ: 32, proto: 36, localIP4: -1, localIP6: -1, localPort: -1, remoteIP4: -1,
		remoteIP6: -1, remPort: -1, state: -1, tcp: -1, mark: -1, priority: -1, boundIf: -1, queue: -1},
	prog.CgroupSockopt: {sk: 0, family: -1, typ: -1, proto: -1, localIP4: -1, localIP6: -1, localPort: -1, remoteIP4: -1,
		remoteIP6: -1, remPort: -1, state: -1, tcp: -1, mark: -1, priority: -1, boundIf: -1, queue: -1},
	prog.SkReuseport: {sk: 40, family: -1, typ: -1, proto: 24, localIP4: -1, localIP6: -1, localPort: -1, remoteIP4: -1,
		remoteIP6: -1, remPort: -1, state: -1, tcp: -1, mark: -1, priority: -1, boundIf: -1, queue: -1},
	prog.CgroupSock: {sk: -1, family: sockFamily, typ: sockType, proto: sockProto, localIP4: sockSrcIP4, localIP6: sockSrcIP6,
		localPort: sockSrcPort, remoteIP4: sockDstIP4, remoteIP6: sockDstIP6, remPort: sockDstPort, state: sockState, tcp: -1,
		mark: sockMark, priority: sockPriority, boundIf: sockBoundIf, queue: sockRxQueue},
}

const offIsFullsock = 72 // in struct bpf_sock_ops

// SetOwn makes the socket that the ctx of a program of type t is about, of what the ctx says of it, unless the ctx points to one
// already. Types whose programs need no socket are left alone.
func (t *Sockets) SetOwn(typ prog.Type, ctx uint32) {
	c := ctxSockets[typ]
	if c == nil || c.sk >= 0 && t.space.Load64(ctx+uint32(c.sk)) != 0 {
		return
	}
	t.own = t.describe(typ, c, ctx)
	t.store(&t.own, len(t.list))
	if typ == prog.SockOps && t.space.Load32(ctx+offIsFullsock) == 0 {
		return
	}
	if c.sk >= 0 {
		t.space.Store64(ctx+uint32(c.sk), uint64(t.Addr(len(t.list))))
	}
}

// describe reads a socket out of a ctx.
func (t *Sockets) describe(typ prog.Type, c *ctxSocket, ctx uint32) Socket {
	word := func(off int32, missing uint32) uint32 {
		if off < 0 {
			return missing
		}
		return t.space.Load32(ctx + uint32(off))
	}
	s := Socket{Cookie: ownCookie, Proto: uint8(word(c.proto, ProtoTCP)), family: word(c.family, familyIPv4), typ: word(c.typ, 0),
		Mark: word(c.mark, 0), Priority: word(c.priority, 0), BoundIf: word(c.boundIf, 0), RxQueue: int32(word(c.queue, 1<<32-1)),
		State: uint8(word(c.state, 0))}
	addr := func(off4, off6, port int32, p uint16) netip.AddrPort {
		a := netip.IPv4Unspecified()
		switch {
		case s.family == familyIPv6 && off6 < 0:
			a = netip.IPv6Unspecified()
		case s.family == familyIPv6:
			b, _ := t.space.Bytes(ctx+uint32(off6), 16)
			a, _ = netip.AddrFromSlice(b)
		case off4 >= 0:
			b, _ := t.space.Bytes(ctx+uint32(off4), 4)
			a, _ = netip.AddrFromSlice(b)
		}
		return netip.AddrPortFrom(a, p)
	}
	s.Local = addr(c.localIP4, c.localIP6, c.localPort, uint16(word(c.localPort, 0)))
	if remote := addr(c.remoteIP4, c.remoteIP6, c.remPort, swap16(uint16(word(c.remPort, 0)>>c.shift))); remote.Port() != 0 {
		s.Remote = remote
	}
	if s.State == 0 {
		s.State = StateEstablished
		if !s.Remote.IsValid() {
			s.State = StateClose
		}
	}
	if typ == prog.SkReuseport && s.Proto == ProtoTCP {
		s.State = StateListen
	}
	if c.tcp >= 0 {
		t.readTCP(&s, ctx)
	}
	return s
}

// readTCP takes what struct bpf_sock_ops says of the connection.
func (t *Sockets) readTCP(s *Socket, ctx uint32) {
	at := func(off uint32) uint32 { return t.space.Load32(ctx + off) }
	s.TCP = TCPInfo{SndCwnd: at(76), SrttUS: at(80), RttMin: at(92), SndSsthresh: at(96), RcvNxt: at(100), SndNxt: at(104),
		SndUna: at(108), MSS: at(112), ECNFlags: at(116), RateDelivered: at(120), RateIntervalUS: at(124), PacketsOut: at(128),
		RetransOut: at(132), TotalRetrans: at(136), SegsIn: at(140), DataSegsIn: at(144), SegsOut: at(148), DataSegsOut: at(152),
		LostOut: at(156), SackedOut: at(160), BytesReceived: t.space.Load64(ctx + 168), BytesAcked: t.space.Load64(ctx + 176)}
	s.setOption(option{solTCP, tcpBPFCBFlags}, binary.LittleEndian.AppendUint32(nil, at(offCBFlags)))
}
