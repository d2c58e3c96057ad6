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
		}
		if endsBlock(k) {
			g.leader[pc+1] = true
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
	switch k.Info().Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
		return true
	case asm.ClassImm64:
		return in.Src == asm.PseudoFunc
	}
	return k == asm.CallLocal
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

// constants are the registers whose value is known within a basic block.
type constants struct {
	set   asm.RegSet
	value [asm.NumRegs]uint64
}

// after follows one instruction, which writes those registers.
func (c *constants) after(in asm.Insn, k asm.Kind, writes asm.RegSet, rest []asm.Insn) {
	if k == asm.Mov64X && c.set.Has(in.Src) {
		c.put(in.Dst, c.value[in.Src])
		return
	}
	c.set &^= writes
	switch k {
	case asm.LdImm64:
		c.put(in.Dst, asm.Imm64(in, rest[1]))
	case asm.Mov64K:
		c.put(in.Dst, uint64(int64(in.Imm)))
	}
}

func (c *constants) put(r asm.Reg, v uint64) {
	c.set |= 1 << r
	c.value[r] = v
}
