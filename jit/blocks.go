package jit

import (
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
)

// findBlocks tells kinds and marks where basic blocks begin: the entry, jump targets, functions, and behind everything
// that does not simply go on with the next slot.
func (g *gen) findBlocks() error {
	n := len(g.insns)
	g.kinds = make([]asm.Kind, n)
	g.leader = make([]bool, n+1)
	g.writes = slices.Grow(g.writes[:0], n)[:n]
	g.second = slices.Grow(g.second[:0], n)[:n]
	clear(g.second)
	g.flow.reset(n)
	g.leader[0] = true
	for pc := 0; pc < n; pc++ {
		in := g.insns[pc]
		k := asm.KindOf(in)
		g.kinds[pc] = k
		writes := k.Info().Writes(in)
		g.writes[pc] = writes
		g.survey(in, k, writes)
		if writes.Has(asm.R10) || in.Dst > asm.R10 || in.Src > asm.R10 {
			return &Error{PC: pc, Insn: in, Reason: "illegal register"}
		}
		if hasTarget(in, k) {
			to := in.Target(pc)
			if to < 0 || to >= n {
				return &Error{PC: pc, Insn: in, Reason: "jump out of the program"}
			}
			g.leader[to] = true
			if to <= pc || !jumps(k) {
				g.flow.open[to] = true
			}
		}
		if endsBlock(k) {
			g.leader[pc+1] = true
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
	if n == 0 || !neverFallsThrough(g.lastKind()) {
		return &Error{PC: n - 1, Reason: "the last instruction falls off the end"}
	}
	return nil
}

func hasTarget(in asm.Insn, k asm.Kind) bool {
	return jumps(k) || k == asm.CallLocal || k == asm.LdImm64 && in.Src == asm.PseudoFunc
}

func jumps(k asm.Kind) bool {
	switch k.Info().Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
		return true
	}
	return false
}

// survey notes what local calls have to save. After a tail call another program runs, which may write all registers.
func (g *gen) survey(in asm.Insn, k asm.Kind, writes asm.RegSet) {
	g.saved |= writes & calleeSaved
	g.loops = g.loops || k == asm.MayGoto
	switch k {
	case asm.CallReg:
		g.saved, g.backs = calleeSaved, true
	case asm.CallHelper:
		row := helpers.ByID(in.Imm)
		if in.Imm == tailCallID {
			g.saved = calleeSaved
		} else if row != nil && row.Engine {
			g.backs = true
		}
	}
}

// calleeSaved are R6-R9.
const calleeSaved asm.RegSet = 0x3c0

func (g *gen) lastKind() asm.Kind { return g.kinds[len(g.kinds)-1] }

// endsBlock reports whether control may not go to the next slot, or whether the count must be exact behind it.
func endsBlock(k asm.Kind) bool {
	switch k.Info().Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto, asm.ClassExit, asm.ClassInvalid:
		return true
	}
	return k == asm.CallLocal || k == asm.CallKfunc
}

func neverFallsThrough(k asm.Kind) bool {
	switch k {
	case asm.Ja, asm.Ja32, asm.Exit, asm.CallKfunc:
		return true
	}
	return false
}

// blockRest counts the instructions from pc to the end of its basic block.
func blockRest(kinds []asm.Kind, leader []bool, pc int) int32 {
	n := int32(0)
	for i := pc; i < len(kinds) && (i == pc || !leader[i]); i += width(kinds[i]) {
		n++
	}
	return n
}
