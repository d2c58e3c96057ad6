package mem

import (
	"testing"
	"unsafe"
)

var sink uint64

// BenchmarkLoad is 1000 loads at changing addresses; raw is the floor, an unmasked load through a pointer.
func BenchmarkLoad(b *testing.B) {
	s := newTestSpace(b, Options{})
	b.Run("raw", func(b *testing.B) {
		base := s.Base()
		for b.Loop() {
			var sum uint64
			for a := uint32(0); a < 8000; a += 8 {
				sum += *(*uint64)(unsafe.Add(base, uintptr(a)))
			}
			sink = sum
		}
	})
	b.Run("space", func(b *testing.B) {
		for b.Loop() {
			var sum uint64
			for a := uint32(0); a < 8000; a += 8 {
				sum += s.Load64(a)
			}
			sink = sum
		}
	})
}

func BenchmarkAlloc(b *testing.B) {
	for _, c := range []struct {
		name string
		size uint32
	}{{"64", 64}, {"2K", 2048}, {"64K", 64 << 10}, {"1M", 1 << 20}} {
		b.Run(c.name, func(b *testing.B) {
			s := newTestSpace(b, Options{})
			for b.Loop() {
				a, err := s.Alloc(c.size, 8)
				if err != nil {
					b.Fatal(err)
				}
				s.Free(a)
			}
		})
	}
}

func BenchmarkReadable(b *testing.B) {
	s := newTestSpace(b, Options{Shadow: true})
	s.Allow(1<<20+100, 1500, true)
	for b.Loop() {
		if !s.Readable(1<<20+133, 8) {
			b.Fatal("not readable")
		}
	}
}

func BenchmarkAllow(b *testing.B) {
	s := newTestSpace(b, Options{Shadow: true})
	for b.Loop() {
		s.Allow(1<<20+100, 1500, true)
		s.Forbid(1<<20+100, 1500)
	}
}
