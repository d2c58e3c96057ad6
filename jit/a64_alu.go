package jit

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
)

// a64 makes machine code for arm64 processors.
type a64 struct {
	*gen
	a arm64.Asm
}

// a64Simple has the machine instructions of the ALU operations that arm64 has as they are: with a register, and with
// an immediate that fits.
var a64Simple = [...]struct{ reg, imm arm64.Op }{
	asm.Add: {arm64.AddR, arm64.AddI},
	asm.Sub: {arm64.SubR, arm64.SubI},
	asm.Or:  {arm64.OrrR, arm64.OrrI},
	asm.And: {arm64.AndR, arm64.AndI},
	asm.Xor: {arm64.EorR, arm64.EorI},
}

// a64Shifts has the shifts by any register: the count is masked as RFC 9669 wants it.
var a64Shifts = [...]arm64.Op{asm.Lsh: arm64.LslR, asm.Rsh: arm64.LsrR, asm.Arsh: arm64.AsrR}

func (g *a64) alu(in asm.Insn, info *asm.Info) {
	w := arm64.Width(info.Width == 64)
	dst := a64Map[in.Dst]
	if !info.UseSrc {
		g.aluImm(info.ALU, w, dst, in.Imm)
		return
	}
	src := a64Map[in.Src]
	switch op := info.ALU; op {
	case asm.Mov:
		g.a.Mov(w, dst, src)
	case asm.Lsh, asm.Rsh, asm.Arsh:
		g.a.RRR(a64Shifts[op], w, dst, dst, src)
	case asm.Mul:
		g.a.RRRR(arm64.MaddR, w, dst, dst, src, arm64.ZR)
	case asm.Div, asm.SDiv, asm.Mod, asm.SMod:
		g.divide(op, w, dst, src)
	default:
		g.a.RRR(a64Simple[op].reg, w, dst, dst, src)
	}
}

func (g *a64) aluImm(op asm.ALUOp, w arm64.Width, dst arm64.Reg, imm int32) {
	power := -1 // imm is 1<<power
	if imm > 0 && imm&(imm-1) == 0 {
		power = bits.TrailingZeros32(uint32(imm))
	}
	switch {
	case op == asm.Mov:
		g.a.Imm(dst, operand(w, imm))
	case op == asm.Lsh || op == asm.Rsh || op == asm.Arsh:
		g.shiftImm(op, w, dst, imm)
	case op == asm.Mul && power >= 0:
		g.shiftImm(asm.Lsh, w, dst, int32(power))
	case op == asm.Div && power >= 0:
		g.shiftImm(asm.Rsh, w, dst, int32(power))
	case op == asm.Mod && power >= 0:
		g.arith(asm.And, w, dst, imm-1)
	case op == asm.Mul:
		g.a.Imm(a64Scratch, operand(w, imm))
		g.a.RRRR(arm64.MaddR, w, dst, dst, a64Scratch, arm64.ZR)
	case op == asm.Div || op == asm.SDiv || op == asm.Mod || op == asm.SMod:
		g.a.Imm(a64Scratch, operand(w, imm))
		g.divide(op, w, dst, a64Scratch)
	default:
		g.arith(op, w, dst, imm)
	}
}

// operand is an instruction's immediate as the operation of that width sees it.
func operand(w arm64.Width, imm int32) uint64 {
	if w == arm64.W {
		return uint64(uint32(imm))
	}
	return uint64(int64(imm))
}

// zeroExtend clears the upper half when an operation of width w that changed nothing was to do it.
func (g *a64) zeroExtend(w arm64.Width, dst arm64.Reg) {
	if w == arm64.W {
		g.a.Mov(arm64.W, dst, dst)
	}
}

// arith emits dst op= imm for the simple operations.
func (g *a64) arith(op asm.ALUOp, w arm64.Width, dst arm64.Reg, imm int32) {
	v := operand(w, imm)
	switch {
	case op == asm.Add:
		g.add(w, dst, dst, int64(imm))
	case op == asm.Sub:
		g.add(w, dst, dst, -int64(imm))
	case imm == 0 && op == asm.And:
		g.a.Imm(dst, 0)
	case imm == 0, imm == -1 && op == asm.And:
		g.zeroExtend(w, dst)
	case imm == -1 && op == asm.Or:
		g.a.Imm(dst, v)
	case imm == -1:
		g.a.RRR(arm64.OrnR, w, dst, arm64.ZR, dst)
	case arm64.FitsLogic(w, v):
		g.a.RRI(a64Simple[op].imm, w, dst, dst, v)
	default:
		g.a.Imm(a64Scratch, v)
		g.a.RRR(a64Simple[op].reg, w, dst, dst, a64Scratch)
	}
}

// add emits dst = r + v. When v does not fit an instruction it uses a64Scratch, which r must not be.
func (g *a64) add(w arm64.Width, dst, r arm64.Reg, v int64) {
	switch {
	case v == 0 && dst == r:
		g.zeroExtend(w, dst)
	case v == 0:
		g.a.Mov(w, dst, r)
	case arm64.FitsArith(uint64(v)):
		g.a.RRI(arm64.AddI, w, dst, r, uint64(v))
	case arm64.FitsArith(uint64(-v)):
		g.a.RRI(arm64.SubI, w, dst, r, uint64(-v))
	case w == arm64.W:
		g.a.Imm(a64Scratch, uint64(uint32(v)))
		g.a.RRR(arm64.AddR, w, dst, r, a64Scratch)
	default:
		g.a.Imm(a64Scratch, uint64(v))
		g.a.RRR(arm64.AddR, w, dst, r, a64Scratch)
	}
}

func (g *a64) shiftImm(op asm.ALUOp, w arm64.Width, dst arm64.Reg, imm int32) {
	last := uint8(31)
	if w == arm64.X {
		last = 63
	}
	count := uint8(imm) & last
	switch {
	case count == 0:
		g.zeroExtend(w, dst)
	case op == asm.Lsh:
		g.a.Field(arm64.UbfmI, w, dst, dst, last+1-count, last-count)
	case op == asm.Rsh:
		g.a.Field(arm64.UbfmI, w, dst, dst, count, last)
	default:
		g.a.Field(arm64.SbfmI, w, dst, dst, count, last)
	}
}

// divide emits dst op= src. The processor's quotient by 0 is 0, so that the remainder is the dividend, and that of the
// most negative number by -1 is itself: what RFC 9669 wants.
func (g *a64) divide(op asm.ALUOp, w arm64.Width, dst, src arm64.Reg) {
	div := arm64.UdivR
	if signed(op) {
		div = arm64.SdivR
	}
	if !remainder(op) {
		g.a.RRR(div, w, dst, dst, src)
		return
	}
	g.a.RRR(div, w, a64Addr, dst, src)
	g.a.RRRR(arm64.MsubR, w, dst, a64Addr, src, dst)
}

func (g *a64) charge(n int32) { g.add(arm64.X, a64Fuel, a64Fuel, -int64(n)) }

func (g *a64) count(counter uint32) {
	g.a.Imm(a64Addr, uint64(counter))
	g.a.RRR(arm64.AddR, arm64.X, a64Host, a64Base, a64Addr)
	if g.t.LSE {
		g.a.Imm(a64Scratch, 1)
		g.a.Atomic(arm64.Ldadd, arm64.X, a64Scratch, arm64.ZR, a64Host)
		return
	}
	again := g.a.Labels(1)
	g.a.Bind(again)
	g.a.ExLoad(arm64.Ldxr, arm64.X, a64Scratch, a64Host)
	g.add(arm64.X, a64Scratch, a64Scratch, 1)
	g.a.ExStore(arm64.Stxr, arm64.X, a64Status, a64Scratch, a64Host)
	g.a.Jnonzero(arm64.W, a64Status, again)
}

func (g *a64) constant(dst asm.Reg, v uint64) { g.a.Imm(a64Map[dst], v) }

func (g *a64) truncate(dst, src asm.Reg) { g.a.Mov(arm64.W, a64Map[dst], a64Map[src]) }

func (g *a64) neg(in asm.Insn, info *asm.Info) {
	dst := a64Map[in.Dst]
	g.a.RRR(arm64.SubR, arm64.Width(info.Width == 64), dst, arm64.ZR, dst)
}

func (g *a64) movsx(in asm.Insn, info *asm.Info) {
	g.a.Field(arm64.SbfmI, arm64.Width(info.Width == 64), a64Map[in.Dst], a64Map[in.Src], 0, info.Size*8-1)
}

func (g *a64) swap(in asm.Insn, info *asm.Info) {
	dst := a64Map[in.Dst]
	toLE := info.Swap == asm.ToLE
	switch {
	case toLE && info.Size == 8:
	case toLE && info.Size == 4:
		g.a.Mov(arm64.W, dst, dst)
	case info.Size == 2:
		if !toLE {
			g.a.RR(arm64.Rev16R, arm64.W, dst, dst)
		}
		g.a.Field(arm64.UbfmI, arm64.W, dst, dst, 0, 15)
	default:
		g.a.RR(arm64.RevR, arm64.Width(info.Size == 8), dst, dst)
	}
}
