package maps

import (
	"bytes"
	"iter"
)

// Pages is a map of type Arena: memory that programs share with a process by its addresses. Pages of 4 KiB are there once they were
// allocated, by programs or because a process touched them; what is not there reads as zeros, and writes to it are lost.
//
// A pointer into the arena is User() plus an offset, and of that the low 32 bits are what counts: no arena crosses a boundary of 4 GiB
// of the process. The guest range for all pages is taken when the map is made, and touches no memory.
//
// The kernel's choice of pages is the smallest run that is large enough; of several such, it takes the one that was made last, and this
// the lowest.
type Pages struct {
	*core
	data  uint32 // guest address of page 0
	state []byte // in guest memory, a byte a page: pageFree, ...
	user  uint64
	bytes []byte // of all pages
}

// States of a page. Whatever else a guest writes there counts as pageReserved.
const (
	pageFree     = 0
	pageThere    = 1
	pageReserved = 2 // not there, and not to be given out (Linux: bpf_arena_reserve_pages)
)

// arenaHigh is the upper half of the user addresses of arenas whose Spec has none. Their lower half is the guest address.
const arenaHigh = 0x7f00 << 32

func newPages(c *core) (Map, error) {
	size := uint64(c.spec.MaxEntries) * kernelPage
	if size > 1<<32 {
		return nil, c.fail("create", E2BIG)
	}
	m := &Pages{core: c, user: c.spec.Extra}
	if m.user>>32 != (m.user+size-1)>>32 {
		return nil, &Error{Op: "create", Map: c.spec.Name, Errno: ERANGE, Reason: "the arena crosses a boundary of 4 GiB"}
	}
	table, err := c.alloc(uint64(c.spec.MaxEntries), 8)
	if err != nil {
		return nil, err
	}
	m.state = c.view(table, uint64(c.spec.MaxEntries))
	if m.data, err = c.alloc(size, kernelPage); err != nil {
		return nil, err
	}
	m.bytes = c.view(m.data, size)
	if m.user == 0 {
		m.user = arenaHigh | uint64(m.data)
	}
	c.setHeader(OffData, m.data)
	return m, nil
}

// PagesOf returns m as an arena, also through a Wrapper.
func PagesOf(m Map) (*Pages, bool) {
	for {
		if p, ok := m.(*Pages); ok {
			return p, true
		}
		w, ok := m.(Wrapper)
		if !ok {
			return nil, false
		}
		m = w.Inner()
	}
}

// User is the address of page 0 in programs and in the process that shares the arena: Spec.Extra, or one that was chosen.
func (m *Pages) User() uint64 { return m.user }

// Size is the bytes of all pages, whether they are there or not.
func (m *Pages) Size() uint64 { return uint64(len(m.bytes)) }

// offset is where in the arena an address is, by its low half; the result may be beyond the end.
func (m *Pages) offset(addr uint64) uint32 { return uint32(addr) - uint32(m.user) }

// pointer is the address of a page.
func (m *Pages) pointer(page int) uint64 { return m.user + uint64(page)*kernelPage }

// Pointer is what a cast to the user's address space makes of an address: the upper half is the arena's, and null stays null.
func (m *Pages) Pointer(addr uint64) uint64 {
	if uint32(addr) == 0 {
		return 0
	}
	return m.user&^(1<<32-1) | uint64(uint32(addr))
}

// At returns the guest address of the n bytes at off past the low half of addr, false when they are not all in pages that are there: then
// a load gives 0 and a store does nothing. n is 1 to 8; off is that of an instruction, and unlike addr it does not wrap.
func (m *Pages) At(addr uint64, off int16, n uint8) (guest uint32, ok bool) {
	at := int64(uint32(addr)) + int64(off) - int64(uint32(m.user))
	if at < 0 || at+int64(n) > int64(len(m.bytes)) {
		return 0, false
	}
	if m.state[at/kernelPage] != pageThere || m.state[(at+int64(n)-1)/kernelPage] != pageThere {
		return 0, false
	}
	return m.data + uint32(at), true
}

// Alloc is bpf_arena_alloc_pages: the address of count pages that are zero, at addr when that is not 0; 0 when they cannot be had.
func (m *Pages) Alloc(addr uint64, count uint32) uint64 {
	if count == 0 || uint64(count) > uint64(len(m.state)) {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first := 0
	if addr != 0 {
		page, ok := m.run(addr, count)
		if !ok || !m.free(page, int(count)) {
			return 0
		}
		first = page
	} else if first = m.find(int(count)); first < 0 {
		return 0
	}
	m.fill(first, int(count))
	return m.pointer(first)
}

// fill makes pages that are there, and zero.
func (m *Pages) fill(first, count int) {
	clear(m.bytes[first*kernelPage : (first+count)*kernelPage])
	m.mark(first, count, pageThere)
}

// run is the first of count pages from an address on; false when they are not the arena's, or the address is not a page's.
func (m *Pages) run(addr uint64, count uint32) (int, bool) {
	first := m.offset(addr) / kernelPage
	return int(first), addr%kernelPage == 0 && uint64(first)+uint64(count) <= uint64(len(m.state))
}

func (m *Pages) free(first, count int) bool {
	return bytes.Count(m.state[first:first+count], []byte{pageFree}) == count
}

func (m *Pages) mark(first, count int, state byte) {
	for i := range m.state[first : first+count] {
		m.state[first+i] = state
	}
}

// find is the smallest run of at least count free pages, -1 when there is none.
func (m *Pages) find(count int) int {
	best, bestSize := -1, len(m.state)+1
	for at := 0; at < len(m.state); {
		from := bytes.IndexByte(m.state[at:], pageFree)
		if from < 0 {
			break
		}
		from += at
		at = from
		for at < len(m.state) && m.state[at] == pageFree {
			at++
		}
		if size := at - from; size >= count && size < bestSize {
			best, bestSize = from, size
		}
	}
	return best
}

// Free is bpf_arena_free_pages: count pages from the one that addr is in are there no more, as far as they are the arena's.
func (m *Pages) Free(addr uint64, count uint32) {
	m.mu.Lock()
	defer m.mu.Unlock()
	first := int64(uint32(addr))/kernelPage - int64(uint32(m.user))/kernelPage
	if first < 0 || first >= int64(len(m.state)) {
		return
	}
	n := int(min(int64(count), int64(len(m.state))-first))
	m.mark(int(first), n, pageFree)
}

// Reserve is bpf_arena_reserve_pages: the pages are not given out until they are freed. It gives EINVAL when they are not the arena's, and
// EBUSY when one is in use.
func (m *Pages) Reserve(addr uint64, count uint32) error {
	if count == 0 || addr%kernelPage != 0 {
		return nil
	}
	first, ok := m.run(addr, count)
	if !ok {
		return m.fail("reserve", EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.free(first, int(count)) {
		return m.fail("reserve", EBUSY)
	}
	m.mark(first, int(count), pageReserved)
	return nil
}

// ReadAt implements io.ReaderAt over all pages: those that are not there read as zeros, and stay so. It gives EINVAL outside the arena.
func (m *Pages) ReadAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m.bytes)) || int64(len(p)) > int64(len(m.bytes))-off {
		return 0, m.fail("read", EINVAL)
	}
	for n := 0; n < len(p); {
		at := off + int64(n)
		size := min(len(p)-n, int(kernelPage-at%kernelPage))
		if part := p[n : n+size]; m.state[at/kernelPage] == pageThere {
			copy(part, m.bytes[at:])
		} else {
			clear(part)
		}
		n += size
	}
	return len(p), nil
}

// WriteAt implements io.WriterAt as a process writes: pages that were not there are from now on (Linux: arena_vm_fault), or, with the
// flag SegvOnFault, nothing is written and the error is EFAULT. It gives EINVAL outside the arena.
func (m *Pages) WriteAt(p []byte, off int64) (int, error) {
	if off < 0 || off > int64(len(m.bytes)) || int64(len(p)) > int64(len(m.bytes))-off {
		return 0, m.fail("write", EINVAL)
	}
	if len(p) == 0 {
		return 0, nil
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	first, last := int(off/kernelPage), int((off+int64(len(p))-1)/kernelPage)
	for page := first; page <= last && m.spec.Flags&SegvOnFault != 0; page++ {
		if m.state[page] != pageThere {
			return 0, m.fail("write", EFAULT)
		}
	}
	for page := first; page <= last; page++ {
		if m.state[page] != pageThere {
			m.fill(page, 1)
		}
	}
	return copy(m.bytes[off:], p), nil
}

// LookupAddr finds nothing: an arena has no elements.
func (m *Pages) LookupAddr(int, []byte) uint32 { return 0 }

// Update fails.
func (m *Pages) Update(int, []byte, []byte, uint64) error { return m.fail("update", EOPNOTSUPP) }

// Delete fails.
func (m *Pages) Delete([]byte) error { return m.fail("delete", EOPNOTSUPP) }

// Next finds nothing.
func (m *Pages) Next([]byte) ([]byte, bool) { return nil, false }

// Len is the number of pages that are there.
func (m *Pages) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return bytes.Count(m.state, []byte{pageThere})
}

// Clear frees all pages.
func (m *Pages) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.mark(0, len(m.state), pageFree)
}

// HostLookup fails: see ReadAt.
func (m *Pages) HostLookup([]byte) ([]byte, error) { return nil, m.fail("lookup", EINVAL) }

// HostUpdate fails: see WriteAt.
func (m *Pages) HostUpdate([]byte, []byte, uint64) error { return m.fail("update", EOPNOTSUPP) }

// All iterates over nothing: see ReadAt.
func (m *Pages) All() iter.Seq2[[]byte, []byte] { return func(func([]byte, []byte) bool) {} }
