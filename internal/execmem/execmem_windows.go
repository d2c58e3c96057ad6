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

var flushInstructionCache = windows.NewLazySystemDLL("kernel32.dll").NewProc("FlushInstructionCache")

// publish makes pages with code executable and no longer writable. The documentation of VirtualProtect asks for the flush.
func publish(pages []byte) error {
	var old uint32
	if err := windows.VirtualProtect(address(pages), uintptr(len(pages)), windows.PAGE_EXECUTE_READ, &old); err != nil {
		return err
	}
	ok, _, err := flushInstructionCache.Call(uintptr(windows.CurrentProcess()), address(pages), uintptr(len(pages)))
	if ok == 0 {
		return err
	}
	return nil
}

func free(pages []byte) error { return windows.VirtualFree(address(pages), 0, windows.MEM_RELEASE) }

func address(pages []byte) uintptr { return uintptr(unsafe.Pointer(&pages[0])) }
