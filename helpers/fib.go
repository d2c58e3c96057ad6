package helpers

import (
	"encoding/binary"
	"net/netip"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// FIB is a router's view of the network: links, routes, rules and neighbours. It is a Router. The zero
// value knows no link, so every lookup gives -ENODEV. A FIB must not be changed while programs run.
type FIB struct {
	Links      []Link
	Routes     []Route
	Rules      []Rule // by priority; none is the kernel's three: local, main, default
	Neighbours []Neighbour
}

// Link is a network interface.
type Link struct {
	Index     uint32
	Name      string
	MAC       [6]byte
	MTU       uint32
	Addresses []netip.Prefix // own addresses with their networks
	NoForward bool           // the sysctl "forwarding" of the interface is 0
}

// RouteType says what becomes of a packet that a route matches (Linux: RTN_*).
type RouteType uint8

// The route types that a lookup tells apart.
const (
	Unicast     RouteType = iota
	Local                 // also broadcast, multicast and anycast: not forwarded
	Blackhole             // dropped silently
	Unreachable           // dropped with an ICMP error
	Prohibit              // the same, administratively
	Throw                 // the lookup goes on with the next rule
)

// Tables of routes (Linux: RT_TABLE_*).
const (
	TableDefault = 253
	TableMain    = 254
	TableLocal   = 255
)

// Route is one route, with one next hop or several.
type Route struct {
	Table     uint32 // 0 is TableMain
	Type      RouteType
	Dst       netip.Prefix
	Metric    uint32
	MTU       uint32     // 0 is that of the link
	Source    netip.Addr // preferred source address
	NextHops  []NextHop
	Encapsule bool // has a lightweight tunnel (lwtunnel)
}

// NextHop is where a route leads.
type NextHop struct {
	Link    uint32     // its index
	Gateway netip.Addr // not valid: the destination is on the link
	Weight  uint32     // of several next hops; 0 is 1
}

// Rule picks the table that a packet is looked up in (Linux: ip rule).
type Rule struct {
	Priority         uint32
	Src, Dst         netip.Prefix // not valid: any
	Mark, MarkMask   uint32       // MarkMask 0: any
	InLink, OutLink  string       // "": any
	Table            uint32
	Invert           bool
	OnlyIPv4, OnlyV6 bool
}

// Neighbour is an entry of the ARP or neighbour discovery table that is fit for use (Linux: NUD_VALID).
type Neighbour struct {
	Link uint32
	Addr netip.Addr
	MAC  [6]byte
}

// Results of a lookup (Linux: BPF_FIB_LKUP_RET_*).
const (
	fibSuccess = iota
	fibBlackhole
	fibUnreachable
	fibProhibit
	fibNotForwarded
	fibForwardDisabled
	fibUnsupportedTunnel
	fibNoNeighbour
	fibFragNeeded
	fibNoSource
)

// Flags of bpf_fib_lookup (Linux: BPF_FIB_LOOKUP_*).
const (
	fibDirect    = 1 << 0
	fibOutput    = 1 << 1
	fibSkipNeigh = 1 << 2
	fibTableID   = 1 << 3
	fibSource    = 1 << 4
	fibMark      = 1 << 5
	fibFlags     = 1<<6 - 1
)

// Offsets in struct bpf_fib_lookup.
const (
	fibOffFamily  = 0
	fibOffProto   = 1
	fibOffSport   = 2
	fibOffDport   = 4
	fibOffTotLen  = 6 // u16 in; mtu_result out
	fibOffIfindex = 8
	fibOffTOS     = 12 // tos or flowinfo in; rt_metric out
	fibOffSrc     = 16
	fibOffDst     = 32
	fibOffVLAN    = 48 // tbid in; h_vlan_proto and h_vlan_TCI out
	fibOffMAC     = 52 // mark in; smac and dmac out
	sizeofFIB     = 64

	familyIPv4 = 2
	familyIPv6 = 10
)

const (
	errNoDev    = 19
	errAFamily  = 97
	loopbackIdx = 1
)

// fibQuery is a lookup on its way.
type fibQuery struct {
	fib      *FIB
	params   []byte
	flags    uint32
	src, dst netip.Addr
	in, out  string // names of the links that rules look at
	mark     uint32
	oif      uint32
}

// Router answers bpf_fib_lookup and bpf_check_mtu; *FIB is one.
type Router interface {
	// Lookup answers for the struct bpf_fib_lookup in params, which it changes as the kernel does: a
	// BPF_FIB_LKUP_RET_ value, or a negative error number.
	Lookup(params []byte, flags uint32) int
	// MTU is that of an interface in bytes, 0 when there is no such interface.
	MTU(ifindex uint32) uint32
}

// Lookup answers bpf_fib_lookup: params is a struct bpf_fib_lookup, which is changed as the kernel changes it; the result
// is a BPF_FIB_LKUP_RET_ value or a negative error number (Linux: bpf_ipv4_fib_lookup, bpf_ipv6_fib_lookup). Of several next
// hops it takes one by a hash of the addresses. Deviation: the kernel's hash has a random seed.
func (f *FIB) Lookup(params []byte, flags uint32) int {
	q := fibQuery{fib: f, params: params, flags: flags}
	if !q.addresses() {
		return -errAFamily
	}
	ifindex := binary.LittleEndian.Uint32(params[fibOffIfindex:])
	link := f.link(ifindex)
	switch {
	case link == nil:
		return -errNoDev
	case link.NoForward:
		return fibForwardDisabled
	}
	q.in = link.Name
	if flags&fibOutput != 0 {
		q.in, q.out, q.oif = f.nameOf(loopbackIdx), link.Name, ifindex
	}
	if flags&fibMark != 0 {
		q.mark = binary.LittleEndian.Uint32(params[fibOffMAC:])
	}
	route := q.route()
	if route == nil {
		return fibNotForwarded
	}
	if ret := refusals[route.Type]; ret != fibSuccess {
		return ret
	}
	return q.forward(route)
}

var refusals = [...]int{Local: fibNotForwarded, Blackhole: fibBlackhole, Unreachable: fibUnreachable, Prohibit: fibProhibit,
	Throw: fibNotForwarded}

// addresses reads the query's addresses; false when the family is neither IPv4 nor IPv6.
func (q *fibQuery) addresses() bool {
	switch q.params[fibOffFamily] {
	case familyIPv4:
		q.src = netip.AddrFrom4([4]byte(q.params[fibOffSrc:]))
		q.dst = netip.AddrFrom4([4]byte(q.params[fibOffDst:]))
	case familyIPv6:
		q.src = netip.AddrFrom16([16]byte(q.params[fibOffSrc:]))
		q.dst = netip.AddrFrom16([16]byte(q.params[fibOffDst:]))
	default:
		return false
	}
	return true
}

var defaultRules = []Rule{{Table: TableLocal}, {Table: TableMain}, {Table: TableDefault}}

// route finds the route by the rules, or, with BPF_FIB_LOOKUP_DIRECT, in one table.
func (q *fibQuery) route() *Route {
	if q.flags&fibDirect != 0 {
		table := uint32(TableMain)
		if q.flags&fibTableID != 0 {
			table = binary.LittleEndian.Uint32(q.params[fibOffVLAN:])
		}
		return q.inTable(table)
	}
	rules := q.fib.Rules
	if rules == nil {
		rules = defaultRules
	}
	for i := range rules {
		if !q.follows(&rules[i]) {
			continue
		}
		if r := q.inTable(rules[i].Table); r != nil && r.Type != Throw {
			return r
		}
	}
	return nil
}

// follows reports whether a rule is for this query.
func (q *fibQuery) follows(r *Rule) bool {
	match := (!r.Src.IsValid() || r.Src.Contains(q.src)) && (!r.Dst.IsValid() || r.Dst.Contains(q.dst)) &&
		q.mark&r.MarkMask == r.Mark&r.MarkMask && (r.InLink == "" || r.InLink == q.in) &&
		(r.OutLink == "" || r.OutLink == q.out) && !(r.OnlyIPv4 && q.dst.Is6()) && !(r.OnlyV6 && q.dst.Is4())
	return match != r.Invert
}

// inTable is the longest matching route of a table, the one of the smallest metric among equals.
func (q *fibQuery) inTable(table uint32) *Route {
	if table == TableLocal && q.fib.isOwn(q.dst) {
		return &Route{Type: Local}
	}
	var best *Route
	for i := range q.fib.Routes {
		r := &q.fib.Routes[i]
		id := r.Table
		if id == 0 {
			id = TableMain
		}
		if id != table || !r.Dst.Contains(q.dst) || !q.leavesBy(r) {
			continue
		}
		if best == nil || r.Dst.Bits() > best.Dst.Bits() || r.Dst.Bits() == best.Dst.Bits() && r.Metric < best.Metric {
			best = r
		}
	}
	return best
}

// leavesBy reports whether a route has a next hop on the link that the query demands, if any.
func (q *fibQuery) leavesBy(r *Route) bool {
	if q.oif == 0 || r.Type != Unicast {
		return true
	}
	for _, h := range r.NextHops {
		if h.Link == q.oif {
			return true
		}
	}
	return false
}

// forward fills in what the caller needs to send a packet along a unicast route.
func (q *fibQuery) forward(r *Route) int {
	hop, ok := q.nextHop(r)
	if !ok {
		return fibNotForwarded
	}
	link := q.fib.link(hop.Link)
	if link == nil {
		return fibNotForwarded
	}
	p := q.params
	mtu := uint16(min(q.mtu(r, link), 0xffff))
	totLen := binary.LittleEndian.Uint16(p[fibOffTotLen:])
	if totLen > mtu {
		binary.LittleEndian.PutUint16(p[fibOffTotLen:], mtu)
		return fibFragNeeded
	}
	if r.Encapsule {
		return fibUnsupportedTunnel
	}
	binary.LittleEndian.PutUint32(p[fibOffTOS:], r.Metric)
	binary.LittleEndian.PutUint32(p[fibOffIfindex:], link.Index)
	if q.flags&fibSource != 0 {
		src := q.source(r, link, hop)
		if !src.IsValid() {
			return fibNoSource
		}
		copy(p[fibOffSrc:fibOffSrc+16], src.AsSlice())
	}
	to := q.dst
	if hop.Gateway.IsValid() {
		to = hop.Gateway
		if to.Is6() {
			p[fibOffFamily] = familyIPv6
		}
		copy(p[fibOffDst:fibOffDst+16], to.AsSlice())
	}
	if q.flags&fibSkipNeigh == 0 {
		mac, ok := q.fib.neighbour(link.Index, to)
		if !ok {
			return fibNoNeighbour
		}
		copy(p[fibOffMAC:], link.MAC[:])
		copy(p[fibOffMAC+6:], mac[:])
	}
	clear(p[fibOffVLAN : fibOffVLAN+4])
	if totLen != 0 {
		binary.LittleEndian.PutUint16(p[fibOffTotLen:], mtu)
	}
	return fibSuccess
}

// MTU is that of a link in bytes, 0 when there is no such link.
func (f *FIB) MTU(ifindex uint32) uint32 {
	if l := f.link(ifindex); l != nil {
		return linkMTU(l)
	}
	return 0
}

func (q *fibQuery) mtu(r *Route, l *Link) uint32 {
	if r.MTU != 0 {
		return r.MTU
	}
	return linkMTU(l)
}

func linkMTU(l *Link) uint32 {
	if l.MTU == 0 {
		return 1500
	}
	return l.MTU
}

// nextHop picks one of a route's next hops by weight.
func (q *fibQuery) nextHop(r *Route) (NextHop, bool) {
	total := uint32(0)
	for _, h := range r.NextHops {
		if q.oif == 0 || h.Link == q.oif {
			total += max(h.Weight, 1)
		}
	}
	if total == 0 {
		return NextHop{}, false
	}
	at := q.hash() % total
	for _, h := range r.NextHops {
		if q.oif != 0 && h.Link != q.oif {
			continue
		}
		if w := max(h.Weight, 1); at < w {
			return h, true
		} else {
			at -= w
		}
	}
	return NextHop{}, false
}

// hash mixes the addresses (FNV-1a): packets of a flow take one way.
func (q *fibQuery) hash() uint32 {
	h := uint32(2166136261)
	for _, a := range [2]netip.Addr{q.src, q.dst} {
		for _, b := range a.As16() {
			h = (h ^ uint32(b)) * 16777619
		}
	}
	return h
}

// source is the address that this router would send from along a route (Linux: fib_result_prefsrc, ipv6_get_saddr).
func (q *fibQuery) source(r *Route, l *Link, hop NextHop) netip.Addr {
	if r.Source.IsValid() {
		return r.Source
	}
	to := q.dst
	if hop.Gateway.IsValid() && hop.Gateway.Is4() == q.dst.Is4() {
		to = hop.Gateway
	}
	var first netip.Addr
	for _, a := range l.Addresses {
		if a.Addr().Is4() != q.dst.Is4() {
			continue
		}
		if a.Contains(to) {
			return a.Addr()
		}
		if !first.IsValid() {
			first = a.Addr()
		}
	}
	return first
}

func (f *FIB) link(index uint32) *Link {
	for i := range f.Links {
		if f.Links[i].Index == index {
			return &f.Links[i]
		}
	}
	return nil
}

func (f *FIB) nameOf(index uint32) string {
	if l := f.link(index); l != nil {
		return l.Name
	}
	return ""
}

// isOwn reports whether an address, or the broadcast address of a network, is this router's.
func (f *FIB) isOwn(a netip.Addr) bool {
	for i := range f.Links {
		for _, own := range f.Links[i].Addresses {
			if own.Addr() == a || a.Is4() && own.Bits() < 31 && own.Contains(a) && lastOf(own) == a {
				return true
			}
		}
	}
	return false
}

// lastOf is the broadcast address of an IPv4 network.
func lastOf(p netip.Prefix) netip.Addr {
	if !p.Addr().Is4() {
		return netip.Addr{}
	}
	b := p.Addr().As4()
	host := ^uint32(0)
	if p.Bits() > 0 {
		host = 1<<(32-p.Bits()) - 1
	}
	return netip.AddrFrom4([4]byte(binary.BigEndian.AppendUint32(nil, binary.BigEndian.Uint32(b[:])|host)))
}

func (f *FIB) neighbour(link uint32, a netip.Addr) (mac [6]byte, ok bool) {
	for i := range f.Neighbours {
		if n := &f.Neighbours[i]; n.Link == link && n.Addr == a {
			return n.MAC, true
		}
	}
	return mac, false
}

// fibLookup: see Linux bpf_xdp_fib_lookup, bpf_skb_fib_lookup.
func fibLookup(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	flags := uint32(r4)
	if int32(r3) < sizeofFIB || flags&^fibFlags != 0 {
		return maps.EINVAL.Ret(), nil
	}
	params, err := e.mem(2, r2, sizeofFIB)
	if err != nil || e.Router == nil {
		return fibNotForwarded, err
	}
	asked := binary.LittleEndian.Uint16(params[fibOffTotLen:])
	ret := e.Router.Lookup(params, flags)
	if ret != fibSuccess || asked != 0 || e.Type == prog.XDP {
		return uint64(ret), nil
	}
	mtu := e.Router.MTU(binary.LittleEndian.Uint32(params[fibOffIfindex:]))
	binary.LittleEndian.PutUint16(params[fibOffTotLen:], uint16(mtu))
	if e.Space.Load32(uint32(r1)+prog.SKBLen) > mtu+ethHLen+vlanHLen && e.Space.Load32(uint32(r1)+prog.SKBGSOSize) == 0 {
		ret = fibFragNeeded
	}
	return uint64(ret), nil
}

// checkMTU: see Linux bpf_xdp_check_mtu, bpf_skb_check_mtu.
func checkMTU(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	const (
		segments  = 1 << 0 // BPF_MTU_CHK_SEGS, for sk_buff
		tooLong   = 1      // BPF_MTU_CHK_RET_FRAG_NEEDED
		segTooBig = 2      // BPF_MTU_CHK_RET_SEGS_TOOBIG
	)
	isXDP := e.Type == prog.XDP
	allowed := uint64(segments)
	if isXDP {
		allowed = 0
	}
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	result, err := e.mem(3, r3, 4)
	if err != nil {
		return 0, err
	}
	asked := binary.LittleEndian.Uint32(result)
	if r5&^allowed != 0 || r5&segments != 0 && (int32(r4) != 0 || asked != 0) {
		return maps.EINVAL.Ret(), nil
	}
	ifindex := uint32(r2)
	if ifindex == 0 {
		ifindex = e.ownLink(f.ctx)
	}
	mtu := uint32(0)
	if e.Router != nil {
		mtu = e.Router.MTU(ifindex)
	}
	if mtu == 0 {
		return negative(errNoDev), nil
	}
	length := int32(f.len()) // and wraps, as the kernel's does
	if asked != 0 {
		length = int32(asked) + ethHLen
	}
	length += int32(r4)
	binary.LittleEndian.PutUint32(result, mtu)
	gso := !isXDP && e.Space.Load32(f.ctx+prog.SKBGSOSize) != 0
	switch {
	case length <= int32(mtu)+ethHLen:
		return 0, nil
	case gso && r5&segments == 0:
		return 0, nil
	case gso && e.Space.Load32(f.ctx+prog.SKBGSOSize)+f.len()-e.netOffset(&f) > mtu+ethHLen:
		return segTooBig, nil
	}
	return tooLong, nil
}

// ownLink is the interface that the packet of a ctx is on.
func (e *Env) ownLink(ctx uint32) uint32 {
	if e.Type == prog.XDP {
		return e.Space.Load32(ctx + prog.XDPIngress)
	}
	return e.Space.Load32(ctx + prog.SKBIfindex)
}

func negative(errno int64) uint64 { return uint64(-errno) }
