package maps

import (
	"iter"
	"sync"
	"sync/atomic"
)

// Ring is a map of type RingBuf. A record is an 8-byte header and then the sample, at a multiple of 8:
//
//	u32 length of the sample | RingBusy | RingDiscard
//	u32 handle of the map (the kernel keeps a page offset here, for the same purpose)
//
// The kernel maps the data area twice in a row, so that records are contiguous. Here the area is allocated twice as
// large: a record that runs past the end goes on there, and the bytes at the beginning that it would have used stay unused.
//
// Producers take a lock. There is one consumer at a time.
type Ring struct {
	*core
	data  uint32 // guest address of position 0
	mask  uint64 // size of the data area - 1
	bytes []byte // the data area and as much again

	readMu sync.Mutex // held by the consumer
}

// Bits of a record's length, and its parts.
const (
	RingBusy       uint32 = 1 << 31 // reserved and not committed (Linux: BPF_RINGBUF_BUSY_BIT)
	RingDiscard    uint32 = 1 << 30 // to be skipped (Linux: BPF_RINGBUF_DISCARD_BIT)
	RingHeaderSize        = 8

	ringMaxRecord = 1<<32/4 - 1 // RINGBUF_MAX_RECORD_SZ
)

// Values of Query (Linux: BPF_RB_*).
const (
	RingAvailData   uint64 = 0 // bytes not consumed, headers included
	RingSize        uint64 = 1 // of the data area
	RingConsumerPos uint64 = 2
	RingProducerPos uint64 = 3
)

func newRing(c *core) (Map, error) {
	m := &Ring{core: c, mask: uint64(c.spec.MaxEntries) - 1}
	size := 2 * uint64(c.spec.MaxEntries)
	var err error
	if m.data, err = c.alloc(size, kernelPage); err != nil {
		return nil, err
	}
	m.bytes = c.view(m.data, size)
	c.setHeader(OffData, m.data)
	c.setHeader(OffIndexMask, uint32(m.mask))
	return m, nil
}

func (m *Ring) producer() *uint64 { return m.state64(stateHead) }
func (m *Ring) consumer() *uint64 { return m.state64(stateTail) }

// header is the length word of the record at a position. Whatever the position, it is inside the data area.
func (m *Ring) header(pos uint64) *uint32 {
	return (*uint32)(m.space.Pointer(m.data + uint32(pos&m.mask&^7)))
}

// Reserve makes room for a sample of size bytes and returns its guest address, 0 when there is none
// (Linux: __bpf_ringbuf_reserve).
func (m *Ring) Reserve(size uint64) uint32 {
	if size > ringMaxRecord {
		return 0
	}
	length := (size + RingHeaderSize + 7) &^ 7
	if length > m.mask+1 {
		return 0
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	pos := atomic.LoadUint64(m.producer()) &^ 7
	if pos+length-atomic.LoadUint64(m.consumer()) > m.mask {
		return 0
	}
	off := uint32(pos & m.mask)
	atomic.StoreUint32(m.header(pos), uint32(size)|RingBusy)
	m.space.Store32(m.data+off+4, m.handle)
	atomic.StoreUint64(m.producer(), pos+length)
	return m.data + off + RingHeaderSize
}

// Commit ends a reservation: the consumer will see the sample, or skip it when discard is true. It gives EINVAL when
// there is no reserved record at that address (Linux: bpf_ringbuf_commit).
func (m *Ring) Commit(sample uint32, discard bool) error {
	off := sample - m.data - RingHeaderSize
	if sample&7 != 0 || uint64(off) > m.mask {
		return m.fail("commit", EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	word := m.header(uint64(off))
	length := atomic.LoadUint32(word)
	if length&RingBusy == 0 {
		return m.fail("commit", EINVAL)
	}
	length &^= RingBusy
	if discard {
		length |= RingDiscard
	}
	atomic.StoreUint32(word, length)
	return nil
}

// Output is Reserve, copy and Commit. It gives EAGAIN when there is no room (Linux: bpf_ringbuf_output).
func (m *Ring) Output(data []byte) error {
	sample := m.Reserve(uint64(len(data)))
	if sample == 0 {
		return m.fail("output", EAGAIN)
	}
	copy(m.bytes[sample-m.data:], data)
	return m.Commit(sample, false)
}

// Query is bpf_ringbuf_query: 0 for what is none of the constants.
func (m *Ring) Query(what uint64) uint64 {
	consumer, producer := atomic.LoadUint64(m.consumer()), atomic.LoadUint64(m.producer())
	switch what {
	case RingAvailData:
		return producer - consumer
	case RingSize:
		return m.mask + 1
	case RingConsumerPos:
		return consumer
	case RingProducerPos:
		return producer
	}
	return 0
}

// Read consumes samples in order, without the discarded ones, until there are none or one is still reserved. A sample
// is only valid until the next; it counts as consumed when the loop goes on or ends.
func (m *Ring) Read() iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		m.readMu.Lock()
		defer m.readMu.Unlock()
		for {
			sample, next, ok := m.peek()
			if !ok {
				return
			}
			more := sample == nil || yield(sample)
			atomic.StoreUint64(m.consumer(), next)
			if !more {
				return
			}
		}
	}
}

// peek returns the next record's sample, nil when it is discarded, and the position after it. When the positions or
// the length make no sense, the guest wrote over them, and all that is there is dropped.
func (m *Ring) peek() (sample []byte, next uint64, ok bool) {
	pos, producer := atomic.LoadUint64(m.consumer()), atomic.LoadUint64(m.producer())
	if pos == producer {
		return nil, 0, false
	}
	length := atomic.LoadUint32(m.header(pos))
	size := uint64(length &^ (RingBusy | RingDiscard))
	next = pos + (size+RingHeaderSize+7)&^7
	if producer-pos > m.mask+1 || next-pos > producer-pos || pos&7 != 0 {
		atomic.StoreUint64(m.consumer(), producer)
		return nil, 0, false
	}
	if length&RingBusy != 0 {
		return nil, 0, false
	}
	if length&RingDiscard != 0 {
		return nil, next, true
	}
	from := pos&m.mask + RingHeaderSize
	return m.bytes[from : from+size : from+size], next, true
}

// RingOf finds the ring buffer that a sample was reserved in, nil when there is none: what bpf_ringbuf_submit needs.
func (t *Table) RingOf(sample uint32) *Ring {
	r, _ := t.Get(t.space.Load32(sample - 4)).(*Ring)
	return r
}

// LookupAddr finds nothing: a ring buffer has no elements.
func (m *Ring) LookupAddr(int, []byte) uint32 { return 0 }

// Update fails.
func (m *Ring) Update(int, []byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

// Delete fails.
func (m *Ring) Delete([]byte) error { return m.fail("delete", ENOTSUPP) }

// Next finds nothing.
func (m *Ring) Next([]byte) ([]byte, bool) { return nil, false }

// Len returns the number of records between consumer and producer, reserved and discarded ones included.
func (m *Ring) Len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	n := 0
	pos, producer := atomic.LoadUint64(m.consumer()), atomic.LoadUint64(m.producer())
	if producer-pos > m.mask+1 {
		return 0
	}
	for left := producer - pos; left > 0; n++ {
		size := uint64(atomic.LoadUint32(m.header(pos)) &^ (RingBusy | RingDiscard))
		step := (size + RingHeaderSize + 7) &^ 7
		if step > left {
			break
		}
		pos, left = pos+step, left-step
	}
	return n
}

// Clear drops all records. None may be reserved.
func (m *Ring) Clear() {
	m.readMu.Lock()
	defer m.readMu.Unlock()
	m.mu.Lock()
	defer m.mu.Unlock()
	atomic.StoreUint64(m.consumer(), 0)
	atomic.StoreUint64(m.producer(), 0)
}

// HostLookup fails: see Read.
func (m *Ring) HostLookup([]byte) ([]byte, error) { return nil, m.fail("lookup", ENOTSUPP) }

// HostUpdate fails: see Output.
func (m *Ring) HostUpdate([]byte, []byte, uint64) error { return m.fail("update", ENOTSUPP) }

// All iterates over nothing: see Read.
func (m *Ring) All() iter.Seq2[[]byte, []byte] { return func(func([]byte, []byte) bool) {} }
