package mem

import (
	"bytes"
	"maps"
	"slices"
)

// Snapshot is a copy of a space's state: what is allocated, its contents and its shadow. It does not change and may
// be restored any number of times.
type Snapshot struct {
	size    uint64
	heap    heap
	content sparse
	states  []uint32 // of the shadow, nil without one
	planes  [2]sparse
}

// sparse is the pages of a memory area that are not all zero.
type sparse struct {
	offsets []uint64 // ascending
	data    []byte   // pageSize bytes an offset
}

// Snapshot copies the whole state. No guest may run and nothing may be allocated meanwhile.
func (s *Space) Snapshot() *Snapshot {
	s.mu.Lock()
	defer s.mu.Unlock()
	snap := &Snapshot{size: s.size, heap: s.heap.clone()}
	for _, r := range s.heap.ranges() {
		snap.content.save(s.mem, Margin+r.start, Margin+r.end)
	}
	if sh := s.shadow; sh != nil {
		snap.states = make([]uint32, len(sh.states))
		for i := range sh.states {
			state := sh.states[i].Load()
			snap.states[i] = state
			if state != stateMixed {
				continue
			}
			for p := range sh.planes {
				snap.planes[p].save(sh.planes[p], uint64(i)*granule/8, uint64(i+1)*granule/8)
			}
		}
	}
	return snap
}

// Restore makes the state what it was when the snapshot was taken, of this space or of one of the same size and
// kind; else it fails with an *Error. No guest may run meanwhile. What was allocated since is gone.
func (s *Space) Restore(snap *Snapshot) error {
	if !s.fits(snap) {
		return &Error{Op: "restore", Size: snap.size, Reason: Foreign}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range s.heap.ranges() {
		s.zero(r.start, r.end-r.start)
	}
	for _, r := range snap.heap.ranges() {
		s.zero(r.start, r.end-r.start)
	}
	snap.content.load(s.mem)
	s.restoreRest(snap)
	return nil
}

// Reset is Restore, and makes all memory that was not allocated zero, the margins included: wild stores of programs that
// nobody verified reach it, and wild loads see it. It looks at every page, and writes to those that changed; for small
// spaces, used again and again, that is faster than giving pages back. Ahead of that it calls changed, unless it is nil,
// for each page of guest memory that is not as it was: its address and its contents.
func (s *Space) Reset(snap *Snapshot, changed func(addr uint32, page []byte)) error {
	if !s.fits(snap) {
		return &Error{Op: "reset", Size: snap.size, Reason: Foreign}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	snap.content.differ(s.mem, func(at uint64, page, was []byte) {
		if changed != nil && at >= Margin && at < Margin+s.size {
			changed(uint32(at-Margin), page)
		}
		copy(page, was)
	})
	s.restoreRest(snap)
	return nil
}

// Part is a copy of what some allocations hold.
type Part struct {
	spans []run
	pages []savedPage // what is not zero
}

type savedPage struct {
	addr uint64
	data []byte
}

// SavePart copies what the allocations at these addresses hold; an address that Alloc did not give is a bug of the caller and panics. No guest may
// write to them meanwhile.
func (s *Space) SavePart(addrs []uint32) *Part {
	p := &Part{}
	for _, addr := range addrs {
		n := s.AllocSize(addr)
		if n == 0 {
			panic("mem: SavePart of an address that Alloc did not give")
		}
		span := run{uint64(addr), uint64(addr) + uint64(n)}
		p.spans = append(p.spans, span)
		for at := span.start; at < span.end; at += pageSize {
			b := s.mem[Margin+at : Margin+min(at+pageSize, span.end)]
			if !allZero(b) {
				p.pages = append(p.pages, savedPage{at, bytes.Clone(b)})
			}
		}
	}
	return p
}

// RestorePart makes the allocations, which must still be there, hold what they did. No guest may run meanwhile.
func (s *Space) RestorePart(p *Part) {
	for _, span := range p.spans {
		s.zero(span.start, span.end-span.start)
	}
	for _, b := range p.pages {
		copy(s.mem[Margin+b.addr:], b.data)
	}
}

func allZero(b []byte) bool {
	if len(b) == pageSize {
		return isZero(b)
	}
	return bytes.Count(b, []byte{0}) == len(b)
}

// fits reports whether the snapshot can be one of the space.
func (s *Space) fits(snap *Snapshot) bool {
	return snap.size == s.size && (snap.states != nil) == (s.shadow != nil)
}

// restoreRest restores what is not guest memory.
func (s *Space) restoreRest(snap *Snapshot) {
	s.heap = snap.heap.clone()
	sh := s.shadow
	if sh == nil {
		return
	}
	for i, state := range snap.states {
		if state == stateMixed {
			for p := range sh.planes {
				clear(sh.planes[p][i*granule/8 : (i+1)*granule/8])
			}
		}
		sh.states[i].Store(state)
	}
	for p := range sh.planes {
		snap.planes[p].load(sh.planes[p])
	}
}

// save adds the pages of b[from:to] that are not zero.
func (p *sparse) save(b []byte, from, to uint64) {
	for at := from; at < to; at += pageSize {
		page := b[at : at+pageSize]
		if !isZero(page) {
			p.offsets = append(p.offsets, at)
			p.data = append(p.data, page...)
		}
	}
}

// load writes the pages back; the others must be zero already.
func (p *sparse) load(b []byte) {
	for i, at := range p.offsets {
		copy(b[at:at+pageSize], p.data[i*pageSize:])
	}
}

// differ calls yield for each page of b that is not as p has it.
func (p *sparse) differ(b []byte, yield func(at uint64, page, was []byte)) {
	var zeros [pageSize]byte
	next := 0
	for at := uint64(0); at < uint64(len(b)); at += pageSize {
		page, was := b[at:at+pageSize], zeros[:]
		if next < len(p.offsets) && p.offsets[next] == at {
			was = p.data[next*pageSize : (next+1)*pageSize]
			next++
		}
		if !bytes.Equal(page, was) {
			yield(at, page, was)
		}
	}
}

func isZero(page []byte) bool {
	return [pageSize]byte(page) == [pageSize]byte{}
}

// ranges returns the page ranges that hold allocations.
func (h *heap) ranges() []run {
	var rs []run
	for addr, n := range h.large {
		rs = append(rs, run{uint64(addr), uint64(addr) + uint64(n)})
	}
	for _, sp := range h.spans {
		if sp.bytes != 0 {
			rs = append(rs, run{uint64(sp.start), uint64(sp.start) + uint64(sp.bytes)})
		}
	}
	slices.SortFunc(rs, func(a, b run) int { return int(int64(a.start) - int64(b.start)) })
	return rs
}

func (h *heap) clone() heap {
	c := *h
	c.free = slices.Clone(h.free)
	c.large = maps.Clone(h.large)
	c.spans = slices.Clone(h.spans)
	for i := range c.spans {
		c.spans[i].taken = slices.Clone(h.spans[i].taken)
	}
	c.dead = slices.Clone(h.dead)
	c.chunks = slices.Clone(h.chunks)
	for i := range c.partial {
		c.partial[i] = slices.Clone(h.partial[i])
	}
	return c
}
