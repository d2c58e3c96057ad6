package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/maps"
)

func (g *x64) callHash(f, ask label) {
	g.a.Call(f)
	g.a.RR(amd64.TestMR, amd64.L, x64Scratch, x64Scratch)
	g.a.Jcc(amd64.CondNE, ask)
}

// Registers of a hash function: R0 is the result and x64Scratch 0, or x64Scratch is 1 and Go is to be asked. Before that the
// key's host address is in x64Scratch.
var (
	x64Hash  = x64Map[asm.R0]
	x64Word  = x64Map[asm.R1] // a word of the key; of a short key the only one
	x64Slot  = x64Map[asm.R3] // number of the slot
	x64Index = x64Map[asm.R4] // host address of the index table
	x64Elem  = x64Map[asm.R5] // the slot's contents, then the element's guest address
)

// hashWalk emits the walk from the first slot on. The native stack keeps the fuel, whose register counts slots, and the
// counter of moves.
func (g *x64) hashWalk(f *hashFunc) {
	again, next, other, miss, ask := g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1)
	g.a.O(amd64.PushO, amd64.Q, x64Fuel)
	g.a.Imm(x64Elem, uint64(f.Moves))
	g.a.RM(amd64.MovRM, amd64.L, x64Elem, amd64.Indexed(x64Base, x64Elem, 0))
	g.a.O(amd64.PushO, amd64.Q, x64Elem)
	g.firstSlot(f)
	g.a.Imm(amd64.RCX, hashProbes)
	g.a.Bind(again)
	g.hashSlot(f, other, next)
	g.popWalk()
	g.hashHit(f)

	g.a.Bind(other)
	g.a.RI(amd64.ShrI8, amd64.Q, x64Elem, 32)
	g.a.Jcc(amd64.CondE, miss)
	g.a.Bind(next)
	g.a.RI(amd64.AddI8, amd64.L, x64Slot, 1)
	g.a.RI(amd64.AndI32, amd64.L, x64Slot, int32(f.IndexMask))
	g.a.RI(amd64.SubI8, amd64.L, amd64.RCX, 1)
	g.a.Jcc(amd64.CondNE, again)
	g.a.Bind(ask)
	g.movImm(x64Map[asm.R1], uint64(f.handle))
	g.popWalk()
	g.hashReturn(1)

	g.a.Bind(miss)
	g.a.Imm(x64Elem, uint64(f.Moves))
	g.a.RM(amd64.MovRM, amd64.L, x64Elem, amd64.Indexed(x64Base, x64Elem, 0))
	g.a.RM(amd64.CmpRM, amd64.L, x64Elem, amd64.At(amd64.RSP, 0))
	g.a.Jcc(amd64.CondNE, ask)
	g.a.RI(amd64.TestI32, amd64.L, x64Elem, 1)
	g.a.Jcc(amd64.CondNE, ask)
	g.movImm(x64Hash, 0)
	g.popWalk()
	g.hashReturn(0)
}

// popWalk drops the counter of moves and restores the fuel.
func (g *x64) popWalk() {
	g.a.O(amd64.PopO, amd64.Q, x64Scratch)
	g.a.O(amd64.PopO, amd64.Q, x64Fuel)
}

// hashStart hashes the key and finds the first slot.
func (g *x64) hashStart(f *hashFunc) {
	g.address(x64Map[asm.R2], 0)
	g.a.RR(amd64.AddRM, amd64.Q, x64Scratch, x64Base)
	g.a.Imm(x64Hash, maps.HashSeed)
	g.a.Imm(x64Slot, maps.HashMul)
	for _, w := range f.words {
		g.keyWord(w)
		g.a.RR(amd64.XorRM, amd64.Q, x64Hash, x64Word)
		g.a.R(amd64.MulM, amd64.Q, x64Slot) // RDX:RAX = RAX * x64Slot
		g.a.RR(amd64.XorRM, amd64.Q, x64Hash, amd64.RDX)
	}
	g.loadBase()
	g.a.Imm(x64Index, uint64(f.Index))
	g.a.RR(amd64.AddRM, amd64.Q, x64Index, x64Base)
	g.firstSlot(f)
}

func (g *x64) firstSlot(f *hashFunc) {
	g.a.RR(amd64.MovRM, amd64.L, x64Slot, x64Hash)
	g.a.RI(amd64.AndI32, amd64.L, x64Slot, int32(f.IndexMask))
}

// hashSlot goes on when the key is in the slot. It goes to other, with the slot's contents in x64Elem, when the slot has
// another hash, and to next when it has another key.
func (g *x64) hashSlot(f *hashFunc, other, next label) {
	g.a.RM(amd64.MovRM, amd64.Q, x64Elem, amd64.Mem{Base: x64Index, Index: x64Slot, Scale: 8})
	g.a.RR(amd64.CmpRM, amd64.L, x64Elem, x64Hash)
	g.a.Jcc(amd64.CondNE, other)
	g.hashElem(f, next)
}

// keyWord loads a word of the key.
func (g *x64) keyWord(w keyWord) {
	g.a.RM(zeroExtending[w.size], amd64.Width(w.size == 8), x64Word, amd64.At(x64Scratch, w.off))
	if w.shift != 0 {
		g.a.RI(amd64.ShrI8, amd64.Q, x64Word, w.shift)
	}
}

// hashElem makes the slot in x64Elem the address of the element, and goes to next when its key is another.
func (g *x64) hashElem(f *hashFunc, next label) {
	g.a.RI(amd64.ShrI8, amd64.Q, x64Elem, 32)
	g.a.RI(amd64.SubI8, amd64.L, x64Elem, 1) // an empty slot's is beyond any Max now
	g.compare(x64Elem, int32(f.Max))
	g.a.Jcc(amd64.CondAE, next)
	g.a.RRI(amd64.ImulI32, amd64.L, x64Elem, x64Elem, int32(f.ElemStride))
	g.a.RI(amd64.AddI32, amd64.L, x64Elem, int32(f.Elems))
	for i, w := range f.words {
		if len(f.words) > 1 {
			g.keyWord(w)
		}
		g.a.RM(amd64.CmpRM, amd64.Q, x64Word, amd64.Indexed(x64Base, x64Elem, int32(8*i)))
		g.a.Jcc(amd64.CondNE, next)
	}
}

// hashHit returns the address of the value, and marks the element as used.
func (g *x64) hashHit(f *hashFunc) {
	g.a.RM(amd64.LeaRM, amd64.L, x64Hash, amd64.At(x64Elem, int32(f.ValueOff)))
	if f.CPUStride != 0 {
		g.a.RMI(amd64.ImulI32, amd64.L, x64Word, amd64.At(x64State, offCPU), int32(f.CPUStride))
		g.a.RR(amd64.AddRM, amd64.L, x64Hash, x64Word)
	}
	if f.Refs != 0 {
		g.a.RM(amd64.MovRM, amd64.L, x64Elem, amd64.Mem{Base: x64Index, Index: x64Slot, Scale: 8, Disp: 4})
		g.a.RI(amd64.AddI32, amd64.L, x64Elem, int32(f.Refs-1)) // the slot has element + 1
		g.a.MI(amd64.MovBI8, amd64.L, amd64.Indexed(x64Base, x64Elem, 0), 1)
	}
	g.hashReturn(0)
}

// hashReturn returns with that in x64Scratch.
func (g *x64) hashReturn(ask uint64) {
	g.movImm(x64Scratch, ask)
	g.a.Z(amd64.Ret, amd64.L)
}
