package maps

// newLRU makes LRUHash and LRUPerCPUHash: a hash that makes room when it is full. NoCommonLRU (an LRU list of its
// own for each CPU) is accepted and makes no difference.
//
// The kernel approximates LRU with an active and an inactive list and one reference bit an element, set by lookups from
// programs and by updates that replace. Here the same bit drives a clock: see evict. Which element goes may differ
// from the kernel, as it does between kernels and CPUs; and here it never goes before the map is full.
func newLRU(c *core) (Map, error) {
	m, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	addr, err := c.alloc(uint64(m.max), 64)
	if err != nil {
		return nil, err
	}
	m.refs, m.refsAddr = c.view(addr, uint64(m.max)), addr
	c.setHeader(OffRefs, addr)
	return m, nil
}

// evict takes the first element out of the map, from where the last search ended, that was not used since then: approximate
// LRU with one reference bit (the kernel has two lists with the same bit). It is for the caller to use. hole is the slot of the
// index table that got empty. False when there is nothing to take.
func (m *hash) evict() (elem, hole uint32, ok bool) {
	for range 2 * uint64(m.max) {
		elem = *m.hand
		if elem >= m.max {
			elem = 0
		}
		*m.hand = elem + 1
		if m.meta[elem] != metaLive {
			continue
		}
		if m.refs[elem] != 0 {
			m.refs[elem] = 0
			continue
		}
		key := m.key(elem)
		hole, found, ok := m.probe(HashKey(key), key)
		if ok && found == elem {
			hole = m.unlink(hole)
		}
		return elem, hole, true
	}
	return 0, 0, false
}
