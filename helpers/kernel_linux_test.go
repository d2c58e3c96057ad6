//go:build amd64 || arm64

package helpers

import (
	"bytes"
	"fmt"
	"runtime"
	"strings"
	"testing"
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
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

// oldestReferee is the first kernel with the semantics that this package has (csum_diff: 6.13; BPF_F_IPV6: 6.16).
var oldestReferee = kver.V(6, 16)

func init() {
	fd, _, err := kernelLoad(prog.SocketFilter, 0, 0, []asm.Insn{{Op: 0xb7}, {Op: 0x95}})
	if err != nil {
		return
	}
	unix.Close(fd)
	if k, err := running(); err == nil && k.AtLeast(oldestReferee) {
		referee = askKernel
	}
}

func running() (kver.Version, error) {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return kver.Version{}, err
	}
	return kver.Parse(unix.ByteSliceToString(u.Release[:]))
}

func askKernel(typ prog.Type, insns []asm.Insn, packet []byte) (ret uint32, data []byte, err error) {
	fd, log, err := kernelLoad(typ, 0, 0, insns)
	if err != nil {
		return 0, nil, fmt.Errorf("%w: %s", err, log)
	}
	defer unix.Close(fd)
	return kernelRun(fd, packet)
}

func needKernel(t *testing.T) kver.Version {
	t.Helper()
	if referee == nil {
		t.Skipf("no bpf(2), or a kernel before %v", oldestReferee)
	}
	k, err := running()
	if err != nil {
		t.Skip(err)
	}
	return k
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

// TestKernelPidNamespace asks, from within a test run, for the numbers of the thread that makes it.
func TestKernelPidNamespace(t *testing.T) {
	needKernel(t)
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	var st unix.Stat_t
	if err := unix.Stat("/proc/self/ns/pid", &st); err != nil {
		t.Skip(err)
	}
	b := newTestbed(t, prog.XDP)
	b.e.Task = &Task{NSDev: uint32(st.Dev), NSIno: st.Ino, NSPID: uint32(unix.Gettid()), NSTGID: uint32(unix.Getpid())}
	calls := []call{c("bpf_get_ns_current_pid_tgid", int(st.Dev), int(st.Ino), make([]byte, 8), 8),
		c("bpf_get_ns_current_pid_tgid", int(st.Dev)+1, int(st.Ino), make([]byte, 8), 8)}
	want, _, err := askKernel(prog.XDP, program(calls), make([]byte, 64))
	if err != nil {
		t.Fatal(err)
	}
	if got := ours(t, b.e, b.stack, calls); got != want {
		t.Errorf("%#x, kernel %#x", got, want)
	}
	if r0 := callHelper(t, b.e, "bpf_get_ns_current_pid_tgid", st.Dev, st.Ino, uint64(b.stack), 8); r0 != 0 {
		t.Errorf("%d", r0)
	}
}
