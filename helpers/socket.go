package helpers

import (
	"encoding/binary"
	"fmt"
	"net/netip"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Protocols of sockets (IANA protocol numbers).
const (
	ProtoTCP = 6
	ProtoUDP = 17
)

// States of sockets (Linux: include/net/tcp_states.h).
const (
	StateEstablished = 1
	StateSynReceived = 12 // TCP_NEW_SYN_RECV: a request, no full socket
	StateTimeWait    = 6  // no full socket either
	StateClose       = 7  // an unconnected UDP socket
	StateListen      = 10
)

// Socket is one socket of the host that the program would run on.
type Socket struct {
	Proto  uint8          // ProtoTCP or ProtoUDP
	Local  netip.AddrPort // an unspecified address is any; :: is IPv4 too unless V6Only
	Remote netip.AddrPort // not valid: it listens, or is not connected
	State  uint8          // 0: what Proto and Remote suggest
	V6Only bool

	BoundIf  uint32 // index of the only interface it is for; 0: any
	Mark     uint32
	Priority uint32
	RxQueue  int32  // -1: none known
	Cookie   uint64 // 0: its place in the list, from 1
	UID      uint32
	Cgroup   *Group // control group of the process that opened it; nil: not known
	TCP      TCPInfo

	NetnsCookie uint64 // of its network namespace; 0: the first

	family, typ uint32 // of one that a ctx describes; 0: what Local and Proto say
	options     map[option][]byte
}

// TCPInfo is what struct bpf_tcp_sock says of a connection.
type TCPInfo struct {
	SndCwnd, SrttUS, RttMin, SndSsthresh, RcvNxt, SndNxt, SndUna, MSS, ECNFlags uint32
	RateDelivered, RateIntervalUS, PacketsOut, RetransOut, TotalRetrans         uint32
	SegsIn, DataSegsIn, SegsOut, DataSegsOut, LostOut, SackedOut                uint32
	BytesReceived, BytesAcked                                                   uint64
	DsackDups, Delivered, DeliveredCE, Retransmits                              uint32
}

// A socket in guest memory is a struct bpf_sock with a struct bpf_tcp_sock behind it: what programs read through pointers to it.
const (
	sizeofSock    = 80
	sizeofTCPSock = 112
	sizeofSocket  = sizeofSock + sizeofTCPSock

	sockBoundIf, sockFamily, sockType, sockProto, sockMark, sockPriority = 0, 4, 8, 12, 16, 20
	sockSrcIP4, sockSrcIP6, sockSrcPort, sockDstPort                     = 24, 28, 44, 48
	sockDstIP4, sockDstIP6, sockState, sockRxQueue                       = 52, 56, 72, 76

	typeStream, typeDatagram = 1, 2 // SOCK_STREAM, SOCK_DGRAM
)

// Sockets is the socket table of a machine. It does not change, but for what programs do to its sockets' options.
type Sockets struct {
	list  []Socket
	own   Socket // see SetOwn
	space *mem.Space
	base  uint32 // guest address of the first; own is behind the last
}

// NewSockets puts sockets into guest memory. It fails when one makes no sense, or when there is no room.
func NewSockets(space *mem.Space, list []Socket) (*Sockets, error) {
	t := &Sockets{list: append([]Socket(nil), list...), space: space}
	base, err := space.Alloc(uint32(len(list)+1)*sizeofSocket, 8)
	if err != nil {
		return nil, err
	}
	t.base = base
	for i := range t.list {
		s := &t.list[i]
		if err := s.complete(i); err != nil {
			return nil, err
		}
		t.store(s, i)
	}
	return t, nil
}

// store writes socket i to guest memory.
func (t *Sockets) store(s *Socket, i int) {
	b, _ := t.space.Bytes(t.Addr(i), sizeofSocket)
	clear(b)
	s.store(b)
}

// complete fills in what is left open.
func (s *Socket) complete(i int) error {
	connected := s.Remote.IsValid()
	switch {
	case s.Proto != ProtoTCP && s.Proto != ProtoUDP:
		return fmt.Errorf("socket %d: protocol %d: want %d (TCP) or %d (UDP)", i, s.Proto, ProtoTCP, ProtoUDP)
	case !s.Local.IsValid():
		return fmt.Errorf("socket %d: no local address", i)
	case connected && s.Remote.Addr().Is4() != s.Local.Addr().Is4():
		return fmt.Errorf("socket %d: %v and %v are of two families", i, s.Local, s.Remote)
	}
	if s.State == 0 {
		switch {
		case connected:
			s.State = StateEstablished
		case s.Proto == ProtoTCP:
			s.State = StateListen
		default:
			s.State = StateClose
		}
	}
	if s.Cookie == 0 {
		s.Cookie = uint64(i) + 1
	}
	return nil
}

// store writes the two structures.
func (s *Socket) store(b []byte) {
	le := binary.LittleEndian
	family, typ := s.kind()
	for _, f := range [...]struct{ off, v uint32 }{
		{sockBoundIf, s.BoundIf}, {sockFamily, family}, {sockType, typ}, {sockProto, uint32(s.Proto)}, {sockMark, s.Mark},
		{sockPriority, s.Priority}, {sockSrcPort, uint32(s.Local.Port())}, {sockState, uint32(s.State)},
		{sockRxQueue, uint32(s.RxQueue)},
	} {
		le.PutUint32(b[f.off:], f.v)
	}
	putAddr(b, sockSrcIP4, sockSrcIP6, s.Local.Addr())
	if family == familyIPv6 && !s.Local.Addr().IsUnspecified() {
		copy(b[sockSrcIP4:], localIPv4[:])
	}
	if s.Remote.IsValid() {
		putAddr(b, sockDstIP4, sockDstIP6, s.Remote.Addr())
		binary.BigEndian.PutUint16(b[sockDstPort:], s.Remote.Port())
	}
	if _, err := binary.Encode(b[sizeofSock:], le, &s.TCP); err != nil {
		panic("helpers: struct bpf_tcp_sock: " + err.Error())
	}
}

// kind is the family and the type of a socket.
func (s *Socket) kind() (family, typ uint32) {
	family, typ = familyIPv4, typeStream
	if s.Local.Addr().Is6() {
		family = familyIPv6
	}
	if s.Proto == ProtoUDP {
		typ = typeDatagram
	}
	if s.family != 0 {
		family = s.family
	}
	if s.typ != 0 {
		typ = s.typ
	}
	return family, typ
}

// localIPv4 stands in src_ip4 of a socket that is bound to an IPv6 address (Linux: LOOPBACK4_IPV6).
var localIPv4 = [4]byte{127, 0, 0, 6}

func putAddr(b []byte, off4, off6 int, a netip.Addr) {
	if a.Is4() {
		copy(b[off4:], a.AsSlice())
		return
	}
	copy(b[off6:], a.AsSlice())
}

// Len is the number of sockets.
func (t *Sockets) Len() int { return len(t.list) }

// Addr is the guest address of socket i.
func (t *Sockets) Addr(i int) uint32 { return t.base + uint32(i)*sizeofSocket }

// addrOf is the guest address of a socket of the table.
func (t *Sockets) addrOf(s *Socket) uint32 {
	if s == &t.own {
		return t.Addr(len(t.list))
	}
	for i := range t.list {
		if &t.list[i] == s {
			return t.Addr(i)
		}
	}
	return 0
}

// SocketAddr is the guest address of the socket with a cookie.
func (t *Sockets) SocketAddr(cookie uint64) (uint32, bool) {
	for i := range t.list {
		if t.list[i].Cookie == cookie {
			return t.Addr(i), true
		}
	}
	return 0, false
}

// SocketCookie is the cookie of the socket at a guest address; false when there is none.
func (t *Sockets) SocketCookie(addr uint32) (uint64, bool) {
	s, _ := t.At(addr)
	if s == nil {
		return 0, false
	}
	return s.Cookie, true
}

// At is the socket that a program's pointer is to: to it, or to its bpf_tcp_sock. nil: to none.
func (t *Sockets) At(addr uint32) (*Socket, int) {
	if t == nil || addr < t.base {
		return nil, -1
	}
	i := int((addr - t.base) / sizeofSocket)
	if off := (addr - t.base) % sizeofSocket; i > len(t.list) || off != 0 && off != sizeofSock {
		return nil, -1
	}
	if i == len(t.list) {
		return &t.own, i
	}
	return &t.list[i], i
}

// isFull reports whether there is more than an address pair to s (Linux: sk_fullsock).
func (s *Socket) isFull() bool { return s.State != StateTimeWait && s.State != StateSynReceived }

// tuple is what a lookup looks for: the packet's addresses, so Remote is its source.
type tuple struct {
	remote, local netip.AddrPort
	ifindex       uint32
}

// find returns the index of the socket that a packet would be for, -1 when there is none: a connected one, else the one that is
// bound the most closely, the first among equals (Linux: __inet_lookup, __udp4_lib_lookup, compute_score).
func (t *Sockets) find(proto uint8, q tuple) int {
	best, most := -1, 0
	if t == nil {
		return best
	}
	for i := range t.list {
		if score := t.list[i].score(proto, q); score > most {
			best, most = i, score
		}
	}
	return best
}

// score is how well s fits: 0 when it does not.
func (s *Socket) score(proto uint8, q tuple) int {
	const byFamily, byDevice, byLocal, byRemote = 1, 2, 4, 8
	local := s.Local.Addr()
	if s.Proto != proto || s.Local.Port() != q.local.Port() {
		return 0
	}
	score := byFamily
	if local.Is4() != q.local.Addr().Is4() {
		if !local.Is6() || !local.IsUnspecified() || s.V6Only {
			return 0
		}
		score = 0
	}
	switch {
	case s.BoundIf == q.ifindex && s.BoundIf != 0:
		score += byDevice
	case s.BoundIf != 0:
		return 0
	}
	switch {
	case !local.IsUnspecified():
		if local != q.local.Addr() {
			return 0
		}
		score += byLocal
	}
	if s.Remote.IsValid() {
		if s.Remote != q.remote {
			return 0
		}
		score += byRemote
	}
	return score + 1
}

// Sizes of a struct bpf_sock_tuple for either family.
const sizeofTuple4, sizeofTuple6 = 12, 36

// lookup finds a socket for a struct bpf_sock_tuple: its guest address, 0 when there is none. Deviation: there is one network
// namespace, the program's own; any other is empty.
func (e *Env) lookup(proto uint8, ctx, ptr, size, netns, flags uint64) (*Socket, uint32, error) {
	n := uint64(uint32(size))
	if n != sizeofTuple4 && n != sizeofTuple6 {
		return nil, 0, nil
	}
	b, err := e.mem(2, ptr, n)
	if err != nil || flags != 0 || int32(netns) >= 0 {
		return nil, 0, err
	}
	size1 := int(n-4) / 2
	src, _ := netip.AddrFromSlice(b[:size1])
	dst, _ := netip.AddrFromSlice(b[size1 : 2*size1])
	ports := b[2*size1:]
	i := e.Sockets.find(proto, tuple{
		remote:  netip.AddrPortFrom(src, binary.BigEndian.Uint16(ports)),
		local:   netip.AddrPortFrom(dst, binary.BigEndian.Uint16(ports[2:])),
		ifindex: e.ownLink(uint32(ctx)),
	})
	if i < 0 {
		return nil, 0, nil
	}
	return &e.Sockets.list[i], e.Sockets.Addr(i), nil
}

// full gives a socket's address, 0 when it is no full one.
func full(s *Socket, addr uint32, err error) (uint64, error) {
	if err != nil || s == nil || !s.isFull() {
		return 0, err
	}
	return uint64(addr), nil
}

func skLookupTCP(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	return full(e.lookup(ProtoTCP, r1, r2, r3, r4, r5))
}

func skLookupUDP(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	return full(e.lookup(ProtoUDP, r1, r2, r3, r4, r5))
}

func skcLookupTCP(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	_, addr, err := e.lookup(ProtoTCP, r1, r2, r3, r4, r5)
	return uint64(addr), err
}

// socketArg is the socket in an argument.
func (e *Env) socketArg(arg int, ptr uint64) (*Socket, uint32, error) {
	if e.Type == prog.CgroupSock && uint32(ptr) == e.Ctx && e.Sockets != nil { // the ctx is the socket
		return &e.Sockets.own, e.Sockets.addrOf(&e.Sockets.own), nil
	}
	if s, i := e.Sockets.At(uint32(ptr)); s != nil {
		return s, e.Sockets.Addr(i), nil
	}
	return nil, 0, &ArgError{arg, ptr, "is no socket"}
}

// skRelease has nothing to do: sockets of the table are there for good.
func skRelease(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	_, _, err := e.socketArg(1, r1)
	return 0, err
}

func skFullsock(e *Env, r1, _, _, _, _ uint64) (uint64, error) { return full(e.socketArg(1, r1)) }

// tcpSock gives the bpf_tcp_sock behind a full TCP socket.
func tcpSock(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	s, addr, err := e.socketArg(1, r1)
	if err != nil || s.Proto != ProtoTCP || !s.isFull() {
		return 0, err
	}
	return uint64(addr) + sizeofSock, nil
}

func getListenerSock(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	s, addr, err := e.socketArg(1, r1)
	if err != nil || s.State != StateListen {
		return 0, err
	}
	return uint64(addr), nil
}

// skAssign makes a socket the packet's: __sk_buff.sk, or the choice of an sk_lookup program (Linux: bpf_sk_assign,
// bpf_sk_lookup_assign). Deviation: every packet of a tc program is on ingress.
func skAssign(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	if e.Type == prog.SkLookup {
		return e.lookupAssign(uint32(r1), r2, r3)
	}
	if r2 == 0 || r3 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	_, addr, err := e.socketArg(2, r2)
	if err != nil {
		return 0, err
	}
	e.Space.Store64(uint32(r1)+prog.SKBSk, uint64(addr))
	return 0, nil
}

// Offsets in struct bpf_sk_lookup.
const lookupSk, lookupFamily, lookupProto = 0, 8, 12

// lookupAssign: see Linux bpf_sk_lookup_assign.
func (e *Env) lookupAssign(ctx uint32, sk, flags uint64) (uint64, error) {
	const (
		replace       = 1 << 0 // BPF_SK_LOOKUP_F_REPLACE
		noReuseport   = 1 << 1 // BPF_SK_LOOKUP_F_NO_REUSEPORT
		errSocketType = 94     // ESOCKTNOSUPPORT
	)
	if flags&^(replace|noReuseport) != 0 {
		return maps.EINVAL.Ret(), nil
	}
	addr := uint32(0)
	if sk != 0 {
		s, at, err := e.socketArg(2, sk)
		switch {
		case err != nil:
			return 0, err
		case s.Proto == ProtoTCP && s.State != StateListen, s.Proto == ProtoUDP && s.State != StateClose:
			return negative(errSocketType), nil
		case uint32(s.Proto) != e.Space.Load32(ctx+lookupProto):
			return errProtoType.Ret(), nil
		case !s.takesFamily(e.Space.Load32(ctx + lookupFamily)):
			return errAFNoSupport.Ret(), nil
		}
		addr = at
	}
	if flags&replace == 0 && e.Space.Load64(ctx+lookupSk) != 0 {
		return maps.EEXIST.Ret(), nil
	}
	e.Space.Store64(ctx+lookupSk, uint64(addr))
	return 0, nil
}

// takesFamily reports whether s gets packets of an address family: its own, and an IPv6 socket those of IPv4.
func (s *Socket) takesFamily(family uint32) bool {
	own, _ := s.kind()
	return own == family || own == familyIPv6 && !s.V6Only
}

// skOfCtx is the socket of the packet that a ctx is about, nil when it has none.
func (e *Env) skOfCtx(ctx uint64) *Socket {
	if e.Type == prog.CgroupSock && e.Sockets != nil {
		return &e.Sockets.own
	}
	for _, f := range e.Type.Row().Fields {
		if f.Name == "sk" {
			s, _ := e.Sockets.At(e.Space.Load32(uint32(ctx) + uint32(f.Off)))
			return s
		}
	}
	return nil
}

// getSocketCookie: see Linux bpf_get_socket_cookie. 0 is no socket.
func getSocketCookie(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	s := e.skOfCtx(r1)
	if s == nil {
		s, _ = e.Sockets.At(uint32(r1)) // programs that give the socket itself
	}
	if s == nil {
		return 0, nil
	}
	return s.Cookie, nil
}

func getSocketUid(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	const overflowUID = 65534
	if s := e.skOfCtx(r1); s != nil && s.isFull() {
		return uint64(s.UID), nil
	}
	return overflowUID, nil
}

// listener says whether a SYN cookie is this socket's business, and for which family.
func (s *Socket) cookieForm(head []byte) (*cookieForm, maps.Errno) {
	if s.State != StateListen || s.Proto != ProtoTCP || len(head) < sizeofIPv4Header {
		return nil, maps.EINVAL
	}
	is6 := s.Local.Addr().Is6()
	switch head[0] >> 4 {
	case 4:
		if is6 && s.V6Only {
			return nil, maps.EINVAL
		}
		return &cookieIPv4, 0
	case 6:
		if len(head) < sizeofIPv6Header || !is6 {
			return nil, maps.EINVAL
		}
		return &cookieIPv6, 0
	}
	return nil, errProtoNoSupport
}

const (
	errProtoNoSupport maps.Errno = 93

	tcpFlags               = 13 // offset in a TCP header
	tcpFin, tcpSyn, tcpRst = 1, 2, 4
	tcpAck                 = 16
)

// headers are the arguments of the SYN cookie helpers that look at a socket.
func (e *Env) headers(r1, r2, r3, r4, r5 uint64) (s *Socket, head, segment []byte, err error) {
	if s, _, err = e.socketArg(1, r1); err != nil {
		return
	}
	if head, err = e.mem(2, r2, uint64(uint32(r3))); err != nil {
		return
	}
	segment, err = e.mem(4, r4, uint64(uint32(r5)))
	return
}

// tcpGenSyncookie: see Linux bpf_tcp_gen_syncookie. Deviation: the listener's queue counts as full, so there always is a cookie.
func tcpGenSyncookie(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	s, head, segment, err := e.headers(r1, r2, r3, r4, r5)
	if err != nil {
		return 0, err
	}
	if len(segment) < sizeofTCPHeader || len(segment) != int(segment[12]>>4)*4 {
		return maps.EINVAL.Ret(), nil
	}
	if segment[tcpFlags]&(tcpSyn|tcpAck|tcpFin|tcpRst) != tcpSyn {
		return maps.EINVAL.Ret(), nil
	}
	form, errno := s.cookieForm(head)
	if errno != 0 {
		return errno.Ret(), nil
	}
	return e.makeCookie(form, r2, r4, r5)
}

// tcpCheckSyncookie: see Linux bpf_tcp_check_syncookie. Deviation: as if cookies had been sent of late.
func tcpCheckSyncookie(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	s, head, segment, err := e.headers(r1, r2, r3, r4, r5)
	if err != nil {
		return 0, err
	}
	if len(segment) < sizeofTCPHeader || s.State != StateListen || s.Proto != ProtoTCP {
		return maps.EINVAL.Ret(), nil
	}
	if segment[tcpFlags]&(tcpSyn|tcpAck|tcpRst) != tcpAck {
		return maps.ENOENT.Ret(), nil
	}
	form, errno := s.cookieForm(head)
	if errno != 0 {
		return errno.Ret(), nil
	}
	ret, err := e.checkCookie(form, r2, r4)
	if ret == errAccess.Ret() {
		ret = maps.ENOENT.Ret()
	}
	return ret, err
}
