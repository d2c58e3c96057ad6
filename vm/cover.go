package vm

import (
	"sync/atomic"

	"github.com/skepvm/skep/asm"
)

// cover is what Config.Cover adds to a linked program: a counter for each place where control can arrive, in guest memory, where
// machine code reaches it as easily as any other. Between two such places instructions run one after the other.
type cover struct {
	starts []bool // by slot: a counter is there
	addr   uint32 // of the counters, 8 bytes a slot
}

// coverSize is how many bytes a program of so many slots has for its counters.
func coverSize(slots int) uint32 { return uint32(slots) * 8 }

// findCover marks the places where control can arrive: the program's and its functions' entries, targets of jumps, and behind every
// instruction that may not go on to the next, a call among them. It wants the instructions as the loader made them.
func (l *Linked) findCover() *cover {
	c := &cover{starts: make([]bool, len(l.insns)+1)}
	c.starts[0] = true
	for _, f := range l.prog.Funcs {
		if f.Start >= 0 && f.Start < len(l.insns) {
			c.starts[f.Start] = true
		}
	}
	for pc := 0; pc < len(l.insns); pc++ {
		in, kind := l.insns[pc], asm.KindOf(l.insns[pc])
		switch kind.Info().Class {
		case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
			c.starts[kind.Target(in, pc)], c.starts[pc+1] = true, true
		case asm.ClassCall:
			c.starts[pc+1] = true
			if kind == asm.CallLocal {
				c.starts[kind.Target(in, pc)] = true
			}
		case asm.ClassExit, asm.ClassAbs, asm.ClassInd:
			c.starts[pc+1] = true
		case asm.ClassImm64:
			if in.Src == asm.PseudoFunc {
				c.starts[pc+1+int(in.Imm)] = true
			}
			pc++
		}
	}
	c.starts = c.starts[:len(l.insns)]
	return c
}

// CoverAt returns the guest address of the counter of slot pc; false when there is none, because control always comes to pc
// from the instruction before it, or because the machine does not count.
func (l *Linked) CoverAt(pc int) (addr uint32, ok bool) {
	if l.cover == nil || !l.cover.starts[pc] {
		return 0, false
	}
	return l.cover.addr + uint32(pc)*8, true
}

// Executed returns how often each slot's instruction was executed on all engines of the machine, nil when it does not count
// (Config.Cover). The second slot of a 64-bit load has the count of the first. A run that ends in a fault counts the instructions of a
// straight line of which it did not reach the end, too.
func (m *Machine) Executed(l *Linked) []uint64 {
	if l.cover == nil {
		return nil
	}
	counts := make([]uint64, len(l.insns))
	for pc := range counts {
		if l.cover.starts[pc] {
			counts[pc] = atomic.LoadUint64((*uint64)(m.space.Pointer(l.cover.addr + uint32(pc)*8)))
		} else {
			counts[pc] = counts[pc-1]
		}
	}
	return counts
}

// count is the interpreter's part.
func (x *Interpreter) count(pc int) {
	if addr, ok := x.prog.CoverAt(pc); ok {
		atomic.AddUint64((*uint64)(x.space.Pointer(addr)), 1)
	}
}
