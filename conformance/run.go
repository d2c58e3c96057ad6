// Package conformance holds the engines, the verifier and, where there is one, the live kernel against each other: on
// generated programs (package gen), and on fixtures in testdata, which need no Go to add one.
package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// Budget is what a run may take. What Profile accepts is below, callbacks included, but for may_goto, which ends a loop only
// after eight million rounds, and tail calls: such programs may run out of it, on every engine at the same instruction.
const Budget = 1 << 19

// SmallBudget is for programs that nobody accepted: most that loop do so forever.
const SmallBudget = 4000

// Outcome is all that a program's runs on an engine left.
type Outcome struct {
	Runs []Run
	Maps string // contents of all maps after the runs
	// Memory is a checksum of the guest memory that the runs changed.
	Memory uint32
	Trace  []string // lines printed
}

// Run is what one run left.
type Run struct {
	R0    uint64
	Insns uint64
	Data  []byte
	Fault string // "" when it ended well
	Kind  vm.FaultKind
}

// refused reports whether the run may have ended for what only checked mode looks at.
func (r *Run) refused() bool { return r.Kind == vm.BadAccess || r.Kind == vm.HelperError }

// Profile is the newest kernel's rules with a lower limit on the verifier's work, so that a program that is too complex
// is refused sooner; what is accepted is accepted under the full rules too.
func Profile() *verifier.Profile {
	p := verifier.Newest()
	p.MaxProcessed = 50_000
	return p
}

// Definite reports whether what the program computes depends on nothing but its input: it does not read stack that it
// has not written, and makes no numbers of pointers.
func Definite(p *prog.Program) bool {
	rules := Profile()
	rules.UninitStack, rules.PointerLeaks = false, false
	_, err := verifier.Verify(p, verifier.Options{Profile: rules, Outside: true})
	return err == nil
}

// Packets makes the packets that programs run on, one after another: lengths from 14 to 300, and bytes that differ.
func Packets(seed uint64) [][]byte {
	r := rand.New(rand.NewPCG(seed, 1))
	var all [][]byte
	for _, n := range []int{64, 14 + r.IntN(40), 54 + r.IntN(247)} {
		p := make([]byte, n)
		for i := range p {
			switch r.IntN(3) {
			case 0:
				p[i] = byte(r.Uint32())
			case 1:
				p[i] = []byte{0, 1, 0x7f, 0x80, 0xff, 4}[r.IntN(6)]
			}
		}
		copy(p[12:], []byte{8, 0})
		all = append(all, p)
	}
	return all
}

// Execute runs a verified program on the engine of that name, once for each packet, on a new machine; in is the same for all. An error means that the
// engine did not come to be; faults are part of the outcome.
func Execute(v *verifier.Verified, engine string, packets [][]byte, in prog.Input) (*Outcome, error) {
	named, err := Named(engine)
	if err != nil {
		return nil, err
	}
	b, err := NewBench(named[0], v.Program().Maps, Budget)
	if err != nil {
		return nil, err
	}
	out, err := b.Run(v.Program(), v, packets, in)
	return out, errors.Join(err, b.Close())
}

// MayGoto reports whether the program has loops that may_goto ends.
func MayGoto(p *prog.Program) bool {
	return slices.ContainsFunc(p.Insns, func(in asm.Insn) bool { return asm.KindOf(in) == asm.MayGoto })
}

// Diff describes the first difference between two outcomes; "" when there is none.
func Diff(a, b *Outcome) string {
	for i := range a.Runs {
		x, y := &a.Runs[i], &b.Runs[i]
		switch {
		case x.Fault != y.Fault:
			return fmt.Sprintf("run %d: fault %q and %q", i, x.Fault, y.Fault)
		case x.R0 != y.R0 && x.Fault == "":
			return fmt.Sprintf("run %d: r0 %#x and %#x", i, x.R0, y.R0)
		case x.Insns != y.Insns:
			return fmt.Sprintf("run %d: %d and %d instructions", i, x.Insns, y.Insns)
		case !bytes.Equal(x.Data, y.Data):
			return fmt.Sprintf("run %d: packet\n%x and\n%x", i, x.Data, y.Data)
		}
	}
	switch {
	case a.Maps != b.Maps:
		return fmt.Sprintf("maps:\n%sand\n%s", a.Maps, b.Maps)
	case !slices.Equal(a.Trace, b.Trace):
		return fmt.Sprintf("printed:\n%q and\n%q", a.Trace, b.Trace)
	case a.Memory != b.Memory:
		return "guest memory"
	}
	return ""
}

// Input is what all programs see of their packets besides the bytes.
var Input = prog.Input{Ifindex: 3, Mark: 0x80000001, CB: [5]uint32{7, 0xffffffff}}

// CheckEngines runs an accepted program on every engine: none may fault, all must agree. "" is success; the outcome is the
// first engine's.
func CheckEngines(v *verifier.Verified, packets [][]byte) (problem string, first *Outcome) {
	benches, err := NewBenches(All(), v.Program().Maps, Budget)
	if err != nil {
		return err.Error(), nil
	}
	defer CloseBenches(benches)
	return Compare(benches, v, packets)
}

// Compare is CheckEngines on benches that there are.
func Compare(benches []*Bench, v *verifier.Verified, packets [][]byte) (problem string, first *Outcome) {
	for _, b := range benches {
		out, err := b.Run(v.Program(), v, packets, Input)
		if err != nil {
			return fmt.Sprintf("engine %s: %v", b.Name(), err), nil
		}
		for i, r := range out.Runs {
			if r.Fault != "" && !excused(v.Program(), r.Kind) {
				return fmt.Sprintf("accepted, and yet %s faults in run %d: %s", b.Name(), i, r.Fault), nil
			}
		}
		if first == nil {
			first = out
		} else if d := Diff(first, out); d != "" {
			return fmt.Sprintf("%s and %s differ: %s", benches[0].Name(), b.Name(), d), nil
		}
	}
	return "", first
}

// CompareUnverified runs a program that need not be accepted on all benches: what the runs leave must be the same, faults
// included. An engine that checks accesses is compared up to the first access, or argument of a helper, that it refuses.
// "" is success; so is a program that cannot be linked, whose outcome is nil.
func CompareUnverified(benches []*Bench, p *prog.Program, packets [][]byte) (problem string, first *Outcome) {
	var name string
	for _, b := range benches {
		out, err := b.Run(p, nil, packets, Input)
		var bad *vm.LinkError
		switch {
		case errors.As(err, &bad) && first == nil:
			return "", nil
		case err != nil:
			return fmt.Sprintf("engine %s: %v", b.Name(), err), nil
		case first == nil:
			first, name = out, b.Name()
			continue
		}
		d := ""
		if n := slices.IndexFunc(out.Runs, func(r Run) bool { return b.engine.Shadow && r.refused() }); n >= 0 {
			d = Diff(&Outcome{Runs: first.Runs[:n]}, &Outcome{Runs: out.Runs[:n]})
		} else {
			d = Diff(first, out)
		}
		if d != "" {
			return fmt.Sprintf("%s and %s differ: %s", name, b.Name(), d), nil
		}
	}
	return "", first
}
