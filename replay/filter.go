package replay

import (
	"encoding/binary"
	"strings"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Filter is a classic filter that packets are shown to as they were captured, before anything is converted.
type Filter struct {
	Name string
	// Compile gives the filter for packets of a link type as a program of type prog.Classic, on the machine and CPU of
	// Options.Target. It is asked once for each link type of the capture; bigEndian says that a machine of that order
	// wrote linktype.Null's address families.
	Compile func(link linktype.Type, bigEndian bool) (vm.Engine, error)
	// Sink, unless it is nil, receives the packets that match, as they were captured.
	Sink Sink
}

// FilterCount is how many packets a filter let through.
type FilterCount struct {
	Name    string `json:"name"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"` // captured
}

// MaxFilters is how many filters a replay has at most.
const MaxFilters = 64

// filters are the filters of a replay, and the frames that they share.
type filters struct {
	list    []Filter
	base    uint32 // guest address of the load's buffer
	frames  uint32 // ctx of the first frame
	guest   []byte // the frames, from the first one's header on
	stride  uint32
	engines map[filterLink][]vm.Engine
	last    filterLink // the link of the packet before
	current []vm.Engine
	matched []uint64 // by record: the filters that match, by bit
	numbers []uint64 // of the records that are left, in the capture
	seen    uint64   // packets of the capture
	names   map[uint64]string
}

type filterLink struct {
	link linktype.Type
	big  bool
}

// newFilters makes frames for batches of n records in the guest memory of a side.
func newFilters(o *Options, s *side, n int) (*filters, error) {
	f := &filters{list: o.Filters, stride: prog.FrameStride(prog.Classic.Row().CtxSize), engines: map[filterLink][]vm.Engine{},
		matched: make([]uint64, n), names: map[uint64]string{}}
	addr, err := s.alloc(f.stride * uint32(n))
	if err != nil {
		return nil, err
	}
	f.frames = addr + prog.FrameHeader
	f.guest, _ = s.space.Bytes(addr, f.stride*uint32(n))
	clear(f.guest) // what a capture does not know is 0, and no filter writes there
	return f, nil
}

// enginesFor are the filters for a link type.
func (f *filters) enginesFor(key filterLink) ([]vm.Engine, error) {
	if f.current != nil && key == f.last {
		return f.current, nil
	}
	list, ok := f.engines[key]
	if !ok {
		for i := range f.list {
			e, err := f.list[i].Compile(key.link, key.big)
			if err != nil {
				return nil, &Error{Reason: "filter " + f.list[i].Name + " for link type " + key.link.String(), Err: err}
			}
			list = append(list, e)
		}
		f.engines[key] = list
	}
	f.last, f.current = key, list
	return list, nil
}

// match runs the filters of a link type over the records from first on that are of it, says in f.matched which of them match what, and returns how many
// records those are.
func (r *runner) match(recs []pcap.Record, first int) (int, error) {
	f, key := r.filters, r.filterLink(&recs[first])
	engines, err := f.enginesFor(key)
	if err != nil {
		return 0, err
	}
	if r.report.Engine == "" {
		r.report.Engine = engines[0].Name()
	}
	frames := f.guest[uint32(first)*f.stride:]
	n := 0
	for i := range recs[first:] {
		rec := &recs[first+i]
		if rec.Link != key.link || key.link == linktype.Null && r.filterLink(rec) != key {
			break
		}
		ctx := frames[uint32(i)*f.stride+prog.FrameHeader:][:prog.ClassicWireLen+4]
		data := f.base + rec.Off
		binary.LittleEndian.PutUint64(ctx[prog.ClassicData:], uint64(data)|uint64(data+rec.CapLen)<<32)
		binary.LittleEndian.PutUint32(ctx[prog.ClassicWireLen:], rec.OrigLen)
		n++
	}
	matched := f.matched[first : first+n]
	clear(matched)
	for bit, e := range engines {
		if _, err := e.RunBatch(f.frames+uint32(first)*f.stride, f.stride, n); err != nil {
			return 0, &Error{Reason: "filter " + f.list[bit].Name, Err: err}
		}
		for i := range matched {
			if binary.LittleEndian.Uint32(frames[int(uint32(i)*f.stride)+prog.FrameHeader+prog.FrameRet:]) != 0 {
				matched[i] |= 1 << bit
			}
		}
	}
	return n, nil
}

// filter shows records to the filters, counts and delivers what matches, and returns the records that any filter lets
// through, moved together.
func (r *runner) filter(recs []pcap.Record) ([]pcap.Record, error) {
	f := r.filters
	for first := 0; first < len(recs); {
		n, err := r.match(recs, first)
		if err != nil {
			return nil, err
		}
		first += n
	}
	kept := recs[:0]
	f.numbers = f.numbers[:0]
	for i, m := range f.matched[:len(recs)] {
		if m == 0 {
			continue
		}
		rec, number := recs[i], f.seen+uint64(i)+1
		for n := range f.list {
			if m>>n&1 == 0 {
				continue
			}
			c := &r.report.Filters[n]
			c.Packets++
			c.Bytes += uint64(rec.CapLen)
			if sink := f.list[n].Sink; sink != nil {
				if err := r.deliverRaw(sink, &rec, number, f.list[n].Name); err != nil {
					return nil, err
				}
			}
		}
		f.matched[len(kept)] = m
		f.numbers = append(f.numbers, number)
		kept = append(kept, rec)
	}
	f.seen += uint64(len(recs))
	r.report.Seen += uint64(len(recs))
	return kept, nil
}

func (r *runner) filterLink(rec *pcap.Record) filterLink {
	key := filterLink{link: rec.Link}
	if rec.Link == linktype.Null {
		key.big = r.ifaces[rec.Iface].BigEndian
	}
	return key
}

// deliverRaw hands a packet to a sink as it was captured; the verdict are the names of the filters.
func (r *runner) deliverRaw(sink Sink, rec *pcap.Record, number uint64, verdict string) error {
	iface := &r.ifaces[rec.Iface]
	x := &r.exit
	off := int(rec.Off) + linkRoom
	*x = Exit{Type: prog.Classic, Number: number, TS: r.shifted(rec.TS), Data: r.chunk[off : off+int(rec.CapLen)], OrigLen: rec.OrigLen,
		Link: uint32(rec.Link), Ifindex: r.ifindex(rec.Iface), IfName: iface.Name, Ret: 1, Verdict: verdict}
	if rec.Has&pcap.HasQueue != 0 {
		x.RxQueue = rec.Queue
	}
	x.Entry, x.EntryLen = x.Data, x.OrigLen
	r.interfaces(x)
	if err := sink.Write(x); err != nil {
		return &Error{Reason: "output", Err: err}
	}
	return nil
}

// name is that of a set of filters.
func (f *filters) name(matched uint64) string {
	if s, ok := f.names[matched]; ok {
		return s
	}
	var list []string
	for n := range f.list {
		if matched>>n&1 != 0 {
			list = append(list, f.list[n].Name)
		}
	}
	s := strings.Join(list, " and ")
	if len(f.names) < maxVerdicts {
		f.names[matched] = s
	}
	return s
}

// counts reports whether there is neither a program nor a filter.
func (o *Options) counts() bool { return o.Target.Engine == nil && len(o.Filters) == 0 }

// onlyFilter accounts for a batch that no program runs on: all packets of the capture count, those that match go to the
// sinks.
func (r *runner) onlyFilter(recs []pcap.Record) error {
	bytes := uint64(0)
	for i := range recs {
		rec := &recs[i]
		r.clock(rec.TS)
		bytes += uint64(rec.CapLen)
		if rec.CapLen < rec.OrigLen {
			r.report.Truncated++
		}
	}
	r.report.Packets += uint64(len(recs))
	r.report.Bytes += bytes
	if r.filters == nil {
		return r.copyAll(recs)
	}
	kept, err := r.filter(recs)
	if err != nil {
		return err
	}
	for i := range kept {
		for _, sink := range r.o.Sinks {
			if err := r.deliverRaw(sink, &kept[i], r.filters.numbers[i], r.filters.name(r.filters.matched[i])); err != nil {
				return err
			}
		}
	}
	return nil
}

// copyAll counts packets by link type and hands them to the sinks.
func (r *runner) copyAll(recs []pcap.Record) error {
	for i := 0; i < len(recs); {
		first := i
		for i < len(recs) && recs[i].Link == recs[first].Link {
			i++
		}
		r.links[recs[first].Link] += uint64(i - first)
	}
	if len(r.o.Sinks) == 0 {
		r.number += uint64(len(recs))
		return nil
	}
	for i := range recs {
		r.number++
		for _, sink := range r.o.Sinks {
			if err := r.deliverRaw(sink, &recs[i], r.number, ""); err != nil {
				return err
			}
		}
	}
	return nil
}
