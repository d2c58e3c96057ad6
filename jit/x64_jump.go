package jit

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/vm"
)

// x64Conds has the processor's condition of each BPF condition, after cmp or, for Jset, test.
var x64Conds = [...]amd64.Cond{
	asm.Jeq:  amd64.CondE,
	asm.Jgt:  amd64.CondA,
	asm.Jge:  amd64.CondAE,
	asm.Jset: amd64.CondNE,
	asm.Jne:  amd64.CondNE,
	asm.Jsgt: amd64.CondG,
	asm.Jsge: amd64.CondGE,
	asm.Jlt:  amd64.CondB,
	asm.Jle:  amd64.CondBE,
	asm.Jslt: amd64.CondL,
	asm.Jsle: amd64.CondLE,
}

func (g *x64) goTo(l label) { g.a.Jmp(l) }

func (g *x64) goFuelled(l label) {
	g.a.RR(amd64.TestMR, amd64.Q, x64Fuel, x64Fuel)
	g.a.Jcc(amd64.CondNS, l)
}

// goIf jumps when c holds, or when it doesn't.
func (g *x64) goIf(c amd64.Cond, holds bool, l label) {
	if !holds {
		c = c.Not()
	}
	g.a.Jcc(c, l)
}

func (g *x64) compareGo(in asm.Insn, info *asm.Info, holds bool, l label) {
	w := amd64.Width(info.Width == 64)
	dst := x64Map[in.Dst]
	switch {
	case info.UseSrc && info.Cond == asm.Jset:
		g.a.RR(amd64.TestMR, w, x64Map[in.Src], dst)
	case info.UseSrc:
		g.a.RR(amd64.CmpRM, w, dst, x64Map[in.Src])
	case info.Cond == asm.Jset:
		if in.Imm >= 0 {
			w = amd64.L
		}
		g.a.RI(amd64.TestI32, w, dst, in.Imm)
	case in.Imm == 0:
		g.a.RR(amd64.TestMR, w, dst, dst) // sets the flags that a comparison with 0 sets
	case amd64.FitsInt8(in.Imm):
		g.a.RI(amd64.CmpI8, w, dst, in.Imm)
	default:
		g.a.RI(amd64.CmpI32, w, dst, in.Imm)
	}
	g.goIf(x64Conds[info.Cond], holds, l)
}

// loopCount is the may_goto counter of the running activation; it computes its place in x64Scratch.
func (g *x64) loopCount() amd64.Mem {
	g.a.RM(amd64.MovRM, amd64.L, x64Scratch, amd64.At(x64State, offStackTop))
	g.a.RR(amd64.SubRM, amd64.L, x64Scratch, x64Map[asm.R10])
	g.a.RI(amd64.ShrI8, amd64.L, x64Scratch, 7) // frame number times 4: frames are 512 bytes
	return amd64.Indexed(x64State, x64Scratch, offLoops)
}

func (g *x64) loopsLeftGo(left bool, l label) {
	g.a.MI(amd64.CmpI32, amd64.L, g.loopCount(), vm.MaxLoops)
	g.goIf(amd64.CondB, left, l)
}

// countLoop finds the counter's place in x64Scratch, where loopsLeftGo has put it.
func (g *x64) countLoop() {
	g.a.MI(amd64.AddI8, amd64.L, amd64.Indexed(x64State, x64Scratch, offLoops), 1)
}

func (g *x64) callFunc(to, yield, again, depth label) {
	g.a.RR(amd64.TestMR, amd64.Q, x64Fuel, x64Fuel)
	g.a.Jcc(amd64.CondS, yield)
	g.a.Bind(again)
	fp := x64Map[asm.R10]
	g.a.RM(amd64.CmpRM, amd64.L, fp, amd64.At(x64State, offLastFrame))
	g.a.Jcc(amd64.CondBE, depth)
	for r := asm.R6; r <= asm.R9; r++ {
		if g.saved.Has(r) {
			g.a.O(amd64.PushO, amd64.Q, x64Map[r])
		}
	}
	g.a.RI(amd64.SubI32, amd64.Q, fp, vm.FrameSize)
	if g.loops {
		g.a.MI(amd64.MovI32, amd64.L, g.loopCount(), 0)
	}
	if g.t.zero {
		g.a.Call(g.zero)
	}
	g.a.Call(to)
	g.a.RI(amd64.AddI32, amd64.Q, fp, vm.FrameSize)
	for r := asm.R9; r >= asm.R6; r-- {
		if g.saved.Has(r) {
			g.a.O(amd64.PopO, amd64.Q, x64Map[r])
		}
	}
}

func (g *x64) exit() { g.a.Z(amd64.Ret, amd64.L) }

func (g *x64) leaveAt(site int32) {
	g.a.Imm(x64Scratch, uint64(site))
	g.a.Jmp(g.leave)
}

func (g *x64) cpuNumber() { g.fromState(amd64.L, x64Map[asm.R0], offCPU) }

func (g *x64) lookUp(m arrayMap, outside, null label) {
	index := x64Map[asm.R0]
	g.a.RR(amd64.MovRM, amd64.L, x64Scratch, x64Map[asm.R2])
	g.compare(x64Scratch, int32(g.t.mask-3))
	g.a.Jcc(amd64.CondA, outside)
	g.a.RM(amd64.MovRM, amd64.L, index, amd64.Indexed(x64Base, x64Scratch, 0))
	g.compare(index, int32(m.entries))
	g.a.Jcc(amd64.CondAE, null)
	switch {
	case m.stride <= 8:
		g.a.RM(amd64.LeaRM, amd64.L, index, amd64.Mem{Base: amd64.None, Index: index, Scale: uint8(m.stride), Disp: int32(m.data)})
	case m.stride&(m.stride-1) == 0:
		g.a.RI(amd64.ShlI8, amd64.L, index, int32(bits.TrailingZeros32(m.stride)))
		g.a.RI(amd64.AddI32, amd64.L, index, int32(m.data))
	default:
		g.a.RRI(amd64.ImulI32, amd64.L, index, index, int32(m.stride))
		g.a.RI(amd64.AddI32, amd64.L, index, int32(m.data))
	}
	if m.cpuStride != 0 {
		g.a.RMI(amd64.ImulI32, amd64.L, x64Scratch, amd64.At(x64State, offCPU), int32(m.cpuStride))
		g.a.RR(amd64.AddRM, amd64.L, index, x64Scratch)
	}
}

// compare emits a 32-bit comparison with a constant.
func (g *x64) compare(r amd64.Reg, imm int32) {
	if amd64.FitsInt8(imm) {
		g.a.RI(amd64.CmpI8, amd64.L, r, imm)
	} else {
		g.a.RI(amd64.CmpI32, amd64.L, r, imm)
	}
}
