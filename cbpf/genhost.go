package cbpf

import (
	"encoding/binary"
	"net/netip"
	"strconv"
	"strings"

	"github.com/skepvm/skep/cbpf/expr"
)

// id generates a name, number or address.
func (g *gen) id(n *expr.ID) condID {
	q, v := n.Qual, n.Val
	switch v.Kind {
	case expr.Name:
		return g.named(q, v.Text)
	case expr.Number:
		return g.number(q, v.Num)
	case expr.MAC:
		return g.mac(q, v.Text)
	case expr.Six, expr.Prefix6:
		return g.six(q, v)
	}
	switch q.Type {
	case expr.Port, expr.PortRange, expr.ProtoType, expr.ProtoChain:
		g.fail("", "%q is an IPv4 address, not a %v", v.Text, q.Type)
	case expr.Gateway:
		g.noGateway()
	}
	if v.Kind == expr.Dotted {
		return g.dotted(q, v.Text)
	}
	return g.network(q, v)
}

func (g *gen) noGateway() {
	g.fail("ether host MAC and not host ADDRESS says the same", "gateway is not supported, it needs the host's Ethernet address")
}

// quads returns the numbers of a dotted IPv4 address and how many bits they are.
func (g *gen) quads(text string) (addr uint32, bits uint) {
	for part := range strings.SplitSeq(text, ".") {
		n, err := strconv.ParseUint(part, 10, 8)
		if err != nil {
			g.fail("", "%q is not an IPv4 address, %q is not between 0 and 255", text, part)
		}
		addr, bits = addr<<8|uint32(n), bits+8
	}
	return addr, bits
}

// dotted is an address, or a network where some of its numbers are missing: host 10.1 is net 10.1.0.0/16.
func (g *gen) dotted(q expr.Qual, text string) condID {
	if q.Proto == expr.DECnet {
		return g.decnet(q.Dir, text)
	}
	g.noLinkAddress(q, text)
	addr, bits := g.quads(text)
	return g.host(addr<<(32-bits), 0xffffffff<<(32-bits), q.Proto, q.Dir)
}

func (g *gen) noLinkAddress(q expr.Qual, text string) {
	if q.Proto == expr.Link {
		g.fail("", "%q is not a link-layer address", text)
	}
}

// network is an address with a mask.
func (g *gen) network(q expr.Qual, v expr.Value) condID {
	addr, bits := g.quads(v.Text)
	addr <<= 32 - bits
	mask := uint32(0)
	if v.Kind == expr.Masked {
		m, n := g.quads(v.Mask)
		mask = m << (32 - n)
	} else {
		if v.Num > 32 {
			g.fail("", "a mask can't be longer than 32 bits")
		}
		mask = uint32(uint64(0xffffffff) << (32 - v.Num))
	}
	if addr&^mask != 0 {
		fits := binary.BigEndian.AppendUint32(nil, addr&mask)
		hint := "net " + netip.AddrFrom4([4]byte(fits)).String() + v.String()[len(v.Text):]
		g.fail(hint, "%q has bits set that are not the network's", v)
	}
	if q.Type != expr.Net {
		g.fail("net "+v.String(), "only a net has a mask")
	}
	g.noLinkAddress(q, v.String())
	return g.host(addr, mask, q.Proto, q.Dir)
}

// six is an IPv6 address or network.
func (g *gen) six(q expr.Qual, v expr.Value) condID {
	switch q.Type {
	case expr.AnyType, expr.Host, expr.Net:
	case expr.Gateway:
		g.noGateway()
	default:
		g.fail("", "%q is an IPv6 address, not a %v", v.Text, q.Type)
	}
	addr, err := netip.ParseAddr(v.Text)
	if err != nil {
		g.fail("", "%q is not an IPv6 address", v.Text)
	}
	bits := uint32(128)
	if v.Kind == expr.Prefix6 {
		bits = v.Num
	}
	if bits > 128 {
		g.fail("", "a mask can't be longer than 128 bits")
	}
	if p, _ := addr.Prefix(int(bits)); p.Addr() != addr {
		g.fail("net "+p.String(), "%q has bits set that are not the network's", v)
	}
	if bits != 128 && q.Type != expr.Net {
		g.fail("net "+v.String(), "only a net has a mask")
	}
	return g.host6(addr.As16(), bits, q)
}

// addrCheck refuses directions that are no direction of an IP address.
func (g *gen) addrCheck(dir expr.Dir, what string) {
	if dir > expr.SrcAndDst {
		g.fail("", "%q is a field of 802.11 headers, it has no %s", dir, what)
	}
}

// eitherWay is a test of source, destination or both, as the direction says.
func (g *gen) eitherWay(dir expr.Dir, test func(src bool) condID) condID {
	switch dir {
	case expr.Src:
		return test(true)
	case expr.Dst:
		return test(false)
	}
	src := test(true)
	if dir == expr.SrcAndDst {
		return g.and(src, test(false))
	}
	return g.or(src, test(false))
}

// host is an IPv4 address or network: of IP packets, and where no protocol is named of ARP and RARP too.
func (g *gen) host(addr, mask uint32, proto expr.Proto, dir expr.Dir) condID {
	g.addrCheck(dir, "IP address")
	test := func(etherType, src, dst uint32) condID {
		return g.eitherWay(dir, func(isSrc bool) condID {
			off := dst
			if isSrc {
				off = src
			}
			is := g.protocolType(etherType)
			return g.and(is, g.mask(fromNet, off, SizeW, addr, mask))
		})
	}
	switch proto {
	case expr.None:
		c := test(etherIP, 12, 16)
		if g.labels > 0 {
			return c
		}
		c = g.or(c, test(etherARP, 14, 24))
		return g.or(c, test(etherRARP, 14, 24))
	case expr.IP:
		return test(etherIP, 12, 16)
	case expr.ARP:
		return test(etherARP, 14, 24)
	case expr.RARP:
		return test(etherRARP, 14, 24)
	}
	g.fail("", "%v has no IPv4 address", proto)
	return noCond
}

// host6 is an IPv6 address or network.
func (g *gen) host6(addr [16]byte, bits uint32, q expr.Qual) condID {
	if q.Proto != expr.None && q.Proto != expr.IP6 {
		g.fail("", "%v has no IPv6 address", q.Proto)
	}
	g.addrCheck(q.Dir, "IP address")
	return g.eitherWay(q.Dir, func(isSrc bool) condID {
		off := uint32(24)
		if isSrc {
			off = 8
		}
		c := noCond
		for i := uint32(3); i < 4; i-- {
			mask := uint32(0xffffffff)
			if bits < 32*(i+1) {
				mask = uint32(uint64(0xffffffff) << (32*(i+1) - max(bits, 32*i)))
			}
			c = g.and(g.mask(fromNet, off+4*i, SizeW, binary.BigEndian.Uint32(addr[4*i:]), mask), c)
		}
		return g.and(g.protocolType(etherIP6), c)
	})
}

// number is a number: a port, a protocol, or an address.
func (g *gen) number(q expr.Qual, n uint32) condID {
	switch q.Type {
	case expr.Port, expr.PortRange:
		return g.ports(q, n, n, g.transport(q.Proto))
	case expr.ProtoType:
		return g.proto(n, q.Proto, q.Dir)
	case expr.ProtoChain:
		return g.protoChain(n, q.Proto)
	case expr.Gateway:
		g.noGateway()
	}
	if q.Proto == expr.DECnet {
		return g.decnetAddr(q.Dir, n)
	}
	g.noLinkAddress(q, strconv.FormatUint(uint64(n), 10))
	mask := uint32(0xffffffff)
	if q.Type == expr.Net {
		for n != 0 && n>>24 == 0 {
			n, mask = n<<8, mask<<8
		}
	}
	return g.host(n, mask, q.Proto, q.Dir)
}

// named is a name: of a port, a protocol or a machine.
func (g *gen) named(q expr.Qual, name string) condID {
	services := g.opts.Services
	if services == nil {
		services = expr.BuiltinServices()
	}
	switch q.Type {
	case expr.Port:
		over := g.transport(q.Proto)
		port, only, ok := services.Port(name)
		if !ok {
			g.fail("", "no port is called %q", name)
		}
		return g.ports(q, port, port, g.sameTransport(over, only, name))
	case expr.PortRange:
		over := g.transport(q.Proto)
		from, to, only, ok := services.PortRange(name)
		if !ok {
			g.fail("portrange 8000-8080", "%q is not a range of ports", name)
		}
		return g.ports(q, from, to, g.sameTransport(over, only, name))
	case expr.Gateway:
		g.noGateway()
	case expr.ProtoType, expr.ProtoChain:
		n, ok := expr.ProtocolNumber(name, q.Proto)
		if !ok {
			g.fail("", "no protocol is called %q here", name)
		}
		if q.Type == expr.ProtoChain {
			return g.protoChain(n, q.Proto)
		}
		return g.proto(n, q.Proto, q.Dir)
	case expr.Net:
		g.fail("", "networks have no names here: %q", name)
	}
	return g.hostNamed(q, name)
}

// hostNamed is a machine's name, for all of its addresses.
func (g *gen) hostNamed(q expr.Qual, name string) condID {
	if q.Proto == expr.Link || q.Proto == expr.DECnet {
		g.fail("", "%v addresses have no names here: %q", q.Proto, name)
	}
	if g.opts.Hosts == nil {
		g.fail("write its address", "%q is the name of a host, and names are not looked up", name)
	}
	addrs, err := g.opts.Hosts(name)
	if err != nil {
		g.fail("", "host %q: %v", name, err)
	}
	proto4, proto6 := q.Proto, q.Proto
	if !g.hasType && q.Proto == expr.None {
		proto4, proto6 = expr.IP, expr.IP6
	}
	c := noCond
	for _, a := range addrs {
		switch a = a.Unmap(); {
		case a.Is4() && proto4 != expr.IP6:
			c = g.or(c, g.host(binary.BigEndian.Uint32(a.AsSlice()), 0xffffffff, proto4, q.Dir))
		case a.Is6() && proto6 != expr.IP:
			six := q
			six.Proto = proto6
			c = g.or(c, g.host6(a.As16(), 128, six))
		}
	}
	if c == noCond {
		g.fail("", "host %q has no address that fits", name)
	}
	return c
}

// transport is which protocols' ports a qualifier is about; 0 is all of them.
func (g *gen) transport(p expr.Proto) expr.Transport {
	switch p {
	case expr.None:
		return 0
	case expr.TCP:
		return expr.OverTCP
	case expr.UDP:
		return expr.OverUDP
	case expr.SCTP:
		return expr.OverSCTP
	}
	g.fail("tcp, udp and sctp have them", "%v has no ports", p)
	return 0
}

// sameTransport is the protocol of a port's name and its qualifier, which must not contradict each other.
func (g *gen) sameTransport(want, is expr.Transport, name string) expr.Transport {
	switch {
	case want == 0:
		return is
	case is == 0 || is == want:
		return want
	}
	g.fail("", "port %q is only known of another protocol", name)
	return 0
}

// transports are the protocols with ports, in the order of the tests.
var transports = []struct {
	over   expr.Transport
	number uint32
}{{expr.OverSCTP, protoSCTP}, {expr.OverTCP, protoTCP}, {expr.OverUDP, protoUDP}}

// ports is a port or a range of ports, in IPv6 and then in IPv4.
func (g *gen) ports(q expr.Qual, from, to uint32, over expr.Transport) condID {
	if from > 65535 || to > 65535 {
		g.fail("", "%d is not a port, ports are 0 to 65535", max(from, to))
	}
	g.addrCheck(q.Dir, "port")
	if from > to {
		from, to = to, from
	}
	ranged := q.Type == expr.PortRange
	v6 := g.portsOver(etherIP6, q.Dir, from, to, over, ranged)
	return g.or(v6, g.portsOver(etherIP, q.Dir, from, to, over, ranged))
}

// portsOver is ports in one version of IP.
func (g *gen) portsOver(etherType uint32, dir expr.Dir, from, to uint32, over expr.Transport, ranged bool) condID {
	is := g.protocolType(etherType)
	protoAt, base := uint32(6), fromIPv6
	if etherType == etherIP {
		protoAt, base = 9, fromIPv4
	}
	c := noCond
	for _, t := range transports {
		if over != 0 && over != t.over {
			continue
		}
		p := g.cmp(fromNet, protoAt, SizeB, t.number)
		if etherType == etherIP {
			p = g.and(p, g.notFragment())
		}
		port := g.eitherWay(dir, func(isSrc bool) condID {
			off := uint32(2)
			if isSrc {
				off = 0
			}
			if !ranged {
				return g.cmp(base, off, SizeH, from)
			}
			low := g.cmpOp(base, off, SizeH, JmpGe, from)
			return g.and(low, g.not(g.cmpOp(base, off, SizeH, JmpGt, to)))
		})
		c = g.or(c, g.and(p, port))
	}
	return g.and(is, c)
}

// notFragment tests that an IPv4 packet is no fragment, or the first one.
func (g *gen) notFragment() condID {
	return g.not(g.cmpOp(fromNet, 6, SizeH, JmpSet, 0x1fff))
}

// mac is an Ethernet address.
func (g *gen) mac(q expr.Qual, text string) condID {
	if q.Proto != expr.Link || q.Type != expr.AnyType && q.Type != expr.Host {
		g.fail("ether host "+text, "an Ethernet address needs ether before it")
	}
	return g.linkAddress(parseMAC(text), q.Dir)
}

// parseMAC reads an Ethernet address that the lexer has found to be one.
func parseMAC(text string) []byte {
	var mac []byte
	if strings.ContainsAny(text, ":-") || strings.Count(text, ".") == 5 {
		for part := range strings.FieldsFuncSeq(text, func(r rune) bool { return r == ':' || r == '-' || r == '.' }) {
			b, _ := strconv.ParseUint(part, 16, 8)
			mac = append(mac, byte(b))
		}
		return mac
	}
	n, _ := strconv.ParseUint(strings.ReplaceAll(text, ".", ""), 16, 64)
	return binary.BigEndian.AppendUint64(nil, n)[2:]
}

// linkAddress tests the addresses of the link-layer header.
func (g *gen) linkAddress(mac []byte, dir expr.Dir) condID {
	switch g.link {
	case linkWLAN:
		return g.wlanAddress(mac, dir)
	case linkEthernet:
		if dir > expr.SrcAndDst {
			g.fail("", "%q is a field of 802.11 headers", dir)
		}
		is := g.geneveEthernet()
		return g.and(is, g.eitherWay(dir, func(isSrc bool) condID {
			off := uint32(0)
			if isSrc {
				off = 6
			}
			return g.bytes(fromLink, off, mac)
		}))
	}
	g.fail("", "%s no Ethernet addresses", g.packets())
	return noCond
}

var ethernetBroadcast = []byte{0xff, 0xff, 0xff, 0xff, 0xff, 0xff}

// broadcast is `broadcast` of the link layer or of IP.
func (g *gen) broadcast(p expr.Proto) condID {
	switch p {
	case expr.None, expr.Link:
		if g.link != linkEthernet && g.link != linkWLAN {
			g.fail("", "%s no broadcast address", g.packets())
		}
		return g.linkAddress(ethernetBroadcast, expr.Dst)
	case expr.IP:
		is := g.protocolType(etherIP)
		host := ^g.opts.Netmask
		zeros := g.mask(fromNet, 16, SizeW, 0, host)
		return g.and(is, g.or(zeros, g.mask(fromNet, 16, SizeW, host, host)))
	}
	g.fail("ether broadcast, ip broadcast", "%v has no broadcast address", p)
	return noCond
}

// multicast is `multicast` of the link layer or of IP.
func (g *gen) multicast(p expr.Proto) condID {
	switch p {
	case expr.None, expr.Link:
		switch g.link {
		case linkEthernet:
			is := g.geneveEthernet()
			return g.and(is, g.cmpOp(fromLink, 0, SizeB, JmpSet, 1))
		case linkWLAN:
			return g.wlanMulticast()
		}
		g.fail("", "%s no multicast addresses", g.packets())
	case expr.IP:
		is := g.protocolType(etherIP)
		return g.and(is, g.cmpOp(fromNet, 16, SizeB, JmpGe, 224))
	case expr.IP6:
		is := g.protocolType(etherIP6)
		return g.and(is, g.cmp(fromNet, 24, SizeB, 255))
	}
	g.fail("ether multicast, ip multicast, ip6 multicast", "%v has no multicast addresses", p)
	return noCond
}

// decnet is a DECnet address, area.node.
func (g *gen) decnet(dir expr.Dir, text string) condID {
	area, node, _ := strings.Cut(text, ".")
	a, err := strconv.ParseUint(area, 10, 6)
	n, err2 := strconv.ParseUint(node, 10, 10)
	if err != nil || err2 != nil {
		g.fail("area 0 to 63, node 0 to 1023", "%q is not a DECnet address", text)
	}
	return g.decnetAddr(dir, uint32(a<<10|n))
}

// decnetAddr tests for DECnet's four forms of header: short and long, with and without a byte of padding before.
func (g *gen) decnetAddr(dir expr.Dir, addr uint32) condID {
	g.addrCheck(dir, "DECnet address")
	swapped := addr<<8&0xff00 | addr>>8&0xff
	return g.eitherWay(dir, func(isSrc bool) condID {
		short, long := uint32(3), uint32(9)
		if isSrc {
			short, long = 5, 17
		}
		is := g.protocolType(etherDECnet)
		form := func(pad bool, flags, at uint32) condID {
			var c condID
			if pad {
				c = g.mask(fromNet, 2, SizeH, 0x8100|flags, 0xff07)
				at++
			} else {
				c = g.mask(fromNet, 2, SizeB, flags, 0x07)
			}
			return g.and(c, g.cmp(fromNet, at, SizeH, swapped))
		}
		c := g.or(form(false, 2, short), form(true, 2, short))
		c = g.or(c, g.or(form(false, 6, long), form(true, 6, long)))
		return g.and(is, c)
	})
}
