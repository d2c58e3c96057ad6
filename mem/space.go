// Package mem is the guest address space: all memory that an eBPF program can see lies in one Space, and a guest
// pointer is an offset into it. Every access is masked to the space, so no guest value, verified or not, can reach
// host memory, and the margins around it make every access of up to 8 bytes at any address harmless.
//
// On 64-bit Linux and macOS a Space reserves 4 GiB of address space and commits pages when they are touched.
// Elsewhere it is a smaller power of two (see DefaultSize); the API is the same.
package mem

import (
	"sync"
	"unsafe"
)

const (
	// MaxSize is the largest space: every 32-bit address.
	MaxSize uint64 = 1 << 32
	// MinSize is the smallest space.
	MinSize uint64 = 1 << 20
	// Margin is the accessible memory on each side of a space, so that an access that starts inside cannot fault.
	Margin = 64 << 10
)

// Options of New. The zero value is the platform's default size, without a shadow or a limit.
type Options struct {
	// Size in bytes, a power of two from MinSize to MaxSize; 0 is DefaultSize. It is an upper bound: New takes a
	// smaller power of two where the system does not give this much address space.
	Size uint64
	// Shadow keeps a readable and a writable bit for each guest byte: see Allow.
	Shadow bool
	// Limit is the most bytes that Alloc gives at one time, rounding included; 0 is no limit.
	Limit uint64
}

// Space is a guest address space. Loads, stores and views may be used from any goroutine (what guests race on is
// theirs to order); so may Alloc and Free.
type Space struct {
	base unsafe.Pointer // guest address 0
	mask uint32         // size - 1
	size uint64
	mem  []byte // the whole reservation, margins included

	mu     sync.Mutex // guards heap
	heap   heap
	limit  uint64
	shadow *shadow // nil without Options.Shadow
}

// New reserves a space. It fails with an *Error when the size is not legal or not even MinSize can be had.
func New(o Options) (*Space, error) {
	want := o.Size
	if want == 0 {
		want = DefaultSize
	}
	if want&(want-1) != 0 || want < MinSize || want > MaxSize {
		return nil, &Error{Op: "new", Size: want, Reason: BadSize}
	}
	var err error
	for size := min(want, largestSize); size >= MinSize; size >>= 1 {
		var s *Space
		if s, err = newSpace(size, o); err == nil {
			return s, nil
		}
	}
	return nil, &Error{Op: "new", Size: want, Reason: NoReservation, Err: err}
}

func newSpace(size uint64, o Options) (*Space, error) {
	region, err := reserve(size + 2*Margin)
	if err != nil {
		return nil, err
	}
	s := &Space{
		base:  unsafe.Pointer(&region[Margin]),
		mask:  uint32(size - 1),
		size:  size,
		mem:   region,
		limit: o.Limit,
	}
	s.heap.init(size)
	if o.Shadow {
		if s.shadow, err = newShadow(size); err != nil {
			return nil, firstError(err, unreserve(region))
		}
	}
	return s, nil
}

// Close gives the memory back. Nothing of the space may be used afterwards, views included: on most systems that
// is a fault of the host process.
func (s *Space) Close() error {
	var err error
	if s.shadow != nil {
		err = s.shadow.close()
	}
	if s.mem != nil {
		err = firstError(err, unreserve(s.mem))
	}
	s.base, s.mem, s.shadow = nil, nil, nil
	return err
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Base returns the host address of guest address 0. It stays the same until Close.
func (s *Space) Base() unsafe.Pointer { return s.base }

// Size returns the size in bytes, a power of two from MinSize to MaxSize.
func (s *Space) Size() uint64 { return s.size }

// Mask returns Size()-1: what an address is masked with before use.
func (s *Space) Mask() uint32 { return s.mask }

// Pointer returns the host address of a guest address, masked: at least Margin bytes from there are accessible.
func (s *Space) Pointer(addr uint32) unsafe.Pointer { return unsafe.Add(s.base, uintptr(addr&s.mask)) }

// Bytes returns the host's view of guest memory [addr, addr+n), valid until Close. It reports false when the range
// leaves the space; the address is not masked.
func (s *Space) Bytes(addr, n uint32) ([]byte, bool) {
	if uint64(addr)+uint64(n) > s.size {
		return nil, false
	}
	return unsafe.Slice((*byte)(unsafe.Add(s.base, uintptr(addr))), int(n)), true
}
