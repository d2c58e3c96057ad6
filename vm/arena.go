package vm

import (
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Accesses to an arena are done in one place for all engines, at the price of leaving the loop or the machine code for each: what is
// not a page of the arena reads as 0, and is not written.

// useArena notes what the verifier says of the arena's instructions. The form of the program has been checked.
func (l *Linked) useArena(use prog.ArenaUse) error {
	if l.arena == nil || len(use.Through)+len(use.Narrow) == 0 {
		if len(use.Through)+len(use.Narrow) != 0 {
			return l.failure(-1, "it uses an arena, and loads none")
		}
		return nil
	}
	l.through = make([]bool, len(l.insns))
	for _, pc := range use.Through {
		switch class := asm.KindOf(l.insns[pc]).Info().Class; class {
		case asm.ClassLoad, asm.ClassLoadAcq, asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic, asm.ClassAddrCast:
			l.through[pc] = true
		default:
			return l.failure(pc, "no access to an arena")
		}
	}
	for _, pc := range use.Narrow {
		in := &l.insns[pc]
		if info := asm.KindOf(*in).Info(); info.Class != asm.ClassALU || info.Width != 64 {
			return l.failure(pc, "no arithmetic of 64 bits")
		}
		in.Op ^= classALU64 ^ classALU
	}
	return nil
}

// The classes of ALU operations in opcodes (BPF_ALU, BPF_ALU64).
const (
	classALU   = 0x04
	classALU64 = 0x07
)

// ThroughArena reports whether engines leave the instruction at that slot to Arena.
func (l *Linked) ThroughArena(pc int) bool { return l.through != nil && l.through[pc] }

// Arena does the load, store, atomic or cast at that slot, for which ThroughArena holds, on registers by number.
func (l *Linked) Arena(pc int, space *mem.Space, r []uint64) {
	in := l.insns[pc]
	info := asm.KindOf(in).Info()
	switch info.Class {
	case asm.ClassAddrCast:
		r[in.Dst] = l.arena.Pointer(r[in.Src])
	case asm.ClassLoad:
		v := uint64(0)
		if addr, ok := l.arena.At(r[in.Src], in.Off, info.Size); ok {
			v = load(space, addr, info.Size)
		}
		if info.Signed {
			v = asm.SignExtend(v, info.Size, 64)
		}
		r[in.Dst] = v
	case asm.ClassLoadAcq:
		if addr, ok := l.arena.At(r[in.Src], in.Off, info.Size); ok {
			r[in.Dst] = load(space, addr, info.Size)
		} else {
			missed(r, in.Dst, info)
		}
	case asm.ClassStore, asm.ClassStoreRel:
		if addr, ok := l.arena.At(r[in.Dst], in.Off, info.Size); ok {
			store(space, addr, info.Size, asm.Operand(in, r[in.Src]))
		}
	default:
		if addr, ok := l.arena.At(r[in.Dst], in.Off, info.Size); ok {
			atomicAt(in, info, space, addr, r)
			return
		}
		switch {
		case info.Atomic == asm.AtomicCmpxchg:
			missed(r, asm.R0, info)
		case info.Fetch:
			missed(r, in.Src, info)
		}
	}
}

// missed is what is left in the register that an atomic or a load-acquire would have loaded: in the kernel, what was there, though it
// says that 32-bit ones leave 32 bits. Here they do.
func missed(r []uint64, n asm.Reg, info *asm.Info) {
	if info.Size < 8 {
		r[n] &= 1<<(8*info.Size) - 1
	}
}

func load(s *mem.Space, addr uint32, size uint8) uint64 {
	switch size {
	case 1:
		return uint64(s.Load8(addr))
	case 2:
		return uint64(s.Load16(addr))
	case 4:
		return uint64(s.Load32(addr))
	}
	return s.Load64(addr)
}

func store(s *mem.Space, addr uint32, size uint8, v uint64) {
	switch size {
	case 1:
		s.Store8(addr, uint8(v))
	case 2:
		s.Store16(addr, uint16(v))
	case 4:
		s.Store32(addr, uint32(v))
	default:
		s.Store64(addr, v)
	}
}

// atomicAt does an atomic at a guest address. Like those elsewhere it is a plain load and store where the address is not a multiple
// of the size.
func atomicAt(in asm.Insn, info *asm.Info, s *mem.Space, addr uint32, r []uint64) {
	v, expect := r[in.Src], r[asm.R0]
	var old uint64
	switch {
	case addr&uint32(info.Size-1) != 0:
		old = load(s, addr, info.Size)
		if next, stores := asm.EvalAtomic(info.Atomic, info.Size, old, v, expect); stores {
			store(s, addr, info.Size, next)
		}
	case info.Size == 4:
		old = uint64(rmw32((*uint32)(unsafe.Pointer(s.Pointer(addr))), info.Atomic, uint32(v), uint32(expect)))
	default:
		old = rmw64((*uint64)(unsafe.Pointer(s.Pointer(addr))), info.Atomic, v, expect)
	}
	switch {
	case info.Atomic == asm.AtomicCmpxchg:
		r[asm.R0] = old
	case info.Fetch:
		r[in.Src] = old
	}
}
