package helpers

import (
	"encoding/binary"
	"encoding/hex"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// readFIB loads the router of testdata.
func readFIB(t testing.TB) *FIB {
	t.Helper()
	f := new(FIB)
	for _, name := range []string{"addr", "route", "rule", "neigh"} {
		text, err := os.ReadFile(filepath.Join("testdata", "fib", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		if err := f.AddJSON(text); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
	}
	return f
}

// query makes a struct bpf_fib_lookup out of words like "src=10.0.0.1".
func query(t *testing.T, words []string) (params []byte, flags uint32) {
	t.Helper()
	params = make([]byte, sizeofFIB)
	for _, w := range words {
		name, value, _ := strings.Cut(w, "=")
		number := func() uint32 {
			n, err := strconv.ParseUint(value, 0, 32)
			if err != nil {
				t.Fatal(err)
			}
			return uint32(n)
		}
		switch name {
		case "src", "dst":
			a := netip.MustParseAddr(value)
			params[fibOffFamily] = familyIPv4
			if a.Is6() {
				params[fibOffFamily] = familyIPv6
			}
			copy(params[map[string]int{"src": fibOffSrc, "dst": fibOffDst}[name]:], a.AsSlice())
		case "if":
			binary.LittleEndian.PutUint32(params[fibOffIfindex:], number())
		case "len":
			binary.LittleEndian.PutUint16(params[fibOffTotLen:], uint16(number()))
		case "mark":
			binary.LittleEndian.PutUint32(params[fibOffMAC:], number())
			flags |= fibMark
		case "table":
			binary.LittleEndian.PutUint32(params[fibOffVLAN:], number())
			flags |= fibDirect | fibTableID
		case "direct":
			flags |= fibDirect
		case "output":
			flags |= fibOutput
		case "noneigh":
			flags |= fibSkipNeigh
		case "source":
			flags |= fibSource
		default:
			t.Fatalf("unknown word %q", w)
		}
	}
	return params, flags
}

// reply puts a result in words.
func reply(ret int, p []byte) string {
	s := "ret=" + strconv.Itoa(ret)
	if ret < 0 {
		return s
	}
	word := func(name string, v uint32) {
		if v != 0 {
			s += " " + name + "=" + strconv.FormatUint(uint64(v), 10)
		}
	}
	word("mtu", uint32(binary.LittleEndian.Uint16(p[fibOffTotLen:])))
	if ret != fibSuccess && ret != fibNoNeighbour {
		return s
	}
	word("if", binary.LittleEndian.Uint32(p[fibOffIfindex:]))
	word("metric", binary.LittleEndian.Uint32(p[fibOffTOS:]))
	n := 4
	if p[fibOffFamily] == familyIPv6 {
		n = 16
	}
	src, _ := netip.AddrFromSlice(p[fibOffSrc : fibOffSrc+n])
	dst, _ := netip.AddrFromSlice(p[fibOffDst : fibOffDst+n])
	s += " src=" + src.String() + " dst=" + dst.String()
	if ret == fibSuccess {
		s += " mac=" + hex.EncodeToString(p[fibOffMAC:fibOffMAC+12])
	}
	return s
}

// TestFIB runs testdata/fib/cases.txt: a query, =>, its reply.
func TestFIB(t *testing.T) {
	f := readFIB(t)
	text, err := os.ReadFile(filepath.Join("testdata", "fib", "cases.txt"))
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, line := range strings.Split(string(text), "\n") {
		ask, want, ok := strings.Cut(line, "=>")
		if !ok || strings.HasPrefix(line, "#") {
			continue
		}
		n++
		params, flags := query(t, strings.Fields(ask))
		if got := reply(f.Lookup(params, flags), params); got != strings.TrimSpace(want) {
			t.Errorf("%s\n got %s\nwant %s", ask, got, strings.TrimSpace(want))
		}
	}
	if n < 20 {
		t.Errorf("only %d cases", n)
	}
}

func TestFIBBadJSON(t *testing.T) {
	const link = `{"ifindex":2,"ifname":"eth0"}`
	for _, c := range []struct{ text, want string }{
		{``, "offset 0: the text ends too early"},
		{`[{"dst":`, "offset 8: the text ends too early"},
		{`[{"mtu":"x"}]`, `offset 11: json: cannot unmarshal string into Go struct field ipEntry.mtu of type uint32`},
		{`[] []`, "offset 3: more than one JSON value"},
		{`[{}]`, "element 0: neither a link, a route, a rule nor a neighbour"},
		{`[{"dst":"10.0.0.0/8","dev":"eth9"}]`, "element 0: dev: no link \"eth9\": give the output of `ip -json link` first"},
		{`[` + link + `,{"dst":"10.0.0.0/33","dev":"eth0"}]`, `element 1: dst: "10.0.0.0/33" is no IP address`},
		{`[` + link + `,{"dst":"10.0.0.0/8"}]`, "element 1: dev: a route without an interface"},
		{`[` + link + `,{"type":"nat","dst":"10.0.0.0/8"}]`, `element 1: type: unknown type of route "nat"`},
		{`[` + link + `,{"dst":"10.0.0.1","dev":"eth0","lladdr":"1:2"}]`, `element 1: lladdr: "1:2" is no Ethernet address`},
		{`{"links":[` + link + `],"rules":[{"priority":1,"src":"all","table":"vpn"}]}`,
			`element 0: table: unknown table "vpn": want main, local, default or a number`},
		{`[{"ifindex":2,"ifname":"eth0","addr_info":[{"local":"10.0.0.1","prefixlen":40}]}]`,
			"element 0: prefixlen: 40 is no length of a prefix of 10.0.0.1"},
	} {
		f := FIB{Links: []Link{{Index: 7, Name: "old"}}}
		err := f.AddJSON([]byte(c.text))
		var bad *FIBError
		if !errors.As(err, &bad) {
			t.Errorf("%s: %v", c.text, err)
			continue
		}
		if got := bad.Error(); got != c.want {
			t.Errorf("%s\n got %s\nwant %s", c.text, got, c.want)
		}
		if len(f.Links) != 1 || len(f.Routes)+len(f.Rules)+len(f.Neighbours) != 0 {
			t.Errorf("%s: the table was changed", c.text)
		}
	}
}

func FuzzFIBJSON(f *testing.F) {
	for _, name := range []string{"addr", "route", "rule", "neigh"} {
		text, err := os.ReadFile(filepath.Join("testdata", "fib", name+".json"))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	f.Add([]byte(`{"links":[{"ifindex":1,"ifname":"a"}],"routes":[{"dst":"default","dev":"a"}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		table := readFIB(t)
		if err := table.AddJSON(text); err != nil {
			return
		}
		for _, l := range table.Links {
			params := make([]byte, sizeofFIB)
			params[fibOffFamily] = familyIPv4
			params[fibOffDst] = 10
			binary.LittleEndian.PutUint32(params[fibOffIfindex:], l.Index)
			table.Lookup(params, 0)
		}
	})
}
