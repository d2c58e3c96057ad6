package jit

import (
	"slices"

	"github.com/skepvm/skep/asm"
)

// findBlocks tells kinds and marks where basic blocks begin: the entry, jump targets, functions, and behind everything
// that does not simply go on with the next slot.
func (g *gen) findBlocks() error {
	n := len(g.insns)
	g.kinds = make([]asm.Kind, n)
	g.leader = make([]bool, n+1)
	g.second = slices.Grow(g.second[:0], n)[:n]
	clear(g.second)
	g.flow.reset(n)
	g.leader[0] = true
	for pc := 0; pc < n; pc++ {
		in := g.insns[pc]
		k := asm.KindOf(in)
		g.kinds[pc] = k
		writes := k.Info().Writes(in)
		g.survey(in, k, writes)
		if writes.Has(asm.R10) || in.Dst > asm.R10 || in.Src > asm.R10 {
			return &Error{PC: pc, Insn: in, Reason: "illegal register"}
		}
		ways := &controls[k]
		if ways.jumps || k == asm.CallLocal || k == asm.LdImm64 && in.Src == asm.PseudoFunc {
			to := k.Target(in, pc)
			if to < 0 || to >= n {
				return &Error{PC: pc, Insn: in, Reason: "jump out of the program"}
			}
			g.leader[to] = true
			if to <= pc || !ways.jumps {
				g.flow.open[to] = true
			}
		}
		if ways.ends {
			g.leader[pc+1] = true
		}
		if _, counted := g.t.counter(pc); counted {
			g.leader[pc] = true
		}
		if next := pc + width(k); next < n && g.stretch(next) != g.stretch(pc) {
			g.leader[next] = true
		}
		if k == asm.LdImm64 {
			if pc+1 == n {
				return &Error{PC: pc, Insn: in, Reason: "half a 64-bit load at the end"}
			}
			pc++
			g.second[pc] = true
		}
	}
	for pc, is := range g.second {
		if is && g.leader[pc] {
			return &Error{PC: pc, Insn: g.insns[pc], Reason: "jump into a 64-bit load"}
		}
	}
	if n == 0 || !controls[g.kinds[n-1]].final {
		return &Error{PC: n - 1, Reason: "the last instruction falls off the end"}
	}
	return nil
}

// survey notes what local calls have to save. After a tail call another program runs, which may write all registers.
func (g *gen) survey(in asm.Insn, k asm.Kind, writes asm.RegSet) {
	g.saved |= writes & calleeSaved
	g.loops = g.loops || k == asm.MayGoto
	switch k {
	case asm.CallReg:
		g.saved, g.backs = calleeSaved, true
	case asm.CallHelper:
		row := g.t.tables.Callable(in.Imm)
		if in.Imm == tailCallID {
			g.saved = calleeSaved
		} else if row != nil && row.Engine {
			g.backs = true
		}
	}
}

// calleeSaved are R6-R9.
const calleeSaved asm.RegSet = 0x3c0

// controls says where control can go from an instruction of a kind.
var controls = func() (all [asm.NumKinds]struct {
	jumps bool // to another instruction of the function
	ends  bool // the block: control may not go to the next slot, or the count must be exact behind it
	final bool // it never goes to the next slot
}) {
	for k := range all {
		c, kind := &all[k], asm.Kind(k)
		switch kind.Info().Class {
		case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
			c.jumps, c.ends = true, true
		case asm.ClassExit, asm.ClassInvalid:
			c.ends = true
		}
		switch kind {
		case asm.CallLocal:
			c.ends = true
		case asm.Ja, asm.Ja32, asm.Exit, asm.CallKfunc:
			c.ends, c.final = true, true
		}
	}
	return all
}()

// blockRest counts the instructions from pc to the end of its basic block.
func blockRest(kinds []asm.Kind, leader []bool, pc int) int32 {
	n := int32(0)
	for i := pc; i < len(kinds) && (i == pc || !leader[i]); i += width(kinds[i]) {
		n++
	}
	return n
}
