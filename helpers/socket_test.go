package helpers

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"github.com/skepvm/skep/mem"
)

func addrPort(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

func TestSocketFind(t *testing.T) {
	list := []Socket{
		0:  {Proto: ProtoTCP, Local: addrPort("0.0.0.0:80")},
		1:  {Proto: ProtoTCP, Local: addrPort("10.0.0.1:80")},
		2:  {Proto: ProtoTCP, Local: addrPort("10.0.0.1:80"), Remote: addrPort("10.0.0.9:5000")},
		3:  {Proto: ProtoTCP, Local: addrPort("[::]:443")},
		4:  {Proto: ProtoTCP, Local: addrPort("[::]:444"), V6Only: true},
		5:  {Proto: ProtoTCP, Local: addrPort("0.0.0.0:25"), BoundIf: 3},
		6:  {Proto: ProtoUDP, Local: addrPort("0.0.0.0:53")},
		7:  {Proto: ProtoUDP, Local: addrPort("10.0.0.1:53"), Remote: addrPort("10.0.0.9:5353")},
		8:  {Proto: ProtoUDP, Local: addrPort("10.0.0.1:53")},
		9:  {Proto: ProtoTCP, Local: addrPort("[fd00::1]:80")},
		10: {Proto: ProtoTCP, Local: addrPort("0.0.0.0:443"), BoundIf: 4},
	}
	space, err := mem.New(mem.Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	table, err := NewSockets(space, list)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		proto         uint8
		remote, local string
		ifindex       uint32
		want          int
	}{
		{ProtoTCP, "10.0.0.9:5000", "10.0.0.1:80", 1, 2},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.1:80", 1, 1},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:80", 1, 0},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:81", 1, -1},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:443", 1, 3},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:443", 4, 10},
		{ProtoTCP, "[fd00::9]:5001", "[fd00::2]:443", 4, 3},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:444", 1, -1},
		{ProtoTCP, "[fd00::9]:5001", "[fd00::2]:444", 1, 4},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:25", 1, -1},
		{ProtoTCP, "10.0.0.9:5001", "10.0.0.2:25", 3, 5},
		{ProtoTCP, "[fd00::9]:5001", "[fd00::1]:80", 1, 9},
		{ProtoTCP, "[fd00::9]:5001", "[fd00::2]:80", 1, -1},
		{ProtoUDP, "10.0.0.9:5353", "10.0.0.1:53", 1, 7},
		{ProtoUDP, "10.0.0.9:5354", "10.0.0.1:53", 1, 8},
		{ProtoUDP, "10.0.0.9:5354", "10.0.0.2:53", 1, 6},
		{ProtoUDP, "10.0.0.9:5354", "10.0.0.1:80", 1, -1},
	} {
		got := table.find(c.proto, tuple{addrPort(c.remote), addrPort(c.local), c.ifindex})
		if got != c.want {
			t.Errorf("proto %d from %s to %s on %d: socket %d, want %d", c.proto, c.remote, c.local, c.ifindex, got, c.want)
		}
	}
	for _, bad := range []Socket{
		{Local: addrPort("0.0.0.0:80")},
		{Proto: ProtoTCP},
		{Proto: ProtoTCP, Local: addrPort("0.0.0.0:80"), Remote: addrPort("[::1]:1")},
	} {
		if _, err := NewSockets(space, []Socket{bad}); err == nil {
			t.Errorf("%+v: no error", bad)
		}
	}
}

func TestParseSockets(t *testing.T) {
	list, err := ParseSockets([]byte(`[{"proto": "tcp", "local": "[::]:80", "v6only": true, "mark": 7},
		{"proto": "UDP", "local": "10.0.0.1:53", "remote": "10.0.0.2:99", "rx_queue": 3},
		{"proto": "tcp", "local": "10.0.0.1:80", "remote": "10.0.0.2:99", "state": "time-wait", "tcp": {"SndCwnd": 10}}]`))
	if err != nil {
		t.Fatal(err)
	}
	want := []Socket{
		{Proto: ProtoTCP, Local: addrPort("[::]:80"), State: StateListen, V6Only: true, Mark: 7, RxQueue: -1, Cookie: 1},
		{Proto: ProtoUDP, Local: addrPort("10.0.0.1:53"), Remote: addrPort("10.0.0.2:99"), State: StateEstablished, RxQueue: 3, Cookie: 2},
		{Proto: ProtoTCP, Local: addrPort("10.0.0.1:80"), Remote: addrPort("10.0.0.2:99"), State: StateTimeWait, RxQueue: -1, Cookie: 3,
			TCP: TCPInfo{SndCwnd: 10}},
	}
	if !reflect.DeepEqual(list, want) {
		t.Errorf("got  %+v\nwant %+v", list, want)
	}
	for text, want := range map[string]string{
		`[{]`:                                    "offset 3: invalid character ']' looking for beginning of object key string",
		`[{"proto": "tcp", "local": "1.1.1.1:1"`: "offset 38: the text ends too early",
		`[{"proto": "sctp", "local": "1.1.1.1:1"}]`:                     `socket 0: proto: "sctp": want tcp or udp`,
		`[{"proto": "tcp", "local": "1.1.1.1"}]`:                        `socket 0: local: "1.1.1.1" is no address with a port`,
		`[{"proto": "tcp", "local": "1.1.1.1:1", "remote": "[::1]:1"}]`: "socket 0: 1.1.1.1:1 and [::1]:1 are of two families",
		`[{"proto": "tcp", "local": "1.1.1.1:1", "state": "OPEN"}]`:     `socket 0: state: unknown state "OPEN": want LISTEN, ESTAB, UNCONN, TIME-WAIT …`,
		`[{"port": 1}]`: `offset 13: json: unknown field "port"`,
	} {
		_, err := ParseSockets([]byte(text))
		var bad *SocketError
		if !errors.As(err, &bad) || bad.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

func FuzzParseSockets(f *testing.F) {
	f.Add([]byte(`[{"proto": "tcp", "local": "[::]:80", "remote": "[::1]:7", "state": "LISTEN"}]`))
	f.Fuzz(func(t *testing.T, text []byte) {
		list, err := ParseSockets(text)
		if err != nil || len(list) > 100 {
			return
		}
		space, err := mem.New(mem.Options{Size: 1 << 20})
		if err != nil {
			t.Fatal(err)
		}
		defer space.Close()
		if _, err := NewSockets(space, list); err != nil {
			t.Fatal(err)
		}
	})
}
