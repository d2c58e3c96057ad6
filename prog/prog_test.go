package prog

import (
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/mem"
)

func TestTypesTable(t *testing.T) {
	seen := map[string]bool{}
	for typ := Unspec; typ < endOwn; typ++ {
		if typ == NumTypes {
			typ = Classic
		}
		row := typ.Row()
		if row.Type != typ || row.Name == "" || seen[row.Name] {
			t.Errorf("row %d: %v %q", typ, row.Type, row.Name)
		}
		seen[row.Name] = true
		if own := typ >= Classic; typ != Unspec && own != (row.Since == (kver.Version{})) {
			t.Errorf("%v has no first kernel", typ)
		}
		if got, ok := TypeOf(row.Name); typ != Unspec && (!ok || got != typ) {
			t.Errorf("TypeOf(%q) = %v", row.Name, got)
		}
		for _, f := range row.Fields {
			if f.Unit == 0 || f.Size%f.Unit != 0 || f.Off%min(f.Unit, 4) != 0 || row.CtxSize > 0 && f.end() > row.CtxSize {
				t.Errorf("%v.%s: %+v", typ, f.Name, f)
			}
		}
		if row.Packet && row.Supported {
			for _, name := range []string{"data", "data_end"} {
				if _, ok := row.Field(name); !ok {
					t.Errorf("%v has no %s", typ, name)
				}
			}
		}
	}
	if NumTypes.Row() != Unspec.Row() || NumTypes.String() != "prog_type(33)" {
		t.Error("a type beyond the table is not Unspec's row")
	}
}

// TestFieldOffsets compares the constants with the tables.
func TestFieldOffsets(t *testing.T) {
	for name, off := range map[string]int{
		"len": SKBLen, "pkt_type": SKBPktType, "mark": SKBMark, "queue_mapping": SKBQueueMapping, "protocol": SKBProtocol,
		"vlan_present": SKBVlanPresent, "vlan_tci": SKBVlanTCI, "vlan_proto": SKBVlanProto, "priority": SKBPriority,
		"ingress_ifindex": SKBIngress, "ifindex": SKBIfindex, "tc_index": SKBTCIndex, "cb": SKBCB, "hash": SKBHash,
		"tc_classid": SKBTCClassid, "data": SKBData, "data_end": SKBDataEnd, "napi_id": SKBNapiID, "family": SKBFamily,
		"data_meta": SKBDataMeta, "flow_keys": SKBFlowKeys, "tstamp": SKBTstamp, "wire_len": SKBWireLen, "gso_segs": SKBGSOSegs,
		"sk": SKBSk, "gso_size": SKBGSOSize, "tstamp_type": SKBTstampType, "hwtstamp": SKBHwtstamp,
	} {
		if f, ok := SchedCLS.Row().Field(name); !ok || f.Off != off {
			t.Errorf("__sk_buff.%s: %d in the constants, %+v in the table", name, off, f)
		}
	}
	for name, off := range map[string]int{"data": XDPData, "data_end": XDPDataEnd, "data_meta": XDPDataMeta,
		"ingress_ifindex": XDPIngress, "rx_queue_index": XDPRxQueue, "egress_ifindex": XDPEgress} {
		if f, ok := XDP.Row().Field(name); !ok || f.Off != off {
			t.Errorf("xdp_md.%s: %d in the constants, %+v in the table", name, off, f)
		}
	}
}

func TestSections(t *testing.T) {
	tests := []struct {
		name string
		typ  Type
		at   Attach
	}{
		{"xdp", XDP, AttachXDP}, {"xdp.frags", XDP, AttachXDP}, {"xdp/devmap", XDP, AttachXDPDevmap},
		{"xdp.frags/cpumap", XDP, AttachXDPCpumap}, {"?xdp", XDP, AttachXDP}, {"xdp_prog_simple", XDP, AttachXDP},
		{"tc", SchedCLS, 0}, {"tc/egress", SchedCLS, AttachTCXEgress}, {"classifier", SchedCLS, 0},
		{"classifier/ingress", SchedCLS, 0}, {"tcx/ingress", SchedCLS, AttachTCXIngress}, {"action", SchedACT, 0},
		{"socket", SocketFilter, 0}, {"socket1", SocketFilter, 0}, {"socket_filter", SocketFilter, 0},
		{"cgroup_skb/egress", CgroupSKB, AttachCgroupInetEgress}, {"cgroup/connect4", CgroupSockAddr, AttachCgroupInet4Connect},
		{"kprobe/do_exit", Kprobe, 0}, {"kprobe.multi/x*", Kprobe, AttachTraceKprobeMulti}, {"lwt_xmit", LWTXmit, 0},
		{"fentry.s/f", Tracing, AttachTraceFentry}, {"tp/sched/x", Tracepoint, 0}, {"raw_tp/x", RawTracepoint, 0},
		{"netfilter", Netfilter, AttachNetfilter}, {"", Unspec, 0}, {"from-netdev", Unspec, 0}, {"2/1", Unspec, 0},
		{".text", Unspec, 0}, {"maps", Unspec, 0},
	}
	for _, tt := range tests {
		s, ok := SectionOf(tt.name)
		if ok != (tt.typ != Unspec) || ok && (s.Type != tt.typ || s.Attach != tt.at) {
			t.Errorf("%q: %+v", tt.name, s)
		}
		if got, _ := TypeOfSection(tt.name); got != tt.typ {
			t.Errorf("TypeOfSection(%q) = %v", tt.name, got)
		}
	}
	if _, ok := TypeOf("xdp_prog_simple"); ok {
		t.Error("TypeOf takes a name that only old loaders take")
	}
}

func TestProgramAttach(t *testing.T) {
	for _, tt := range []struct {
		section string
		typ     Type
		want    Attach
	}{{"xdp/devmap", XDP, AttachXDPDevmap}, {"filter", XDP, AttachXDP}, {"xdp", SchedCLS, 0}, {"", SkLookup, AttachSkLookup}} {
		if got := (&Program{Section: tt.section, Type: tt.typ}).Attach(); got != tt.want {
			t.Errorf("%q %v: %d", tt.section, tt.typ, got)
		}
	}
}

func TestVerdict(t *testing.T) {
	for _, tt := range []struct {
		typ  Type
		ret  uint32
		want string
	}{
		{XDP, 2, "XDP_PASS"}, {XDP, 5, "5"}, {SchedCLS, 0xffffffff, "TC_ACT_UNSPEC"}, {SchedCLS, 2, "TC_ACT_SHOT"},
		{SocketFilter, 0, "DROP"}, {SocketFilter, 0xffffffff, "ACCEPT 4294967295"}, {LWTXmit, 128, "BPF_LWT_REROUTE"},
		{SchedACT, 0xfffffffe, "-2"}, {Classic, 0, "DROP"}, {Classic, 96, "ACCEPT 96"}, {Seccomp, 0x7fff0000, "2147418112"},
	} {
		if got := tt.typ.Verdict(tt.ret); got != tt.want {
			t.Errorf("%v %#x: %q, want %q", tt.typ, tt.ret, got, tt.want)
		}
	}
}

func TestAccess(t *testing.T) {
	newest := kver.V(6, 18)
	for _, tt := range []struct {
		typ       Type
		off, size int
		write     bool
		at        Attach
		kernel    kver.Version
		want      bool
	}{
		{XDP, 0, 4, false, AttachXDP, newest, true},
		{XDP, 0, 8, false, AttachXDP, newest, false},
		{XDP, 0, 4, true, AttachXDP, newest, false},
		{XDP, 20, 4, false, AttachXDP, newest, false},
		{XDP, 20, 4, false, AttachXDPDevmap, newest, true},
		{XDP, 20, 4, false, AttachXDPDevmap, kver.V(5, 7), false},
		{SchedCLS, 8, 4, true, 0, newest, true},        // mark
		{SchedCLS, 9, 1, false, 0, newest, true},       // a byte of it
		{SchedCLS, 9, 1, true, 0, newest, false},       //
		{SchedCLS, 48, 8, true, 0, newest, true},       // cb
		{SchedCLS, 64, 8, true, 0, newest, false},      // past its end
		{SchedCLS, 88, 4, false, 0, newest, false},     // family
		{SocketFilter, 76, 4, false, 0, newest, false}, // data
		{SocketFilter, 0, 4, false, 0, newest, true},
		{CgroupSKB, 152, 8, true, 0, newest, true}, // tstamp
	} {
		if _, got := tt.typ.Row().Access(tt.off, tt.size, tt.write, tt.at, tt.kernel); got != tt.want {
			t.Errorf("%v off %d size %d write %v attach %d on %v: %v", tt.typ, tt.off, tt.size, tt.write, tt.at, tt.kernel, got)
		}
	}
}

func newSpace(t testing.TB, shadow bool) *mem.Space {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 24, Shadow: shadow})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

func TestBufferRoundTrip(t *testing.T) {
	packet := []byte("\x02\x00\x00\x00\x00\x01\x02\x00\x00\x00\x00\x02\x86\xddpayload")
	for typ := Unspec; typ < NumTypes; typ++ {
		if !typ.Row().Packet {
			continue
		}
		s := newSpace(t, true)
		b, err := NewBuffer(s, typ, 0)
		if err != nil {
			t.Fatal(typ, err)
		}
		in := Input{Time: 5, Number: 6, WireLen: 100, Ifindex: 7, RxQueue: 2, Mark: 9, CB: [5]uint32{1, 2, 3, 4, 5}}
		var out Output
		if err := b.Set(packet, &in); err != nil || !b.Read(&out) {
			t.Fatal(typ, err)
		}
		if string(out.Data) != string(packet) || len(out.Meta) != 0 || out.Time != 5 || out.Number != 6 || out.WireLen != 100 {
			t.Errorf("%v: %+v", typ, out)
		}
		offData, _, _ := typ.DataOffsets()
		data := s.Load32(b.Ctx() + offData)
		if !s.RangeWritable(data, uint32(len(packet))) || s.Readable(data-1, 1) || s.Readable(data+uint32(len(packet)), 1) {
			t.Errorf("%v: wrong bytes are accessible", typ)
		}
		if typ != XDP && (out.Mark != 9 || out.CB != in.CB || out.QueueMapping != 3) {
			t.Errorf("%v: %+v", typ, out)
		}
		inUse := s.InUse()
		b.Free()
		if s.InUse() >= inUse {
			t.Errorf("%v: Free gives nothing back", typ)
		}
	}
}

func TestProtocol(t *testing.T) {
	eth := func(typ string) string { return strings.Repeat("\x00", 12) + typ }
	for _, tt := range []struct {
		typ    Type
		packet string
		in     Input
		want   uint64
	}{
		{SchedCLS, eth("\x08\x00rest"), Input{}, 0x0008},
		{SchedCLS, eth("\x86\xddrest"), Input{}, 0xdd86},
		{SchedCLS, eth("\x00\x40\xaa\xaa"), Input{}, 0x0400}, // a length: ETH_P_802_2
		{SchedCLS, eth("\x00\x40\xff\xff"), Input{}, 0x0100}, // ETH_P_802_3
		{SchedCLS, "short", Input{}, 0},
		{SchedCLS, eth("\x08\x00"), Input{Protocol: 0x8100}, 0x0081},
		{CgroupSKB, "\x45", Input{}, 0x0008},
		{LWTXmit, "\x60", Input{}, 0xdd86},
		{CgroupSKB, "", Input{}, 0},
	} {
		b, err := NewBuffer(newSpace(t, false), tt.typ, 0)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.Set([]byte(tt.packet), &tt.in); err != nil {
			t.Fatal(err)
		}
		if got := ReadCtx(b.space, b.ctx, tt.typ, nil)["protocol"]; got != tt.want {
			t.Errorf("%v %x: protocol %#x, want %#x", tt.typ, tt.packet, got, tt.want)
		}
	}
}

func TestBufferLimits(t *testing.T) {
	s := newSpace(t, false)
	if _, err := NewBuffer(s, Kprobe, 0); err == nil {
		t.Error("a buffer for kprobes")
	}
	if _, err := NewBuffer(s, XDP, 100); err == nil {
		t.Error("a buffer without room for a packet")
	}
	b, err := NewBuffer(s, XDP, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.MaxLen() != 3520 { // what BPF_PROG_TEST_RUN takes without fragments
		t.Errorf("MaxLen %d", b.MaxLen())
	}
	if b.Set(make([]byte, 3520), &Input{}) != nil || b.Set(make([]byte, 3521), &Input{}) == nil {
		t.Error("the limit is elsewhere")
	}
}

func TestReadFrameOfNonsense(t *testing.T) {
	s := newSpace(t, false)
	b, err := NewBuffer(s, XDP, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range [][3]uint32{{100, 50, 100}, {1 << 31, 1<<31 + 5, 0}, {1000, 1 << 30, 1000}, {1 << 30, 1 << 30, 1}} {
		s.Store32(b.ctx+XDPData, v[0])
		s.Store32(b.ctx+XDPDataEnd, v[1])
		s.Store32(b.ctx+XDPDataMeta, v[2])
		var out Output
		if b.Read(&out) {
			t.Errorf("data %#x end %#x meta %#x is a packet", v[0], v[1], v[2])
		}
	}
}

func TestCtxByName(t *testing.T) {
	s := newSpace(t, false)
	b, err := NewBuffer(s, SchedCLS, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Set(make([]byte, 60), &Input{}); err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	src := `{"mark": 7, "priority": "0xffffffff", "cb": [1, 2, 3], "tstamp": "1700000000000000001", "queue_mapping": -1}`
	if err := json.Unmarshal([]byte(src), &fields); err != nil {
		t.Fatal(err)
	}
	if err := WriteCtx(s, b.ctx, SchedCLS, fields, nil); err != nil {
		t.Fatal(err)
	}
	got := ReadCtx(s, b.ctx, SchedCLS, nil)
	want := map[string]any{"mark": uint64(7), "priority": uint64(0xffffffff), "cb": []uint64{1, 2, 3, 0, 0},
		"tstamp": uint64(1700000000000000001), "queue_mapping": uint64(0xffffffff), "len": uint64(60)}
	for name, v := range want {
		if !reflect.DeepEqual(got[name], v) {
			t.Errorf("%s: %v, want %v", name, got[name], v)
		}
	}
	for _, name := range []string{"data", "sk", "family"} {
		if slices.Contains(slices.Collect(maps.Keys(got)), name) {
			t.Errorf("%s can be read", name)
		}
	}
}

func TestCtxErrors(t *testing.T) {
	s := newSpace(t, false)
	b, err := NewBuffer(s, SchedCLS, 0)
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		v    any
		want string
	}{
		"nope": {1.0, "no such field"}, "data": {1.0, "pointer"}, "mark": {4294967296.0, "32 bits"}, "cb": {[]any{1.0, 1.0, 1.0, 1.0, 1.0, 1.0}, "6 values for 5"},
		"priority": {"x", "no number"}, "tc_index": {1.5, "no integer"}, "hash": {nil, "no number"}, "tc_classid": {[]any{1.0}, "1 values"},
	} {
		err := WriteCtx(s, b.ctx, SchedCLS, map[string]any{name: tt.v}, nil)
		var ce *CtxError
		if !errors.As(err, &ce) || ce.Field != name || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s = %v: %v", name, tt.v, err)
		}
	}
}

func TestFramesDoNotAllocate(t *testing.T) {
	for _, typ := range []Type{XDP, SchedCLS} {
		b, err := NewBuffer(newSpace(t, false), typ, 0)
		if err != nil {
			t.Fatal(err)
		}
		packet, in, out := make([]byte, 64), Input{}, Output{}
		if n := testing.AllocsPerRun(100, func() {
			_ = b.Set(packet, &in)
			b.Read(&out)
		}); n != 0 {
			t.Errorf("%v: %v allocations a packet", typ, n)
		}
	}
}

func TestLineAt(t *testing.T) {
	p := &Program{Lines: []Line{{PC: 2, Line: 10}, {PC: 5, Line: 11}}}
	for pc, want := range map[int]int{0: 0, 2: 10, 4: 10, 5: 11, 99: 11} {
		got := 0
		if l := p.LineAt(pc); l != nil {
			got = l.Line
		}
		if got != want {
			t.Errorf("pc %d: line %d, want %d", pc, got, want)
		}
	}
}

func BenchmarkSetFrame(b *testing.B) {
	for _, typ := range []Type{XDP, SchedCLS} {
		b.Run(typ.String(), func(b *testing.B) {
			s := newSpace(b, false)
			in := Input{}
			for b.Loop() {
				SetFrame(s, 0x10040, typ, 0x20000, 0x20100, 0x20140, 0x21000, &in)
			}
		})
	}
}

// TestClassicFrame reads back what SetFrame and SetClassicData write.
func TestClassicFrame(t *testing.T) {
	s, err := mem.New(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	b, err := NewBuffer(s, Classic, 0)
	if err != nil {
		t.Fatal(err)
	}
	if b.MaxLen() != 1<<18 {
		t.Errorf("holds %d bytes", b.MaxLen())
	}
	in := Input{WireLen: 1500, NetOff: 14, Protocol: 0x800, PktType: 1, Ifindex: 2, Mark: 3, RxQueue: 4, HaType: 6, Hash: 7, CPU: 8,
		VlanTCI: 9, VlanPresent: true, VlanProto: 0x8100, PayOffset: 54}
	if err := b.Set(make([]byte, 60), &in); err != nil {
		t.Fatal(err)
	}
	want := map[string]uint32{"wire_len": 1500, "net_off": 14, "protocol": 0x800, "pkt_type": 1, "ifindex": 2, "mark": 3, "queue": 5,
		"hatype": 6, "hash": 7, "cpu": 8, "vlan_tci": 9, "vlan_present": 1, "vlan_proto": 0x8100, "pay_offset": 54}
	check := func() {
		t.Helper()
		for name, v := range want {
			f, ok := Classic.Row().Field(name)
			if !ok || s.Load32(b.Ctx()+uint32(f.Off)) != v {
				t.Errorf("%s: %+v, want %d", name, f, v)
			}
		}
	}
	check()
	data := s.Load32(b.Ctx() + ClassicData)
	if end := s.Load32(b.Ctx() + ClassicDataEnd); end != data+60 {
		t.Errorf("data %#x to %#x", data, end)
	}
	SetClassicData(s, b.Ctx(), data+1, data+9, 70)
	want["wire_len"] = 70
	check()
	var out Output
	if !b.Read(&out) || len(out.Data) != 8 || out.WireLen != 1500 {
		t.Errorf("%+v", out)
	}
}
