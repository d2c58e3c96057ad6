package jit

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
)

// Ids of the helpers that the engine does itself.
const (
	mapLookupID = 1
	cpuNumberID = 8
	tailCallID  = 12
)

// callHelper calls a helper: a few in machine code, all others in Go.
func (g *gen) callHelper(pc int) {
	switch id := g.insns[pc].Imm; {
	case id == cpuNumberID:
		g.fromState(amd64.L, amd64.RAX, offCPU)
		return
	case id == mapLookupID && g.known.set.Has(asm.R1) && g.known.value[asm.R1]>>32 == 0:
		if m, ok := g.t.array(uint32(g.known.value[asm.R1])); ok {
			g.arrayLookup(pc, m)
			return
		}
	}
	g.exitAt(exitHelper, pc)
}

// arrayLookup emits R0 = address of the element whose index R2 points to, or 0. Sizes and addresses of the map are
// constants of the code: what the guest may have done to the map's header does not matter.
// A key at the very end of guest memory is left to the helper, which has a fault for it.
func (g *gen) arrayLookup(pc int, m arrayMap) {
	done := g.a.Labels(1)
	index := regMap[asm.R0]
	g.a.RR(amd64.MovRM, amd64.L, scratch, regMap[asm.R2])
	g.compare(scratch, int32(g.t.mask-3))
	g.a.Jcc(amd64.CondA, g.later(coldPath{kind: coldLeave, site: g.newSite(exitHelper, pc, done)}))
	g.a.RM(amd64.MovRM, amd64.L, index, amd64.Indexed(baseReg, scratch, 0))
	g.compare(index, int32(m.entries))
	g.a.Jcc(amd64.CondAE, g.later(coldPath{kind: coldNull, back: done}))
	switch {
	case m.stride <= 8:
		g.a.RM(amd64.LeaRM, amd64.L, index, amd64.Mem{Base: amd64.None, Index: index, Scale: uint8(m.stride), Disp: int32(m.data)})
	case m.stride&(m.stride-1) == 0:
		g.a.RI(amd64.ShlI8, amd64.L, index, int32(bits.TrailingZeros32(m.stride)))
		g.a.RI(amd64.AddI32, amd64.L, index, int32(m.data))
	default:
		g.a.RRI(amd64.ImulI32, amd64.L, index, index, int32(m.stride))
		g.a.RI(amd64.AddI32, amd64.L, index, int32(m.data))
	}
	if m.cpuStride != 0 {
		g.a.RMI(amd64.ImulI32, amd64.L, scratch, amd64.At(stateReg, offCPU), int32(m.cpuStride))
		g.a.RR(amd64.AddRM, amd64.L, index, scratch)
	}
	g.a.Bind(done)
}

// compare emits an unsigned or signed 32-bit comparison with a constant.
func (g *gen) compare(r amd64.Reg, imm int32) {
	if amd64.FitsInt8(imm) {
		g.a.RI(amd64.CmpI8, amd64.L, r, imm)
	} else {
		g.a.RI(amd64.CmpI32, amd64.L, r, imm)
	}
}
