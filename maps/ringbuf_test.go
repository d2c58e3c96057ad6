package maps

import (
	"bytes"
	"math/rand/v2"
	"runtime"
	"sync"
	"testing"
)

func newTestRing(t testing.TB) (*Table, *Ring) {
	s := newSpace(t)
	table := NewTable(s)
	m := newMap(t, s, &Spec{Name: "rb", Type: RingBuf, MaxEntries: 4096}, 1)
	table.Add(m)
	return table, m.(*Ring)
}

func readAll(r *Ring) (out [][]byte) {
	for sample := range r.Read() {
		out = append(out, bytes.Clone(sample))
	}
	return out
}

func TestRingOrder(t *testing.T) {
	table, r := newTestRing(t)
	a, b, c := r.Reserve(5), r.Reserve(0), r.Reserve(9)
	if a == 0 || b != a+16 || c != b+8 || a%8 != 0 {
		t.Fatalf("reserved %#x %#x %#x", a, b, c)
	}
	if r.Len() != 3 || r.Query(RingAvailData) != 16+8+24 || r.Query(RingSize) != 4096 || r.Query(9) != 0 {
		t.Errorf("Len %d, available %d", r.Len(), r.Query(RingAvailData))
	}
	view, _ := r.space.Bytes(a, 5)
	copy(view, "first")
	if err := table.RingOf(c).Commit(c, false); err != nil {
		t.Fatal(err)
	}
	if got := readAll(r); got != nil {
		t.Errorf("read %q past a reserved record", got)
	}
	if err := r.Commit(b, true); err != nil {
		t.Fatal(err)
	}
	if err := r.Commit(a, false); err != nil {
		t.Fatal(err)
	}
	if got := readAll(r); len(got) != 2 || string(got[0]) != "first" || len(got[1]) != 9 {
		t.Errorf("read %q", got)
	}
	if err := r.Commit(a, false); ErrnoOf(err) != EINVAL {
		t.Errorf("a second commit: %v", err)
	}
	for _, bad := range []uint32{0, 4, a + 1, a - 8, a + 4096, ^uint32(7)} {
		if err := r.Commit(bad, false); ErrnoOf(err) != EINVAL {
			t.Errorf("Commit(%#x): %v", bad, err)
		}
	}
	if r.Query(RingConsumerPos) != r.Query(RingProducerPos) {
		t.Error("not empty")
	}
}

func TestRingFull(t *testing.T) {
	_, r := newTestRing(t)
	if r.Reserve(4096) != 0 || r.Reserve(4089) != 0 || r.Reserve(1<<40) != 0 {
		t.Error("a record larger than the ring")
	}
	n := 0
	for r.Output(make([]byte, 24)) == nil {
		n++
	}
	if n != 127 { // the kernel never fills a ring to the last byte
		t.Errorf("%d records of 32 bytes in 4096", n)
	}
	if err := r.Output(make([]byte, 24)); ErrnoOf(err) != EAGAIN {
		t.Error(err)
	}
	for range r.Read() {
		break
	}
	if err := r.Output(make([]byte, 24)); err != nil {
		t.Errorf("after one was read: %v", err)
	}
	r.Clear()
	if r.Len() != 0 || readAll(r) != nil {
		t.Error("Clear left something")
	}
}

// Records of random sizes, round the end many times, come out as they went in.
func TestRingWrap(t *testing.T) {
	_, r := newTestRing(t)
	rnd := rand.New(rand.NewPCG(1, 2))
	var want [][]byte
	for range 5000 {
		b := make([]byte, rnd.IntN(1200))
		for i := range b {
			b[i] = byte(rnd.Uint32())
		}
		if r.Output(b) == nil {
			want = append(want, b)
			continue
		}
		got := readAll(r)
		if len(got) != len(want) {
			t.Fatalf("read %d records, want %d", len(got), len(want))
		}
		for i := range got {
			if !bytes.Equal(got[i], want[i]) {
				t.Fatalf("record %d differs", i)
			}
		}
		want = want[:0]
	}
}

func TestRingConcurrent(t *testing.T) {
	_, r := newTestRing(t)
	const each = 2000
	var wg sync.WaitGroup
	for g := range 3 {
		wg.Go(func() {
			for i := 0; i < each; {
				if r.Output(bytes.Repeat([]byte{byte(g)}, 1+i%100)) == nil {
					i++
				} else {
					runtime.Gosched() // js/wasm has one thread and does not preempt
				}
			}
		})
	}
	got := [3]int{}
	for got[0]+got[1]+got[2] < 3*each {
		for sample := range r.Read() {
			g := sample[0]
			if len(sample) != 1+got[g]%100 || !bytes.Equal(sample, bytes.Repeat([]byte{g}, len(sample))) {
				t.Fatalf("producer %d's record %d is % x", g, got[g], sample)
			}
			got[g]++
		}
		runtime.Gosched()
	}
	wg.Wait()
}

// What programs find in a user ring buffer (Linux: __bpf_user_ringbuf_peek).
func TestUserRing(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Type: UserRingBuf, MaxEntries: 4096}, 1).(*UserRing)
	peek := func(want Errno) (addr, size uint32, next uint64) {
		t.Helper()
		addr, size, next, errno := m.Peek()
		if errno != want {
			t.Errorf("Peek: %v, want %v", errno, want)
		}
		return addr, size, next
	}
	peek(ENODATA)
	if err := m.Send([]byte("hello")); err != nil {
		t.Fatal(err)
	}
	addr, size, next := peek(0)
	if view, _ := s.Bytes(addr, size); string(view) != "hello" {
		t.Errorf("sample %q", view)
	}
	m.Release(next)
	peek(ENODATA)
	reserved := m.Reserve(10)
	peek(ENODATA) // until the producer is done
	if err := m.Commit(reserved, true); err != nil {
		t.Fatal(err)
	}
	peek(EAGAIN) // a discarded one is skipped
	peek(ENODATA)
	// What a producer that is none of ours could write.
	pos := *m.producer()
	word := m.header(pos)
	for _, bad := range []struct {
		length   uint32
		producer uint64
		want     Errno
	}{
		{8, pos + 12, EINVAL}, {8, pos + 8, EINVAL}, {8000, pos + 16, EINVAL}, {8000, pos + 8008, E2BIG}, {8 | RingBusy, pos + 16, ENODATA},
		{8, pos + 16, 0}, {8, pos, ENODATA},
	} {
		*word, *m.producer() = bad.length, bad.producer
		peek(bad.want)
	}
	done, ok := m.Drain()
	if _, second := m.Drain(); !ok || second {
		t.Error("two consumers at once")
	}
	done()
	if done, ok = m.Drain(); !ok {
		t.Error("no consumer after the first was done")
	}
	done()
	for m.Send(make([]byte, 100)) == nil {
	}
	if err := m.Send(make([]byte, 100)); ErrnoOf(err) != EAGAIN {
		t.Error("a full buffer:", err)
	}
}
