package vm

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
)

// bpf_trace_printk reads registers that its prototype does not name, as its format says, and the verifier lets nobody's values
// through to it: those of R3 to R5 that a call scratched. They are not the same on all engines, so Link makes them 0 where they may
// be.

// tracePrintkID is the helper's.
const tracePrintkID = 6

// scratch are R1-R5, which are anything after a call.
const scratch asm.RegSet = 0x3e

// zeroUnset gives every call of bpf_trace_printk the id that takes for 0 what was not set on each way that leads there.
func (l *Linked) zeroUnset() {
	var calls []int
	for pc, in := range l.insns {
		if asm.KindOf(in) == asm.CallHelper && in.Imm == tracePrintkID {
			calls = append(calls, pc)
		}
	}
	if calls == nil {
		return
	}
	set := l.setOnAllWays()
	for _, pc := range calls {
		l.insns[pc].Imm = helpers.TracePrintk(!set[pc].Has(3), !set[pc].Has(4), !set[pc].Has(5))
	}
}

// setOnAllWays says for each slot which of R1-R5 have a value of the program's on every way from the entry: none that
// a call left. Functions begin with what all their callers have set, callbacks with all.
func (l *Linked) setOnAllWays() []asm.RegSet {
	set, seen := make([]asm.RegSet, len(l.insns)), make([]bool, len(l.insns))
	var work []int
	reach := func(pc int, have asm.RegSet) {
		if pc >= len(l.insns) {
			return
		}
		if seen[pc] && set[pc]&have == set[pc] {
			return
		}
		if seen[pc] {
			have &= set[pc]
		}
		set[pc], seen[pc] = have, true
		work = append(work, pc)
	}
	reach(0, 1<<asm.R1)
	for len(work) > 0 {
		pc := work[len(work)-1]
		work = work[:len(work)-1]
		in, have := l.insns[pc], set[pc]
		kind := asm.KindOf(in)
		next := have | asm.Writes(in)&scratch
		switch kind.Info().Class {
		case asm.ClassImm64:
			if in.Src == asm.PseudoFunc {
				reach(pc+1+int(in.Imm), scratch)
			}
			pc++
		case asm.ClassJump:
			reach(in.Target(pc), next)
			continue
		case asm.ClassBranch, asm.ClassMayGoto:
			reach(in.Target(pc), next)
		case asm.ClassCall:
			if kind == asm.CallLocal {
				reach(in.Target(pc), have)
			}
			next = 0
		case asm.ClassExit:
			continue
		}
		reach(pc+1, next)
	}
	return set
}
