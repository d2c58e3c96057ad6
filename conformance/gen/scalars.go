package gen

import (
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// aluKinds are all that compute with registers alone.
var aluKinds = func() (out []asm.Kind) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		switch k.Info().Class {
		case asm.ClassALU, asm.ClassNeg, asm.ClassMovsx, asm.ClassSwap:
			out = append(out, k)
		}
	}
	return out
}()

// branchKinds are the conditional jumps.
var branchKinds = func() (out []asm.Kind) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if k.Info().Class == asm.ClassBranch {
			out = append(out, k)
		}
	}
	return out
}()

var edges = []int64{0, 1, -1, 2, 3, 4, 7, 8, 14, 15, 16, 31, 32, 33, 63, 64, 127, 128, -128, 255, 256, 0x7fff, 0xffff, 0x10000,
	0x7fffffff, -0x80000000, -0x7fffffff, -2, -8, -16, 10, 20, 60, 512}

func (g *generator) imm() int64 {
	if g.one(6) {
		return int64(g.n(1<<16) - 1<<15)
	}
	return edges[g.n(len(edges))]
}

// wide is a 64-bit constant, often near a 32-bit edge.
func (g *generator) wide() uint64 {
	switch g.n(4) {
	case 0:
		return uint64(g.imm())
	case 1:
		return uint64(uint32(g.imm()))
	case 2:
		return uint64(g.imm())<<32 | uint64(uint32(g.imm()))
	}
	return 1<<uint(g.n(64)) - uint64(g.n(3))
}

// scalar gives r some number.
func (g *generator) scalar(r int) {
	defer g.set(r, number, 0)
	c, fromCtx := g.find(context)
	switch g.n(8) {
	case 0:
		g.emit("r%d = %d", r, g.imm())
	case 1:
		g.emit("w%d = %d", r, g.imm())
	case 2:
		g.emit("r%d = %#x ll", r, g.wide())
	case 3:
		if s, ok := g.find(value); ok {
			g.load(r, s, g.regs[s].size)
			return
		}
		fallthrough
	case 4:
		if s, ok := g.find(packet); ok && g.regs[s].size > 0 {
			g.load(r, s, g.regs[s].size)
			return
		}
		fallthrough
	default:
		if !fromCtx {
			g.emit("r%d = %d", r, g.imm())
			return
		}
		g.ctxLoad(r, c)
	}
}

// ctxFields are fields that hold numbers, whose values a test run of the kernel and ours agree about.
var ctxFields = map[prog.Type][]int{
	prog.XDP:          {12, 16},
	prog.SchedCLS:     {0, 8, 16, 20, 32, 48, 52},
	prog.SocketFilter: {0, 8, 16, 20, 32, 48, 52},
}

func (g *generator) ctxLoad(r, c int) {
	if g.typ == prog.XDP && g.one(2) { // the length is the one number of an xdp_md that changes
		t := g.n(6)
		g.emit("r%d = *(u32 *)(r%d + 4)", r, c)
		if t == r {
			t = (r + 1) % 6
		}
		g.emit("r%d = *(u32 *)(r%d + 0)", t, c)
		g.emit("r%d -= r%d", r, t)
		g.set(t, packet, 0)
		return
	}
	off := ctxFields[g.typ][g.n(len(ctxFields[g.typ]))]
	switch {
	case g.slip():
		g.emit("r%d = *(u%d *)(r%d + %d)", r, 8<<g.n(4), c, g.n(200))
	case g.one(8):
		g.emit("r%d = *(u16 *)(r%d + %d)", r, c, off)
	default:
		g.emit("r%d = *(u32 *)(r%d + %d)", r, c, off)
	}
}

// alu is one operation on numbers.
func (g *generator) alu() {
	k := aluKinds[g.n(len(aluKinds))]
	in := k.Example()
	in.Dst = asm.Reg(g.num())
	info := k.Info()
	if info.UseSrc || info.Class == asm.ClassMovsx {
		in.Src = asm.Reg(g.num())
	} else if info.Legal.Imm == asm.AnyValue {
		in.Imm = int32(g.imm())
		switch info.ALU {
		case asm.Lsh, asm.Rsh, asm.Arsh:
			if !g.slip() {
				in.Imm = int32(g.n(int(info.Width)))
			}
		case asm.Div, asm.Mod, asm.SDiv, asm.SMod:
			if in.Imm == 0 && !g.slip() {
				in.Imm = 3
			}
		}
	}
	g.emit("%s", asm.Format(in, nil))
	if in.Dst < 10 && info.ALU == asm.Mov && info.Class == asm.ClassALU {
		g.set(int(in.Dst), number, 0)
	}
}

// condition is a random comparison of r; K operands unless there is another number.
func (g *generator) condition(r int, imm int64) string {
	k := branchKinds[g.n(len(branchKinds))]
	s, ok := g.find(number)
	if k.Info().UseSrc && !ok {
		k = asm.Jgt64K
	}
	in := k.Example()
	in.Dst = asm.Reg(r)
	if k.Info().UseSrc {
		in.Src = asm.Reg(s)
	} else {
		in.Imm = int32(imm)
	}
	in.Off = 0
	text := asm.Format(in, nil)
	return text[:len(text)-len("goto +0")]
}

// narrow learns something of a number from branches to the exit.
func (g *generator) narrow() {
	r := g.num()
	g.emit("%sgoto %s", g.condition(r, g.imm()), g.outs)
}

// extend copies a number with or without its upper half.
func (g *generator) extend() {
	r, s := g.anyReg(), g.num()
	switch g.n(4) {
	case 0:
		g.emit("w%d = w%d", r, s)
	case 1:
		g.emit("r%d = r%d\nr%d <<= 32\nr%d >>= 32", r, s, r, r)
	case 2:
		g.emit("r%d = r%d\nr%d <<= 32\nr%d s>>= 32", r, s, r, r)
	case 3:
		g.emit("r%d = (s%d)r%d", r, 8<<g.n(3), s)
	}
	g.set(r, number, 0)
}

// probe branches around something that is never right: what is accepted shows that the verifier thinks it is dead.
func (g *generator) probe() {
	r := g.num()
	if g.one(2) {
		g.emit("r%d &= %d", r, g.imm())
	}
	l := g.label()
	for range 1 + g.n(2) {
		g.emit("%sgoto %s", g.condition(r, g.imm()), l)
	}
	if !g.one(3) {
		g.emit("%sgoto %s", g.condition(r, g.imm()), l)
	}
	switch g.n(3) {
	case 0:
		g.emit("r0 = *(u64 *)(r10 + 8)")
	case 1:
		g.emit("*(u8 *)(r10 - 513) = 1")
	case 2:
		g.emit("r0 = 0\nr0 = *(u8 *)(r0 + 0)")
	}
	g.place(l)
}

// clamp bounds r to [0, limit], more or less, and more or less well.
func (g *generator) clamp(r, limit int) {
	mask := 1
	for mask*2+1 <= limit {
		mask = mask*2 + 1
	}
	if g.slip() {
		limit += 1 + g.n(4)
	}
	if g.slip() {
		mask = mask*2 + 1
	}
	out := "goto " + g.outs
	reject := func(format string, args ...any) { g.emit("if " + fmt.Sprintf(format, args...) + " " + out) }
	switch g.n(14) {
	case 0, 1:
		g.emit("r%d &= %d", r, mask)
	case 2:
		g.emit("w%d &= %d", r, mask)
	case 3, 4:
		reject("r%d > %d", r, limit)
	case 5:
		g.emit("w%d = w%d", r, r)
		reject("w%d > %d", r, limit)
	case 6: // the upper half stays unknown
		reject("w%d > %d", r, limit)
		if g.one(2) {
			g.emit("w%d = w%d", r, r)
		}
	case 7:
		reject("r%d s> %d", r, limit)
		if !g.one(3) {
			reject("r%d s< %d", r, g.n(2))
		}
	case 8:
		g.emit("r%d %%= %d", r, limit+1)
	case 9:
		g.emit("r%d >>= %d", r, 64-bitLen(mask))
	case 10:
		g.emit("w%d >>= %d", r, 32-bitLen(mask))
	case 11:
		t := g.num()
		g.emit("r%d = %d", t, limit+1)
		reject("r%d >= r%d", r, t)
	case 12:
		g.emit("w%d = (s8)w%d", r, r)
		reject("w%d s> %d", r, limit)
		reject("w%d s< 0", r)
	case 13: // a copy is bounded
		t := g.anyReg()
		if t != r {
			g.emit("r%d = r%d", t, r)
			g.set(t, number, 0)
		}
		reject("r%d > %d", t, limit)
	}
}

func bitLen(v int) (n int) {
	for ; v != 0; v >>= 1 {
		n++
	}
	return n
}

// constants makes a number that is one of two, by a branch.
func (g *generator) constants() {
	r, s := g.anyReg(), g.num()
	if r == s {
		r = (r + 1) % 10
	}
	other, end := g.label(), g.label()
	g.emit("%sgoto %s", g.condition(s, g.imm()), other)
	g.emit("r%d = %d", r, g.n(32))
	g.emit("goto %s", end)
	g.place(other)
	g.emit("r%d = %d", r, g.n(64))
	g.place(end)
	g.set(r, number, 0)
}
