package maps

import (
	"iter"
	"math/bits"
	"slices"
	"sync/atomic"
)

// lpm is LPMTrie. A key is {u32 prefix length, data}. It is a hash of the prefixes, their data cut to the length, and a table that
// says where which lengths are in use: a lookup tries those near the address from the longest on. (The kernel's is a trie, in which
// each step may be a cache miss.)
type lpm struct {
	*hash
	counts []uint32 // prefixes of each length, guest memory
	given  []byte   // the data of each element's key as it was given, guest memory
	order  lpmOrder

	buckets lpmBuckets
	words   []uint64 // a bit for each length that counts has
	most    uint32   // longest prefix in bits
}

func newLPM(c *core) (Map, error) {
	h, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	m := &lpm{hash: h, most: 8 * (c.spec.KeySize - 4)}
	counts, err := c.alloc(uint64(m.most+1)*4, 64)
	if err != nil {
		return nil, err
	}
	words := uint64(m.most)/64 + 1
	set, err := c.alloc(words*8, 64)
	if err != nil {
		return nil, err
	}
	size := uint64(m.max) * uint64(c.spec.KeySize-4)
	given, err := c.alloc(size, 8)
	if err != nil {
		return nil, err
	}
	m.given = c.view(given, size)
	if err := m.newBuckets(); err != nil {
		return nil, err
	}
	m.counts, m.words = c.words32(counts, uint64(m.most+1)), c.words64(set, words)
	return m, nil
}

// prefix is a key in canonical form.
type prefix [lpmKeyMax]byte

// cut keeps n bits of a prefix of at most from bits.
func (p *prefix) cut(n, from uint32) {
	p[0], p[1], p[2], p[3] = byte(n), byte(n>>8), 0, 0
	at, end := 4+n/8, 4+(from+7)/8
	if n%8 != 0 {
		p[at] &= 0xff << (8 - n%8)
		at++
	}
	if at < end {
		clear(p[at:end])
	}
}

// canonical sets p to the key with the bits beyond its prefix, of n bits, as zeros; false when the key is not legal.
func (m *lpm) canonical(p *prefix, key []byte) (n uint32, ok bool) {
	if len(key) != m.keySize {
		return 0, false
	}
	if n = le32(key); n > m.most {
		return 0, false
	}
	copy(p[:], key)
	p.cut(n, m.most)
	return n, true
}

func (m *lpm) LookupAddr(_ int, key []byte) uint32 {
	elem, ok := m.longest(key)
	if !ok {
		return 0
	}
	return m.data + elem*m.stride + m.valueOff
}

// lengthBelow returns the greatest length in use that is at most n.
func (m *lpm) lengthBelow(n uint32) (uint32, bool) {
	w := int(n / 64)
	word := atomic.LoadUint64(&m.words[w]) & (^uint64(0) >> (63 - n%64))
	for word == 0 {
		if w--; w < 0 {
			return 0, false
		}
		word = atomic.LoadUint64(&m.words[w])
	}
	return uint32(w*64 + bits.Len64(word) - 1), true
}

// Update: see Linux trie_update_elem. A full map gives ENOSPC.
func (m *lpm) Update(_ int, key, value []byte, flags uint64) error {
	return m.HostUpdate(key, value, flags)
}

func (m *lpm) HostUpdate(key, value []byte, flags uint64) error {
	var p prefix
	n, ok := m.canonical(&p, key)
	if !ok || flags > Exist || len(value) != int(m.spec.ValueSize) {
		return m.fail("update", EINVAL)
	}
	err := m.update(p[:m.keySize], flags, func(elem uint32, fresh bool) error {
		m.setGiven(elem, key)
		copy(m.value(0, elem), value)
		if fresh {
			m.counts[n]++
			m.setLength(n, true)
			m.change(elem, 1)
			m.enter(elem, p[:m.keySize], n)
		}
		return nil
	})
	if ErrnoOf(err) == E2BIG {
		return m.fail("update", ENOSPC)
	}
	return err
}

func (m *lpm) Delete(key []byte) error {
	var p prefix
	n, ok := m.canonical(&p, key)
	if !ok {
		return m.fail("delete", EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, elem, ok := m.probe(HashKey(p[:m.keySize]), p[:m.keySize])
	if !ok {
		return m.fail("delete", ENOENT)
	}
	m.change(elem, -1)
	m.leave(elem, &p, n)
	m.unlink(slot)
	m.give(elem)
	if m.counts[n]--; m.counts[n] == 0 {
		m.setLength(n, false)
	}
	return nil
}

// setLength says whether a length is in use.
func (m *lpm) setLength(n uint32, used bool) {
	word, bit := &m.words[n/64], uint64(1)<<(n%64)
	if used {
		atomic.StoreUint64(word, *word|bit)
	} else {
		atomic.StoreUint64(word, *word&^bit)
	}
}

// HostLookup finds the longest prefix too.
func (m *lpm) HostLookup(key []byte) ([]byte, error) {
	elem, ok := m.longest(key)
	if !ok {
		return nil, m.fail("lookup", ENOENT)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hostValue(elem), nil
}

// All gives elements in the order of Next.
func (m *lpm) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		m.mu.Lock()
		m.makeOrder()
		all := slices.Concat(m.order.chunks...)
		m.mu.Unlock()
		for _, elem := range all {
			m.mu.Lock()
			if m.meta[elem] != metaLive {
				m.mu.Unlock()
				continue
			}
			key, value := m.givenKey(elem), m.hostValue(elem)
			m.mu.Unlock()
			if !yield(key, value) {
				return
			}
		}
	}
}

func (m *lpm) Clear() {
	m.hash.Clear()
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.counts)
	clear(m.words)
	clear(m.buckets.words)
	m.order.chunks = nil
	*m.state64(stateStamp) = 0
}
