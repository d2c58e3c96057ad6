package mem

import (
	"encoding/binary"
	"unsafe"
)

// Loads and stores are little-endian, at any alignment, and mask the address. One that starts in the space's last
// bytes ends in the margin; it never wraps to address 0. Not atomic: see Pointer for that.

// Load8 reads the byte at addr.
func (s *Space) Load8(addr uint32) uint8 {
	return *(*uint8)(unsafe.Add(s.base, uintptr(addr&s.mask)))
}

// Load16 reads 2 bytes at addr.
func (s *Space) Load16(addr uint32) uint16 {
	return binary.LittleEndian.Uint16((*[2]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:])
}

// Load32 reads 4 bytes at addr.
func (s *Space) Load32(addr uint32) uint32 {
	return binary.LittleEndian.Uint32((*[4]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:])
}

// Load64 reads 8 bytes at addr.
func (s *Space) Load64(addr uint32) uint64 {
	return binary.LittleEndian.Uint64((*[8]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:])
}

// Store8 writes the byte at addr.
func (s *Space) Store8(addr uint32, v uint8) {
	*(*uint8)(unsafe.Add(s.base, uintptr(addr&s.mask))) = v
}

// Store16 writes 2 bytes at addr.
func (s *Space) Store16(addr uint32, v uint16) {
	binary.LittleEndian.PutUint16((*[2]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:], v)
}

// Store32 writes 4 bytes at addr.
func (s *Space) Store32(addr uint32, v uint32) {
	binary.LittleEndian.PutUint32((*[4]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:], v)
}

// Store64 writes 8 bytes at addr.
func (s *Space) Store64(addr uint32, v uint64) {
	binary.LittleEndian.PutUint64((*[8]byte)(unsafe.Add(s.base, uintptr(addr&s.mask)))[:], v)
}
