package maps

import (
	"strings"
	"testing"

	"github.com/skepvm/skep/mem"
)

// What maps take of guest memory, in bytes of the space for each byte of keys and values. A hash has 8 bytes for each slot of its index
// table, of which there are two to four an element, and 4 bytes an element: little where elements are large.
func TestBytesReserved(t *testing.T) {
	s, err := mem.New(mem.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.Size() < 1<<32 {
		t.Skip("needs a space of 4 GiB")
	}
	const million = 1000 * 1000
	for _, c := range []struct {
		spec Spec
		most float64
	}{
		{Spec{Type: Hash, KeySize: 16, ValueSize: 64, MaxEntries: million}, 1.27},
		{Spec{Type: Hash, KeySize: 16, ValueSize: 32, MaxEntries: million}, 1.44},
		{Spec{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: million}, 2.31},
		{Spec{Type: LRUHash, KeySize: 16, ValueSize: 64, MaxEntries: million}, 1.28},
		{Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: million}, 1.01},
		{Spec{Type: LPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: million, Flags: NoPrealloc}, 2.62},
	} {
		before := s.InUse()
		m, err := New(s, &c.spec, Options{})
		if err != nil {
			t.Fatal(err)
		}
		content := float64(c.spec.ValueSize) * million
		if c.spec.Type.Row().Hashed {
			content += float64(c.spec.KeySize) * million
		}
		if got := float64(s.InUse()-before) / content; got > c.most || got < c.most-0.02 {
			t.Errorf("%s of %d+%d bytes: %.3f of them reserved, want %.2f", c.spec.Type, c.spec.KeySize, c.spec.ValueSize, got, c.most)
		}
		m.Close()
	}
}

// A map that cannot fit is refused for its size, before anything is made of it.
func TestTooLarge(t *testing.T) {
	s, err := mem.New(mem.Options{Size: 1 << 24})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, spec := range []Spec{
		{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: 1 << 20},
		{Type: Hash, KeySize: 8, ValueSize: 4000000, MaxEntries: 1<<32 - 1},
		{Type: PerCPUHash, KeySize: 8, ValueSize: 32768, MaxEntries: 1 << 31},
		{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 1<<32 - 1},
		{Type: PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 1<<32 - 1},
		{Type: LPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 1 << 30, Flags: NoPrealloc},
		{Type: Queue, ValueSize: 8, MaxEntries: 1<<32 - 1},
		{Type: RingBuf, MaxEntries: 1 << 24},
		{Type: BloomFilter, ValueSize: 8, MaxEntries: 1<<32 - 1},
	} {
		before := s.InUse()
		_, err := New(s, &spec, Options{})
		if ErrnoOf(err) != ENOMEM || !strings.Contains(err.Error(), "all of guest memory has 16777216") {
			t.Errorf("%s: %v", spec.Type, err)
		}
		if s.InUse() != before {
			t.Errorf("%s: %d bytes leak", spec.Type, s.InUse()-before)
		}
	}
}
