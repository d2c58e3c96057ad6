package maps

import (
	"encoding/binary"
	"math/bits"
)

// A map's handle is the guest address of its header. All fields are little-endian u32. The header's first 64 bytes
// never change after New and are what machine code relies on; the state after them does change, and lies in guest
// memory so that a snapshot of the space is a snapshot of its maps. Go code keeps its own copy of the first part and
// takes nothing in the second part for granted: an unverified program can write to all of it.
const (
	OffType       = 0  // Type
	OffFlags      = 4  // Spec.Flags
	OffKeySize    = 8  // Spec.KeySize
	OffValueSize  = 12 // Spec.ValueSize
	OffMaxEntries = 16 // Spec.MaxEntries
	OffStride     = 20 // arrays: distance between element values of one CPU, round8(ValueSize)
	OffData       = 24 // arrays: value 0 (of CPU 0); hashes: element 0; ring buffer: first record
	OffCPUStride  = 28 // per-CPU maps: distance between an element's values for CPU c and c+1
	OffIndex      = 32 // hashes: the index table
	OffIndexMask  = 36 // hashes: slots of the index table, a power of two, minus 1
	OffElemStride = 40 // hashes: distance between elements
	OffValueOff   = 44 // hashes: from an element to its value (of CPU 0), round8(KeySize)
	OffCPUs       = 48 // number of CPUs
	OffID         = 52 // number in the Table, written by Table.Add
	OffRefs       = 56 // LRU hashes: one byte an element, to be set to 1 by a program's lookup; else 0

	HeaderSize = 64
)

// Array: the value of element i for CPU c is at
//
//	OffData + i*OffStride                    Array and the arrays of references (u32 values)
//	OffData + i*OffStride + c*OffCPUStride   PerCPUArray
//
// Hash: an index table of 8-byte slots and a pool of elements. A slot is {hash u32, element+1 u32}; the second half
// is 0 when it is empty. Element e is at OffData + e*OffElemStride: the key, zero-padded to a multiple of 8, then the
// value for CPU 0, CPU 1, ... at distances OffCPUStride. A lookup begins at slot hash & OffIndexMask and goes up, round the
// end, until it finds a slot with this hash whose element has this key, or an empty one. Deletion moves later slots
// back, so there are no tombstones; elements themselves never move.
//
// A lookup that runs beside a deletion can miss a slot that is being moved. Go code notices that and looks again;
// machine code must treat a miss as "ask Go" when other CPUs run.

// The parameters of the hash: an odd constant with no structure and a first state.
const (
	HashSeed uint64 = 0x9e3779b97f4a7c15
	HashMul  uint64 = 0xd6e8feb86659fd93
)

// HashKey is the hash of a key: for each 8-byte little-endian word of the key, zero-padded to a multiple of 8,
//
//	p = (h ^ word) * HashMul   as a 128-bit product
//	h = p.low ^ p.high
//
// from h = HashSeed; the result is the low half of h. On amd64 a word is xor, mul, xor; on arm64 eor, mul, umulh, eor.
func HashKey(key []byte) uint32 {
	h := HashSeed
	for ; len(key) > 8; key = key[8:] {
		h = mix(h, binary.LittleEndian.Uint64(key))
	}
	return uint32(mix(h, lastWord(key)))
}

func mix(h, word uint64) uint64 {
	hi, lo := bits.Mul64(h^word, HashMul)
	return hi ^ lo
}

// lastWord reads 0 to 8 bytes as a zero-padded word.
func lastWord(b []byte) uint64 {
	n := len(b)
	switch {
	case n == 8:
		return binary.LittleEndian.Uint64(b)
	case n >= 4: // the two halves overlap, and agree where they do
		return uint64(binary.LittleEndian.Uint32(b)) | uint64(binary.LittleEndian.Uint32(b[n-4:]))<<(8*(n-4))
	case n > 0:
		return uint64(b[0]) | uint64(b[n/2])<<(8*(n/2)) | uint64(b[n-1])<<(8*(n-1))
	}
	return 0
}
