package suite

import (
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net"
	"strings"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"go.yaml.in/yaml/v3"
)

// layerKinds make layers of their YAML. Lengths and checksums are filled in, as are the types that say what comes next.
var layerKinds = map[string]func(*yaml.Node) (gopacket.SerializableLayer, error){
	"eth": ethLayer, "vlan": vlanLayer, "ip": ipLayer, "ip6": ip6Layer, "tcp": tcpLayer, "udp": udpLayer, "icmp": icmpLayer,
	"icmp6": icmp6Layer, "payload": payloadLayer,
}

// nextTypes says how a layer names the one after it.
var nextTypes = map[string]struct {
	ether layers.EthernetType
	ip    layers.IPProtocol
}{
	"ip": {layers.EthernetTypeIPv4, layers.IPProtocolIPv4}, "ip6": {layers.EthernetTypeIPv6, layers.IPProtocolIPv6},
	"vlan": {layers.EthernetTypeDot1Q, 0}, "tcp": {0, layers.IPProtocolTCP}, "udp": {0, layers.IPProtocolUDP},
	"icmp": {0, layers.IPProtocolICMPv4}, "icmp6": {0, layers.IPProtocolICMPv6},
}

// buildLayers makes a packet of a list of layers, the outermost first: [{eth: {}}, {ip: {src: 10.0.0.1}}, {udp: {dport: 53}}].
func buildLayers(list *yaml.Node) ([]byte, error) {
	if list.Kind != yaml.SequenceNode {
		return nil, errorAt(list, "want a list of layers")
	}
	var names []string
	var made []gopacket.SerializableLayer
	for _, n := range list.Content {
		if n.Kind != yaml.MappingNode || len(n.Content) != 2 {
			return nil, errorAt(n, "want one layer with its fields: {udp: {dport: 53}}")
		}
		name := n.Content[0].Value
		kind, ok := layerKinds[name]
		if !ok {
			return nil, errorAt(n, "unknown layer %q: want eth, vlan, ip, ip6, tcp, udp, icmp, icmp6 or payload", name)
		}
		layer, err := kind(n.Content[1])
		if err != nil {
			return nil, err
		}
		names, made = append(names, name), append(made, layer)
	}
	join(names, made)
	buf := gopacket.NewSerializeBuffer()
	o := gopacket.SerializeOptions{FixLengths: true, ComputeChecksums: true}
	for i := len(made) - 1; i >= 0; i-- {
		var err error
		if eth, ok := made[i].(*layers.Ethernet); ok {
			err = prependEthernet(buf, eth)
		} else {
			err = made[i].SerializeTo(buf, o)
		}
		if err != nil {
			return nil, errorAt(list, "%v", err)
		}
	}
	return buf.Bytes(), nil
}

// prependEthernet is eth.SerializeTo without padding to 60 bytes: a table's packets are as long as it says.
func prependEthernet(buf gopacket.SerializeBuffer, eth *layers.Ethernet) error {
	b, err := buf.PrependBytes(14)
	if err != nil {
		return err
	}
	copy(b, eth.DstMAC)
	copy(b[6:], eth.SrcMAC)
	binary.BigEndian.PutUint16(b[12:], uint16(eth.EthernetType))
	return nil
}

// join fills in types of next layers that were left open, and the addresses that checksums cover.
func join(names []string, made []gopacket.SerializableLayer) {
	var network gopacket.NetworkLayer
	for i, layer := range made {
		var next struct {
			ether layers.EthernetType
			ip    layers.IPProtocol
		}
		if i+1 < len(names) {
			next = nextTypes[names[i+1]]
		}
		switch l := layer.(type) {
		case *layers.Ethernet:
			if l.EthernetType == 0 {
				l.EthernetType = next.ether
			}
		case *layers.Dot1Q:
			if l.Type == 0 {
				l.Type = next.ether
			}
		case *layers.IPv4:
			network = l
			if l.Protocol == 0 {
				l.Protocol = next.ip
			}
		case *layers.IPv6:
			network = l
			if l.NextHeader == 0 {
				l.NextHeader = next.ip
			}
		case interface {
			SetNetworkLayerForChecksum(gopacket.NetworkLayer) error
		}:
			if network != nil { // without one serializing says so
				_ = l.SetNetworkLayerForChecksum(network)
			}
		}
	}
}

// decodeStrict decodes a node, and refuses fields that are not known.
func decodeStrict(n *yaml.Node, into any) error {
	if n.Kind == yaml.ScalarNode && n.Value == "" {
		return nil
	}
	text, err := yaml.Marshal(n)
	if err != nil {
		return errorAt(n, "%v", err)
	}
	d := yaml.NewDecoder(strings.NewReader(string(text)))
	d.KnownFields(true)
	if err := d.Decode(into); err != nil {
		return errorAt(n, "%s", cleanYAML(err))
	}
	return nil
}

func mac(n *yaml.Node, s, otherwise string) (net.HardwareAddr, error) {
	if s == "" {
		s = otherwise
	}
	a, err := net.ParseMAC(s)
	if err != nil || len(a) != 6 {
		return nil, errorAt(n, "%q is no Ethernet address", s)
	}
	return a, nil
}

func ethLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	var in struct {
		Src, Dst string
		Type     uint16
	}
	if err := decodeStrict(n, &in); err != nil {
		return nil, err
	}
	src, err := mac(n, in.Src, "02:00:00:00:00:01")
	if err != nil {
		return nil, err
	}
	dst, err := mac(n, in.Dst, "02:00:00:00:00:02")
	return &layers.Ethernet{SrcMAC: src, DstMAC: dst, EthernetType: layers.EthernetType(in.Type)}, err
}

func vlanLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	var in struct {
		ID       uint16
		Priority uint8
		Type     uint16
	}
	err := decodeStrict(n, &in)
	return &layers.Dot1Q{VLANIdentifier: in.ID, Priority: in.Priority, Type: layers.EthernetType(in.Type)}, err
}

func address(n *yaml.Node, s string, size int) (net.IP, error) {
	ip := net.ParseIP(s)
	if size == net.IPv4len {
		ip = ip.To4()
	}
	if ip == nil || size == net.IPv6len && ip.To4() != nil {
		return nil, errorAt(n, "%q is no address of %d bytes", s, size)
	}
	return ip, nil
}

func ipLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct {
		Src, Dst string
		TTL, TOS uint8
		ID       uint16
		DF, MF   bool
		Offset   uint16
		Proto    uint8
	}{Src: "10.0.0.1", Dst: "10.0.0.2", TTL: 64}
	if err := decodeStrict(n, &in); err != nil {
		return nil, err
	}
	l := &layers.IPv4{Version: 4, TTL: in.TTL, TOS: in.TOS, Id: in.ID, FragOffset: in.Offset, Protocol: layers.IPProtocol(in.Proto)}
	if in.DF {
		l.Flags |= layers.IPv4DontFragment
	}
	if in.MF {
		l.Flags |= layers.IPv4MoreFragments
	}
	var err error
	if l.SrcIP, err = address(n, in.Src, net.IPv4len); err != nil {
		return nil, err
	}
	l.DstIP, err = address(n, in.Dst, net.IPv4len)
	return l, err
}

func ip6Layer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct {
		Src, Dst string
		HopLimit uint8 `yaml:"hop_limit"`
		Class    uint8
		Flow     uint32
		Next     uint8
	}{Src: "2001:db8::1", Dst: "2001:db8::2", HopLimit: 64}
	if err := decodeStrict(n, &in); err != nil {
		return nil, err
	}
	l := &layers.IPv6{Version: 6, HopLimit: in.HopLimit, TrafficClass: in.Class, FlowLabel: in.Flow, NextHeader: layers.IPProtocol(in.Next)}
	var err error
	if l.SrcIP, err = address(n, in.Src, net.IPv6len); err != nil {
		return nil, err
	}
	l.DstIP, err = address(n, in.Dst, net.IPv6len)
	return l, err
}

func tcpLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct {
		Sport, Dport uint16
		Seq, Ack     uint32
		Flags        string // letters of FSRPAUEC
		Window       uint16
	}{Sport: 1024, Flags: "S", Window: 65535}
	if err := decodeStrict(n, &in); err != nil {
		return nil, err
	}
	l := &layers.TCP{SrcPort: layers.TCPPort(in.Sport), DstPort: layers.TCPPort(in.Dport), Seq: in.Seq, Ack: in.Ack, Window: in.Window}
	flags := map[rune]*bool{'F': &l.FIN, 'S': &l.SYN, 'R': &l.RST, 'P': &l.PSH, 'A': &l.ACK, 'U': &l.URG, 'E': &l.ECE, 'C': &l.CWR}
	for _, c := range in.Flags {
		f, ok := flags[c]
		if !ok {
			return nil, errorAt(n, "flags %q: want letters of FSRPAUEC", in.Flags)
		}
		*f = true
	}
	return l, nil
}

func udpLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct{ Sport, Dport uint16 }{Sport: 1024}
	err := decodeStrict(n, &in)
	return &layers.UDP{SrcPort: layers.UDPPort(in.Sport), DstPort: layers.UDPPort(in.Dport)}, err
}

func icmpLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct {
		Type, Code uint8
		ID, Seq    uint16
	}{Type: layers.ICMPv4TypeEchoRequest}
	err := decodeStrict(n, &in)
	return &layers.ICMPv4{TypeCode: layers.CreateICMPv4TypeCode(in.Type, in.Code), Id: in.ID, Seq: in.Seq}, err
}

func icmp6Layer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	in := struct{ Type, Code uint8 }{Type: layers.ICMPv6TypeEchoRequest}
	err := decodeStrict(n, &in)
	return &layers.ICMPv6{TypeCode: layers.CreateICMPv6TypeCode(in.Type, in.Code)}, err
}

// payloadLayer takes hex digits, or {text: …}, or {zeros: n}.
func payloadLayer(n *yaml.Node) (gopacket.SerializableLayer, error) {
	if n.Kind == yaml.ScalarNode {
		b, err := parseHex(n)
		return gopacket.Payload(b), err
	}
	var in struct {
		Text  string
		Zeros int
	}
	if err := decodeStrict(n, &in); err != nil {
		return nil, err
	}
	if in.Zeros < 0 || in.Zeros > maxPacket {
		return nil, errorAt(n, "%d zeros: want 0 to %d", in.Zeros, maxPacket)
	}
	return gopacket.Payload(append([]byte(in.Text), make([]byte, in.Zeros)...)), nil
}

const maxPacket = 1 << 16

// parseHex reads hex digits; white space and colons are ignored.
func parseHex(n *yaml.Node) ([]byte, error) {
	digits := strings.NewReplacer(" ", "", ":", "", "\n", "", "\t", "").Replace(n.Value)
	b, err := hex.DecodeString(digits)
	if err != nil {
		return nil, errorAt(n, "%q: not pairs of hex digits", n.Value)
	}
	return b, nil
}

// CaseError is a mistake in a table.
type CaseError struct {
	File      string
	Line, Col int // from 1; 0: not known
	Reason    string
}

func (e *CaseError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("%s: %s", e.File, e.Reason)
	}
	return fmt.Sprintf("%s:%d:%d: %s", e.File, e.Line, e.Col, e.Reason)
}

func errorAt(n *yaml.Node, format string, args ...any) error {
	return &CaseError{Line: n.Line, Col: n.Column, Reason: fmt.Sprintf(format, args...)}
}

// cleanYAML takes what yaml says without its line numbers, which are those of a part.
func cleanYAML(err error) string {
	text := strings.TrimPrefix(err.Error(), "yaml: unmarshal errors:\n")
	text = strings.TrimPrefix(strings.TrimSpace(text), "yaml: ")
	if rest, ok := strings.CutPrefix(text, "line "); ok {
		if _, rest, ok := strings.Cut(rest, ": "); ok {
			return rest
		}
	}
	return text
}
