package helpers

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// hookBed is an environment for helpers of a type that has no packets.
type hookBed struct {
	*Env
	buf *prog.Buffer
}

func newHookBed(t *testing.T, typ prog.Type, data []byte, fields map[string]any, sockets ...Socket) *hookBed {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 22})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	table, err := NewSockets(s, sockets)
	if err != nil {
		t.Fatal(err)
	}
	buf, err := prog.NewBuffer(s, typ, 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := buf.Set(data, &prog.Input{}); err != nil {
		t.Fatal(err)
	}
	if err := prog.WriteCtx(s, buf.Ctx(), typ, fields, table); err != nil {
		t.Fatal(err)
	}
	if err := buf.Ready(); err != nil {
		t.Fatal(err)
	}
	table.SetOwn(typ, buf.Ctx())
	return &hookBed{&Env{Space: s, Type: typ, Ctx: buf.Ctx(), Sockets: table, NumCPUs: 1}, buf}
}

// call calls a helper; its result is signed, as C has it.
func (b *hookBed) call(t *testing.T, f Func, args ...uint64) int64 {
	t.Helper()
	var r [4]uint64
	copy(r[:], args)
	got, err := f(b.Env, uint64(b.Ctx), r[0], r[1], r[2], r[3])
	if err != nil {
		t.Fatal(err)
	}
	return int64(got)
}

func (b *hookBed) field(name string) any {
	return prog.ReadCtx(b.Space, b.Ctx, b.Type, b.Sockets)[name]
}

func (b *hookBed) data(t *testing.T) []byte {
	t.Helper()
	var out prog.Output
	if !b.buf.Read(&out) {
		t.Fatal("the ctx has no data any more")
	}
	return out.Data
}

// window is what data and data_end of an sk_msg enclose, as offsets in the message.
func (b *hookBed) window() (from, to uint32) {
	begin := b.Space.Load32(b.Ctx + prog.MsgBegin)
	return b.Space.Load32(b.Ctx) - begin, b.Space.Load32(b.Ctx+8) - begin
}

// Messages are what a plain slice would be, whatever is pushed, popped and pulled, and their elements add up to them.
func TestMessagesAreSlices(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	ops := 0
	for range 300 {
		want := make([]byte, 1+rnd.IntN(100))
		for i := range want {
			want[i] = byte(rnd.Uint32())
		}
		var sg []any
		for rest := len(want); rest > 0; {
			n := min(1+rnd.IntN(40), rest)
			if len(sg) == 16 {
				n = rest
			}
			sg = append(sg, n)
			rest -= n
		}
		b := newHookBed(t, prog.SkMsg, want, map[string]any{"sg": sg})
		for range 30 {
			start, n := uint64(rnd.IntN(len(want)+3)), uint64(rnd.IntN(30))
			size := uint64(len(want))
			switch rnd.IntN(3) {
			case 0:
				ret := b.call(t, msgPushData, start, n, 0)
				if ok := n == 0 || start <= size; ok != (ret == 0) {
					t.Fatalf("push of %d at %d of %d: %d", n, start, size, ret)
				}
				if ret == 0 && n > 0 {
					want = slices.Insert(want, int(start), make([]byte, n)...)
				}
			case 1:
				ret := b.call(t, msgPopData, start, n, 0)
				if ok := n == 0 || start < size && start+n <= size; ok != (ret == 0) {
					t.Fatalf("pop of %d at %d of %d: %d", n, start, size, ret)
				}
				if ret == 0 && n > 0 {
					want = slices.Delete(want, int(start), int(start+n))
				}
			case 2:
				ret := b.call(t, msgPullData, start, start+n, 0)
				if ok := n > 0 && start+n <= size; ok != (ret == 0) {
					t.Fatalf("pull of [%d,%d) of %d: %d", start, start+n, size, ret)
				}
				if from, to := b.window(); ret == 0 && (uint64(from) != start || uint64(to) != start+n) {
					t.Fatalf("pull of [%d,%d): data is [%d,%d)", start, start+n, from, to)
				}
			}
			if got := b.data(t); !bytes.Equal(got, want) {
				t.Fatalf("message %x, want %x", got, want)
			}
			sum := uint64(0)
			for _, n := range b.field("sg").([]uint64) {
				sum += n
			}
			if sum != uint64(len(want)) || b.field("size") != sum {
				t.Fatalf("elements of %v, size %v, message of %d bytes", b.field("sg"), b.field("size"), len(want))
			}
			ops++
			if len(want) == 0 {
				break
			}
		}
	}
	if ops < 3000 {
		t.Errorf("only %d operations", ops)
	}
}

// What data shows after each helper is the first element, as in the kernel (sk_msg_compute_data_pointers).
func TestMessageElements(t *testing.T) {
	message := []byte("abcdefghij")
	for _, c := range []struct {
		name     string
		sg       []any
		f        Func
		args     []uint64
		ret      int64
		from, to uint32
		want     []uint64
	}{
		{"push in front", nil, msgPushData, []uint64{0, 4}, 0, 0, 4, []uint64{4, 10}},
		{"push within", nil, msgPushData, []uint64{3, 2}, 0, 0, 3, []uint64{3, 2, 7}},
		{"push at the end", nil, msgPushData, []uint64{10, 2}, 0, 0, 10, []uint64{10, 2}},
		{"push between", []any{4, 6}, msgPushData, []uint64{4, 2}, 0, 0, 4, []uint64{4, 2, 6}},
		{"push beyond", nil, msgPushData, []uint64{11, 2}, -22, 0, 10, []uint64{10}},
		{"push with flags", nil, msgPushData, []uint64{0, 2, 1}, -22, 0, 10, []uint64{10}},
		{"push nothing", nil, msgPushData, []uint64{99, 0}, 0, 0, 10, []uint64{10}},
		{"push too much", nil, msgPushData, []uint64{0, 1 << 20}, -12, 0, 10, []uint64{10}},
		{"pop in front", nil, msgPopData, []uint64{0, 3}, 0, 0, 7, []uint64{7}},
		{"pop within", nil, msgPopData, []uint64{3, 2}, 0, 0, 3, []uint64{3, 5}},
		{"pop the end", nil, msgPopData, []uint64{8, 2}, 0, 0, 8, []uint64{8}},
		{"pop over elements", []any{4, 2, 4}, msgPopData, []uint64{3, 5}, 0, 0, 3, []uint64{3, 2}},
		{"pop an element", []any{4, 2, 4}, msgPopData, []uint64{0, 4}, 0, 0, 2, []uint64{2, 4}},
		{"pop too much", nil, msgPopData, []uint64{8, 3}, -22, 0, 10, []uint64{10}},
		{"pull an element's part", []any{4, 6}, msgPullData, []uint64{5, 7}, 0, 5, 7, []uint64{4, 6}},
		{"pull over elements", []any{4, 2, 4}, msgPullData, []uint64{1, 5}, 0, 1, 5, []uint64{6, 4}},
		{"pull everything", []any{4, 2, 4}, msgPullData, []uint64{0, 10}, 0, 0, 10, []uint64{10}},
		{"pull beyond", []any{4, 6}, msgPullData, []uint64{5, 11}, -22, 0, 4, []uint64{4, 6}},
		{"pull nothing", nil, msgPullData, []uint64{5, 5}, -22, 0, 10, []uint64{10}},
	} {
		fields := map[string]any{}
		if c.sg != nil {
			fields["sg"] = c.sg
		}
		b := newHookBed(t, prog.SkMsg, message, fields)
		if ret := b.call(t, c.f, c.args...); ret != c.ret {
			t.Errorf("%s: %d, want %d", c.name, ret, c.ret)
		}
		if from, to := b.window(); from != c.from || to != c.to {
			t.Errorf("%s: data is [%d,%d), want [%d,%d)", c.name, from, to, c.from, c.to)
		}
		got := b.field("sg").([]uint64)
		if !slices.Equal(got[:len(c.want)], c.want) || got[len(c.want)] != 0 {
			t.Errorf("%s: elements of %v, want %v", c.name, got, c.want)
		}
	}
}

// A message of as many elements as there can be: what is pushed goes into an element that is there (Linux: bpf_msg_push_data).
func TestMessageWithoutSpace(t *testing.T) {
	var sg []any
	for range msgMaxElems {
		sg = append(sg, 2)
	}
	b := newHookBed(t, prog.SkMsg, make([]byte, 2*msgMaxElems), map[string]any{"sg": sg})
	if ret := b.call(t, msgPushData, 3, 5, 0); ret != 0 {
		t.Fatal(ret)
	}
	if got := b.field("sg").([]uint64); got[1] != 7 || got[msgMaxElems] != 0 {
		t.Errorf("elements of %v", got)
	}
	if ret := b.call(t, msgPopData, 3, 5, 0); ret != 0 {
		t.Fatal(ret)
	}
	if got := b.field("sg").([]uint64); got[1] != 2 || got[msgMaxElems] != 0 {
		t.Errorf("elements of %v", got)
	}
	if _, err := msgPushData(b.Env, uint64(b.Ctx)+8, 0, 1, 0, 0); err == nil {
		t.Error("a message of no ctx")
	}
}

// Error numbers of TCP options' helpers.
func TestHeaderOptionErrors(t *testing.T) {
	const kind, exp = 200, 253
	header := append(make([]byte, 20), 1, 1, kind, 4, 9, 9, exp, 6, 0xeb, 0x9f, 7, 7)
	for _, c := range []struct {
		name   string
		op     uint32
		data   []byte
		fields map[string]any
		f      Func
		arg    []byte
		flags  uint64
		want   int64
	}{
		{"load", 13, header, nil, loadHdrOpt, []byte{kind, 0, 0, 0}, 0, 4},
		{"load into too little", 13, header, nil, loadHdrOpt, []byte{kind, 0, 0}, 0, -28},
		{"load what is not there", 13, header, nil, loadHdrOpt, []byte{kind + 1, 0, 0, 0}, 0, -42},
		{"load by magic", 13, header, nil, loadHdrOpt, []byte{exp, 4, 0xeb, 0x9f, 0, 0}, 0, 6},
		{"load another's magic", 13, header, nil, loadHdrOpt, []byte{exp, 4, 0xeb, 0x90, 0, 0}, 0, -42},
		{"load without magic", 13, header, nil, loadHdrOpt, []byte{exp, 0, 0, 0, 0, 0}, 0, -22},
		{"load with a length", 13, header, nil, loadHdrOpt, []byte{kind, 4, 0, 0}, 0, -22},
		{"load an end mark", 13, header, nil, loadHdrOpt, []byte{0, 0}, 0, -22},
		{"load with flags", 13, header, nil, loadHdrOpt, []byte{kind, 0}, 2, -22},
		{"load where none is", 14, header, nil, loadHdrOpt, []byte{kind, 0, 0, 0}, 0, -1},
		{"load without a segment", 13, nil, nil, loadHdrOpt, []byte{kind, 0, 0, 0}, 0, -1},
		{"load of a damaged list", 13, append(make([]byte, 20), kind, 9), nil, loadHdrOpt, []byte{kind, 0, 0, 0}, 0, -14},
		{"load of the SYN", 13, header, map[string]any{"syn_len": 24, "syn": append(zeros(20), kind, 3, 5, 0)}, loadHdrOpt, []byte{kind, 0, 0, 0}, 1, 3},
		{"load of no SYN", 13, header, nil, loadHdrOpt, []byte{kind, 0, 0, 0}, 1, -2},
		{"store", 15, header, map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{99, 4, 1, 2}, 0, 0},
		{"store at another time", 13, header, map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{99, 4, 1, 2}, 0, -1},
		{"store without room", 15, header, map[string]any{"remaining_opt_len": 3}, storeHdrOpt, []byte{99, 4, 1, 2}, 0, -28},
		{"store twice", 15, header, map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{kind, 4, 1, 2}, 0, -17},
		{"store a length that lies", 15, header, map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{99, 5, 1, 2}, 0, -22},
		{"store short magic", 15, header, map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{exp, 3, 1}, 0, -22},
		{"store behind the end", 15, append(make([]byte, 20), 0), map[string]any{"remaining_opt_len": 8}, storeHdrOpt, []byte{99, 4, 1, 2}, 0, -28},
	} {
		fields := map[string]any{"op": c.op}
		for name, v := range c.fields {
			fields[name] = v
		}
		b := newHookBed(t, prog.SockOps, c.data, fields)
		at, err := b.Space.Alloc(64, 8)
		if err != nil {
			t.Fatal(err)
		}
		buf, _ := b.Space.Bytes(at, 64)
		copy(buf, c.arg)
		if got := b.call(t, c.f, uint64(at), uint64(len(c.arg)), c.flags); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
	b := newHookBed(t, prog.SockOps, nil, map[string]any{"op": 14, "remaining_opt_len": 10})
	for _, c := range []struct {
		n, flags uint64
		want     int64
	}{{1, 0, -22}, {4, 1, -22}, {11, 0, -28}, {6, 0, 0}, {6, 0, -28}, {4, 0, 0}} {
		if got := b.call(t, reserveHdrOpt, c.n, c.flags); got != c.want {
			t.Errorf("reserve %d: %d, want %d", c.n, got, c.want)
		}
	}
}

func zeros(n int) []any {
	list := make([]any, n)
	for i := range list {
		list[i] = 0
	}
	return list
}

// Groups of sockets and tasks by level, and namespaces.
func TestGroupsByLevel(t *testing.T) {
	b := newHookBed(t, prog.CgroupSKB, nil, map[string]any{"sk": 5},
		Socket{Proto: ProtoTCP, Local: addrPort("10.0.0.1:80"), Cookie: 5, NetnsCookie: 77, Cgroup: &Group{ID: 30, Ancestors: []uint64{20, 10}}})
	b.Task = &Task{CgroupID: 3, Ancestors: []uint64{2, 1}}
	sk := b.Space.Load64(b.Ctx + prog.SKBSk)
	for level, want := range map[int64][2]int64{-1: {0, 0}, 0: {10, 1}, 1: {20, 2}, 2: {30, 3}, 3: {0, 0}} {
		if got := b.call(t, skbAncestorCgroupId, uint64(level)); got != want[0] {
			t.Errorf("the packet's group at level %d is %d, want %d", level, got, want[0])
		}
		if got, _ := skAncestorCgroupId(b.Env, sk, uint64(level), 0, 0, 0); int64(got) != want[0] {
			t.Errorf("the socket's group at level %d is %d, want %d", level, got, want[0])
		}
		if got, _ := getCurrentAncestorCgroupId(b.Env, uint64(level), 0, 0, 0, 0); int64(got) != want[1] {
			t.Errorf("the task's group at level %d is %d, want %d", level, got, want[1])
		}
	}
	if got := b.call(t, skbCgroupId); got != 30 {
		t.Errorf("the packet's group is %d", got)
	}
	if got, _ := skCgroupId(b.Env, sk, 0, 0, 0, 0); got != 30 {
		t.Errorf("the socket's group is %d", got)
	}
	if got := b.call(t, getNetnsCookie); got != 77 {
		t.Errorf("namespace %d", got)
	}
	if got, _ := getNetnsCookie(b.Env, 0, 0, 0, 0, 0); got != initNetns {
		t.Errorf("the first namespace is %d", got)
	}
	b.Space.Store64(b.Ctx+prog.SKBSk, 0)
	if got := b.call(t, skbAncestorCgroupId, 0); got != 0 {
		t.Errorf("a packet without a socket is in group %d", got)
	}
}

// bpf_bind: what it refuses, and why.
func TestBindErrors(t *testing.T) {
	addr := func(family byte, port uint16, ip ...byte) []byte {
		b := append([]byte{family, 0, byte(port >> 8), byte(port)}, ip...)
		return append(b, make([]byte, 16)...)
	}
	in6 := append(make([]byte, 4), 0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1) // flow info, then the address
	for _, c := range []struct {
		name   string
		family uint32
		addr   []byte
		n      uint64
		want   int64
	}{
		{"IPv4", 2, addr(2, 0, 10, 0, 0, 9), 16, 0},
		{"a free port", 2, addr(2, 81, 10, 0, 0, 1), 16, 0},
		{"a port that is taken", 2, addr(2, 80, 10, 0, 0, 1), 16, -98},
		{"a port that is taken, at any address", 2, addr(2, 80, 0, 0, 0, 0), 16, -98},
		{"another's port of UDP", 2, addr(2, 53, 10, 0, 0, 1), 16, 0},
		{"too short for a family", 2, addr(2, 0), 1, -22},
		{"too short for IPv4", 2, addr(2, 0, 10, 0, 0, 9), 15, -22},
		{"IPv6 for a socket of IPv4", 2, addr(10, 0, in6...), 28, -22},
		{"IPv6", 10, addr(10, 0, in6...), 28, 0},
		{"IPv6 without a scope", 10, addr(10, 0, in6...), 24, 0},
		{"too short for IPv6", 10, addr(10, 0, in6...), 23, -22},
		{"IPv4 for a socket of IPv6", 10, addr(2, 0, 10, 0, 0, 9), 16, -97},
		{"no such family", 2, addr(3, 0), 16, -97},
	} {
		b := newHookBed(t, prog.CgroupSockAddr, nil, map[string]any{"family": c.family},
			Socket{Proto: ProtoTCP, Local: addrPort("10.0.0.1:80")}, Socket{Proto: ProtoUDP, Local: addrPort("10.0.0.1:53")})
		at, err := b.Space.Alloc(64, 8)
		if err != nil {
			t.Fatal(err)
		}
		buf, _ := b.Space.Bytes(at, 64)
		copy(buf, c.addr)
		if got := b.call(t, sockaddrBind, uint64(at), c.n); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}
