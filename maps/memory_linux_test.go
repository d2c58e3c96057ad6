package maps

import (
	"os"
	"testing"
	"unsafe"

	"golang.org/x/sys/unix"
)

// resident counts the pages of b that are in memory (mincore(2)).
func resident(t *testing.T, b []byte) (n int) {
	t.Helper()
	page := uintptr(os.Getpagesize())
	at := uintptr(unsafe.Pointer(unsafe.SliceData(b))) &^ (page - 1)
	pages := make([]byte, uintptr(len(b))/page+1)
	if _, _, errno := unix.Syscall(unix.SYS_MINCORE, at, uintptr(len(b)), uintptr(unsafe.Pointer(&pages[0]))); errno != 0 {
		t.Skip(errno)
	}
	for _, p := range pages {
		n += int(p & 1)
	}
	return n
}

// Sparse maps cost what they hold.
func TestUntouched(t *testing.T) {
	s := newSpace(t)
	if s.Size() < 1<<32 {
		t.Skip("needs a space of 4 GiB")
	}
	a := newMap(t, s, &Spec{Type: Array, KeySize: 4, ValueSize: 8, MaxEntries: 33 << 20}, 1).(*array)
	if n := resident(t, a.values); n != 0 {
		t.Errorf("a new array of 33 million elements has %d pages in memory", n)
	}
	for i := range uint32(3) {
		if err := Put(a, i*11<<20, uint64(i)); err != nil {
			t.Fatal(err)
		}
	}
	if n := resident(t, a.values); n < 1 || n > 3 {
		t.Errorf("three elements are in %d pages", n)
	}
	h := newMap(t, s, &Spec{Type: Hash, KeySize: 8, ValueSize: 56, MaxEntries: 8 << 20}, 1).(*hash)
	for i := range uint64(64) {
		if err := Put(h, i, [7]uint64{i}); err != nil {
			t.Fatal(err)
		}
	}
	if n := resident(t, h.elems); n < 1 || n > 2 {
		t.Errorf("64 elements of 64 bytes of a hash are in %d pages", n)
	}
}
