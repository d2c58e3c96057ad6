package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
)

// The loads and stores by size in bytes.
var (
	a64SignExtending = [...]arm64.Op{1: arm64.LdrSB, 2: arm64.LdrSH, 4: arm64.LdrSW}
	a64ZeroExtending = [...]arm64.Op{1: arm64.LdrB, 2: arm64.LdrH, 4: arm64.LdrW, 8: arm64.LdrX}
	a64Storing       = [...]arm64.Op{1: arm64.StrB, 2: arm64.StrH, 4: arm64.StrW, 8: arm64.StrX}
)

// load emits loads. Those with acquire semantics are plain ones and a barrier: ldar faults on addresses that are not aligned.
func (g *a64) load(in asm.Insn, info *asm.Info) {
	op := a64ZeroExtending[info.Size]
	if info.Signed {
		op = a64SignExtending[info.Size]
	}
	g.a.RM(op, a64Map[in.Dst], g.mem(in.Src, in.Off))
	if info.Class == asm.ClassLoadAcq {
		g.a.Z(arm64.DmbIshld)
	}
}

func (g *a64) loadSwapped(asm.Insn, *asm.Info) bool { return false }

func (g *a64) store(in asm.Insn, info *asm.Info) {
	m := g.mem(in.Dst, in.Off)
	src := a64Map[in.Src]
	switch {
	case info.Class == asm.ClassStoreRel:
		g.a.Z(arm64.DmbIsh)
	case info.UseSrc:
	case in.Imm == 0:
		src = arm64.ZR
	default:
		src = a64Scratch
		g.a.Imm(src, operand(arm64.Width(info.Size == 8), in.Imm))
	}
	g.a.RM(a64Storing[info.Size], src, m)
}

// mem gives the operand for the guest address uint32(base+off), computing it in a64Addr unless an operand can say it.
func (g *a64) mem(base asm.Reg, off int16) arm64.Mem {
	switch {
	case inFrame(base, off):
		return arm64.At(a64Frame, int32(off)+frameMiddle)
	case off == 0 && g.t.mask == ^uint32(0):
		return arm64.IndexedHalf(a64Base, a64Map[base])
	}
	g.address(a64Map[base], int64(off))
	return arm64.Indexed(a64Base, a64Addr)
}

// address puts the guest address uint32(r+off), masked, into a64Addr.
func (g *a64) address(r arm64.Reg, off int64) {
	masked := g.t.mask != ^uint32(0)
	if off != 0 || !masked {
		g.add(arm64.W, a64Addr, r, off)
		r = a64Addr
	}
	if masked {
		g.a.RRI(arm64.AndI, arm64.W, a64Addr, r, uint64(g.t.mask))
	}
}

// a64Atomics has what an atomic does to the old value: in one instruction, fully ordered or, when nobody wants the old
// value, not ordered (as the kernel's), or between an exclusive load and store.
var a64Atomics = [...]struct{ fetch, plain, combine arm64.Op }{
	asm.AtomicAdd: {arm64.Ldaddal, arm64.Ldadd, arm64.AddR},
	asm.AtomicOr:  {arm64.Ldsetal, arm64.Ldset, arm64.OrrR},
	asm.AtomicAnd: {arm64.Ldclral, arm64.Ldclr, arm64.AndR},
	asm.AtomicXor: {arm64.Ldeoral, arm64.Ldeor, arm64.EorR},
}

func (g *a64) atomicOp(in asm.Insn, info *asm.Info, misaligned func() label) {
	g.hostAddress(in, info, misaligned)
	w := arm64.Width(info.Size == 8)
	src := a64Map[in.Src]
	switch {
	case !g.t.LSE:
		g.exclusive(info, w, src)
	case info.Atomic == asm.AtomicXchg:
		g.a.Atomic(arm64.Swpal, w, src, src, a64Host)
	case info.Atomic == asm.AtomicCmpxchg:
		g.a.Atomic(arm64.Casal, w, a64Map[asm.R0], src, a64Host)
	default:
		op, old, value := a64Atomics[info.Atomic].plain, arm64.ZR, src
		if info.Fetch {
			op, old = a64Atomics[info.Atomic].fetch, src
		}
		if info.Atomic == asm.AtomicAnd { // the instruction clears the bits that are set
			value = a64Scratch
			g.a.RRR(arm64.OrnR, w, value, arm64.ZR, src)
		}
		g.a.Atomic(op, w, value, old, a64Host)
	}
}

// hostAddress puts the host address of an atomic's operand into a64Host, and checks the alignment unless that is known.
func (g *a64) hostAddress(in asm.Insn, info *asm.Info, misaligned func() label) {
	size := int16(info.Size)
	if inFrame(in.Dst, in.Off) && in.Off%size == 0 {
		g.add(arm64.X, a64Host, a64Frame, int64(in.Off)+frameMiddle)
		return
	}
	g.address(a64Map[in.Dst], int64(in.Off))
	g.a.RRI(arm64.AndsI, arm64.W, arm64.ZR, a64Addr, uint64(size-1))
	g.a.Jcc(arm64.CondNE, misaligned())
	g.a.RRR(arm64.AddR, arm64.X, a64Host, a64Base, a64Addr)
}

// exclusive emits an atomic as a loop around an exclusive load and store. A barrier behind it makes those that fetch
// fully ordered.
func (g *a64) exclusive(info *asm.Info, w arm64.Width, src arm64.Reg) {
	old, next, status := a64Scratch, a64Addr, a64Status
	again, done := g.a.Labels(1), g.a.Labels(1)
	g.a.Bind(again)
	g.a.ExLoad(arm64.Ldxr, w, old, a64Host)
	switch info.Atomic {
	case asm.AtomicXchg:
		next = src
	case asm.AtomicCmpxchg:
		next = src
		g.a.RRR(arm64.SubsR, w, arm64.ZR, old, a64Map[asm.R0])
		g.a.Jcc(arm64.CondNE, done)
	default:
		g.a.RRR(a64Atomics[info.Atomic].combine, w, next, old, src)
	}
	store := arm64.Stxr
	if info.Fetch {
		store = arm64.Stlxr
	}
	g.a.ExStore(store, w, status, next, a64Host)
	g.a.Jnonzero(arm64.W, status, again)
	g.a.Bind(done)
	if !info.Fetch {
		return
	}
	g.a.Z(arm64.DmbIsh)
	if info.Atomic == asm.AtomicCmpxchg {
		src = a64Map[asm.R0]
	}
	g.a.Mov(w, src, old)
}
