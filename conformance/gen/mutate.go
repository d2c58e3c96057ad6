package gen

import (
	"slices"

	"github.com/skepvm/skep/asm"
)

// kindsLike lists the kinds that differ from one only in what they compute: same class, width of operands and form.
var kindsLike = func() (like [asm.NumKinds][]asm.Kind) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		for o := asm.Invalid + 1; o < asm.NumKinds; o++ {
			if k.Info().Class == o.Info().Class {
				like[k] = append(like[k], o)
			}
		}
	}
	return like
}()

// Mutate returns a program with a change, or a few, of the kinds that break what a verifier proved: another bound, register,
// offset or operation, a check left out or turned around, an instruction too many or too few. Jumps still lead where they led.
// donor is where new instructions are taken from; it may be insns.
func Mutate(src Source, insns, donor []asm.Insn) []asm.Insn {
	out := slices.Clone(insns)
	for n := 0; n == 0 || n < 6 && src.IntN(2) == 0; n++ {
		if len(out) == 0 {
			return out
		}
		out = mutations[src.IntN(len(mutations))](src, out, donor)
	}
	return out
}

// mutations change one thing each. The first ones change an operand, which is what most often leaves a program almost right.
var mutations = []func(src Source, insns, donor []asm.Insn) []asm.Insn{
	changeImm, changeImm, changeOff, changeReg, changeReg, changeKind,
	dropCheck, turnCheck, exchange, remove, insert, insertALU,
}

// slotOf picks an instruction; never the second slot of a 64-bit load.
func slotOf(src Source, insns []asm.Insn) int {
	pc := src.IntN(len(insns))
	if pc > 0 && asm.KindOf(insns[pc-1]) == asm.LdImm64 {
		pc--
	}
	return pc
}

// slots is how many slots the instruction at pc takes.
func slots(insns []asm.Insn, pc int) int {
	if asm.KindOf(insns[pc]) == asm.LdImm64 && pc+1 < len(insns) {
		return 2
	}
	return 1
}

func changeImm(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := &insns[src.IntN(len(insns))]
	switch src.IntN(4) {
	case 0:
		in.Imm = int32(edges[src.IntN(len(edges))])
	case 1:
		in.Imm ^= 1 << src.IntN(32)
	default:
		in.Imm += int32(src.IntN(17) - 8)
	}
	return insns
}

func changeOff(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := &insns[src.IntN(len(insns))]
	if src.IntN(4) == 0 {
		in.Off = int16(edges[src.IntN(len(edges))])
	} else {
		in.Off += int16(src.IntN(17) - 8)
	}
	return insns
}

func changeReg(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := &insns[src.IntN(len(insns))]
	if src.IntN(2) == 0 {
		in.Dst = asm.Reg(src.IntN(11))
	} else if in.Src < 11 && asm.KindOf(*in) != asm.LdImm64 {
		in.Src = asm.Reg(src.IntN(11))
	}
	return insns
}

func changeKind(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := &insns[slotOf(src, insns)]
	like := kindsLike[asm.KindOf(*in)]
	if len(like) == 0 {
		return insns
	}
	to := like[src.IntN(len(like))].Example()
	in.Op = to.Op
	if asm.KindOf(*in).Info().Class == asm.ClassAtomic {
		in.Imm = to.Imm // the operation
	}
	return insns
}

// branchAt finds a conditional jump at or behind a random slot.
func branchAt(src Source, insns []asm.Insn) *asm.Insn {
	start := src.IntN(len(insns))
	for i := range insns {
		in := &insns[(start+i)%len(insns)]
		if asm.KindOf(*in).Info().Class == asm.ClassBranch {
			return in
		}
	}
	return nil
}

// dropCheck makes a conditional jump always, or never, jump.
func dropCheck(src Source, insns, _ []asm.Insn) []asm.Insn {
	if in := branchAt(src, insns); in != nil {
		off := in.Off * int16(src.IntN(2))
		*in = asm.Ja.Example()
		in.Off = off
	}
	return insns
}

// turnCheck makes a conditional jump compare in another way.
func turnCheck(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := branchAt(src, insns)
	if in == nil {
		return insns
	}
	was := asm.KindOf(*in).Info()
	for range 8 {
		k := branchKinds[src.IntN(len(branchKinds))]
		if k.Info().UseSrc == was.UseSrc {
			in.Op = k.Info().Opcode
			break
		}
	}
	return insns
}

// exchange puts two neighbours in the other order.
func exchange(src Source, insns, _ []asm.Insn) []asm.Insn {
	pc := slotOf(src, insns)
	next := pc + slots(insns, pc)
	if next >= len(insns) || slots(insns, pc) != 1 || slots(insns, next) != 1 {
		return insns
	}
	insns[pc], insns[next] = insns[next], insns[pc]
	return insns
}

func remove(src Source, insns, _ []asm.Insn) []asm.Insn {
	pc := slotOf(src, insns)
	return splice(insns, pc, slots(insns, pc), nil)
}

// insert puts a copy of another instruction in.
func insert(src Source, insns, donor []asm.Insn) []asm.Insn {
	if len(donor) == 0 {
		return insns
	}
	from := slotOf(src, donor)
	return splice(insns, slotOf(src, insns), 0, donor[from:from+slots(donor, from)])
}

// insertALU computes with registers that the program uses.
func insertALU(src Source, insns, _ []asm.Insn) []asm.Insn {
	in := aluKinds[src.IntN(len(aluKinds))].Example()
	in.Dst = insns[src.IntN(len(insns))].Dst
	info := asm.KindOf(in).Info()
	switch {
	case info.UseSrc || info.Class == asm.ClassMovsx:
		in.Src = insns[src.IntN(len(insns))].Dst
	case info.Legal.Imm == asm.AnyValue:
		in.Imm = int32(edges[src.IntN(len(edges))])
	}
	return splice(insns, slotOf(src, insns), 0, []asm.Insn{in})
}

// splice replaces n slots at pc, and moves the targets of jumps and calls along. New instructions keep their offsets.
func splice(insns []asm.Insn, pc, n int, with []asm.Insn) []asm.Insn {
	moved := func(at int) int {
		switch {
		case at <= pc:
			return at
		case at < pc+n:
			return pc
		}
		return at - n + len(with)
	}
	out := slices.Concat(insns[:pc], with, insns[pc+n:])
	for at := 0; at < len(insns); at += slots(insns, at) {
		target := insns[at].Target(at)
		if target < 0 || at >= pc && at < pc+n {
			continue
		}
		now := moved(at)
		if at == pc { // nothing was removed: it follows what is new
			now += len(with)
		}
		dist := moved(target) - now - 1
		if in := &out[now]; asm.KindOf(*in).Info().Class == asm.ClassBranch || in.Op == asm.Ja.Info().Opcode || asm.KindOf(*in) == asm.MayGoto {
			if dist == int(int16(dist)) {
				in.Off = int16(dist)
			}
		} else {
			in.Imm = int32(dist)
		}
	}
	return out
}
