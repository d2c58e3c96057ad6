package maps

import (
	"bytes"
	"math/bits"
	"slices"
	"sort"
)

// lpmOrder is the elements of an lpm in the order of its keys, for Next. It is made when it is first asked for, and kept from then
// on. What changes the map leaves a number in guest memory, a hash of all that changed it until then: so the order knows when a
// snapshot was restored, or somebody wrote there, and is made anew. The same changes leave the same number on every machine.
type lpmOrder struct {
	chunks [][]uint32 // none empty
	stamp  uint64     // the number that the map had
}

// nextStamp is the number after a change of an element.
func nextStamp(stamp uint64, key []byte, elem uint32, delta int) uint64 {
	stamp ^= uint64(HashKey(key))<<32 | uint64(elem)<<1 | uint64(delta)&2<<62
	stamp *= 0x9e3779b97f4a7c15
	return stamp ^ stamp>>29 + 1
}

const lpmChunk = 256 // elements of a chunk when it is made; it is split at twice that

// change is called under the lock for an element that comes (delta 1) or goes (-1), while its key is in place.
func (m *lpm) change(elem uint32, delta int) {
	o, stamp := &m.order, m.state64(stateStamp)
	known := o.chunks != nil && *stamp == o.stamp
	*stamp = nextStamp(*stamp, m.key(elem), elem, delta)
	if !known {
		o.chunks = nil
		return
	}
	o.stamp = *stamp
	c, i, found := m.seek(m.key(elem))
	switch {
	case delta > 0 && !found:
		m.insert(c, i, elem)
	case delta < 0 && found:
		if o.chunks[c] = slices.Delete(o.chunks[c], i, i+1); len(o.chunks[c]) == 0 {
			o.chunks = slices.Delete(o.chunks, c, c+1)
		}
	}
}

func (m *lpm) insert(c, i int, elem uint32) {
	o := &m.order
	if c == len(o.chunks) {
		if c == 0 {
			o.chunks = append(o.chunks, []uint32{elem})
			return
		}
		c--
		i = len(o.chunks[c])
	}
	o.chunks[c] = slices.Insert(o.chunks[c], i, elem)
	if all := o.chunks[c]; len(all) > 2*lpmChunk {
		o.chunks[c] = all[:lpmChunk:lpmChunk]
		o.chunks = slices.Insert(o.chunks, c+1, slices.Clone(all[lpmChunk:]))
	}
}

// seek finds where a key in canonical form is, or would be, in the order.
func (m *lpm) seek(key []byte) (chunk, i int, found bool) {
	all := m.order.chunks
	chunk = sort.Search(len(all), func(c int) bool { return m.compare(m.key(all[c][len(all[c])-1]), key) >= 0 })
	if chunk == len(all) {
		return chunk, 0, false
	}
	i, found = slices.BinarySearchFunc(all[chunk], key, func(elem uint32, key []byte) int { return m.compare(m.key(elem), key) })
	return chunk, i, found
}

// compare orders prefixes in canonical form as the kernel's walk does: of two that part at some bit the one with the 0 comes first; of two
// of which one contains the other, the longer (Linux: trie_get_next_key).
func (m *lpm) compare(a, b []byte) int {
	na, nb := le32(a), le32(b)
	for i, x := range a[4:] {
		if d := x ^ b[4+i]; d != 0 {
			if at := uint32(8*i + bits.LeadingZeros8(d)); at < min(na, nb) {
				return bytes.Compare(a[4:], b[4:])
			}
			break
		}
	}
	return int(nb) - int(na)
}

// makeOrder brings the order up to date, under the lock.
func (m *lpm) makeOrder() {
	o, stamp := &m.order, m.state64(stateStamp)
	if o.chunks != nil && *stamp == o.stamp {
		return
	}
	all := make([]uint32, 0, m.Len())
	for elem, ok := m.nextLive(0); ok; elem, ok = m.nextLive(elem + 1) {
		all = append(all, elem)
	}
	slices.SortFunc(all, func(a, b uint32) int { return m.compare(m.key(a), m.key(b)) })
	o.chunks = make([][]uint32, 0, len(all)/lpmChunk+1)
	for part := range slices.Chunk(all, lpmChunk) {
		o.chunks = append(o.chunks, slices.Clone(part))
	}
	o.stamp = *stamp
}

// Next gives more specific prefixes before those that contain them, the key as it was given (Linux: trie_get_next_key).
func (m *lpm) Next(key []byte) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.makeOrder()
	c, i := 0, 0
	var p prefix
	if _, ok := m.canonical(&p, key); ok {
		if at, j, found := m.seek(p[:m.keySize]); found {
			c, i = at, j+1
		}
	}
	if c < len(m.order.chunks) && i == len(m.order.chunks[c]) {
		c, i = c+1, 0
	}
	if c >= len(m.order.chunks) {
		return nil, false
	}
	return m.givenKey(m.order.chunks[c][i]), true
}

// givenKey is a copy of the key as it was given: with what was beyond the prefix.
func (m *lpm) givenKey(elem uint32) []byte {
	data := m.keySize - 4
	return append(slices.Clone(m.key(elem)[:4]), m.given[int(elem)*data:][:data]...)
}

func (m *lpm) setGiven(elem uint32, key []byte) {
	data := m.keySize - 4
	copy(m.given[int(elem)*data:][:data], key[4:])
}
