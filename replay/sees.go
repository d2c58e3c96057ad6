package replay

import (
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// What a program sees of a packet beside its bytes: hash and queue, as a network device gives them, and a VLAN tag that it takes out.

// MaxQueues is how many receive queues an interface has at most.
const MaxQueues = 1<<16 - 1

// checkSees refuses options about what a program sees where they say nothing.
func (o *Options) checkSees() error {
	for _, option := range []struct {
		name string
		set  bool
		raw  bool // it has a meaning for bytes as they are
	}{
		{"packets that are not Ethernet", o.Convert == ConvertNone, false},
		{"packets without a link layer", o.L2 != L2Fake, false},
		{"VLAN tags that a device takes out", o.RxVLAN, false},
		{"VLAN tags that are kept", o.KeepVLAN && o.Target.Engine == nil, true},
		{"receive queues", o.Queues != 0, false},
		{"other addresses in each pass", o.LoopAddresses, false},
		{"packets that were captured in part", o.Truncated != TruncShort, true},
		{"maps that begin anew", o.ResetMaps, true},
	} {
		switch {
		case option.set && o.Target.Engine == nil:
			return failure("%s: without a program packets stay as they were captured, and there are no maps", option.name)
		case option.set && !option.raw && (o.Convert == ConvertRaw || o.Type == prog.Classic):
			return failure("%s: not when a program runs on the bytes as they are", option.name)
		}
	}
	switch {
	case o.RxVLAN && o.KeepVLAN:
		return failure("VLAN tags that are kept, and that a device takes out")
	case o.Queues < 0 || o.Queues > MaxQueues:
		return failure("%d receive queues: at most %d", o.Queues, MaxQueues)
	case (o.LoopAddresses || o.ResetMaps) && o.Loop < 2:
		return failure("other addresses in each pass, or maps that begin anew, of one pass")
	}
	return nil
}

// looksAt finds out what programs may look at beside the packets' bytes: only that is made.
func (r *runner) looksAt(targets []Target) {
	o := r.o
	if o.Target.Engine == nil {
		return
	}
	for _, t := range targets {
		r.hashed = r.hashed || t.Machine.ReadsHash()
		r.facts = r.facts || r.typ == prog.Classic && t.Machine.LoadsCtx(prog.ClassicNetOff, prog.Classic.Row().CtxSize)
	}
	if o.Convert == ConvertRaw {
		return
	}
	r.hashed = r.hashed || o.Queues > 1
	switch {
	case r.typ == prog.XDP, r.typ == prog.SocketFilter:
		r.untag = o.RxVLAN
	case r.isSKB:
		r.untag = !o.KeepVLAN
	}
	r.meta = r.hashed || o.Queues > 0 || o.RxVLAN || o.L2 == L2None
}

// metadata makes what goes with a packet whose payload behind the link layer is proto's, and begins at distance at.
func (r *runner) metadata(rec *pcap.Record, p *packet, proto uint16, at int) {
	b, in := p.captured(r.chunk)[at:], &p.in
	if r.addBy > 0 {
		readdress(proto, b, r.addBy)
	}
	if r.hashed {
		in.Hash, in.HashType = rssHash(proto, b)
	}
	if r.o.Queues > 0 && rec.Has&pcap.HasQueue == 0 {
		in.RxQueue = in.Hash % uint32(r.o.Queues)
		in.QueueMapping = in.RxQueue + 1
	}
}

// noLinkLayer is for a packet that begins with its IP header (Linux: netif_receive_generic_xdp and eth_type_trans have no part in it).
func (r *runner) noLinkLayer(rec *pcap.Record, p *packet) {
	proto := versionOf(r.chunk[p.off])
	r.metadata(rec, p, proto, 0)
	p.in.Protocol, p.in.NoMAC = proto, true
}

// padOut makes a packet as long as it was on the wire.
func (r *runner) padOut(p *packet) skip {
	switch {
	case int64(p.wire) <= int64(p.n):
		return skipNot
	case p.wire > maxPacket:
		return skipLong
	}
	p.pad, p.n = int(p.wire)-p.n, int(p.wire)
	r.report.Padded++
	return skipNot
}

// saveMaps notes what the maps hold before the first packet.
func (r *runner) saveMaps(targets []Target) {
	if !r.o.ResetMaps {
		return
	}
	for _, t := range targets {
		r.saved = append(r.saved, savedMaps{t.Machine, t.Machine.SaveMaps()})
	}
}

// savedMaps is what the maps of a machine held.
type savedMaps struct {
	machine *vm.Machine
	state   *vm.MapState
}

// resetMaps gives the maps back what they held.
func (r *runner) resetMaps() {
	for _, s := range r.saved {
		s.machine.RestoreMaps(s.state)
	}
}
