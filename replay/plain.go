package replay

import (
	"bytes"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// isPlain reports whether XDP and TC packets may go to the program as they lie in the chunk, with verdicts counted and nothing
// else asked: then they need no packet of their own between the record and the frame. It takes two fifths off the time that
// a replay spends outside the kernel.
func (r *runner) isPlain() bool {
	o := r.o
	return (r.typ == prog.XDP || r.typ == prog.SchedCLS || r.typ == prog.SchedACT) && o.Convert != ConvertRaw && len(r.sides) == 1 && r.chain() == nil && !r.copies() && len(o.Sinks) == 0 && !o.Detail && o.Truncated == TruncShort && !o.LoopAddresses && !r.meta && !r.timers
}

// runPlain runs the records before the first that isn't plain and returns how many those are.
func (r *runner) runPlain(recs []pcap.Record) (int, error) {
	s := r.sides[0]
	n := r.plainFrames(s, recs)
	if n == 0 {
		return 0, nil
	}
	if r.keep > 0 {
		r.keepPlain(recs[:n])
	}
	ran, err := s.run(n, r.o.StopOnFault)
	r.accountPlain(s, recs[:ran])
	if r.keep > 0 {
		r.countChanged(recs[:ran])
	}
	return n, err
}

// head is what is kept of a packet.
func (r *runner) head(rec *pcap.Record) []byte {
	from := linkRoom + rec.Off
	return r.chunk[from : from+min(rec.CapLen, uint32(r.keep))]
}

// keepPlain copies what programs may change of the packets.
func (r *runner) keepPlain(recs []pcap.Record) {
	r.before = r.before[:0]
	for i := range recs {
		r.before = append(r.before, r.head(&recs[i])...)
	}
}

// countChanged counts the packets that are not what they were.
func (r *runner) countChanged(recs []pcap.Record) {
	before := r.before
	for i := range recs {
		now := r.head(&recs[i])
		if !bytes.Equal(now, before[:len(now)]) {
			r.report.Changed++
		}
		before = before[len(now):]
	}
}

// notPlain says of a record that there is more to be done to make a packet of it, or none comes of it.
func notPlain(rec *pcap.Record) bool { return rec.Link != linktype.Ethernet || rec.CapLen < etherLen }

// areEthernet reports whether all records are plain, but for those that are skipped because they are short.
func areEthernet(recs []pcap.Record) bool {
	for i := range recs {
		if recs[i].Link != linktype.Ethernet {
			return false
		}
	}
	return true
}

// plainFrames makes frames of the records before the first that isn't a whole Ethernet header or more.
func (r *runner) plainFrames(s *side, recs []pcap.Record) int {
	var in prog.Input
	ctx := s.frames
	for i := range recs {
		rec := &recs[i]
		if notPlain(rec) {
			return i
		}
		if in.Number, in.Time = rec.ID, uint64(rec.TS); !r.dealt {
			r.count()
			in.Number, in.Time = r.number, r.clock(rec.TS)
		}
		in.Ifindex, in.RxQueue, in.QueueMapping = r.ifindex(rec.Iface), 0, 0
		if rec.Has&pcap.HasQueue != 0 {
			in.RxQueue, in.QueueMapping = rec.Queue, rec.Queue+1
		}
		if rec.CapLen < rec.OrigLen {
			r.report.Truncated++
		}
		if r.isSKB {
			r.receive(rec, &in)
		}
		in.WireLen = rec.OrigLen
		data := s.chunk + linkRoom + rec.Off
		prog.SetFrame(s.space, ctx, r.typ, data, data, data+rec.CapLen, data+rec.CapLen, &in)
		ctx += s.stride
	}
	return len(recs)
}

// receive finds out what an sk_buff says of a packet; a tag that the kernel would take out is no part of the record any more.
func (r *runner) receive(rec *pcap.Record, in *prog.Input) {
	from := linkRoom + rec.Off
	b := r.chunk[from : from+rec.CapLen]
	in.PktType, in.VlanPresent = pktType(rec, b), false
	if r.untag && untag(b, in) {
		rec.Off += vlanLen
		rec.CapLen -= vlanLen
		rec.OrigLen = max(rec.OrigLen, vlanLen) - vlanLen
		r.report.VLAN++
	}
}

// accountPlain counts what the frames of records that ran say.
func (r *runner) accountPlain(s *side, recs []pcap.Record) {
	ctx, insns, bytes := s.frames, uint64(0), uint64(0)
	for i := range recs {
		bytes += uint64(recs[i].CapLen)
		if err := s.failed[i]; err != nil {
			r.fault(s.space.Load64(offset(ctx, prog.FrameNumber)), err)
		} else {
			insns += s.space.Load64(offset(ctx, prog.FrameInsns))
			r.verdict(s, ctx, uint64(recs[i].CapLen))
		}
		ctx += s.stride
	}
	r.report.Packets += uint64(len(recs))
	r.report.Bytes += bytes
	r.report.Insns += insns
}
