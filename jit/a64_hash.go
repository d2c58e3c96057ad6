package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/maps"
)

// a64Link keeps the running function's return address while it calls a hash function.
const a64Link = arm64.X17

func (g *a64) callHash(f, ask label) {
	g.a.Mov(arm64.X, a64Link, arm64.X30)
	g.a.Call(f)
	g.a.Mov(arm64.X, arm64.X30, a64Link)
	g.a.Jnonzero(arm64.W, a64Scratch, ask)
}

// Registers of a hash function: R0 is the result and a64Scratch 0, or a64Scratch is 1 and Go is to be asked. The key's host
// address is in a64Addr.
var (
	a64Hash   = a64Map[asm.R0]
	a64Elem   = a64Map[asm.R3] // the slot's contents, then the element's number
	a64At     = a64Map[asm.R4] // the element's guest address
	a64Temp   = a64Map[asm.R5]
	a64Word   = arm64.X12 // a word of the key; of a short key the only one
	a64Moves  = arm64.X13 // the map's counter of moves
	a64Index  = arm64.X14 // host address of the index table
	a64Slot   = arm64.X15 // offset of the slot in it
	a64Probes = arm64.X16 // slots that may still be looked at
)

// hashWalk emits the walk from the first slot on. The barriers keep the reads of the table between those of the counter;
// what a slot leads to is ordered by its address.
func (g *a64) hashWalk(f *hashFunc) {
	again, next, other, miss, ask := g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1), g.a.Labels(1)
	g.a.Imm(a64Temp, uint64(f.Moves))
	g.a.RM(arm64.LdrW, a64Moves, arm64.IndexedHalf(a64Base, a64Temp))
	g.a.Z(arm64.DmbIshld)
	g.firstSlot(f)
	g.a.Imm(a64Probes, hashProbes)
	g.a.Bind(again)
	g.hashSlot(f, other, next)
	g.hashHit(f)

	g.a.Bind(other)
	g.shiftImm(asm.Rsh, arm64.X, a64Elem, 32)
	g.a.Jzero(arm64.W, a64Elem, miss)
	g.a.Bind(next)
	g.a.RRI(arm64.AddI, arm64.W, a64Slot, a64Slot, 8)
	g.a.RRI(arm64.AndI, arm64.W, a64Slot, a64Slot, uint64(f.IndexMask)<<3)
	g.a.RRI(arm64.SubI, arm64.W, a64Probes, a64Probes, 1)
	g.a.Jnonzero(arm64.W, a64Probes, again)
	g.a.Bind(ask)
	g.a.Imm(a64Map[asm.R1], uint64(f.handle))
	g.hashReturn(1)

	g.a.Bind(miss)
	g.a.Z(arm64.DmbIshld)
	g.a.Imm(a64Temp, uint64(f.Moves))
	g.a.RM(arm64.LdrW, a64Temp, arm64.IndexedHalf(a64Base, a64Temp))
	g.a.RRR(arm64.SubsR, arm64.W, arm64.ZR, a64Temp, a64Moves)
	g.a.Jcc(arm64.CondNE, ask)
	g.a.JbitSet(a64Temp, 0, ask)
	g.a.Imm(a64Hash, 0)
	g.hashReturn(0)
}

// hashStart hashes the key and finds the first slot.
func (g *a64) hashStart(f *hashFunc) {
	g.address(a64Map[asm.R2], 0)
	g.a.RRR(arm64.AddR, arm64.X, a64Addr, a64Base, a64Addr)
	g.a.Imm(a64Hash, maps.HashSeed)
	g.a.Imm(a64Temp, maps.HashMul)
	for _, w := range f.words {
		g.keyWord(w)
		g.a.RRR(arm64.EorR, arm64.X, a64Hash, a64Hash, a64Word)
		g.a.RRR(arm64.UmulhR, arm64.X, a64Slot, a64Hash, a64Temp)
		g.a.RRRR(arm64.MaddR, arm64.X, a64Hash, a64Hash, a64Temp, arm64.ZR)
		g.a.RRR(arm64.EorR, arm64.X, a64Hash, a64Hash, a64Slot)
	}
	g.a.Imm(a64Index, uint64(f.Index))
	g.a.RRR(arm64.AddR, arm64.X, a64Index, a64Base, a64Index)
	g.firstSlot(f)
}

func (g *a64) firstSlot(f *hashFunc) {
	g.a.RRI(arm64.AndI, arm64.W, a64Slot, a64Hash, uint64(f.IndexMask))
	g.shiftImm(asm.Lsh, arm64.W, a64Slot, 3)
}

// hashSlot goes on when the key is in the slot. It goes to other, with the slot's contents in a64Elem, when the slot has
// another hash, and to next when it has another key.
func (g *a64) hashSlot(f *hashFunc, other, next label) {
	g.a.RM(arm64.LdrX, a64Elem, arm64.Indexed(a64Index, a64Slot))
	g.a.RRR(arm64.SubsR, arm64.W, arm64.ZR, a64Elem, a64Hash)
	g.a.Jcc(arm64.CondNE, other)
	g.hashElem(f, next)
}

// keyWord loads a word of the key.
func (g *a64) keyWord(w keyWord) {
	m := arm64.At(a64Addr, w.off)
	g.a.RM(a64ZeroExtending[w.size], a64Word, m)
	if w.shift != 0 {
		g.shiftImm(asm.Rsh, arm64.X, a64Word, w.shift)
	}
}

// hashElem finds the address of the element of the slot in a64Elem, and goes to next when its key is another.
func (g *a64) hashElem(f *hashFunc, next label) {
	g.shiftImm(asm.Rsh, arm64.X, a64Elem, 32)
	g.a.RRI(arm64.SubI, arm64.W, a64Elem, a64Elem, 1) // an empty slot's is beyond any Max now
	g.a.Imm(a64Temp, uint64(f.Max))
	g.a.RRR(arm64.SubsR, arm64.W, arm64.ZR, a64Elem, a64Temp)
	g.a.Jcc(arm64.CondHS, next)
	g.a.Imm(a64Temp, uint64(f.ElemStride))
	g.a.Imm(a64At, uint64(f.Elems))
	g.a.RRRR(arm64.MaddR, arm64.W, a64At, a64Elem, a64Temp, a64At)
	for i, w := range f.words {
		at := a64At
		if len(f.words) > 1 {
			g.keyWord(w)
		}
		if i > 0 {
			at = a64Temp
			g.a.RRI(arm64.AddI, arm64.W, at, a64At, uint64(8*i))
		}
		g.a.RM(arm64.LdrX, a64Temp, arm64.IndexedHalf(a64Base, at))
		g.a.RRR(arm64.SubsR, arm64.X, arm64.ZR, a64Temp, a64Word)
		g.a.Jcc(arm64.CondNE, next)
	}
}

// hashHit returns the address of the value, and marks the element as used.
func (g *a64) hashHit(f *hashFunc) {
	g.add(arm64.W, a64Hash, a64At, int64(f.ValueOff))
	if f.CPUStride != 0 {
		g.fromState(arm64.W, a64Temp, offCPU)
		g.a.Imm(a64At, uint64(f.CPUStride))
		g.a.RRRR(arm64.MaddR, arm64.W, a64Hash, a64Temp, a64At, a64Hash)
	}
	if f.Refs != 0 {
		g.a.Imm(a64Temp, uint64(f.Refs))
		g.a.RRR(arm64.AddR, arm64.W, a64Temp, a64Temp, a64Elem)
		g.a.Imm(a64At, 1)
		g.a.RM(arm64.StrB, a64At, arm64.IndexedHalf(a64Base, a64Temp))
	}
	g.hashReturn(0)
}

// hashReturn returns with that in a64Scratch.
func (g *a64) hashReturn(ask uint64) {
	g.a.Imm(a64Scratch, ask)
	g.exit()
}
