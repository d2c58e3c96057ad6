package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/vm"
)

func (g *gen) slot(pc int) label { return g.slots + label(pc) }

// jump emits a taken jump from pc. One that goes back looks at the fuel, so that no loop keeps the processor from
// Go's scheduler or runs beyond its budget.
func (g *gen) jump(pc, to int) {
	if to > pc {
		g.flow.jumps(to)
	}
	switch {
	case to > pc && g.stretch(to) != g.stretch(pc):
		g.pause(pc, g.slot(to))
	case to == pc+1:
	case to > pc:
		g.emit.goTo(g.slot(to))
	default:
		g.emit.goFuelled(g.slot(to))
		g.leaveFor(exitYield, pc, g.slot(to))
	}
}

// stretch numbers pieces of a program. Going from one to another, in whatever way, looks at the fuel, so that a long
// program without a loop doesn't keep Go waiting for all of its length.
func (g *gen) stretch(pc int) int {
	if g.t.stretch == 0 {
		return 0
	}
	return pc >> g.t.stretch
}

// pause emits a jump to l that looks at the fuel. Unlike a jump back it is no place where the budget ends a run.
func (g *gen) pause(pc int, l label) {
	g.emit.goFuelled(l)
	g.leaveFor(exitPause, pc, l)
}

// jumpIf emits a conditional jump from pc. goes emits a jump to a label that is taken as the program's is, or otherwise.
func (g *gen) jumpIf(pc, to int, goes func(taken bool, l label)) {
	if to > pc && g.stretch(to) == g.stretch(pc) {
		g.flow.jumps(to)
		goes(true, g.slot(to))
		return
	}
	over := g.out.Labels(1)
	goes(false, over)
	g.jump(pc, to)
	g.out.Bind(over)
}

func (g *gen) branch(pc int, info *asm.Info) {
	in := g.insns[pc]
	g.jumpIf(pc, g.kinds[pc].Target(in, pc), func(taken bool, l label) { g.emit.compareGo(in, info, taken, l) })
}

func (g *gen) mayGoto(pc int) {
	g.jumpIf(pc, g.insns[pc].Target(pc), func(taken bool, l label) { g.emit.loopsLeftGo(!taken, l) })
	g.emit.countLoop()
}

func (g *gen) call(pc int) {
	switch g.kinds[pc] {
	case asm.CallLocal:
		g.callLocal(pc)
	case asm.CallHelper:
		g.callHelper(pc)
	case asm.CallReg:
		g.exitAt(exitCallReg, pc)
	default:
		g.leaveFor(exitBad, pc, g.leave)
	}
}

// callLocal calls a function of the program with a native call: the return address and the saved registers live on
// the private stack, which has room for vm.MaxFrames of them.
func (g *gen) callLocal(pc int) {
	again := g.out.Labels(1)
	yield := g.leaveLater(exitYield, pc, again)
	depth := g.leaveLater(exitDepth, pc, g.leave)
	g.emit.callFunc(g.slot(g.insns[pc].Target(pc)), yield, again, depth)
}

// Ids of the helpers that the engine does itself.
const (
	mapLookupID = 1
	cpuNumberID = 8
	tailCallID  = 12
)

// callHelper calls a helper: a few in machine code, all others in Go.
func (g *gen) callHelper(pc int) {
	switch id := g.insns[pc].Imm; {
	case id == cpuNumberID:
		g.emit.cpuNumber()
		return
	case id == mapLookupID && g.mapLookup(pc):
		return
	}
	g.exitAt(exitHelper, pc)
}

// arrayLookup emits R0 = address of the element whose index R2 points to, or 0. Sizes and addresses of the map are
// constants of the code: what the guest may have done to the map's header does not matter.
// A key at the very end of guest memory is left to the helper, which has a fault for it.
func (g *gen) arrayLookup(pc int, handle uint32, m arrayMap) {
	done := g.out.Labels(1)
	outside := g.leaveLater(exitHelper, pc, done)
	null := g.later(coldPath{kind: coldNull, back: done})
	if !g.trusts() { // then R1 may not be what it should be
		g.emit.compareGo(asm.Insn{Dst: asm.R1, Imm: int32(handle)}, asm.Jne64K.Info(), true, outside)
	}
	g.emit.lookUp(m, outside, null)
	g.out.Bind(done)
}

// atomic emits an atomic. An address that is not aligned, which the verifier refuses, goes to Go: processors fault on
// it, or stop the whole machine, and some kernels kill the process.
func (g *gen) atomic(pc int, info *asm.Info) {
	done := g.out.Labels(1)
	g.emit.atomicOp(g.insns[pc], info, func() label { return g.leaveLater(exitAtomic, pc, done) })
	g.out.Bind(done)
}

// inFrame reports whether base+off is in the running frame whatever the program does: nothing can write R10.
func inFrame(base asm.Reg, off int16) bool { return base == asm.R10 && off < 0 && off >= -vm.FrameSize }

func signed(op asm.ALUOp) bool    { return op == asm.SDiv || op == asm.SMod }
func remainder(op asm.ALUOp) bool { return op == asm.Mod || op == asm.SMod }
