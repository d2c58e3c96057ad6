package replay

import (
	"cmp"
	"errors"
	"io"
	"math"
	"strings"
	"time"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

const (
	maxBatch   = 64      // frames: with their records they stay in the first-level cache
	countBatch = 1024    // packets that nothing is to be done with but counting
	slotsSize  = 2 << 20 // of all slots together, where packets are copied to slots
	maxPacket  = 262144  // bytes; captures have no longer ones
	headroom   = 256     // before a copied packet, as the kernel's
	tailroom   = 320     // behind it
)

// runner is the state of a replay.
type runner struct {
	o      *Options
	report Report
	tally  tally

	typ     prog.Type
	isSKB   bool
	plain   bool // see isPlain
	dealt   bool // a lane's: records come with the packet's time, and its number for an ID
	chained bool // the engines are chains
	keep    int  // bytes that are kept of a packet, from its first one on, to be compared or shown: those that programs may change
	l3      bool // the program runs in the IP layer
	redir   uint32

	filters *filters // nil without
	shards  *shards  // nil on one CPU
	dealing packet   // being dealt to a lane
	pacer   *pacer   // nil when nothing is to be waited for
	timers  bool     // programs set some: they fire between packets
	sides   []*side  // one or two
	loads   []*load  // on one CPU
	most    int      // packets of a batch
	source  source
	link    *linkRow
	convert func(chunk []byte, p *packet) skip // of the link; nil when there is nothing to do
	meta    bool                               // see metadata
	hashed  bool                               // packets have a hash
	facts   bool                               // a classic filter asks for more than bytes
	untag   bool                               // the outer VLAN tag goes to the ctx
	saved   []savedMaps                        // when each pass begins with them
	addBy   uint32                             // added to IP addresses: the number of the pass, from 0, when each has its own

	// Of the load that is worked on.
	chunk  []byte
	ifaces []pcap.Interface

	batch   []packet
	detail  *detail // nil unless asked for
	before  []byte  // copy of the batch's packets, when somebody asks for it
	out     prog.Output
	exit    Exit
	entries bool // sinks want packets as they were before the program
	tagged  []byte
	scratch []byte
	known   int  // interfaces of the capture that have been looked at
	nano    bool // one of them has times finer than microseconds

	lastName    nameKey // of the packet before
	lastVerdict string

	broadcast broadcaster
	names     map[nameKey]string
	converted []uint64 // by link type
	links     map[linktype.Type]uint64
	skipped   [skipReasons]uint64

	number       uint64 // of the last packet taken
	last         int64  // its time
	shift        int64  // added to times, from the second pass on
	passFirst    int64
	started      bool
	nextProgress uint64
}

func newRunner(o *Options) (*runner, error) {
	typ := o.Type
	r := &runner{o: o, typ: typ, isSKB: typ.Row().CtxName == "__sk_buff", l3: typ.MACLen() == 0, redir: redirectVerdict(typ)}
	r.tally, r.names = newTally(), map[nameKey]string{}
	r.converted = make([]uint64, int(linktype.SLL2)+1)
	r.chained = r.chain() != nil
	r.entries = wantEntries(o.Sinks)
	if o.counts() {
		r.onlyCounts()
		return r, nil
	}
	targets := []Target{o.Target}
	if o.Target.Engine != nil {
		r.report.Engine = o.Target.Engine.Name()
	}
	if o.Against != nil {
		targets = append(targets, *o.Against)
		r.report.Against = o.Against.Engine.Name()
	}
	r.looksAt(targets)
	r.saveMaps(targets)
	move := o.Truncated == TruncPad // a packet grows
	for _, t := range targets {
		move = move || t.Move || t.Machine.MovesPackets()
		r.keep = max(r.keep, r.keepFor(t.Machine))
		r.timers = r.timers || t.Machine.UsesTimers()
	}
	n := maxBatch
	if r.pacer = newPacer(o); r.timers || r.pacer != nil {
		n = 1 // any packet may set one that fires before the next
	}
	slot := slotFor(typ, targets)
	if move {
		n = min(n, slotsSize/int(slot))
	}
	if len(o.Others) > 0 {
		return r, r.shard(move, slot)
	}
	for i, t := range targets {
		s, err := newSide(t, o, n, move, slot)
		if err == nil && !move && i > 0 {
			s.chunk, err = s.alloc(chunkSize)
		}
		if err != nil {
			r.free()
			return nil, &Error{Reason: "guest memory for packets", Err: err}
		}
		if r.timers {
			s.cpu = t.Machine.CPU(t.CPU)
		}
		r.sides = append(r.sides, s)
	}
	if err := r.makeLoads(move, n); err != nil {
		r.free()
		return nil, &Error{Reason: "guest memory for packets", Err: err}
	}
	r.most, r.batch = n, make([]packet, 0, n)
	if o.Detail {
		r.detail = newDetail()
		r.sides[0].timed = r.detail
	}
	r.plain = r.isPlain()
	return r, nil
}

// onlyCounts makes what a replay without programs and filters needs: nothing in guest memory.
func (r *runner) onlyCounts() {
	r.links, r.most = map[linktype.Type]uint64{}, countBatch
	if r.pacer = newPacer(r.o); r.pacer != nil {
		r.most = 1
	}
	r.loads, _ = r.newLoads(nil, loadsFor(1), true) // it is guest memory that could fail
}

// slotFor is the size of a slot for packets of programs of a type.
func slotFor(typ prog.Type, targets []Target) uint32 {
	for _, t := range targets {
		if c, ok := t.Engine.(*Chain); typ != prog.XDP || ok && len(c.by[HookIngress]) > 0 {
			return prog.SKBBuffer + tailroom
		}
	}
	return prog.XDPBuffer
}

// keepFor is how many bytes of a packet are to be kept for the programs of a machine.
func (r *runner) keepFor(m *vm.Machine) int {
	switch {
	case r.entries:
		return maxPacket
	case !r.o.CountChanged:
		return 0
	case r.chained: // TC programs count from another byte on when a tag was taken out
		return btoi(m.PacketStores() > 0) * maxPacket
	}
	return int(min(m.PacketStores(), maxPacket))
}

// makeLoads makes what the pieces of the capture lie in, and the filters.
func (r *runner) makeLoads(move bool, n int) (err error) {
	if r.loads, err = r.newLoads(r.sides[0], loadsFor(1), move); err != nil {
		return err
	}
	r.filters, err = r.newFilters(r.sides[0], n)
	return err
}

// newFilters makes the filters, if there are any.
func (r *runner) newFilters(s *side, n int) (*filters, error) {
	if len(r.o.Filters) == 0 {
		return nil, nil
	}
	for i := range r.o.Filters {
		r.report.Filters = append(r.report.Filters, FilterCount{Name: r.o.Filters[i].Name})
	}
	return newFilters(r.o, s, n)
}

// shard makes a runner of several CPUs of r.
func (r *runner) shard(move bool, slot uint32) (err error) {
	if r.timers {
		return failure("a program that sets timers runs on one CPU")
	}
	if r.o.Detail {
		r.detail = newDetail()
	}
	if r.shards, err = newShards(r, move, slot); err != nil {
		return &Error{Reason: "guest memory for packets", Err: err}
	}
	r.filters, err = r.newFilters(r.shards.lanes[0].sides[0], maxBatch)
	return err
}

// newLane makes the runner of one of several CPUs of r.
func (r *runner) newLane(o *Options, s *side) *runner {
	w := &runner{o: o, dealt: true, typ: r.typ, isSKB: r.isSKB, l3: r.l3, meta: r.meta, untag: r.untag, keep: r.keep, redir: r.redir, sides: []*side{s}, names: map[nameKey]string{}}
	w.tally, w.entries = newTally(), r.entries
	if r.detail != nil {
		w.detail = newDetail()
		s.timed = w.detail
	}
	w.plain = w.isPlain() // found out now: a lane that runs a long packet is not to be looked at
	return w
}

// count is the number of the next packet.
func (r *runner) count() {
	r.number++
	if f := r.filters; f != nil {
		r.number, f.numbers = f.numbers[0], f.numbers[1:]
	}
}

// redirectVerdict is the return value that makes a packet go where a redirect helper said; 0 is none.
func redirectVerdict(t prog.Type) uint32 {
	switch t {
	case prog.XDP:
		return 4 // XDP_REDIRECT
	case prog.SchedCLS, prog.SchedACT, prog.LWTXmit:
		return 7 // TC_ACT_REDIRECT, BPF_REDIRECT
	}
	return 0
}

func (r *runner) free() {
	for _, s := range r.sides {
		s.free()
	}
	if r.shards != nil {
		r.shards.free()
	}
}

// run makes the passes.
func (r *runner) run() error {
	start := time.Now()
	defer func() { r.report.Elapsed = time.Since(start) }()
	for pass := range max(r.o.Loop, 1) {
		if pass > 0 {
			if err := r.rewind(); err != nil {
				return err
			}
		}
		err := r.pass()
		if err == errLimit {
			break
		}
		if err != nil {
			return err
		}
	}
	if r.timers && r.started {
		if err := r.fireTimers(uint64(max(r.last, 0)) + r.o.After); err != nil {
			return err
		}
	}
	if len(r.sides) == 2 && r.o.Difference == nil {
		return r.compareMaps()
	}
	return nil
}

// errLimit says that Options.Limit is reached.
var errLimit = errors.New("limit reached")

// rewind goes back to the start of the capture; times go on 1 us after the last packet.
func (r *runner) rewind() error {
	if s, ok := r.o.Input.(io.Seeker); ok {
		if _, err := s.Seek(0, io.SeekStart); err != nil {
			return &Error{Reason: "rewind", Err: err}
		}
	}
	if r.started {
		r.shift = r.last - r.passFirst
		if r.shift < 0 || r.shift > math.MaxInt64-1000 {
			r.shift = math.MaxInt64 - 1000
		}
		r.shift += 1000
	}
	if r.o.LoopAddresses {
		r.addBy++
	}
	r.resetMaps()
	return nil
}

// shifted is the time of a packet in this pass. The last time that there is, in 2262, stays.
func (r *runner) shifted(ts int64) int64 {
	if ts > math.MaxInt64-r.shift {
		return math.MaxInt64
	}
	return ts + r.shift
}

// end says what the end of a source means: nothing, damage that is to be tolerated, or an error.
func (r *runner) end(err error) error {
	if r.stopped() {
		return ErrStopped // which ends a followed file, too
	}
	var damage *CaptureError
	if err == io.EOF {
		return nil
	}
	if r.o.Tolerant && errors.As(err, &damage) {
		r.report.Damage = append(r.report.Damage, strings.Split(err.Error(), "\n")...)
		return nil
	}
	return err
}

func (r *runner) stopped() bool {
	select {
	case <-r.o.Stop:
		return true
	default:
		return false
	}
}

func (r *runner) progress() {
	if r.report.Packets < r.nextProgress {
		return
	}
	p := Progress{Packets: r.report.Packets, Bytes: r.report.Bytes}
	p.Read, p.Size = r.source.Consumed()
	r.o.Progress(p)
	r.nextProgress = r.report.Packets + 1<<14
}

// records runs a batch of records.
func (r *runner) records(recs []pcap.Record) (err error) {
	switch {
	case r.o.Target.Engine == nil:
		return r.onlyFilter(recs)
	case r.filters != nil:
		if recs, err = r.filter(recs); err != nil {
			return err
		}
	}
	if r.plain {
		n, err := r.runPlain(recs)
		if err != nil || n == len(recs) {
			return err
		}
		recs = recs[n:]
	}
	r.batch = r.batch[:0]
	for i := range recs {
		r.batch = r.batch[:len(r.batch)+1]
		p := &r.batch[len(r.batch)-1]
		why, err := r.prepare(&recs[i], p)
		if err != nil {
			return err
		}
		if why != skipNot {
			r.skipped[why]++
			r.batch = r.batch[:len(r.batch)-1]
			continue
		}
		r.report.Packets++
		r.report.Bytes += uint64(p.n)
		if r.isLarge(p) {
			long := *p
			r.batch = r.batch[:len(r.batch)-1]
			if err := r.flush(); err != nil {
				return err
			}
			r.batch = append(r.batch[:0], long)
			if err := r.runLarge(); err != nil {
				return err
			}
			r.batch = r.batch[:0]
		}
	}
	return r.flush()
}

// isLarge reports whether a packet needs a slot of its own.
func (r *runner) isLarge(p *packet) bool {
	return r.copies() && p.n > int(r.sides[0].slot)-headroom-tailroom
}

// copies reports whether packets are copied to slots.
func (r *runner) copies() bool { return r.sides[0].slots != 0 }

// prepare makes of a record what the program's hook would get.
func (r *runner) prepare(rec *pcap.Record, p *packet) (skip, error) {
	r.count()
	p.off, p.n, p.wire, p.pad, p.ip, p.mac = int(rec.Off)+linkRoom, int(rec.CapLen), rec.OrigLen, 0, false, false
	p.link, p.ts = rec.Link, r.shifted(rec.TS)
	if len(r.o.Sinks) > 0 {
		p.iface = &r.ifaces[rec.Iface]
	}
	in := &p.in
	if r.isSKB || r.chained || r.meta || r.facts { // XDP alone sees no more than what is set here
		*in = prog.Input{}
	}
	in.Number, in.Time, in.Ifindex, in.RxQueue = r.number, r.clock(rec.TS), r.ifindex(rec.Iface), 0
	if rec.Has&pcap.HasQueue != 0 {
		in.RxQueue, in.QueueMapping = rec.Queue, rec.Queue+1 // skb_record_rx_queue
	}
	if rec.CapLen < rec.OrigLen {
		r.report.Truncated++
		if r.o.Truncated == TruncSkip {
			return skipTruncated, nil
		}
	}
	if r.o.Convert != ConvertRaw {
		if why, err := r.linkLayer(rec, p); why != skipNot || err != nil {
			return why, err
		}
	} else if r.facts {
		r.classic(rec, p)
	}
	if r.o.Truncated == TruncPad {
		return r.padOut(p), nil
	}
	return skipNot, nil
}

// linkLayer makes the packet's link layer what the program's hook would get, and takes from it what goes to the ctx.
func (r *runner) linkLayer(rec *pcap.Record, p *packet) (skip, error) {
	if r.link == nil || r.link.typ != rec.Link {
		if err := r.setLink(rec.Link); err != nil {
			return skipNot, err
		}
	}
	if r.convert != nil {
		if why := r.convert(r.chunk, p); why != skipNot {
			return why, nil
		}
		if p.ip {
			r.noLinkLayer(rec, p)
			return skipNot, nil
		}
		r.converted[rec.Link]++
	}
	if p.n < etherLen {
		return skipShort, nil
	}
	if r.meta || r.addBy > 0 {
		proto, at := behindTags(p.captured(r.chunk))
		r.metadata(rec, p, proto, at)
	}
	if p.mac = r.link.mac; p.mac && (r.isSKB || r.chained) {
		p.in.PktType = pktType(rec, r.chunk[p.off:])
	}
	if r.isSKB && r.l3 {
		return toIP(r.chunk, p), nil
	}
	if r.untag && takeVLAN(r.chunk, p) {
		r.report.VLAN++
	}
	return skipNot, nil
}

// setLink looks up a link type, or refuses it.
func (r *runner) setLink(t linktype.Type) error {
	row := linkOf(t)
	bare := row != nil && row.bare != nil && r.o.L2 == L2None
	switch {
	case row == nil:
		return failure("packet %d: no program hook sees link type %s; ConvertRaw runs on the bytes as they are", r.number, t)
	case row.convert != nil && !bare && r.o.Convert == ConvertNone:
		return failure("packet %d: link type %s is not Ethernet, and conversion is off", r.number, t)
	}
	r.link, r.convert = row, row.convert
	if bare {
		r.convert = row.bare
	}
	return nil
}

// clock is the packet's time: never before that of the packet before it.
func (r *runner) clock(ts int64) uint64 {
	ts = r.shifted(ts)
	if !r.started {
		r.started, r.passFirst, r.last = true, ts, ts
		r.report.FirstNS = ts
	}
	if ts < r.last {
		r.report.ClockBack++
		ts = r.last
	}
	r.last, r.report.LastNS = ts, ts
	return uint64(max(ts, 0))
}

func (r *runner) ifindex(n uint32) uint32 {
	if len(r.o.Ifindex) > 0 {
		if i, ok := r.o.Ifindex[r.ifaces[n].Name]; ok {
			return i
		}
	}
	return n + 1
}

// flush runs the batch and accounts for it.
func (r *runner) flush() error {
	if len(r.batch) == 0 {
		return nil
	}
	if r.timers {
		if err := r.fireTimers(r.batch[0].in.Time); err != nil {
			return err
		}
	}
	r.remember()
	for _, s := range r.sides {
		r.frames(s)
	}
	ran, stop := len(r.batch), error(nil)
	for _, s := range r.sides {
		n, err := s.run(len(r.batch), r.o.StopOnFault)
		if ran = min(ran, n); err != nil {
			stop = err
		}
	}
	for i := ran; i < len(r.batch); i++ {
		r.report.Packets--
		r.report.Bytes -= uint64(r.batch[i].n)
	}
	r.batch = r.batch[:ran]
	return cmp.Or(r.account(), stop)
}

// maxTimerFaults ends a replay in which callbacks that fault keep coming between two packets.
const maxTimerFaults = 1000

// fireTimers lets timers fire that are set for now or before. A fault of a callback counts as one of the packet that comes next.
func (r *runner) fireTimers(now uint64) error {
	ran := [2]int{}
	for i, s := range r.sides {
		for faults := 0; ; faults++ {
			n, err := s.cpu.RunTimers(now)
			ran[i] += n
			if err == nil {
				break
			}
			if i == 0 {
				r.fault(r.number, err)
			}
			var f *vm.Fault
			if r.o.StopOnFault || faults == maxTimerFaults || !errors.As(err, &f) {
				return err
			}
		}
	}
	r.report.Timers += uint64(ran[0])
	if len(r.sides) == 2 && r.o.Difference == nil && ran[0] != ran[1] {
		return r.mismatch(r.number, "number of timers", ran[0], ran[1])
	}
	return nil
}

// runLarge runs the batch's only packet, which is too long for a slot, in one that is made for it.
func (r *runner) runLarge() error {
	for _, s := range r.sides {
		if s.large == 0 {
			large, err := s.alloc(headroom + linkRoom + maxPacket + tailroom)
			if err != nil {
				return &Error{Reason: "guest memory for a long packet", Err: err}
			}
			s.large = large
		}
		slots, slot := s.slots, s.slot
		s.slots, s.slot = s.large, headroom+linkRoom+maxPacket+tailroom
		defer func() { s.slots, s.slot = slots, slot }()
	}
	return r.flush()
}

// remember copies the batch's bytes, to compare with later.
func (r *runner) remember() {
	if r.keep == 0 {
		return
	}
	r.before = r.before[:0]
	for i := range r.batch {
		p := &r.batch[i]
		n := min(p.n, r.keep)
		have := min(n, p.n-p.pad)
		r.before = append(append(r.before, r.chunk[p.off:p.off+have]...), make([]byte, n-have)...)
	}
}

// frames puts the batch into the guest memory of a side.
func (r *runner) frames(s *side) {
	ctx := s.frames
	if s.chain != nil {
		s.chain.batch = r.batch
	}
	for i := range r.batch {
		p := &r.batch[i]
		p.in.WireLen = p.wire
		var data, head, limit uint32
		if s.slots != 0 {
			base := s.slots + uint32(i)*s.slot
			head, data, limit = base, base+headroom, base+s.slot-tailroom
			if r.typ == prog.XDP {
				head += prog.XDPFrameSize
				if end := base + prog.XDPBuffer - tailroom; s.chain != nil && data+uint32(p.n) <= end {
					limit = min(limit, end) // slots that TC uses, too, are longer than what a driver has
				}
			}
		} else {
			data = s.chunk + uint32(p.off)
			head, limit = data, data+uint32(p.n)
		}
		if s.slots != 0 || s != r.sides[0] {
			dst, ok := s.space.Bytes(data, uint32(p.n))
			if !ok {
				panic("replay: packet outside of guest memory that was allocated for it")
			}
			clear(dst[copy(dst, p.captured(r.chunk)):])
		}
		if s == r.sides[0] {
			p.addr = data
		}
		prog.SetFrame(s.space, ctx, r.typ, head, data, data+uint32(p.n), limit, &p.in)
		if r.meta && r.typ == prog.XDP {
			prog.SetRxMetadata(s.space, ctx, &p.in)
		}
		ctx += s.stride
	}
}

// account counts what the batch's frames say, and delivers the packets. What a sink fails with comes at the end, so that all is counted.
func (r *runner) account() (failed error) {
	s := r.sides[0]
	ctx, before := s.frames, r.before
	for i := range r.batch {
		p := &r.batch[i]
		if len(r.sides) == 2 {
			if err := r.compare(i, p); err != nil {
				return err
			}
		}
		was := before[:min(p.n, r.keep)]
		before = before[len(was):]
		if r.o.CountChanged && r.keep > 0 && r.isChanged(i, ctx, p.n, was) {
			r.report.Changed++
		}
		ret, err := uint32(0), s.failed[i]
		if err != nil {
			r.fault(p.in.Number, err)
			if r.detail != nil {
				r.detail.fault(r.report.FirstNS, int64(p.in.Time))
			}
		} else {
			insns := s.space.Load64(offset(s.left(i, ctx), prog.FrameInsns))
			r.report.Insns += insns
			if s.chain != nil {
				ret = r.chainVerdict(i, uint64(p.n))
			} else {
				ret = r.verdict(s, ctx, uint64(p.n))
			}
			if r.detail != nil {
				r.detail.packet(r.report.FirstNS, int64(p.in.Time), s.leftType(i, r.typ), ret, insns)
			}
		}
		if len(r.o.Sinks) > 0 && failed == nil {
			failed = r.deliver(i, ctx, p, was, ret, err)
		}
		ctx += s.stride
	}
	return failed
}

// verdict counts the verdict on a packet of n bytes, and returns it.
func (r *runner) verdict(s *side, ctx uint32, n uint64) uint32 {
	ret := s.space.Load32(offset(ctx, prog.FrameRet))
	r.tally.verdict(ret, n)
	if ret == xdpAborted && r.typ == prog.XDP {
		r.aborted(s.space.Load64(offset(ctx, prog.FrameNumber)), "", "")
	}
	if ret == r.redir && r.redir != 0 {
		r.countRedirect(s, ctx)
	}
	return ret
}

func offset(ctx uint32, field int32) uint32 { return ctx + uint32(field) }

func readRedirect(s *mem.Space, ctx uint32) prog.Redirect {
	return prog.Redirect{
		Kind: s.Load32(offset(ctx, prog.FrameRedirKind)), To: s.Load32(offset(ctx, prog.FrameRedirTo)),
		Map: s.Load32(offset(ctx, prog.FrameRedirMap)), Key: s.Load32(offset(ctx, prog.FrameRedirKey)),
	}
}

// isIngress reports whether a redirect lets the packet arrive on the interface that it goes to.
func isIngress(to prog.Redirect) bool {
	return to.Kind == prog.RedirectPeer || to.Kind == prog.RedirectIfindex && to.Key&redirectIngress != 0
}

// target says what a redirect means: an interface, unless the map is not of devices, and the map's name.
func (r *runner) target(to prog.Redirect) (ifindex uint32, mapName string) {
	if to.Kind != prog.RedirectMap && to.Kind != prog.RedirectBroadcast {
		return to.To, ""
	}
	m := r.sides[0].maps.Get(to.Map)
	if m == nil {
		return 0, ""
	}
	if t := m.Spec().Type; t == maps.DevMap || t == maps.DevMapHash {
		ifindex = to.To
	}
	return ifindex, m.Spec().Name
}
