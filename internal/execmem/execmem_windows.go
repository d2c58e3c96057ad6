package execmem

import (
	"unsafe"

	"golang.org/x/sys/windows"
)

func alloc(size int) ([]byte, error) {
	p, err := windows.VirtualAlloc(0, uintptr(size), windows.MEM_COMMIT|windows.MEM_RESERVE, windows.PAGE_READWRITE)
	if err != nil {
		return nil, err
	}
	// The address is the system's, not the Go heap's: reading it through its own variable says so to vet.
	return unsafe.Slice(*(**byte)(unsafe.Pointer(&p)), size), nil
}

func protect(pages []byte) error {
	var old uint32
	return windows.VirtualProtect(address(pages), uintptr(len(pages)), windows.PAGE_EXECUTE_READ, &old)
}

func free(pages []byte) error { return windows.VirtualFree(address(pages), 0, windows.MEM_RELEASE) }

func address(pages []byte) uintptr { return uintptr(unsafe.Pointer(&pages[0])) }
