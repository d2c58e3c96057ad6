//go:build amd64 || arm64

package maps

import (
	"encoding/binary"
	"fmt"
	"runtime"
	"sync"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// The tests of this file and of the live_*_linux_test.go files ask the running kernel: through bpf(2), which needs root. Nothing is
// attached.

// Commands of bpf(2) (Linux: enum bpf_cmd).
const (
	cmdMapCreate          = 0
	cmdMapLookup          = 1
	cmdMapUpdate          = 2
	cmdMapDelete          = 3
	cmdMapNextKey         = 4
	cmdProgLoad           = 5
	cmdProgRun            = 10
	cmdLookupDelete       = 21
	cmdFreeze             = 22
	cmdLookupBatch        = 24
	cmdLookupDeleteBatch  = 25
	cmdUpdateBatch        = 26
	cmdDeleteBatch        = 27
	cmdBTFLoad            = 18
	cmdObjInfo            = 15
	cmdMapFDByID          = 14
	retriesOfInterrupted  = 20
	oldestLiveMajor       = 6 // the tables are those of 6.18: an older kernel differs in error numbers
	oldestLiveMinor       = 12
	ownErrnoBeyondUserMax = 512
)

type createAttr struct {
	typ, keySize, valueSize, maxEntries uint32
	flags, innerFD, numa                uint32
	name                                [16]byte
	ifindex, btfFD, btfKey, btfValue    uint32
	vmlinuxValue                        uint32
	extra                               uint64
	_                                   [2]uint32
}

type elemAttr struct {
	fd, _      uint32
	key, value uint64 // of the next key too
	flags      uint64
}

type batchAttr struct {
	in, out, keys, values uint64
	count, fd             uint32
	elemFlags, flags      uint64
}

// bpfCall is bpf(2). The errors are the kernel's own numbers, of which some have no name.
func bpfCall(cmd int, attr unsafe.Pointer, size uintptr) (int, Errno) {
	for try := 0; ; try++ {
		r, _, errno := unix.Syscall(unix.SYS_BPF, uintptr(cmd), uintptr(attr), size)
		runtime.KeepAlive(attr)
		if (errno == unix.EAGAIN || errno == unix.EINTR) && try < retriesOfInterrupted { // a signal came: Go sends them
			continue
		}
		return int(r), Errno(errno)
	}
}

// storageBTF describes a key of 4 bytes, type 1, and a value of size bytes, type 3, which storage maps must have.
func storageBTF(size uint32) (fd int, errno Errno) {
	words := []uint32{
		0x0001eb9f, 24, 0, 0, 0, 0, // the header: lengths are set below
	}
	types := []uint32{
		1, 1 << 24, 4, 32, // int "k": 4 bytes
		3, 1 << 24, 1, 8, // int "b": 1 byte
		0, 3 << 24, 0, 2, 1, size, // array of type 2, indexed by type 1
	}
	strs := []byte("\x00k\x00b\x00\x00\x00\x00")
	words[3], words[4], words[5] = uint32(4*len(types)), uint32(4*len(types)), uint32(len(strs))
	words = append(words, types...)
	var blob []byte
	for _, w := range words {
		blob = binary.LittleEndian.AppendUint32(blob, w)
	}
	blob = append(blob, strs...)
	attr := &struct {
		blob, log              uint64
		size, logSize, logLvl  uint32
		logTrue, flags, tokenF uint32
	}{blob: addressOf(blob), size: uint32(len(blob))}
	fd, errno = bpfCall(cmdBTFLoad, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
	runtime.KeepAlive(blob)
	return fd, errno
}

// addressOf is b's address for bpf(2), 0 for no bytes; b must be kept alive. The bytes are on the heap, which does not move.
func addressOf(b []byte) uint64 { return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// needsBTF are the types that the kernel makes only with BTF of key and value.
var needsBTF = map[Type]bool{SKStorage: true, InodeStorage: true, TaskStorage: true, CgrpStorage: true}

// kernelCreate makes the kernel's map of a Spec; inner is a map's descriptor or 0.
func kernelCreate(s *Spec, inner int) (fd int, errno Errno) {
	attr := &createAttr{typ: uint32(s.Type), keySize: s.KeySize, valueSize: s.ValueSize, maxEntries: s.MaxEntries, flags: s.Flags,
		innerFD: uint32(inner), extra: s.Extra}
	if needsBTF[s.Type] {
		btf, errno := storageBTF(s.ValueSize)
		if errno != 0 {
			return -1, errno
		}
		defer unix.Close(btf)
		attr.btfFD, attr.btfKey, attr.btfValue = uint32(btf), 1, 3
	}
	return bpfCall(cmdMapCreate, unsafe.Pointer(attr), unsafe.Sizeof(*attr))
}

var liveKernel = sync.OnceValue(func() string {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return err.Error()
	}
	var major, minor int
	if _, err := fmt.Sscanf(unix.ByteSliceToString(u.Release[:]), "%d.%d", &major, &minor); err != nil {
		return err.Error()
	}
	if major < oldestLiveMajor || major == oldestLiveMajor && minor < oldestLiveMinor {
		return fmt.Sprintf("a kernel before %d.%d", oldestLiveMajor, oldestLiveMinor)
	}
	fd, errno := kernelCreate(&Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 1, Flags: NoPrealloc}, 0)
	if errno != 0 {
		return "no bpf(2): " + errno.String()
	}
	_ = unix.Close(fd)
	return ""
})

func needLiveKernel(t *testing.T) {
	t.Helper()
	if why := liveKernel(); why != "" {
		t.Skip(why)
	}
}

// errnoName is "ok", the error number's name or its number.
func errnoName(e Errno) string {
	if e == 0 {
		return "ok"
	}
	if _, ok := errnoText[e]; ok {
		return outcome(&Error{Errno: e})
	}
	return fmt.Sprint(int32(e))
}
