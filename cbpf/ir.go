package cbpf

import (
	"fmt"
	"slices"
	"sync"
)

// A graph is a filter between the generator, which writes it, the optimiser, which rewrites it, and the layout, which
// makes instructions of it. It has no cycles. Blocks that no path reaches are harmless: the layout leaves them out.
type graph struct {
	blocks []block
	entry  blockID
}

// blockID indexes graph.blocks.
type blockID int32

// noBlock stands for the successors that a return doesn't have.
const noBlock blockID = -1

// A block is a list of statements and how it ends: a conditional jump to one of two blocks, or a return. Where both
// successors are one block the jump is not conditional, whatever term says.
//
// Registers and memory are those of the machine: A, X and M[0] to M[15], where the generator keeps the values of
// expressions. A value that is stored in one block may be loaded in any later one. Most blocks load A before they look
// at it, but not all: A and X may be live from one block to the next.
type block struct {
	stmts []Insn // loads, stores, arithmetic and moves; a load outside the packet ends the filter with 0
	term  Insn   // of class jmp: operation, source and K, with Jt and Jf 0; or of class ret. Never a ja
	t, f  blockID
}

// returns says if the filter ends with the block.
func (b *block) returns() bool { return b.term.Op&0x07 == ClassRet }

// add appends a block and returns its id.
func (g *graph) add(b block) blockID {
	g.blocks = append(g.blocks, b)
	return blockID(len(g.blocks) - 1)
}

// A layoutError says that a graph has more instructions than a program may have.
type layoutError struct{ insns int }

func (e *layoutError) Error() string {
	return fmt.Sprintf("the filter has %d instructions, the kernel takes %d", e.insns, MaxInsns)
}

// layout is the state of putting blocks in a row.
type layout struct {
	g            *graph
	order        []blockID // blocks in the order of the program
	at           []int32   // first instruction of each block; -1: not visited, no path leads to it
	longT, longF []bool    // the jump is too far for 8 bits, a ja after the conditional jump does it
}

var layouts = sync.Pool{New: func() any { return new(layout) }}

// maxSkip is how many instructions a conditional jump can skip.
const maxSkip = 255

// linearize makes a program of the graph. The order of blocks is libpcap's, so that listings can be compared: a block
// comes before its true branch and that before the false one, as far as jumps forward allow.
func (g *graph) linearize() (Program, error) {
	l := layouts.Get().(*layout)
	defer layouts.Put(l)
	n := len(g.blocks)
	l.g, l.order = g, slices.Grow(l.order[:0], n)
	l.at = slices.Grow(l.at[:0], n)[:n]
	l.longT, l.longF = slices.Grow(l.longT[:0], n)[:n], slices.Grow(l.longF[:0], n)[:n]
	clear(l.longT)
	clear(l.longF)
	for i := range l.at {
		l.at[i] = -1
	}
	l.visit(g.entry)
	slices.Reverse(l.order)
	total := l.place()
	for l.lengthen() {
		total = l.place()
	}
	if total > MaxInsns {
		return nil, &layoutError{total}
	}
	p := make(Program, 0, total)
	for i := range l.order {
		p = l.emit(p, i)
	}
	return p, nil
}

// visit appends the block to order when all blocks that come after it are there.
func (l *layout) visit(id blockID) {
	if l.at[id] >= 0 {
		return
	}
	l.at[id] = 0
	if b := &l.g.blocks[id]; !b.returns() {
		l.visit(b.f)
		l.visit(b.t)
	}
	l.order = append(l.order, id)
}

// place gives each block its first instruction and returns how many instructions there are.
func (l *layout) place() int {
	pc := int32(0)
	for i, id := range l.order {
		l.at[id] = pc
		pc += int32(len(l.g.blocks[id].stmts)) + l.ending(i)
	}
	return int(pc)
}

// ending is how many instructions end the block at a place of the order.
func (l *layout) ending(i int) int32 {
	id := l.order[i]
	b := &l.g.blocks[id]
	if !b.returns() && b.t == b.f {
		if i+1 < len(l.order) && l.order[i+1] == b.t {
			return 0
		}
		return 1
	}
	n := int32(1)
	if l.longT[id] {
		n++
	}
	if l.longF[id] {
		n++
	}
	return n
}

// lengthen finds conditional jumps that don't reach and says if there were new ones.
func (l *layout) lengthen() bool {
	changed := false
	for _, id := range l.order {
		b := &l.g.blocks[id]
		if b.returns() || b.t == b.f {
			continue
		}
		next := l.at[id] + int32(len(b.stmts)) + 1
		if !l.longT[id] && l.at[b.t]-next > maxSkip {
			l.longT[id], changed = true, true
		}
		if !l.longF[id] && l.at[b.f]-next > maxSkip {
			l.longF[id], changed = true, true
		}
	}
	return changed
}

// emit appends the block at a place of the order.
func (l *layout) emit(p Program, i int) Program {
	id := l.order[i]
	b := &l.g.blocks[id]
	p = append(p, b.stmts...)
	switch {
	case b.returns():
		return append(p, b.term)
	case b.t == b.f:
		if l.ending(i) == 1 {
			p = append(p, Insn{Op: ClassJmp | JmpJa, K: uint32(l.at[b.t]) - uint32(len(p)) - 1})
		}
		return p
	}
	jump := len(p)
	p = append(p, b.term)
	p[jump].Jt, p = l.reach(p, jump, b.t, l.longT[id])
	p[jump].Jf, p = l.reach(p, jump, b.f, l.longF[id])
	return p
}

// reach returns what the conditional jump at an index skips to get to a block, or to the ja that goes there.
func (l *layout) reach(p Program, jump int, to blockID, long bool) (uint8, Program) {
	if !long {
		return uint8(int(l.at[to]) - jump - 1), p
	}
	here := len(p)
	p = append(p, Insn{Op: ClassJmp | JmpJa, K: uint32(l.at[to]) - uint32(here) - 1})
	return uint8(here - jump - 1), p
}
