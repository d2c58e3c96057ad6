package jit

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
)

// x64 makes machine code for x86-64 processors.
type x64 struct {
	*gen
	a amd64.Asm
}

// simple has the machine instructions of the ALU operations that x86 has as they are: with a register, an 8-bit and
// a 32-bit immediate.
var simple = [...]struct{ rm, i8, i32 amd64.Op }{
	asm.Add: {amd64.AddRM, amd64.AddI8, amd64.AddI32},
	asm.Sub: {amd64.SubRM, amd64.SubI8, amd64.SubI32},
	asm.Or:  {amd64.OrRM, amd64.OrI8, amd64.OrI32},
	asm.And: {amd64.AndRM, amd64.AndI8, amd64.AndI32},
	asm.Xor: {amd64.XorRM, amd64.XorI8, amd64.XorI32},
}

// shifts has the forms by immediate, by any register (BMI2) and by CL.
var shifts = [...]struct{ imm, vex, cl amd64.Op }{
	asm.Lsh:  {amd64.ShlI8, amd64.ShlxVEX, amd64.ShlCL},
	asm.Rsh:  {amd64.ShrI8, amd64.ShrxVEX, amd64.ShrCL},
	asm.Arsh: {amd64.SarI8, amd64.SarxVEX, amd64.SarCL},
}

func (g *x64) alu(in asm.Insn, info *asm.Info) {
	w := amd64.Width(info.Width == 64)
	dst, src := x64Map[in.Dst], x64Map[in.Src]
	switch info.ALU {
	case asm.Mov:
		switch {
		case info.UseSrc:
			g.a.RR(amd64.MovRM, w, dst, src)
		case w == amd64.Q:
			g.movImm(dst, uint64(int64(in.Imm)))
		default:
			g.movImm(dst, uint64(uint32(in.Imm)))
		}
	case asm.Lsh, asm.Rsh, asm.Arsh:
		if info.UseSrc {
			g.shift(info.ALU, w, dst, src)
		} else {
			g.shiftImm(info.ALU, w, dst, in.Imm)
		}
	case asm.Mul:
		if info.UseSrc {
			g.a.RR(amd64.ImulRM, w, dst, src)
		} else {
			g.mulImm(w, dst, in.Imm)
		}
	case asm.Div, asm.SDiv, asm.Mod, asm.SMod:
		if info.UseSrc {
			g.divide(info.ALU, w, in.Dst, src)
		} else {
			g.divideImm(info.ALU, w, dst, in.Imm)
		}
	default:
		if info.UseSrc {
			g.a.RR(simple[info.ALU].rm, w, dst, src)
		} else {
			g.arith(info.ALU, w, dst, in.Imm)
		}
	}
}

// movImm loads a constant; it may change the flags, which no instruction carries to the next.
func (g *x64) movImm(dst amd64.Reg, v uint64) {
	if v == 0 {
		g.a.RR(amd64.XorRM, amd64.L, dst, dst)
		return
	}
	g.a.Imm(dst, v)
}

// zeroExtend clears the upper half when an operation of width w that changed nothing was to do it.
func (g *x64) zeroExtend(w amd64.Width, dst amd64.Reg) {
	if w == amd64.L {
		g.a.RR(amd64.MovRM, amd64.L, dst, dst)
	}
}

// arith emits dst op= imm for the simple operations, in the shortest way.
func (g *x64) arith(op asm.ALUOp, w amd64.Width, dst amd64.Reg, imm int32) {
	switch {
	case op == asm.And && imm == 0xff:
		g.a.RR(amd64.MovzxBRM, amd64.L, dst, dst)
		return
	case op == asm.And && imm == 0xffff:
		g.a.RR(amd64.MovzxWRM, amd64.L, dst, dst)
		return
	case op == asm.And && imm >= 0:
		w = amd64.L // the upper half becomes zero either way
	case op == asm.Xor && imm == -1:
		g.a.R(amd64.NotM, w, dst)
		return
	case imm == 0 && op != asm.And:
		g.zeroExtend(w, dst)
		return
	case imm == 128 && op == asm.Add: // -128 is an 8-bit immediate, 128 is not
		op, imm = asm.Sub, -128
	case imm == 128 && op == asm.Sub:
		op, imm = asm.Add, -128
	}
	if amd64.FitsInt8(imm) {
		g.a.RI(simple[op].i8, w, dst, imm)
	} else {
		g.a.RI(simple[op].i32, w, dst, imm)
	}
}

func (g *x64) shiftImm(op asm.ALUOp, w amd64.Width, dst amd64.Reg, imm int32) {
	count := imm & 31
	if w == amd64.Q {
		count = imm & 63
	}
	if count == 0 {
		g.zeroExtend(w, dst)
		return
	}
	g.a.RI(shifts[op].imm, w, dst, count)
}

func (g *x64) shift(op asm.ALUOp, w amd64.Width, dst, src amd64.Reg) {
	if g.t.BMI2 {
		g.a.RRR(shifts[op].vex, w, dst, dst, src)
		return
	}
	g.a.RR(amd64.MovRM, amd64.Q, x64Scratch, x64Fuel)
	g.a.RR(amd64.MovRM, amd64.L, amd64.RCX, src)
	g.a.R(shifts[op].cl, w, dst)
	g.a.RR(amd64.MovRM, amd64.Q, x64Fuel, x64Scratch)
}

func (g *x64) mulImm(w amd64.Width, dst amd64.Reg, imm int32) {
	switch {
	case imm == 0:
		g.movImm(dst, 0)
	case imm > 0 && imm&(imm-1) == 0:
		g.shiftImm(asm.Lsh, w, dst, int32(bits.TrailingZeros32(uint32(imm))))
	case amd64.FitsInt8(imm):
		g.a.RRI(amd64.ImulI8, w, dst, dst, imm)
	default:
		g.a.RRI(amd64.ImulI32, w, dst, dst, imm)
	}
}

// divide emits dst op= src. The divisors that x86 traps on, 0 and with signs -1, take cold paths.
func (g *x64) divide(op asm.ALUOp, w amd64.Width, bpf asm.Reg, src amd64.Reg) {
	dst := x64Map[bpf]
	done := g.a.Labels(1)
	g.a.RR(amd64.TestMR, w, src, src)
	g.a.Jcc(amd64.CondE, g.later(coldPath{kind: coldDivZero, back: done, op: op, w64: bool(w), reg: bpf}))
	if signed(op) {
		g.a.RI(amd64.CmpI8, w, src, -1)
		g.a.Jcc(amd64.CondE, g.later(coldPath{kind: coldDivMinus, back: done, op: op, w64: bool(w), reg: bpf}))
	}
	if dst == amd64.RAX {
		if result := g.divideRAX(op, w, src); result != dst {
			g.a.RR(amd64.MovRM, w, dst, result)
		}
	} else {
		g.a.RR(amd64.MovRM, amd64.Q, x64Scratch, amd64.RAX)
		g.a.RR(amd64.MovRM, w, amd64.RAX, dst)
		if src == amd64.RAX {
			src = x64Scratch
		}
		result := g.divideRAX(op, w, src)
		g.a.RR(amd64.MovRM, w, dst, result)
		g.a.RR(amd64.MovRM, amd64.Q, amd64.RAX, x64Scratch)
	}
	g.loadBase()
	g.a.Bind(done)
}

// divideRAX divides RAX by src and says which register the result is in. It changes RAX and RDX.
func (g *x64) divideRAX(op asm.ALUOp, w amd64.Width, src amd64.Reg) amd64.Reg {
	if signed(op) {
		g.a.Z(amd64.Cdq, w)
		g.a.R(amd64.IdivM, w, src)
	} else {
		g.a.RR(amd64.XorRM, amd64.L, amd64.RDX, amd64.RDX)
		g.a.R(amd64.DivM, w, src)
	}
	if remainder(op) {
		return amd64.RDX
	}
	return amd64.RAX
}

func (g *x64) loadBase() { g.a.RM(amd64.MovRM, amd64.Q, x64Base, amd64.At(x64State, offBase)) }

// divideImm emits dst op= imm. Divisors that need no division get none.
func (g *x64) divideImm(op asm.ALUOp, w amd64.Width, dst amd64.Reg, imm int32) {
	switch {
	case imm == 0:
		g.divideByZero(op, w, dst)
	case imm == -1 && signed(op):
		g.divideByMinusOne(op, w, dst)
	case imm == 1 && remainder(op):
		g.movImm(dst, 0)
	case imm == 1:
		g.zeroExtend(w, dst)
	case imm > 0 && imm&(imm-1) == 0 && op == asm.Div:
		g.shiftImm(asm.Rsh, w, dst, int32(bits.TrailingZeros32(uint32(imm))))
	case imm > 0 && imm&(imm-1) == 0 && op == asm.Mod:
		g.arith(asm.And, w, dst, imm-1)
	default:
		g.divideByConst(op, w, dst, imm)
	}
}

// divideByConst divides by imm in x64Scratch, and keeps R0 on the native stack meanwhile.
func (g *x64) divideByConst(op asm.ALUOp, w amd64.Width, dst amd64.Reg, imm int32) {
	if dst != amd64.RAX {
		g.a.O(amd64.PushO, amd64.Q, amd64.RAX)
		g.a.RR(amd64.MovRM, w, amd64.RAX, dst)
	}
	g.a.Imm(x64Scratch, uint64(int64(imm)))
	result := g.divideRAX(op, w, x64Scratch)
	if dst != result {
		g.a.RR(amd64.MovRM, w, dst, result)
	}
	if dst != amd64.RAX {
		g.a.O(amd64.PopO, amd64.Q, amd64.RAX)
	}
	g.loadBase()
}

// divideByZero: the quotient is 0, the remainder is the dividend.
func (g *x64) divideByZero(op asm.ALUOp, w amd64.Width, dst amd64.Reg) {
	if remainder(op) {
		g.zeroExtend(w, dst)
	} else {
		g.movImm(dst, 0)
	}
}

// divideByMinusOne: the most negative number is its own negation.
func (g *x64) divideByMinusOne(op asm.ALUOp, w amd64.Width, dst amd64.Reg) {
	if remainder(op) {
		g.movImm(dst, 0)
	} else {
		g.a.R(amd64.NegM, w, dst)
	}
}

func (g *x64) charge(n int32) { g.arith(asm.Sub, amd64.Q, x64Fuel, n) }

func (g *x64) count(counter uint32) {
	g.a.Imm(x64Scratch, uint64(counter))
	g.a.LockMI(amd64.AddI8, amd64.Q, amd64.Indexed(x64Base, x64Scratch, 0), 1)
}

func (g *x64) constant(dst asm.Reg, v uint64) { g.a.Imm(x64Map[dst], v) }

func (g *x64) truncate(dst, src asm.Reg) { g.a.RR(amd64.MovRM, amd64.L, x64Map[dst], x64Map[src]) }

func (g *x64) neg(in asm.Insn, info *asm.Info) {
	g.a.R(amd64.NegM, amd64.Width(info.Width == 64), x64Map[in.Dst])
}

func (g *x64) movsx(in asm.Insn, info *asm.Info) {
	w := amd64.Width(info.Width == 64)
	g.a.RR(signExtending[info.Size], w, x64Map[in.Dst], x64Map[in.Src])
}

// signExtending and zeroExtending have the loads and moves by size in bytes.
var (
	signExtending = [...]amd64.Op{1: amd64.MovsxBRM, 2: amd64.MovsxWRM, 4: amd64.MovsxdRM}
	zeroExtending = [...]amd64.Op{1: amd64.MovzxBRM, 2: amd64.MovzxWRM, 4: amd64.MovRM, 8: amd64.MovRM}
)

func (g *x64) swap(in asm.Insn, info *asm.Info) {
	dst := x64Map[in.Dst]
	w := amd64.Width(info.Size == 8)
	switch {
	case info.Swap == asm.ToLE && info.Size == 8:
	case info.Swap == asm.ToLE:
		g.a.RR(zeroExtending[info.Size], amd64.L, dst, dst)
	case info.Size == 2:
		g.a.RI(amd64.RolWI8, amd64.L, dst, 8)
		g.a.RR(amd64.MovzxWRM, amd64.L, dst, dst)
	default:
		g.a.O(amd64.BswapO, w, dst)
	}
}
