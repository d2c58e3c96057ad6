package vector

import (
	"fmt"

	"github.com/skepvm/skep/asm"
)

// A form is a way in which an instruction can be used, and what a vector must have done to count as having used it.
// Each is asked for of the kinds of instruction that can have it.
type form struct {
	name string
	of   func(row *asm.Info) bool
	used func(u *use) bool
}

// use is an instruction that was executed.
type use struct {
	pc            int
	in            asm.Insn
	upper         int32 // of a 64-bit immediate load
	row           *asm.Info
	taken, passed bool // where control went from there: elsewhere, or to the next slot
}

var forms = []form{
	{"registers of r0-r5", hasRegister, func(u *use) bool { return !anyHigh(u) }},
	{"a register of r6-r10", hasRegister, anyHigh},
	{"two registers", hasTwoRegisters, func(u *use) bool { return u.in.Dst != u.in.Src }},
	{"one register as both operands", hasTwoRegisters, func(u *use) bool { return u.in.Dst == u.in.Src }},
	{"register in imm", isClass(asm.ClassCall, asm.CalleeImm), func(u *use) bool { return u.in.Imm != 0 }},
	{"immediate not negative", hasImmediate, func(u *use) bool { return u.in.Imm >= 0 }},
	{"immediate negative", hasImmediate, func(u *use) bool { return u.in.Imm < 0 }},
	{"immediate of 32 bits", isClass(asm.ClassImm64, asm.AnyValue), func(u *use) bool { return isNumber(u) && u.upper == 0 }},
	{"immediate of 64 bits", isClass(asm.ClassImm64, asm.AnyValue), func(u *use) bool { return isNumber(u) && u.upper != 0 }},
	{"address of a function", isClass(asm.ClassImm64, asm.AnyValue), func(u *use) bool { return u.in.Src == asm.PseudoFunc }},
	{"cast to address space 0", isClass(asm.ClassAddrCast, asm.CastSpace), func(u *use) bool { return u.in.Imm == 1 }},
	{"cast to address space 1", isClass(asm.ClassAddrCast, asm.CastSpace), func(u *use) bool { return u.in.Imm != 1 }},
	{"no offset", hasOffset, func(u *use) bool { return u.in.Off == 0 }},
	{"offset positive", hasOffset, func(u *use) bool { return u.in.Off > 0 }},
	{"offset negative", hasOffset, func(u *use) bool { return u.in.Off < 0 }},
	{"relative to r10", hasOffset, func(u *use) bool { return base(u) == asm.R10 }},
	{"forward", jumps, func(u *use) bool { return u.taken && u.in.Target(u.pc) > u.pc }},
	{"backward", jumps, func(u *use) bool { return u.taken && u.in.Target(u.pc) <= u.pc }},
	{"taken", isClass(asm.ClassMayGoto, asm.Reserved), func(u *use) bool { return u.taken }},
	{"not taken", mayNotJump, func(u *use) bool { return u.passed }},
}

func isReg(r asm.Rule) bool { return r == asm.ReadReg || r == asm.WriteReg }

func hasRegister(row *asm.Info) bool { return isReg(row.Legal.Dst) || isReg(row.Legal.Src) }

func hasTwoRegisters(row *asm.Info) bool { return isReg(row.Legal.Dst) && isReg(row.Legal.Src) }

func anyHigh(u *use) bool {
	return isReg(u.row.Legal.Dst) && u.in.Dst >= asm.R6 || isReg(u.row.Legal.Src) && u.in.Src >= asm.R6
}

func isClass(c asm.Class, imm asm.Rule) func(*asm.Info) bool {
	return func(row *asm.Info) bool { return row.Class == c && row.Legal.Imm == imm }
}

// hasImmediate reports whether the sign of the immediate matters: as an operand, or as a packet offset.
func hasImmediate(row *asm.Info) bool {
	switch row.Class {
	case asm.ClassALU, asm.ClassBranch, asm.ClassStore, asm.ClassAbs, asm.ClassInd:
		return row.Legal.Imm == asm.AnyValue
	}
	return false
}

func isNumber(u *use) bool { return u.in.Src == asm.PseudoNone }

func hasOffset(row *asm.Info) bool {
	switch row.Class {
	case asm.ClassLoad, asm.ClassStore, asm.ClassAtomic, asm.ClassLoadAcq, asm.ClassStoreRel:
		return true
	}
	return false
}

// base is the register that the address of an access is relative to.
func base(u *use) asm.Reg {
	if u.row.Class == asm.ClassLoad || u.row.Class == asm.ClassLoadAcq {
		return u.in.Src
	}
	return u.in.Dst
}

// jumps: also calls of local functions. A may_goto jumps after eight million rounds, forward out of a loop.
func jumps(row *asm.Info) bool {
	return row.Class == asm.ClassJump || row.Class == asm.ClassBranch || row == asm.CallLocal.Info()
}

func mayNotJump(row *asm.Info) bool {
	return row.Class == asm.ClassBranch || row.Class == asm.ClassMayGoto
}

// path is what a run executed of a program.
type path struct {
	insns                  []asm.Insn
	reached, taken, passed []bool
	last                   int
}

func newPath(insns []asm.Insn) *path {
	flags := make([]bool, 3*len(insns))
	n := len(insns)
	return &path{insns, flags[:n], flags[n : 2*n], flags[2*n:], -1}
}

// step notes that the instruction at pc is about to be executed.
func (p *path) step(pc int) {
	if p.last >= 0 {
		if pc == p.last+1 {
			p.passed[p.last] = true
		} else {
			p.taken[p.last] = true
		}
	}
	p.reached[pc], p.last = true, pc
}

// Coverage says which instructions of asm's table were executed, in which forms. The zero value has none.
type Coverage struct {
	executed [asm.NumKinds]bool
	used     [asm.NumKinds]uint64 // bits of forms
}

func (c *Coverage) add(p *path) {
	for pc, reached := range p.reached {
		if !reached {
			continue
		}
		u := use{pc: pc, in: p.insns[pc], taken: p.taken[pc], passed: p.passed[pc]}
		k := asm.KindOf(u.in)
		u.row = k.Info()
		if k == asm.LdImm64 {
			u.upper = p.insns[pc+1].Imm
		}
		c.executed[k] = true
		for i := range forms {
			if forms[i].of(u.row) && forms[i].used(&u) {
				c.used[k] |= 1 << i
			}
		}
	}
}

// GroupCoverage is the coverage of a conformance group of RFC 9669 §2.4; the group "linux" is what the kernel has beyond
// the RFC.
type GroupCoverage struct {
	Group            string `json:"group"`
	Instructions     int    `json:"instructions"`
	InstructionsUsed int    `json:"instructions_executed"`
	Forms            int    `json:"forms"`
	FormsUsed        int    `json:"forms_executed"`
	// Percent is the share of the forms that were executed, rounded down to a tenth.
	Percent float64 `json:"percent"`
	// Missing names the instructions, or those of their forms, that no vector executed.
	Missing []string `json:"missing"`
}

// percent is part of all, rounded down to a tenth; nothing of nothing is all.
func percent(part, all int) float64 {
	if all == 0 {
		return 100
	}
	return float64(1000*part/all) / 10
}

// Groups reports by group, in the order of asm.Group, what is beyond the RFC last. Only instructions up to a version
// count; 0 is all.
func (c *Coverage) Groups(upTo asm.ISA) []GroupCoverage {
	byGroup := make([]GroupCoverage, asm.CallX+1)
	for g := range byGroup {
		byGroup[g] = GroupCoverage{Group: asm.Group(g).String(), Missing: []string{}}
	}
	byGroup[asm.NoGroup].Group = "linux"
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if row := k.Info(); upTo == 0 || row.ISA <= upTo {
			c.addKind(&byGroup[row.Group], k)
		}
	}
	for i := range byGroup {
		g := &byGroup[i]
		g.Percent = percent(g.FormsUsed, g.Forms)
	}
	return append(byGroup[1:], byGroup[0])
}

func (c *Coverage) addKind(g *GroupCoverage, k asm.Kind) {
	row := k.Info()
	var missing []string
	before := g.Forms
	for i := range forms {
		if !forms[i].of(row) {
			continue
		}
		g.Forms++
		if c.used[k]>>i&1 != 0 {
			g.FormsUsed++
		} else {
			missing = append(missing, fmt.Sprintf("%s: %s", k, forms[i].name))
		}
	}
	if g.Forms == before { // no operands: the instruction itself is its only form
		g.Forms++
		if c.executed[k] {
			g.FormsUsed++
		}
	}
	g.Instructions++
	if !c.executed[k] {
		missing = []string{k.String()}
	} else {
		g.InstructionsUsed++
	}
	g.Missing = append(g.Missing, missing...)
}
