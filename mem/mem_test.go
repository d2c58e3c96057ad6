package mem

import (
	"bytes"
	"errors"
	"math/rand/v2"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
)

func newTestSpace(t testing.TB, o Options) *Space {
	t.Helper()
	s, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestNewSizes(t *testing.T) {
	for _, size := range []uint64{1, MinSize / 2, MinSize + 1, 3 << 20, MaxSize * 2, MaxSize + 4096} {
		_, err := New(Options{Size: size})
		var e *Error
		if !errors.As(err, &e) || e.Reason != BadSize {
			t.Errorf("New(%d): %v, want BadSize", size, err)
		}
	}
	for size := MinSize; size <= DefaultSize; size <<= 1 {
		s := newTestSpace(t, Options{Size: size})
		if s.Size() != size || uint64(s.Mask()) != size-1 {
			t.Errorf("Size %#x Mask %#x, want size %#x", s.Size(), s.Mask(), size)
		}
	}
}

// Every access of every size works at the addresses where something could go wrong, and a load gives what was stored.
func TestAccessNeverFaults(t *testing.T) {
	for _, size := range []uint64{MinSize, DefaultSize} {
		s := newTestSpace(t, Options{Size: size})
		for _, at := range []uint32{0, 1, 7, 4095, s.Mask() - 8, s.Mask() - 7, s.Mask() - 1, s.Mask(), 1 << 31, ^uint32(0), ^uint32(6)} {
			s.Store64(at, 0x1122334455667788)
			if got := s.Load64(at); got != 0x1122334455667788 {
				t.Errorf("Load64(%#x) = %#x", at, got)
			}
			if got := s.Load32(at); got != 0x55667788 {
				t.Errorf("Load32(%#x) = %#x: not little-endian", at, got)
			}
			if got := s.Load16(at); got != 0x7788 {
				t.Errorf("Load16(%#x) = %#x", at, got)
			}
			if got := s.Load8(at); got != 0x88 {
				t.Errorf("Load8(%#x) = %#x", at, got)
			}
			s.Store32(at, 0xaabbccdd)
			s.Store16(at, 0xeeff)
			s.Store8(at, 0x99)
			if got := s.Load64(at); got != 0x11223344aabbee99 {
				t.Errorf("after narrow stores Load64(%#x) = %#x", at, got)
			}
			s.Store64(at, 0)
		}
		if s.Load64(5) != s.Load64(uint32(s.Size()+5)) {
			t.Error("addresses are not masked")
		}
	}
}

func TestBytes(t *testing.T) {
	s := newTestSpace(t, Options{Size: MinSize})
	end := uint32(s.Size())
	for _, c := range []struct {
		addr, n uint32
		ok      bool
	}{{0, 0, true}, {0, end, true}, {end, 0, true}, {end - 8, 8, true}, {end - 8, 9, false}, {end, 1, false}, {^uint32(0), 2, false}, {8, ^uint32(0), false}} {
		b, ok := s.Bytes(c.addr, c.n)
		if ok != c.ok || ok && uint32(len(b)) != c.n {
			t.Errorf("Bytes(%#x, %d) = %d bytes, %v; want %v", c.addr, c.n, len(b), ok, c.ok)
		}
	}
	b, _ := s.Bytes(4096, 8)
	s.Store64(4096, 0x0807060504030201)
	if !bytes.Equal(b, []byte{1, 2, 3, 4, 5, 6, 7, 8}) {
		t.Errorf("view is % x", b)
	}
}

func TestClasses(t *testing.T) {
	for size := uint32(1); size <= smallMax; size++ {
		c := classOf(size)
		if classSize(c) < size || c > 0 && classSize(c-1) >= size {
			t.Fatalf("classOf(%d) = %d of %d bytes", size, c, classSize(c))
		}
		if size > 64 && classSize(c) > size+size/4 {
			t.Fatalf("%d bytes cost %d", size, classSize(c))
		}
	}
	if classSize(numClasses-1) != smallMax {
		t.Fatalf("largest class is %d", classSize(numClasses-1))
	}
}

func TestAllocErrors(t *testing.T) {
	s := newTestSpace(t, Options{Size: MinSize, Limit: 256 << 10})
	for _, c := range []struct {
		size, align uint32
		want        Reason
	}{{0, 8, BadSize}, {8, 3, BadAlign}, {^uint32(0), 8, OutOfMemory}, {512 << 10, 8, LimitReached}} {
		_, err := s.Alloc(c.size, c.align)
		var e *Error
		if !errors.As(err, &e) || e.Reason != c.want {
			t.Errorf("Alloc(%d, %d): %v, want %s", c.size, c.align, err, c.want)
		}
	}
	s = newTestSpace(t, Options{Size: MinSize})
	var e *Error
	if _, err := s.Alloc(uint32(MinSize), 8); !errors.As(err, &e) || e.Reason != OutOfMemory {
		t.Errorf("an allocation as large as the space: %v", err)
	}
}

func TestFreeForeignPanics(t *testing.T) {
	s := newTestSpace(t, Options{Size: MinSize})
	a, _ := s.Alloc(64, 0)
	for _, addr := range []uint32{1, a + 16, 0xfffffff0, a} { // the last one is freed first
		if addr == a {
			s.Free(a)
		}
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("Free(%#x) did not panic", addr)
				}
			}()
			s.Free(addr)
		}()
	}
	s.Free(0)
}

// model is what a test knows about a space: disjoint allocations, each filled with a byte of its own.
type model struct {
	t    testing.TB
	s    *Space
	live []block
}

type block struct {
	addr, size uint32
	fill       byte
}

func (m *model) alloc(size, align uint32, fill byte) {
	addr, err := m.s.Alloc(size, align)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) || e.Reason != OutOfMemory && e.Reason != LimitReached {
			m.t.Fatalf("Alloc(%d, %d): %v", size, align, err)
		}
		return
	}
	if addr%max(align, minAlign) != 0 || addr < heapStart || uint64(addr)+uint64(size) > m.s.Size()-pageSize {
		m.t.Fatalf("Alloc(%d, %d) = %#x", size, align, addr)
	}
	if got := m.s.AllocSize(addr); got < size {
		m.t.Fatalf("AllocSize = %d, want at least %d", got, size)
	}
	for _, b := range m.live {
		if addr < b.addr+b.size && b.addr < addr+size {
			m.t.Fatalf("[%#x,+%d) overlaps [%#x,+%d)", addr, size, b.addr, b.size)
		}
	}
	view, _ := m.s.Bytes(addr, size)
	for i, c := range view {
		if c != 0 {
			m.t.Fatalf("byte %d of Alloc(%d) is %#x", i, size, c)
		}
	}
	for i := range view {
		view[i] = fill
	}
	m.live = append(m.live, block{addr, size, fill})
}

func (m *model) free(i int) {
	b := m.live[i]
	m.verify(b)
	m.s.Free(b.addr)
	m.live[i] = m.live[len(m.live)-1]
	m.live = m.live[:len(m.live)-1]
	view, _ := m.s.Bytes(b.addr, b.size) // what a hostile guest could do
	view[0], view[len(view)-1] = 0xee, 0xee
}

func (m *model) verify(b block) {
	view, _ := m.s.Bytes(b.addr, b.size)
	for i, c := range view {
		if c != b.fill {
			m.t.Fatalf("byte %d of [%#x,+%d) is %#x, want %#x", i, b.addr, b.size, c, b.fill)
		}
	}
}

// empty frees everything, after which the space must be as new.
func (m *model) empty() {
	for len(m.live) > 0 {
		m.free(len(m.live) - 1)
	}
	if got := m.s.InUse(); got != 0 {
		m.t.Fatalf("InUse = %d after all is freed", got)
	}
	spans := 0
	for _, sp := range m.s.heap.spans {
		spans += int(sp.bytes)
	}
	free := uint64(0)
	for i, r := range m.s.heap.free {
		free += r.end - r.start
		if i > 0 && m.s.heap.free[i-1].end >= r.start {
			m.t.Fatalf("free runs %v are not merged", m.s.heap.free)
		}
	}
	if free+uint64(spans) != m.s.Size()-pageSize-heapStart {
		m.t.Fatalf("%d free and %d in empty spans: pages were lost", free, spans)
	}
}

func randomSize(r *rand.Rand) uint32 { return 1 + r.Uint32()>>(12+r.Uint32N(20)) }

func TestAllocModel(t *testing.T) {
	for seed := range uint64(6) {
		r := rand.New(rand.NewPCG(seed, 1))
		o := Options{Size: 16 << 20}
		if seed%2 == 1 {
			o.Limit = 4 << 20
		}
		m := &model{t: t, s: newTestSpace(t, o)}
		for range 3000 {
			if len(m.live) > 0 && r.IntN(100) < 45 {
				m.free(r.IntN(len(m.live)))
			} else {
				m.alloc(randomSize(r), 1<<r.IntN(14), byte(1+r.IntN(255)))
			}
			if o.Limit != 0 && m.s.InUse() > o.Limit {
				t.Fatalf("InUse %d over the limit %d", m.s.InUse(), o.Limit)
			}
		}
		m.empty()
	}
}

func FuzzAlloc(f *testing.F) {
	f.Add([]byte("\x01\x10\x00\x02\x20\x03\x00\x00"))
	f.Add(bytes.Repeat([]byte{9, 200, 17, 0, 3, 1}, 40))
	f.Fuzz(func(t *testing.T, ops []byte) {
		m := &model{t: t, s: newTestSpace(t, Options{Size: MinSize})}
		for ; len(ops) >= 3; ops = ops[3:] {
			if ops[0]&1 == 0 && len(m.live) > 0 {
				m.free(int(ops[1]) % len(m.live))
			} else {
				m.alloc(1+uint32(ops[1])<<(ops[2]%12), 1<<(ops[0]>>4), ops[2]|1)
			}
		}
		m.empty()
	})
}

func TestSparse(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/self/statm")
	}
	s := newTestSpace(t, Options{})
	if s.Size() < 4<<30 {
		t.Skip("needs a space of 4 GiB")
	}
	before := resident(t)
	addr, err := s.Alloc(1<<30, 0)
	if err != nil {
		t.Fatal(err)
	}
	s.Store64(addr, 1)
	s.Store64(addr+1<<30-8, 2)
	if grown := resident(t) - before; grown > 64<<20 {
		t.Errorf("1 GiB with two pages in use took %d MiB", grown>>20)
	}
	snap := s.Snapshot()
	if n := len(snap.content.offsets); n != 2 {
		t.Errorf("the snapshot has %d pages, want 2", n)
	}
	view, _ := s.Bytes(addr, 256<<20)
	for i := 0; i < len(view); i += pageSize {
		view[i] = 1
	}
	s.Free(addr)
	if grown := resident(t) - before; grown > 64<<20 {
		t.Errorf("after Free %d MiB are still there", grown>>20)
	}
}

func resident(t *testing.T) int {
	b, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip(err)
	}
	pages, err := strconv.Atoi(strings.Fields(string(b))[1])
	if err != nil {
		t.Fatal(err)
	}
	return pages * os.Getpagesize()
}

func TestSnapshot(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		s := newTestSpace(t, Options{Size: 16 << 20, Shadow: shadow})
		m := &model{t: t, s: s}
		r := rand.New(rand.NewPCG(7, 7))
		for range 200 {
			m.alloc(randomSize(r), 8, byte(1+r.IntN(255)))
		}
		s.Allow(70000, 100, true)
		s.Allow(1<<17, 1<<17, false)
		inUse, live := s.InUse(), append([]block(nil), m.live...)
		snap := s.Snapshot()
		for range 2 { // a snapshot may be used again
			for range 100 {
				m.free(r.IntN(len(m.live)))
				m.alloc(randomSize(r), 8, 3)
			}
			s.Forbid(70000, 100)
			s.Allow(1<<17+5, 1, true)
			s.Allow(1<<20, 10, true)
			if err := s.Restore(snap); err != nil {
				t.Fatal(err)
			}
			m.live = append(m.live[:0], live...)
			for _, b := range m.live {
				m.verify(b)
			}
			if s.InUse() != inUse {
				t.Errorf("InUse = %d, want %d", s.InUse(), inUse)
			}
			if shadow && (!s.RangeWritable(70000, 100) || s.Writable(1<<17+5, 1) || !s.RangeReadable(1<<17, 1<<17) || s.Readable(1<<20, 1)) {
				t.Error("the shadow was not restored")
			}
		}
		m.empty()
	}
}

// TestReset: memory that was not allocated is zero afterwards too, and what was is as it was.
func TestReset(t *testing.T) {
	for _, shadow := range []bool{false, true} {
		s := newTestSpace(t, Options{Size: MinSize, Shadow: shadow})
		m := &model{t: t, s: s}
		for i := range 20 {
			m.alloc(uint32(100*i+1), 8, byte(i+1))
		}
		s.Allow(70000, 100, true)
		live := append([]block(nil), m.live...)
		all := func() []byte { b, _ := s.Bytes(0, uint32(s.Size())); return b }
		want := bytes.Clone(all())
		snap := s.Snapshot()
		for range 2 {
			m.free(3)
			m.alloc(50000, 8, 9)
			for i := range all() {
				all()[i] = 0xaa
			}
			s.Store64(s.Mask(), 1<<63) // into the margin
			s.Forbid(70000, 50)
			s.Allow(5, 1, true)
			pages := 0
			err := s.Reset(snap, func(addr uint32, page []byte) {
				if int(addr) != pages*pageSize || page[0] != 0xaa {
					t.Errorf("page %d is at %#x and begins with %#x", pages, addr, page[0])
				}
				pages++
			})
			if err != nil || pages*pageSize != int(MinSize) {
				t.Fatal(pages, err)
			}
			if err := s.Reset(snap, func(addr uint32, _ []byte) { t.Errorf("page at %#x is not reset", addr) }); err != nil {
				t.Fatal(err)
			}
			m.live = append(m.live[:0], live...)
			if !bytes.Equal(all(), want) || s.Load64(s.Mask()) != 0 {
				t.Error("memory was not reset")
			}
			if shadow && (!s.RangeWritable(70000, 100) || s.Readable(5, 1)) {
				t.Error("the shadow was not reset")
			}
		}
		m.empty()
	}
}

func TestRestoreForeign(t *testing.T) {
	a, b := newTestSpace(t, Options{Size: MinSize}), newTestSpace(t, Options{Size: 2 * MinSize})
	c := newTestSpace(t, Options{Size: MinSize, Shadow: true})
	for _, s := range []*Space{b, c} {
		var e *Error
		if err := s.Restore(a.Snapshot()); !errors.As(err, &e) || e.Reason != Foreign {
			t.Errorf("Restore: %v, want Foreign", err)
		}
		if err := s.Reset(a.Snapshot(), nil); !errors.As(err, &e) || e.Reason != Foreign {
			t.Errorf("Reset: %v, want Foreign", err)
		}
	}
}

// The shadow must answer as two plain arrays of bool do.
func TestShadowModel(t *testing.T) {
	s := newTestSpace(t, Options{Size: MinSize, Shadow: true})
	size := uint32(s.Size())
	read, write := make([]bool, size), make([]bool, size)
	all := func(b []bool, addr, n uint32) bool {
		for i := uint64(addr); i < uint64(addr)+uint64(n); i++ {
			if i >= uint64(size) || !b[i] {
				return false
			}
		}
		return true
	}
	r := rand.New(rand.NewPCG(3, 3))
	pick := func() uint32 { // often near the edge of a granule or the space
		switch r.IntN(3) {
		case 0:
			return (r.Uint32N(17)*granule + r.Uint32N(40) - 20) % (size + 16)
		default:
			return r.Uint32N(size)
		}
	}
	for range 1500 {
		addr, n := pick(), r.Uint32()>>(13+r.IntN(18))
		kind := r.IntN(3)
		switch kind {
		case 0:
			s.Forbid(addr, n)
		default:
			s.Allow(addr, n, kind == 2)
		}
		for i := uint64(addr); i < min(uint64(addr)+uint64(n), uint64(size)); i++ {
			read[i], write[i] = kind != 0, kind == 2
		}
		for range 30 {
			at, k := pick(), r.Uint32N(9)
			if r.IntN(2) == 0 {
				at = addr + n - r.Uint32N(10)
			}
			if got, want := s.Readable(at, uint8(k)), all(read, at, k); got != want && k > 0 {
				t.Fatalf("Readable(%#x, %d) = %v", at, k, got)
			}
			if got, want := s.Writable(at, uint8(k)), all(write, at, k); got != want && k > 0 {
				t.Fatalf("Writable(%#x, %d) = %v", at, k, got)
			}
		}
		if got, want := s.RangeReadable(addr, n), all(read, addr, n); got != want && n > 0 {
			t.Fatalf("RangeReadable(%#x, %d) = %v", addr, n, got)
		}
	}
}

func TestShadowless(t *testing.T) {
	s := newTestSpace(t, Options{Size: MinSize})
	s.Forbid(0, 1<<20)
	s.Allow(0, 8, true)
	if s.Shadowed() || !s.Readable(0, 8) || !s.Writable(^uint32(0), 8) || !s.RangeReadable(5, 1<<30) || !s.RangeWritable(1, 2) {
		t.Error("without a shadow all is allowed")
	}
}

func TestConcurrentAlloc(t *testing.T) {
	s := newTestSpace(t, Options{Size: 64 << 20, Shadow: true})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			r := rand.New(rand.NewPCG(uint64(g), 9))
			for range 300 {
				n := randomSize(r)
				a, err := s.Alloc(n, 8)
				if err != nil {
					continue
				}
				s.Allow(a, n, true)
				s.Store8(a, byte(g))
				if s.Load8(a) != byte(g) || !s.RangeWritable(a, n) {
					t.Error("somebody else has this memory too")
				}
				s.Forbid(a, n)
				s.Free(a)
			}
		})
	}
	wg.Wait()
}
