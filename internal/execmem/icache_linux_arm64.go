package execmem

import "unsafe"

// syncCode makes written instructions visible to those who fetch them: arm64 processors have separate caches that
// don't know of each other. (Arm ARM, B2.4.4.) Linux lets programs do this themselves, and does it on its own only
// where it thinks that it must.
func syncCode(pages []byte) {
	start := uintptr(unsafe.Pointer(unsafe.SliceData(pages)))
	syncRange(start, start+uintptr(len(pages)))
}

func syncRange(start, end uintptr)
