package helpers

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"

	"github.com/skepvm/skep/internal/jsonpos"
)

// FIBError is text that AddJSON cannot use.
type FIBError struct {
	Offset int64  // bytes from the start of the text, -1 when unknown
	Index  int    // of the list element that is wrong, -1 when the text as a whole is
	Field  string // of that element
	Reason string
}

func (e *FIBError) Error() string {
	at := ""
	if e.Offset >= 0 {
		at = fmt.Sprintf("offset %d: ", e.Offset)
	}
	if e.Index >= 0 {
		at += fmt.Sprintf("element %d: ", e.Index)
	}
	if e.Field != "" {
		at += e.Field + ": "
	}
	return at + e.Reason
}

// AddJSON adds what text says: the output of `ip -json link`, `addr`, `route` (also `-6`, `table all`), `rule` or `neigh`, each a
// list, or an object with several of them as links, routes, rules and neighbours. Interfaces must come before what names
// them. The error is a *FIBError, and then f is as before.
func (f *FIB) AddJSON(text []byte) error {
	next := FIB{Links: f.Links[:len(f.Links):len(f.Links)], Routes: f.Routes[:len(f.Routes):len(f.Routes)],
		Rules: f.Rules[:len(f.Rules):len(f.Rules)], Neighbours: f.Neighbours[:len(f.Neighbours):len(f.Neighbours)]}
	if trimmed := bytes.TrimSpace(text); len(trimmed) > 0 && trimmed[0] == '[' {
		if err := next.addList(text); err != nil {
			return err
		}
		*f = next
		return nil
	}
	var all struct{ Links, Routes, Rules, Neighbours []ipEntry }
	if err := decodeStrict(text, &all); err != nil {
		return err
	}
	for _, part := range []struct {
		entries []ipEntry
		add     func(*ipEntry) error
	}{{all.Links, next.addLink}, {all.Routes, next.addRoute}, {all.Rules, next.addRule}, {all.Neighbours, next.addNeighbour}} {
		for i := range part.entries {
			if err := located(part.add(&part.entries[i]), i); err != nil {
				return err
			}
		}
	}
	*f = next
	return nil
}

// addList adds a list of one sort, which its elements' fields tell.
func (f *FIB) addList(text []byte) error {
	var entries []ipEntry
	if err := decodeStrict(text, &entries); err != nil {
		return err
	}
	for i := range entries {
		e := &entries[i]
		var err error
		switch {
		case e.IfName != "":
			err = f.addLink(e)
		case e.Priority != nil:
			err = f.addRule(e)
		case e.LLAddr != "" || e.State != nil:
			err = f.addNeighbour(e)
		case e.Dst != "":
			err = f.addRoute(e)
		default:
			err = &FIBError{Reason: "neither a link, a route, a rule nor a neighbour"}
		}
		if err := located(err, i); err != nil {
			return err
		}
	}
	return nil
}

func located(err error, i int) error {
	var e *FIBError
	if errors.As(err, &e) {
		e.Index, e.Offset = i, -1
	}
	return err
}

// decodeStrict reads one JSON value and nothing after it. Fields that ipEntry does not have are ip's other business.
func decodeStrict(text []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(text))
	err := jsonpos.Decode(d, v)
	if err == nil {
		return nil
	}
	offset, reason := jsonpos.Of(err, d, text)
	return &FIBError{Offset: offset, Index: -1, Reason: reason}
}

// ipEntry has the fields of iproute2's JSON that count here, of all its commands.
type ipEntry struct {
	// ip link, ip addr
	IfIndex    uint32 `json:"ifindex"`
	IfName     string `json:"ifname"`
	MTU        uint32 `json:"mtu"`
	Address    string `json:"address"`
	Forwarding *bool  `json:"forwarding"` // skep's own
	AddrInfo   []struct {
		Local     string `json:"local"`
		PrefixLen int    `json:"prefixlen"`
	} `json:"addr_info"`

	// ip route
	ipHop
	Type     string          `json:"type"`
	Dst      string          `json:"dst"`
	DstLen   *int            `json:"dstlen"`
	Table    json.RawMessage `json:"table"`
	PrefSrc  string          `json:"prefsrc"`
	Metric   uint32          `json:"metric"`
	Metrics  []ipMetrics     `json:"metrics"`
	NextHops []ipHop         `json:"nexthops"`

	// ip rule
	Priority *uint32 `json:"priority"`
	Src      string  `json:"src"`
	SrcLen   *int    `json:"srclen"`
	FwMark   string  `json:"fwmark"`
	FwMask   string  `json:"fwmask"`
	IIF      string  `json:"iif"`
	OIF      string  `json:"oif"`
	Not      *string `json:"not"`

	// ip neigh
	LLAddr string   `json:"lladdr"`
	State  []string `json:"state"`
}

// ipHop is a next hop of ip route.
type ipHop struct {
	Gateway string          `json:"gateway"`
	Dev     string          `json:"dev"`
	Weight  uint32          `json:"weight"`
	Encap   json.RawMessage `json:"encap"`
	Via     *struct {
		Host string `json:"host"`
	} `json:"via"`
}

type ipMetrics struct {
	MTU uint32 `json:"mtu"`
}

func (f *FIB) addLink(e *ipEntry) error {
	l := Link{Index: e.IfIndex, Name: e.IfName, MTU: e.MTU, NoForward: e.Forwarding != nil && !*e.Forwarding}
	if l.Name == "" || l.Index == 0 {
		return &FIBError{Field: "ifindex", Reason: "a link needs an index and a name"}
	}
	if e.Address != "" {
		if err := parseMAC(&l.MAC, "address", e.Address); err != nil && len(e.Address) == len("00:00:00:00:00:00") {
			return err
		}
	}
	for _, a := range e.AddrInfo {
		addr, err := parseAddr("local", a.Local)
		if err != nil {
			return err
		}
		p := netip.PrefixFrom(addr, a.PrefixLen)
		if !p.IsValid() {
			return &FIBError{Field: "prefixlen", Reason: fmt.Sprintf("%d is no length of a prefix of %s", a.PrefixLen, a.Local)}
		}
		l.Addresses = append(l.Addresses, p)
	}
	for i := range f.Links {
		if f.Links[i].Index == l.Index { // ip addr after ip link
			links := append([]Link(nil), f.Links...)
			links[i] = l
			f.Links = links
			return nil
		}
	}
	f.Links = append(f.Links, l)
	return nil
}

// routeTypes are the names of types in ip's output; those of what is not forwarded are all Local.
var routeTypes = map[string]RouteType{"": Unicast, "unicast": Unicast, "local": Local, "broadcast": Local, "multicast": Local,
	"anycast": Local, "blackhole": Blackhole, "unreachable": Unreachable, "prohibit": Prohibit, "throw": Throw}

func (f *FIB) addRoute(e *ipEntry) error {
	typ, ok := routeTypes[e.Type]
	if !ok {
		return &FIBError{Field: "type", Reason: fmt.Sprintf("unknown type of route %q", e.Type)}
	}
	r := Route{Type: typ, Metric: e.Metric}
	var err error
	if r.Table, err = parseTable(e.Table); err != nil {
		return err
	}
	if e.PrefSrc != "" {
		if r.Source, err = parseAddr("prefsrc", e.PrefSrc); err != nil {
			return err
		}
	}
	for _, m := range e.Metrics {
		r.MTU = max(r.MTU, m.MTU)
	}
	hops := e.NextHops
	if len(hops) == 0 && e.Dev != "" {
		hops = []ipHop{e.ipHop}
	}
	v6 := false
	for i := range hops {
		h, err := f.hop(&hops[i])
		if err != nil {
			return err
		}
		v6 = v6 || h.Gateway.Is6()
		r.Encapsule = r.Encapsule || hops[i].Encap != nil
		r.NextHops = append(r.NextHops, h)
	}
	if e.Dst == "default" {
		any4, any6 := netip.PrefixFrom(netip.IPv4Unspecified(), 0), netip.PrefixFrom(netip.IPv6Unspecified(), 0)
		if r.Dst = any4; v6 && e.Via == nil || r.Source.Is6() {
			r.Dst = any6
		}
	} else if r.Dst, err = parsePrefix("dst", e.Dst, e.DstLen); err != nil {
		return err
	}
	if typ == Unicast && len(r.NextHops) == 0 {
		return &FIBError{Field: "dev", Reason: "a route without an interface"}
	}
	f.Routes = append(f.Routes, r)
	return nil
}

func (f *FIB) hop(h *ipHop) (NextHop, error) {
	index, err := f.indexOf(h.Dev)
	if err != nil {
		return NextHop{}, err
	}
	n := NextHop{Link: index, Weight: h.Weight}
	gateway := h.Gateway
	if h.Via != nil {
		gateway = h.Via.Host
	}
	if gateway != "" {
		n.Gateway, err = parseAddr("gateway", gateway)
	}
	return n, err
}

func (f *FIB) indexOf(dev string) (uint32, error) {
	for i := range f.Links {
		if f.Links[i].Name == dev {
			return f.Links[i].Index, nil
		}
	}
	return 0, &FIBError{Field: "dev", Reason: fmt.Sprintf("no link %q: give the output of `ip -json link` first", dev)}
}

func (f *FIB) addRule(e *ipEntry) error {
	r := Rule{InLink: e.IIF, OutLink: e.OIF, Invert: e.Not != nil}
	if e.Priority != nil {
		r.Priority = *e.Priority
	}
	var err error
	if r.Table, err = parseTable(e.Table); err != nil {
		return err
	}
	if r.Table == 0 {
		return &FIBError{Field: "table", Reason: "a rule that names no table is not supported"}
	}
	if r.Src, err = parseSelector("src", e.Src, e.SrcLen); err != nil {
		return err
	}
	if r.Dst, err = parseSelector("dst", e.Dst, e.DstLen); err != nil {
		return err
	}
	if e.FwMark != "" {
		mark, err := strconv.ParseUint(e.FwMark, 0, 32)
		if err != nil {
			return &FIBError{Field: "fwmark", Reason: err.Error()}
		}
		r.Mark, r.MarkMask = uint32(mark), 0xffffffff
	}
	if e.FwMask != "" {
		mask, err := strconv.ParseUint(e.FwMask, 0, 32)
		if err != nil {
			return &FIBError{Field: "fwmask", Reason: err.Error()}
		}
		r.MarkMask = uint32(mask)
	}
	at := len(f.Rules)
	for at > 0 && f.Rules[at-1].Priority > r.Priority {
		at--
	}
	f.Rules = append(f.Rules[:at:at], append([]Rule{r}, f.Rules[at:]...)...)
	return nil
}

// usable are the states in which the kernel sends to a neighbour (Linux: NUD_VALID).
var usable = map[string]bool{"PERMANENT": true, "NOARP": true, "REACHABLE": true, "PROBE": true, "STALE": true, "DELAY": true}

func (f *FIB) addNeighbour(e *ipEntry) error {
	fit := len(e.State) == 0
	for _, s := range e.State {
		fit = fit || usable[s]
	}
	if !fit || e.LLAddr == "" {
		return nil
	}
	n := Neighbour{}
	var err error
	if n.Link, err = f.indexOf(e.Dev); err != nil {
		return err
	}
	if n.Addr, err = parseAddr("dst", e.Dst); err != nil {
		return err
	}
	if err := parseMAC(&n.MAC, "lladdr", e.LLAddr); err != nil {
		return err
	}
	f.Neighbours = append(f.Neighbours, n)
	return nil
}

func parseMAC(mac *[6]byte, field, s string) error {
	b, err := net.ParseMAC(s)
	if err != nil || len(b) != len(mac) {
		return &FIBError{Field: field, Reason: fmt.Sprintf("%q is no Ethernet address", s)}
	}
	copy(mac[:], b)
	return nil
}

func parseAddr(field, s string) (netip.Addr, error) {
	a, err := netip.ParseAddr(s)
	if err != nil {
		return a, &FIBError{Field: field, Reason: fmt.Sprintf("%q is no IP address", s)}
	}
	return a.WithZone(""), nil
}

// parsePrefix reads "10.0.0.0/8", or an address whose length stands apart or is full.
func parsePrefix(field, s string, length *int) (netip.Prefix, error) {
	if p, err := netip.ParsePrefix(s); err == nil {
		return p.Masked(), nil
	}
	a, err := parseAddr(field, s)
	if err != nil {
		return netip.Prefix{}, err
	}
	bits := a.BitLen()
	if length != nil {
		bits = *length
	}
	p, err := a.Prefix(bits)
	if err != nil {
		return p, &FIBError{Field: field, Reason: fmt.Sprintf("%d is no length of a prefix of %s", bits, s)}
	}
	return p, nil
}

// parseSelector reads what a rule looks for; "all" and nothing are anything.
func parseSelector(field, s string, length *int) (netip.Prefix, error) {
	if s == "" || s == "all" {
		return netip.Prefix{}, nil
	}
	return parsePrefix(field, s, length)
}

var tableNames = map[string]uint32{"main": TableMain, "local": TableLocal, "default": TableDefault}

// parseTable reads a table's name or number, as a string or a number; 0 when there is none.
func parseTable(raw json.RawMessage) (uint32, error) {
	s := string(bytes.Trim(raw, `"`))
	if s == "" {
		return 0, nil
	}
	if id, ok := tableNames[s]; ok {
		return id, nil
	}
	id, err := strconv.ParseUint(s, 10, 32)
	if err != nil {
		return 0, &FIBError{Field: "table", Reason: fmt.Sprintf("unknown table %q: want main, local, default or a number", s)}
	}
	return uint32(id), nil
}
