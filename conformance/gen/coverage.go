package gen

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// Coverage counts what was made, over many programs. Kinds, forms and flows are counted in the finished instructions,
// whatever the generator meant to make.
type Coverage struct {
	Shapes map[string]int // statements
	Kinds  [asm.NumKinds]int
	Forms  [asm.NumKinds][NumForms]int
	Flows  [NumFlows]int // programs that have it
}

// Form is how an operand of an instruction looks.
type Form uint8

// The forms.
const (
	OperandImm  Form = iota // the second operand is the immediate
	OperandReg              // it is another register
	OperandSame             // both operands are one register
	OffZero                 // offset 0
	OffSmall                // 1 to 511
	OffNegative             // below 0, to -512
	OffExtreme              // beyond
	ImmZero                 // immediate 0
	ImmSmall                // 1 to 0xffff
	ImmNegative             // below 0, to -0x10000
	ImmExtreme              // beyond
	NumForms    = int(iota)
)

var formNames = [NumForms]string{"immediate", "register", "same register", "zero offset", "small offset", "negative offset",
	"extreme offset", "zero immediate", "small immediate", "negative immediate", "extreme immediate"}

func (f Form) String() string { return formNames[f] }

// Flow is a shape of control flow.
type Flow uint8

// The flows.
const (
	Forward     Flow = iota // a branch forward
	Backward                // a branch or jump back
	NestedLoop              // a jump back around another
	Calls                   // calls of local functions, one deep
	CallsDeep               // three deep or more
	EarlyExit               // an exit in the middle of a function
	TailCall                // bpf_tail_call
	Callback                // a function that a helper calls
	BoundedLoop             // may_goto
	PacketExit              // a packet load that may end the function
	NumFlows    = int(iota)
)

var flowNames = [NumFlows]string{"branch forward", "jump back", "nested loop", "local call", "calls three deep", "early exit", "tail call",
	"callback", "may_goto", "packet load"}

func (f Flow) String() string { return flowNames[f] }

// FormsOf lists the forms that instructions of kind k can have. Jumps never have extreme offsets here: programs are too short.
func FormsOf(k asm.Kind) []Form {
	info := k.Info()
	var all []Form
	reg := func(r asm.Rule) bool { return r == asm.ReadReg || r == asm.WriteReg }
	switch {
	case reg(info.Legal.Dst) && reg(info.Legal.Src):
		all = append(all, OperandReg, OperandSame)
	case reg(info.Legal.Src):
		all = append(all, OperandReg)
	case info.Legal.Imm == asm.AnyValue:
		all = append(all, OperandImm)
	}
	jump := info.Class == asm.ClassJump || info.Class == asm.ClassBranch || info.Class == asm.ClassMayGoto
	if info.Legal.Off == asm.AnyValue {
		all = append(all, OffZero, OffSmall, OffNegative)
		if !jump {
			all = append(all, OffExtreme)
		}
	}
	if info.Legal.Imm == asm.AnyValue && info.Class != asm.ClassCall {
		all = append(all, ImmZero, ImmSmall, ImmNegative)
		if !jump || info.Class == asm.ClassBranch {
			all = append(all, ImmExtreme)
		}
	}
	return all
}

// Add counts a program's instructions.
func (c *Coverage) Add(p *prog.Program) {
	var has [NumFlows]bool
	var back [][2]int // target and source of jumps back
	for pc := 0; pc < len(p.Insns); pc++ {
		in := p.Insns[pc]
		k := asm.KindOf(in)
		c.Kinds[k]++
		c.form(k, in)
		switch class := k.Info().Class; class {
		case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
			if target := in.Target(pc); target <= pc {
				has[Backward] = true
				back = append(back, [2]int{target, pc})
			} else if class == asm.ClassBranch {
				has[Forward] = true
			}
			has[BoundedLoop] = has[BoundedLoop] || class == asm.ClassMayGoto
		case asm.ClassCall:
			has[TailCall] = has[TailCall] || k == asm.CallHelper && in.Imm == tailCallID
		case asm.ClassAbs, asm.ClassInd:
			has[PacketExit] = true
		case asm.ClassImm64:
			has[Callback] = has[Callback] || in.Src == asm.PseudoFunc
			pc++
		}
	}
	has[NestedLoop] = nested(back)
	depth := callDepth(p, 0, 0)
	has[Calls], has[CallsDeep] = depth > 0, depth > 2
	has[EarlyExit] = earlyExit(p)
	for f, yes := range has {
		if yes {
			c.Flows[f]++
		}
	}
}

const tailCallID = 12

func (c *Coverage) form(k asm.Kind, in asm.Insn) {
	n := &c.Forms[k]
	for _, f := range FormsOf(k) {
		var is bool
		switch f {
		case OperandImm:
			is = true
		case OperandReg:
			reg := k.Info().Legal.Dst
			is = in.Dst != in.Src || reg != asm.ReadReg && reg != asm.WriteReg
		case OperandSame:
			is = in.Dst == in.Src
		case OffZero:
			is = in.Off == 0
		case OffSmall:
			is = in.Off > 0 && in.Off < 512
		case OffNegative:
			is = in.Off < 0 && in.Off >= -512
		case OffExtreme:
			is = in.Off >= 512 || in.Off < -512
		case ImmZero:
			is = in.Imm == 0
		case ImmSmall:
			is = in.Imm > 0 && in.Imm <= 0xffff
		case ImmNegative:
			is = in.Imm < 0 && in.Imm >= -0x10000
		case ImmExtreme:
			is = in.Imm > 0xffff || in.Imm < -0x10000
		}
		if is {
			n[f]++
		}
	}
}

// nested reports whether one jump back goes around another.
func nested(back [][2]int) bool {
	for i, outer := range back {
		for j, inner := range back {
			if i != j && outer[0] <= inner[0] && inner[1] < outer[1] {
				return true
			}
		}
	}
	return false
}

// callDepth is how deep calls of local functions go from function fn, at most 8.
func callDepth(p *prog.Program, fn, depth int) int {
	if depth == 8 {
		return 0
	}
	most := 0
	for pc := p.Funcs[fn].Start; pc < p.Funcs[fn].End; pc++ {
		in := p.Insns[pc]
		k := asm.KindOf(in)
		if k == asm.LdImm64 {
			pc++
		}
		if k != asm.CallLocal {
			continue
		}
		for i, f := range p.Funcs {
			if f.Start == in.Target(pc) {
				most = max(most, 1+callDepth(p, i, depth+1))
			}
		}
	}
	return most
}

// earlyExit reports whether a function has an exit that is not its last instruction.
func earlyExit(p *prog.Program) bool {
	for _, f := range p.Funcs {
		for pc := f.Start; pc < f.End-1; pc++ {
			if asm.KindOf(p.Insns[pc]) == asm.Exit {
				return true
			}
		}
	}
	return false
}

// Merge adds what another Coverage counted, but for the statements.
func (c *Coverage) Merge(other *Coverage) {
	for k := range c.Kinds {
		c.Kinds[k] += other.Kinds[k]
		for f := range c.Forms[k] {
			c.Forms[k][f] += other.Forms[k][f]
		}
	}
	for f := range c.Flows {
		c.Flows[f] += other.Flows[f]
	}
}

// Distinct counts the kinds, the forms by kind, and the flows that came up.
func (c *Coverage) Distinct() (kinds, forms, flows int) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		kinds += min(c.Kinds[k], 1)
		for _, n := range c.Forms[k] {
			forms += min(n, 1)
		}
	}
	for _, n := range c.Flows {
		flows += min(n, 1)
	}
	return kinds, forms, flows
}
