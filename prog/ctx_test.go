package prog

import (
	"bytes"
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"testing"

	"github.com/skepvm/skep/mem"
)

// oneSocket is a table with a socket at 0x1000, cookie 7.
type oneSocket struct{}

func (oneSocket) SocketAddr(cookie uint64) (uint32, bool) { return 0x1000, cookie == 7 }
func (oneSocket) SocketCookie(addr uint32) (uint64, bool) { return 7, addr == 0x1000 }

func smallSpace(t testing.TB) *mem.Space {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// Hidden fields are behind the ctx, and where helpers look for them.
func TestHiddenFields(t *testing.T) {
	for _, row := range Types {
		for i, f := range row.Hidden {
			if f.Off < row.CtxSize || f.Size%f.Unit != 0 {
				t.Errorf("%s: hidden field %s at %d, the ctx has %d bytes", row.Name, f.Name, f.Off, row.CtxSize)
			}
			for _, g := range row.Hidden[:i] {
				if f.Off < g.end() && g.Off < f.end() && !strings.Contains(f.Name, "ipv6") {
					t.Errorf("%s: hidden fields %s and %s overlap", row.Name, f.Name, g.Name)
				}
				if f.Name == g.Name {
					t.Errorf("%s: two fields %s", row.Name, f.Name)
				}
			}
			for _, g := range row.Fields {
				if f.Name == g.Name {
					t.Errorf("%s: %s is a field of the ctx as well", row.Name, f.Name)
				}
			}
		}
	}
	for _, c := range []struct {
		t    Type
		name string
		off  int
	}{
		{XDP, "linear", XDPLinear}, {XDP, "frag_count", XDPFragCount}, {XDP, "frag_table", XDPFragTable}, {XDP, "rx_hash", XDPRxHash},
		{XDP, "rx_hash_type", XDPRxType}, {XDP, "rx_vlan_proto", XDPRxVLAN}, {XDP, "rx_vlan_tci", XDPRxTCI}, {SkReuseport, "selected", ReuseportSelected}, {SkReuseport, "packet", ReuseportPacket}, {SkReuseport, "packet_end", ReuseportEnd},
		{SkReuseport, "net", ReuseportNet}, {SkMsg, "apply_bytes", MsgApply}, {SkMsg, "cork_bytes", MsgCork}, {SkMsg, "begin", MsgBegin},
		{SkMsg, "end", MsgEnd}, {SkMsg, "sg", MsgSG}, {SockOps, "remaining_opt_len", SockOpsOptLen},
		{SockOps, "reserved_opt_len", SockOpsReserved}, {SockOps, "syn_len", SockOpsSynLen}, {SockOps, "syn", SockOpsSyn},
		{CgroupSockAddr, "retval", SockAddrRetval}, {CgroupSockAddr, "bound_port", SockAddrBoundPort},
		{CgroupSockAddr, "bound_ip4", SockAddrBoundIP4}, {CgroupSockAddr, "bound_ip6", SockAddrBoundIP6},
		{CgroupSockAddr, "sun_path_len", SockAddrSunLen}, {CgroupSockAddr, "sun_path", SockAddrSunPath},
		{CgroupSock, "retval", CgroupSockRetval}, {CgroupDevice, "retval", CgroupDeviceRetval}, {CgroupSysctl, "retval", SysctlRetval},
		{CgroupSysctl, "updated", SysctlUpdated}, {CgroupSysctl, "new_len", SysctlNewLen}, {CgroupSysctl, "name", SysctlName},
		{CgroupSysctl, "value", SysctlValue}, {CgroupSysctl, "new_value", SysctlNew}, {FlowDissector, "flow_keys.nhoff", FlowKeysOff},
	} {
		if f, ok := c.t.Row().Field(c.name); !ok || f.Off != c.off {
			t.Errorf("%s.%s: %d in the constants, %+v in the table", c.t, c.name, c.off, f)
		}
	}
	if size := flowKeysFields[len(flowKeysFields)-1].end(); size != SizeofFlowKeys {
		t.Errorf("struct bpf_flow_keys has %d bytes", size)
	}
}

// Every type with Supported gets a ctx, which takes what ReadCtx gives and is then the same.
func TestEveryCtxRoundTrips(t *testing.T) {
	s := smallSpace(t)
	for _, row := range Types {
		b, err := NewBuffer(s, row.Type, 0)
		if !row.Supported {
			if err == nil {
				t.Errorf("%s: a buffer of a type that does not run", row.Name)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", row.Name, err)
			continue
		}
		if err := b.Set(nil, &Input{}); err != nil {
			t.Fatal(err)
		}
		first := ReadCtx(s, b.Ctx(), row.Type, oneSocket{})
		want := map[string]any{}
		for name, v := range first {
			f, _ := row.Field(name)
			switch v := v.(type) {
			case uint64:
				want[name] = uint64(7)
			case string:
				want[name] = "bee"
			case []uint64:
				for i := range v {
					v[i] = uint64(i) + 1
				}
				want[name] = v
			default:
				t.Errorf("%s.%s is a %T, offset %d", row.Name, name, v, f.Off)
			}
		}
		for name, v := range want { // fields overlap, so one at a time
			if err := WriteCtx(s, b.Ctx(), row.Type, map[string]any{name: v}, oneSocket{}); err != nil {
				t.Errorf("%s.%s: %v", row.Name, name, err)
			}
			if got := ReadCtx(s, b.Ctx(), row.Type, oneSocket{})[name]; !reflect.DeepEqual(got, v) {
				t.Errorf("%s.%s: %v came back as %v", row.Name, name, v, got)
			}
		}
		b.Free()
	}
}

// What one run left of a ctx is not seen by the next.
func TestBufferIsCleared(t *testing.T) {
	s := smallSpace(t)
	for _, typ := range []Type{CgroupSysctl, SkMsg, SockOps, SkLookup, Syscall} {
		b, err := NewBuffer(s, typ, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Set(nil, &Input{}); err != nil {
			t.Fatal(err)
		}
		frame, _ := s.Bytes(b.Ctx(), uint32(typ.Row().FrameSize()))
		before := bytes.Clone(frame)
		for i := range frame {
			frame[i] = 0xee
		}
		if err := b.Set(nil, &Input{}); err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(frame, before) {
			t.Errorf("%s: the ctx still has parts of what was there", typ)
		}
	}
}

func TestCtxValues(t *testing.T) {
	s := smallSpace(t)
	b, err := NewBuffer(s, SkLookup, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		v    any
		want any
		err  string
	}{
		{"local_ip4", "10.0.0.1", uint64(0x0100000a), ""},
		{"local_ip6", "fd00::1", []uint64{0xfd, 0, 0, 0x01000000}, ""},
		{"local_ip6", "10.0.0.1", nil, `ctx field "local_ip6" of bpf_sk_lookup: "10.0.0.1" is no number`},
		{"local_ip4", "fd00::1", nil, `ctx field "local_ip4" of bpf_sk_lookup: "fd00::1" is no number`},
		{"remote_port", "htons(80)", uint64(0x5000), ""},
		{"remote_port", "htons(65536)", nil, `ctx field "remote_port" of bpf_sk_lookup: "htons(65536)": want a number of 16 bits`},
		{"local_ip6", []any{1, 2, 3, 4, 5}, nil, `ctx field "local_ip6" of bpf_sk_lookup: 5 values for 4`},
		{"sk", 7, uint64(7), ""},
		{"sk", 0, uint64(0), ""},
		{"sk", 8, nil, `ctx field "sk" of bpf_sk_lookup: there is no socket with cookie 8`},
		{"sk", "x", nil, `ctx field "sk" of bpf_sk_lookup: "x" is no number`},
	} {
		err := WriteCtx(s, b.Ctx(), SkLookup, map[string]any{c.name: c.v}, oneSocket{})
		switch {
		case c.err != "":
			var bad *CtxError
			if !errors.As(err, &bad) || err.Error() != c.err {
				t.Errorf("%s %v: %v, want %s", c.name, c.v, err, c.err)
			}
			continue
		case err != nil:
			t.Errorf("%s %v: %v", c.name, c.v, err)
			continue
		}
		if got := ReadCtx(s, b.Ctx(), SkLookup, oneSocket{})[c.name]; !reflect.DeepEqual(got, c.want) {
			t.Errorf("%s %v: %v, want %v", c.name, c.v, got, c.want)
		}
		if same, err := SkLookup.SameField(c.name, c.want, c.v); !same || err != nil {
			t.Errorf("%s: %v and %v are not the same: %v", c.name, c.want, c.v, err)
		}
		if same, err := SkLookup.SameField(c.name, c.want, 9); same || err != nil {
			t.Errorf("%s: %v is 9: %v", c.name, c.want, err)
		}
	}
	if err := WriteCtx(s, b.Ctx(), SkLookup, map[string]any{"sk": 7}, nil); err == nil {
		t.Error("a socket without a table")
	}
}

// sysctlCtx is a ctx as Go programs may describe it.
type sysctlCtx struct {
	Write    uint32
	FilePos  uint32
	Name     string
	NewValue string
	Retval   int32
	private  int
}

type lookupCtx struct {
	Family     uint32
	LocalIP6   netip.Addr
	RemoteIP4  netip.Addr
	LocalPort  uint16
	Cookie     uint64 `ctx:"sk"`
	RemoteIP6  [4]uint32
	ZeroStays  []uint32
	RemotePort uint16
}

func TestCtxFromStruct(t *testing.T) {
	s := smallSpace(t)
	b, err := NewBuffer(s, CgroupSysctl, 0)
	if err != nil {
		t.Fatal(err)
	}
	in := sysctlCtx{Write: 1, FilePos: 3, Name: "net/ipv4/ip_forward", NewValue: "1", Retval: -1, private: 5}
	fields, err := CtxFields(&in)
	if err != nil {
		t.Fatal(err)
	}
	if err := WriteCtx(s, b.Ctx(), CgroupSysctl, fields, nil); err != nil {
		t.Fatal(err)
	}
	out := sysctlCtx{private: 5}
	if err := SetFields(&out, ReadCtx(s, b.Ctx(), CgroupSysctl, nil)); err != nil || out != in {
		t.Errorf("got %+v, want %+v: %v", out, in, err)
	}
	l, err := NewBuffer(s, SkLookup, 0)
	if err != nil {
		t.Fatal(err)
	}
	want := lookupCtx{Family: 10, LocalIP6: netip.MustParseAddr("fd00::1"), RemoteIP4: netip.MustParseAddr("10.0.0.1"), LocalPort: 80,
		Cookie: 7, RemoteIP6: [4]uint32{1, 2, 3, 4}, RemotePort: 0x5000}
	if fields, err = CtxFields(want); err != nil {
		t.Fatal(err)
	}
	if err := WriteCtx(s, l.Ctx(), SkLookup, fields, oneSocket{}); err != nil {
		t.Fatal(err)
	}
	var got lookupCtx
	if err := SetFields(&got, ReadCtx(s, l.Ctx(), SkLookup, oneSocket{})); err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v: %v", got, want, err)
	}
	for _, bad := range []any{5, struct{ A chan int }{make(chan int)}, struct{ A []string }{[]string{"x"}}} {
		if _, err := CtxFields(bad); err == nil {
			t.Errorf("%T is a ctx", bad)
		}
	}
	if err := SetFields(got, nil); err == nil {
		t.Error("fields of a struct that is no pointer")
	}
	if err := SetFields(&struct{ Write string }{}, map[string]any{"write": uint64(1)}); err == nil {
		t.Error("a number in a string")
	}
	if err := SetFields(&struct{ Write uint8 }{}, map[string]any{"write": uint64(256)}); err == nil {
		t.Error("256 in a byte")
	}
}

// FuzzCtx writes JSON of any kind into the ctx of every type: an error or not, but no panic, and what is there can be read back and
// written again.
func FuzzCtx(f *testing.F) {
	for _, text := range []string{`{"mark": 5, "cb": [1, 2]}`, `{"name": "a/b", "write": true}`, `{"local_ip6": "::1", "sk": 7}`,
		`{"sg": [1, 2], "size": "0x10"}`, `{"flow_keys.flags": 1, "data": 1}`, `{"remote_port": "htons(1)", "syn": [1.5]}`, `{"x": {}}`} {
		f.Add([]byte(text))
	}
	s := smallSpace(f)
	var buffers []*Buffer
	for _, row := range Types {
		if row.Supported {
			b, err := NewBuffer(s, row.Type, 0)
			if err != nil {
				f.Fatal(err)
			}
			buffers = append(buffers, b)
		}
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		var fields map[string]any
		if json.Unmarshal(text, &fields) != nil {
			return
		}
		for _, b := range buffers {
			if err := b.Set(nil, &Input{}); err != nil {
				t.Fatal(err)
			}
			var bad *CtxError
			if err := WriteCtx(s, b.Ctx(), b.Type(), fields, oneSocket{}); err != nil && !errors.As(err, &bad) {
				t.Fatalf("%s: %T", b.Type(), err)
			}
			for name, v := range ReadCtx(s, b.Ctx(), b.Type(), oneSocket{}) {
				if err := WriteCtx(s, b.Ctx(), b.Type(), map[string]any{name: v}, oneSocket{}); err != nil {
					t.Fatalf("%s: %v of what was read", b.Type(), err)
				}
			}
		}
	})
}
