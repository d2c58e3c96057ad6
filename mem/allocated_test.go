package mem

import "testing"

func TestAllocated(t *testing.T) {
	s, err := New(Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	small, err := s.Alloc(40, 0)
	if err != nil {
		t.Fatal(err)
	}
	large, err := s.Alloc(100_000, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, addr := range []uint32{small, small + 39, large, large + 99_999} {
		start := small
		if addr >= large {
			start = large
		}
		if got, want := s.Allocated(addr), start+s.AllocSize(start)-addr; got != want {
			t.Errorf("%#x: %d bytes, want %d", addr, got, want)
		}
	}
	end := small + s.AllocSize(small)
	for _, addr := range []uint32{0, 1, heapStart - 1, end, large - 1, large + s.AllocSize(large), ^uint32(0)} {
		if got := s.Allocated(addr); got != 0 {
			t.Errorf("%#x, which nobody allocated: %d bytes", addr, got)
		}
	}
	s.Free(small)
	s.Free(large)
	if s.Allocated(small) != 0 || s.Allocated(large) != 0 {
		t.Error("what was freed still counts")
	}
}
