package maps

import "iter"

// perfEvents is PerfEventArray: what programs send goes straight to the host, so there is nothing to store.
type perfEvents struct{ *core }

func newPerfEvents(c *core) (Map, error) { return &perfEvents{c}, nil }

func (m *perfEvents) LookupAddr(int, []byte) uint32 { return 0 }

func (m *perfEvents) Update(int, []byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

func (m *perfEvents) Delete([]byte) error { return m.fail("delete", ENOTSUPP) }

func (m *perfEvents) Next([]byte) ([]byte, bool) { return nil, false }

func (m *perfEvents) Len() int { return 0 }

func (m *perfEvents) Clear() {}

func (m *perfEvents) HostLookup([]byte) ([]byte, error) { return nil, m.fail("lookup", ENOTSUPP) }

func (m *perfEvents) HostUpdate([]byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

func (m *perfEvents) All() iter.Seq2[[]byte, []byte] { return func(func([]byte, []byte) bool) {} }
