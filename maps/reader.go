package maps

import (
	"iter"
	"sync"
)

// Samples consumes a ring buffer's samples as Go values, in the way of Decode: l describes them, nil is encoding/binary's layout. It ends
// when there are no more, or after a sample that does not go together with T.
func Samples[T any](r *Ring, l *Layout) iter.Seq2[T, error] {
	return func(yield func(T, error) bool) {
		for sample := range r.Read() {
			var v T
			err := Decode(sample, l, &v)
			if !yield(v, err) || err != nil {
				return
			}
		}
	}
}

// PerfReader collects what programs send to maps of type PerfEventArray, for one reader at a time. Its Add goes where the machine
// tells of events:
//
//	reader := maps.NewPerfReader(1 << 20)
//	machine, err := vm.NewMachine(vm.Config{Event: reader.Add})
//	for event, lost := range reader.Read() { … }
type PerfReader struct {
	mu     sync.Mutex
	events []PerfEvent
	bytes  int
	most   int
	lost   uint64 // since Read last gave a sample
}

// PerfEvent is a sample.
type PerfEvent struct {
	Map  Map
	CPU  int
	Data []byte
}

// NewPerfReader makes a reader that keeps samples of at most that many bytes. What comes when it is full is lost, and counted.
func NewPerfReader(bytes int) *PerfReader { return &PerfReader{most: bytes} }

// Add takes a sample, of which it keeps a copy. It may be called from any goroutine.
func (r *PerfReader) Add(m Map, cpu int, data []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.bytes+len(data) > r.most {
		r.lost++
		return
	}
	r.bytes += len(data)
	r.events = append(r.events, PerfEvent{m, cpu, append([]byte(nil), data...)})
}

// Read gives the samples in the order in which they came, until there are none, each with the number of those that were lost since the
// sample before was given.
func (r *PerfReader) Read() iter.Seq2[PerfEvent, uint64] {
	return func(yield func(PerfEvent, uint64) bool) {
		for {
			r.mu.Lock()
			if len(r.events) == 0 {
				r.mu.Unlock()
				return
			}
			event, lost := r.events[0], r.lost
			r.events, r.lost = r.events[1:], 0
			r.bytes -= len(event.Data)
			r.mu.Unlock()
			if !yield(event, lost) {
				return
			}
		}
	}
}

// Lost is how many samples were lost since Read last gave one.
func (r *PerfReader) Lost() uint64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.lost
}
