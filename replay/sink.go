package replay

import (
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// Exit is a packet as the program left it.
type Exit struct {
	Type     prog.Type // of the program
	Program  string    // of a Chain: whose verdict it is
	Number   uint64    // in the capture, from 1
	TS       int64     // ns since 1970, as captured: times may go back
	Data     []byte    // valid during the call only, at most 262144 bytes
	OrigLen  uint32    // length on the wire, changed as the program changed the packet's
	Link     uint32    // LINKTYPE_… number
	Ifindex  uint32    // interface that the packet came in by
	IfName   string    // "" when the capture does not say
	RxQueue  uint32
	Ret      uint32
	Verdict  string // name of Ret, "fault" when the program faulted
	Redirect uint32 // ifindex that a redirect sends the packet to, 0 when none
	RedirIn  bool   // it is to arrive there, not to leave
	RedirMap string // map that the redirect went through, "" when none
	// RedirName is the name of the interface that a redirect goes to, "" when the capture does not say.
	RedirName string
	// Copy numbers the copies of a packet that is sent to all of a devmap, from 0. Each is written, one after the other.
	Copy  int
	Fault error
	Nano  bool // some of the capture's times are finer than microseconds

	// Entry is the packet as the program got it, of the same link type as Data, and EntryLen its length on the wire.
	// Only for an EntrySink; valid during the call only.
	Entry    []byte
	EntryLen uint32
}

// Sink receives packets as programs leave them.
type Sink interface {
	Write(x *Exit) error
	// Close ends the output. Run does not call it.
	Close() error
}

// EntrySink is a Sink that may want packets as the programs got them, too.
type EntrySink interface {
	Sink
	// WantsEntry says whether Exit.Entry is to be set. It is asked once, before the first packet.
	WantsEntry() bool
}

// FlushSink is a Sink that keeps packets back for a while. Where the capture may make the replay wait, it is told to hand on what it has before that.
type FlushSink interface {
	Sink
	Flush() error
}

// flushSinks lets readers of the outputs see all packets so far.
func (r *runner) flushSinks() error {
	flush := func(sink Sink) error {
		if f, ok := sink.(FlushSink); ok {
			if err := f.Flush(); err != nil {
				return &Error{Reason: "output", Err: err}
			}
		}
		return nil
	}
	for _, sink := range r.o.Sinks {
		if err := flush(sink); err != nil {
			return err
		}
	}
	for i := range r.o.Filters {
		if err := flush(r.o.Filters[i].Sink); err != nil {
			return err
		}
	}
	return nil
}

func wantEntries(sinks []Sink) bool {
	return slices.ContainsFunc(sinks, func(s Sink) bool {
		e, ok := s.(EntrySink)
		return ok && e.WantsEntry()
	})
}

// faultVerdict is the verdict of packets that the program faulted on.
const faultVerdict = "fault"

// deliver hands a packet to the sinks. before is the packet as the program got it, when that was kept.
func (r *runner) deliver(i int, ctx uint32, p *packet, before []byte, ret uint32, fault error) error {
	s, typ := r.sides[0].space, r.typ
	var end *chainEnd
	if c := r.sides[0].chain; c != nil {
		end = &c.ends[i]
		ctx, typ = end.ctx, end.typ
	}
	x := &r.exit
	*x = Exit{} // then field by field: a whole literal is made elsewhere and copied
	x.Type, x.Number, x.TS, x.Ifindex, x.IfName = typ, p.in.Number, p.ts, p.in.Ifindex, p.iface.Name
	x.RxQueue, x.Ret, x.Link, x.Fault = p.in.RxQueue, ret, r.exitLink(p), fault
	if prog.ReadFrame(s, ctx, typ, &r.out) {
		x.Data = r.out.Data
	}
	wire := int64(p.wire) + int64(len(x.Data)) - int64(p.n)
	switch {
	case typ == prog.XDP && p.in.VlanPresent && !sends(ret) && !end.left():
		x.Data = r.withTag(x.Data, p.in.VlanProto, p.in.VlanTCI)
	case typ != prog.XDP && (r.isSKB || end != nil) && !r.l3:
		x.Data = r.putVLAN(ctx, x.Data)
	}
	wire += int64(len(x.Data) - len(r.out.Data))
	x.Data = x.Data[:min(len(x.Data), maxPacket)] // what is longer no reader takes
	x.OrigLen = uint32(max(wire, 0))
	if r.entries {
		r.entry(x, p, before)
	}
	if end != nil {
		x.Program, x.Redirect = end.decided.Name, end.to
	}
	if fault != nil {
		x.Ret, x.Verdict, x.Redirect = 0, faultVerdict, 0 // wherever it was on its way to
		r.interfaces(x)
		return r.write(x)
	}
	x.Verdict = r.verdictName(typ, ret)
	if redir := redirectVerdict(typ); ret == redir && redir != 0 {
		x.Redirect, x.RedirMap = r.target(r.out.Redirect)
		x.RedirIn = isIngress(r.out.Redirect)
		switch {
		case end != nil && len(end.copies) > 0:
			return r.writeCopies(x, end, p)
		case end == nil && r.out.Redirect.Kind == prog.RedirectBroadcast:
			return r.writeBroadcast(x, ctx)
		}
	}
	r.interfaces(x)
	return r.write(x)
}

// entry sets what a packet was before the program, its VLAN tag in it.
func (r *runner) entry(x *Exit, p *packet, before []byte) {
	x.Entry, x.EntryLen = before, p.wire
	if p.in.VlanPresent {
		r.tagged = putTag(r.tagged[:0], before, p.in.VlanProto, p.in.VlanTCI)
		x.Entry, x.EntryLen = r.tagged, p.wire+vlanLen
	}
}

// write gives a packet to the sinks.
func (r *runner) write(x *Exit) error {
	for _, sink := range r.o.Sinks {
		if err := sink.Write(x); err != nil {
			return &Error{Reason: "output", Err: err}
		}
	}
	return nil
}

// interfaces sets what the capture's interfaces say of a packet that leaves.
func (r *runner) interfaces(x *Exit) {
	for ; r.known < len(r.ifaces); r.known++ {
		r.nano = r.nano || r.ifaces[r.known].Nano
	}
	x.Nano = r.nano
	if x.Redirect == 0 {
		return
	}
	for name, ifindex := range r.o.Ifindex {
		if ifindex == x.Redirect && (x.RedirName == "" || name < x.RedirName) {
			x.RedirName = name
		}
	}
	if n := x.Redirect - 1; x.RedirName == "" && uint64(n) < uint64(len(r.ifaces)) && r.ifindex(n) == x.Redirect {
		x.RedirName = r.ifaces[n].Name
	}
}

type nameKey uint64 // program type and return value

// verdictName is Type.Verdict without an allocation for the usual values.
func (r *runner) verdictName(typ prog.Type, ret uint32) string {
	key := nameKey(typ)<<32 | nameKey(ret)
	if key == r.lastName && r.lastVerdict != "" {
		return r.lastVerdict
	}
	name, ok := r.names[key]
	if !ok {
		name = typ.Verdict(ret)
		if len(r.names) < maxVerdicts {
			r.names[key] = name
		}
	}
	r.lastName, r.lastVerdict = key, name
	return name
}

// exitLink is the link type of packets as they leave the program.
func (r *runner) exitLink(p *packet) uint32 {
	switch {
	case r.o.Convert == ConvertRaw:
		return uint32(p.link)
	case r.l3 || p.ip:
		return uint32(linktype.RawIP)
	}
	return uint32(linktype.Ethernet)
}

// sends reports whether an XDP verdict sends the packet: then a tag that the device took out is lost, as nothing hands it on.
func sends(ret uint32) bool { return ret == xdpTX || ret == xdpGoOn }

// putVLAN puts the tag that the ctx has back into the packet, as a capture at the interface would show it.
func (r *runner) putVLAN(ctx uint32, data []byte) []byte {
	s := r.sides[0].space
	if s.Load32(ctx+prog.SKBVlanPresent) == 0 {
		return data
	}
	proto, tci := uint16(s.Load32(ctx+prog.SKBVlanProto)), uint16(s.Load32(ctx+prog.SKBVlanTCI))
	return r.withTag(data, bits.ReverseBytes16(proto), tci) // the ctx has it in network order
}

// withTag is an Ethernet frame with a VLAN tag put in; one without a whole header is left as it is.
func (r *runner) withTag(data []byte, proto, tci uint16) []byte {
	if len(data) < etherLen {
		return data
	}
	r.scratch = putTag(r.scratch[:0], data, proto, tci)
	return r.scratch
}

// putTag appends an Ethernet frame to b with a VLAN tag in it.
func putTag(b, frame []byte, proto, tci uint16) []byte {
	b = append(b, frame[:12]...)
	b = binary.BigEndian.AppendUint16(b, proto)
	b = binary.BigEndian.AppendUint16(b, tci)
	return append(b, frame[12:]...)
}
