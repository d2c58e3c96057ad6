package maps

import (
	"encoding/binary"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
)

// Several CPUs work on one map; keys that nobody deletes must always be found, with their value.
func TestConcurrentHash(t *testing.T) {
	for _, typ := range []Type{Hash, LRUHash, PerCPUHash} {
		m := newMap(t, newSpace(t), &Spec{Type: typ, KeySize: 8, ValueSize: 8, MaxEntries: 2000}, 4)
		key := func(i uint64) []byte { return binary.LittleEndian.AppendUint64(nil, i) }
		const stable = 200
		for i := range uint64(stable) {
			if err := Put(m, i, i*3); err != nil {
				t.Fatal(err)
			}
		}
		var wg sync.WaitGroup
		for cpu := range 3 {
			wg.Go(func() {
				r := rand.New(rand.NewPCG(uint64(cpu), 4))
				for range 20000 {
					k := key(stable + r.Uint64N(300))
					if r.IntN(2) == 0 {
						_ = m.Update(cpu, k, k, Any)
					} else {
						_ = m.Delete(k)
					}
				}
			})
		}
		wg.Go(func() {
			for round := range 300 {
				for i := range uint64(stable) {
					addr := m.LookupAddr(0, key(i))
					if addr == 0 || m.(*hash).space.Load64(addr) != i*3 {
						t.Errorf("%s: round %d: key %d: %#x", typ, round, i, addr)
						return
					}
				}
			}
		})
		wg.Go(func() {
			for range 30 {
				for range m.All() {
				}
				_ = m.Len()
			}
		})
		wg.Wait()
	}
}

func TestConcurrentTable(t *testing.T) {
	s := newSpace(t)
	table := NewTable(s)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 50 {
				m, err := New(s, &Spec{Type: Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}, Options{})
				if err != nil {
					t.Error(err)
					return
				}
				table.Add(m)
				if table.Get(m.Handle()) != m {
					t.Error("not found")
				}
			}
		})
	}
	wg.Wait()
	if len(table.All()) != 200 || table.Get(0) != nil || table.Get(^uint32(0)) != nil {
		t.Error("the table is wrong")
	}
}

// A deletion moves the slots of keys that came later. Whoever looks for those meanwhile must find them: this is the
// moment that the counter of moves is for.
func TestLookupBesideDeletion(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: 16}, 1)
	keys := make([][]byte, 16)
	for i := range keys {
		keys[i] = binary.LittleEndian.AppendUint64(nil, uint64(i))
	}
	var phase atomic.Uint32 // odd while the second half of the keys is in the map
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 20000 {
			for _, k := range keys {
				_ = m.Update(0, k, k, Any)
			}
			phase.Add(1)
			for _, k := range keys[:8] {
				_ = m.Delete(k)
			}
			phase.Add(1)
			for _, k := range keys[8:] {
				_ = m.Delete(k)
			}
		}
		phase.Store(1 << 31)
	})
	for before := phase.Load(); before < 1<<31; before = phase.Load() {
		for i, k := range keys[8:] {
			if m.LookupAddr(0, k) == 0 && before&1 == 1 && phase.Load() == before {
				t.Errorf("key %d was missed", 8+i)
			}
		}
		runtime.Gosched()
	}
	wg.Wait()
}
