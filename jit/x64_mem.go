package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
)

func (g *x64) load(in asm.Insn, info *asm.Info) {
	m, dst := g.mem(in.Src, in.Off), x64Map[in.Dst]
	if info.Signed {
		g.a.RM(signExtending[info.Size], amd64.Q, dst, m)
		return
	}
	g.a.RM(zeroExtending[info.Size], amd64.Width(info.Size == 8), dst, m)
}

func (g *x64) loadSwapped(in asm.Insn, info *asm.Info) bool {
	dst := x64Map[in.Dst]
	switch {
	case !g.t.MOVBE:
		return false
	case info.Size == 2: // the upper half stays as it is
		g.a.RM(amd64.MovbeWRM, amd64.L, dst, g.mem(in.Src, in.Off))
		g.a.RR(amd64.MovzxWRM, amd64.L, dst, dst)
	default:
		g.a.RM(amd64.MovbeRM, amd64.Width(info.Size == 8), dst, g.mem(in.Src, in.Off))
	}
	return true
}

// storing has the stores of a register and of an immediate by size in bytes.
var storing = [...]struct{ reg, imm amd64.Op }{
	1: {amd64.MovBMR, amd64.MovBI8},
	2: {amd64.MovWMR, amd64.MovWI16},
	4: {amd64.MovMR, amd64.MovI32},
	8: {amd64.MovMR, amd64.MovI32},
}

func (g *x64) store(in asm.Insn, info *asm.Info) {
	m := g.mem(in.Dst, in.Off)
	w := amd64.Width(info.Size == 8)
	if info.UseSrc || info.Class == asm.ClassStoreRel {
		g.a.MR(storing[info.Size].reg, w, m, x64Map[in.Src])
	} else {
		g.a.MI(storing[info.Size].imm, w, m, in.Imm)
	}
}

// locked has the atomics that are one instruction when nobody wants the old value.
var locked = [...]amd64.Op{
	asm.AtomicAdd: amd64.AddMR,
	asm.AtomicOr:  amd64.OrMR,
	asm.AtomicAnd: amd64.AndMR,
	asm.AtomicXor: amd64.XorMR,
}

// combining has what the compare-and-exchange loops do.
var combining = [...]amd64.Op{
	asm.AtomicOr:  amd64.OrRM,
	asm.AtomicAnd: amd64.AndRM,
	asm.AtomicXor: amd64.XorRM,
}

func (g *x64) atomicOp(in asm.Insn, info *asm.Info, misaligned func() label) {
	w := amd64.Width(info.Size == 8)
	src := x64Map[in.Src]
	m := g.atomicMem(in, info, misaligned)
	switch {
	case info.Atomic == asm.AtomicXchg:
		g.a.MR(amd64.XchgMR, w, m, src) // locks by itself
	case info.Atomic == asm.AtomicCmpxchg:
		g.a.LockMR(amd64.CmpxchgMR, w, m, src)
		g.zeroExtend(w, amd64.RAX) // which a success leaves alone
	case !info.Fetch:
		g.a.LockMR(locked[info.Atomic], w, m, src)
	case info.Atomic == asm.AtomicAdd:
		g.a.LockMR(amd64.XaddMR, w, m, src)
	default:
		g.fetchLoop(combining[info.Atomic], w, m, src)
	}
}

// atomicMem is mem for an atomic: it checks the alignment unless that is known.
func (g *x64) atomicMem(in asm.Insn, info *asm.Info, misaligned func() label) amd64.Mem {
	size := int32(info.Size)
	if inFrame(in.Dst, in.Off) && int32(in.Off)%size == 0 {
		return g.mem(in.Dst, in.Off)
	}
	g.address(x64Map[in.Dst], int32(in.Off))
	g.a.RI(amd64.TestI32, amd64.L, x64Scratch, size-1)
	g.a.Jcc(amd64.CondNE, misaligned())
	return amd64.Indexed(x64Base, x64Scratch, 0)
}

// fetchLoop emits src = *m, *m op= src as a loop around compare-and-exchange, which wants the old value in RAX. The new
// value is in RDX: the host address moves into x64Scratch, and RDX's base address comes back at the end.
func (g *x64) fetchLoop(op amd64.Op, w amd64.Width, m amd64.Mem, src amd64.Reg) {
	g.a.RM(amd64.LeaRM, amd64.Q, x64Scratch, m)
	m = amd64.At(x64Scratch, 0)
	// R0 as the source has to make room: it borrows the fuel's register.
	saved, operand := amd64.RAX, src
	if src == amd64.RAX {
		saved, operand = x64Fuel, x64Fuel
	}
	g.a.O(amd64.PushO, amd64.Q, saved)
	if src == amd64.RAX {
		g.a.RR(amd64.MovRM, amd64.Q, operand, amd64.RAX)
	}
	g.a.RM(amd64.MovRM, w, amd64.RAX, m)
	again := g.a.Labels(1)
	g.a.Bind(again)
	g.a.RR(amd64.MovRM, w, amd64.RDX, amd64.RAX)
	g.a.RR(op, w, amd64.RDX, operand)
	g.a.LockMR(amd64.CmpxchgMR, w, m, amd64.RDX)
	g.a.Jcc(amd64.CondNE, again)
	g.a.RR(amd64.MovRM, w, src, amd64.RAX)
	g.a.O(amd64.PopO, amd64.Q, saved)
	g.loadBase()
}

// mem gives the operand for the guest address uint32(base+off), computing it in x64Scratch unless it is in the frame, or
// known to be within bounds.
func (g *x64) mem(base asm.Reg, off int16) amd64.Mem {
	if inFrame(base, off) || g.bounded(base, off) {
		return amd64.Indexed(x64Base, x64Map[base], int32(off))
	}
	g.address(x64Map[base], int32(off))
	return amd64.Indexed(x64Base, x64Scratch, 0)
}

// address puts the guest address uint32(r+off), masked, into x64Scratch.
func (g *x64) address(r amd64.Reg, off int32) {
	if off == 0 {
		g.a.RR(amd64.MovRM, amd64.L, x64Scratch, r)
	} else {
		g.a.RM(amd64.LeaRM, amd64.L, x64Scratch, amd64.At(r, off))
	}
	g.maskScratch()
}

func (g *x64) maskScratch() {
	if g.t.mask != ^uint32(0) {
		g.a.RI(amd64.AndI32, amd64.L, x64Scratch, int32(g.t.mask))
	}
}
