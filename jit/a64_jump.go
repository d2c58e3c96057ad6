package jit

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/vm"
)

// a64Conds has the processor's condition of each BPF condition, after subs or, for Jset, ands.
var a64Conds = [...]arm64.Cond{
	asm.Jeq:  arm64.CondEQ,
	asm.Jgt:  arm64.CondHI,
	asm.Jge:  arm64.CondHS,
	asm.Jset: arm64.CondNE,
	asm.Jne:  arm64.CondNE,
	asm.Jsgt: arm64.CondGT,
	asm.Jsge: arm64.CondGE,
	asm.Jlt:  arm64.CondLO,
	asm.Jle:  arm64.CondLS,
	asm.Jslt: arm64.CondLT,
	asm.Jsle: arm64.CondLE,
}

// fuelSign is the bit of a64Fuel that is set when there is none left.
const fuelSign = 63

func (g *a64) goTo(l label) { g.a.Jmp(l) }

func (g *a64) goFuelled(l label) { g.a.JbitClear(a64Fuel, fuelSign, l) }

// goIf jumps when c holds, or when it doesn't.
func (g *a64) goIf(c arm64.Cond, holds bool, l label) {
	if !holds {
		c = c.Not()
	}
	g.a.Jcc(c, l)
}

func (g *a64) compareGo(in asm.Insn, info *asm.Info, holds bool, l label) {
	w := arm64.Width(info.Width == 64)
	dst := a64Map[in.Dst]
	bitSet := info.Cond == asm.Jset
	switch {
	case info.UseSrc && bitSet:
		g.a.RRR(arm64.AndsR, w, arm64.ZR, dst, a64Map[in.Src])
	case info.UseSrc:
		g.a.RRR(arm64.SubsR, w, arm64.ZR, dst, a64Map[in.Src])
	case in.Imm == 0 && (info.Cond == asm.Jeq) == holds && (info.Cond == asm.Jeq || info.Cond == asm.Jne):
		g.a.Jzero(w, dst, l)
		return
	case in.Imm == 0 && (info.Cond == asm.Jeq || info.Cond == asm.Jne):
		g.a.Jnonzero(w, dst, l)
		return
	case bitSet && in.Imm > 0 && in.Imm&(in.Imm-1) == 0:
		bit := uint8(bits.TrailingZeros32(uint32(in.Imm)))
		if holds {
			g.a.JbitSet(dst, bit, l)
		} else {
			g.a.JbitClear(dst, bit, l)
		}
		return
	case bitSet:
		g.test(w, dst, operand(w, in.Imm))
	default:
		g.compare(w, dst, in.Imm)
	}
	g.goIf(a64Conds[info.Cond], holds, l)
}

// test sets the flags of r & v.
func (g *a64) test(w arm64.Width, r arm64.Reg, v uint64) {
	if arm64.FitsLogic(w, v) {
		g.a.RRI(arm64.AndsI, w, arm64.ZR, r, v)
		return
	}
	g.a.Imm(a64Scratch, v)
	g.a.RRR(arm64.AndsR, w, arm64.ZR, r, a64Scratch)
}

// compare sets the flags of r - imm.
func (g *a64) compare(w arm64.Width, r arm64.Reg, imm int32) {
	switch v := int64(imm); {
	case arm64.FitsArith(uint64(v)):
		g.a.RRI(arm64.SubsI, w, arm64.ZR, r, uint64(v))
	case arm64.FitsArith(uint64(-v)): // not 0: carry and overflow are those of the subtraction
		g.a.RRI(arm64.AddsI, w, arm64.ZR, r, uint64(-v))
	default:
		g.a.Imm(a64Scratch, operand(w, imm))
		g.a.RRR(arm64.SubsR, w, arm64.ZR, r, a64Scratch)
	}
}

// loopCounters computes in a64Addr where the may_goto counter of the running activation is, less offLoops.
func (g *a64) loopCounters() arm64.Mem {
	g.fromState(arm64.W, a64Addr, offStackTop)
	g.a.RRR(arm64.SubR, arm64.W, a64Addr, a64Addr, a64Map[asm.R10])
	g.shiftImm(asm.Rsh, arm64.W, a64Addr, 7) // frame number times 4: frames are 512 bytes
	g.a.RRR(arm64.AddR, arm64.X, a64Addr, a64State, a64Addr)
	return arm64.At(a64Addr, offLoops)
}

func (g *a64) loopsLeftGo(left bool, l label) {
	g.a.RM(arm64.LdrW, a64Status, g.loopCounters())
	g.compare(arm64.W, a64Status, vm.MaxLoops)
	g.goIf(arm64.CondLO, left, l)
}

// countLoop finds the counter in a64Status and its place in a64Addr, where loopsLeftGo has put them.
func (g *a64) countLoop() {
	g.add(arm64.W, a64Status, a64Status, 1)
	g.a.RM(arm64.StrW, a64Status, arm64.At(a64Addr, offLoops))
}

// callFunc keeps the return address of the running function, and of R6-R9 what is written anywhere, on the native stack.
func (g *a64) callFunc(to, yield, again, depth label) {
	g.a.JbitSet(a64Fuel, fuelSign, yield)
	g.a.Bind(again)
	fp := a64Map[asm.R10]
	g.fromState(arm64.W, a64Scratch, offLastFrame)
	g.a.RRR(arm64.SubsR, arm64.W, arm64.ZR, fp, a64Scratch)
	g.a.Jcc(arm64.CondLS, depth)
	keep := []arm64.Reg{arm64.X30}
	for r := asm.R6; r <= asm.R9; r++ {
		if g.saved.Has(r) {
			keep = append(keep, a64Map[r])
		}
	}
	if len(keep)%2 != 0 {
		keep = append(keep, arm64.ZR)
	}
	for i := 0; i < len(keep); i += 2 {
		g.a.Pair(arm64.StpPre, keep[i], keep[i+1], arm64.SP, -16)
	}
	g.add(arm64.X, fp, fp, -vm.FrameSize)
	g.add(arm64.X, a64Frame, a64Frame, -vm.FrameSize)
	if g.loops {
		g.a.RM(arm64.StrW, arm64.ZR, g.loopCounters())
	}
	if g.t.zero {
		g.a.Call(g.zero)
	}
	g.a.Call(to)
	g.add(arm64.X, fp, fp, vm.FrameSize)
	g.add(arm64.X, a64Frame, a64Frame, vm.FrameSize)
	for i := len(keep) - 2; i >= 0; i -= 2 {
		g.a.Pair(arm64.LdpPost, keep[i], keep[i+1], arm64.SP, 16)
	}
}

func (g *a64) exit() { g.a.R(arm64.Ret, arm64.X30) }

func (g *a64) leaveAt(site int32) {
	g.a.Imm(a64Scratch, uint64(site))
	g.a.Jmp(g.leave)
}

func (g *a64) cpuNumber() { g.fromState(arm64.W, a64Map[asm.R0], offCPU) }

func (g *a64) lookUp(m arrayMap, outside, null label) {
	key, index := a64Map[asm.R2], a64Map[asm.R0]
	g.compare(arm64.W, key, int32(g.t.mask-3))
	g.a.Jcc(arm64.CondHI, outside)
	g.a.RM(arm64.LdrW, index, arm64.IndexedHalf(a64Base, key))
	g.compare(arm64.W, index, int32(m.entries))
	g.a.Jcc(arm64.CondHS, null)
	g.a.Imm(a64Addr, uint64(m.data))
	g.a.Imm(a64Scratch, uint64(m.stride))
	g.a.RRRR(arm64.MaddR, arm64.W, index, index, a64Scratch, a64Addr)
	if m.cpuStride != 0 {
		g.fromState(arm64.W, a64Addr, offCPU)
		g.a.Imm(a64Scratch, uint64(m.cpuStride))
		g.a.RRRR(arm64.MaddR, arm64.W, index, a64Addr, a64Scratch, index)
	}
}
