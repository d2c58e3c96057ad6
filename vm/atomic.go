package vm

import (
	"sync/atomic"
	"unsafe"

	"github.com/skepvm/skep/asm"
)

// Atomics are the host's, so that CPUs on different goroutines may share memory. At an address that is not a multiple
// of the size they are plain loads and stores: the verifier refuses such programs, and hosts disagree about them.

func (x *Interpreter) atomic32(in *insn) {
	info := in.op.Info()
	r := &x.regs
	addr, v, expect := uint32(r[in.dst&15]+uint64(in.off)), uint32(r[in.src&15]), uint32(r[0])
	var old uint32
	if addr&3 == 0 {
		old = rmw32((*uint32)(x.hostPointer(addr)), info.Atomic, v, expect)
	} else {
		old = x.space.Load32(addr)
		if next, store := asm.EvalAtomic(info.Atomic, 4, uint64(old), uint64(v), uint64(expect)); store {
			x.space.Store32(addr, uint32(next))
		}
	}
	x.fetched(in, info, uint64(old))
}

func (x *Interpreter) atomic64(in *insn) {
	info := in.op.Info()
	r := &x.regs
	addr, v, expect := uint32(r[in.dst&15]+uint64(in.off)), r[in.src&15], r[0]
	var old uint64
	if addr&7 == 0 {
		old = rmw64((*uint64)(x.hostPointer(addr)), info.Atomic, v, expect)
	} else {
		old = x.space.Load64(addr)
		if next, store := asm.EvalAtomic(info.Atomic, 8, old, v, expect); store {
			x.space.Store64(addr, next)
		}
	}
	x.fetched(in, info, old)
}

func (x *Interpreter) fetched(in *insn, info *asm.Info, old uint64) {
	switch {
	case info.Atomic == asm.AtomicCmpxchg:
		x.regs[0] = old
	case info.Fetch:
		x.regs[in.src&15] = old
	}
}

func (x *Interpreter) hostPointer(addr uint32) unsafe.Pointer {
	return x.space.Pointer(addr)
}

// rmw32 does op at p and returns what was there.
func rmw32(p *uint32, op asm.AtomicOp, v, expect uint32) uint32 {
	switch op {
	case asm.AtomicAdd:
		return atomic.AddUint32(p, v) - v
	case asm.AtomicOr:
		return atomic.OrUint32(p, v)
	case asm.AtomicAnd:
		return atomic.AndUint32(p, v)
	case asm.AtomicXchg:
		return atomic.SwapUint32(p, v)
	}
	for { // xor and compare-exchange
		old := atomic.LoadUint32(p)
		next := old ^ v
		if op == asm.AtomicCmpxchg {
			if old != expect {
				return old
			}
			next = v
		}
		if atomic.CompareAndSwapUint32(p, old, next) {
			return old
		}
	}
}

// rmw64 is rmw32 for 8 bytes.
func rmw64(p *uint64, op asm.AtomicOp, v, expect uint64) uint64 {
	switch op {
	case asm.AtomicAdd:
		return atomic.AddUint64(p, v) - v
	case asm.AtomicOr:
		return atomic.OrUint64(p, v)
	case asm.AtomicAnd:
		return atomic.AndUint64(p, v)
	case asm.AtomicXchg:
		return atomic.SwapUint64(p, v)
	}
	for {
		old := atomic.LoadUint64(p)
		next := old ^ v
		if op == asm.AtomicCmpxchg {
			if old != expect {
				return old
			}
			next = v
		}
		if atomic.CompareAndSwapUint64(p, old, next) {
			return old
		}
	}
}

// loadAcquire and storeRelease use Go's atomics (which are stronger) for 4 and 8 aligned bytes. Go has none for 1 and 2
// bytes; those are plain, ordered by a load or a swap of an aligned word next to them.

func (x *Interpreter) loadAcquire(in *insn) {
	addr := uint32(x.regs[in.src&15] + uint64(in.off))
	var v uint64
	switch size := in.op.Info().Size; {
	case size == 8 && addr&7 == 0:
		v = atomic.LoadUint64((*uint64)(x.hostPointer(addr)))
	case size == 4 && addr&3 == 0:
		v = uint64(atomic.LoadUint32((*uint32)(x.hostPointer(addr))))
	case size == 8:
		v = x.space.Load64(addr)
	case size == 4:
		v = uint64(x.space.Load32(addr))
	case size == 2 && addr&3 != 3:
		v = uint64(uint16(x.alignedWord(addr) >> (addr & 3 * 8)))
	case size == 2:
		v = uint64(x.space.Load16(addr))
	default:
		v = uint64(uint8(x.alignedWord(addr) >> (addr & 3 * 8)))
	}
	x.regs[in.dst&15] = v
}

// alignedWord loads the aligned 4 bytes that addr lies in.
func (x *Interpreter) alignedWord(addr uint32) uint32 {
	return atomic.LoadUint32((*uint32)(x.hostPointer(addr &^ 3)))
}

func (x *Interpreter) storeRelease(in *insn) {
	addr, v := uint32(x.regs[in.dst&15]+uint64(in.off)), x.regs[in.src&15]
	switch size := in.op.Info().Size; {
	case size == 8 && addr&7 == 0:
		atomic.StoreUint64((*uint64)(x.hostPointer(addr)), v)
	case size == 4 && addr&3 == 0:
		atomic.StoreUint32((*uint32)(x.hostPointer(addr)), uint32(v))
	case size == 8:
		x.space.Store64(addr, v)
	case size == 4:
		x.space.Store32(addr, uint32(v))
	case size == 2 && addr&3 != 3:
		x.replaceInWord(addr, 0xffff, uint32(v))
	case size == 2:
		x.space.Store16(addr, uint16(v))
	default:
		x.replaceInWord(addr, 0xff, uint32(v))
	}
}

// replaceInWord stores the bytes of mask, whose lowest is at addr, within their aligned word.
func (x *Interpreter) replaceInWord(addr, mask, v uint32) {
	p := (*uint32)(x.hostPointer(addr &^ 3))
	shift := addr & 3 * 8
	for {
		old := atomic.LoadUint32(p)
		if atomic.CompareAndSwapUint32(p, old, old&^(mask<<shift)|v&mask<<shift) {
			return
		}
	}
}
