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

// Registers of a hash function. The key's host address is in x64Scratch.
var (
	x64Hash  = x64Map[asm.R0]
	x64Word  = x64Map[asm.R1] // a word of the key; of a short key the only one
	x64Slot  = x64Map[asm.R3] // number of the slot
	x64Index = x64Map[asm.R4] // host address of the index table
	x64Elem  = x64Map[asm.R5] // the slot's contents, then the element's guest address
)

// hashFunc emits a function: R0 is the result and x64Scratch 0, or x64Scratch is 1 and Go is to be asked. The native
// stack keeps the fuel, whose register counts slots, and the map's counter of moves.
func (g *x64) hashFunc(f *hashFunc) {
	again, next, empty, miss, ask := g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1)
	g.hashStart(f)
	g.a.Bind(again)
	g.a.RM(amd64.MovRM, amd64.Q, x64Elem, amd64.Mem{Base: x64Index, Index: x64Slot, Scale: 8})
	g.a.RR(amd64.CmpRM, amd64.L, x64Elem, x64Hash)
	g.a.Jcc(amd64.CondNE, empty)
	g.a.RI(amd64.ShrI8, amd64.Q, x64Elem, 32)
	g.a.Jcc(amd64.CondE, miss)
	g.hashElem(f, next)
	g.hashHit(f)
	g.hashReturn(0)

	g.a.Bind(empty)
	g.a.RI(amd64.ShrI8, amd64.Q, x64Elem, 32)
	g.a.Jcc(amd64.CondE, miss)
	g.a.Bind(next)
	g.a.RI(amd64.AddI8, amd64.L, x64Slot, 1)
	g.a.RI(amd64.AndI32, amd64.L, x64Slot, int32(f.IndexMask))
	g.a.RI(amd64.SubI8, amd64.L, amd64.RCX, 1)
	g.a.Jcc(amd64.CondNE, again)
	g.a.Bind(ask)
	g.movImm(x64Map[asm.R1], uint64(f.handle))
	g.hashReturn(1)

	g.a.Bind(miss)
	g.a.Imm(x64Elem, uint64(f.Moves))
	g.a.RM(amd64.MovRM, amd64.L, x64Elem, amd64.Indexed(x64Base, x64Elem, 0))
	g.a.RM(amd64.CmpRM, amd64.L, x64Elem, amd64.At(amd64.RSP, 0))
	g.a.Jcc(amd64.CondNE, ask)
	g.a.RI(amd64.TestI32, amd64.L, x64Elem, 1)
	g.a.Jcc(amd64.CondNE, ask)
	g.movImm(x64Hash, 0)
	g.hashReturn(0)
}

// hashStart saves what is to be kept, hashes the key and finds the first slot.
func (g *x64) hashStart(f *hashFunc) {
	g.address(x64Map[asm.R2], 0)
	g.a.RR(amd64.AddRM, amd64.Q, x64Scratch, x64Base)
	g.a.O(amd64.PushO, amd64.Q, x64Fuel)
	g.a.Imm(x64Index, uint64(f.Moves))
	g.a.RM(amd64.MovRM, amd64.L, amd64.RCX, amd64.Indexed(x64Base, x64Index, 0))
	g.a.O(amd64.PushO, amd64.Q, amd64.RCX)
	g.a.Imm(x64Hash, maps.HashSeed)
	g.a.Imm(x64Slot, maps.HashMul)
	for _, w := range f.words {
		g.keyWord(w)
		g.a.RR(amd64.XorRM, amd64.Q, x64Hash, x64Word)
		g.a.R(amd64.MulM, amd64.Q, x64Slot) // RDX:RAX = RAX * x64Slot
		g.a.RR(amd64.XorRM, amd64.Q, x64Hash, amd64.RDX)
	}
	g.loadBase()
	g.a.RR(amd64.MovRM, amd64.L, x64Slot, x64Hash)
	g.a.RI(amd64.AndI32, amd64.L, x64Slot, int32(f.IndexMask))
	g.a.Imm(x64Index, uint64(f.Index))
	g.a.RR(amd64.AddRM, amd64.Q, x64Index, x64Base)
	g.a.Imm(amd64.RCX, hashProbes)
}

// keyWord loads a word of the key.
func (g *x64) keyWord(w keyWord) {
	g.a.RM(zeroExtending[w.size], amd64.Width(w.size == 8), x64Word, amd64.At(x64Scratch, w.off))
	if w.shift != 0 {
		g.a.RI(amd64.ShrI8, amd64.Q, x64Word, w.shift)
	}
}

// hashElem makes the slot's element + 1 in x64Elem the address of the element, and goes to next when its key is another.
func (g *x64) hashElem(f *hashFunc, next label) {
	g.a.RI(amd64.SubI8, amd64.L, x64Elem, 1)
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

// hashHit makes R0 the address of the value, and marks the element as used.
func (g *x64) hashHit(f *hashFunc) {
	g.a.RM(amd64.LeaRM, amd64.L, x64Hash, amd64.At(x64Elem, int32(f.ValueOff)))
	if f.CPUStride != 0 {
		g.a.RMI(amd64.ImulI32, amd64.L, amd64.RCX, amd64.At(x64State, offCPU), int32(f.CPUStride))
		g.a.RR(amd64.AddRM, amd64.L, x64Hash, amd64.RCX)
	}
	if f.Refs != 0 {
		g.a.RM(amd64.MovRM, amd64.L, x64Elem, amd64.Mem{Base: x64Index, Index: x64Slot, Scale: 8, Disp: 4})
		g.a.RI(amd64.AddI32, amd64.L, x64Elem, int32(f.Refs-1)) // the slot has element + 1
		g.a.MI(amd64.MovBI8, amd64.L, amd64.Indexed(x64Base, x64Elem, 0), 1)
	}
}

// hashReturn drops the counter of moves, restores the fuel and returns with that in x64Scratch.
func (g *x64) hashReturn(ask uint64) {
	g.a.O(amd64.PopO, amd64.Q, x64Scratch)
	g.a.O(amd64.PopO, amd64.Q, x64Fuel)
	g.movImm(x64Scratch, ask)
	g.a.Z(amd64.Ret, amd64.L)
}
