//go:build amd64 || arm64

package helpers

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"hash/crc32"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// call is a helper call of a case: see program.
type call struct {
	helper string
	args   []any // ctx{}, uint64 or int, []byte: a pointer to those bytes on the stack; nil: NULL
}

type ctxArg struct{}

var ctx = ctxArg{}

func c(helper string, args ...any) call { return call{helper, args} }

const stackSlot = 64 // room for each call's buffers

// program makes of calls the code that returns a hash of their results and of the buffers afterwards.
func program(calls []call) []asm.Insn {
	code := []asm.Insn{{Op: 0xbf, Dst: 6, Src: 1}, {Op: 0xb7, Dst: 7}}
	for _, c := range calls {
		off := -512
		var bufs []int
		for i, a := range c.args {
			dst := asm.Reg(i + 1)
			switch a := a.(type) {
			case ctxArg:
				code = append(code, asm.Insn{Op: 0xbf, Dst: dst, Src: 6})
			case int:
				code = append(code, asm.Insn{Op: 0x18, Dst: dst, Imm: int32(a)}, asm.Insn{Imm: int32(int64(a) >> 32)})
			case nil:
				code = append(code, asm.Insn{Op: 0xb7, Dst: dst})
			case []byte:
				for j := 0; j < len(a); j += 4 {
					v := int32(binary.LittleEndian.Uint32(a[j:]))
					code = append(code, asm.Insn{Op: 0x62, Dst: 10, Off: int16(off + j), Imm: v})
				}
				code = append(code, asm.Insn{Op: 0xbf, Dst: dst, Src: 10}, asm.Insn{Op: 0x07, Dst: dst, Imm: int32(off)})
				for j := 0; j < len(a); j += 4 {
					bufs = append(bufs, off+j)
				}
				off += stackSlot
			}
		}
		r, _ := ByName(c.helper)
		code = append(code, asm.Insn{Op: 0x85, Imm: r.ID})
		mix := []asm.Insn{{Op: 0x27, Dst: 7, Imm: 31}, {Op: 0x0f, Dst: 7, Src: 0}}
		code = append(code, mix...)
		for _, b := range bufs {
			code = append(code, asm.Insn{Op: 0x61, Dst: 0, Src: 10, Off: int16(b)})
			code = append(code, mix...)
		}
	}
	return append(code, asm.Insn{Op: 0xbf, Dst: 0, Src: 7}, asm.Insn{Op: 0x95})
}

// ours does the calls with this package's helpers and returns the same hash.
func ours(t *testing.T, e *Env, stack uint32, calls []call) uint32 {
	t.Helper()
	h := uint64(0)
	for _, c := range calls {
		off := stack
		var args [5]uint64
		var bufs []uint32
		for i, a := range c.args {
			switch a := a.(type) {
			case ctxArg:
				args[i] = uint64(e.Ctx)
			case int:
				args[i] = uint64(a)
			case []byte:
				copy(e.bytes(off, uint32(len(a))), a)
				args[i] = uint64(off)
				for j := 0; j < len(a); j += 4 {
					bufs = append(bufs, off+uint32(j))
				}
				off += stackSlot
			}
		}
		r, _ := ByName(c.helper)
		r0, err := r.Fn(e, args[0], args[1], args[2], args[3], args[4])
		if err != nil {
			t.Fatalf("%s: %v", c.helper, err)
		}
		h = h*31 + r0
		for _, b := range bufs {
			h = h*31 + uint64(e.Space.Load32(b))
		}
	}
	return uint32(h)
}

// testbed is one machine to run helpers on.
type testbed struct {
	e     *Env
	buf   *prog.Buffer
	stack uint32
}

func newTestbed(t testing.TB, typ prog.Type) *testbed {
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
	stack, err := s.Alloc(4096, 8)
	if err != nil {
		t.Fatal(err)
	}
	e := &Env{Space: s, Maps: maps.NewTable(s), NumCPUs: 2, Type: typ, Ctx: buf.Ctx()}
	return &testbed{e, buf, stack}
}

// referee runs a program on a packet in the kernel; nil where there is no bpf(2). See kernel_linux_test.go.
var referee func(typ prog.Type, insns []asm.Insn, packet []byte) (ret uint32, data []byte, err error)

var update = flag.Bool("update", false, "ask the kernel, and write its answers to testdata")

// suite compares helpers with the kernel's answers: those of the running kernel, or those that one gave to testdata.
type suite struct {
	t      *testing.T
	golden []string
	lines  []string // as many as cases were run
	router Router
}

func newSuite(t *testing.T) *suite {
	s := &suite{t: t}
	file := filepath.Join("testdata", t.Name()+".golden")
	if referee == nil && *update {
		t.Fatal("-update needs bpf(2)")
	}
	if !*update {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		s.golden = strings.Split(strings.TrimSpace(string(text)), "\n")
	}
	t.Cleanup(func() {
		if *update && !t.Failed() {
			if err := os.WriteFile(file, []byte(strings.Join(s.lines, "\n")+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if !*update && len(s.lines) != len(s.golden) {
			t.Errorf("%d cases, %d in %s", len(s.lines), len(s.golden), file)
		}
	})
	return s
}

// answer is a line of a golden file.
func answer(ret uint32, data []byte) string {
	return fmt.Sprintf("%08x %d %08x", ret, len(data), crc32.ChecksumIEEE(data))
}

// compare runs calls on a packet here, and compares with the kernel.
func (s *suite) compare(typ prog.Type, packet []byte, calls ...call) {
	t := s.t
	t.Helper()
	b := newTestbed(t, typ)
	b.e.Router = s.router
	b.e.Task = &Task{PID: 4242, TGID: 4242, NSDev: 99, NSIno: 99, NSPID: 1, NSTGID: 1} // in no pid namespace that a kernel has
	if err := b.buf.Set(packet, &prog.Input{Ifindex: 1}); err != nil {
		t.Fatal(err)
	}
	got := ours(t, b.e, b.stack, calls)
	var out prog.Output
	if !b.buf.Read(&out) {
		t.Fatalf("%v: the frame is broken", calls)
	}
	gotData := append(bytes.Clone(out.Meta), out.Data...) // as the kernel gives an XDP packet back
	if referee != nil {
		want, wantData, err := referee(typ, program(calls), packet)
		switch {
		case err != nil:
			t.Fatalf("%v: %v", calls, err)
		case got != want || !bytes.Equal(gotData, wantData):
			t.Errorf("%s %v: %#x, kernel %#x; packet\n%x, kernel\n%x", typ, calls, got, want, gotData, wantData)
		}
	}
	n := len(s.lines)
	s.lines = append(s.lines, answer(got, gotData))
	if !*update && (n >= len(s.golden) || s.golden[n] != s.lines[n]) {
		t.Errorf("%s %v: %s is not what testdata has for case %d", typ, calls, s.lines[n], n+1)
	}
}

// ipPacket is an Ethernet frame with n bytes of IPv4 or IPv6 and noise in it.
func ipPacket(rng *rand.Rand, etherType uint16, n int) []byte {
	p := make([]byte, 14+n)
	for i := range p {
		p[i] = byte(rng.Uint32())
	}
	binary.BigEndian.PutUint16(p[12:], etherType)
	p[14] = 0x45
	if etherType == etherIPv6 {
		p[14] = 0x60
	}
	return p
}

func TestKernelCsum(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(1, 2))
	words := func(n int) []byte {
		b := make([]byte, n)
		for i := range b {
			switch rng.IntN(4) {
			case 0:
				b[i] = 0xff
			case 1:
			default:
				b[i] = byte(rng.Uint32())
			}
		}
		return b
	}
	edge := func() int {
		return []int{0, 1, 0xff, 0xffff, 0x10000, 0xfffe, 0xffffffff, 0xffff0000, int(rng.Uint32())}[rng.IntN(9)]
	}
	packet := ipPacket(rng, etherIPv4, 60)
	for range 60 {
		n, m := 4*rng.IntN(5), 4*rng.IntN(5)
		var from, to any
		if n > 0 {
			from = words(n)
		}
		if m > 0 {
			to = words(m)
		}
		s.compare(prog.SchedCLS, packet, c("bpf_csum_diff", from, n, to, m, edge()))
		binary.LittleEndian.PutUint16(packet[24:], uint16(edge()))
		off := 24 + rng.IntN(4)/3
		mask := []int{0, 2, 4, 3}[rng.IntN(4)]
		flags := mask | rng.IntN(8)<<4
		pre := edge()
		if mask == 0 && rng.IntN(4) > 0 {
			pre = 0
		}
		s.compare(prog.SchedCLS, packet, c("bpf_l3_csum_replace", ctx, off, pre, edge(), mask),
			c("bpf_l4_csum_replace", ctx, off, pre, edge(), flags))
	}
	s.compare(prog.SchedCLS, packet, c("bpf_l3_csum_replace", ctx, 73, 1, 2, 2), c("bpf_l3_csum_replace", ctx, 72, 1, 2, 2),
		c("bpf_l3_csum_replace", ctx, 74, 1, 2, 2), c("bpf_l3_csum_replace", ctx, 24, 1, 2, 16),
		c("bpf_l4_csum_replace", ctx, 24, 1, 2, 2|256), c("bpf_csum_update", ctx, 7), c("bpf_csum_level", ctx, 0),
		c("bpf_csum_level", ctx, 1), c("bpf_csum_level", ctx, 9))
}

// TestKernelTask asks for signals that are none, and for numbers in namespaces that the task is not in.
func TestKernelTask(t *testing.T) {
	s := newSuite(t)
	packet := make([]byte, 64)
	for _, sig := range []int{0, 65, 1000, -1, 1 << 32, 1<<32 | 65} {
		s.compare(prog.SchedCLS, packet, c("bpf_send_signal", sig), c("bpf_send_signal_thread", sig))
	}
	for _, size := range []int{8, 4, 12, 16} {
		buf := bytes.Repeat([]byte{0x55}, 16)
		s.compare(prog.XDP, packet, c("bpf_get_ns_current_pid_tgid", 1, 1, buf, size), c("bpf_get_ns_current_pid_tgid", 1<<40, 1, buf, size),
			c("bpf_get_ns_current_pid_tgid", 0, 0, buf, size))
	}
}

func TestKernelXDP(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(3, 4))
	packet := ipPacket(rng, etherIPv4, 50)
	for _, by := range []int{0, 1, -1, -216, -217, -256, 50, 51, 64, 1 << 20, -1 << 31} {
		s.compare(prog.XDP, packet, c("bpf_xdp_adjust_head", ctx, by), c("bpf_xdp_get_buff_len", ctx))
	}
	for _, by := range []int{0, 1, 100, -1, -50, -51, 3456, 3457, 4000, 1 << 30, -1 << 31} {
		s.compare(prog.XDP, packet, c("bpf_xdp_adjust_tail", ctx, by), c("bpf_xdp_get_buff_len", ctx))
	}
	for _, by := range []int{0, -4, -2, -32, -36, -216, -220, -252, -256, 4, 1 << 30} {
		s.compare(prog.XDP, packet, c("bpf_xdp_adjust_meta", ctx, by), c("bpf_xdp_adjust_head", ctx, -200),
			c("bpf_xdp_adjust_meta", ctx, 4), c("bpf_xdp_adjust_head", ctx, -16))
	}
	buf := []byte("abcdefgh")
	for _, off := range []int{0, 14, 56, 57, 64, 65, 0xffff, 0x10000, -1} {
		s.compare(prog.XDP, packet, c("bpf_xdp_store_bytes", ctx, off, buf, 8), c("bpf_xdp_load_bytes", ctx, off/2, buf, 8))
	}
	s.compare(prog.XDP, packet, c("bpf_redirect", 1, 0), c("bpf_redirect", 1, 1))
	for range 100 {
		var calls []call
		for range 1 + rng.IntN(5) {
			name := []string{"head", "tail", "meta"}[rng.IntN(3)]
			calls = append(calls, c("bpf_xdp_adjust_"+name, ctx, rng.IntN(120)-60&^(3*rng.IntN(2))))
		}
		s.compare(prog.XDP, packet, calls...)
	}
}

func TestKernelSKB(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(5, 6))
	buf := []byte("abcdefghijklmnop")
	for _, ether := range []uint16{etherIPv4, etherIPv6} {
		packet := ipPacket(rng, ether, 80)
		for _, off := range []int{0, 13, 78, 79, 94, 0xffff, 0x10000, 1 << 31, -1} {
			s.compare(prog.SchedCLS, packet, c("bpf_skb_load_bytes", ctx, off, buf, 16), c("bpf_skb_store_bytes", ctx, off, buf, 16, 0),
				c("bpf_skb_load_bytes_relative", ctx, off, buf, 16, 0), c("bpf_skb_load_bytes_relative", ctx, off, buf, 16, 1),
				c("bpf_skb_store_bytes", ctx, 3, buf, 4, 3), c("bpf_skb_store_bytes", ctx, 3, buf, 4, 4),
				c("bpf_skb_load_bytes_relative", ctx, 1, buf, 16, 2))
		}
		for _, n := range []int{0, 13, 14, 34, 60, 94, 95, 200, 16064, 16065, 1 << 31} {
			s.compare(prog.SchedCLS, packet, c("bpf_skb_change_tail", ctx, n, 0), c("bpf_skb_pull_data", ctx, n),
				c("bpf_skb_pull_data", ctx, 0))
		}
		for _, n := range []int{0, 1, 14, 100, 1 << 31, -1} {
			s.compare(prog.SchedCLS, packet, c("bpf_skb_change_head", ctx, n, 0), c("bpf_skb_change_head", ctx, 4, 1),
				c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1))
		}
		for _, proto := range []int{0x0008, 0xdd86, 0x1234} {
			s.compare(prog.SchedCLS, packet, c("bpf_skb_change_proto", ctx, proto, 0),
				c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1), c("bpf_skb_change_proto", ctx, 0x0008, 0))
		}
		for _, typ := range []int{0, 3, 4, 5} {
			s.compare(prog.SchedCLS, packet, c("bpf_skb_change_type", ctx, typ), c("bpf_set_hash", ctx, 77),
				c("bpf_get_hash_recalc", ctx), c("bpf_skb_ecn_set_ce", ctx), c("bpf_skb_set_tstamp", ctx, 5, typ))
		}
		s.compare(prog.SchedCLS, packet, c("bpf_redirect", 1, 0), c("bpf_redirect", 1, 1), c("bpf_redirect", 1, 2),
			c("bpf_redirect_peer", 1, 0), c("bpf_redirect_peer", 1, 1), c("bpf_redirect_neigh", 1, nil, 0, 0),
			c("bpf_get_route_realm", ctx), c("bpf_get_cgroup_classid", ctx))
	}
}

func TestKernelRoom(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(7, 8))
	buf := []byte("abcdefghijklmnop")
	flags := []int{0, roomEncapIPv4, roomEncapIPv6, roomEncapIPv4 | roomEncapUDP, roomEncapIPv6 | roomEncapGRE,
		roomEncapIPv4 | roomEncapEth | 14<<roomL2Shift, roomEncapIPv4 | roomEncapEth | 4<<roomL2Shift, roomEncap,
		roomEncapIPv4 | roomEncapUDP | roomEncapGRE, roomFixedGSO, roomDecapIPv4, roomDecapIPv6, roomDecap, roomNoCsumReset, 1 << 20}
	for _, ether := range []uint16{etherIPv4, etherIPv6, 0x0806} {
		packet := ipPacket(rng, ether, 100)
		for _, mode := range []int{0, 1, 2} {
			for _, by := range []int{0, 8, 20, 50, 0xfff, 0x1000, -8, -20, -60, -79, -80, -81, -100, -101} {
				for _, fl := range flags {
					s.compare(prog.SchedCLS, packet, c("bpf_skb_adjust_room", ctx, by, mode, fl),
						c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1))
				}
			}
		}
	}
}

func TestKernelVlan(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(9, 10))
	buf := []byte("abcdefghijklmnop")
	for _, ether := range []uint16{etherIPv4, etherVLAN, etherQinQ} {
		packet := ipPacket(rng, ether, 60)
		binary.BigEndian.PutUint16(packet[16:], []uint16{etherVLAN, etherIPv4, 0x0040}[rng.IntN(3)])
		push := c("bpf_skb_vlan_push", ctx, 0x0081, 5)
		pop := c("bpf_skb_vlan_pop", ctx)
		look := c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1)
		for n := range 32 {
			var calls []call
			for i := range 5 {
				if n>>i&1 != 0 {
					calls = append(calls, push, look)
				} else {
					calls = append(calls, pop, look)
				}
			}
			s.compare(prog.SchedCLS, packet, calls...)
		}
	}
}

func (c call) String() string { return fmt.Sprintf("%s%v", c.helper, c.args) }

// TestKernelMTU has the interface that the kernel's test run is on, the loopback.
func TestKernelMTU(t *testing.T) {
	s := newSuite(t)
	s.router = &FIB{Links: []Link{{Index: 1, Name: "lo", MTU: 65536}}}
	rng := rand.New(rand.NewPCG(11, 12))
	packet := ipPacket(rng, etherIPv4, 60)
	word := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS} {
		for _, ifindex := range []int{0, 1, 1 << 20} {
			for _, length := range []uint32{0, 20, 65535, 65536, 65537, 1 << 31} {
				for _, by := range []int{0, 1, 65462, 65463, -1, 1<<31 - 1} {
					for _, flags := range []int{0, 1, 2} {
						s.compare(typ, packet, c("bpf_check_mtu", ctx, ifindex, word(length), by, flags))
					}
				}
			}
		}
	}
}

// TestKernelSyncookie compares what is not a secret: errors, and that foreign cookies are refused.
func TestKernelSyncookie(t *testing.T) {
	s := newSuite(t)
	rng := rand.New(rand.NewPCG(13, 14))
	packet := ipPacket(rng, etherIPv4, 60)
	ip4, ip6, tcp := make([]byte, 20), make([]byte, 40), make([]byte, 24)
	for _, doff := range []byte{0, 4, 5, 6, 15} {
		tcp[12] = doff << 4
		for _, n := range []int{0, 19, 20, 24} {
			if n == int(doff)*4 && n >= sizeofTCPHeader {
				continue // a cookie
			}
			s.compare(prog.XDP, packet, c("bpf_tcp_raw_gen_syncookie_ipv4", ip4, tcp, n),
				c("bpf_tcp_raw_gen_syncookie_ipv6", ip6, tcp, n))
		}
		s.compare(prog.XDP, packet, c("bpf_tcp_raw_check_syncookie_ipv4", ip4, tcp), c("bpf_tcp_raw_check_syncookie_ipv6", ip6, tcp))
	}
}
