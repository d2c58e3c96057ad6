package maps

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
)

// benchKey writes the i-th of a sequence of scattered keys. It stores whole words: loading a word that was just stored in
// pieces costs more than a lookup.
func benchKey(key []byte, i int) {
	if k := uint64(i) * 0x9e3779b97f4a7c15; len(key) == 4 {
		binary.LittleEndian.PutUint32(key, uint32(k>>32))
	} else {
		binary.LittleEndian.PutUint64(key, k)
	}
}

func BenchmarkArrayLookup(b *testing.B) {
	m := newMap(b, newSpace(b), &Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 1024}, 1)
	var keys [1024][4]byte
	for i := range keys {
		binary.LittleEndian.PutUint32(keys[i][:], uint32(i))
	}
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if m.LookupAddr(0, keys[i&1023][:]) == 0 {
			b.Fatal("not found")
		}
	}
}

func BenchmarkHashLookup(b *testing.B) {
	for _, n := range []int{1 << 10, 1 << 16} {
		for _, size := range []int{4, 8, 16, 20, 40} {
			b.Run(fmt.Sprintf("%dx%d", n, size), func(b *testing.B) {
				m := newMap(b, newSpace(b), &Spec{Type: Hash, KeySize: uint32(size), ValueSize: 8, MaxEntries: uint32(n)}, 1)
				key := make([]byte, size)
				for i := range n {
					benchKey(key, i)
					if err := m.Update(0, key, make([]byte, 8), Any); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportAllocs()
				b.ResetTimer()
				for i := 0; i < b.N; i++ {
					benchKey(key, i&(n-1))
					if m.LookupAddr(0, key) == 0 {
						b.Fatal("not found")
					}
				}
			})
		}
	}
}

func BenchmarkHashMiss(b *testing.B) {
	m := newMap(b, newSpace(b), &Spec{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: 1 << 16}, 1)
	key := make([]byte, 8)
	for i := range 1 << 16 {
		benchKey(key, i)
		_ = m.Update(0, key, key, Any)
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		benchKey(key, i|1<<20)
		if m.LookupAddr(0, key) != 0 {
			b.Fatal("found")
		}
	}
}

func BenchmarkHashUpdate(b *testing.B) {
	for _, typ := range []Type{Hash, LRUHash} {
		b.Run(typ.String(), func(b *testing.B) {
			m := newMap(b, newSpace(b), &Spec{Type: typ, KeySize: 8, ValueSize: 8, MaxEntries: 1 << 16}, 1)
			key := make([]byte, 8)
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				k := i
				if typ == Hash {
					k &= 1<<16 - 1
				}
				binary.LittleEndian.PutUint64(key, uint64(k))
				if err := m.Update(0, key, key, Any); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkUpdateDelete(b *testing.B) {
	m := newMap(b, newSpace(b), &Spec{Type: Hash, KeySize: 8, ValueSize: 8, MaxEntries: 1 << 10}, 1)
	key := make([]byte, 8)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		_ = m.Update(0, key, key, Any)
		_ = m.Delete(key)
	}
}

func BenchmarkLPMLookup(b *testing.B) {
	for _, lengths := range []uint32{1, 4, 16} {
		b.Run(fmt.Sprint(lengths, "lengths"), func(b *testing.B) {
			m := newMap(b, newSpace(b), &Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 4096, Flags: NoPrealloc}, 1)
			for i := range uint32(4096) {
				key := binary.BigEndian.AppendUint32([]byte{byte(8 + i%lengths*3/2), 0, 0, 0}, i*0x9e3779b1)
				_ = m.Update(0, key, make([]byte, 4), Any)
			}
			key := []byte{32, 0, 0, 0, 0, 0, 0, 0}
			b.ReportAllocs()
			for i := 0; i < b.N; i++ {
				binary.BigEndian.PutUint32(key[4:], uint32(i)*0x85ebca6b)
				m.LookupAddr(0, key)
			}
		})
	}
}

// routes are IPv4 prefixes with the lengths of the Internet's routing tables: of a hundred, 60 of 24 bits, 30 of 19 to 23, the rest of
// 8 to 18, and a few hosts.
func routes(n int) [][]byte {
	lengths := []byte{8, 10, 11, 12, 13, 14, 15, 16, 16, 16, 17, 18, 19, 19, 19, 20, 20, 20, 20, 21, 21, 21, 21, 22, 22, 22, 22, 22, 22, 22, 22, 22, 23,
		23, 23, 23, 23, 23, 32, 32}
	for len(lengths) < 100 {
		lengths = append(lengths, 24)
	}
	r := rand.New(rand.NewPCG(1, 2))
	keys := make([][]byte, n)
	for i := range keys {
		keys[i] = binary.BigEndian.AppendUint32([]byte{lengths[i%100], 0, 0, 0}, r.Uint32())
	}
	return keys
}

// BenchmarkLPMRoutes looks up addresses inside a random route, and any addresses, most of which only the shortest prefixes cover.
func BenchmarkLPMRoutes(b *testing.B) {
	m := newMap(b, newSpace(b), &Spec{Type: LPMTrie, KeySize: 8, ValueSize: 4, MaxEntries: 10000, Flags: NoPrealloc}, 1)
	all := routes(10000)
	for _, key := range all {
		if err := m.Update(0, key, make([]byte, 4), Any); err != nil {
			b.Fatal(err)
		}
	}
	for _, where := range []string{"inside", "anywhere"} {
		b.Run(where, func(b *testing.B) {
			keys := make([][8]byte, 1<<14)
			r := rand.New(rand.NewPCG(3, 4))
			for i := range keys {
				addr := r.Uint32()
				if where == "inside" {
					key := all[r.IntN(len(all))]
					cut := ^uint32(0) << (32 - key[0])
					addr = binary.BigEndian.Uint32(key[4:])&cut | addr&^cut
				}
				keys[i][0] = 32
				binary.BigEndian.PutUint32(keys[i][4:], addr)
			}
			b.ReportAllocs()
			b.ResetTimer()
			for i := 0; i < b.N; i++ {
				m.LookupAddr(0, keys[i&(len(keys)-1)][:])
			}
		})
	}
}

func BenchmarkRing(b *testing.B) {
	s := newSpace(b)
	r := newMap(b, s, &Spec{Type: RingBuf, MaxEntries: 1 << 18}, 1).(*Ring)
	data := make([]byte, 64)
	b.ReportAllocs()
	for i := 0; i < b.N; i++ {
		if r.Output(data) != nil {
			for range r.Read() {
			}
		}
	}
}

func BenchmarkTableGet(b *testing.B) {
	s := newSpace(b)
	table := NewTable(s)
	var m Map
	for range 10 {
		m = newMap(b, s, &Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 4}, 1)
		table.Add(m)
	}
	for i := 0; i < b.N; i++ {
		if table.Get(m.Handle()) == nil {
			b.Fatal("not found")
		}
	}
}
