package traffic

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "rewrite the sample and the hashes")

// TestGolden pins the bytes of some specs: testdata/golden.txt has "hash spec" lines.
func TestGolden(t *testing.T) {
	const name = "testdata/golden.txt"
	file, err := os.ReadFile(name)
	require.NoError(t, err)
	var out strings.Builder
	for line := range strings.Lines(string(file)) {
		want, spec, _ := strings.Cut(strings.TrimSpace(line), " ")
		s, err := ReadSpec(strings.NewReader(spec))
		require.NoError(t, err, line)
		h := sha256.New()
		_, err = Generate(h, s)
		require.NoError(t, err)
		got := fmt.Sprintf("%x", h.Sum(nil))
		if !*update {
			require.Equal(t, want, got, spec)
		}
		fmt.Fprintf(&out, "%s %s\n", got, spec)
	}
	if *update {
		require.NoError(t, os.WriteFile(name, []byte(out.String()), 0o644))
	}
}

func TestSample(t *testing.T) {
	var out bytes.Buffer
	m, err := Generate(&out, SampleSpec)
	require.NoError(t, err)
	for _, l := range []string{"tcp-dst-port-22", "malformed", "vlan", "ipv6", "dns", "vxlan", "arp", "icmp"} {
		require.Positive(t, m.Labels[l].Packets, l)
	}
	if *update {
		require.NoError(t, os.WriteFile("sample.pcap", out.Bytes(), 0o644))
		return
	}
	require.True(t, bytes.Equal(out.Bytes(), Sample()), "sample.pcap is not what SampleSpec gives")
	require.Less(t, len(Sample()), 200_000)
}

// has says what a label means in the layers of an independent decoder.
var has = map[string]func(p gopacket.Packet) bool{
	"ipv4": func(p gopacket.Packet) bool { return first(p, layers.LayerTypeIPv4, layers.LayerTypeIPv6) },
	"ipv6": func(p gopacket.Packet) bool { return first(p, layers.LayerTypeIPv6, layers.LayerTypeIPv4) },
	"tcp": func(p gopacket.Packet) bool {
		return first(p, layers.LayerTypeTCP, layers.LayerTypeUDP) && p.Layer(layers.LayerTypeGRE) == nil &&
			p.Layer(layers.LayerTypeIPSecAH) == nil
	},
	"arp":    func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeARP) != nil },
	"vlan":   func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeDot1Q) != nil },
	"mpls":   func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeMPLS) != nil },
	"icmp6":  func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeICMPv6) != nil },
	"icmp":   func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeICMPv4) != nil },
	"gre":    func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeGRE) != nil },
	"vxlan":  func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeVXLAN) != nil },
	"geneve": func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeGeneve) != nil },
	"dns":    func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeDNS) != nil },
	"sctp":   func(p gopacket.Packet) bool { return p.Layer(layers.LayerTypeSCTP) != nil },
}

// first reports whether a layer of type want comes, and before any of type other; packets under MPLS do not count.
func first(p gopacket.Packet, want, other gopacket.LayerType) bool {
	for _, l := range p.Layers() {
		switch l.LayerType() {
		case want:
			return true
		case other, layers.LayerTypeMPLS:
			return false
		}
	}
	return false
}

// TestLabels has another decoder count what the manifest claims, and check that all checksums are right.
func TestLabels(t *testing.T) {
	mix := DefaultMix
	mix.Malformed = 0
	s := Spec{Packets: 4000, Seed: 7, Mix: mix, Nano: true}
	var file bytes.Buffer
	m, err := Generate(&file, s)
	require.NoError(t, err)
	r, err := pcapgo.NewReader(&file)
	require.NoError(t, err)
	got, last := map[string]int{}, int64(0)
	for n := 1; ; n++ {
		data, info, err := r.ReadPacketData()
		if err == io.EOF {
			require.Equal(t, s.Packets, n-1)
			require.Equal(t, m.LastNS, last)
			break
		}
		require.NoError(t, err)
		require.GreaterOrEqual(t, info.Timestamp.UnixNano(), last)
		last = info.Timestamp.UnixNano()
		p := gopacket.NewPacket(data, layers.LayerTypeEthernet, gopacket.Default)
		for name, f := range has {
			if f(p) {
				got[name]++
			}
		}
		checkSums(t, n, data)
	}
	want := map[string]int{}
	for name := range has {
		want[name] = m.Labels[name].Packets
	}
	require.Equal(t, want, got)
}

// checkSums verifies the checksums of IPv4, TCP and UDP by the plainest code.
func checkSums(t *testing.T, n int, frame []byte) {
	at, typ := 14, uint16(frame[12])<<8|uint16(frame[13])
	for typ == etherVLAN || typ == etherSVLAN {
		typ, at = uint16(frame[at+2])<<8|uint16(frame[at+3]), at+4
	}
	var pseudo, l4 []byte
	var proto byte
	switch typ {
	case etherIPv4:
		ip := frame[at:]
		hl := int(ip[0]&15) * 4
		require.Equal(t, uint32(0xffff), plainSum(ip[:hl]), "packet %d: IPv4 header checksum", n)
		if ip[6]&0x3f != 0 || ip[7] != 0 {
			return
		}
		pseudo, proto, l4 = ip[12:20], ip[9], ip[hl:int(ip[2])<<8|int(ip[3])]
	case etherIPv6:
		ip := frame[at:]
		pseudo, proto, l4 = ip[8:40], ip[6], ip[40:40+(int(ip[4])<<8|int(ip[5]))]
		if proto == protoHopByHop {
			proto, l4 = l4[0], l4[8:]
		}
	}
	if proto == protoTCP || proto == protoUDP || proto == protoICMPv6 {
		sum := bytes.Join([][]byte{pseudo, {0, proto, byte(len(l4) >> 8), byte(len(l4))}, l4}, nil)
		require.Equal(t, uint32(0xffff), plainSum(sum), "packet %d: checksum of protocol %d", n, proto)
	}
}

func plainSum(b []byte) uint32 {
	sum := uint32(0)
	for i, v := range b {
		sum += uint32(v) << (8 * (1 - i%2))
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return sum
}

func TestSum16(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 70 {
		b := make([]byte, n)
		for i := range b {
			b[i] = byte(r.Uint32()) | byte(n&1)*0xff
		}
		require.Equal(t, ^uint16(plainSum(b)), checksum(0, b), "%x", b)
	}
}

// TestTcpdumpCounts has tcpdump count by filters what the manifest claims, on every link.
func TestTcpdumpCounts(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	for link, filters := range map[string]map[string]string{
		"ether": {"tcp-dst-port-22": "tcp dst port 22", "arp": "arp", "vlan": "vlan", "mpls": "mpls", "icmp": "icmp", "ah": "ip proto 51"},
		"sll":   {"tcp-dst-port-22": "tcp dst port 22", "arp": "arp", "icmp6": "icmp6", "esp": "ip proto 50"},
		"sll2":  {"tcp-dst-port-22": "tcp dst port 22", "arp": "arp"},
		"raw":   {"tcp-dst-port-22": "tcp dst port 22", "ipv6": "ip6", "sctp": "sctp"},
		"null":  {"tcp-dst-port-22": "tcp dst port 22", "ipv6": "ip6"},
	} {
		for _, format := range []string{"pcap", "pcapng"} {
			name := filepath.Join(t.TempDir(), link)
			out, err := os.Create(name)
			require.NoError(t, err)
			m, err := Generate(out, Spec{Packets: 2000, Seed: 3, Link: link, Format: format})
			require.NoError(t, err)
			require.NoError(t, out.Close())
			for label, filter := range filters {
				got, err := exec.Command(tcpdump, "-r", name, "--count", filter).Output()
				require.NoError(t, err)
				var n int
				_, err = fmt.Sscanf(string(got), "%d", &n)
				require.NoError(t, err)
				require.Positive(t, n, "%s %s", link, label)
				require.Equal(t, m.Labels[label].Packets, n, "%s %s %q", link, format, filter)
			}
		}
	}
}

func TestSizes(t *testing.T) {
	m, err := Generate(io.Discard, Spec{Packets: 5000, SizeMin: 64, SizeMax: 1500, Mix: Mix{Flows: 1}})
	require.NoError(t, err)
	mean := m.Bytes / int64(m.Packets)
	require.InDelta(t, 782, mean, 10, "UDP only: every packet carries data")
	g, err := New(Spec{Packets: 3000, SizeMin: 100, SizeMax: 200})
	require.NoError(t, err)
	for f, _ := g.Next(); f != nil; f, _ = g.Next() {
		require.LessOrEqual(t, len(f), 600)
	}
}

// The shares and bounds of Sizes are kept, and those of SizeMax and IMIX are the same thing said otherwise.
func TestSizeMix(t *testing.T) {
	spec := Spec{Packets: 8000, Sizes: []Size{{Min: 64, Max: 1500, Share: 3}, {Min: 1501, Share: 1}}, Mix: Mix{Flows: 1}}
	g, err := New(spec)
	require.NoError(t, err)
	big, bytes := 0, 0
	for f, _ := g.Next(); f != nil; f, _ = g.Next() {
		require.GreaterOrEqual(t, len(f), 64)
		require.LessOrEqual(t, len(f), 1501)
		bytes += len(f)
		if len(f) == 1501 {
			big++
		}
	}
	require.InDelta(t, 2000, big, 150)
	require.InDelta(t, 782*.75+1501*.25, float64(bytes)/8000, 15)

	for name, s := range map[string]Spec{
		"":                {Packets: 500},
		"64-1400":         {Packets: 500, SizeMax: 1400},
		"300-1500:9":      {Packets: 500, SizeMin: 300, SizeMax: 1500},
		"64:7,576:4,1500": {Packets: 500, Sizes: []Size{{64, 64, 7}, {576, 576, 4}, {1500, 1500, 1}}},
	} {
		var want, got strings.Builder
		_, err := Generate(&want, s)
		require.NoError(t, err)
		same := Spec{Packets: 500}
		if name != "" {
			same.Sizes, err = ParseSizes(name)
			require.NoError(t, err)
		} else {
			same.Sizes = IMIX
		}
		_, err = Generate(&got, same)
		require.NoError(t, err)
		require.Equal(t, want.String(), got.String(), name)
	}
}

func TestParseSizesErrors(t *testing.T) {
	for text, want := range map[string]string{
		"":                             `"" is not LENGTH:SHARE or MIN-MAX:SHARE`,
		"64,":                          `"" is not LENGTH:SHARE or MIN-MAX:SHARE`,
		"64-":                          `"64-" is not LENGTH:SHARE or MIN-MAX:SHARE`,
		"64:1,9:x":                     `"9:x" is not LENGTH:SHARE or MIN-MAX:SHARE`,
		"-5":                           `"-5" is not LENGTH:SHARE or MIN-MAX:SHARE`,
		"64:1,9001:1":                  "sizes[1].min is 9001, not 64 to 9000",
		"70-69":                        "sizes[0].max is 69, not 70 to 9000",
		"64:0":                         "sizes[0].share is 0, not 1 to 1000000",
		"64-1500:99999999999999999999": `"64-1500:99999999999999999999" is not LENGTH:SHARE or MIN-MAX:SHARE`,
	} {
		_, err := ParseSizes(text)
		require.EqualError(t, err, want, text)
	}
}

func FuzzParseSizes(f *testing.F) {
	for _, s := range []string{"64", "64-1500:3,1500:1", "64:7,576:4,1500:1", "9000:1000000", "64:0", "-"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		sizes, err := ParseSizes(text)
		if err != nil {
			return
		}
		_, err = New(Spec{Packets: 1, Sizes: sizes})
		require.NoError(t, err, "what is parsed is also valid")
	})
}

func TestSnap(t *testing.T) {
	var out bytes.Buffer
	_, err := Generate(&out, Spec{Packets: 100, Snap: 50})
	require.NoError(t, err)
	r, err := pcapgo.NewReader(&out)
	require.NoError(t, err)
	cut := 0
	for {
		data, info, err := r.ReadPacketData()
		if err != nil {
			break
		}
		require.LessOrEqual(t, len(data), 50)
		if info.Length > len(data) {
			cut++
		}
	}
	require.Greater(t, cut, 90)
}

func TestSpecErrors(t *testing.T) {
	for spec, want := range map[string]string{
		`{"packets": -1}`:                                            "traffic spec: packets is -1, not 1 to 1099511627776",
		`{"link": "token"}`:                                          `traffic spec: link "token" is none of avs, ether, ipv4, ipv6, loop, null, ppi, ppp, ppp_serial, prism, radiotap, raw, sll, sll2, wlan`,
		`{"format": "snoop"}`:                                        `traffic spec: format "snoop" is none of pcap, pcapng, pcapng-all, pcap-2.2, pcap-2.3, pcap-543.0, pcap-modified`,
		`{"format": "pcap-2.2", "nano": true}`:                       "traffic spec: format pcap-2.2 has no nanoseconds",
		`{"size_max": 50, "size_min": 64}`:                           "traffic spec: size_max is 50, not 64 to 9000",
		`{"size_max": 99999}`:                                        "traffic spec: size_max is 99999, not 64 to 9000",
		`{"sizes": [{"min": 64, "share": 1}], "size_max": 70}`:       "traffic spec: sizes and size_max exclude each other",
		`{"sizes": [{"min": 63, "share": 1}]}`:                       "traffic spec: sizes[0].min is 63, not 64 to 9000",
		`{"sizes": [{"min": 70, "max": 69, "share": 1}]}`:            "traffic spec: sizes[0].max is 69, not 70 to 9000",
		`{"sizes": [{"min": 64, "share": 0}]}`:                       "traffic spec: sizes[0].share is 0, not 1 to 1000000",
		`{"mix": {"flows": -3}}`:                                     "traffic spec: mix.flows is -3, not 0 to 1000000",
		`{"mix": {"arp": 3}, "link": "raw"}`:                         "traffic spec: the mix has nothing that link raw can carry",
		`{"mix": {"flows":1,"vlan_percent":60, "qinq_percent": 50}}`: "traffic spec: mix.qinq_percent is 50, not 0 to 40",
		`{"colour": 1}`:                                              `traffic spec: near byte 13: json: unknown field "colour"`,
	} {
		_, err := ReadSpec(strings.NewReader(spec))
		require.EqualError(t, err, want, spec)
	}
}

func TestManifestJSON(t *testing.T) {
	m, err := Generate(io.Discard, Spec{Packets: 10})
	require.NoError(t, err)
	b, err := json.Marshal(m)
	require.NoError(t, err)
	var back Manifest
	require.NoError(t, json.Unmarshal(b, &back))
	require.Equal(t, *m, back)
}

func ExampleGenerate() {
	var file bytes.Buffer
	m, err := Generate(&file, Spec{Packets: 1000, Seed: 42})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(m.Packets, "packets,", m.Labels["tcp-dst-port-22"].Packets, "of them to SSH servers")
	// Output: 1000 packets, 24 of them to SSH servers
}

func BenchmarkGenerate(b *testing.B) {
	for name, s := range map[string]Spec{"imix": {}, "uniform": {SizeMin: 64, SizeMax: 1500}} {
		b.Run(name, func(b *testing.B) {
			s.Packets = b.N
			b.ReportAllocs()
			m, err := Generate(io.Discard, s)
			require.NoError(b, err)
			b.SetBytes(m.Bytes / int64(m.Packets))
		})
	}
}
