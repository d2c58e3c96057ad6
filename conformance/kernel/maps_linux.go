package kernel

import (
	"errors"
	"fmt"
	"os"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/perf"
	"github.com/cilium/ebpf/ringbuf"
)

// Pops empties a queue or a stack.
func (c *Collection) Pops(name string) (all [][]byte, err error) {
	m := c.coll.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	for {
		value := make([]byte, m.ValueSize())
		if err := m.LookupAndDelete(nil, value); err != nil {
			return all, ignore(err, ebpf.ErrKeyNotExist)
		}
		all = append(all, value)
	}
}

// Events reads what programs write to a perf event array.
type Events struct{ r *perf.Reader }

// Events opens the events of a map for all CPUs. Close them.
func (c *Collection) Events(name string) (*Events, error) {
	m := c.coll.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	r, err := perf.NewReader(m, 1<<18)
	if err != nil {
		return nil, err
	}
	return &Events{r}, nil
}

// Close closes the events.
func (e *Events) Close() error { return e.r.Close() }

// Take takes what was written since.
func (e *Events) Take() (all [][]byte, err error) {
	for {
		e.r.SetDeadline(time.Now().Add(time.Millisecond))
		record, err := e.r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		if record.LostSamples > 0 {
			return nil, fmt.Errorf("%d events were lost", record.LostSamples)
		}
		all = append(all, record.RawSample)
	}
}

// Records takes what programs put into a ring buffer.
func (c *Collection) Records(name string) (all [][]byte, err error) {
	m := c.coll.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	r, err := ringbuf.NewReader(m)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, r.Close()) }()
	for {
		r.SetDeadline(time.Now().Add(time.Millisecond))
		record, err := r.Read()
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		all = append(all, record.RawSample)
	}
}
