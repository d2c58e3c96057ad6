//go:build linux || darwin

package execmem

import "syscall"

func alloc(size int) ([]byte, error) {
	return syscall.Mmap(-1, 0, size, syscall.PROT_READ|syscall.PROT_WRITE, syscall.MAP_ANON|syscall.MAP_PRIVATE|populate)
}

// publish makes pages with code executable and no longer writable.
func publish(pages []byte) error {
	syncCode(pages)
	return syscall.Mprotect(pages, syscall.PROT_READ|syscall.PROT_EXEC)
}

func free(pages []byte) error { return syscall.Munmap(pages) }
