//go:build linux || darwin

package mem

import (
	"math/bits"

	"golang.org/x/sys/unix"
)

// largestSize is the most that New tries for: a 32-bit process has to share its address space with the Go heap.
const largestSize = MaxSize >> (4 * (64 - bits.UintSize) / 32)

// DefaultSize is the size of a space when Options do not say: 4 GiB on 64-bit systems, 256 MiB on 32-bit ones.
const DefaultSize = largestSize

// reserve gets n bytes of zeros that cost nothing until they are touched.
func reserve(n uint64) ([]byte, error) {
	return unix.Mmap(-1, 0, int(n), unix.PROT_READ|unix.PROT_WRITE,
		unix.MAP_PRIVATE|unix.MAP_ANON|unix.MAP_NORESERVE)
}

func unreserve(b []byte) error { return unix.Munmap(b) }
