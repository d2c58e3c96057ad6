package replay

import (
	"bytes"

	"github.com/skepvm/skep/prog"
)

// left is where the ctx is that a packet of the batch left, which began at ctx.
func (s *side) left(i int, ctx uint32) uint32 {
	if s.chain == nil {
		return ctx
	}
	return s.chain.ends[i].ctx
}

// leftType is the type of the program that a packet of the batch left, when a single one is of type typ.
func (s *side) leftType(i int, typ prog.Type) prog.Type {
	if s.chain == nil {
		return typ
	}
	return s.chain.ends[i].typ
}

// chain is that of the first side, nil when there is a single program.
func (r *runner) chain() *Chain {
	c, _ := r.o.Target.Engine.(*Chain)
	return c
}

// chainVerdict is verdict of a packet that went through a chain.
func (r *runner) chainVerdict(i int, n uint64) uint32 {
	s := r.sides[0]
	e := &s.chain.ends[i]
	ret := s.space.Load32(offset(e.ctx, prog.FrameRet))
	e.count(ret, n)
	if ret == xdpAborted && e.typ == prog.XDP {
		r.aborted(s.chain.batch[i].in.Number, e.decided.Name, e.decided.Hook.String())
	}
	if e.broadcast != 0 {
		r.countCopies(e, s.chain.batch[i].in.Number)
	} else if to, ok := e.sent(s.space, ret); ok {
		r.tally.redirect(to)
	}
	return ret
}

// isChanged reports whether a packet of the batch, whose frame began at ctx, is not as before.
func (r *runner) isChanged(i int, ctx uint32, n int, before []byte) bool {
	s, typ := r.sides[0], r.typ
	untagged := false
	if s.chain != nil {
		ctx, typ, untagged = s.chain.ends[i].ctx, s.chain.ends[i].typ, s.chain.ends[i].untagged
	}
	if s.chain != nil && len(s.chain.ends[i].copies) > 0 {
		return s.chain.ends[i].changed(before)
	}
	if !prog.ReadFrame(s.space, ctx, typ, &r.out) {
		return true
	}
	data := r.out.Data
	if untagged {
		data = r.putVLAN(ctx, data)
	}
	return len(data) != n || !bytes.Equal(data[:len(before)], before)
}
