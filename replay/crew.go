package replay

import (
	"cmp"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skepvm/skep/internal/pcap"
)

// A capture goes through a replay in pieces, each by a goroutine of a crew: reading it, which is most of the work for a simple program, goes
// on for several pieces at once; what must know of the pieces before it (finding the packets, running them) is a station that
// pieces come by in the order of the file. So the packets are looked at by the core that has just read them, and a replay is as
// deterministic as if it knew one goroutine only: all that is called in a station (engines, sinks, Options.Progress) is called by one at a time.

// load is a piece of a capture on its way, with the memory it lies in.
type load struct {
	pcap.Piece
	seq   uint64
	addr  uint32 // guest address of the chunk; 0 when packets are copied from it
	chunk []byte // the piece's buffer begins at linkRoom of it
	end   error  // what comes behind its packets: nil, or why it is the last one
	share *share // nil on one CPU
}

// chunkSize is the size of a load's memory.
const chunkSize = linkRoom + pcap.PieceBuffer

// maxLoads is how many pieces are on their way on one CPU: one being run, and as many being read as keep it busy.
const maxLoads = 3

// loadsFor is how many pieces are on their way when programs run on so many CPUs.
func loadsFor(cpus int) int { return min(runtime.GOMAXPROCS(0), maxLoads*cpus) }

// station is what pieces come by in their order.
type station struct {
	next atomic.Uint64 // the piece whose turn it is; changed under mu
	mu   sync.Mutex
	free sync.Cond
}

// spin is how long a goroutine looks for its turn before it gives up its core. The turn mostly comes within that time, and waking a core up that
// has been given up may take as long.
const spin = 50 * time.Microsecond

// enter waits for a piece's turn.
func (s *station) enter(seq uint64) {
	isNext := func() bool { return s.next.Load() == seq }
	if spinUntil(isNext) {
		return
	}
	s.mu.Lock()
	for !isNext() {
		s.free.Wait()
	}
	s.mu.Unlock()
}

// spinUntil looks until it is so, for a while, and reports whether it is.
func spinUntil(so func() bool) bool {
	if so() {
		return true
	}
	for start := time.Now(); time.Since(start) < spin; {
		for range 64 {
			if so() {
				return true
			}
		}
	}
	return false
}

// leave gives the next piece its turn.
func (s *station) leave() {
	s.mu.Lock()
	s.next.Add(1)
	s.mu.Unlock()
	s.free.Broadcast()
}

// crew takes the pieces of a capture through a pass.
type crew struct {
	source  source
	waits   bool // one piece at a time
	claims  sync.Mutex
	claimed uint64
	closed  atomic.Bool // no piece is claimed any more
	parsing station
	running station
	over    bool  // in running: nothing runs any more
	err     error // the pass's
}

// newCrew makes a crew for one pass.
func newCrew(src source, waits bool) *crew {
	c := &crew{source: src, waits: waits}
	c.parsing.free.L, c.running.free.L = &c.parsing.mu, &c.running.mu
	return c
}

// claim takes the next piece, unless the capture has come to an end.
func (c *crew) claim(l *load) bool {
	c.claims.Lock()
	defer c.claims.Unlock()
	if c.closed.Load() {
		return false
	}
	l.seq, l.end = c.claimed, nil
	c.claimed++
	c.source.Claim(&l.Piece)
	return true
}

// read fills a load with the next packets.
func (c *crew) read(l *load) bool {
	if !c.claim(l) {
		return false
	}
	c.source.Load(&l.Piece)
	c.parsing.enter(l.seq)
	l.end = c.source.Parse(&l.Piece)
	c.parsing.leave()
	return true
}

// stop ends the pass, in running.
func (c *crew) stop(err error) {
	c.over, c.err = true, err
	c.closed.Store(true)
}

// run takes all pieces through work, which does what is to be done behind reading; it returns when nobody works any more.
func (c *crew) run(loads []*load, work func(*load)) {
	if c.waits {
		loads = loads[:1]
	}
	var all sync.WaitGroup
	for _, l := range loads {
		all.Go(func() {
			for c.read(l) {
				work(l)
			}
		})
	}
	all.Wait()
}

// pass replays the capture once.
func (r *runner) pass() (err error) {
	if r.source, err = r.o.openSource(); err != nil {
		return err
	}
	defer func() { _ = r.source.Close() }() // read to its end or to an error
	r.report.Format = r.source.Format().String()
	r.link = nil
	c := newCrew(r.source, r.o.mayWait())
	if r.shards != nil {
		r.shards.pass(r, c)
		return c.err
	}
	c.run(r.loads, func(l *load) {
		c.running.enter(l.seq)
		defer c.running.leave()
		if c.over {
			return
		}
		err := r.runLoad(l)
		if err == nil && c.waits {
			err = r.flushSinks()
		}
		if err == nil && l.end == nil {
			return
		}
		c.stop(cmp.Or(err, r.end(l.end)))
	})
	return c.err
}

// use makes a load the one whose packets are worked on.
func (r *runner) use(l *load) {
	r.chunk, r.ifaces = l.chunk, l.Ifaces
	if r.filters != nil {
		r.filters.base = l.addr + linkRoom
	}
}

// runLoad runs the packets of a load.
func (r *runner) runLoad(l *load) error {
	r.use(l)
	if len(r.sides) > 0 && !r.copies() {
		r.sides[0].chunk = l.addr
	}
	for recs := l.Recs; len(recs) > 0; {
		n := min(len(recs), r.most)
		if r.o.Limit > 0 {
			if n = int(min(uint64(n), r.o.Limit-r.report.Packets)); n == 0 {
				return errLimit
			}
		}
		if r.stopped() {
			return ErrStopped
		}
		if r.pacer != nil && !r.pacer.wait(r.shifted(recs[0].TS)) {
			return ErrStopped
		}
		if err := r.records(recs[:n]); err != nil {
			return err
		}
		if r.o.Progress != nil {
			r.progress()
		}
		recs = recs[n:]
	}
	return nil
}

// newLoads makes loads in the guest memory of a side, or outside when packets are copied and no filter looks at them.
func (r *runner) newLoads(s *side, n int, move bool) ([]*load, error) {
	loads := make([]*load, n)
	for i := range loads {
		l := &load{}
		loads[i] = l
		if move && len(r.o.Filters) == 0 {
			l.chunk = make([]byte, chunkSize)
		} else {
			var err error
			if l.addr, err = s.alloc(chunkSize); err != nil {
				return nil, err
			}
			l.chunk, _ = s.space.Bytes(l.addr, chunkSize)
		}
		l.Buf = l.chunk[linkRoom:]
	}
	return loads, nil
}
