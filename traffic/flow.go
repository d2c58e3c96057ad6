package traffic

import "sort"

// TCP flags.
const (
	tcpFIN = 1 << iota
	tcpSYN
	tcpRST
	tcpPSH
	tcpACK
)

// flow is a conversation between a client and a server, a packet at a time.
type flow struct {
	client, server host
	v6, tcp, dns   bool
	options, reset bool
	tags           int // VLAN tags
	cport, sport   uint16
	step, data     int // packets sent, packets of data in all
	cseq, sseq     uint32
	id             uint16
}

// tcpPorts and udpPorts are the servers' ports other than SSH and DNS.
var (
	tcpPorts = []uint16{443, 443, 443, 443, 80, 80, 8080, 25, 5432, 6379}
	udpPorts = []uint16{443, 443, 443, 123, 5060, 51820}
)

// begin makes f a new flow.
func (g *Generator) begin(f *flow) {
	m, r := &g.spec.Mix, &g.rng
	*f = flow{
		client: g.client(), server: g.server(), v6: r.percent(m.IPv6), tcp: r.percent(m.TCP),
		cport: uint16(32768 + r.n(28000)), cseq: uint32(r.next()), sseq: uint32(r.next()), id: uint16(r.next()),
		data: 1 + r.n(60), reset: r.percent(10),
	}
	if g.link.ether {
		switch at := r.n(100); {
		case at < m.QinQ:
			f.tags = 2
		case at < m.QinQ+m.VLAN:
			f.tags = 1
		}
	}
	switch {
	case f.tcp && r.percent(m.SSH):
		f.sport = 22
	case f.tcp:
		f.sport = tcpPorts[r.n(len(tcpPorts))]
	case r.percent(m.DNS):
		f.dns, f.sport, f.data = true, 53, 2
	default:
		f.sport = udpPorts[r.n(len(udpPorts))]
	}
	// Filters do not look for TCP behind extension headers, and the label tcp-dst-port-22 should be what they find.
	f.options = r.percent(5) && !(f.tcp && f.v6)
	g.begun++
}

// flowPacket makes the next packet of a flow; popular flows come more often.
func (g *Generator) flowPacket() label {
	at := g.rng.next() % g.zipf[len(g.zipf)-1]
	f := &g.flows[sort.Search(len(g.zipf), func(i int) bool { return g.zipf[i] > at })]
	set := lUDP
	var done bool
	switch {
	case f.tcp:
		set, done = g.tcpStep(f)
	case f.dns:
		set, done = g.dnsStep(f)
	default:
		done = g.udpStep(f)
	}
	g.pad()
	switch f.tags {
	case 1:
		set |= lVLAN
	case 2:
		set |= lVLAN | lQinQ
	}
	h := ipHeader{v6: f.v6, options: f.options}
	set |= h.label()
	if f.step++; done {
		g.begin(f)
	}
	return set
}

// head starts a packet of f and returns its IP header, and how many bytes a frame of size leaves for l4 and payload.
func (g *Generator) head(f *flow, fromServer bool, size int) (ipHeader, int) {
	h := ipHeader{src: f.client, dst: f.server, v6: f.v6, options: f.options, id: f.id}
	if !f.v6 {
		h.frag = 0x4000 // don't fragment
	}
	f.id++
	if fromServer {
		h.src, h.dst = h.dst, h.src
	}
	g.ethernet(h.src, h.dst, f.tags, h.etherType())
	return h, size - len(g.b) - h.size()
}

// tcpStep makes the next segment: three of handshake, the data, three of goodbye or one reset.
func (g *Generator) tcpStep(f *flow) (set label, done bool) {
	set = lTCP
	flags, fromServer, n := uint8(tcpACK), false, 0
	switch at := f.step - 3 - f.data; {
	case f.step == 0:
		flags, set = tcpSYN, set|lSYN
	case f.step == 1:
		flags, fromServer, set = tcpSYN|tcpACK, true, set|lSYN
	case f.step == 2:
	case at < 0: // data, the client's request first
		flags, fromServer = tcpPSH|tcpACK, f.step > 3 && g.rng.percent(75)
		n = g.size()
	case at == 0 && f.reset:
		flags, set, done = tcpRST|tcpACK, set|lRST, true
	case at == 0:
		flags, set = tcpFIN|tcpACK, set|lFIN
	case at == 1:
		flags, fromServer, set = tcpFIN|tcpACK, true, set|lFIN
	default:
		done = true
	}
	h, room := g.head(f, fromServer, n)
	n = max(0, room-20)
	ack := f.sseq
	from, to, seq := f.cport, f.sport, &f.cseq
	if fromServer {
		from, to, seq, ack = to, from, &f.sseq, f.cseq
	}
	if flags&tcpACK == 0 {
		ack = 0
	}
	if to == 22 && f.tags == 0 {
		set |= lSSH
	}
	g.tcp(&h, from, to, *seq, ack, flags, n)
	*seq += uint32(n)
	if flags&(tcpSYN|tcpFIN) != 0 {
		*seq++
	}
	return set, done
}

// udpStep makes the next datagram, in turns.
func (g *Generator) udpStep(f *flow) (done bool) {
	fromServer := f.step%2 == 1
	h, room := g.head(f, fromServer, g.size())
	from, to := f.cport, f.sport
	if fromServer {
		from, to = to, from
	}
	g.udp(&h, from, to, max(0, room-8))
	return f.step+1 >= f.data
}

// dnsStep makes a query for an address and its answer (RFC 1035).
func (g *Generator) dnsStep(f *flow) (set label, done bool) {
	answer := f.step == 1
	h, _ := g.head(f, answer, 0)
	name := []byte("\x04host\x07example\x03com\x00")
	name[1+3] = 'a' + byte(f.cseq%26)
	n, from, to := 12+len(name)+4, f.cport, f.sport
	if answer {
		n, from, to = n+16, to, from
	}
	h.proto, h.payload = protoUDP, 8+n
	g.ip(&h)
	at := len(g.b)
	g.u16(from)
	g.u16(to)
	g.u16(uint16(8 + n))
	g.u16(0)
	g.u16(uint16(f.cseq)) // transaction
	if answer {
		g.u8(0x81, 0x80, 0, 1, 0, 1, 0, 0, 0, 0)
	} else {
		g.u8(0x01, 0x00, 0, 1, 0, 0, 0, 0, 0, 0)
	}
	g.u8(name...)
	g.u8(0, 1, 0, 1) // A, IN
	if answer {
		ip := f.server.ipv4()
		g.u8(0xc0, 12, 0, 1, 0, 1, 0, 0, 1, 0x2c, 0, 4) // the name above; 300 s
		g.u8(ip[:]...)
	}
	g.seal(&h, at, 6)
	return lUDP | lDNS, answer
}
