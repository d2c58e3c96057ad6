package maps

import (
	"encoding/binary"
	"math/bits"
	"sync/atomic"
)

// lpmBuckets is a table over the first bits of an address, in guest memory. A bucket has the longest prefix of no more bits than those
// that covers all of it, and which longer lengths are in it. So a lookup of an address only tries the lengths that there are near it, which
// are few, and mostly none.
type lpmBuckets struct {
	bits  uint32   // of an address that choose its bucket: 4 to 16
	words []uint64 // two a bucket: see best and lengths
}

const (
	minBucketBits = 4
	maxBucketBits = 16
	bucketWords   = 2
	beyond        = 1 << 63 // of lengths: there are some of bits+64 and more
)

// newBuckets makes a table of about as many buckets as there may be prefixes.
func (m *lpm) newBuckets() error {
	b := &m.buckets
	b.bits = min(max(uint32(bits.Len32(m.max-1)), minBucketBits), maxBucketBits, m.most)
	n := uint64(bucketWords) << b.bits
	addr, err := m.alloc(n*8, 64)
	if err != nil {
		return err
	}
	b.words = m.words64(addr, n)
	return nil
}

// best is a bucket's longest prefix of at most b.bits bits, as element+1 or 0, in the low half; the high half counts its longer ones.
func (b *lpmBuckets) best(bucket uint32) *uint64 { return &b.words[bucket*bucketWords] }

// lengths has bit k for prefixes of b.bits+1+k bits. A bit may outlive the last prefix of its length: all go with the last of all.
func (b *lpmBuckets) lengths(bucket uint32) *uint64 { return &b.words[bucket*bucketWords+1] }

// of is the bucket of an address, whose first two bytes count.
func (b *lpmBuckets) of(data []byte) uint32 {
	top := uint32(data[0]) << 8
	if len(data) > 1 {
		top |= uint32(data[1])
	}
	return top >> (16 - b.bits)
}

// near is the lengths to try for an address of n bits in a bucket, n being at least b.bits.
func (b *lpmBuckets) near(bucket, n uint32) uint64 {
	all := atomic.LoadUint64(b.lengths(bucket))
	if n-b.bits < 64 {
		all &= 1<<(n-b.bits) - 1
	}
	return all
}

// short is the element of a bucket's best prefix.
func (m *lpm) short(bucket uint32) (elem uint32, ok bool) {
	e1 := uint32(atomic.LoadUint64(m.buckets.best(bucket)))
	return e1 - 1, e1 != 0 && e1 <= m.max
}

// enter puts a new element, whose key is p with n bits, into the table. Its value is in place.
func (m *lpm) enter(elem uint32, p []byte, n uint32) {
	b := &m.buckets
	first := b.of(p[4:])
	if n > b.bits {
		word := b.best(first)
		atomic.StoreUint64(word, *word+1<<32)
		lengths := b.lengths(first)
		atomic.StoreUint64(lengths, *lengths|1<<min(n-b.bits-1, 63))
		return
	}
	for bucket := first; bucket < first+1<<(b.bits-n); bucket++ {
		word := b.best(bucket)
		if e1 := uint32(*word); e1 == 0 || e1 > m.max || le32(m.key(e1-1)) < n {
			atomic.StoreUint64(word, *word&^(1<<32-1)|uint64(elem+1))
		}
	}
}

// leave takes an element out of the table that is about to go.
func (m *lpm) leave(elem uint32, p *prefix, n uint32) {
	b := &m.buckets
	first := b.of(p[4:m.keySize])
	if n > b.bits {
		word := b.best(first)
		if *word>>32 != 0 {
			atomic.StoreUint64(word, *word-1<<32)
		}
		if *word>>32 == 0 {
			atomic.StoreUint64(b.lengths(first), 0)
		}
		return
	}
	next := m.shorter(*p, n)
	for bucket := first; bucket < first+1<<(b.bits-n); bucket++ {
		if word := b.best(bucket); uint32(*word) == elem+1 {
			atomic.StoreUint64(word, *word&^(1<<32-1)|uint64(next))
		}
	}
}

// shorter is the element+1 of the longest prefix that covers p and has less than its n bits, 0 when there is none.
func (m *lpm) shorter(p prefix, n uint32) uint32 {
	for n > 0 {
		length, ok := m.lengthBelow(n - 1)
		if !ok {
			break
		}
		p.cut(length, n)
		if _, elem, ok := m.probe(HashKey(p[:m.keySize]), p[:m.keySize]); ok {
			return elem + 1
		}
		n = length
	}
	return 0
}

// longestWord is longest for 4 bytes of data, as in IPv4 tables, with the key in a register. sure is false when it takes
// more: a deletion was under way and a miss proves nothing, or the address has fewer bits than a bucket.
func (m *lpm) longestWord(n, data uint32) (elem uint32, ok, sure bool) {
	b := &m.buckets
	if n > m.most || n < b.bits {
		return 0, false, n > m.most
	}
	bucket := data >> (32 - b.bits)
	for near := b.near(bucket, n); near != 0; {
		k := uint32(bits.Len64(near) - 1)
		near &^= 1 << k
		length := b.bits + 1 + k
		cut := data & (^uint32(0) << (32 - length))
		if elem, ok, sure = m.findWord(uint64(length) | uint64(bits.ReverseBytes32(cut))<<32); ok || !sure {
			return elem, ok, sure
		}
	}
	elem, ok = m.short(bucket)
	return elem, ok, true
}

// longestLong is longest for any data; sure is false when it takes more.
func (m *lpm) longestLong(n uint32, key []byte) (elem uint32, ok, sure bool) {
	b := &m.buckets
	if n > m.most || n < b.bits {
		return 0, false, n > m.most
	}
	bucket := b.of(key[4:])
	if near := b.near(bucket, n); near != 0 {
		if near&beyond != 0 {
			return 0, false, false
		}
		var p prefix
		copy(p[:], key)
		for at := m.most; near != 0; {
			k := uint32(bits.Len64(near) - 1)
			near &^= 1 << k
			p.cut(b.bits+1+k, at)
			at = b.bits + 1 + k
			if elem, ok := m.locate(p[:m.keySize]); ok {
				return elem, true, true
			}
		}
	}
	elem, ok = m.short(bucket)
	return elem, ok, true
}

// longest finds the most specific prefix that covers the key.
func (m *lpm) longest(key []byte) (uint32, bool) {
	if len(key) != m.keySize {
		return 0, false
	}
	var elem uint32
	var ok, sure bool
	if n := le32(key); len(key) == 8 {
		elem, ok, sure = m.longestWord(n, binary.BigEndian.Uint32(key[4:]))
	} else {
		elem, ok, sure = m.longestLong(n, key)
	}
	if ok || sure {
		return elem, ok
	}
	return m.longestOfAll(key)
}

// longestOfAll tries all lengths that are in use, from the longest on.
func (m *lpm) longestOfAll(key []byte) (uint32, bool) {
	var p prefix
	n, ok := m.canonical(&p, key)
	if !ok {
		return 0, false
	}
	for from := n; ; {
		length, ok := m.lengthBelow(from)
		if !ok {
			return 0, false
		}
		p.cut(length, n)
		n = length
		if elem, ok := m.locate(p[:m.keySize]); ok {
			return elem, true
		}
		if length == 0 {
			return 0, false
		}
		from = length - 1
	}
}
