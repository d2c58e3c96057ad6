//go:build amd64 || arm64

package helpers

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"golang.org/x/sys/unix"
)

// The tests of this file ask the running kernel: through bpf(2), which needs root. Nothing is attached.

const (
	cmdProgLoad = 5
	cmdTestRun  = 10
)

func bpf(cmd int, attr unsafe.Pointer, size uintptr) (int, error) {
	fd, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
	runtime.KeepAlive(attr)
	if errno != 0 {
		return -1, errno
	}
	return int(fd), nil
}

type loadAttr struct {
	typ, insnCnt     uint32
	insns, license   uint64
	logLevel         uint32
	logSize          uint32
	log              uint64
	kernVersion      uint32
	flags            uint32
	name             [16]byte
	ifindex, attach  uint32
	btfFD, infoRec   uint32
	info             uint64
	infoCnt, lineRec uint32
}

// kernelLoad loads a program and returns its file descriptor or the verifier's words.
func kernelLoad(typ prog.Type, at prog.Attach, flags uint32, insns []asm.Insn) (int, string, error) {
	code := asm.EncodeProgram(insns)
	license := []byte("GPL\x00")
	log := make([]byte, 1<<16)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&code[0])
	pin.Pin(&license[0])
	pin.Pin(&log[0])
	attr := &loadAttr{typ: uint32(typ), insnCnt: uint32(len(insns)), insns: address(code), license: address(license),
		logLevel: 1, logSize: uint32(len(log)), log: address(log), attach: uint32(at), flags: flags}
	fd, err := bpf(cmdProgLoad, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	for try := 0; err == unix.EAGAIN && try < 10; try++ { // a signal came: Go sends them
		fd, err = bpf(cmdProgLoad, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	}
	text, _, _ := bytes.Cut(log, []byte{0})
	return fd, string(text), err
}

func address(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(&b[0]))) }

type runAttr struct {
	fd, retval      uint32
	sizeIn, sizeOut uint32
	in, out         uint64
	repeat, ns      uint32
	ctxIn, ctxOut   uint32
	ctx, ctxTo      uint64
	flags, cpu      uint32
	batch, pad      uint32
}

func kernelRun(fd int, packet []byte) (retval uint32, out []byte, err error) {
	out = make([]byte, 1<<16)
	var pin runtime.Pinner
	defer pin.Unpin()
	pin.Pin(&packet[0])
	pin.Pin(&out[0])
	attr := &runAttr{fd: uint32(fd), sizeIn: uint32(len(packet)), sizeOut: uint32(len(out)), in: address(packet), out: address(out)}
	_, err = bpf(cmdTestRun, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	return attr.retval, out[:attr.sizeOut], err
}

func needKernel(t *testing.T) kver.Version {
	t.Helper()
	fd, _, err := kernelLoad(prog.SocketFilter, 0, 0, []asm.Insn{{Op: 0xb7}, {Op: 0x95}})
	if err != nil {
		t.Skip("bpf(2) is not to be had: ", err)
	}
	unix.Close(fd)
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		t.Skip(err)
	}
	v, err := kver.Parse(unix.ByteSliceToString(u.Release[:]))
	if err != nil {
		t.Skip(err)
	}
	return v
}

// attachOf are attach types under which programs of a type load, for types where 0 is none.
var attachOf = map[prog.Type][]prog.Attach{
	prog.CgroupSock: {prog.AttachCgroupInetSockCreate, prog.AttachCgroupInet4PostBind},
	prog.CgroupSockAddr: {prog.AttachCgroupInet4Bind, prog.AttachCgroupInet4Connect, prog.AttachCgroupUDP4Sendmsg,
		prog.AttachCgroupInet6Bind, prog.AttachCgroupUDP6Sendmsg},
	prog.CgroupSockopt: {prog.AttachCgroupGetsockopt, prog.AttachCgroupSetsockopt}, prog.SkLookup: {prog.AttachSkLookup},
	prog.CgroupDevice: {prog.AttachCgroupDevice}, prog.CgroupSysctl: {prog.AttachCgroupSysctl},
	prog.Netfilter: {prog.AttachNetfilter}, prog.SkReuseport: {prog.AttachSkReuseportSelect},
	prog.SkSKB: {prog.AttachSkSKBStreamVerdict}, prog.SkMsg: {prog.AttachSkMsgVerdict}, prog.SockOps: {prog.AttachCgroupSockOps},
	prog.FlowDissector: {prog.AttachFlowDissector}, prog.XDP: {prog.AttachXDP, prog.AttachXDPDevmap},
}

func attaches(t prog.Type) []prog.Attach {
	if a := attachOf[t]; a != nil {
		return a
	}
	return []prog.Attach{0}
}

// needsTarget are types that only load with a kernel function to attach to.
func needsTarget(t prog.Type) bool {
	return t == prog.Tracing || t == prog.StructOps || t == prog.Ext || t == prog.LSM || t == prog.LircMode2
}

// TestKernelAllowsHelpers compares which helpers each program type may call with what the running kernel says.
func TestKernelAllowsHelpers(t *testing.T) {
	k := needKernel(t)
	// Depend on the kernel's options, on its lock-down, or on the attach point.
	optional := "bpf_override_return bpf_probe_write_user bpf_get_func_ret bpf_get_func_arg bpf_get_func_arg_cnt " +
		"bpf_get_attach_cookie bpf_seq_printf bpf_seq_write bpf_seq_printf_btf bpf_get_retval bpf_set_retval"
	checked := 0
	for typ := prog.SocketFilter; typ < prog.NumTypes; typ++ {
		if needsTarget(typ) || !k.AtLeast(typ.Row().Since) {
			continue
		}
		for id := 1; id < len(Table); id++ {
			r := &Table[id]
			if strings.Contains(optional, r.Name) {
				continue
			}
			want := Allowed(r, typ, k)
			got, said := kernelAllows(typ, int32(id))
			if got != want {
				t.Errorf("%s for %v: kernel %v, table %v: %s", r.Name, typ, got, want, said)
			}
			checked++
		}
	}
	if checked < 4000 {
		t.Errorf("only %d pairs were looked at", checked)
	}
}

func kernelAllows(typ prog.Type, id int32) (ok bool, log string) {
	flags := uint32(0)
	if typ == prog.Syscall {
		flags = 1 << 4 // BPF_F_SLEEPABLE
	}
	for _, at := range attaches(typ) {
		fd, said, err := kernelLoad(typ, at, flags, []asm.Insn{{Op: 0x85, Imm: id}, {Op: 0xb7}, {Op: 0x95}})
		if err == nil {
			unix.Close(fd)
		}
		log = said
		if !strings.Contains(said, "cannot use helper") && !strings.Contains(said, "unknown func") {
			return true, log
		}
	}
	return false, log
}

// TestKernelCtxAccess compares the ctx tables with what the running kernel says of every offset and size.
func TestKernelCtxAccess(t *testing.T) {
	k := needKernel(t)
	for typ := prog.SocketFilter; typ < prog.NumTypes; typ++ {
		row := typ.Row()
		if needsTarget(typ) || row.CtxSize == 0 || !k.AtLeast(row.Since) || row.CtxName == "pt_regs" ||
			row.CtxName == "bpf_perf_event_data" && runtime.GOARCH != "amd64" {
			continue
		}
		for _, at := range attaches(typ) {
			for off := range row.CtxSize + 4 {
				for _, size := range []int{1, 2, 4, 8} {
					compareAccess(t, row, at, off, size, false, k)
					compareAccess(t, row, at, off, size, true, k)
				}
			}
		}
	}
}

func compareAccess(t *testing.T, row *prog.TypeRow, at prog.Attach, off, size int, write bool, k kver.Version) {
	t.Helper()
	sizes := map[int]uint8{1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18}
	insns := []asm.Insn{{Op: 0xb7, Dst: 0}}
	if write {
		insns = append(insns, asm.Insn{Op: 0x63 | sizes[size], Dst: 1, Src: 0, Off: int16(off)})
	} else {
		insns = append(insns, asm.Insn{Op: 0x61 | sizes[size], Dst: 2, Src: 1, Off: int16(off)})
	}
	insns = append(insns, asm.Insn{Op: 0xb7, Imm: 1}, asm.Insn{Op: 0x95})
	fd, _, err := kernelLoad(row.Type, at, 0, insns)
	if err == nil {
		unix.Close(fd)
	}
	_, want := row.Access(off, size, write, at, k)
	if got := err == nil; got != want {
		t.Errorf("%s attach %d: off %d size %d write %v: kernel %v, table %v", row.Name, at, off, size, write, got, want)
	}
}

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

// bench is one machine to run helpers on.
type testbed struct {
	e     *Env
	buf   *prog.Buffer
	stack uint32
}

func newTestbed(t testing.TB, typ prog.Type) *testbed {
	t.Helper()
	s, err := mem.New(mem.Options{})
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

// compare runs calls on a packet in the kernel and here.
func compare(t *testing.T, typ prog.Type, packet []byte, calls ...call) {
	t.Helper()
	fd, log, err := kernelLoad(typ, 0, 0, program(calls))
	if err != nil {
		t.Fatalf("%v: %v\n%s", calls, err, log)
	}
	defer unix.Close(fd)
	want, wantData, err := kernelRun(fd, packet)
	if err != nil {
		t.Fatalf("%v: %v", calls, err)
	}
	b := newTestbed(t, typ)
	if err := b.buf.Set(packet, &prog.Input{Ifindex: 1}); err != nil {
		t.Fatal(err)
	}
	got := ours(t, b.e, b.stack, calls)
	var out prog.Output
	if !b.buf.Read(&out) {
		t.Fatalf("%v: the frame is broken", calls)
	}
	if got != want {
		t.Errorf("%s %v: result %#x (%d), kernel %#x (%d)", typ, calls, got, int32(got), want, int32(want))
	}
	gotData := append(bytes.Clone(out.Meta), out.Data...) // as the kernel gives an XDP packet back
	if !bytes.Equal(gotData, wantData) {
		t.Errorf("%s %v: packet\n%x, kernel\n%x", typ, calls, gotData, wantData)
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
	needKernel(t)
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
		compare(t, prog.SchedCLS, packet, c("bpf_csum_diff", from, n, to, m, edge()))
		binary.LittleEndian.PutUint16(packet[24:], uint16(edge()))
		off := 24 + rng.IntN(4)/3
		mask := []int{0, 2, 4, 3}[rng.IntN(4)]
		flags := mask | rng.IntN(8)<<4
		pre := edge()
		if mask == 0 && rng.IntN(4) > 0 {
			pre = 0
		}
		compare(t, prog.SchedCLS, packet, c("bpf_l3_csum_replace", ctx, off, pre, edge(), mask),
			c("bpf_l4_csum_replace", ctx, off, pre, edge(), flags))
	}
	compare(t, prog.SchedCLS, packet, c("bpf_l3_csum_replace", ctx, 73, 1, 2, 2), c("bpf_l3_csum_replace", ctx, 72, 1, 2, 2),
		c("bpf_l3_csum_replace", ctx, 74, 1, 2, 2), c("bpf_l3_csum_replace", ctx, 24, 1, 2, 16),
		c("bpf_l4_csum_replace", ctx, 24, 1, 2, 2|256), c("bpf_csum_update", ctx, 7), c("bpf_csum_level", ctx, 0),
		c("bpf_csum_level", ctx, 1), c("bpf_csum_level", ctx, 9))
}

func TestKernelXDP(t *testing.T) {
	needKernel(t)
	rng := rand.New(rand.NewPCG(3, 4))
	packet := ipPacket(rng, etherIPv4, 50)
	for _, by := range []int{0, 1, -1, -216, -217, -256, 50, 51, 64, 1 << 20, -1 << 31} {
		compare(t, prog.XDP, packet, c("bpf_xdp_adjust_head", ctx, by), c("bpf_xdp_get_buff_len", ctx))
	}
	for _, by := range []int{0, 1, 100, -1, -50, -51, 3456, 3457, 4000, 1 << 30, -1 << 31} {
		compare(t, prog.XDP, packet, c("bpf_xdp_adjust_tail", ctx, by), c("bpf_xdp_get_buff_len", ctx))
	}
	for _, by := range []int{0, -4, -2, -32, -36, -216, -220, -252, -256, 4, 1 << 30} {
		compare(t, prog.XDP, packet, c("bpf_xdp_adjust_meta", ctx, by), c("bpf_xdp_adjust_head", ctx, -200),
			c("bpf_xdp_adjust_meta", ctx, 4), c("bpf_xdp_adjust_head", ctx, -16))
	}
	buf := []byte("abcdefgh")
	for _, off := range []int{0, 14, 56, 57, 64, 65, 0xffff, 0x10000, -1} {
		compare(t, prog.XDP, packet, c("bpf_xdp_store_bytes", ctx, off, buf, 8), c("bpf_xdp_load_bytes", ctx, off/2, buf, 8))
	}
	compare(t, prog.XDP, packet, c("bpf_redirect", 1, 0), c("bpf_redirect", 1, 1))
	for range 100 {
		var calls []call
		for range 1 + rng.IntN(5) {
			name := []string{"head", "tail", "meta"}[rng.IntN(3)]
			calls = append(calls, c("bpf_xdp_adjust_"+name, ctx, rng.IntN(120)-60&^(3*rng.IntN(2))))
		}
		compare(t, prog.XDP, packet, calls...)
	}
}

func TestKernelSKB(t *testing.T) {
	needKernel(t)
	rng := rand.New(rand.NewPCG(5, 6))
	buf := []byte("abcdefghijklmnop")
	for _, ether := range []uint16{etherIPv4, etherIPv6} {
		packet := ipPacket(rng, ether, 80)
		for _, off := range []int{0, 13, 78, 79, 94, 0xffff, 0x10000, 1 << 31, -1} {
			compare(t, prog.SchedCLS, packet, c("bpf_skb_load_bytes", ctx, off, buf, 16), c("bpf_skb_store_bytes", ctx, off, buf, 16, 0),
				c("bpf_skb_load_bytes_relative", ctx, off, buf, 16, 0), c("bpf_skb_load_bytes_relative", ctx, off, buf, 16, 1),
				c("bpf_skb_store_bytes", ctx, 3, buf, 4, 3), c("bpf_skb_store_bytes", ctx, 3, buf, 4, 4),
				c("bpf_skb_load_bytes_relative", ctx, 1, buf, 16, 2))
		}
		for _, n := range []int{0, 13, 14, 34, 60, 94, 95, 200, 16064, 16065, 1 << 31} {
			compare(t, prog.SchedCLS, packet, c("bpf_skb_change_tail", ctx, n, 0), c("bpf_skb_pull_data", ctx, n),
				c("bpf_skb_pull_data", ctx, 0))
		}
		for _, n := range []int{0, 1, 14, 100, 1 << 31, -1} {
			compare(t, prog.SchedCLS, packet, c("bpf_skb_change_head", ctx, n, 0), c("bpf_skb_change_head", ctx, 4, 1),
				c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1))
		}
		for _, proto := range []int{0x0008, 0xdd86, 0x1234} {
			compare(t, prog.SchedCLS, packet, c("bpf_skb_change_proto", ctx, proto, 0),
				c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1), c("bpf_skb_change_proto", ctx, 0x0008, 0))
		}
		for _, typ := range []int{0, 3, 4, 5} {
			compare(t, prog.SchedCLS, packet, c("bpf_skb_change_type", ctx, typ), c("bpf_set_hash", ctx, 77),
				c("bpf_get_hash_recalc", ctx), c("bpf_skb_ecn_set_ce", ctx), c("bpf_skb_set_tstamp", ctx, 5, typ))
		}
		compare(t, prog.SchedCLS, packet, c("bpf_redirect", 1, 0), c("bpf_redirect", 1, 1), c("bpf_redirect", 1, 2),
			c("bpf_redirect_peer", 1, 0), c("bpf_redirect_peer", 1, 1), c("bpf_redirect_neigh", 1, nil, 0, 0),
			c("bpf_get_route_realm", ctx), c("bpf_get_cgroup_classid", ctx))
	}
}

func TestKernelRoom(t *testing.T) {
	needKernel(t)
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
					compare(t, prog.SchedCLS, packet, c("bpf_skb_adjust_room", ctx, by, mode, fl),
						c("bpf_skb_load_bytes_relative", ctx, 0, buf, 16, 1))
				}
			}
		}
	}
}

func TestKernelVlan(t *testing.T) {
	needKernel(t)
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
			compare(t, prog.SchedCLS, packet, calls...)
		}
	}
}

func (c call) String() string { return fmt.Sprintf("%s%v", c.helper, c.args) }
