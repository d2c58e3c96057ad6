// Package traffic makes captures of invented traffic: the same bytes for the same Spec on every machine, with a
// manifest that says what is in them, so that a test knows which verdicts to expect without a second tool.
//
// All addresses are from the documentation ranges (RFC 5737, RFC 3849), all MAC addresses locally administered, all
// payload random. Checksums are right except in packets that are malformed on purpose.
package traffic

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
)

// Spec says what to generate. The zero value of a field takes the default. It is read from and written as JSON.
type Spec struct {
	Packets int    `json:"packets"`        // default 1000
	Seed    uint64 `json:"seed"`           // different seeds, different traffic
	Link    string `json:"link"`           // ether (default) or another of Links
	Format  string `json:"format"`         // pcap (default), pcapng or another of Formats
	Nano    bool   `json:"nano,omitempty"` // nanosecond times in a pcap file; those of pcapng always are
	Snap    int    `json:"snap,omitempty"` // cut packets to so many bytes; 0 cuts nothing

	BigEndian bool `json:"big_endian,omitempty"` // the file, and the address family of link null

	// Frames that carry data have the lengths of Sizes; or, when SizeMax is set, any length from SizeMin (at least 64)
	// to SizeMax (at most 9000), all equally likely; or else those of IMIX. Sizes and SizeMax exclude each other.
	Sizes   []Size `json:"sizes,omitempty"`
	SizeMin int    `json:"size_min,omitempty"`
	SizeMax int    `json:"size_max,omitempty"`

	Flows int   `json:"flows"`  // flows alive at a time, default 1024; the n-th gets 1/n of the first's packets (Zipf)
	GapNS int64 `json:"gap_ns"` // average time between packets, default 10,000 ns
	Mix   Mix   `json:"mix"`    // the zero value is DefaultMix
}

// Mix says how often each kind of traffic occurs. The first group are shares of all packets, relative to each other;
// the second percentages.
type Mix struct {
	Flows     int `json:"flows"`     // packets of TCP and UDP flows
	Tunnels   int `json:"tunnels"`   // VXLAN and Geneve with an Ethernet frame inside
	ICMP      int `json:"icmp"`      // ICMP and ICMPv6 echoes
	ARP       int `json:"arp"`       // not with links that carry only IP, as raw and null
	Fragments int `json:"fragments"` // fragments of IPv4 UDP datagrams
	Protocols int `json:"protocols"` // GRE, ESP, AH, SCTP, OSPF, VRRP, IGMP, PIM, L2TP
	MPLS      int `json:"mpls"`      // one or two labels; not with links that carry only IP
	Malformed int `json:"malformed"`
	Rare      int `json:"rare"` // one of everything that filters have a word for, see rare.go; few hosts, many protocols

	IPv6 int `json:"ipv6_percent"` // of flows and ICMP
	VLAN int `json:"vlan_percent"` // of flows: one 802.1Q tag; not with links that carry only IP
	QinQ int `json:"qinq_percent"` // of flows: 802.1ad and 802.1Q; the same
	TCP  int `json:"tcp_percent"`  // of flows, the rest is UDP
	SSH  int `json:"ssh_percent"`  // of TCP flows: to port 22
	DNS  int `json:"dns_percent"`  // of UDP flows
	Cut  int `json:"cut_percent"`  // of all packets: captured short, to fewer than 128 bytes, maybe none
}

// DefaultMix resembles an office uplink, with every kind that a parser must stand.
var DefaultMix = Mix{
	Flows: 840, Tunnels: 25, ICMP: 30, ARP: 10, Fragments: 20, Protocols: 35, MPLS: 10, Malformed: 30,
	IPv6: 25, VLAN: 8, QinQ: 3, TCP: 65, SSH: 8, DNS: 40,
}

// ReadSpec reads a Spec from JSON. Unknown fields are an error.
func ReadSpec(r io.Reader) (Spec, error) {
	var s Spec
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	if err := d.Decode(&s); err != nil {
		return Spec{}, fmt.Errorf("traffic spec: near byte %d: %w", d.InputOffset(), err)
	}
	return s, s.check()
}

// withDefaults fills the fields that are zero.
func (s Spec) withDefaults() Spec {
	if s.Packets == 0 {
		s.Packets = 1000
	}
	if s.Link == "" {
		s.Link = "ether"
	}
	if s.Format == "" {
		s.Format = "pcap"
	}
	if s.Flows == 0 {
		s.Flows = 1024
	}
	if s.GapNS == 0 {
		s.GapNS = 10_000
	}
	if s.Mix == (Mix{}) {
		s.Mix = DefaultMix
	}
	if s.SizeMax != 0 && s.SizeMin == 0 {
		s.SizeMin = 64
	}
	return s
}

// check finds values that make no sense.
func (s Spec) check() error {
	s = s.withDefaults()
	limits := []struct {
		name         string
		v, low, high int64
	}{
		{"packets", int64(s.Packets), 1, 1 << 40},
		{"flows", int64(s.Flows), 1, 1 << 22},
		{"gap_ns", s.GapNS, 1, 1e9},
		{"snap", int64(s.Snap), 0, 262144},
		{"size_max", int64(s.SizeMax), int64(s.SizeMin), maxSize},
		{"size_min", int64(s.SizeMin), 0, maxSize},
		{"mix.ipv6_percent", int64(s.Mix.IPv6), 0, 100},
		{"mix.vlan_percent", int64(s.Mix.VLAN), 0, 100},
		{"mix.qinq_percent", int64(s.Mix.QinQ), 0, 100 - int64(s.Mix.VLAN)},
		{"mix.tcp_percent", int64(s.Mix.TCP), 0, 100},
		{"mix.ssh_percent", int64(s.Mix.SSH), 0, 100},
		{"mix.dns_percent", int64(s.Mix.DNS), 0, 100},
		{"mix.cut_percent", int64(s.Mix.Cut), 0, 100},
	}
	total := 0
	for _, k := range kinds {
		share := k.share(&s.Mix)
		limits = append(limits, struct {
			name         string
			v, low, high int64
		}{"mix." + k.name, int64(share), 0, 1e6})
		if links[s.Link].can(&k) {
			total += share
		}
	}
	for _, l := range limits {
		if l.v < l.low || l.v > l.high {
			return fmt.Errorf("traffic spec: %s is %d, not %d to %d", l.name, l.v, l.low, l.high)
		}
	}
	if _, ok := links[s.Link]; !ok {
		return fmt.Errorf("traffic spec: link %q is none of %s", s.Link, strings.Join(Links(), ", "))
	}
	switch f := formatOf(s.Format); {
	case f == nil:
		return fmt.Errorf("traffic spec: format %q is none of %s", s.Format, strings.Join(Formats(), ", "))
	case s.Nano && !f.nano:
		return fmt.Errorf("traffic spec: format %s has no nanoseconds", s.Format)
	}
	if err := checkSizes(&s); err != nil {
		return fmt.Errorf("traffic spec: %w", err)
	}
	if total == 0 {
		return fmt.Errorf("traffic spec: the mix has nothing that link %s can carry", s.Link)
	}
	return nil
}

// Manifest is the truth about a generated capture.
type Manifest struct {
	Spec    Spec             `json:"spec"` // with the defaults filled in
	Packets int              `json:"packets"`
	Bytes   int64            `json:"bytes"` // of frames, before the cut to Spec.Snap
	Flows   int              `json:"flows"` // TCP and UDP flows begun
	FirstNS int64            `json:"first_ns"`
	LastNS  int64            `json:"last_ns"`
	Labels  map[string]Count `json:"labels"`
}

// Count is how much of the capture bears a label.
type Count struct {
	Packets int   `json:"packets"`
	Bytes   int64 `json:"bytes"`
}

// label is one bit of what a packet is.
type label uint64

// The labels. Protocols are those of the outermost packet, after its VLAN tags; a malformed packet has no other label
// than its kind and "malformed".
const (
	lIPv4 label = 1 << iota
	lIPv6
	lTCP
	lUDP
	lICMP
	lICMPv6
	lARP
	lVLAN
	lQinQ
	lMPLS
	lFragment
	lSYN
	lFIN
	lRST
	lDNS
	lSSH
	lVXLAN
	lGeneve
	lGRE
	lESP
	lAH
	lSCTP
	lOSPF
	lVRRP
	lIGMP
	lPIM
	lL2TP
	lHopByHop
	lOptions
	lMalformed
	lCutL3
	lCutL4
	lBadIHL
	lBadLength
	lBadVersion
	lBadOffset
	lRare
)

// labelNames has the names of the labels in the order of their bits.
var labelNames = strings.Fields(`ipv4 ipv6 tcp udp icmp icmp6 arp vlan qinq mpls fragment syn fin rst dns tcp-dst-port-22
	vxlan geneve gre esp ah sctp ospf vrrp igmp pim l2tp hop-by-hop ip-options
	malformed cut-l3 cut-l4 bad-ihl bad-length bad-version bad-tcp-offset rare`)
