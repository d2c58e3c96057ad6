package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// stubs emits the ways in and out of machine code. Each program has its own, so that its code needs no address of
// anything outside it.
//
// The trampoline has put the state block into a64State and switched to the private stack. All of run, batch, callback
// and resume are reached by a jump and leave by a ret to the trampoline's caller, so that the processor's stack of
// return addresses stays right.
func (g *a64) stubs() {
	g.runStub()
	g.batchStub()
	g.callbackStub()
	g.leaveStub()
	g.resumeStub()
	g.a.Bind(g.ret)
	g.exit()
	if g.t.zero {
		g.zeroStub()
	}
}

// zeroStub is a function that zeroes the frame around a64Frame.
func (g *a64) zeroStub() {
	g.a.Bind(g.zero)
	for off := int32(-frameMiddle); off < frameMiddle; off += 16 {
		g.a.Pair(arm64.Stp, arm64.ZR, arm64.ZR, a64Frame, off)
	}
	g.exit()
}

func (g *a64) fromState(w arm64.Width, r arm64.Reg, off int32) {
	op := arm64.LdrW
	if w == arm64.X {
		op = arm64.LdrX
	}
	g.a.RM(op, r, arm64.At(a64State, off))
}

func (g *a64) toState(w arm64.Width, off int32, r arm64.Reg) {
	op := arm64.StrW
	if w == arm64.X {
		op = arm64.StrX
	}
	g.a.RM(op, r, arm64.At(a64State, off))
}

// runStub runs the program once.
func (g *a64) runStub() {
	g.a.Bind(g.run)
	g.loadFuelAndBase()
	g.callProgram()
	g.a.Bind(g.leaveDone)
	g.toState(arm64.X, offRegs, a64Map[asm.R0])
	g.toState(arm64.X, offFuel, a64Fuel)
	g.a.Imm(a64Scratch, siteDone)
	g.toState(arm64.W, offSite, a64Scratch)
	g.toGo()
}

// callProgram sets the registers as every run starts with them and calls slot 0.
func (g *a64) callProgram() {
	g.fromState(arm64.W, a64Map[asm.R1], offCtx)
	g.fromState(arm64.W, a64Map[asm.R10], offStackTop)
	g.setFrame()
	for r := asm.R0; r <= asm.R9; r++ {
		if r != asm.R1 {
			g.a.Imm(a64Map[r], 0)
		}
	}
	if g.loops {
		g.toState(arm64.W, offLoops, arm64.ZR)
	}
	if g.t.zero {
		g.a.Call(g.zero)
	}
	g.a.Call(g.slot(0))
}

// batchStub runs the program on one frame after the other and writes result and count into each frame header.
func (g *a64) batchStub() {
	next := g.a.Labels(1)
	g.a.Bind(g.batch)
	g.loadFuelAndBase()
	g.a.Bind(next)
	g.charge(frameCost)
	g.toState(arm64.X, offFrameFuel, a64Fuel)
	g.callProgram()
	cursor, insns, left := arm64.X1, arm64.X2, arm64.X3
	g.fromState(arm64.W, cursor, offCtx)
	g.fromState(arm64.X, insns, offFrameFuel)
	g.a.RRR(arm64.SubR, arm64.X, insns, insns, a64Fuel)
	header := arm64.Indexed(a64Base, a64Addr)
	g.address(cursor, prog.FrameInsns)
	g.a.RM(arm64.StrX, insns, header)
	g.address(cursor, prog.FrameRet)
	g.a.RM(arm64.StrX, a64Map[asm.R0], header)
	g.fromState(arm64.W, a64Scratch, offStride)
	g.a.RRR(arm64.AddR, arm64.W, cursor, cursor, a64Scratch)
	g.toState(arm64.W, offCtx, cursor)
	g.fromState(arm64.W, left, offLeft)
	g.a.RRI(arm64.SubI, arm64.W, left, left, 1)
	g.toState(arm64.W, offLeft, left)
	g.a.Jzero(arm64.W, left, g.leaveDone)
	g.goFuelled(next)
	g.leaveFor(exitBatch, 0, next)
}

// callbackStub calls a function of the program in the middle of a helper. Unlike a run's end, R1-R5 are kept: they are
// what the helper's caller finds in them.
func (g *a64) callbackStub() {
	g.a.Bind(g.callback)
	g.loadRegs()
	g.fromState(arm64.X, a64Scratch, offResume)
	g.a.R(arm64.Blr, a64Scratch)
	for r := asm.R1; r <= asm.R5; r++ {
		g.toState(arm64.X, offRegs+int32(r)*8, a64Map[r])
	}
	g.a.Jmp(g.leaveDone)
}

// leaveStub saves everything and goes to Go; a64Scratch has the number of the site. The return address of the running
// function stays on the native stack.
func (g *a64) leaveStub() {
	g.a.Bind(g.leave)
	g.toState(arm64.W, offSite, a64Scratch)
	g.a.Imm(a64Scratch, uint64(g.t.id))
	g.toState(arm64.W, offCode, a64Scratch)
	for i, r := range a64Map {
		g.toState(arm64.X, offRegs+int32(i)*8, r)
	}
	g.toState(arm64.X, offFuel, a64Fuel)
	g.a.Pair(arm64.StpPre, arm64.X30, arm64.ZR, arm64.SP, -16)
	g.a.RRI(arm64.AddI, arm64.X, a64Scratch, arm64.SP, 0)
	g.toState(arm64.X, offNativeSP, a64Scratch)
	g.toGo()
}

// toGo goes back to the trampoline's caller.
func (g *a64) toGo() {
	g.fromState(arm64.X, a64Scratch, offGoSP)
	g.a.RRI(arm64.AddI, arm64.X, arm64.SP, a64Scratch, 0)
	g.fromState(arm64.X, arm64.X29, offGoBP)
	g.fromState(arm64.X, arm64.X30, offGoLR)
	g.exit()
}

// resumeStub continues where Go says with what Go left in the state block. The trampoline has set SP.
func (g *a64) resumeStub() {
	g.a.Bind(g.resume)
	g.loadRegs()
	g.a.Pair(arm64.LdpPost, arm64.X30, arm64.ZR, arm64.SP, 16)
	g.fromState(arm64.X, a64Scratch, offResume)
	g.a.R(arm64.Br, a64Scratch)
}

// loadRegs fetches all registers from the state block.
func (g *a64) loadRegs() {
	g.loadFuelAndBase()
	for i, r := range a64Map {
		g.fromState(arm64.X, r, offRegs+int32(i)*8)
	}
	g.setFrame()
}

func (g *a64) loadFuelAndBase() {
	g.fromState(arm64.X, a64Fuel, offFuel)
	g.fromState(arm64.X, a64Base, offBase)
}

// frameMiddle is how far a64Frame is below R10: with a displacement of 9 signed bits, loads and stores of all sizes
// reach the whole frame.
const frameMiddle = vm.FrameSize / 2

// setFrame makes a64Frame fit R10.
func (g *a64) setFrame() {
	g.a.RRI(arm64.SubI, arm64.X, a64Frame, a64Map[asm.R10], frameMiddle)
	g.a.RRR(arm64.AddR, arm64.X, a64Frame, a64Frame, a64Base)
}

func (g *a64) coldPath(c coldPath) {
	if c.kind != coldNull { // division needs none
		panic("jit: cold path of another processor")
	}
	g.a.Imm(a64Map[asm.R0], 0)
}
