package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/prog"
)

// stubs emits the ways in and out of machine code. Each program has its own, so that its code needs no address of
// anything outside it.
//
// The trampoline has put the state block into stateReg and switched to the private stack. All of run, batch, callback
// and resume are reached by a jump and leave by a ret to the trampoline's caller, so that the processor's stack of
// return addresses stays right.
func (g *gen) stubs() {
	g.runStub()
	g.batchStub()
	g.callbackStub()
	g.leaveStub()
	g.resumeStub()
	g.a.Bind(g.ret)
	g.a.Z(amd64.Ret, amd64.L)
}

func (g *gen) fromState(w amd64.Width, r amd64.Reg, off int32) {
	g.a.RM(amd64.MovRM, w, r, amd64.At(stateReg, off))
}

func (g *gen) toState(w amd64.Width, off int32, r amd64.Reg) {
	g.a.MR(amd64.MovMR, w, amd64.At(stateReg, off), r)
}

// runStub runs the program once.
func (g *gen) runStub() {
	g.a.Bind(g.run)
	g.fromState(amd64.Q, fuelReg, offFuel)
	g.loadBase()
	g.callProgram()
	g.a.Bind(g.leaveDone)
	g.toState(amd64.Q, offRegs, amd64.RAX)
	g.toState(amd64.Q, offFuel, fuelReg)
	g.a.MI(amd64.MovI32, amd64.L, amd64.At(stateReg, offSite), siteDone)
	g.toGo()
}

// callProgram sets the registers as every run starts with them and calls slot 0.
func (g *gen) callProgram() {
	g.fromState(amd64.L, regMap[asm.R1], offCtx)
	g.fromState(amd64.L, regMap[asm.R10], offStackTop)
	for r := asm.R0; r <= asm.R9; r++ {
		if r != asm.R1 {
			g.movImm(regMap[r], 0)
		}
	}
	if g.loops {
		g.a.MI(amd64.MovI32, amd64.L, amd64.At(stateReg, offLoops), 0)
	}
	g.a.Call(g.slot(0))
}

// batchStub runs the program on one frame after the other and writes result and count into each frame header.
func (g *gen) batchStub() {
	next := g.a.Labels(1)
	g.a.Bind(g.batch)
	g.fromState(amd64.Q, fuelReg, offFuel)
	g.loadBase()
	g.a.Bind(next)
	g.toState(amd64.Q, offFrameFuel, fuelReg)
	g.callProgram()
	cursor, insns := amd64.RDI, amd64.RSI
	g.fromState(amd64.L, cursor, offCtx)
	g.fromState(amd64.Q, insns, offFrameFuel)
	g.a.RR(amd64.SubRM, amd64.Q, insns, fuelReg)
	header := amd64.Indexed(baseReg, scratch, 0)
	g.address(cursor, prog.FrameInsns)
	g.a.MR(amd64.MovMR, amd64.Q, header, insns)
	g.address(cursor, prog.FrameRet)
	g.a.MR(amd64.MovMR, amd64.Q, header, amd64.RAX)
	g.a.RM(amd64.AddRM, amd64.L, cursor, amd64.At(stateReg, offStride))
	g.toState(amd64.L, offCtx, cursor)
	g.a.MI(amd64.SubI8, amd64.L, amd64.At(stateReg, offLeft), 1)
	g.a.Jcc(amd64.CondE, g.leaveDone)
	g.jumpFuelled(next)
	g.leaveFor(exitBatch, 0, next)
}

// callbackStub calls a function of the program in the middle of a helper. Unlike a run's end, R1-R5 are kept: they are
// what the helper's caller finds in them.
func (g *gen) callbackStub() {
	g.a.Bind(g.callback)
	g.loadRegs()
	g.a.M(amd64.CallM, amd64.L, amd64.At(stateReg, offResume))
	for r := asm.R1; r <= asm.R5; r++ {
		g.toState(amd64.Q, offRegs+int32(r)*8, regMap[r])
	}
	g.a.Jmp(g.leaveDone)
}

// jumpFuelled jumps while there is fuel.
func (g *gen) jumpFuelled(l amd64.Label) {
	g.a.RR(amd64.TestMR, amd64.Q, fuelReg, fuelReg)
	g.a.Jcc(amd64.CondNS, l)
}

// leaveStub saves everything and goes to Go; scratch has the number of the site.
func (g *gen) leaveStub() {
	g.a.Bind(g.leave)
	g.toState(amd64.L, offSite, scratch)
	g.a.MI(amd64.MovI32, amd64.L, amd64.At(stateReg, offCode), int32(g.t.id))
	for i, r := range regMap {
		g.toState(amd64.Q, offRegs+int32(i)*8, r)
	}
	g.toState(amd64.Q, offFuel, fuelReg)
	g.toState(amd64.Q, offNativeSP, amd64.RSP)
	g.toGo()
}

// toGo goes back to the trampoline's caller.
func (g *gen) toGo() {
	g.fromState(amd64.Q, amd64.RSP, offGoSP)
	g.fromState(amd64.Q, amd64.RBP, offGoBP)
	g.a.Z(amd64.Ret, amd64.L)
}

// resumeStub continues where Go says with what Go left in the state block. The trampoline has set RSP.
func (g *gen) resumeStub() {
	g.a.Bind(g.resume)
	g.loadRegs()
	g.a.M(amd64.JmpM, amd64.L, amd64.At(stateReg, offResume))
}

// loadRegs fetches all registers from the state block.
func (g *gen) loadRegs() {
	for i, r := range regMap {
		g.fromState(amd64.Q, r, offRegs+int32(i)*8)
	}
	g.fromState(amd64.Q, fuelReg, offFuel)
	g.loadBase()
}

// coldPath is code that hardly ever runs, emitted behind everything else.
type coldPath struct {
	kind  coldKind
	label amd64.Label
	back  amd64.Label
	op    asm.ALUOp
	w     amd64.Width
	reg   amd64.Reg
	site  int32
}

type coldKind uint8

const (
	coldDivZero  coldKind = iota // reg op= 0
	coldDivMinus                 // reg op= -1
	coldNull                     // R0 = 0
	coldLeave                    // leave at site
)

// later puts a cold path off and returns its label.
func (g *gen) later(c coldPath) amd64.Label {
	c.label = g.a.Labels(1)
	g.cold = append(g.cold, c)
	return c.label
}

func (g *gen) coldPaths() {
	for _, c := range g.cold {
		g.a.Bind(c.label)
		switch c.kind {
		case coldDivZero:
			g.divideByZero(c.op, c.w, c.reg)
		case coldDivMinus:
			g.divideByMinusOne(c.op, c.w, c.reg)
		case coldNull:
			g.movImm(amd64.RAX, 0)
		case coldLeave:
			g.a.Imm(scratch, uint64(c.site))
			g.a.Jmp(g.leave)
			continue
		}
		g.a.Jmp(c.back)
	}
}
