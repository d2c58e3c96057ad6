package replay

import (
	"cmp"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/vm"
)

// A replay on several virtual CPUs. Packets are dealt out by flow, and each CPU has a lane: a runner of its own with the CPU's engine, which reads
// nothing. The goroutine that has a load deals its packets, then takes each lane's share through the lane, whichever has its turn, and at last
// gives the sinks what they left. So a lane runs its packets in the order of the file, and lanes run at the same time.
//
// Packets of one flow go to one lane. So the same capture, seed and number of CPUs give the same result as long as flows share nothing but what is
// kept for each CPU.

// share is what a load has for several CPUs.
type share struct {
	plain   [][]pcap.Record // by lane, when all packets of the load are plain; else packets
	packets [][]packet
	frames  []uint32 // by lane: ctx of the first
	exits   [][]held // by lane, when there are sinks
	data    [][]byte // what they hold
	errs    []error  // by lane: what it stopped at, in this load or one before
	first   int64    // time of the capture's first packet
	left    []int    // lanes that have not run their packets yet
}

// held is an Exit that waits for its turn.
type held struct {
	Exit
	off, n, entry int // of the data in the lane's share of the load, and length of what it was before, which follows
}

// lane runs what one CPU has to run.
type lane struct {
	*runner
	number int
	turn   atomic.Uint64 // the load that it runs next; changed under shards.mu
	failed error
	hold   holder
}

// shards is what a runner has for several CPUs.
type shards struct {
	lanes   []*lane
	loads   []*load
	dealing station
	dealt   bool // in dealing: no more packets are dealt
	mu      sync.Mutex
	moved   sync.Cond // a lane's turn has changed
}

// holder is the sink of a lane: it keeps what the real sinks get later.
type holder struct {
	exits []held
	data  *[]byte // of the load
}

func (h *holder) Write(x *Exit) error {
	h.exits = append(h.exits, held{Exit: *x, off: len(*h.data), n: len(x.Data), entry: len(x.Entry)})
	*h.data = append(append(*h.data, x.Data...), x.Entry...)
	return nil
}

func (h *holder) Close() error { return nil }

// newShards makes a lane for the target's engine and one for each of Options.Others.
func newShards(r *runner, move bool, slot uint32) (sh *shards, err error) {
	sh = &shards{}
	sh.moved.L = &sh.mu
	defer func() {
		if err != nil {
			sh.free()
		}
	}()
	engines := append([]vm.Engine{r.o.Target.Engine}, r.o.Others...)
	for i, e := range engines {
		t := r.o.Target
		t.Engine = e
		o := *r.o
		o.Others, o.Filters, o.Sinks = nil, nil, nil
		l := &lane{number: i}
		if len(r.o.Sinks) > 0 {
			o.Sinks = []Sink{&l.hold}
		}
		side, err := newSide(t, &o, maxBatch, move, slot)
		if err != nil {
			return sh, err
		}
		l.runner = r.newLane(&o, side)
		sh.lanes = append(sh.lanes, l)
	}
	sh.loads, err = r.newLoads(sh.lanes[0].sides[0], loadsFor(len(engines)), move)
	for _, l := range sh.loads {
		l.share = &share{
			plain: make([][]pcap.Record, len(engines)), packets: make([][]packet, len(engines)), exits: make([][]held, len(engines)),
			data: make([][]byte, len(engines)), errs: make([]error, len(engines)),
		}
	}
	return sh, err
}

func (sh *shards) free() {
	for _, l := range sh.lanes {
		l.free()
	}
}

// pass takes the pieces of a capture through a pass.
func (sh *shards) pass(r *runner, c *crew) {
	sh.dealing, sh.dealt = station{}, false
	sh.dealing.free.L = &sh.dealing.mu
	for _, l := range sh.lanes {
		l.turn.Store(0)
	}
	c.run(sh.loads, func(l *load) {
		sh.dealing.enter(l.seq)
		err := sh.deal(r, l)
		sh.dealing.leave()
		sh.runAll(l)
		c.running.enter(l.seq)
		defer c.running.leave()
		if c.over {
			return
		}
		err = cmp.Or(r.merge(l), cmp.Or(l.share.errs...), err)
		if err == nil && c.waits {
			err = r.flushSinks()
		}
		if err != nil || l.end != nil {
			c.stop(err)
		}
	})
}

// deal gives each packet of a load to the lane of its flow. The error is what ends the pass when they have run.
func (sh *shards) deal(r *runner, l *load) error {
	sr := l.share
	for i := range sr.packets {
		sr.plain[i], sr.packets[i] = sr.plain[i][:0], sr.packets[i][:0]
	}
	if sh.dealt {
		return nil
	}
	r.use(l)
	give := r.give
	if sh.lanes[0].plain && areEthernet(l.Recs) {
		give = r.givePlain
	}
	err := r.deal(l, give)
	if err == nil && l.end != nil {
		err = r.end(l.end)
	}
	sh.dealt = err != nil || l.end != nil
	sr.first = r.report.FirstNS
	return err
}

// deal gives each record of a load to the lane of its flow, in the way that is right for the load.
func (r *runner) deal(l *load, give func(*load, *pcap.Record) error) (err error) {
	for recs := l.Recs; len(recs) > 0; {
		if r.stopped() {
			return ErrStopped
		}
		group := recs[:min(len(recs), maxBatch)]
		recs = recs[len(group):]
		if r.filters != nil {
			if group, err = r.filter(group); err != nil {
				return err
			}
		}
		for i := range group {
			if r.o.Limit > 0 && r.report.Packets == r.o.Limit {
				return errLimit
			}
			if err := give(l, &group[i]); err != nil {
				return err
			}
		}
		if r.o.Progress != nil {
			r.progress()
		}
	}
	return nil
}

// give makes a packet of a record.
func (r *runner) give(l *load, rec *pcap.Record) error {
	p := &r.dealing
	why, err := r.prepare(rec, p)
	if err != nil {
		return err
	}
	if why != skipNot {
		r.skipped[why]++
		return nil
	}
	n := int(r.flow(p) % uint32(len(l.share.packets)))
	l.share.packets[n] = append(l.share.packets[n], *p)
	r.report.Packets++
	r.report.Bytes += uint64(p.n)
	return nil
}

// givePlain hands on a record of which no packet needs to be made: with its time, and its number for an ID.
func (r *runner) givePlain(l *load, rec *pcap.Record) error {
	r.count()
	now := r.clock(rec.TS)
	if notPlain(rec) {
		r.skipped[skipShort]++
		r.report.Truncated += uint64(btoi(rec.CapLen < rec.OrigLen))
		return nil
	}
	dealt := *rec
	dealt.TS, dealt.ID = int64(now), r.number
	from := linkRoom + rec.Off
	n := int(flowHash(r.chunk[from:from+rec.CapLen]) % uint32(len(l.share.plain)))
	l.share.plain[n] = append(l.share.plain[n], dealt)
	r.report.Packets++
	r.report.Bytes += uint64(rec.CapLen)
	return nil
}

// flow is the number of a packet's flow. What is no Ethernet frame, and was not made one, is all of one flow.
func (r *runner) flow(p *packet) uint32 {
	if r.o.Convert == ConvertRaw && p.link != linktype.Ethernet {
		return 0
	}
	off, end := p.off, p.off+p.n-p.pad
	switch {
	case p.ip:
		h, _ := flowHashIP(p.in.Protocol, r.chunk[off:end])
		return h
	case r.l3:
		off -= etherLen // the program does not see the header, but it is there
	}
	return flowHash(r.chunk[off:end])
}

// runAll takes each lane's packets of a load through the lane.
func (sh *shards) runAll(l *load) {
	left := l.share.left[:0]
	for i := range sh.lanes {
		left = append(left, (i+int(l.seq))%len(sh.lanes)) // loads that are on their way at the same time begin with different ones
	}
	l.share.left = left
	for len(left) > 0 {
		at := sh.ready(left, l.seq)
		ln := sh.lanes[left[at]]
		left = slices.Delete(left, at, at+1)
		ln.take(l)
		sh.mu.Lock()
		ln.turn.Add(1)
		sh.mu.Unlock()
		sh.moved.Broadcast()
	}
}

// ready waits until one of the lanes has its turn for a load, and returns which.
func (sh *shards) ready(lanes []int, seq uint64) int {
	at := -1
	found := func() bool {
		at = slices.IndexFunc(lanes, func(n int) bool { return sh.lanes[n].turn.Load() == seq })
		return at >= 0
	}
	if spinUntil(found) {
		return at
	}
	sh.mu.Lock()
	defer sh.mu.Unlock()
	for !found() {
		sh.moved.Wait()
	}
	return at
}

// take runs the lane's packets of a load, unless it has failed.
func (ln *lane) take(l *load) {
	sr := l.share
	sr.exits[ln.number] = sr.exits[ln.number][:0]
	if ln.failed == nil {
		sr.data[ln.number] = sr.data[ln.number][:0]
		ln.hold.exits, ln.hold.data = sr.exits[ln.number], &sr.data[ln.number]
		ln.failed = ln.run(l)
		sr.exits[ln.number] = ln.hold.exits
	}
	sr.errs[ln.number] = ln.failed
}

// run runs the lane's packets of a load.
func (ln *lane) run(l *load) error {
	r := ln.runner
	r.use(l)
	r.report.FirstNS = l.share.first
	if !r.copies() {
		r.sides[0].chunk = l.addr
	}
	for list := l.share.plain[ln.number]; len(list) > 0; {
		n := min(len(list), maxBatch)
		if _, err := r.runPlain(list[:n]); err != nil {
			return err
		}
		list = list[n:]
	}
	for list := l.share.packets[ln.number]; len(list) > 0; {
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

// merge delivers what the lanes hold of a load to the sinks, in the capture's order.
func (r *runner) merge(l *load) error {
	if len(r.o.Sinks) == 0 {
		return nil
	}
	var at [vm.MaxCPUs]int
	exits := l.share.exits
	for {
		first := -1
		for n := range exits {
			if at[n] < len(exits[n]) && (first < 0 || exits[n][at[n]].Number < exits[first][at[first]].Number) {
				first = n
			}
		}
		if first < 0 {
			return nil
		}
		h := &exits[first][at[first]]
		at[first]++
		data := l.share.data[first][h.off:]
		h.Data, h.Entry = data[:h.n:h.n], data[h.n:h.n+h.entry]
		if err := r.write(&h.Exit); err != nil {
			return err
		}
	}
}

// collect makes one report of the workers'.
func (r *runner) collect() {
	rep := &r.report
	rep.Packets, rep.Bytes = 0, 0
	for i, w := range r.shards.lanes {
		o := &w.report
		if c := r.chain(); c != nil && i > 0 {
			c.add(w.sides[0].chain)
		}
		rep.Packets += o.Packets
		rep.Bytes += o.Bytes
		rep.Insns += o.Insns
		rep.Changed += o.Changed
		rep.Truncated += o.Truncated
		rep.VLAN += o.VLAN
		rep.Faults += o.Faults
		rep.FaultExamples = append(rep.FaultExamples, o.FaultExamples...)
		rep.AbortedExamples = append(rep.AbortedExamples, o.AbortedExamples...)
		r.tally.add(&w.tally)
		if r.detail != nil {
			r.detail.merge(w.detail)
		}
	}
	rep.firstExamples()
	rep.CPUs = len(r.shards.lanes)
	rep.Shared = sharedMaps(r.shards.lanes[0].sides[0].maps)
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
