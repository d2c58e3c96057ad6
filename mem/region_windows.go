package mem

import (
	"math/bits"
	"unsafe"

	"golang.org/x/sys/windows"
)

// largestSize is the most that New tries for: a 32-bit process has to share its address space with the Go heap.
const largestSize = MaxSize >> (4 * (64 - bits.UintSize) / 32)

// DefaultSize is the size of a space when Options do not say: 1 GiB on 64-bit Windows, 64 MiB on 32-bit. Windows
// has no reservation that commits by itself, so all of it counts against the commit limit, although pages are
// only backed when they are touched.
const DefaultSize = largestSize >> 2

// reserve gets n bytes of zeros that take no physical memory until they are touched.
func reserve(n uint64) ([]byte, error) {
	addr, err := windows.VirtualAlloc(0, uintptr(n), windows.MEM_RESERVE|windows.MEM_COMMIT, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	p := *(*unsafe.Pointer)(unsafe.Pointer(&addr)) // memory of the system, not of Go: it does not move
	return unsafe.Slice((*byte)(p), int(n)), nil
}

func unreserve(b []byte) error {
	return windows.VirtualFree(uintptr(unsafe.Pointer(&b[0])), 0, windows.MEM_RELEASE)
}

// discard makes whole pages zero again and gives them back to the system. Between its two calls the pages are not
// accessible, so a range must not be discarded while a guest runs that could touch it.
func discard(b []byte) {
	addr, n := uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))
	if windows.VirtualFree(addr, n, windows.MEM_DECOMMIT) == nil {
		if _, err := windows.VirtualAlloc(addr, n, windows.MEM_COMMIT, windows.PAGE_READWRITE); err == nil {
			return
		}
	}
	clear(b)
}
