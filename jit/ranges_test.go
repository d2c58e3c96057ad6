package jit

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// edges are where spans and numbers begin and end.
var edges = []int64{0, 1, -1, 7, 8, 31, 32, 63, 255, -255, 256, 65535, 1 << 20, 1<<20 + 1, math.MaxInt32, math.MinInt32, math.MaxUint32,
	1 << 32, 1<<32 + 5, -(1 << 33), reach - 1, -reach, 1 << 62, math.MaxInt64, math.MinInt64}

func someSpan(r *rand.Rand) span {
	if r.IntN(8) == 0 {
		return everything
	}
	a, b := edges[r.IntN(len(edges))], edges[r.IntN(len(edges))]
	if r.IntN(3) == 0 {
		b = a
	}
	return span{min(a, b), max(a, b)}
}

func (s span) some(r *rand.Rand) int64 {
	switch r.IntN(4) {
	case 0:
		return s.lo
	case 1:
		return s.hi
	}
	if width := uint64(s.hi) - uint64(s.lo); width != math.MaxUint64 {
		return s.lo + int64(r.Uint64N(width+1))
	}
	return int64(r.Uint64())
}

// TestSpansHoldResults applies every operation on registers alone to numbers of many spans.
func TestSpansHoldResults(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		for range 20_000 {
			if !step(k.Example(), nil, &[asm.NumRegs]uint64{}) {
				break
			}
			in := registers(r, k)
			var known ranges
			var regs [asm.NumRegs]uint64
			for i := range known {
				known[i] = someSpan(r)
				regs[i] = uint64(known[i].some(r))
			}
			before, values := known, regs
			if k.Info().Class == asm.ClassALU {
				known[in.Dst] = known.alu(in, k.Info())
			}
			known.after(in, k.Info(), nil)
			step(in, nil, &regs)
			if v := int64(regs[in.Dst]); v < known[in.Dst].lo || v > known[in.Dst].hi {
				t.Fatalf("%s of %v, %v: %d is not in %v", asm.Format(in, nil), before, values, v, known[in.Dst])
			}
		}
	}
}

// registers is an instruction of that kind with registers and an immediate of some sort.
func registers(r *rand.Rand, k asm.Kind) asm.Insn {
	in := k.Example()
	in.Dst = asm.Reg(r.IntN(10))
	if k.Info().UseSrc || k.Info().Class == asm.ClassMovsx {
		in.Src = asm.Reg(r.IntN(11))
	} else if k.Info().Class == asm.ClassALU {
		in.Imm = int32(edges[r.IntN(len(edges))])
	}
	return in
}

// step does an instruction that uses nothing but registers; it is false for others.
func step(in asm.Insn, next *asm.Insn, regs *[asm.NumRegs]uint64) bool {
	info := asm.KindOf(in).Info()
	dst, src := &regs[in.Dst], regs[in.Src]
	switch info.Class {
	case asm.ClassALU:
		*dst = asm.Eval(info.ALU, info.Width, *dst, asm.Operand(in, src))
	case asm.ClassNeg:
		*dst = asm.EvalNeg(info.Width, *dst)
	case asm.ClassMovsx:
		*dst = asm.SignExtend(src, info.Size, info.Width)
	case asm.ClassSwap:
		*dst = asm.EvalSwap(info.Swap, info.Size, *dst)
	case asm.ClassImm64:
		if next == nil {
			return false
		}
		*dst = asm.Imm64(in, *next)
	default:
		return false
	}
	return true
}

// TestRangesAlongPrograms runs programs of numbers, with jumps to and fro, and looks at every step whether what is known
// there holds.
func TestRangesAlongPrograms(t *testing.T) {
	var kinds []asm.Kind
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if step(k.Example(), &asm.Insn{}, &[asm.NumRegs]uint64{}) || controls[k].jumps && k != asm.MayGoto {
			kinds = append(kinds, k)
		}
	}
	narrow, steps := 0, 0
	for seed := range uint64(3000) {
		r := rand.New(rand.NewPCG(seed, 3))
		insns := numbers(r, kinds)
		known := rangesAt(t, insns)
		regs := [asm.NumRegs]uint64{}
		for i := range regs {
			regs[i] = uint64(everything.some(r))
		}
		regs[1], regs[10] = uint64(r.Uint32()), uint64(r.Uint32())
		for pc, n := 0, 0; asm.KindOf(insns[pc]) != asm.Exit && n < 200; n++ {
			steps++
			for i, v := range regs {
				if s := known[pc][i]; int64(v) < s.lo || int64(v) > s.hi {
					t.Fatalf("seed %d, pc %d: r%d = %d is not in %v\n%s", seed, pc, i, int64(v), s, text(insns))
				} else if i != int(asm.R10) && s != everything {
					narrow++
				}
			}
			pc = walk(insns, pc, &regs)
		}
	}
	require.Greater(t, narrow, steps/4, "spans that say something")
}

// walk does the instruction at pc and returns where control goes.
func walk(insns []asm.Insn, pc int, regs *[asm.NumRegs]uint64) int {
	in, k := insns[pc], asm.KindOf(insns[pc])
	info := k.Info()
	switch {
	case info.Class == asm.ClassJump,
		info.Class == asm.ClassBranch && asm.Taken(info.Cond, info.Width, regs[in.Dst], asm.Operand(in, regs[in.Src])):
		return in.Target(pc)
	case k == asm.LdImm64:
		step(in, &insns[pc+1], regs)
	default:
		step(in, nil, regs)
	}
	return pc + width(k)
}

// numbers is a program of some of those kinds.
func numbers(r *rand.Rand, kinds []asm.Kind) []asm.Insn {
	var insns []asm.Insn
	var starts []int
	for range 5 + r.IntN(40) {
		starts = append(starts, len(insns))
		k := kinds[r.IntN(len(kinds))]
		in := registers(r, k)
		insns = append(insns, in)
		if k == asm.LdImm64 {
			insns[len(insns)-1].Imm = int32(edges[r.IntN(len(edges))])
			insns = append(insns, asm.Insn{Imm: int32(edges[r.IntN(len(edges))])})
		}
	}
	starts = append(starts, len(insns))
	insns = append(insns, asm.Exit.Example())
	for pc := range insns {
		switch d := starts[r.IntN(len(starts))] - pc - 1; {
		case asm.KindOf(insns[pc]) == asm.Ja32:
			insns[pc].Imm = int32(d)
		case controls[asm.KindOf(insns[pc])].jumps:
			insns[pc].Off = int16(d)
		}
	}
	return insns
}

// rangesAt tells what code generation knows before each instruction.
func rangesAt(t *testing.T, insns []asm.Insn) []ranges {
	g := &gen{insns: insns}
	require.NoError(t, g.findBlocks())
	known := make([]ranges, len(insns))
	for pc := 0; pc < len(insns); pc += width(g.kinds[pc]) {
		if g.leader[pc] {
			g.flow.begin(pc)
		}
		known[pc] = g.flow.ranges
		if to := insns[pc].Target(pc); to > pc {
			g.flow.jumps(to)
		}
		in, info := insns[pc], g.kinds[pc].Info()
		if info.Class == asm.ClassALU {
			g.flow.ranges[in.Dst] = g.flow.alu(in, info)
		}
		g.follow(pc, in, info)
	}
	return known
}

func text(insns []asm.Insn) (s string) {
	for pc := 0; pc < len(insns); pc += width(asm.KindOf(insns[pc])) {
		s += formatAt(insns, pc) + "\n"
	}
	return s
}
