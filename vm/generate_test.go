package vm_test

import (
	"math/rand/v2"

	"github.com/skepvm/skep/asm"
)

// generator makes programs of legal instructions, every kind as likely as another, that Link takes. They need not make
// sense: loops that don't end and wild addresses are wanted.
type generator struct {
	rng     *rand.Rand
	helpers bool // call helpers, load map 0 to maps-1
	maps    int
	kinds   [asm.NumKinds]int // how often each kind was made
}

// edges are values that operations tend to get wrong.
var edges = []int32{0, 1, -1, 2, 7, 8, 16, 31, 32, 33, 63, 64, 127, 128, 255, 256, 0x7fff, 0x8000, 0xffff, 0x10000, 0x7fffffff, -0x80000000}

func (g *generator) imm() int32 {
	if g.rng.IntN(4) > 0 {
		return edges[g.rng.IntN(len(edges))]
	}
	return int32(g.rng.Uint32())
}

// program makes about n instructions.
func (g *generator) program(n int) []asm.Insn {
	var prog []asm.Insn
	var starts []int
	for range n {
		starts = append(starts, len(prog))
		prog = append(prog, g.insn()...)
	}
	starts = append(starts, len(prog))
	prog = append(prog, asm.Exit.Example())
	for _, pc := range starts {
		g.aim(prog, pc, starts)
	}
	return prog
}

func (g *generator) insn() []asm.Insn {
	for {
		k := asm.Kind(1 + g.rng.IntN(asm.NumKinds-1))
		if k == asm.CallHelper && !g.helpers {
			continue
		}
		if k == asm.Exit && g.rng.IntN(4) > 0 || k == asm.CallKfunc && g.rng.IntN(8) > 0 {
			continue // these end most programs early
		}
		g.kinds[k]++
		in := k.Example()
		legal := k.Info().Legal
		if legal.Dst == asm.WriteReg || legal.Dst == asm.ReadReg {
			in.Dst = asm.Reg(g.rng.IntN(10))
		}
		if legal.Src == asm.WriteReg || legal.Src == asm.ReadReg {
			in.Src = asm.Reg(g.rng.IntN(10))
		}
		if legal.Imm == asm.AnyValue {
			in.Imm = g.imm()
		}
		g.memory(&in, k.Info())
		switch k {
		case asm.CallHelper:
			in.Imm = int32(g.rng.IntN(220))
		case asm.CallReg:
			return g.callReg(in)
		}
		if k != asm.LdImm64 {
			return []asm.Insn{in}
		}
		return g.imm64(in)
	}
}

// callReg mostly gives the register the id of a helper.
func (g *generator) callReg(in asm.Insn) []asm.Insn {
	ids := []int32{5, 7, 8, 12, 181, 5000, int32(g.rng.IntN(220))}
	mov := asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: in.Dst, Imm: ids[g.rng.IntN(len(ids))]}
	if g.rng.IntN(2) == 0 { // as older compilers have it
		in.Imm, in.Dst = int32(in.Dst), 0
	}
	if g.rng.IntN(4) == 0 {
		return []asm.Insn{in}
	}
	return []asm.Insn{mov, in}
}

// memory aims most accesses at the stack.
func (g *generator) memory(in *asm.Insn, info *asm.Info) {
	base := &in.Dst
	switch info.Class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		base = &in.Src
	case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic:
	default:
		return
	}
	in.Off = int16(g.imm())
	if g.rng.IntN(8) > 0 {
		*base, in.Off = asm.FP, -int16(1+g.rng.IntN(64))
		if g.rng.IntN(2) == 0 {
			in.Off &^= 7
		}
	}
}

func (g *generator) imm64(in asm.Insn) []asm.Insn {
	second := asm.Insn{Imm: g.imm()}
	switch {
	case g.maps > 0 && g.rng.IntN(2) == 0:
		in.Src, in.Imm, second.Imm = asm.PseudoMapIdx, int32(g.rng.IntN(g.maps)), 0
	case g.rng.IntN(3) == 0:
		in.Src, second.Imm = asm.PseudoFunc, 0
	}
	return []asm.Insn{in, second}
}

// aim gives the jump, call or function load at pc a target.
func (g *generator) aim(prog []asm.Insn, pc int, starts []int) {
	in := &prog[pc]
	delta := starts[g.rng.IntN(len(starts))] - pc - 1
	switch k := asm.KindOf(*in); {
	case k == asm.Ja32, k == asm.CallLocal, k == asm.LdImm64 && in.Src == asm.PseudoFunc:
		in.Imm = int32(delta)
	case k == asm.Ja, k == asm.MayGoto, k.Info().Class == asm.ClassBranch:
		in.Off = int16(delta)
	}
}
