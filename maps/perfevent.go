package maps

import "iter"

// perfEvents is PerfEventArray: what programs send goes straight to the host, so there is nothing to store. To a process it is an
// array without any event in it.
type perfEvents struct{ *core }

func newPerfEvents(c *core) (Map, error) { return &perfEvents{c}, nil }

func (m *perfEvents) LookupAddr(int, []byte) uint32 { return 0 }

func (m *perfEvents) Update(int, []byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

// Delete: see Linux fd_array_map_delete_elem.
func (m *perfEvents) Delete(key []byte) error {
	switch {
	case len(key) != 4:
		return m.fail("delete", EINVAL)
	case le32(key) >= m.spec.MaxEntries:
		return m.fail("delete", E2BIG)
	}
	return m.fail("delete", ENOENT)
}

func (m *perfEvents) Next(key []byte) ([]byte, bool) { return nextIndex(key, m.spec.MaxEntries) }

func (m *perfEvents) Len() int { return 0 }

func (m *perfEvents) Clear() {}

func (m *perfEvents) HostLookup([]byte) ([]byte, error) { return nil, m.fail("lookup", ENOTSUPP) }

func (m *perfEvents) HostUpdate([]byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

func (m *perfEvents) All() iter.Seq2[[]byte, []byte] { return func(func([]byte, []byte) bool) {} }
