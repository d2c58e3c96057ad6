package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"slices"
	"testing"
)

// The order of keys is kept outside of guest memory: it must not outlive what it is the order of.
func TestLPMOrderAfterRestore(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 2000, Flags: NoPrealloc}, 1).(*lpm)
	r := rand.New(rand.NewPCG(5, 6))
	put := func(n int) {
		for range n {
			key := binary.BigEndian.AppendUint32([]byte{byte(8 + r.UintN(25)), 0, 0, 0}, r.Uint32())
			if err := m.HostUpdate(key, []byte{1, 2, 3, 4}, Any); err != nil {
				t.Fatal(err)
			}
		}
	}
	keys := func() (all []string) {
		for key, ok := m.Next(nil); ok && len(all) <= m.Len(); key, ok = m.Next(key) {
			all = append(all, string(key))
		}
		return all
	}
	put(600)
	want := keys()
	if len(want) != m.Len() {
		t.Fatalf("%d keys of %d", len(want), m.Len())
	}
	snap := s.Snapshot()
	for _, key := range want[:300] {
		if err := m.Delete([]byte(key)); err != nil {
			t.Fatal(err)
		}
	}
	put(500)
	if changed := keys(); len(changed) != m.Len() || slices.Equal(changed, want) {
		t.Errorf("%d keys of %d", len(changed), m.Len())
	}
	if err := s.Restore(snap); err != nil {
		t.Fatal(err)
	}
	if got := keys(); !slices.Equal(got, want) {
		t.Errorf("%d keys after the restore, want %d", len(got), len(want))
	}
	// The same number of changes as after the snapshot, and other ones.
	put(5)
	if got := keys(); len(got) != m.Len() {
		t.Errorf("%d keys of %d", len(got), m.Len())
	}
	// A change right after a restore, before anybody asked for the order.
	if err := s.Restore(snap); err != nil {
		t.Fatal(err)
	}
	put(1)
	if got := keys(); len(got) != m.Len() {
		t.Errorf("%d keys of %d after a restore and a change", len(got), m.Len())
	}
	m.Clear()
	if got := keys(); len(got) != 0 {
		t.Errorf("%d keys of an empty map", len(got))
	}
}

// A prefix that goes leaves what it covered to the next shorter one, in the table of buckets too.
func TestLPMShortPrefixes(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 1000, Flags: NoPrealloc}, 1).(*lpm)
	key := func(n byte, addr uint32) []byte { return binary.BigEndian.AppendUint32([]byte{n, 0, 0, 0}, addr) }
	length := func(addr uint32) int {
		at := m.LookupAddr(0, key(32, addr))
		if at == 0 {
			return -1
		}
		return int(m.space.Load32(at))
	}
	for _, n := range []byte{4, 0, 9, 7, 12, 8} { // 10.0.0.0/n, in no order
		if err := m.HostUpdate(key(n, 10<<24), appendLE32(uint32(n)), Any); err != nil {
			t.Fatal(err)
		}
	}
	if m.buckets.bits != 10 {
		t.Fatalf("buckets of %d bits", m.buckets.bits)
	}
	for _, step := range []struct {
		goes byte
		want [4]int // 10.0.0.1, 10.64.0.1, 11.0.0.1, 200.0.0.1
	}{
		{255, [4]int{12, 9, 7, 0}}, {9, [4]int{12, 8, 7, 0}}, {12, [4]int{8, 8, 7, 0}}, {7, [4]int{8, 8, 4, 0}}, {0, [4]int{8, 8, 4, -1}},
		{8, [4]int{4, 4, 4, -1}}, {4, [4]int{-1, -1, -1, -1}},
	} {
		if step.goes != 255 {
			if err := m.Delete(key(step.goes, 10<<24)); err != nil {
				t.Fatal(err)
			}
		}
		if got := [4]int{length(10<<24 | 1), length(10<<24 | 64<<16 | 1), length(11<<24 | 1), length(200<<24 | 1)}; got != step.want {
			t.Errorf("without /%d: %v, want %v", step.goes, got, step.want)
		}
	}
}
