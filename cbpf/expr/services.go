package expr

import (
	"bufio"
	"fmt"
	"io"
	"strconv"
	"strings"
	"sync"
)

// Transport is a set of the protocols that have ports.
type Transport uint8

const (
	OverTCP Transport = 1 << iota
	OverUDP
	OverSCTP
)

// Services are the names of ports.
type Services struct {
	ports map[string][]service
}

type service struct {
	port uint16
	over Transport
}

// builtin parses serviceNames when it is first needed.
var builtin = sync.OnceValue(func() *Services {
	s := &Services{ports: map[string][]service{}}
	for line := range strings.Lines(serviceNames) {
		f := strings.Fields(line)
		port, _ := strconv.ParseUint(f[0], 10, 16)
		for _, name := range f[2:] {
			for _, t := range f[1] {
				s.add(name, uint16(port), map[rune]Transport{'t': OverTCP, 'u': OverUDP, 's': OverSCTP}[t])
			}
		}
	}
	return s
})

// BuiltinServices are the ports' names when a filter is given no others.
func BuiltinServices() *Services { return builtin() }

// add gives a port a name; the first of a name for a protocol counts.
func (s *Services) add(name string, port uint16, over Transport) {
	for i := range s.ports[name] {
		e := &s.ports[name][i]
		if e.over&over != 0 {
			return
		}
		if e.port == port {
			e.over |= over
			return
		}
	}
	s.ports[name] = append(s.ports[name], service{port, over})
}

// ParseServices reads a table in the form of /etc/services: name, port/protocol, other names; # begins a comment.
// Protocols other than tcp, udp and sctp are left out.
func ParseServices(r io.Reader) (*Services, error) {
	s := &Services{ports: map[string][]service{}}
	lines := bufio.NewScanner(r)
	for n := 1; lines.Scan(); n++ {
		line, _, _ := strings.Cut(lines.Text(), "#")
		f := strings.Fields(line)
		if len(f) == 0 {
			continue
		}
		if len(f) < 2 {
			return nil, fmt.Errorf("services, line %d: %q has no port", n, f[0])
		}
		number, proto, _ := strings.Cut(f[1], "/")
		port, err := strconv.ParseUint(number, 10, 16)
		if err != nil {
			return nil, fmt.Errorf("services, line %d: %q is not PORT/PROTOCOL", n, f[1])
		}
		over := map[string]Transport{"tcp": OverTCP, "udp": OverUDP, "sctp": OverSCTP}[proto]
		if over == 0 {
			continue
		}
		s.add(f[0], uint16(port), over)
		for _, alias := range f[2:] {
			s.add(alias, uint16(port), over)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("services: %w", err)
	}
	return s, nil
}

// Port returns the port of a name, and the protocol when the name is only of one: 0 when it is of both TCP and UDP, or is
// a number, which may be too large for a port. As libpcap does, TCP's port is taken where a name has another one for UDP, and SCTP is not looked at.
func (s *Services) Port(name string) (port uint32, over Transport, ok bool) {
	if n, err := strconv.ParseUint(name, 10, 32); err == nil {
		return uint32(n), 0, true
	}
	var tcp, udp *service
	for i := range s.ports[name] {
		e := &s.ports[name][i]
		if e.over&OverTCP != 0 {
			tcp = e
		}
		if e.over&OverUDP != 0 {
			udp = e
		}
	}
	switch {
	case tcp != nil && udp != nil && tcp.port == udp.port:
		return uint32(tcp.port), 0, true
	case tcp != nil:
		return uint32(tcp.port), OverTCP, true
	case udp != nil:
		return uint32(udp.port), OverUDP, true
	}
	return 0, 0, false
}

// PortRange returns the ports of a-b, where each is a name or a number. Numbers are not checked to be ports.
func (s *Services) PortRange(text string) (from, to uint32, over Transport, ok bool) {
	a, b, two := strings.Cut(text, "-")
	if !two {
		return 0, 0, 0, false
	}
	from, over, ok = s.Port(a)
	if !ok {
		return 0, 0, 0, false
	}
	to, over2, ok := s.Port(b)
	if over != over2 {
		over = 0
	}
	return from, to, over, ok
}

// ProtocolNumber returns the number of a name in `proto`; carrier is the protocol before the word: None, IP, IP6, Link
// or ISO.
func ProtocolNumber(name string, carrier Proto) (uint32, bool) {
	var n uint32
	ok := false
	switch carrier {
	case None, IP, IP6:
		n, ok = protocolNames[name]
	case Link:
		n, ok = etherNames[name]
	case ISO:
		n, ok = isoNames[name]
	}
	return n, ok
}
