package maps

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
)

// Hashes of all kinds must do what a Go map does. Few slots and few keys make collisions and wraps frequent.
func TestHashModel(t *testing.T) {
	s := newSpace(t)
	for _, typ := range []Type{Hash, PerCPUHash} {
		for _, keySize := range []uint32{4, 8, 11, 24} {
			m := newMap(t, s, &Spec{Type: typ, KeySize: keySize, ValueSize: 8, MaxEntries: 37}, 1)
			hashModel(t, m, rand.New(rand.NewPCG(uint64(keySize), uint64(typ))))
			m.Close()
		}
	}
}

func testKey(n uint32, size uint32) []byte {
	key := make([]byte, size)
	binary.LittleEndian.PutUint32(key[size-4:], n) // what differs comes last
	return key
}

func hashModel(t *testing.T, m Map, r *rand.Rand) {
	spec, want := m.Spec(), map[string]uint64{}
	for step := range 20000 {
		key := testKey(r.Uint32N(60), spec.KeySize)
		old, exists := want[string(key)]
		switch r.IntN(4) {
		case 0:
			err := m.Delete(key)
			if (err == nil) != exists || err != nil && ErrnoOf(err) != ENOENT {
				t.Fatalf("step %d: Delete: %v, exists %v", step, err, exists)
			}
			delete(want, string(key))
		case 1, 2:
			flags, v := r.Uint64N(3), r.Uint64()
			errno := ErrnoOf(m.Update(0, key, binary.LittleEndian.AppendUint64(nil, v), flags))
			expect := Errno(0)
			switch {
			case exists && flags == NoExist:
				expect = EEXIST
			case !exists && flags == Exist:
				expect = ENOENT
			case !exists && len(want) == int(spec.MaxEntries):
				expect = E2BIG
			default:
				want[string(key)] = v
			}
			if errno != expect {
				t.Fatalf("step %d: Update: %v, want %v", step, errno, expect)
			}
		default:
			addr := m.LookupAddr(0, key)
			if (addr != 0) != exists || exists && m.(*hash).space.Load64(addr) != old {
				t.Fatalf("step %d: LookupAddr %#x, want %v %#x", step, addr, exists, old)
			}
		}
		if m.Len() != len(want) {
			t.Fatalf("step %d: Len %d, want %d", step, m.Len(), len(want))
		}
		if step%97 == 0 {
			sameElements(t, m, want)
		}
	}
}

// sameElements checks both ways of iterating.
func sameElements(t *testing.T, m Map, want map[string]uint64) {
	t.Helper()
	n := 0
	for key, value := range m.All() {
		n++
		if v, ok := want[string(key)]; !ok || v != binary.LittleEndian.Uint64(value) {
			t.Fatalf("All gives % x: % x", key, value)
		}
	}
	byNext := 0
	for key, ok := m.Next(nil); ok; key, ok = m.Next(key) {
		if _, ok := want[string(key)]; !ok || byNext > len(want) {
			t.Fatalf("Next gives % x", key)
		}
		byNext++
	}
	if n != len(want) || byNext != len(want) {
		t.Fatalf("All gives %d elements, Next %d, want %d", n, byNext, len(want))
	}
}

// Deleting each key after having asked for the next one is how programs empty a map.
func TestDeleteWhileIterating(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: Hash, KeySize: 4, ValueSize: 4, MaxEntries: 1000}, 1)
	for i := range uint32(1000) {
		if err := Put(m, i, i); err != nil {
			t.Fatal(err)
		}
	}
	n := 0
	for key, ok := m.Next(nil); ok; n++ {
		next, more := m.Next(key)
		if err := m.Delete(key); err != nil {
			t.Fatal(err)
		}
		key, ok = next, more
	}
	if n != 1000 || m.Len() != 0 {
		t.Errorf("visited %d, left %d", n, m.Len())
	}
}

// Updating while iterating visits each element once.
func TestUpdateWhileIterating(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LRUHash, KeySize: 4, ValueSize: 4, MaxEntries: 100}, 1)
	for i := range uint32(100) {
		_ = Put(m, i, i)
	}
	n := 0
	for key, value := range m.All() {
		if err := m.Update(0, key, value, Exist); err != nil {
			t.Fatal(err)
		}
		n++
	}
	if n != 100 {
		t.Errorf("visited %d of 100", n)
	}
}

func TestHashCollisions(t *testing.T) {
	// Big-endian counters, pointers, ports in the upper half: keys that differ in few places must not share slots.
	for name, key := range map[string]func(i uint64) uint64{
		"low":  func(i uint64) uint64 { return i },
		"high": func(i uint64) uint64 { return i << 48 },
		"mid":  func(i uint64) uint64 { return i << 20 },
		"page": func(i uint64) uint64 { return i << 12 },
	} {
		const n = 1 << 14
		used := make([]int, 2*n)
		worst := 0
		for i := range uint64(n) {
			h := HashKey(binary.LittleEndian.AppendUint64(nil, key(i))) & (2*n - 1)
			used[h]++
			worst = max(worst, used[h])
		}
		if worst > 10 {
			t.Errorf("%s: %d keys share a slot", name, worst)
		}
	}
}

// HashKey is a contract with machine code: these values may not change.
func TestHashKeyVectors(t *testing.T) {
	for _, key := range []string{"", "a", "abc", "abcd", "abcdefg", "abcdefgh", "abcdefghi", "0123456789abcdef"} {
		padded := []byte(key)
		for len(padded)%8 != 0 || len(padded) == 0 {
			padded = append(padded, 0)
		}
		h := HashSeed
		for b := padded; len(b) > 0; b = b[8:] {
			h = mix(h, binary.LittleEndian.Uint64(b))
		}
		if got := HashKey([]byte(key)); got != uint32(h) {
			t.Errorf("HashKey(%q) = %#x, by words %#x", key, got, uint32(h))
		}
	}
	for key, want := range map[string]uint32{ // computed with big integers in another language
		"": 0x57d9e055, "abc": 0x1447fe2b, "abcdefgh": 0xc3d3e8fa, "0123456789abcdef01": 0x88564e57,
	} {
		if got := HashKey([]byte(key)); got != want {
			t.Errorf("HashKey(%q) = %#x, want %#x", key, got, want)
		}
	}
}

func TestLPMModel(t *testing.T) {
	s := newSpace(t)
	for _, data := range []uint32{1, 4, 16} {
		m := newMap(t, s, &Spec{Type: LPMTrie, KeySize: 4 + data, ValueSize: 8, MaxEntries: 50, Flags: NoPrealloc}, 1)
		r := rand.New(rand.NewPCG(uint64(data), 5))
		want := map[string]uint64{}
		for step := range 6000 {
			key := make([]byte, 4+data)
			key[0] = byte(r.UintN(uint(8*data + 1)))
			for i := range min(data, 2) {
				key[4+i] = byte(r.UintN(4)) << 5
			}
			switch cut := string(cutTo(key, key[0])); r.IntN(3) {
			case 0:
				v := r.Uint64()
				if m.HostUpdate(key, binary.LittleEndian.AppendUint64(nil, v), Any) == nil {
					want[cut] = v
				} else if len(want) < 50 {
					t.Fatal("not full")
				}
			case 1:
				_, exists := want[cut]
				if err := m.Delete(key); (err == nil) != exists {
					t.Fatalf("step %d: Delete %v, exists %v", step, err, exists)
				}
				delete(want, cut)
			default:
				v, ok := longest(want, key)
				if addr := m.LookupAddr(0, key); (addr != 0) != ok || ok && m.(*lpm).space.Load64(addr) != v {
					t.Fatalf("step %d: LookupAddr(% x) = %#x, want %v", step, key, addr, ok)
				}
			}
		}
		m.Close()
	}
}

// cutTo is the key with n as its length and nothing beyond.
func cutTo(key []byte, n byte) []byte {
	k := slices.Clone(key)
	k[0] = n
	for i := int(n); i < 8*(len(k)-4); i++ {
		k[4+i/8] &^= 0x80 >> (i % 8)
	}
	return k
}

func longest(want map[string]uint64, key []byte) (uint64, bool) {
	for n := int(key[0]); n >= 0; n-- {
		if v, ok := want[string(cutTo(key, byte(n)))]; ok {
			return v, true
		}
	}
	return 0, false
}

func TestLRUKeepsTheUsed(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LRUHash, KeySize: 8, ValueSize: 8, MaxEntries: 128}, 1)
	for i := range uint64(10000) {
		for hot := range uint64(16) {
			_ = m.LookupAddr(0, binary.LittleEndian.AppendUint64(nil, hot))
		}
		if err := Put(m, i, i); err != nil {
			t.Fatal(err)
		}
		if m.Len() > 128 {
			t.Fatalf("%d elements", m.Len())
		}
		if v, err := Get[uint64, uint64](m, i); err != nil || v != i {
			t.Fatalf("the newest element is gone: %v", err)
		}
	}
	for hot := range uint64(16) {
		if _, err := Get[uint64, uint64](m, hot); err != nil {
			t.Errorf("element %d was always in use, and is gone", hot)
		}
	}
}

// Nothing is evicted before the map is full; then what was not used since the last search goes first, whatever its age. (The kernel's lists
// are each CPU's own, and approximate: which element goes may differ.)
func TestLRUEvictsTheUnused(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: LRUHash, KeySize: 4, ValueSize: 4, MaxEntries: 64}, 1)
	for i := range uint32(64) {
		if err := Put(m, i, i); err != nil {
			t.Fatal(err)
		}
	}
	if m.Len() != 64 {
		t.Fatalf("%d elements of 64", m.Len())
	}
	for i := uint32(0); i < 64; i += 2 {
		m.LookupAddr(0, appendLE32(i))
	}
	for i := range uint32(32) {
		if err := Put(m, 1000+i, i); err != nil {
			t.Fatal(err)
		}
	}
	for i := range uint32(64) {
		if _, err := Get[uint32, uint32](m, i); (err == nil) != (i%2 == 0) {
			t.Errorf("element %d: %v", i, err)
		}
	}
}

func TestPerCPU(t *testing.T) {
	s := newSpace(t)
	for _, typ := range []Type{PerCPUArray, PerCPUHash, LRUPerCPUHash} {
		m := newMap(t, s, &Spec{Type: typ, KeySize: 4, ValueSize: 5, MaxEntries: 4}, 3)
		key := []byte{2, 0, 0, 0}
		if CPUs(m) != 3 {
			t.Fatalf("%s: CPUs = %d", typ, CPUs(m))
		}
		all := make([]byte, 24)
		for i := range all {
			all[i] = byte(i + 1)
		}
		if err := m.HostUpdate(key, all[:8], Any); ErrnoOf(err) != EINVAL {
			t.Errorf("%s: one CPU's value: %v", typ, err)
		}
		if err := m.HostUpdate(key, all, Any); err != nil {
			t.Fatal(err)
		}
		for cpu := range 3 {
			view, _ := s.Bytes(m.LookupAddr(cpu, key), 5)
			if !bytes.Equal(view, all[cpu*8:cpu*8+5]) {
				t.Errorf("%s: CPU %d has % x", typ, cpu, view)
			}
		}
		// A program sets its CPU's value only...
		if err := m.Update(1, key, []byte("hello"), Exist); err != nil {
			t.Fatal(err)
		}
		got, err := m.HostLookup(key)
		if err != nil || !bytes.Equal(got, []byte("\x01\x02\x03\x04\x05\x00\x00\x00hello\x00\x00\x00\x11\x12\x13\x14\x15\x00\x00\x00")) {
			t.Errorf("%s: %q, %v", typ, got, err)
		}
		// ... and a new element of a hash starts from zero for the others, also in a recycled one.
		if typ != PerCPUArray {
			_ = m.Delete(key)
			if err := m.Update(2, key, []byte("again"), NoExist); err != nil {
				t.Fatal(err)
			}
			if got, _ := m.HostLookup(key); !bytes.Equal(got, append(make([]byte, 16), "again\x00\x00\x00"...)) {
				t.Errorf("%s: a recycled element has %q", typ, got)
			}
		}
		if m.LookupAddr(3, key) != 0 || m.LookupAddr(-1, key) != 0 || ErrnoOf(m.Update(3, key, make([]byte, 5), Any)) != EINVAL {
			t.Errorf("%s: there is no such CPU", typ)
		}
		if vs, err := GetPerCPU[uint32, [5]byte](m, 2); err != nil || len(vs) != 3 {
			t.Errorf("%s: GetPerCPU: %v %v", typ, vs, err)
		}
		if err := Put(m, uint32(1), [5]byte{7}); err != nil {
			t.Error(err)
		}
		m.Close()
	}
}

func TestSpecialFields(t *testing.T) {
	s := newSpace(t)
	lock := &Layout{Kind: Struct, Name: "bpf_spin_lock", Size: 4}
	layout := &Layout{Kind: Struct, Size: 24, Fields: []Field{{Name: "lock", Type: lock}}}
	for _, typ := range []Type{Array, Hash} {
		m := newMap(t, s, &Spec{Type: typ, KeySize: 4, ValueSize: 24, MaxEntries: 2, Value: layout, LockOff: 0, TimerOff: 8}, 1)
		key := make([]byte, 4)
		if err := m.Update(0, key, bytes.Repeat([]byte{0xff}, 24), Lock); err != nil {
			t.Fatalf("%s: update under the lock: %v", typ, err)
		}
		addr := m.LookupAddr(0, key)
		if s.Load32(addr) != 0 || s.Load64(addr+8) != 0 || s.Load32(addr+4) != ^uint32(0) {
			t.Errorf("%s: lock %#x timer %#x", typ, s.Load32(addr), s.Load64(addr+8))
		}
		s.Store32(addr, 1) // the program holds the lock
		if err := m.Update(0, key, make([]byte, 24), Any); err != nil || s.Load32(addr) != 1 {
			t.Errorf("%s: an update changed the lock: %v", typ, err)
		}
		if v, _ := m.HostLookup(key); v[0] != 0 {
			t.Errorf("%s: the lock is visible", typ)
		}
	}
}

func TestSparseArray(t *testing.T) {
	s := newSpace(t)
	if s.Size() < 1<<32 {
		t.Skip("needs a space of 4 GiB")
	}
	m := newMap(t, s, &Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 33 << 20}, 1)
	if err := Put(m, uint32(33<<20-1), uint64(5)); err != nil {
		t.Fatal(err)
	}
	if v, err := Get[uint32, uint64](m, 33<<20-1); v != 5 || err != nil {
		t.Error(v, err)
	}
}

func TestSnapshotOfMaps(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Type: LRUHash, KeySize: 8, ValueSize: 8, MaxEntries: 64}, 1)
	q := newMap(t, s, &Spec{Type: Queue, ValueSize: 8, MaxEntries: 8}, 1).(Pusher)
	want := map[string]uint64{}
	for i := range uint64(50) {
		_ = Put(m, i, i)
		want[string(binary.LittleEndian.AppendUint64(nil, i))] = i
	}
	_ = q.Push([]byte("12345678"), Any)
	snap := s.Snapshot()
	for i := range uint64(500) {
		_ = Put(m, i+7, i)
		_ = m.Delete(binary.LittleEndian.AppendUint64(nil, i*3))
	}
	_ = q.Pop(make([]byte, 8))
	if err := s.Restore(snap); err != nil {
		t.Fatal(err)
	}
	sameElements(t, m, want)
	if m.Len() != 50 || q.Len() != 1 {
		t.Errorf("Len %d and %d", m.Len(), q.Len())
	}
	if err := m.Update(0, make([]byte, 8), make([]byte, 8), NoExist); ErrnoOf(err) != EEXIST {
		t.Error(err)
	}
}

// TestSave: maps of every kind hold again what they did when they were saved, in the order that they had, and go on from there.
func TestSave(t *testing.T) {
	for _, typ := range []Type{Hash, PerCPUHash, LRUHash, LRUPerCPUHash, Array, PerCPUArray, LPMTrie, Queue, Stack, BloomFilter} {
		s := newSpace(t)
		spec := &Spec{Type: typ, KeySize: 8, ValueSize: 8, MaxEntries: 64}
		switch typ {
		case Array, PerCPUArray:
			spec.KeySize = 4
		case LPMTrie:
			spec.Flags = NoPrealloc
		case Queue, Stack, BloomFilter:
			spec.KeySize = 0
		}
		m := newMap(t, s, spec, 2)
		change := func(from, to uint32) {
			for i := from; i < to; i++ {
				key := binary.LittleEndian.AppendUint32(binary.LittleEndian.AppendUint32(nil, i%33), i)[:max(spec.KeySize, 0)]
				value := binary.LittleEndian.AppendUint64(nil, uint64(i)+1)
				if p, ok := m.(Pusher); ok {
					_ = p.Push(value, Any)
					continue
				}
				_ = m.Update(int(i%2), key, value, Any)
				if i%5 == 0 {
					_ = m.Delete(key)
				}
			}
		}
		look := func() (all []string) {
			if p, ok := m.(Pusher); ok {
				value := make([]byte, 8)
				for i := range uint32(100) {
					if typ == BloomFilter {
						all = append(all, fmt.Sprint(p.Peek(binary.LittleEndian.AppendUint64(nil, uint64(i)))))
					}
				}
				for typ != BloomFilter && p.Pop(value) == nil {
					all = append(all, fmt.Sprint(value))
				}
				return all
			}
			for k, v := range m.All() {
				all = append(all, fmt.Sprint(k, v))
			}
			return all
		}
		empty := Save(m)
		change(0, 40)
		half := Save(m)
		want := look()
		for range 2 {
			half.Restore()
			if got := look(); !slices.Equal(got, want) || len(got) == 0 {
				t.Fatalf("%v: %v, want %v", typ, got, want)
			}
			change(20, 90)
		}
		half.Restore()
		change(40, 60)
		further := look()
		empty.Restore()
		fresh := look()
		change(0, 60)
		if got := look(); !slices.Equal(got, further) {
			t.Errorf("%v goes on to %v, and from the beginning to %v", typ, further, got)
		}
		m.Clear()
		if got := look(); !slices.Equal(got, fresh) {
			t.Errorf("%v as it was when it was new: %v, want %v", typ, fresh, got)
		}
	}
}
