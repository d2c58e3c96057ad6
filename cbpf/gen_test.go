package cbpf

import (
	"encoding/hex"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// unhex reads hexadecimal digits with blanks between them.
func unhex(t *testing.T, text string) []byte {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(text, " ", ""))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// inVXLAN is an Ethernet frame with VXLAN, network 0x123456, in UDP over the given IP header; inside is an Ethernet
// frame with a TCP segment from 10.0.0.1, port 1024, to 10.0.0.2, port 80.
func inVXLAN(t *testing.T, etherType, ip string) []byte {
	return unhex(t, "020000000001 020000000002"+etherType+ip+
		"c000 12b5 0000 0000"+ // UDP to 4789
		"0800 0000 123456 00"+
		"0a0000000001 0a0000000002 0800"+
		"4500 0028 0000 0000 4006 0000 0a000001 0a000002"+
		"0400 0050 00000000 00000000 5002 0000 00000000")
}

// TestVXLAN has no libpcap to be compared with: 1.10 doesn't know the word.
func TestVXLAN(t *testing.T) {
	v4 := "4500 0000 0000 0000 4011 0000 c0000201 c0000202"
	packets := map[string][]byte{
		"v4":       inVXLAN(t, "0800", v4),
		"options":  inVXLAN(t, "0800", "46"+v4[2:]+"01010101"),
		"v6":       inVXLAN(t, "86dd", "60000000 0000 11 40"+strings.Repeat("00", 32)),
		"fragment": inVXLAN(t, "0800", "4500 0000 0000 0001"+v4[19:]),
	}
	flags := slices.Clone(packets["v4"])
	flags[42] = 0
	port := slices.Clone(packets["v4"])
	port[37] = 1
	packets["no identifier"], packets["other port"], packets["cut"] = flags, port, packets["v4"][:80]
	whole := []string{"v4", "options", "v6"}
	for _, c := range []struct {
		filter string
		want   []string
	}{
		{"vxlan", append(whole, "cut")},
		{"vxlan 0x123456", append(whole, "cut")},
		{"vxlan 0x123457", nil},
		{"vxlan and tcp port 80", whole},
		{"vxlan and tcp[13] = 2 and host 10.0.0.1", whole},
		{"vxlan and ether src 0a:00:00:00:00:02", append(whole, "cut")},
		{"vxlan and ether src 02:00:00:00:00:02", nil},
		{"vxlan and udp", nil},
		{"udp port 4789 and vxlan and not udp", append(whole, "cut")},
		{"vxlan and vxlan", nil},
		{"vxlan and vlan", nil},
	} {
		for _, plain := range []bool{true, false} {
			p, err := CompileOptions{NoOptimize: plain}.Compile(c.filter, linktype.Ethernet)
			if err != nil {
				t.Fatal(err)
			}
			for name, data := range packets {
				got := p.Run(Packet{Data: data, WireLen: uint32(len(data))}) != 0
				if want := slices.Contains(c.want, name); got != want {
					t.Errorf("%s: %s: %v, want %v (unoptimised: %v)", c.filter, name, got, want, plain)
				}
			}
		}
	}
}

// TestHosts is names of machines: refused where nobody looks them up, and else all addresses that fit.
func TestHosts(t *testing.T) {
	hosts := func(name string) ([]netip.Addr, error) {
		switch name {
		case "both":
			return []netip.Addr{netip.MustParseAddr("10.0.0.1"), netip.MustParseAddr("::1")}, nil
		case "mapped":
			return []netip.Addr{netip.MustParseAddr("::ffff:10.0.0.1")}, nil
		}
		return nil, errors.New("no such host")
	}
	for _, c := range []struct {
		link             linktype.Type
		filter, like, no string
	}{
		{linktype.Ethernet, "host both", "host 10.0.0.1 or host ::1", ""},
		{linktype.Ethernet, "ip src both", "ip src host 10.0.0.1", ""},
		{linktype.Ethernet, "ip6 host both", "ip6 host ::1", ""},
		{linktype.Ethernet, "src and dst mapped", "src and dst host 10.0.0.1", ""},
		{linktype.RawIP, "host both", "ip host 10.0.0.1 or ip6 host ::1", ""},
		{linktype.Ethernet, "ip6 host mapped", "", "no address that fits"},
		{linktype.Ethernet, "host nobody", "", "no such host"},
		{linktype.Ethernet, "ether host both", "", "no names"},
		{linktype.Ethernet, "net both", "", "no names"},
	} {
		got, err := CompileOptions{Hosts: hosts}.Compile(c.filter, c.link)
		var e *expr.Error
		if c.no != "" {
			if !errors.As(err, &e) || !strings.Contains(e.Msg, c.no) {
				t.Errorf("%s: %v", c.filter, err)
			}
			continue
		}
		want, err2 := Compile(c.like, c.link)
		if err != nil || err2 != nil || !slices.Equal(got, want) {
			t.Errorf("%s is not %s: %v, %v\n%v\n%v", c.filter, c.like, err, err2, got, want)
		}
		if _, err := Compile(c.filter, c.link); !errors.As(err, &e) || !strings.Contains(e.Msg, "not looked up") {
			t.Errorf("%s without names: %v", c.filter, err)
		}
	}
}

// TestOptions is what options change.
func TestOptions(t *testing.T) {
	services, err := expr.ParseServices(strings.NewReader("mine 7777/udp\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		filter string
		opts   CompileOptions
		like   string
	}{
		{"port mine", CompileOptions{Services: services}, "udp port 7777"},
		{"ip broadcast", CompileOptions{Netmask: 0xffffff00}, "ip and (ip[19] = 0 or ip[19] = 255)"},
	} {
		got, err := c.opts.Compile(c.filter, linktype.Ethernet)
		want, err2 := Compile(c.like, linktype.Ethernet)
		if err != nil || err2 != nil {
			t.Fatal(err, err2)
		}
		for seed := range 2000 {
			data := unhex(t, "020000000001020000000002 0800 4500 0040 0000 0000 4011 0000 0a000001 0a0000ff 1e61 1e61 0000 0000")
			data[33], data[34+seed%4], data[14+seed%28] = byte(seed>>3), byte(seed>>1), data[14+seed%28]^byte(1<<(seed%8))
			pkt := Packet{Data: data, WireLen: uint32(len(data))}
			if g, w := got.Run(pkt) != 0, want.Run(pkt) != 0; g != w {
				t.Fatalf("%s: %x: %v, want %v", c.filter, data, g, w)
			}
		}
	}
	if p, err := (CompileOptions{SnapLen: 96}).Compile("ip", linktype.Ethernet); err != nil || p[2].K != 96 {
		t.Errorf("snap length: %v, %v", p, err)
	}
	if p, err := Compile("", linktype.Ethernet); err != nil || !slices.Equal(p, Program{{Op: ClassRet, K: DefaultSnapLen}}) {
		t.Errorf("no filter: %v, %v", p, err)
	}
	if p, err := (CompileOptions{BigEndian: true}).Compile("ip", linktype.Null); err != nil || p[1].K != 2 {
		t.Errorf("a big-endian file: %v, %v", p, err)
	}
}

// TestProtoChain follows headers: as many as it is told to, and what comes after.
func TestProtoChain(t *testing.T) {
	chain := func(n int) Packet { // n headers of destination options before TCP
		next := func(last bool) string {
			if last {
				return "06"
			}
			return "3c"
		}
		text := "020000000001020000000002 86dd 60000000 0000" + next(n == 0) + "40" + strings.Repeat("00", 32)
		for i := range n {
			text += next(i == n-1) + "00" + "000000000000"
		}
		data := unhex(t, text+"00000000")
		return Packet{Data: data, WireLen: uint32(len(data))}
	}
	for _, c := range []struct{ length, headers int }{{0, DefaultChainLength}, {1, 1}, {3, 3}} {
		p, err := CompileOptions{ChainLength: c.length}.Compile("ip6 protochain 6", linktype.Ethernet)
		if err != nil {
			t.Fatal(err)
		}
		for n := range 12 {
			if got, want := p.Run(chain(n)) != 0, n <= c.headers; got != want {
				t.Errorf("length %d: %d headers: %v, want %v", c.length, n, got, want)
			}
		}
	}
	// an authentication header whose length leads back to itself: libpcap's code never ends on it
	loop := unhex(t, "020000000001020000000002 0800 4500 0028 0000 0000 40 33 0000 0a000001 0a000002 3303"+strings.Repeat("00", 30))
	p, err := Compile("ip protochain 6", linktype.Ethernet)
	if err != nil || p.Run(Packet{Data: loop, WireLen: uint32(len(loop))}) != 0 {
		t.Errorf("a header that follows itself: %v", err)
	}
	if _, err := (CompileOptions{ChainLength: 500}).Compile("protochain 6", linktype.Ethernet); err == nil {
		t.Error("a chain of 500 headers fits a program")
	}
}

// FuzzCompile compiles anything, for every link type: the program is one that a kernel would take, or there is an error
// with a position, and the optimiser changes no verdict.
func FuzzCompile(f *testing.F) {
	for _, s := range []string{"tcp dst port 22", "vlan 5 and mpls and host 1.2.3.4", "geneve 7 and ip6[6] = 58", "wlan host 1:2:3:4:5:6", "pppoes and not ip6 net 2001:db8::/32",
		"ip[ip[0] & 15:2] ^ len = - 5 % 3 or isis", "protochain 6", "vxlan and portrange ssh-80", "type data subtype qos and llc ui", "decnet src 1.2", "len = 1 / (2 - 2)", "len = 1 << (20 + 20)", "not (ip broadcast or net 10)"} {
		f.Add(s, []byte(s), uint8(1))
	}
	links := make([]linktype.Type, 0, len(linkLayouts))
	for l := range linkLayouts {
		links = append(links, l)
	}
	slices.Sort(links)
	f.Fuzz(func(t *testing.T, src string, data []byte, which uint8) {
		link := links[int(which)%len(links)]
		opts := CompileOptions{NoOptimize: true, LinuxExt: which > 200, BigEndian: which > 100}
		plain, err := opts.Compile(src, link)
		var e *expr.Error
		if err != nil {
			if !errors.As(err, &e) {
				t.Fatalf("%q: %v", src, err)
			}
			return
		}
		if err := plain.Validate(Pcap); err != nil {
			t.Fatalf("%q: %v", src, err)
		}
		pkt := Packet{Data: data, WireLen: uint32(len(data))}
		want := plain.Run(pkt)
		opts.NoOptimize = false
		p, err := opts.Compile(src, link)
		switch errors.As(err, &e); {
		case err == nil:
		case e != nil && e.Msg == refusedNever:
			p = Program{{Op: ClassRet}}
		case e != nil && (e.Msg == refusedShift || e.Msg == refusedDivide):
			return
		default:
			t.Fatalf("%q: only the optimised program is refused: %v", src, err)
		}
		if got := p.Run(pkt); got != want {
			t.Fatalf("%q on %v: %x: %d, unoptimised %d", src, link, data, got, want)
		}
	})
}
