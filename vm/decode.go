package vm

import (
	"sort"

	"github.com/skepvm/skep/asm"
)

// insn is an instruction as the interpreter wants it: 16 bytes, one for each instruction rather than each slot.
type insn struct {
	op       asm.Kind
	dst, src uint8
	off      int32  // of memory; of jumps and local calls, from the next of these instructions
	imm      uint64 // sign-extended; the whole of a 64-bit load
}

// Kinds that only decode makes.
const (
	opTailCall asm.Kind = asm.NumKinds + iota
	opArena             // CPU.Arena does it
)

// tailCallID is bpf_tail_call, which engines do themselves.
const tailCallID = 12

// decoded is l, with what the interpreter runs.
func (l *Linked) decoded() *Linked {
	l.decode.Do(l.makeCode)
	return l
}

// makeCode fills in code, fast and slots. The form has been checked.
func (l *Linked) makeCode() {
	index := make([]int32, len(l.insns)) // of code, by slot
	count := int32(0)
	for pc := 0; pc < len(l.insns); pc++ {
		index[pc] = count
		count++
		if asm.KindOf(l.insns[pc]) == asm.LdImm64 {
			pc++
		}
	}
	l.code = make([]insn, 0, count)
	l.slots = make([]int32, 0, count)
	for pc := 0; pc < len(l.insns); pc++ {
		in := l.insns[pc]
		kind := asm.KindOf(in)
		d := insn{op: kind, dst: uint8(in.Dst), src: uint8(in.Src), off: int32(in.Off), imm: uint64(int64(in.Imm))}
		slot := pc
		switch kind.Info().Class {
		case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
			d.off = index[in.Target(pc)] - index[pc] - 1
		case asm.ClassCall:
			switch {
			case kind == asm.CallReg:
				d.dst = uint8(in.Callee())
			case kind == asm.CallLocal:
				d.off = index[in.Target(pc)] - index[pc] - 1
			case kind == asm.CallHelper && in.Imm == tailCallID:
				d.op = opTailCall
			}
		case asm.ClassImm64:
			d.imm = asm.Imm64(in, l.insns[pc+1])
			pc++
		}
		if l.ThroughArena(pc) {
			d.op = opArena
		}
		if kind == asm.Ja32 {
			d.op = asm.Ja
		}
		l.code = append(l.code, d)
		l.slots = append(l.slots, int32(slot))
	}
	l.fast = fuse(l.code)
}

// at returns the index in code of the instruction at a slot, or false.
func (l *Linked) at(slot uint64) (int, bool) {
	i := sort.Search(len(l.slots), func(i int) bool { return uint64(l.slots[i]) >= slot })
	return i, i < len(l.slots) && uint64(l.slots[i]) == slot
}
