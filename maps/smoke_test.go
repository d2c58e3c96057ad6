package maps

import (
	"encoding/binary"
	"testing"

	"github.com/skepvm/skep/mem"
)

func benchSpace(b testing.TB) *mem.Space {
	s, err := mem.New(mem.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func BenchmarkArrayLookup(b *testing.B) {
	m, err := New(benchSpace(b), &Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 65536}, Options{})
	if err != nil {
		b.Fatal(err)
	}
	key := make([]byte, 4)
	b.ReportAllocs()
	var i uint32
	for b.Loop() {
		binary.LittleEndian.PutUint32(key, i&0xffff)
		i++
		if m.LookupAddr(0, key) == 0 {
			b.Fatal("none")
		}
	}
}

func BenchmarkHashLookup(b *testing.B) {
	for _, keySize := range []uint32{4, 8, 16, 20, 40} {
		b.Run(string('0'+rune(keySize/10))+string('0'+rune(keySize%10)), func(b *testing.B) {
			m, err := New(benchSpace(b), &Spec{Type: Hash, KeySize: keySize, ValueSize: 8, MaxEntries: 65536}, Options{})
			if err != nil {
				b.Fatal(err)
			}
			key := make([]byte, keySize)
			for i := range uint32(65536) {
				binary.LittleEndian.PutUint32(key, i)
				if err := m.Update(0, key, make([]byte, 8), Any); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportAllocs()
			var i uint32
			for b.Loop() {
				binary.LittleEndian.PutUint32(key, i*0x9e3779b1>>16)
				i++
				if m.LookupAddr(0, key) == 0 {
					b.Fatal("none")
				}
			}
		})
	}
}
