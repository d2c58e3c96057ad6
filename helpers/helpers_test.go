package helpers

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// bed is a machine to call helpers on, with some memory for arguments.
type bed struct {
	t   testing.TB
	e   *Env
	buf *prog.Buffer
	mem uint32
}

func newBed(t testing.TB, typ prog.Type) *bed {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	buf, err := prog.NewBuffer(s, typ, 0)
	if err != nil {
		t.Fatal(err)
	}
	addr, err := s.Alloc(1<<16, 8)
	if err != nil {
		t.Fatal(err)
	}
	b := &bed{t: t, buf: buf, mem: addr,
		e: &Env{Space: s, Maps: maps.NewTable(s), NumCPUs: 2, Type: typ, Ctx: buf.Ctx()}}
	b.packet(make([]byte, 60))
	return b
}

func (b *bed) packet(p []byte) {
	b.t.Helper()
	if err := b.buf.Set(p, &prog.Input{Ifindex: 3, Time: 12_345_678_901, Number: 1}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bed) put(off uint32, data []byte) uint64 {
	copy(b.e.bytes(b.mem+off, uint32(len(data))), data)
	return uint64(b.mem + off)
}

func (b *bed) str(off uint32, s string) uint64 { return b.put(off, append([]byte(s), 0)) }

func (b *bed) call(name string, args ...uint64) int64 {
	b.t.Helper()
	r, ok := ByName("bpf_" + name)
	if !ok || r.Fn == nil {
		b.t.Fatalf("no helper %s", name)
	}
	var a [5]uint64
	copy(a[:], args)
	r0, err := r.Fn(b.e, a[0], a[1], a[2], a[3], a[4])
	if err != nil {
		b.t.Fatalf("%s: %v", name, err)
	}
	return int64(r0)
}

func (b *bed) newMap(spec maps.Spec) maps.Map {
	b.t.Helper()
	spec.LockOff, spec.TimerOff = -1, -1
	m, err := maps.New(b.e.Space, &spec, maps.Options{CPUs: 2})
	if err != nil {
		b.t.Fatal(err)
	}
	b.e.Maps.Add(m)
	return m
}

const (
	eNOENT = -int64(maps.ENOENT)
	eINVAL = -int64(maps.EINVAL)
	e2BIG  = -int64(maps.E2BIG)
	eAGAIN = -int64(maps.EAGAIN)
)

// TestPrintf: what lib/vsprintf.c of the kernel prints, with addresses in place of their hashes.
func TestPrintf(t *testing.T) {
	b := newBed(t, prog.XDP)
	str := b.str(1024, "hello")
	ip := b.put(2048, []byte{192, 0, 2, 7, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 1})
	neg := ^uint64(4) // -5
	tests := []struct {
		format string
		args   []uint64
		want   string // "!" is EINVAL
	}{
		{"plain\n", nil, "plain"},
		{"%d %u %x", []uint64{neg, neg, 255}, "-5 4294967291 ff"},
		{"%ld %lu %llx", []uint64{neg, neg, 1 << 40}, "-5 18446744073709551611 10000000000"},
		{"%lld|%X|%i", []uint64{1 << 40, 0xabc, 7}, "1099511627776|ABC|7"},
		{"[%5d] [%-5d] [%05d]", []uint64{42, 42, neg}, "[   42] [42   ] [-0005]"},
		{"%+d % d %c", []uint64{1, 2, 'x'}, "+1  2 x"},
		{"100%% %s!", []uint64{str}, "100% hello!"},
		{"%8s|%-8s|", []uint64{str, str}, "   hello|hello   |"},
		{"%pks", []uint64{str}, "hello"},
		{"%p %px", []uint64{0x1000, 0x2000}, "0000000000001000 0000000000002000"},
		{"%pS", []uint64{0x1000}, "0x1000"},
		{"%pI4 %pi4", []uint64{ip, ip}, "192.0.2.7 192.000.002.007"},
		{"%pI6 %pi6", []uint64{ip, ip}, "c000:0207:2001:0db8:0000:0000:0000:0001 c000020720010db80000000000000001"},
		{"%", nil, "!"},
		{"%d %d %d %d", []uint64{1, 2, 3}, "!"},
		{"%f", []uint64{1}, "!"},
		{"%#x", []uint64{1}, "!"},
		{"%sx", []uint64{str}, "!"},
		{"%hd", []uint64{1}, "!"},
		{"%pI5", []uint64{1}, "!"},
		{"bell\a", nil, "!"},
		{"caf\xc3\xa9 %d", []uint64{1}, "caf\xc3\xa9 1"},
	}
	for _, tt := range tests {
		got := "!"
		b.e.Trace = func(line string) { got = line }
		args := append([]uint64{b.str(0, tt.format), uint64(len(tt.format) + 1)}, tt.args...)
		n := b.call("trace_printk", args...)
		if got != tt.want {
			t.Errorf("%q %v: %q, want %q", tt.format, tt.args, got, tt.want)
		}
		if tt.want == "!" && n != eINVAL {
			t.Errorf("%q: %d, want EINVAL", tt.format, n)
		}
		if tt.want == "!" || tt.args == nil {
			continue
		}
		raw := make([]byte, 8*len(tt.args))
		for i, a := range tt.args {
			for j := range 8 {
				raw[8*i+j] = byte(a >> (8 * j))
			}
		}
		got = "!"
		b.call("trace_vprintk", args[0], args[1], b.put(4096, raw), uint64(len(raw)))
		if got != tt.want {
			t.Errorf("vprintk %q: %q, want %q", tt.format, got, tt.want)
		}
		dst := b.mem + 8192
		m := b.call("snprintf", uint64(dst), 6, args[0], uint64(b.mem+4096), uint64(len(raw)))
		text := append([]byte(tt.want[:min(5, len(tt.want))]), 0)
		if out := b.e.bytes(dst, uint32(len(text))); m != int64(len(tt.want)+1) || !bytes.Equal(out, text) {
			t.Errorf("snprintf %q: %d %q", tt.format, m, out)
		}
	}
}

func TestPrintfNeedsZero(t *testing.T) {
	b := newBed(t, prog.XDP)
	if got := b.call("trace_printk", b.put(0, []byte("abcd")), 4); got != eINVAL {
		t.Errorf("format without a final zero: %d", got)
	}
	if got := b.call("trace_vprintk", b.str(0, "%d"), 3, 0, 8); got != eINVAL {
		t.Errorf("NULL array of 8 bytes: %d", got)
	}
}

func TestMapHelpers(t *testing.T) {
	b := newBed(t, prog.XDP)
	m := b.newMap(maps.Spec{Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	h, k1, k2 := uint64(m.Handle()), b.put(0, []byte{1, 0, 0, 0}), b.put(8, []byte{2, 0, 0, 0})
	v := b.put(16, []byte{1, 2, 3, 4, 5, 6, 7, 8})
	steps := []struct {
		name string
		args []uint64
		want int64
	}{
		{"map_lookup_elem", []uint64{h, k1}, 0},
		{"map_delete_elem", []uint64{h, k1}, eNOENT},
		{"map_update_elem", []uint64{h, k1, v, maps.Exist}, eNOENT},
		{"map_update_elem", []uint64{h, k1, v, maps.Any}, 0},
		{"map_update_elem", []uint64{h, k2, v, maps.Any}, e2BIG},
		{"map_delete_elem", []uint64{h, k1}, 0},
	}
	for _, s := range steps {
		if got := b.call(s.name, s.args...); got != s.want {
			t.Errorf("%s %v: %d, want %d", s.name, s.args, got, s.want)
		}
	}
	q := b.newMap(maps.Spec{Type: maps.Queue, ValueSize: 8, MaxEntries: 2})
	if got := b.call("map_push_elem", uint64(q.Handle()), v, 0); got != 0 {
		t.Errorf("push: %d", got)
	}
	if got := b.call("map_pop_elem", uint64(q.Handle()), uint64(b.mem+64)); got != 0 || b.e.Space.Load8(b.mem+71) != 8 {
		t.Errorf("pop: %d", got)
	}
	if got := b.call("map_peek_elem", uint64(q.Handle()), uint64(b.mem+64)); got != eNOENT {
		t.Errorf("peek at an empty queue: %d", got)
	}
}

func TestPerCPULookup(t *testing.T) {
	b := newBed(t, prog.XDP)
	m := b.newMap(maps.Spec{Type: maps.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	key := b.put(0, make([]byte, 4))
	own, first := b.call("map_lookup_elem", uint64(m.Handle()), key), b.call("map_lookup_percpu_elem", uint64(m.Handle()), key, 0)
	second, none := b.call("map_lookup_percpu_elem", uint64(m.Handle()), key, 1), b.call("map_lookup_percpu_elem", uint64(m.Handle()), key, 2)
	if own == 0 || own != first || second == 0 || second == first || none != 0 {
		t.Errorf("%#x %#x %#x %#x", own, first, second, none)
	}
}

func TestBadArgumentsAreErrors(t *testing.T) {
	b := newBed(t, prog.XDP)
	m := b.newMap(maps.Spec{Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1})
	for _, tt := range []struct {
		name string
		args [5]uint64
		arg  int
	}{
		{"map_lookup_elem", [5]uint64{12345}, 1},
		{"map_lookup_elem", [5]uint64{uint64(m.Handle()), 1<<32 - 2}, 2},
		{"map_push_elem", [5]uint64{uint64(m.Handle())}, 1},
		{"ringbuf_output", [5]uint64{uint64(m.Handle())}, 1},
		{"ringbuf_submit", [5]uint64{uint64(b.mem)}, 1},
		{"redirect_map", [5]uint64{uint64(m.Handle())}, 1},
		{"xdp_adjust_head", [5]uint64{uint64(b.mem)}, 1},
		{"csum_diff", [5]uint64{0, 0, uint64(b.mem), 1 << 30}, 4},
	} {
		r, _ := ByName("bpf_" + tt.name)
		_, err := r.Fn(b.e, tt.args[0], tt.args[1], tt.args[2], tt.args[3], tt.args[4])
		if ae, ok := err.(*ArgError); !ok || ae.Arg != tt.arg {
			t.Errorf("%s: %v, want a complaint about argument %d", tt.name, err, tt.arg)
		}
	}
}

func TestRingBuffer(t *testing.T) {
	b := newBed(t, prog.XDP)
	m := b.newMap(maps.Spec{Type: maps.RingBuf, MaxEntries: 4096})
	h := uint64(m.Handle())
	if got := b.call("ringbuf_output", h, b.str(0, "one"), 3, 0); got != 0 {
		t.Errorf("output: %d", got)
	}
	rec := b.call("ringbuf_reserve", h, 8, 0)
	drop := b.call("ringbuf_reserve", h, 8, 0)
	if rec == 0 || drop == 0 {
		t.Fatalf("reserve: %#x %#x", rec, drop)
	}
	b.e.Space.Store64(uint32(rec), 0x6f7774)
	b.call("ringbuf_submit", uint64(rec), 0)
	b.call("ringbuf_discard", uint64(drop), 0)
	if got := b.call("ringbuf_query", h, maps.RingAvailData); got != 16+16+16 {
		t.Errorf("available: %d", got)
	}
	for _, tt := range []struct{ got, want int64 }{
		{b.call("ringbuf_output", h, uint64(b.mem), 3, 4), eINVAL},
		{b.call("ringbuf_output", h, uint64(b.mem), 4096, 0), eAGAIN},
		{b.call("ringbuf_reserve", h, 8, 1), 0},
	} {
		if tt.got != tt.want {
			t.Errorf("%d, want %d", tt.got, tt.want)
		}
	}
	var got []string
	for s := range m.(*maps.Ring).Read() {
		got = append(got, string(bytes.TrimRight(s, "\x00")))
	}
	if fmt.Sprint(got) != "[one two]" {
		t.Errorf("records %q", got)
	}
}

func TestPerfEventOutput(t *testing.T) {
	b := newBed(t, prog.XDP)
	m := b.newMap(maps.Spec{Type: maps.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 2})
	b.packet([]byte("0123456789abcdef"))
	var got string
	b.e.Event = func(_ maps.Map, cpu int, data []byte) { got = fmt.Sprint(cpu, " ", string(data)) }
	b.e.CPU = 1
	meta := b.str(0, "meta")
	h := uint64(m.Handle())
	for _, tt := range []struct {
		flags uint64
		ret   int64
		want  string
	}{
		{eventCurrentCPU, 0, "1 meta"},
		{eventCurrentCPU | 4<<32, 0, "1 meta0123"},
		{1 | 16<<32, 0, "1 meta0123456789abcdef"},
		{0, -95, ""}, // EOPNOTSUPP: the event of another CPU
		{17 << 32, -int64(errFault), ""},
		{2, e2BIG, ""},
		{1 << 52, eINVAL, ""},
	} {
		got = ""
		if ret := b.call("perf_event_output", uint64(b.e.Ctx), h, tt.flags, meta, 4); ret != tt.ret || got != tt.want {
			t.Errorf("flags %#x: %d %q, want %d %q", tt.flags, ret, got, tt.ret, tt.want)
		}
	}
}

func TestRedirectMap(t *testing.T) {
	b := newBed(t, prog.XDP)
	dev := b.newMap(maps.Spec{Name: "dev", Type: maps.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	if err := dev.HostUpdate([]byte{2, 0, 0, 0}, []byte{7, 0, 0, 0}, 0); err != nil {
		t.Fatal(err)
	}
	h := dev.Handle()
	for _, tt := range []struct {
		key, flags uint64
		ret        int64
		want       prog.Redirect
	}{
		{2, 0, 4, prog.Redirect{Kind: prog.RedirectMap, To: 7, Map: h, Key: 2}},
		{1, 0, 0, prog.Redirect{}},
		{1, 2, 2, prog.Redirect{}}, // XDP_PASS on a miss
		{9, 3, 3, prog.Redirect{}},
		{2, 4, 0, prog.Redirect{}}, // XDP_REDIRECT is no verdict for a miss
		{0, flagBroadcast, 4, prog.Redirect{Kind: prog.RedirectBroadcast, Map: h, Key: flagBroadcast}},
	} {
		b.packet(make([]byte, 60))
		ret := b.call("redirect_map", uint64(h), tt.key, tt.flags)
		var out prog.Output
		b.buf.Read(&out)
		if ret != tt.ret || out.Redirect != tt.want {
			t.Errorf("key %d flags %d: %d %+v, want %d %+v", tt.key, tt.flags, ret, out.Redirect, tt.ret, tt.want)
		}
	}
}

func TestRedirect(t *testing.T) {
	tc := newBed(t, prog.SchedCLS)
	for _, tt := range []struct {
		name string
		args []uint64
		ret  int64
		want prog.Redirect
	}{
		{"redirect", []uint64{5, 1}, 7, prog.Redirect{Kind: prog.RedirectIfindex, To: 5, Key: 1}},
		{"redirect", []uint64{5, 2}, 2, prog.Redirect{}},
		{"redirect_peer", []uint64{6, 0}, 7, prog.Redirect{Kind: prog.RedirectPeer, To: 6}},
		{"redirect_neigh", []uint64{6, 0, 0, 0}, 7, prog.Redirect{Kind: prog.RedirectNeigh, To: 6}},
		{"redirect_neigh", []uint64{6, 0, 19, 0}, 2, prog.Redirect{}},
	} {
		tc.packet(make([]byte, 60))
		ret := tc.call(tt.name, tt.args...)
		var out prog.Output
		tc.buf.Read(&out)
		if ret != tt.ret || out.Redirect != tt.want {
			t.Errorf("%s %v: %d %+v", tt.name, tt.args, ret, out.Redirect)
		}
	}
	sent := 0
	tc.e.Clone = func(ifindex uint32, _ uint64, data []byte) { sent += int(ifindex)*1000 + len(data) }
	if ret := tc.call("clone_redirect", uint64(tc.e.Ctx), 2, 0); ret != 0 || sent != 2060 || tc.e.Clones != 1 {
		t.Errorf("clone_redirect: %d, sent %d, counted %d", ret, sent, tc.e.Clones)
	}
}

func TestTunnelKey(t *testing.T) {
	b := newBed(t, prog.SchedCLS)
	ctx := uint64(b.e.Ctx)
	dst := uint64(b.mem + 256)
	if got := b.call("skb_get_tunnel_key", ctx, dst, 44, 0); got != eINVAL {
		t.Errorf("no tunnel: %d", got)
	}
	key := make([]byte, 44)
	copy(key, "id12addr")
	if got := b.call("skb_set_tunnel_key", ctx, b.put(0, key), 44, 0); got != 0 {
		t.Errorf("set: %d", got)
	}
	if got := b.call("skb_get_tunnel_key", ctx, dst, 28, 0); got != 0 || string(b.e.bytes(uint32(dst), 8)) != "id12addr" {
		t.Errorf("get: %d", got)
	}
	if got := b.call("skb_set_tunnel_key", ctx, uint64(b.mem), 20, 0); got != eINVAL {
		t.Errorf("size 20: %d", got)
	}
	if b.call("skb_set_tunnel_opt", ctx, b.put(64, []byte("options!")), 8) != 0 || b.call("skb_get_tunnel_opt", ctx, dst, 16) != 8 {
		t.Error("options are lost")
	}
	if err := b.buf.Set(make([]byte, 60), &prog.Input{Number: 2}); err != nil {
		t.Fatal(err)
	}
	if got := b.call("skb_get_tunnel_key", ctx, dst, 44, 0); got != eINVAL {
		t.Errorf("the next packet has the last one's tunnel: %d", got)
	}
}

func TestStrings(t *testing.T) {
	b := newBed(t, prog.XDP)
	res := b.mem + 512
	for _, tt := range []struct {
		name, s string
		flags   uint64
		ret     int64
		value   int64
	}{
		{"strtol", "42", 0, 2, 42},
		{"strtol", "  -0x1Fz", 0, 7, -31},
		{"strtol", "077", 0, 3, 63},
		{"strtol", "77", 8, 2, 63},
		{"strtol", "0x10", 16, 4, 16},
		{"strtol", "9223372036854775808", 0, -int64(errRange), 0},
		{"strtol", "-9223372036854775808", 10, 20, -1 << 63},
		{"strtol", "abc", 10, eINVAL, 0},
		{"strtol", "1", 7, eINVAL, 0},
		{"strtol", "", 0, eINVAL, 0},
		{"strtoul", "18446744073709551615", 0, 20, -1},
		{"strtoul", "18446744073709551616", 0, -int64(errRange), 0},
		{"strtoul", "-1", 0, eINVAL, 0},
	} {
		got := b.call(tt.name, b.put(0, []byte(tt.s)), uint64(len(tt.s)), tt.flags, uint64(res))
		if v := int64(b.e.Space.Load64(res)); got != tt.ret || v != tt.value {
			t.Errorf("%s %q base %d: %d %d, want %d %d", tt.name, tt.s, tt.flags, got, v, tt.ret, tt.value)
		}
	}
	for _, tt := range []struct {
		a, b string
		n    uint64
		want int64
	}{{"abc", "abc", 4, 0}, {"abc", "abd", 4, -1}, {"abd", "abc", 4, 1}, {"abd", "abc", 2, 0}, {"ab", "abc", 4, -1}} {
		if got := b.call("strncmp", b.str(0, tt.a), tt.n, b.str(64, tt.b)); got != tt.want {
			t.Errorf("strncmp %q %q %d: %d", tt.a, tt.b, tt.n, got)
		}
	}
}

func TestTime(t *testing.T) {
	b := newBed(t, prog.XDP)
	for name, want := range map[string]int64{
		"ktime_get_ns": 12_345_678_901, "ktime_get_boot_ns": 12_345_678_901, "ktime_get_coarse_ns": 12_344_000_000,
		"ktime_get_tai_ns": 12_345_678_901, "jiffies64": 3086,
	} {
		if got := b.call(name); got != want {
			t.Errorf("%s on the packet's clock: %d, want %d", name, got, want)
		}
	}
	b.e.Clock = func() uint64 { return 5 }
	if got := b.call("ktime_get_ns"); got != 5 {
		t.Errorf("clock: %d", got)
	}
}

func TestFlowHashIsSymmetric(t *testing.T) {
	b := newBed(t, prog.SchedCLS)
	p := make([]byte, 60)
	p[12], p[14], p[23] = 8, 0x45, 6
	copy(p[26:], []byte{10, 0, 0, 1, 10, 0, 0, 2, 0x12, 0x34, 0, 80})
	hash := func() int64 {
		b.packet(p)
		return b.call("get_hash_recalc", uint64(b.e.Ctx))
	}
	one := hash()
	copy(p[26:], []byte{10, 0, 0, 2, 10, 0, 0, 1, 0, 80, 0x12, 0x34})
	if two := hash(); one == 0 || one != two {
		t.Errorf("%#x one way, %#x the other", one, two)
	}
	p[37]++
	if hash() == one {
		t.Error("the hash does not depend on the port")
	}
}

// hot are calls that must not allocate: programs make them for every packet.
func hot(b *bed) map[string][]uint64 {
	hash := b.newMap(maps.Spec{Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 8})
	dev := b.newMap(maps.Spec{Type: maps.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 4})
	ctx, at := uint64(b.e.Ctx), uint64(b.mem)
	return map[string][]uint64{
		"map_lookup_elem": {uint64(hash.Handle()), at}, "map_update_elem": {uint64(hash.Handle()), at, at, 0},
		"redirect_map": {uint64(dev.Handle()), 1, 2}, "xdp_adjust_head": {ctx, 0}, "xdp_adjust_tail": {ctx, 0},
		"csum_diff": {at, 16, at, 20, 0}, "ktime_get_ns": nil, "skb_load_bytes": {ctx, 0, at, 16},
		"skb_store_bytes": {ctx, 0, at, 16, 0}, "l4_csum_replace": {ctx, 24, 1, 2, 2}, "trace_printk": {at, 8},
	}
}

func TestHotHelpersDoNotAllocate(t *testing.T) {
	b := newBed(t, prog.SchedCLS)
	for name, args := range hot(b) {
		if n := testing.AllocsPerRun(100, func() { b.call(name, args...) }); n != 0 {
			t.Errorf("%s allocates %v times", name, n)
		}
	}
}

func BenchmarkHelpers(b *testing.B) {
	bed := newBed(b, prog.SchedCLS)
	for name, args := range hot(bed) {
		r, _ := ByName("bpf_" + name)
		var a [5]uint64
		copy(a[:], args)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = r.Fn(bed.e, a[0], a[1], a[2], a[3], a[4])
			}
		})
	}
}
