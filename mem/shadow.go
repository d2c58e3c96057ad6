package mem

import (
	"sync"
	"sync/atomic"
)

// A shadow has two bits for each guest byte: may it be read, may it be written. Bits of a whole granule that are all
// alike are one state word; only mixed granules look at the bit planes, so that a gigabyte costs nothing to allow.
type shadow struct {
	mu     sync.Mutex      // held by writers
	states []atomic.Uint32 // one a granule: stateNone, stateRead, stateWrite, stateMixed
	planes [2][]byte       // 1 bit a guest byte, for reads and for writes; a margin at the end
	size   uint64
}

const (
	granuleShift = 16
	granule      = 1 << granuleShift
	planeMargin  = 4096 // an 8-byte load at the last bits stays inside
)

const (
	stateNone  = 0 // inaccessible
	stateRead  = 1 // readable
	stateWrite = 3 // readable and writable
	stateMixed = 4 // see the planes
)

const (
	planeRead = iota
	planeWrite
)

func newShadow(size uint64) (*shadow, error) {
	sh := &shadow{states: make([]atomic.Uint32, size>>granuleShift), size: size}
	for i := range sh.planes {
		var err error
		if sh.planes[i], err = reserve(size/8 + planeMargin); err != nil {
			return nil, firstError(err, sh.close())
		}
	}
	return sh, nil
}

func (sh *shadow) close() error {
	var err error
	for i, p := range sh.planes {
		if p != nil {
			err = firstError(err, unreserve(p))
			sh.planes[i] = nil
		}
	}
	return err
}

// Shadowed reports whether the space has a shadow.
func (s *Space) Shadowed() bool { return s.shadow != nil }

// Allow makes [addr, addr+n) readable, and writable exactly if write is true. What lies beyond the space is
// ignored. It does nothing without a shadow.
func (s *Space) Allow(addr, n uint32, write bool) {
	if s.shadow == nil {
		return
	}
	if write {
		s.shadow.set(addr, n, stateWrite)
	} else {
		s.shadow.set(addr, n, stateRead)
	}
}

// Forbid makes [addr, addr+n) inaccessible, as all memory is at first. It does nothing without a shadow.
func (s *Space) Forbid(addr, n uint32) {
	if s.shadow != nil {
		s.shadow.set(addr, n, stateNone)
	}
}

// Readable reports whether all n bytes at addr may be read, 1 <= n <= 8; true without a shadow. An access that leaves
// the space is not readable.
func (s *Space) Readable(addr uint32, n uint8) bool {
	return s.shadow == nil || s.shadow.check(planeRead, addr, uint32(n))
}

// Writable reports whether all n bytes at addr may be written, 1 <= n <= 8; true without a shadow.
func (s *Space) Writable(addr uint32, n uint8) bool {
	return s.shadow == nil || s.shadow.check(planeWrite, addr, uint32(n))
}

// RangeReadable is Readable for any length; an empty range is readable anywhere.
func (s *Space) RangeReadable(addr, n uint32) bool {
	return s.shadow == nil || s.shadow.checkRange(planeRead, addr, n)
}

// RangeWritable is Writable for any length.
func (s *Space) RangeWritable(addr, n uint32) bool {
	return s.shadow == nil || s.shadow.checkRange(planeWrite, addr, n)
}
