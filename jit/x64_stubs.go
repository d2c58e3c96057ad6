package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// stubs emits the ways in and out of machine code. Each program has its own, so that its code needs no address of
// anything outside it.
//
// The trampoline has put the state block into x64State and switched to the private stack. All of run, batch, callback
// and resume are reached by a jump and leave by a ret to the trampoline's caller, so that the processor's stack of
// return addresses stays right.
func (g *x64) stubs() {
	g.runStub()
	g.batchStub()
	g.callbackStub()
	g.leaveStub()
	g.resumeStub()
	g.a.Bind(g.ret)
	g.a.Z(amd64.Ret, amd64.L)
	if g.t.zero {
		g.zeroStub()
	}
}

// zeroStub is a function that zeroes the frame below R10. It uses x64Scratch and an XMM register.
func (g *x64) zeroStub() {
	const xmm, width, half = 0, 16, vm.FrameSize / 2 // half a frame is what displacements of one byte reach
	g.a.Bind(g.zero)
	g.a.RR(amd64.XorpsRM, amd64.L, xmm, xmm)
	for top := int32(0); top < vm.FrameSize; top += half {
		middle := -top - half/2
		g.a.RM(amd64.LeaRM, amd64.Q, x64Scratch, amd64.Indexed(x64Base, x64Map[asm.R10], middle))
		for off := int32(-half / 2); off < half/2; off += width {
			g.a.MR(amd64.MovupsMR, amd64.L, amd64.At(x64Scratch, off), xmm)
		}
	}
	g.a.Z(amd64.Ret, amd64.L)
}

func (g *x64) fromState(w amd64.Width, r amd64.Reg, off int32) {
	g.a.RM(amd64.MovRM, w, r, amd64.At(x64State, off))
}

func (g *x64) toState(w amd64.Width, off int32, r amd64.Reg) {
	g.a.MR(amd64.MovMR, w, amd64.At(x64State, off), r)
}

// runStub runs the program once.
func (g *x64) runStub() {
	g.a.Bind(g.run)
	g.fromState(amd64.Q, x64Fuel, offFuel)
	g.loadBase()
	g.zeroRegs()
	g.callProgram()
	g.a.Bind(g.leaveDone)
	g.toState(amd64.Q, offRegs, amd64.RAX)
	g.toState(amd64.Q, offFuel, x64Fuel)
	g.a.MI(amd64.MovI32, amd64.L, amd64.At(x64State, offSite), siteDone)
	g.toGo()
}

// zeroRegs clears the registers that have no value at the start of a run.
func (g *x64) zeroRegs() {
	for r := asm.R0; r <= asm.R9; r++ {
		if r != asm.R1 {
			g.movImm(x64Map[r], 0)
		}
	}
}

// callProgram sets R1 and R10 as every run starts with them and calls slot 0.
func (g *x64) callProgram() {
	g.fromState(amd64.L, x64Map[asm.R1], offCtx)
	g.fromState(amd64.L, x64Map[asm.R10], offStackTop)
	if g.loops {
		g.a.MI(amd64.MovI32, amd64.L, amd64.At(x64State, offLoops), 0)
	}
	if g.t.zero {
		g.a.Call(g.zero)
	}
	g.a.Call(g.slot(0))
}

// batchStub runs the program on one frame after the other and writes result and count into each frame header. A program
// that was verified reads no register that it has not written: those are zeroed once, so that none has anything of the host's.
func (g *x64) batchStub() {
	next := g.a.Labels(1)
	g.a.Bind(g.batch)
	g.fromState(amd64.Q, x64Fuel, offFuel)
	g.loadBase()
	if g.t.verified {
		g.zeroRegs()
	}
	g.a.Bind(next)
	g.charge(frameCost)
	g.toState(amd64.Q, offFrameFuel, x64Fuel)
	if !g.t.verified {
		g.zeroRegs()
	}
	g.callProgram()
	cursor, insns := amd64.RDI, amd64.RSI
	g.fromState(amd64.L, cursor, offCtx)
	g.fromState(amd64.Q, insns, offFrameFuel)
	g.a.RR(amd64.SubRM, amd64.Q, insns, x64Fuel)
	g.a.MR(amd64.MovMR, amd64.Q, g.header(cursor, prog.FrameInsns), insns)
	g.a.MR(amd64.MovMR, amd64.Q, g.header(cursor, prog.FrameRet), amd64.RAX)
	g.a.RM(amd64.AddRM, amd64.L, cursor, amd64.At(x64State, offStride))
	g.toState(amd64.L, offCtx, cursor)
	g.a.MI(amd64.SubI8, amd64.L, amd64.At(x64State, offLeft), 1)
	g.a.Jcc(amd64.CondE, g.leaveDone)
	g.goFuelled(next)
	g.leaveFor(exitBatch, 0, next)
}

// header is a field of the header of the frame at cursor, a guest address that Go has given.
func (g *x64) header(cursor amd64.Reg, off int32) amd64.Mem {
	if g.t.mask == ^uint32(0) {
		return amd64.Indexed(x64Base, cursor, off) // at worst in the margin
	}
	g.address(cursor, off)
	return amd64.Indexed(x64Base, x64Scratch, 0)
}

// callbackStub calls a function of the program in the middle of a helper. Unlike a run's end, R1-R5 are kept: they are
// what the helper's caller finds in them.
func (g *x64) callbackStub() {
	g.a.Bind(g.callback)
	g.loadRegs()
	g.a.M(amd64.CallM, amd64.L, amd64.At(x64State, offResume))
	for r := asm.R1; r <= asm.R5; r++ {
		g.toState(amd64.Q, offRegs+int32(r)*8, x64Map[r])
	}
	g.a.Jmp(g.leaveDone)
}

// leaveStub saves everything and goes to Go; x64Scratch has the number of the site.
func (g *x64) leaveStub() {
	g.a.Bind(g.leave)
	g.toState(amd64.L, offSite, x64Scratch)
	g.a.MI(amd64.MovI32, amd64.L, amd64.At(x64State, offCode), int32(g.t.id))
	for i, r := range x64Map {
		g.toState(amd64.Q, offRegs+int32(i)*8, r)
	}
	g.toState(amd64.Q, offFuel, x64Fuel)
	g.toState(amd64.Q, offNativeSP, amd64.RSP)
	g.toGo()
}

// toGo goes back to the trampoline's caller.
func (g *x64) toGo() {
	g.fromState(amd64.Q, amd64.RSP, offGoSP)
	g.fromState(amd64.Q, amd64.RBP, offGoBP)
	g.a.Z(amd64.Ret, amd64.L)
}

// resumeStub continues where Go says with what Go left in the state block. The trampoline has set RSP.
func (g *x64) resumeStub() {
	g.a.Bind(g.resume)
	g.loadRegs()
	g.a.M(amd64.JmpM, amd64.L, amd64.At(x64State, offResume))
}

// loadRegs fetches all registers from the state block.
func (g *x64) loadRegs() {
	for i, r := range x64Map {
		g.fromState(amd64.Q, r, offRegs+int32(i)*8)
	}
	g.fromState(amd64.Q, x64Fuel, offFuel)
	g.loadBase()
}

func (g *x64) coldPath(c coldPath) {
	w, reg := amd64.Width(c.w64), x64Map[c.reg]
	switch c.kind {
	case coldDivZero:
		g.divideByZero(c.op, w, reg)
	case coldDivMinus:
		g.divideByMinusOne(c.op, w, reg)
	case coldNull:
		g.movImm(x64Map[asm.R0], 0)
	}
}
