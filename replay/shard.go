package replay

import (
	"cmp"
	"errors"
	"sync"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/vm"
)

// A replay on several virtual CPUs. The reader takes a chunk at a time, makes packets of its records and deals them out by flow; each worker
// runs its share of a chunk on its own CPU while the reader is at the next chunk. A worker is a runner of its own, which reads nothing.
//
// Packets of one flow go to one worker, in their order. So the same capture, seed and number of CPUs give the same result as
// long as flows share nothing but what is kept for each CPU.

const (
	loads       = 3    // chunks on their way: one being read, one being run, one to catch up with
	loadRecords = 8192 // packets of a chunk at most
)

// load is a chunk on its way from the reader through the workers.
type load struct {
	addr   uint32 // guest address of the chunk; 0 when packets are copied
	chunk  []byte
	shares [][]packet // by worker
	exits  [][]held   // by worker, when there are sinks
	data   [][]byte   // what they hold
	errs   []error    // by worker: what it stopped at, in this load or one before
	wait   sync.WaitGroup
	first  int64 // time of the capture's first packet
	busy   bool
}

// held is an Exit that waits for its turn.
type held struct {
	Exit
	off, n int // of the data in the worker's share of the load
}

type worker struct {
	*runner
	number int
	in     chan *load
	hold   holder
}

// shards is what a runner has for several CPUs.
type shards struct {
	workers []*worker
	loads   [loads]load
	next    int // load to fill
	running sync.WaitGroup
}

// holder is the sink of a worker: it keeps what the real sinks get later.
type holder struct {
	exits []held
	data  *[]byte // of the load
}

func (h *holder) Write(x *Exit) error {
	h.exits = append(h.exits, held{Exit: *x, off: len(*h.data), n: len(x.Data)})
	*h.data = append(*h.data, x.Data...)
	return nil
}

func (h *holder) Close() error { return nil }

// newShards makes a worker for the target's engine and one for each of Options.Others, and starts them.
func newShards(r *runner, move bool, slot uint32) (*shards, error) {
	sh := &shards{}
	engines := append([]vm.Engine{r.o.Target.Engine}, r.o.Others...)
	for i, e := range engines {
		t := r.o.Target
		t.Engine = e
		o := *r.o
		o.Others, o.Filters, o.Sinks = nil, nil, nil
		w := &worker{number: i, in: make(chan *load, loads)}
		if len(r.o.Sinks) > 0 {
			o.Sinks = []Sink{&w.hold}
		}
		side, err := newSide(t, &o, maxBatch, move, slot)
		if err != nil {
			sh.stop()
			return nil, err
		}
		w.runner = r.newWorker(&o, side)
		sh.workers = append(sh.workers, w)
	}
	for i := range sh.loads {
		l := &sh.loads[i]
		l.shares, l.exits = make([][]packet, len(engines)), make([][]held, len(engines))
		l.data, l.errs = make([][]byte, len(engines)), make([]error, len(engines))
		if move && len(r.o.Filters) == 0 {
			l.chunk = make([]byte, linkRoom+chunkSize)
			continue
		}
		addr, err := sh.workers[0].sides[0].alloc(linkRoom + chunkSize)
		if err != nil {
			sh.stop()
			return nil, err
		}
		l.addr = addr
		l.chunk, _ = sh.workers[0].sides[0].space.Bytes(addr, linkRoom+chunkSize)
	}
	for _, w := range sh.workers {
		sh.running.Add(1)
		go func() {
			defer sh.running.Done()
			w.work()
		}()
	}
	return sh, nil
}

// stop ends the workers and frees their memory.
func (sh *shards) stop() {
	for _, w := range sh.workers {
		close(w.in)
	}
	sh.running.Wait()
	for _, w := range sh.workers {
		w.free()
	}
}

func (w *worker) work() {
	var failed error
	for l := range w.in {
		if failed == nil {
			l.data[w.number] = l.data[w.number][:0]
			w.hold.exits, w.hold.data = l.exits[w.number][:0], &l.data[w.number]
			failed = w.run(l)
			l.exits[w.number] = w.hold.exits
		}
		l.errs[w.number] = failed
		l.wait.Done()
	}
}

// run runs the worker's share of a load.
func (w *worker) run(l *load) error {
	r := w.runner
	r.chunk, r.report.FirstNS = l.chunk, l.first
	if !r.copies() {
		r.sides[0].chunk = l.addr
	}
	list := l.shares[w.number]
	for len(list) > 0 {
		n := min(len(list), maxBatch)
		for i := range n {
			if r.isLarge(&list[i]) {
				n = i
				break
			}
		}
		run := r.flush
		if n == 0 {
			n, run = 1, r.runLarge
		}
		r.batch = list[:n]
		list = list[n:]
		for i := range r.batch {
			r.report.Packets++
			r.report.Bytes += uint64(r.batch[i].n)
		}
		if err := run(); err != nil {
			return err
		}
	}
	return nil
}

// passShards is pass on several CPUs.
func (r *runner) passShards() error {
	sh := r.shards
	for {
		l := &sh.loads[sh.next]
		if err := r.finish(l); err != nil {
			return err
		}
		want := len(r.recs)
		if r.o.Limit > 0 {
			if want = int(min(uint64(want), r.o.Limit-r.report.Packets)); want == 0 {
				return cmp.Or(r.drain(), errLimit)
			}
		}
		if r.stopped() {
			return cmp.Or(r.drain(), ErrStopped)
		}
		r.chunk = l.chunk
		r.source.SetBuffer(l.chunk[linkRoom:])
		n, err := r.source.ReadBatch(r.recs[:want])
		if err != nil {
			return cmp.Or(r.drain(), r.end(err))
		}
		if err := r.deal(l, r.recs[:n]); err != nil {
			return errors.Join(err, r.drain())
		}
		r.send(l)
		if r.o.Progress != nil {
			r.progress()
		}
	}
}

// deal makes packets of records and gives each to the worker of its flow.
func (r *runner) deal(l *load, recs []pcap.Record) (err error) {
	for i := range l.shares {
		l.shares[i] = l.shares[i][:0]
	}
	if r.filters != nil {
		r.filters.base = l.addr + linkRoom
	}
	for len(recs) > 0 {
		group := recs[:min(len(recs), maxBatch)]
		recs = recs[len(group):]
		if r.filters != nil {
			if group, err = r.filter(group); err != nil {
				return err
			}
		}
		for i := range group {
			p := &r.dealing
			why, err := r.prepare(&group[i], p)
			if err != nil {
				return err
			}
			if why != skipNot {
				r.skipped[why]++
				continue
			}
			n := int(r.flow(p) % uint32(len(l.shares)))
			l.shares[n] = append(l.shares[n], *p)
			r.report.Packets++
			r.report.Bytes += uint64(p.n)
		}
	}
	return nil
}

// flow is the number of a packet's flow. What is no Ethernet frame, and was not made one, is all of one flow.
func (r *runner) flow(p *packet) uint32 {
	if r.o.Convert == ConvertRaw && p.link != linktype.Ethernet {
		return 0
	}
	off := p.off
	if r.l3 {
		off -= etherLen // the program does not see the header, but it is there
	}
	return flowHash(r.chunk[off : p.off+p.n])
}

// send gives a load to the workers.
func (r *runner) send(l *load) {
	l.busy, l.first = true, r.report.FirstNS
	l.wait.Add(len(r.shards.workers))
	for _, w := range r.shards.workers {
		w.in <- l
	}
	r.shards.next = (r.shards.next + 1) % loads
}

// finish waits for a load and gives the sinks its packets, in the capture's order.
func (r *runner) finish(l *load) error {
	if !l.busy {
		return nil
	}
	l.wait.Wait()
	l.busy = false
	for _, err := range l.errs {
		if err != nil {
			return err
		}
	}
	if len(r.o.Sinks) == 0 {
		return nil
	}
	return r.merge(l)
}

// drain finishes what is on its way.
func (r *runner) drain() error {
	var first error
	for range loads {
		first = cmp.Or(first, r.finish(&r.shards.loads[r.shards.next]))
		r.shards.next = (r.shards.next + 1) % loads
	}
	return first
}

// merge delivers what the workers hold of a load. Each holds its packets in order.
func (r *runner) merge(l *load) error {
	var at [vm.MaxCPUs]int
	for {
		first := -1
		for w := range l.exits {
			if at[w] < len(l.exits[w]) && (first < 0 || l.exits[w][at[w]].Number < l.exits[first][at[first]].Number) {
				first = w
			}
		}
		if first < 0 {
			return nil
		}
		h := &l.exits[first][at[first]]
		at[first]++
		h.Data = l.data[first][h.off : h.off+h.n]
		for _, sink := range r.o.Sinks {
			if err := sink.Write(&h.Exit); err != nil {
				return &Error{Reason: "output", Err: err}
			}
		}
	}
}

// collect makes one report of the workers'.
func (r *runner) collect() {
	rep := &r.report
	rep.Packets, rep.Bytes = 0, 0
	for i, w := range r.shards.workers {
		o := &w.report
		if c := r.chain(); c != nil && i > 0 {
			c.add(w.sides[0].chain)
		}
		rep.Packets += o.Packets
		rep.Bytes += o.Bytes
		rep.Insns += o.Insns
		rep.Changed += o.Changed
		rep.Faults += o.Faults
		rep.FaultExamples = append(rep.FaultExamples, o.FaultExamples...)
		rep.AbortedExamples = append(rep.AbortedExamples, o.AbortedExamples...)
		r.tally.add(&w.tally)
		if r.detail != nil {
			r.detail.merge(w.detail)
		}
	}
	rep.firstExamples()
	rep.CPUs = len(r.shards.workers)
	rep.Shared = sharedMaps(r.shards.workers[0].sides[0].maps)
}

// sharedMaps names the maps whose elements packets of different flows may find changed by each other, in an order that depends on how fast
// the CPUs are. Those that hold programs, devices and the like are not written to by packets, and data that is read only is not either.
func sharedMaps(t *maps.Table) []string {
	var names []string
	for _, m := range t.All() {
		spec := m.Spec()
		if row := spec.Type.Row(); (row.ByLookup || row.ByPop) && !row.PerCPU && !row.MapInMap && !row.Sockets && spec.Flags&maps.ReadOnlyProg == 0 {
			names = append(names, spec.Name)
		}
	}
	return names
}
