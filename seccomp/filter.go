package seccomp

import (
	"fmt"
	"math/bits"

	"github.com/skepvm/skep/cbpf"
)

// Limits of filters.
const (
	// MaxTotal is how many instructions all filters of a process may have, as eBPF and with 4 for each but the newest
	// (Linux: MAX_INSNS_PER_PATH).
	MaxTotal = 1 << 18 / cbpf.InsnSize
	penalty  = 4
)

// Filter is a program that the kernel takes as a seccomp filter.
type Filter struct {
	Name    string
	Program cbpf.Program
	Source  *cbpf.Source // nil when the program is not from text
	Notes   []string     // of the profile that it was compiled from
}

// NewFilter checks a program as the kernel does. The error is a *cbpf.Error.
func NewFilter(name string, p cbpf.Program) (*Filter, error) {
	if err := p.Validate(cbpf.Seccomp); err != nil {
		return nil, err
	}
	return &Filter{Name: name, Program: p}, nil
}

// Run returns the filter's answer to a call.
func (f *Filter) Run(d *Data) Return {
	ret, _ := f.trace(d, nil)
	return ret
}

// Path is Run that returns the instructions executed, too.
func (f *Filter) Path(d *Data) (Return, []int) {
	var path []int
	ret, _ := f.trace(d, func(pc int) { path = append(path, pc) })
	return ret, path
}

// trace runs the filter, and returns also which arguments it looked at, by bit.
func (f *Filter) trace(d *Data, watch func(pc int)) (Return, uint8) {
	var b [DataSize]byte
	d.Bytes(b[:], d.Big())
	looked := uint8(0)
	ret := f.Program.Trace(cbpf.Seccomp, cbpf.Packet{Data: b[:], WireLen: DataSize}, func(s cbpf.Step) {
		if in := f.Program[s.PC]; in.Op == opLoad && in.K >= offArgs {
			looked |= 1 << ((in.K - offArgs) / 8)
		}
		if watch != nil {
			watch(s.PC)
		}
	})
	return Return(ret), looked
}

// KernelLen is how many eBPF instructions the kernel makes of the filter, which is what its limit counts (Linux:
// bpf_convert_filter).
func (f *Filter) KernelLen() int {
	n := 3 // clears A and X, keeps the context
	for _, in := range f.Program {
		n += kernelInsns(in)
	}
	return n
}

func kernelInsns(in cbpf.Insn) int {
	switch in.Op & 7 {
	case cbpf.ClassRet:
		if in.Op == opRet {
			return 2
		}
	case cbpf.ClassAlu:
		if in.Op == cbpf.ClassAlu|cbpf.AluDiv|cbpf.SrcX {
			return 5 // division by zero ends the program
		}
	case cbpf.ClassJmp:
		return kernelJump(in)
	}
	return 1
}

// kernelJump counts a jump: a constant with its top bit set needs a register, and two places to go two jumps, unless the
// next instruction is one of them.
func kernelJump(in cbpf.Insn) int {
	op := in.Op & 0xf0
	n := 1
	switch {
	case op == cbpf.JmpJa:
		return 1
	case in.Op&cbpf.SrcX == 0 && in.K>>31 != 0:
		n++
	}
	if in.Jf != 0 && (in.Jt != 0 || op == cbpf.JmpSet) {
		n++
	}
	return n
}

// Stack are the filters of a process, the oldest first.
type Stack []*Filter

// Add installs a filter, unless the process would have too many instructions then.
func (s *Stack) Add(f *Filter) error {
	total := f.KernelLen()
	for _, old := range *s {
		total += old.KernelLen() + penalty
	}
	if total > MaxTotal {
		return fmt.Errorf("%s: the filters would have %d instructions together, more than %d (ENOMEM)", f.Name, total, MaxTotal)
	}
	*s = append(*s, f)
	return nil
}

// Verdict is what becomes of a call.
type Verdict struct {
	Return Return
	// By is the filter that decided, an index into the Stack; -1 when all allowed the call, or none was asked.
	By int
	// Exempt says that the call is one that the kernel does not filter: uprobes' on x86_64.
	Exempt bool
	// Looked are the arguments that some filter looked at, by bit.
	Looked uint8
	Steps  []Step // of each filter, in the order in which the kernel runs them: the newest first
}

// Step is one filter's part in a verdict.
type Step struct {
	Filter int // index into the Stack
	Return Return
	Path   []int // instructions executed
}

// Run judges a call. All filters run; the most restrictive action wins, and of equal ones that of the newest filter
// (Linux: seccomp_run_filters).
func (s Stack) Run(d *Data) Verdict {
	v := Verdict{Return: Return(Allow), By: -1, Exempt: exempt(d)}
	if v.Exempt {
		return v
	}
	for i := len(s) - 1; i >= 0; i-- {
		step := Step{Filter: i}
		var looked uint8
		step.Return, looked = s[i].trace(d, func(pc int) { step.Path = append(step.Path, pc) })
		v.Looked |= looked
		v.Steps = append(v.Steps, step)
		v.combine(i, step.Return)
	}
	return v
}

func (v *Verdict) combine(by int, r Return) {
	if r.severity() < v.Return.severity() {
		v.Return, v.By = r, by
	}
}

// exempt says that the kernel lets a call through unasked: those that uprobes put into programs, which know nothing of
// them (Linux: seccomp_uprobe_exception, since 6.14).
func exempt(d *Data) bool {
	if d.Arch != X8664.Audit {
		return false
	}
	return d.NR == 335 || d.NR == 336 // uretprobe, uprobe
}

// AlwaysAllow says, by number without Arch.Bit, for which calls of an architecture the kernel remembers that every filter
// allows them whatever the arguments, and does not run filters any more (Linux: seccomp_cache_prepare).
func (s Stack) AlwaysAllow(a *Arch) []bool {
	out := make([]bool, a.Count())
	for nr := range out {
		d := Data{NR: int32(uint32(nr) | a.Bit), Arch: a.Audit}
		out[nr] = a.Bit == 0 && s.constAllow(&d) // the kernel's table ends where x32's numbers begin
	}
	return out
}

func (s Stack) constAllow(d *Data) bool {
	if exempt(d) {
		return true
	}
	for _, f := range s {
		if !f.constAllow(d) {
			return false
		}
	}
	return true
}

// constAllow runs the filter as far as it depends on number and architecture only, and knows fewer instructions than a
// run: what it cannot follow is not remembered (Linux: seccomp_is_const_allow).
func (f *Filter) constAllow(d *Data) bool {
	a := uint32(0)
	for pc := 0; pc < len(f.Program); pc++ {
		in := f.Program[pc]
		switch in.Op {
		case opLoad:
			switch in.K {
			case offNR:
				a = uint32(d.NR)
			case offArch:
				a = d.Arch
			default:
				return false
			}
		case opRet:
			return in.K == uint32(Allow)
		case opJa:
			pc += int(in.K)
		case opJeq, opJge, opJgt, opJset:
			pc += skip(in, a)
		case opAnd:
			a &= in.K
		default:
			return false
		}
	}
	return false
}

const opJset = cbpf.ClassJmp | cbpf.JmpSet | cbpf.SrcK

// skip is how many instructions a conditional jump passes over.
func skip(in cbpf.Insn, a uint32) int {
	var is bool
	switch in.Op {
	case opJeq:
		is = a == in.K
	case opJge:
		is = a >= in.K
	case opJgt:
		is = a > in.K
	case opJset:
		is = a&in.K != 0
	}
	if is {
		return int(in.Jt)
	}
	return int(in.Jf)
}

// Args lists the arguments of a set of bits, as Verdict.Looked is.
func Args(set uint8) []int {
	var out []int
	for ; set != 0; set &= set - 1 {
		out = append(out, bits.TrailingZeros8(set))
	}
	return out
}
