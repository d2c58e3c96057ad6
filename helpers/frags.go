package helpers

import (
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// pieces is an XDP packet in several buffers: the linear part that data and data_end enclose, then fragments (Linux: struct
// skb_shared_info of an xdp_buff). Packets without fragments have one piece.
type pieces struct {
	n     int
	list  [1 + prog.MaxFrags]struct{ addr, size uint32 }
	table uint32 // guest address of the fragments' places and sizes
	total uint64
}

// piecesOf reads the fragments of a packet. What an unverified program wrote over them is kept within bounds.
func (e *Env) piecesOf(f *frame) (p pieces) {
	p.n = 1
	p.list[0].addr, p.list[0].size = f.data, f.len()
	p.total = uint64(f.len())
	if e.Type != prog.XDP {
		return p
	}
	s := e.Space
	p.table = s.Load32(f.ctx + prog.XDPFragTable)
	for i := range min(s.Load32(f.ctx+prog.XDPFragCount), prog.MaxFrags) {
		at := p.table + 8*i
		addr, size := s.Load32(at), s.Load32(at+4)
		if uint64(addr)+uint64(size) > s.Size() || size > prog.FragSize {
			break
		}
		p.list[p.n].addr, p.list[p.n].size = addr, size
		p.total += uint64(size)
		p.n++
	}
	return p
}

// frags are the fragments.
func (p *pieces) frags() int { return p.n - 1 }

// each calls do with the parts of [off, off+n), which must be inside, in order.
func (e *Env) each(p *pieces, off, n uint32, do func(part []byte)) {
	for i := 0; i < p.n && n > 0; i++ {
		piece := &p.list[i]
		if off >= piece.size {
			off -= piece.size
			continue
		}
		part := min(piece.size-off, n)
		do(e.bytes(piece.addr+off, part))
		off, n = 0, n-part
	}
}

// in is the guest address of [off, off+n), 0 when it is not inside one piece (Linux: bpf_xdp_pointer).
func (p *pieces) in(off, n uint32) uint32 {
	for i := range p.n {
		piece := &p.list[i]
		if off < piece.size || p.n == 1 {
			if n > piece.size-min(off, piece.size) {
				return 0
			}
			return piece.addr + off
		}
		off -= piece.size
	}
	return 0
}

// holds says whether [off, off+n) is a part of the packet that helpers take.
func (p *pieces) holds(off, n uint32) maps.Errno {
	switch {
	case off > 0xffff || n > 0xffff:
		return errFault
	case uint64(off)+uint64(n) > p.total:
		return maps.EINVAL
	}
	return 0
}

// load copies from the packet, store into it.
func (e *Env) load(p *pieces, off uint32, to []byte) {
	e.each(p, off, uint32(len(to)), func(part []byte) { to = to[copy(to, part):] })
}

func (e *Env) store(p *pieces, off uint32, from []byte) {
	e.each(p, off, uint32(len(from)), func(part []byte) { from = from[copy(part, from):] })
}

// setFrags writes the first n fragments' sizes back, and that there are no more.
func (e *Env) setFrags(f *frame, p *pieces, n int) {
	for i := range n {
		e.Space.Store32(p.table+8*uint32(i)+4, p.list[1+i].size)
	}
	e.Space.Store32(f.ctx+prog.XDPFragCount, uint32(n))
}

// adjustFragTail makes a packet of several buffers longer, within its last one, or shorter (Linux: bpf_xdp_frags_increase_tail,
// bpf_xdp_frags_shrink_tail).
func (e *Env) adjustFragTail(f *frame, p *pieces, by int64) maps.Errno {
	n := p.frags()
	if by >= 0 {
		last := &p.list[n]
		if by > prog.FragSize-int64(last.size) {
			return maps.EINVAL
		}
		clear(e.bytes(last.addr+last.size, uint32(by)))
		last.size += uint32(by)
		e.setFrags(f, p, n)
		return 0
	}
	less := uint32(-by)
	if uint64(less)+ethHLen > p.total {
		return maps.EINVAL
	}
	for n > 0 && less > 0 {
		last := &p.list[n]
		take := min(less, last.size)
		less -= take
		if last.size -= take; last.size > 0 {
			break
		}
		n--
	}
	e.setFrags(f, p, n)
	if n == 0 {
		f.end -= less
		e.storeXDP(f)
	}
	return 0
}
