package maps

import (
	"bytes"
	"testing"
)

func arenaSpec(pages, flags uint32, user uint64) *Spec {
	return &Spec{Name: "arena", Type: Arena, MaxEntries: pages, Flags: Mmapable | flags, Extra: user, LockOff: -1, TimerOff: -1}
}

func newArena(t *testing.T, spec *Spec) *Pages {
	t.Helper()
	m, ok := PagesOf(newMap(t, newSpace(t), spec, 1))
	if !ok {
		t.Fatal("the map is no arena")
	}
	return m
}

// What Go writes is in pages that are there from then on; what it reads stays as it is.
func TestArenaReadWrite(t *testing.T) {
	m := newArena(t, arenaSpec(4, 0, 1<<44))
	b := make([]byte, 4*kernelPage)
	if _, err := m.ReadAt(b, 0); err != nil || m.Len() != 0 {
		t.Fatalf("a read: %v, %d pages", err, m.Len())
	}
	if n, err := m.WriteAt([]byte("skep"), 2*kernelPage-2); n != 4 || err != nil || m.Len() != 2 {
		t.Fatalf("a write over two pages: %d, %v, %d pages", n, err, m.Len())
	}
	if n, err := m.ReadAt(b, 0); n != len(b) || err != nil || !bytes.Equal(b[2*kernelPage-2:][:4], []byte("skep")) ||
		bytes.Count(b, []byte{0}) != len(b)-4 {
		t.Fatalf("%d, %v", n, err)
	}
	if got := m.Alloc(0, 2); got != 0 {
		t.Errorf("two pages in a row at %#x: there are none", got)
	}
	if got := m.Alloc(0, 1); got != 1<<44 {
		t.Errorf("a page at %#x", got)
	}
	m.Free(1<<44+kernelPage, 1)
	if _, err := m.ReadAt(b[:2], 2*kernelPage-2); err != nil || b[0] != 0 || b[1] != 0 {
		t.Errorf("a page that was freed reads as %v, %v", b[:2], err)
	}
	for _, off := range []int64{-1, 4*kernelPage - 3, 4*kernelPage + 1, 1 << 40} {
		if n, err := m.ReadAt(b[:4], off); n != 0 || ErrnoOf(err) != EINVAL {
			t.Errorf("a read at %d: %d, %v", off, n, err)
		}
		if n, err := m.WriteAt(b[:4], off); n != 0 || ErrnoOf(err) != EINVAL {
			t.Errorf("a write at %d: %d, %v", off, n, err)
		}
	}
	m.Clear()
	if m.Len() != 0 {
		t.Errorf("%d pages behind Clear", m.Len())
	}
}

func TestArenaSegvOnFault(t *testing.T) {
	m := newArena(t, arenaSpec(4, SegvOnFault, 0))
	m.Alloc(m.User(), 1)
	if n, err := m.WriteAt(make([]byte, 8), kernelPage-4); n != 0 || ErrnoOf(err) != EFAULT || m.Len() != 1 {
		t.Errorf("a write to a page that is not there: %d, %v, %d pages", n, err, m.Len())
	}
	if n, err := m.WriteAt(make([]byte, 8), kernelPage-8); n != 8 || err != nil {
		t.Errorf("a write to a page that is there: %d, %v", n, err)
	}
}

// An arena without a user address is where it is in guest memory, by the low half of the address; no two overlap.
func TestArenaUser(t *testing.T) {
	s := newSpace(t)
	a, _ := PagesOf(newMap(t, s, arenaSpec(16, 0, 0), 1))
	b, _ := PagesOf(newMap(t, s, arenaSpec(16, 0, 0), 1))
	for _, m := range []*Pages{a, b} {
		page := m.Alloc(0, 1)
		if guest, ok := m.At(page, 8, 8); !ok || guest != uint32(page)+8 || page != m.User() || page>>32 == 0 {
			t.Errorf("page %#x of the arena at %#x is at %#x, %v", page, m.User(), guest, ok)
		}
	}
	if a.User()>>12 == b.User()>>12 {
		t.Error("two arenas in one place")
	}
	if _, ok := a.At(b.User(), 0, 1); ok {
		t.Error("an arena reaches into another")
	}
}

// A snapshot of the space has the pages and what is in them.
func TestArenaSnapshot(t *testing.T) {
	s := newSpace(t)
	m, _ := PagesOf(newMap(t, s, arenaSpec(8, 0, 1<<44), 1))
	if _, err := m.WriteAt([]byte{1}, kernelPage); err != nil {
		t.Fatal(err)
	}
	snap := s.Snapshot()
	m.Free(1<<44+kernelPage, 1)
	m.Alloc(1<<44, 1)
	if err := s.Restore(snap); err != nil {
		t.Fatal(err)
	}
	var b [1]byte
	if _, err := m.ReadAt(b[:], kernelPage); err != nil || b[0] != 1 || m.Len() != 1 {
		t.Errorf("%v, %v, %d pages", b, err, m.Len())
	}
}

func TestArenaCreate(t *testing.T) {
	s := newSpace(t)
	for _, c := range []struct {
		spec *Spec
		want Errno
	}{
		{arenaSpec(1, 0, 1<<32-kernelPage), 0},
		{arenaSpec(2, 0, 1<<32-kernelPage), ERANGE},
		{arenaSpec(1, 0, 1), EINVAL},
		{arenaSpec(1, 0, 1<<63), 0},
		{arenaSpec(1<<20, 0, 1<<32), ENOMEM}, // all of 4 GiB, of which guest memory has other uses too
		{arenaSpec(1<<20, 0, 1<<32+kernelPage), ERANGE},
		{arenaSpec(1<<20+1, 0, 0), E2BIG},
	} {
		m, err := New(s, c.spec, Options{})
		if got := ErrnoOf(err); got != c.want {
			t.Errorf("%d pages at %#x: %v, want %v", c.spec.MaxEntries, c.spec.Extra, err, c.want)
		}
		if err == nil {
			m.Close()
		}
	}
}
