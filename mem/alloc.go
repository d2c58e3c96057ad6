package mem

import (
	"math/bits"
	"os"
	"slices"
)

const (
	pageSize  = 4096     // unit of large allocations, the same on every system so that guest addresses are too
	smallMax  = 32 << 10 // larger allocations are runs of pages of their own
	chunkSize = 64 << 10 // unit of spans
	minAlign  = 16       // every allocation is aligned to this
	// heapStart keeps page 0, and with it every small offset from a null pointer, out of use.
	heapStart = chunkSize
	// zeroByHand is up to where clearing memory is cheaper than giving pages back.
	zeroByHand = 64 << 10
)

// heap is the allocator's state, all of it on the host's side: a guest cannot reach it.
type heap struct {
	free  []run             // free pages by address; neighbours are merged
	large map[uint32]uint32 // address -> bytes, of page runs
	spans []span            // by number; a span that ended has bytes 0 and its number is used again
	dead  []uint32          // numbers of ended spans
	// chunks is the number+1 of the span that a 64 KiB chunk belongs to; 0 is none.
	chunks  []uint32
	partial [numClasses][]uint32 // spans with a free slot
	inUse   uint64               // bytes given out, rounding included
}

// run is a range [start, end) of guest addresses, page-aligned.
type run struct{ start, end uint64 }

// span is a range of chunks cut into slots of one size class.
type span struct {
	start uint32
	bytes uint32
	class uint8
	slots int
	used  int
	taken []uint64 // a bit a slot
}

func (h *heap) init(size uint64) {
	h.large = make(map[uint32]uint32)
	h.chunks = make([]uint32, size/chunkSize)
	// The last page stays out of use, so that the end of an allocation is an address too.
	h.free = []run{{heapStart, size - pageSize}}
}

// Alloc gives size bytes of zeros, size > 0, aligned to align, a power of two (0 and small ones give 16). It never
// gives the first 64 KiB nor the last page, so address 0 is null and address+size does not wrap. An allocation over
// 32 KiB costs nothing until it is touched. The error is an *Error.
func (s *Space) Alloc(size, align uint32) (uint32, error) {
	if size == 0 {
		return 0, &Error{Op: "alloc", Reason: BadSize}
	}
	if align&(align-1) != 0 {
		return 0, &Error{Op: "alloc", Size: uint64(size), Reason: BadAlign}
	}
	align = max(align, minAlign)
	s.mu.Lock()
	defer s.mu.Unlock()
	addr, got, err := s.allocLocked(size, align)
	if err != 0 {
		return 0, &Error{Op: "alloc", Size: uint64(size), Reason: err}
	}
	s.zero(uint64(addr), uint64(got))
	return addr, nil
}

func (s *Space) allocLocked(size, align uint32) (addr, got uint32, err Reason) {
	h := &s.heap
	class, small := classFor(size, align)
	need := uint64(size+pageSize-1) &^ (pageSize - 1)
	if small {
		need = uint64(classSize(class))
	} else if size > uint32(MaxSize-2*pageSize) {
		return 0, 0, OutOfMemory
	}
	if s.limit != 0 && h.inUse+need > s.limit {
		return 0, 0, LimitReached
	}
	var ok bool
	if small {
		addr, ok = h.takeSlot(class)
	} else if addr, ok = h.takeRun(need, uint64(max(align, pageSize))); ok {
		h.large[addr] = uint32(need)
	}
	if !ok {
		return 0, 0, OutOfMemory
	}
	h.inUse += need
	return addr, uint32(need), 0
}

// Free gives back what Alloc gave at addr; 0 is allowed and does nothing. Any other address is a bug of the caller
// and panics.
func (s *Space) Free(addr uint32) {
	if addr == 0 {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h := &s.heap
	if n, ok := h.large[addr]; ok {
		delete(h.large, addr)
		h.inUse -= uint64(n)
		h.giveRun(run{uint64(addr), uint64(addr) + uint64(n)})
		if n > zeroByHand {
			s.zero(uint64(addr), uint64(n)) // its pages go back to the system
		}
		return
	}
	num, slot, ok := h.find(addr)
	if !ok {
		panic("mem: Free of an address that Alloc did not give")
	}
	h.inUse -= uint64(classSize(h.spans[num].class))
	h.dropSlot(num, slot)
}

// AllocSize returns the usable bytes of the allocation at addr: at least what was asked for. It is 0 when Alloc did
// not give addr.
func (s *Space) AllocSize(addr uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if n, ok := s.heap.large[addr]; ok {
		return n
	}
	if num, _, ok := s.heap.find(addr); ok {
		return classSize(s.heap.spans[num].class)
	}
	return 0
}

// Allocated returns how many bytes from addr on belong to an allocation: 0 when addr is in none.
func (s *Space) Allocated(addr uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if start, n, ok := s.heap.around(addr); ok {
		return start + n - addr
	}
	return 0
}

// around finds the allocation that an address is in.
func (h *heap) around(addr uint32) (start, n uint32, ok bool) {
	if c := addr / chunkSize; int(c) < len(h.chunks) && h.chunks[c] != 0 {
		sp := &h.spans[h.chunks[c]-1]
		slot := (addr - sp.start) / classSize(sp.class)
		taken := int(slot) < sp.slots && sp.taken[slot>>6]>>(slot&63)&1 != 0
		return sp.start + slot*classSize(sp.class), classSize(sp.class), taken
	}
	for start, n := range h.large {
		if addr-start < n {
			return start, n, true
		}
	}
	return 0, 0, false
}

// InUse returns the bytes that are given out, rounding included: what Options.Limit bounds.
func (s *Space) InUse() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.heap.inUse
}

// zero clears guest memory. It happens at allocation, not only at Free: a guest can write to free memory.
func (s *Space) zero(addr, n uint64) {
	b := s.mem[Margin+addr : Margin+addr+n]
	if n <= zeroByHand {
		clear(b)
		return
	}
	page := uint64(os.Getpagesize())
	from, to := (addr+Margin+page-1)&^(page-1)-Margin, (addr+Margin+n)&^(page-1)-Margin
	if from >= to {
		clear(b)
		return
	}
	clear(b[:from-addr])
	clear(b[to-addr:])
	discard(b[from-addr : to-addr])
}

// takeRun is first fit.
func (h *heap) takeRun(n, align uint64) (uint32, bool) {
	for i, r := range h.free {
		start := (r.start + align - 1) &^ (align - 1)
		if start+n > r.end {
			continue
		}
		var rest []run
		if r.start < start {
			rest = append(rest, run{r.start, start})
		}
		if start+n < r.end {
			rest = append(rest, run{start + n, r.end})
		}
		h.free = slices.Replace(h.free, i, i+1, rest...)
		return uint32(start), true
	}
	return 0, false
}

// giveRun puts r back among the free runs and merges it with its neighbours.
func (h *heap) giveRun(r run) {
	i, _ := slices.BinarySearchFunc(h.free, r.start, func(f run, at uint64) int {
		if f.start < at {
			return -1
		}
		return 1
	})
	from, to := i, i
	if i > 0 && h.free[i-1].end == r.start {
		from, r.start = i-1, h.free[i-1].start
	}
	if i < len(h.free) && h.free[i].start == r.end {
		to, r.end = i+1, h.free[i].end
	}
	h.free = slices.Replace(h.free, from, to, r)
}

// takeSlot gives a slot of a size class, from a new span if need be.
func (h *heap) takeSlot(class uint8) (uint32, bool) {
	list := h.partial[class]
	if len(list) == 0 {
		num, ok := h.newSpan(class)
		if !ok {
			return 0, false
		}
		list = append(list, num)
		h.partial[class] = list
	}
	sp := &h.spans[list[len(list)-1]]
	slot := sp.firstFree()
	sp.taken[slot>>6] |= 1 << (slot & 63)
	if sp.used++; sp.used == sp.slots {
		h.partial[class] = list[:len(list)-1]
	}
	return sp.start + uint32(slot)*classSize(class), true
}

func (sp *span) firstFree() int {
	for i, w := range sp.taken {
		if w != ^uint64(0) {
			return i<<6 + bits.TrailingZeros64(^w)
		}
	}
	panic("mem: a full span is listed as partial")
}

func (h *heap) newSpan(class uint8) (uint32, bool) {
	n := spanBytes(class)
	start, ok := h.takeRun(uint64(n), chunkSize)
	if !ok {
		return 0, false
	}
	slots := int(n / classSize(class))
	sp := span{start: start, bytes: n, class: class, slots: slots, taken: make([]uint64, (slots+63)/64)}
	num := uint32(len(h.spans))
	if k := len(h.dead); k > 0 {
		num, h.dead = h.dead[k-1], h.dead[:k-1]
		h.spans[num] = sp
	} else {
		h.spans = append(h.spans, sp)
	}
	for c := start / chunkSize; c < (start+n)/chunkSize; c++ {
		h.chunks[c] = num + 1
	}
	return num, true
}

// dropSlot frees a slot. A span that becomes empty ends, unless it is its class's only one with room.
func (h *heap) dropSlot(num uint32, slot int) {
	sp := &h.spans[num]
	sp.taken[slot>>6] &^= 1 << (slot & 63)
	if sp.used == sp.slots {
		h.partial[sp.class] = append(h.partial[sp.class], num)
	}
	sp.used--
	list := h.partial[sp.class]
	if sp.used > 0 || len(list) == 1 {
		return
	}
	i := slices.Index(list, num)
	h.partial[sp.class] = slices.Delete(list, i, i+1)
	for c := sp.start / chunkSize; c < (sp.start+sp.bytes)/chunkSize; c++ {
		h.chunks[c] = 0
	}
	h.giveRun(run{uint64(sp.start), uint64(sp.start) + uint64(sp.bytes)})
	*sp = span{}
	h.dead = append(h.dead, num)
}

// find returns the span and slot that start at addr and are in use.
func (h *heap) find(addr uint32) (num uint32, slot int, ok bool) {
	if int(addr/chunkSize) >= len(h.chunks) || h.chunks[addr/chunkSize] == 0 {
		return 0, 0, false
	}
	num = h.chunks[addr/chunkSize] - 1
	sp := &h.spans[num]
	size := classSize(sp.class)
	slot = int((addr - sp.start) / size)
	if (addr-sp.start)%size != 0 || slot >= sp.slots || sp.taken[slot>>6]>>(slot&63)&1 == 0 {
		return 0, 0, false
	}
	return num, slot, true
}
