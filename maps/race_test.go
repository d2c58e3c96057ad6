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

// rounds is n, and less where the race detector makes all slow.
func rounds(n int) int {
	if testing.Short() {
		return n / 5
	}
	return n
}

// A prefix that stays covers its addresses whatever else comes and goes near it, and is never hidden by a shorter one.
func TestConcurrentLPM(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 1000, Flags: NoPrealloc}, 1).(*lpm)
	key := func(n byte, addr uint32) []byte { return binary.BigEndian.AppendUint32([]byte{n, 0, 0, 0}, addr) }
	for i := range uint32(64) { // 10.i.0.0/16 and 10.i.128.0/24 stay
		for _, k := range [][]byte{key(16, 10<<24|i<<16), key(24, 10<<24|i<<16|128<<8)} {
			if err := m.HostUpdate(k, binary.LittleEndian.AppendUint64(nil, uint64(k[0])), Any); err != nil {
				t.Fatal(err)
			}
		}
	}
	var wg sync.WaitGroup
	var stop atomic.Bool
	for cpu := range 2 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(cpu), 8))
			for range rounds(20000) {
				n := byte(4 + r.UintN(20)) // shorter than 24, and none of 16
				if n == 16 {
					continue
				}
				k := key(n, 10<<24|r.Uint32N(64)<<16)
				if r.IntN(2) == 0 {
					_ = m.HostUpdate(k, binary.LittleEndian.AppendUint64(nil, uint64(n)), Any)
				} else {
					_ = m.Delete(k)
				}
			}
			stop.Store(true)
		})
	}
	wg.Go(func() {
		r := rand.New(rand.NewPCG(9, 9))
		for !stop.Load() {
			i := r.Uint32N(64)
			if addr := m.LookupAddr(0, key(32, 10<<24|i<<16|128<<8|1)); addr == 0 || m.space.Load64(addr) != 24 {
				t.Errorf("10.%d.128.1: %#x", i, addr)
				return
			}
			if addr := m.LookupAddr(0, key(32, 10<<24|i<<16|1)); addr == 0 {
				t.Errorf("10.%d.0.1 is not covered", i)
				return
			}
		}
	})
	wg.Go(func() {
		for !stop.Load() {
			for range m.All() {
			}
		}
	})
	wg.Wait()
}

// What several CPUs push comes out once, and each one's in its order.
func TestConcurrentQueue(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: Queue, ValueSize: 8, MaxEntries: 64}, 1).(Pusher)
	const producers = 3
	each := uint64(rounds(5000))
	var wg sync.WaitGroup
	for p := range uint64(producers) {
		wg.Go(func() {
			for i := range each {
				for m.Push(binary.LittleEndian.AppendUint64(nil, p<<32|i), Any) != nil {
					runtime.Gosched()
				}
			}
		})
	}
	next := [producers]uint64{}
	value := make([]byte, 8)
	for got := 0; got < producers*int(each); {
		if m.Pop(value) != nil {
			runtime.Gosched()
			continue
		}
		v := binary.LittleEndian.Uint64(value)
		if p := v >> 32; p >= producers || uint32(v) != uint32(next[p]) {
			t.Fatalf("value %#x", v)
		} else {
			next[p]++
		}
		got++
	}
	wg.Wait()
}

// Samples of several CPUs come out of a ring buffer once, whole, and each one's in its order.
func TestConcurrentRing(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Type: RingBuf, MaxEntries: 4096}, 1).(*Ring)
	const producers = 3
	each := uint64(rounds(5000))
	var wg sync.WaitGroup
	for p := range uint64(producers) {
		wg.Go(func() {
			for i := range each {
				size := 16 + i%5*8
				for {
					addr := m.Reserve(size)
					if addr == 0 {
						runtime.Gosched()
						continue
					}
					for off := uint64(0); off < size; off += 8 {
						s.Store64(addr+uint32(off), p<<32|i)
					}
					if err := m.Commit(addr, i%7 == 3); err != nil {
						t.Error(err)
					}
					break
				}
			}
		})
	}
	next := [producers]uint64{}
	skip := func(i uint64) uint64 {
		if i%7 == 3 {
			i++
		}
		return i
	}
	for done := 0; done < producers; {
		for sample := range m.Read() {
			v := binary.LittleEndian.Uint64(sample)
			p, i := v>>32, v&0xffffffff
			if p >= producers || i != skip(next[p]) || len(sample) != int(16+i%5*8) {
				t.Fatalf("sample % x of %d bytes", sample[:8], len(sample))
			}
			for ; len(sample) > 0; sample = sample[8:] {
				if binary.LittleEndian.Uint64(sample) != v {
					t.Fatalf("sample %#x is torn", v)
				}
			}
			if next[p] = i + 1; skip(next[p]) >= each {
				done++
			}
		}
		runtime.Gosched()
	}
	wg.Wait()
}

// Lookups that make an object's storage at the same time make one.
func TestConcurrentStorage(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: CgroupStorage, KeySize: 16, ValueSize: 8}, 1).(*CgroupStorages)
	for group := range uint64(rounds(200)) {
		var got [3]uint32
		var wg sync.WaitGroup
		for cpu := range got {
			wg.Go(func() { got[cpu] = m.At(0, group, 0) })
		}
		wg.Wait()
		if got[0] == 0 || got[1] != got[0] || got[2] != got[0] {
			t.Fatalf("group %d: values at %#x", group, got)
		}
	}
}

// An LRU map that is full takes every new key, keeps to its size, and finds what was put last.
func TestConcurrentLRU(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LRUHash, KeySize: 8, ValueSize: 8, MaxEntries: 256}, 1)
	var wg sync.WaitGroup
	for cpu := range uint64(3) {
		wg.Go(func() {
			for i := range uint64(rounds(20000)) {
				k := binary.LittleEndian.AppendUint64(nil, cpu<<32|i)
				if err := m.Update(0, k, k, NoExist); err != nil {
					t.Errorf("key %d of CPU %d: %v", i, cpu, err)
					return
				}
				if m.Len() > 256 {
					t.Errorf("%d elements", m.Len())
				}
			}
		})
	}
	wg.Wait()
	n := 0
	for key, value := range m.All() {
		if string(key) != string(value) {
			t.Errorf("key % x has % x", key, value)
		}
		n++
	}
	if n != 256 || m.Len() != 256 {
		t.Errorf("%d elements, Len %d", n, m.Len())
	}
}
