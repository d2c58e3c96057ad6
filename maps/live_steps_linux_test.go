//go:build amd64 || arm64

package maps

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"unsafe"

	"github.com/skepvm/skep/asm"
	"golang.org/x/sys/unix"
)

// kernelSide does steps on a map of the running kernel. It belongs to one thread, which stays on one CPU.
type kernelSide struct {
	t      testing.TB
	spec   *Spec
	fd     int
	cpus   int      // that may be: values of a per-CPU map
	things [][]byte // by which bpf(2) is told of things: descriptors
	names  [][]byte // by which it tells of them: ids and cookies
	progs  map[string]int
	ring   *kernelRing
}

// newKernelSide makes the kernel's map of a Spec and what it may refer to, until the test ends.
func newKernelSide(t testing.TB, spec *Spec) *kernelSide {
	t.Helper()
	k := &kernelSide{t: t, spec: spec, cpus: possibleCPUs(t), progs: map[string]int{}}
	stayOnCPU0(t)
	k.makeThings()
	inner := 0
	if spec.Type.Row().MapInMap {
		inner = int(le32(k.things[0]))
	}
	fd, errno := kernelCreate(spec, inner)
	if errno != 0 {
		t.Fatalf("%+v: %v", spec, errno)
	}
	k.fd = k.keep(fd)
	return k
}

func (k *kernelSide) keep(fd int) int {
	k.t.Cleanup(func() { _ = unix.Close(fd) })
	return fd
}

// possibleCPUs is for how many CPUs the kernel has values in per-CPU maps.
func possibleCPUs(t testing.TB) int {
	b, err := os.ReadFile("/sys/devices/system/cpu/possible")
	if err != nil {
		t.Skip(err)
	}
	_, last, found := strings.Cut(strings.TrimSpace(string(b)), "-")
	if !found {
		return 1
	}
	n, err := strconv.Atoi(last)
	if err != nil {
		t.Skip(err)
	}
	return n + 1
}

// stayOnCPU0 is for programs, whose CPU is that of the caller.
func stayOnCPU0(t testing.TB) {
	runtime.LockOSThread()
	t.Cleanup(runtime.UnlockOSThread)
	var old, one unix.CPUSet
	if err := unix.SchedGetaffinity(0, &old); err != nil {
		t.Fatal(err)
	}
	one.Set(0)
	if err := unix.SchedSetaffinity(0, &one); err != nil {
		t.Skip("CPU 0 is not for us:", err)
	}
	t.Cleanup(func() { _ = unix.SchedSetaffinity(0, &old) })
}

func (k *kernelSide) makeThings() {
	for i := range thingCount {
		var fd, id int
		switch {
		case k.spec.Type.Row().MapInMap:
			fd, _ = kernelCreate(&Spec{Type: Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}, 0)
			id = objectID(k.t, fd)
		case k.spec.Type == ProgArray:
			fd = loadProgram(k.t, "r0 = 0\nexit", 0)
			id = objectID(k.t, fd)
		case k.spec.Type == XSKMap:
			fd, id = xskSocket(k.t), i+1
		case k.spec.Type == CgroupArray, k.spec.Type == CgrpStorage:
			fd, id = cgroup(k.t), i+1
		case k.spec.Type == InodeStorage:
			fd, id = file(k.t), i+1
		case k.spec.Type == TaskStorage:
			fd, id = task(k.t), i+1
		case k.spec.Type.Row().Sockets, needsObject(k.spec.Type):
			k.udpSocket()
			continue
		default:
			id = i + 1
		}
		if fd > 0 {
			k.keep(fd)
		}
		k.things, k.names = append(k.things, appendLE32(uint32(fd))), append(k.names, appendLE32(uint32(id)))
	}
}

func xskSocket(t testing.TB) int {
	fd, err := unix.Socket(unix.AF_XDP, unix.SOCK_RAW, 0)
	if err != nil {
		t.Skip("no AF_XDP:", err)
	}
	return fd
}

// cgroup opens the root of the control groups of version 2. Nothing is put into it.
func cgroup(t testing.TB) int {
	for _, root := range []string{"/sys/fs/cgroup", "/sys/fs/cgroup/unified"} {
		var fs unix.Statfs_t
		if unix.Statfs(root, &fs) == nil && fs.Type == unix.CGROUP2_SUPER_MAGIC {
			fd, err := unix.Open(root, unix.O_RDONLY|unix.O_DIRECTORY, 0)
			if err != nil {
				t.Skip(err)
			}
			return fd
		}
	}
	t.Skip("no control groups of version 2")
	return -1
}

// file opens a file of its own.
func file(t testing.TB) int {
	f, err := os.CreateTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { f.Close() })
	fd, err := unix.Dup(int(f.Fd()))
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

// task starts a process that ends with the test, and opens it.
func task(t testing.TB) int {
	p := exec.Command("sleep", "100")
	if err := p.Start(); err != nil {
		t.Skip(err)
	}
	t.Cleanup(func() { _, _ = p.Process.Kill(), p.Wait() })
	fd, err := unix.PidfdOpen(p.Process.Pid, 0)
	if err != nil {
		t.Skip(err)
	}
	return fd
}

// udpSocket adds a bound socket.
func (k *kernelSide) udpSocket() {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM, 0)
	if err != nil {
		k.t.Fatal(err)
	}
	k.keep(fd)
	err = errors.Join(unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_REUSEPORT, 1),
		unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}))
	if err != nil {
		k.t.Fatal(err)
	}
	cookie, err := unix.GetsockoptUint64(fd, unix.SOL_SOCKET, unix.SO_COOKIE)
	if err != nil {
		k.t.Fatal(err)
	}
	k.things, k.names = append(k.things, appendLE32(uint32(fd))), append(k.names, le.AppendUint64(nil, cookie))
}

// objectID is the number of a map or program (Linux: struct bpf_map_info and bpf_prog_info have it second).
func objectID(t testing.TB, fd int) int {
	var info [2]uint32
	attr := &struct {
		fd, size uint32
		info     uint64
	}{uint32(fd), 8, uint64(uintptr(unsafe.Pointer(&info)))}
	if _, errno := bpfCall(cmdObjInfo, unsafe.Pointer(attr), unsafe.Sizeof(*attr)); errno != 0 {
		t.Fatal(errno)
	}
	runtime.KeepAlive(&info)
	return int(info[1])
}

// loadProgram loads a tc program in which map[m] is the map of that descriptor.
func loadProgram(t testing.TB, text string, fd int) int {
	t.Helper()
	insns, err := asm.Parse(text, asm.ParseOptions{Maps: func(string) (int32, bool) { return int32(fd), true }})
	if err != nil {
		t.Fatal(err)
	}
	for i := range insns {
		if insns[i].Op == 0x18 && insns[i].Src == asm.PseudoMapIdx {
			insns[i].Src = asm.PseudoMapFD
		}
	}
	code, license, log := asm.EncodeProgram(insns), []byte("GPL\x00"), make([]byte, 1<<16)
	attr := &struct {
		typ, count     uint32
		insns, license uint64
		level, size    uint32
		log            uint64
		_              [16]uint64
	}{typ: 3, count: uint32(len(insns)), insns: addressOf(code), license: addressOf(license), level: 1, size: uint32(len(log)), log: addressOf(log)}
	p, errno := bpfCall(cmdProgLoad, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	if errno != 0 {
		t.Fatalf("%v: %s\n%s", errno, strings.TrimRight(string(log), "\x00"), text)
	}
	runtime.KeepAlive(code)
	runtime.KeepAlive(license)
	return p
}

// run runs a program over key, value and flags, which it finds after the Ethernet header, and gives back what is there afterwards.
func (k *kernelSide) run(op string, key, value []byte, flags uint64) (ret int32, after []byte) {
	fd, ok := k.progs[op]
	if !ok {
		fd = k.keep(loadProgram(k.t, k.program(op), k.fd))
		k.progs[op] = fd
	}
	if len(value) == 0 {
		value = make([]byte, k.spec.ValueSize)
	}
	packet := make([]byte, 14, 14+len(key)+len(value)+8)
	packet = append(append(packet, key...), value...)
	packet = le.AppendUint64(packet, flags)
	out := make([]byte, len(packet)+256)
	attr := &struct {
		fd, ret, sizeIn, sizeOut uint32
		in, out                  uint64
		_                        [8]uint64
	}{fd: uint32(fd), sizeIn: uint32(len(packet)), sizeOut: uint32(len(out)), in: addressOf(packet), out: addressOf(out)}
	if _, errno := bpfCall(cmdProgRun, unsafe.Pointer(attr), unsafe.Sizeof(*attr)); errno != 0 {
		k.t.Fatal(errno)
	}
	runtime.KeepAlive(packet)
	runtime.KeepAlive(out)
	return int32(attr.ret), out[14+len(key) : 14+len(key)+len(value)]
}

// program is the text of a program for a step.
func (k *kernelSide) program(op string) string {
	align := func(n uint32) int { return int(round8(n)) }
	key, value := -align(k.spec.KeySize), -align(k.spec.KeySize)-align(k.spec.ValueSize)
	load := func(at, size, to int) string {
		return fmt.Sprintf("r1 = r6\nr2 = %d\nr3 = r10\nr3 += %d\nr4 = %d\ncall 26\nif r0 != 0 goto out\n", at, to, size)
	}
	text := "r6 = r1\n"
	if k.spec.KeySize > 0 {
		text += load(14, int(k.spec.KeySize), key)
	}
	text += load(14+int(k.spec.KeySize), int(k.spec.ValueSize), value) + load(14+int(k.spec.KeySize+k.spec.ValueSize), 8, value-8)
	keyArg, valueArg := fmt.Sprintf("r2 = r10\nr2 += %d\n", key), fmt.Sprintf("r3 = r10\nr3 += %d\n", value)
	flags := fmt.Sprintf("*(u64 *)(r10 %d)\n", value-8)
	elem := fmt.Sprintf("r2 = r10\nr2 += %d\n", value)
	store := fmt.Sprintf("r1 = r6\nr2 = %d\nr4 = %d\nr5 = 0\ncall 9\n", 14+k.spec.KeySize, k.spec.ValueSize)
	switch text += "r1 = map[m]\n"; op {
	case "lookup":
		text += keyArg + "call 1\nif r0 == 0 goto out\n"
		if !refers(k.spec.Type) {
			text += "r3 = r0\n" + store
		}
		text += "r0 = 1\n"
	case "update":
		text += keyArg + valueArg + "r4 = " + flags + "call 2\n"
	case "delete":
		text += keyArg + "call 3\n"
	case "push":
		text += elem + "r3 = " + flags + "call 87\n"
	case "pop", "peek":
		text += elem + map[string]string{"pop": "call 88\n", "peek": "call 89\n"}[op] + "r7 = r0\n" + valueArg + store + "r0 = r7\n"
	}
	return text + "out:\nexit"
}

// result is the outcome of what a program got.
func result(ret int32) string { return errnoName(Errno(-ret)) }

func (k *kernelSide) key(word string) []byte   { return arg(word, k.things, k.spec.KeySize) }
func (k *kernelSide) value(word string) []byte { return arg(word, k.things, k.spec.ValueSize) }

// host is the value for bpf(2).
func (k *kernelSide) host(word string) []byte {
	v := k.value(word)
	if k.spec.Type.Row().PerCPU {
		return perCPU(v, k.cpus)
	}
	return v
}

func (k *kernelSide) elem(cmd int, key, value []byte, flags uint64) Errno {
	attr := &elemAttr{fd: uint32(k.fd), key: addressOf(key), value: addressOf(value), flags: flags}
	_, errno := bpfCall(cmd, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	runtime.KeepAlive(key)
	runtime.KeepAlive(value)
	return errno
}

// get is a command that gives a value.
func (k *kernelSide) get(cmd int, key []byte, flags uint64) string {
	value := make([]byte, k.spec.HostValueSize(k.cpus))
	if errno := k.elem(cmd, key, value, flags); errno != 0 {
		return errnoName(errno)
	}
	return showValue(k.spec, value, k.names)
}

func (k *kernelSide) nextKey(key []byte) ([]byte, error) {
	next := make([]byte, max(k.spec.KeySize, 4))
	if errno := k.elem(cmdMapNextKey, key, next, 0); errno != 0 {
		return nil, &Error{Errno: errno}
	}
	return next[:k.spec.KeySize], nil
}

func (k *kernelSide) do(s step) string {
	a := s[1:]
	switch s[0] {
	case "lookup":
		ret, after := k.run("lookup", k.key(a[0]), nil, 0)
		switch {
		case ret == 0:
			return "none"
		case refers(k.spec.Type):
			return "ok"
		}
		return hex.EncodeToString(after)
	case "update":
		ret, _ := k.run("update", k.key(a[0]), k.value(a[1]), number(a[2]))
		return result(ret)
	case "delete":
		ret, _ := k.run("delete", k.key(a[0]), nil, 0)
		return result(ret)
	case "push":
		ret, _ := k.run("push", nil, k.value(a[0]), number(a[1]))
		return result(ret)
	case "pop", "peek":
		ret, after := k.run(s[0], nil, nil, 0)
		if ret != 0 {
			return result(ret)
		}
		return hex.EncodeToString(after)
	case "output", "query", "consume":
		return k.doRing(s[0], a)
	}
	return k.doHost(s[0], a)
}

// doHost does what bpf(2) does.
func (k *kernelSide) doHost(op string, a step) string {
	switch op {
	case "host-lookup":
		return k.get(cmdMapLookup, k.key(a[0]), number(a[1]))
	case "host-take":
		return k.get(cmdLookupDelete, k.key(a[0]), number(a[1]))
	case "host-update":
		return errnoName(k.elem(cmdMapUpdate, k.key(a[0]), k.host(a[1]), number(a[2])))
	case "host-delete":
		return errnoName(k.elem(cmdMapDelete, k.key(a[0]), nil, 0))
	case "contains":
		return errnoName(k.elem(cmdMapLookup, nil, k.value(a[0]), 0))
	case "host-next":
		next, err := k.nextKey(k.key(a[0]))
		switch {
		case err != nil:
			return errnoName(ErrnoOf(err))
		case !ordered(k.spec.Type):
			return "a key"
		}
		return show(next, nil, false)
	case "host-keys":
		return walk(k.spec.Type, k.nextKey)
	case "freeze":
		attr := &struct{ fd uint32 }{uint32(k.fd)}
		_, errno := bpfCall(cmdFreeze, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
		return errnoName(errno)
	}
	return k.doBatch(op, a)
}

func (k *kernelSide) doBatch(op string, a step) string {
	var keys, values []byte
	switch op {
	case "lookup-batch":
		return k.readBatch(cmdLookupBatch, int(number(a[0])), number(a[1]))
	case "take-batch":
		return k.readBatch(cmdLookupDeleteBatch, int(number(a[0])), number(a[1]))
	case "update-batch":
		for i := 1; i+1 < len(a); i += 2 {
			keys, values = append(keys, k.key(a[i])...), append(values, k.host(a[i+1])...)
		}
		done, errno := k.batch(cmdUpdateBatch, nil, nil, keys, values, len(a)/2, number(a[0]))
		return fmt.Sprint(done, " ", errnoName(errno))
	case "delete-batch":
		for _, key := range a[1:] {
			keys = append(keys, k.key(key)...)
		}
		done, errno := k.batch(cmdDeleteBatch, nil, nil, keys, nil, len(a)-1, number(a[0]))
		return fmt.Sprint(done, " ", errnoName(errno))
	}
	panic("no such step: " + op)
}

func (k *kernelSide) batch(cmd int, in, out, keys, values []byte, n int, flags uint64) (int, Errno) {
	attr := &batchAttr{in: addressOf(in), out: addressOf(out), keys: addressOf(keys), values: addressOf(values), count: uint32(n),
		fd: uint32(k.fd), elemFlags: flags}
	_, errno := bpfCall(cmd, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	for _, b := range [][]byte{in, out, keys, values} {
		runtime.KeepAlive(b)
	}
	if errno != 0 && int(attr.count) == n { // it got not so far as to count
		return 0, errno
	}
	return int(attr.count), errno
}

// readBatch asks for all elements, n at a time.
func (k *kernelSide) readBatch(cmd, n int, flags uint64) string {
	size := k.spec.HostValueSize(k.cpus)
	var all []string
	var in []byte
	for len(all) < 1000 {
		keys, values, out := make([]byte, n*int(k.spec.KeySize)+1), make([]byte, n*size+1), make([]byte, max(k.spec.KeySize, 4))
		got, errno := k.batch(cmd, in, out, keys, values, n, flags)
		for i := range got {
			key := keys[i*int(k.spec.KeySize):][:k.spec.KeySize]
			all = append(all, hex.EncodeToString(key)+"="+showValue(k.spec, values[i*size:][:size], k.names))
		}
		if errno != 0 || n == 0 {
			return showPairs(k.spec.Type, all, errnoName(errno))
		}
		in = out
	}
	return "endless"
}

// kernelRing is the mapped pages of a ring buffer: the consumer's position, and the producer's with the data twice after it.
type kernelRing struct{ consumer, producer []byte }

func (k *kernelSide) doRing(op string, a step) string {
	page, size := os.Getpagesize(), int(k.spec.MaxEntries)
	if k.ring == nil {
		consumer, err := unix.Mmap(k.fd, 0, page, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
		if err != nil {
			k.t.Fatal(err)
		}
		producer, err := unix.Mmap(k.fd, int64(page), page+2*size, unix.PROT_READ, unix.MAP_SHARED)
		if err != nil {
			k.t.Fatal(err)
		}
		k.ring = &kernelRing{consumer, producer}
		k.t.Cleanup(func() { _, _ = unix.Munmap(consumer), unix.Munmap(producer) })
	}
	switch op {
	case "output":
		return result(k.ringRun(fmt.Sprintf("r2 = r10\nr2 += -%d\nr3 = %s\nr4 = 0\ncall 130\n", ringStack, a[0]), a[0]))
	case "query":
		return fmt.Sprint(k.ringRun("r2 = "+a[0]+"\ncall 134\n", "0"))
	}
	at := (*uint64)(unsafe.Pointer(&k.ring.consumer[0]))
	end := (*uint64)(unsafe.Pointer(&k.ring.producer[0]))
	pos := atomic.LoadUint64(at)
	if pos == atomic.LoadUint64(end) {
		return "none"
	}
	record := k.ring.producer[page+int(pos%uint64(size)):]
	length := int(le32(record))
	atomic.StoreUint64(at, pos+uint64(length+RingHeaderSize+7)&^7)
	return showSample(record[RingHeaderSize : RingHeaderSize+length])
}

const ringStack = 512

// ringRun runs a program that has filled its stack with a byte.
func (k *kernelSide) ringRun(call, fill string) int32 {
	text := ""
	for i := 0; i < ringStack; i += 8 {
		text += fmt.Sprintf("*(u64 *)(r10 - %d) = r3\n", i+8)
	}
	text = fmt.Sprintf("r3 = %d ll\n", 0x0101010101010101*(number(fill)&0xff)) + text + "r1 = map[m]\n" + call + "exit"
	fd := loadProgram(k.t, text, k.fd)
	defer unix.Close(fd)
	k.progs["ring"] = fd
	ret, _ := k.run("ring", nil, nil, 0)
	return ret
}

func TestLiveSteps(t *testing.T) {
	needLiveKernel(t)
	eachStepsFile(t, func(t *testing.T, spec *Spec) side {
		if spec.Type.Row().PerCPU && possibleCPUs(t) != 2 {
			return nil // the files have the values of two CPUs
		}
		return newKernelSide(t, spec)
	})
}

// devices are the numbers of network interfaces, for maps of those.
func devices(t testing.TB) (all []uint32) {
	list, err := net.Interfaces()
	if err != nil {
		t.Skip(err)
	}
	for _, i := range list {
		all = append(all, uint32(i.Index))
	}
	return all
}
