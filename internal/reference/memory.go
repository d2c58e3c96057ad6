package reference

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// memory is guest memory by size of access.
type memory struct{ *mem.Space }

func (e *Engine) space() memory { return memory{e.cpu.Machine().Space()} }

func (m memory) load(addr uint32, size uint8) uint64 {
	return m.Load64(addr) & (^uint64(0) >> (64 - 8*size))
}

func (m memory) store(addr uint32, size uint8, v uint64) {
	switch size {
	case 1:
		m.Store8(addr, uint8(v))
	case 2:
		m.Store16(addr, uint16(v))
	case 4:
		m.Store32(addr, uint32(v))
	default:
		m.Store64(addr, v)
	}
}

// memory does loads, stores and atomics. One program runs at a time, so plain accesses are atomic enough.
func (e *Engine) memory(info *asm.Info, in asm.Insn) {
	dst, src := &e.regs[in.Dst], e.regs[in.Src]
	off := uint64(int64(in.Off))
	from, to := uint32(src+off), uint32(*dst+off)
	m := e.space()
	switch info.Class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		*dst = m.load(from, info.Size)
		if info.Signed {
			*dst = asm.SignExtend(*dst, info.Size, 64)
		}
	case asm.ClassStore:
		m.store(to, info.Size, asm.Operand(in, src))
	case asm.ClassStoreRel:
		m.store(to, info.Size, src)
	case asm.ClassAtomic:
		old := m.load(to, info.Size)
		if v, ok := asm.EvalAtomic(info.Atomic, info.Size, old, src, e.regs[0]); ok {
			m.store(to, info.Size, v)
		}
		if info.Atomic == asm.AtomicCmpxchg {
			e.regs[0] = old
		} else if info.Fetch {
			e.regs[in.Src] = old
		}
	default:
		panic("reference: no meaning for " + info.Name)
	}
}

// Where offsets below zero of classic packet loads are counted from (Linux: SKF_NET_OFF, SKF_LL_OFF).
const (
	networkHeader = -0x100000
	linkHeader    = -0x200000
)

// packet does LD_ABS and LD_IND: out of the packet, the function exits with 0.
func (e *Engine) packet(off int64, size uint8) *vm.Fault {
	m, ctx := e.space(), e.cpu.Env.Ctx
	start, end, net := m.Load32(ctx+prog.SKBData), m.Load32(ctx+prog.SKBDataEnd), m.Load32(ctx-uint32(-prog.FrameNet))
	if e.cpu.Env.Type == prog.Classic {
		start, end, net = m.Load32(ctx+prog.ClassicData), m.Load32(ctx+prog.ClassicDataEnd), m.Load32(ctx+prog.ClassicNetOff)
	}
	switch {
	case off < linkHeader:
		off = 1 << 40 // nowhere
	case off < networkHeader:
		off -= linkHeader
	case off < 0:
		off += -networkHeader + int64(net)
	}
	e.regs[0] = 0
	if off+int64(size) > int64(end)-int64(start) {
		e.exit()
		return nil
	}
	e.regs[0] = bits.ReverseBytes64(m.load(start+uint32(off), size)) >> (64 - 8*size)
	e.pc++
	return nil
}
