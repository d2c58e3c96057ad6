package mem

import "golang.org/x/sys/unix"

// discard makes whole pages zero again and gives them back to the system.
func discard(b []byte) {
	if unix.Madvise(b, unix.MADV_DONTNEED) != nil {
		clear(b)
	}
}
