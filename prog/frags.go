package prog

import "fmt"

// maxLinear is the longest linear part of a packet in one page, with the room around it.
const maxLinear = XDPBuffer - XDPHeadroom - XDPTailroom

// divide puts what is behind the linear part of a packet into fragments of a page each, as the kernel's test run does
// (bpf_prog_test_run_xdp). The linear part is as long as the field "linear" says, else as long as fits a page.
func (b *Buffer) divide() error {
	s := b.space
	linear, data, end := s.Load32(b.ctx+XDPLinear), s.Load32(b.ctx+XDPData), s.Load32(b.ctx+XDPDataEnd)
	switch {
	case !b.takesFrags && linear == 0, linear == 0 && end-data <= maxLinear, linear != 0 && linear == end-data:
		return nil
	case !b.takesFrags:
		return &CtxError{XDP, "linear", "the program takes no packets in several buffers: its section is not xdp.frags"}
	case linear > end-data, linear != 0 && linear < ethHLen:
		return &CtxError{XDP, "linear", fmt.Sprintf("%d bytes of a packet of %d", linear, end-data)}
	case linear == 0 || linear > maxLinear:
		linear = maxLinear
	}
	if b.frags == 0 {
		pages, err := s.Alloc(MaxFrags*(FragSize+8), 64)
		if err != nil {
			return err
		}
		b.frags = pages
	}
	table, n := b.frags+MaxFrags*FragSize, uint32(0)
	for rest := data + linear; rest < end; n++ {
		if n == MaxFrags {
			return fmt.Errorf("packet of %d bytes with %d of them linear: more than %d fragments", end-data, linear, MaxFrags)
		}
		size, page := min(end-rest, FragSize), b.frags+n*FragSize
		copy(frameBytes(s, page, FragSize), frameBytes(s, rest, size))
		put2(frameBytes(s, table+8*n, 8), page, size)
		rest += size
	}
	s.Store32(b.ctx+XDPFragCount, n)
	s.Store32(b.ctx+XDPFragTable, table)
	s.Store32(b.ctx+XDPDataEnd, data+linear)
	s.Store32(b.ctx-uint32(-FrameEnd), b.base+XDPBuffer-XDPTailroom)
	if s.Shadowed() {
		s.Forbid(data+linear, end-data-linear)
	}
	return nil
}

// join puts the fragments behind the linear part. Those that an unverified program has damaged are left out.
func (b *Buffer) join(out *Output) {
	s := b.space
	n := min(s.Load32(b.ctx+XDPFragCount), MaxFrags)
	if n == 0 {
		return
	}
	b.joined = append(b.joined[:0], out.Data...)
	for i := range n {
		size := s.Load32(b.frags + MaxFrags*FragSize + 8*i + 4)
		if part, ok := s.Bytes(b.frags+i*FragSize, min(size, FragSize)); ok {
			b.joined = append(b.joined, part...)
		}
	}
	out.Data = b.joined
}
