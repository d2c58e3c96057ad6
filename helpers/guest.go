package helpers

import (
	"fmt"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Error numbers beyond those that map operations give.
const (
	errFault      maps.Errno = 14
	errAccess     maps.Errno = 13
	errRange      maps.Errno = 34
	errAlready    maps.Errno = 114
	maxMem                   = 16 << 20 // longest memory argument in bytes: more is no program's intention
	maxPacket                = 16384 - prog.XDPTailroom
	intMax                   = 1<<31 - 1
	xdpAborted               = 0
	xdpRedirect              = 4
	tcActShot                = 2
	tcActRedirect            = 7
)

// ArgError is a helper call that no verified program makes: an engine reports it as a fault.
type ArgError struct {
	Arg    int // 1 to 5
	Value  uint64
	Reason string
}

func (e *ArgError) Error() string { return fmt.Sprintf("r%d = %#x %s", e.Arg, e.Value, e.Reason) }

// mem is the host's view of n guest bytes at the address in argument arg.
func (e *Env) mem(arg int, ptr, n uint64) ([]byte, error) {
	if n > maxMem {
		return nil, &ArgError{arg + 1, n, "is too long"}
	}
	b, ok := e.Space.Bytes(uint32(ptr), uint32(n))
	if !ok {
		return nil, &ArgError{arg, ptr, "points outside the guest's memory"}
	}
	return b, nil
}

// mapArg is the map whose handle is in argument 1 or 2.
func (e *Env) mapArg(arg int, handle uint64) (maps.Map, error) {
	if m := e.Maps.Get(uint32(handle)); m != nil {
		return m, nil
	}
	return nil, &ArgError{arg, handle, "is no map"}
}

// frame is the packet of a ctx, with the room around it.
type frame struct {
	ctx             uint32
	data, end, meta uint32
	head, limit     uint32
}

// frameOf reads a frame. A verified program's always makes sense; others get an error.
func (e *Env) frameOf(ctx uint64) (frame, error) {
	c := uint32(ctx)
	offData, offEnd, offMeta := e.Type.DataOffsets()
	s := e.Space
	f := frame{ctx: c, data: s.Load32(c + offData), end: s.Load32(c + offEnd), meta: s.Load32(c + offMeta),
		head: s.Load32(c + fieldHead), limit: s.Load32(c + fieldLimit)}
	if f.head == 0 || f.head > f.data || f.data > f.end || f.end > f.limit || uint64(f.limit) > s.Size() {
		return f, &ArgError{1, ctx, "is no ctx with a packet"}
	}
	if f.meta > f.data || f.meta < f.head {
		f.meta = f.data
	}
	return f, nil
}

// Frame header fields as unsigned distances, so that ctx + field wraps to below the ctx.
const (
	fieldHead      = 1<<32 + prog.FrameHead
	fieldLimit     = 1<<32 + prog.FrameEnd
	fieldTime      = 1<<32 + prog.FrameTime
	fieldNumber    = 1<<32 + prog.FrameNumber
	fieldNet       = 1<<32 + prog.FrameNet
	fieldRedirKind = 1<<32 + prog.FrameRedirKind
	fieldRedirTo   = 1<<32 + prog.FrameRedirTo
	fieldRedirMap  = 1<<32 + prog.FrameRedirMap
	fieldRedirKey  = 1<<32 + prog.FrameRedirKey
)

func (f *frame) len() uint32 { return f.end - f.data }

// bytes is the host's view of [from, from+n). It is empty when that is not inside guest memory, which frameOf and the
// callers' own checks exclude.
func (e *Env) bytes(from, n uint32) []byte {
	b, _ := e.Space.Bytes(from, n)
	return b
}

// storeXDP writes an xdp_md's pointers back.
func (e *Env) storeXDP(f *frame) {
	e.Space.Store32(f.ctx+prog.XDPData, f.data)
	e.Space.Store32(f.ctx+prog.XDPDataEnd, f.end)
	e.Space.Store32(f.ctx+prog.XDPDataMeta, f.meta)
}

// storeSKB writes an skb's pointers and length back (Linux: bpf_compute_data_pointers).
func (e *Env) storeSKB(f *frame) {
	e.Space.Store32(f.ctx+prog.SKBData, f.data)
	e.Space.Store32(f.ctx+prog.SKBDataEnd, f.end)
	e.Space.Store32(f.ctx+prog.SKBDataMeta, f.data)
	e.Space.Store32(f.ctx+prog.SKBLen, f.len())
}

// netOffset is where the network header of an skb begins, from data.
func (e *Env) netOffset(f *frame) uint32 { return min(e.Space.Load32(f.ctx+fieldNet), f.len()) }

// protocol is skb->protocol in host order.
func (e *Env) protocol(ctx uint32) uint16 { return swap16(e.Space.Load16(ctx + prog.SKBProtocol)) }

func (e *Env) setProtocol(ctx uint32, p uint16) {
	e.Space.Store32(ctx+prog.SKBProtocol, uint32(swap16(p)))
}

func swap16(v uint16) uint16 { return v>>8 | v<<8 }
