// Package prog says what a program is: its type, its context, the Program value that loaders make and that the
// verifier and the engines take, and the layout of a packet frame in guest memory.
package prog

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/maps"
)

// Program is one loadable program: its instructions with every bpf-to-bpf function appended, and what they refer to.
// Loaders make it the same on every machine; nothing changes it afterwards.
type Program struct {
	Name    string
	Section string
	Type    Type
	Own     *TypeRow // what the type is when Type is Own: what NewType returned
	License string   // "GPL" and the like allow GPL-only helpers
	Object  string   // file it came from, for messages

	// Insns is indexed by slot. Calls of local functions carry the final slot offset in Imm (Src=CallLocalFunc).
	// 64-bit immediate loads of maps carry Src=PseudoMapIdx or PseudoMapIdxValue and in Imm an index into Maps; of
	// functions Src=PseudoFunc and in Imm the slot offset, as calls; of kernel functions Src=PseudoBTFID and in Imm an
	// index into Kfuncs.
	Insns []asm.Insn
	Maps  []*maps.Spec
	Funcs []Func // by ascending Start; Funcs[0] is the entry at slot 0
	Lines []Line // by ascending PC; a line holds until the next
	// Types are the types of the object that the program comes from; nil when it has none.
	Types *btf.Types
	// Relocated says that its instructions have the offsets of other types, a kernel's (CO-RE).
	Relocated bool
	// Kfuncs are the kernel functions that calls with Src=CallKfuncID refer to: Imm is an index into it.
	Kfuncs []Kfunc
	// Run is the program's place among others; nil when the object does not say.
	Run *RunConfig
	// Broken says by name why the program cannot be used (unsupported map, unresolved symbol); "" when it can.
	Broken string
}

// Kfunc is a kernel function that a program refers to.
type Kfunc struct {
	Name string
	// Weak says that the program can do without: where the kernel has no such function, its address is 0.
	Weak bool
}

// Kfunc returns the kernel function that a call or load with that Imm refers to; false when there is none.
func (p *Program) Kfunc(imm int32) (Kfunc, bool) {
	if imm < 0 || int(imm) >= len(p.Kfuncs) {
		return Kfunc{}, false
	}
	return p.Kfuncs[imm], true
}

// Func is a function of a program: slots [Start, End).
type Func struct {
	Name       string
	Start, End int
	Global     bool   // not static: the kernel verifies it on its own
	Type       btf.ID // the Func in Program.Types; 0 when there is none
}

// Line ties instructions to C source.
type Line struct {
	PC   int
	File string
	Line int // from 1
	Col  int // from 1
	Text string
}

// LineAt returns the source line of pc, or nil when the object has none.
func (p *Program) LineAt(pc int) *Line {
	lo, hi := 0, len(p.Lines)
	for lo < hi {
		mid := int(uint(lo+hi) >> 1)
		if p.Lines[mid].PC <= pc {
			lo = mid + 1
		} else {
			hi = mid
		}
	}
	if lo == 0 {
		return nil
	}
	return &p.Lines[lo-1]
}

// GPL reports whether the licence lets the program call GPL-only helpers (kernel: license_is_gpl_compatible).
func (p *Program) GPL() bool {
	switch p.License {
	case "GPL", "GPL v2", "GPL and additional rights", "Dual BSD/GPL", "Dual MIT/GPL", "Dual MPL/GPL":
		return true
	}
	return false
}
