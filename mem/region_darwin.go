package mem

import (
	"unsafe"

	"golang.org/x/sys/unix"
)

// discard makes whole pages zero again and gives them back to the system, by mapping fresh ones over them:
// macOS's MADV_DONTNEED keeps the contents.
func discard(b []byte) {
	_, err := unix.MmapPtr(-1, 0, unsafe.Pointer(&b[0]), uintptr(len(b)), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE|unix.MAP_FIXED)
	if err != nil {
		clear(b)
	}
}
