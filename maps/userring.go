package maps

import "sync/atomic"

// UserRing is a map of type UserRingBuf: the host produces samples, programs consume them. Records are those of Ring.
type UserRing struct{ *Ring }

func newUserRing(c *core) (Map, error) {
	m, err := newRing(c)
	if err != nil {
		return nil, err
	}
	return &UserRing{m.(*Ring)}, nil
}

// dynptrMax is the most bytes of a sample that a dynptr can have (Linux: DYNPTR_MAX_SIZE).
const dynptrMax = 1<<24 - 1

// Peek returns the guest address and the size of the next sample, and what comes after it: to be given to Release when the program is
// done. ENODATA says that there is none, EAGAIN that it was a discarded one, which is skipped (Linux: __bpf_user_ringbuf_peek).
func (m *UserRing) Peek() (addr, size uint32, next uint64, errno Errno) {
	producer, pos := atomic.LoadUint64(m.producer()), atomic.LoadUint64(m.consumer())
	switch {
	case producer%8 != 0:
		return 0, 0, 0, EINVAL
	case pos >= producer:
		return 0, 0, 0, ENODATA
	}
	length := atomic.LoadUint32(m.header(pos))
	size = length &^ (RingBusy | RingDiscard)
	total := (uint64(size) + RingHeaderSize + 7) &^ 7
	switch {
	case total > producer-pos:
		return 0, 0, 0, EINVAL
	case total > m.mask+1, size > dynptrMax:
		return 0, 0, 0, E2BIG
	case length&RingDiscard != 0:
		atomic.StoreUint64(m.consumer(), pos+total)
		return 0, 0, 0, EAGAIN
	case length&RingBusy != 0:
		return 0, 0, 0, ENODATA
	}
	return m.data + uint32((pos&^7)&m.mask) + RingHeaderSize, size, pos + total, 0
}

// Release says that a program is done with the sample before next.
func (m *UserRing) Release(next uint64) { atomic.StoreUint64(m.consumer(), next) }

// Drain makes the caller the only consumer until it calls done; false when there is another one.
func (m *UserRing) Drain() (done func(), ok bool) {
	if !m.readMu.TryLock() {
		return nil, false
	}
	return m.readMu.Unlock, true
}

// Send puts a sample into the buffer for programs to drain. It gives EAGAIN when there is no room.
func (m *UserRing) Send(sample []byte) error { return m.Output(sample) }
