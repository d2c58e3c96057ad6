package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/vm"
)

// conds has the processor's condition of each BPF condition, after cmp or, for Jset, test.
var conds = [...]amd64.Cond{
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

func (g *gen) slot(pc int) amd64.Label { return g.slots + amd64.Label(pc) }

// jump emits a taken jump from pc. One that goes back looks at the fuel, so that no loop keeps the processor from
// Go's scheduler or runs beyond its budget.
func (g *gen) jump(pc, to int) {
	switch {
	case to == pc+1:
	case to > pc:
		g.a.Jmp(g.slot(to))
	default:
		g.jumpFuelled(g.slot(to))
		g.leaveFor(exitYield, pc, g.slot(to))
	}
}

// jumpIf emits a jump from pc that is taken when c holds.
func (g *gen) jumpIf(c amd64.Cond, pc, to int) {
	if to > pc {
		g.a.Jcc(c, g.slot(to))
		return
	}
	over := g.a.Labels(1)
	g.a.Jcc(c.Not(), over)
	g.jump(pc, to)
	g.a.Bind(over)
}

func (g *gen) branch(pc int, info *asm.Info) {
	in := g.insns[pc]
	w := amd64.Width(info.Width == 64)
	dst := regMap[in.Dst]
	switch {
	case info.UseSrc && info.Cond == asm.Jset:
		g.a.RR(amd64.TestMR, w, regMap[in.Src], dst)
	case info.UseSrc:
		g.a.RR(amd64.CmpRM, w, dst, regMap[in.Src])
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
	g.jumpIf(conds[info.Cond], pc, in.Target(pc))
}

// loopCount is the may_goto counter of the running activation; it computes its place in scratch.
func (g *gen) loopCount() amd64.Mem {
	g.a.RM(amd64.MovRM, amd64.L, scratch, amd64.At(stateReg, offStackTop))
	g.a.RR(amd64.SubRM, amd64.L, scratch, regMap[asm.R10])
	g.a.RI(amd64.ShrI8, amd64.L, scratch, 7) // frame number times 4: frames are 512 bytes
	return amd64.Indexed(stateReg, scratch, offLoops)
}

func (g *gen) mayGoto(pc int) {
	count := g.loopCount()
	g.a.MI(amd64.CmpI32, amd64.L, count, vm.MaxLoops)
	to := g.insns[pc].Target(pc)
	g.jumpIf(amd64.CondAE, pc, to)
	g.a.MI(amd64.AddI8, amd64.L, count, 1)
}

func (g *gen) call(pc int) {
	switch g.kinds[pc] {
	case asm.CallLocal:
		g.callLocal(pc)
	case asm.CallHelper:
		g.callHelper(pc)
	default:
		g.leaveFor(exitBad, pc, g.leave)
	}
}

// callLocal calls a function of the program with a native call: the return address and the saved registers live on
// the private stack, which has room for MaxFrames of them.
func (g *gen) callLocal(pc int) {
	g.a.RR(amd64.TestMR, amd64.Q, fuelReg, fuelReg)
	again := g.a.Labels(1)
	g.a.Jcc(amd64.CondS, g.later(coldPath{kind: coldLeave, back: again, site: g.newSite(exitYield, pc, again)}))
	g.a.Bind(again)
	fp := regMap[asm.R10]
	g.a.RM(amd64.CmpRM, amd64.L, fp, amd64.At(stateReg, offLastFrame))
	g.a.Jcc(amd64.CondBE, g.later(coldPath{kind: coldLeave, site: g.newSite(exitDepth, pc, g.leave)}))
	for r := asm.R6; r <= asm.R9; r++ {
		if g.saved.Has(r) {
			g.a.O(amd64.PushO, amd64.Q, regMap[r])
		}
	}
	g.a.RI(amd64.SubI32, amd64.Q, fp, vm.FrameSize)
	if g.loops {
		g.a.MI(amd64.MovI32, amd64.L, g.loopCount(), 0)
	}
	g.a.Call(g.slot(g.insns[pc].Target(pc)))
	g.a.RI(amd64.AddI32, amd64.Q, fp, vm.FrameSize)
	for r := asm.R9; r >= asm.R6; r-- {
		if g.saved.Has(r) {
			g.a.O(amd64.PopO, amd64.Q, regMap[r])
		}
	}
}
