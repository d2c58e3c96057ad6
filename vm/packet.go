package vm

import (
	"math/bits"

	"github.com/skepvm/skep/prog"
)

// Offsets below zero in LD_ABS and LD_IND are relative to a header (Linux: SKF_NET_OFF, SKF_LL_OFF).
const (
	netOff = -0x100000 // network header
	llOff  = -0x200000 // link layer header, where the packet begins
)

// loadPacket does LD_ABS and LD_IND: R0 = the big-endian value at off. It reports false, with R0 zero, when the load is
// out of bounds.
func (x *Interpreter) loadPacket(in *insn, off int32) bool {
	v, ok := x.cpu.LoadPacket(off, in.op.Info().Size)
	x.regs[0] = v
	return ok
}

// LoadPacket is what LD_ABS and LD_IND do at offset off of the running program's packet: size (1, 2 or 4) bytes, big-endian.
// Out of bounds it returns 0 and false; the function must exit then.
func (c *CPU) LoadPacket(off int32, size uint8) (uint64, bool) {
	at, s := int64(off), c.Env.Space
	switch {
	case at >= 0:
	case at >= netOff && c.Env.Type == prog.Classic:
		at += -netOff + int64(s.Load32(c.Env.Ctx+prog.ClassicNetOff))
	case at >= netOff:
		at += -netOff + int64(s.Load32(c.Env.Ctx+frameOffset(prog.FrameNet)))
	case at >= llOff:
		at -= llOff
	default:
		return 0, false
	}
	offData, offEnd, _ := c.Env.Type.DataOffsets()
	data, end := s.Load32(c.Env.Ctx+offData), s.Load32(c.Env.Ctx+offEnd)
	if at+int64(size) > int64(end)-int64(data) {
		return 0, false
	}
	addr := data + uint32(at)
	switch size {
	case 1:
		return uint64(s.Load8(addr)), true
	case 2:
		return uint64(bits.ReverseBytes16(s.Load16(addr))), true
	}
	return uint64(bits.ReverseBytes32(s.Load32(addr))), true
}
