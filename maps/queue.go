package maps

import "iter"

// Pusher is what maps without keys have instead of elements: Queue, Stack, BloomFilter. Values have Spec().ValueSize
// bytes; else methods give EINVAL.
type Pusher interface {
	Map
	// Push is bpf_map_push_elem. A full queue or stack gives E2BIG, or with Exist drops the oldest element.
	Push(value []byte, flags uint64) error
	// Pop is bpf_map_pop_elem: it fills value. Empty gives ENOENT and zeros.
	Pop(value []byte) error
	// Peek is bpf_map_peek_elem: Pop without removing. For a bloom filter it gives ENOENT when the value was not pushed.
	Peek(value []byte) error
}

// queue is Queue and Stack: a ring of max values between two counters.
type queue struct {
	*core
	max    uint64
	stride uint32
	values []byte
}

func newQueue(c *core) (Map, error) {
	m := &queue{core: c, max: uint64(c.spec.MaxEntries), stride: round8(c.spec.ValueSize)}
	size := m.max * uint64(m.stride)
	data, err := c.alloc(size, 64)
	if err != nil {
		return nil, err
	}
	m.values = c.view(data, size)
	c.setHeader(OffData, data)
	return m, nil
}

// bounds returns the counters of pushes and of what left at the old end. Nonsense that the guest wrote counts as empty.
func (m *queue) bounds() (head, tail *uint64) {
	head, tail = m.state64(stateHead), m.state64(stateTail)
	if *head-*tail > m.max {
		*head, *tail = 0, 0
	}
	return head, tail
}

func (m *queue) value(n uint64) []byte {
	off := n % m.max * uint64(m.stride)
	return m.values[off : off+uint64(m.spec.ValueSize)]
}

// Push: see Linux queue_stack_map_push_elem.
func (m *queue) Push(value []byte, flags uint64) error {
	if flags != Any && flags != Exist || len(value) != int(m.spec.ValueSize) {
		return m.fail("push", EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	head, tail := m.bounds()
	if *head-*tail == m.max {
		if flags != Exist {
			return m.fail("push", E2BIG)
		}
		*tail++
	}
	copy(m.value(*head), value)
	*head++
	return nil
}

func (m *queue) Pop(value []byte) error { return m.get("pop", value, true) }

func (m *queue) Peek(value []byte) error { return m.get("peek", value, false) }

func (m *queue) get(op string, value []byte, remove bool) error {
	if len(value) != int(m.spec.ValueSize) {
		return m.fail(op, EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	head, tail := m.bounds()
	if *head == *tail {
		clear(value)
		return m.fail(op, ENOENT)
	}
	if m.spec.Type == Stack {
		copy(value, m.value(*head-1))
		if remove {
			*head--
		}
		return nil
	}
	copy(value, m.value(*tail))
	if remove {
		*tail++
	}
	return nil
}

func (m *queue) LookupAddr(int, []byte) uint32 { return 0 }

func (m *queue) Update(int, []byte, []byte, uint64) error { return m.fail("update", EINVAL) }

func (m *queue) Delete([]byte) error { return m.fail("delete", EINVAL) }

func (m *queue) Next([]byte) ([]byte, bool) { return nil, false }

func (m *queue) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	head, tail := m.bounds()
	return int(*head - *tail)
}

func (m *queue) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	*m.state64(stateHead), *m.state64(stateTail) = 0, 0
}

// HostLookup is Peek; the key is empty, as for BPF_MAP_LOOKUP_ELEM.
func (m *queue) HostLookup([]byte) ([]byte, error) {
	value := make([]byte, m.spec.ValueSize)
	if err := m.Peek(value); err != nil {
		return nil, err
	}
	return value, nil
}

// HostUpdate is Push.
func (m *queue) HostUpdate(_, value []byte, flags uint64) error { return m.Push(value, flags) }

// All iterates over the values in the order in which Pop would give them; the keys are nil.
func (m *queue) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for i := range uint64(m.Len()) {
			m.mu.Lock()
			head, tail := m.bounds()
			if *tail+i >= *head {
				m.mu.Unlock()
				return
			}
			at := *tail + i
			if m.spec.Type == Stack {
				at = *head - 1 - i
			}
			value := append([]byte(nil), m.value(at)...)
			m.mu.Unlock()
			if !yield(nil, value) {
				return
			}
		}
	}
}

// bloom is BloomFilter.
type bloom struct {
	*core
	words  []uint32 // the bits
	mask   uint32
	hashes uint32
}

const bloomDefaultHashes = 5

// newBloom sizes the filter as Linux bloom_map_alloc does: entries * hashes / ln 2 bits, as 7/5, and a power of two.
func newBloom(c *core) (Map, error) {
	m := &bloom{core: c, hashes: uint32(c.spec.Extra)}
	if m.hashes == 0 {
		m.hashes = bloomDefaultHashes
	}
	bits := uint64(64)
	for bits < uint64(c.spec.MaxEntries)*uint64(m.hashes)*7/5 && bits < 1<<31 {
		bits *= 2
	}
	data, err := c.alloc(bits/8, 64)
	if err != nil {
		return nil, err
	}
	m.words, m.mask = c.words32(data, bits/32), uint32(bits-1)
	c.setHeader(OffData, data)
	c.setHeader(OffIndexMask, m.mask)
	return m, nil
}

// bit is the n-th bit of a value.
func (m *bloom) bit(hash uint32, n uint32) uint32 {
	return uint32(mix(HashSeed^uint64(n), uint64(hash)<<32|uint64(hash))) & m.mask
}

func (m *bloom) Push(value []byte, flags uint64) error {
	if flags != Any || len(value) != int(m.spec.ValueSize) {
		return m.fail("push", EINVAL)
	}
	hash := HashKey(value)
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.hashes {
		b := m.bit(hash, n)
		m.words[b>>5] |= 1 << (b & 31)
	}
	*m.state(stateCount)++
	return nil
}

func (m *bloom) Pop([]byte) error { return m.fail("pop", EOPNOTSUPP) }

func (m *bloom) Peek(value []byte) error {
	if len(value) != int(m.spec.ValueSize) {
		return m.fail("peek", EINVAL)
	}
	hash := HashKey(value)
	m.mu.Lock()
	defer m.mu.Unlock()
	for n := range m.hashes {
		if b := m.bit(hash, n); m.words[b>>5]>>(b&31)&1 == 0 {
			return m.fail("peek", ENOENT)
		}
	}
	return nil
}

func (m *bloom) LookupAddr(int, []byte) uint32 { return 0 }

func (m *bloom) Update(int, []byte, []byte, uint64) error { return m.fail("update", EINVAL) }

func (m *bloom) Delete([]byte) error { return m.fail("delete", EOPNOTSUPP) }

func (m *bloom) Next([]byte) ([]byte, bool) { return nil, false }

// Len returns how many values were pushed.
func (m *bloom) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return int(*m.state(stateCount))
}

func (m *bloom) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.words)
	*m.state(stateCount) = 0
}

func (m *bloom) HostLookup([]byte) ([]byte, error) { return nil, m.fail("lookup", EINVAL) }

// HostUpdate is Push.
func (m *bloom) HostUpdate(_, value []byte, flags uint64) error { return m.Push(value, flags) }

func (m *bloom) All() iter.Seq2[[]byte, []byte] { return func(func([]byte, []byte) bool) {} }
