package replay

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"math/bits"
	"slices"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// A packet that bpf_redirect_map sends to all of a devmap (BPF_F_BROADCAST) leaves in as many copies as the map has devices. Each counts as a
// redirect and goes to the sinks; in a chain each comes by the program of its own element.

// excludeIngress is BPF_F_EXCLUDE_INGRESS, in the key of a broadcast.
const excludeIngress = 1 << 4

// device is an element of a devmap.
type device struct {
	key, ifindex uint32
	element      uint32 // names its program, 0 is none: ChainProgram.Element
}

// broadcaster lists devices.
type broadcaster struct {
	list []device
	key  [4]byte
}

// devices are those that the packet at ctx goes to by a broadcast, in the order in which the kernel sends (dev_map_enqueue_multi): an
// array's by key, a hash's by bucket.
//
// Deviation: the kernel sends those of one bucket in the opposite order of their coming there; here it is that of their keys.
func (b *broadcaster) devices(s *mem.Space, table *maps.Table, ctx uint32, to prog.Redirect) []device {
	b.list = b.list[:0]
	m := table.Get(to.Map)
	if m == nil {
		return nil
	}
	spec := m.Spec()
	if spec.Type == maps.DevMapHash {
		for key := range m.All() {
			b.add(s, m, binary.LittleEndian.Uint32(key))
		}
		mask := uint32(1)<<bits.Len32(spec.MaxEntries-1) - 1
		slices.SortFunc(b.list, func(x, y device) int { return cmp.Or(cmp.Compare(x.key&mask, y.key&mask), cmp.Compare(x.key, y.key)) })
	} else {
		for key := range spec.MaxEntries {
			b.add(s, m, key)
		}
	}
	if to.Key&excludeIngress != 0 {
		except := s.Load32(ctx + prog.XDPIngress)
		b.list = slices.DeleteFunc(b.list, func(d device) bool { return d.ifindex == except })
	}
	return b.list
}

// add adds the device of a key, if there is one.
func (b *broadcaster) add(s *mem.Space, m maps.Map, key uint32) {
	binary.LittleEndian.PutUint32(b.key[:], key)
	addr := m.LookupAddr(0, b.key[:])
	if addr == 0 {
		return
	}
	d := device{key: key, ifindex: s.Load32(addr)}
	if m.Spec().ValueSize >= 8 {
		d.element = s.Load32(addr + 4)
	}
	if d.ifindex != 0 {
		b.list = append(b.list, d)
	}
}

// countRedirect counts a redirect of a single program, to each device when it is to all.
func (r *runner) countRedirect(s *side, ctx uint32) {
	to := readRedirect(s.space, ctx)
	if to.Kind != prog.RedirectBroadcast {
		r.tally.redirect(to)
		return
	}
	for _, d := range r.broadcast.devices(s.space, s.maps, ctx, to) {
		r.tally.redirect(prog.Redirect{Kind: prog.RedirectMap, To: d.ifindex, Map: to.Map})
	}
}

// writeBroadcast gives the sinks a packet that a single program sends to all of a map, once for each device; once all the same when there is
// none.
func (r *runner) writeBroadcast(x *Exit, ctx uint32) error {
	s := r.sides[0]
	for _, d := range r.broadcast.devices(s.space, s.maps, ctx, r.out.Redirect) {
		x.Redirect, x.RedirName = d.ifindex, ""
		r.interfaces(x)
		if err := r.write(x); err != nil {
			return err
		}
		x.Copy++
	}
	if x.Copy > 0 {
		return nil
	}
	r.interfaces(x)
	return r.write(x)
}

// broadcastCopy is a copy of a packet that a chain has sent.
type broadcastCopy struct {
	to      uint32
	ret     uint32
	decided *link
	off, n  int // of its bytes in chainEnd.bytes
}

// broadcast sends the packet to all devices of a map, each copy through the program of its element (Linux: dev_map_enqueue_multi,
// dev_map_bpf_prog_run). The programs run where the packet is, one after the other, on what it was.
func (c *Chain) broadcast(e *chainEnd, to prog.Redirect, ret uint64) (uint64, error) {
	sender := e.decided
	e.broadcast = to.Map
	devices := c.all.devices(c.space, c.maps, e.ctx, to)
	ran := false
	for _, d := range devices {
		x := broadcastCopy{to: d.ifindex, ret: uint32(ret), decided: sender}
		if l := c.named(HookDevmap, d.element); l != nil {
			if !ran {
				c.save(e)
			} else {
				c.restore(e)
			}
			ran = true
			verdict, err := c.runDevmap(e, l, d.ifindex)
			if err != nil {
				return 0, err
			}
			x.ret, x.decided = uint32(verdict), l
		} else if ran {
			c.restore(e)
		}
		var out prog.Output
		if prog.ReadFrame(c.space, e.ctx, prog.XDP, &out) {
			x.off, x.n = len(e.bytes), len(out.Data)
			e.bytes = append(e.bytes, out.Data...)
		}
		e.copies = append(e.copies, x)
	}
	e.decided, e.to = sender, 0
	return ret, nil
}

// frameSize is the header of a frame and an xdp_md.
const frameSize = prog.FrameHeader + prog.XDPEgress + 4

// save keeps the frame, and all that programs can reach of its packet.
func (c *Chain) save(e *chainEnd) {
	frame, _ := c.space.Bytes(e.ctx-prog.FrameHeader, frameSize)
	c.saved = append(append(c.saved[:0], frame...), c.room(e)...)
}

// restore puts back what save has kept.
func (c *Chain) restore(e *chainEnd) {
	frame, _ := c.space.Bytes(e.ctx-prog.FrameHeader, frameSize)
	copy(frame, c.saved)
	copy(c.room(e), c.saved[frameSize:])
}

// room is the memory that programs can reach through the frame, nothing when one that was not verified has made nonsense of it.
func (c *Chain) room(e *chainEnd) []byte {
	head, end := c.space.Load32(offset(e.ctx, prog.FrameHead)), c.space.Load32(offset(e.ctx, prog.FrameEnd))
	if end-head > headroom+linkRoom+maxPacket {
		return nil
	}
	b, _ := c.space.Bytes(head, end-head)
	return b
}

// countCopies counts the copies of a packet that were sent, and keeps it as an example when one was aborted.
func (r *runner) countCopies(e *chainEnd, number uint64) {
	for i := range e.copies {
		switch x := &e.copies[i]; {
		case x.decided.Hook != HookDevmap:
			r.tally.redirect(prog.Redirect{Kind: prog.RedirectMap, To: x.to, Map: e.broadcast})
		case x.ret == xdpPass:
			r.tally.redirect(prog.Redirect{Kind: prog.RedirectIfindex, To: x.to})
		case x.ret == xdpAborted:
			r.aborted(number, x.decided.Name, x.decided.Hook.String())
		}
	}
}

// data are the bytes of a copy.
func (e *chainEnd) data(x *broadcastCopy) []byte { return e.bytes[x.off : x.off+x.n] }

// changed reports whether a copy is not as the packet was.
func (e *chainEnd) changed(before []byte) bool {
	return slices.ContainsFunc(e.copies, func(x broadcastCopy) bool { return !bytes.Equal(e.data(&x), before) })
}

// writeCopies gives the sinks the copies of a packet that was n bytes long; x is one that there are none of.
func (r *runner) writeCopies(x *Exit, e *chainEnd, p *packet) error {
	for i := range e.copies {
		c := &e.copies[i]
		x.Data, x.Copy = e.data(c), i
		x.OrigLen = uint32(max(int64(p.wire)+int64(c.n)-int64(p.n), 0))
		x.Program, x.Ret, x.Verdict = c.decided.Name, c.ret, r.verdictName(prog.XDP, c.ret)
		x.Redirect, x.RedirName, x.RedirMap = c.to, "", ""
		if c.decided.Hook != HookDevmap {
			_, x.RedirMap = r.target(prog.Redirect{Kind: prog.RedirectMap, Map: e.broadcast})
		}
		r.interfaces(x)
		if err := r.write(x); err != nil {
			return err
		}
	}
	return nil
}

// compareCopies looks at the copies that a broadcast sent on both sides.
func (r *runner) compareCopies(n uint64, a, b *chainEnd) error {
	if len(a.copies) != len(b.copies) {
		return r.mismatch(n, "number of copies", len(a.copies), len(b.copies))
	}
	for i := range a.copies {
		x, y := &a.copies[i], &b.copies[i]
		switch {
		case x.to != y.to:
			return r.mismatch(n, "interface of a copy", x.to, y.to)
		case x.ret != y.ret || !x.decided.isOf(y.decided):
			return r.mismatch(n, "verdict on a copy", prog.XDP.Verdict(x.ret)+" by "+x.decided.Name, prog.XDP.Verdict(y.ret)+" by "+y.decided.Name)
		case !bytes.Equal(a.data(x), b.data(y)):
			at := firstDifference(a.data(x), b.data(y))
			return r.mismatch(n, "copy from its byte on", dump(a.data(x), at), dump(b.data(y), at))
		}
	}
	return nil
}
