// Package conformance holds the engines, the verifier and, where there is one, the live kernel against each other: on
// generated programs (package gen), and on fixtures in testdata, which need no Go to add one.
package conformance

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// Budget is what a run may take. What Profile accepts is far below, but for may_goto, which ends a loop only after eight
// million rounds: such programs may run out of it, on every engine at the same instruction.
const Budget = 1 << 20

// Outcome is all that a program's runs on an engine left.
type Outcome struct {
	Runs []Run
	Maps string // contents of all maps after the runs
}

// Run is what one run left.
type Run struct {
	R0    uint64
	Insns uint64
	Data  []byte
	Fault string // "" when it ended well
	// OutOfBudget is set when the fault is that the run took too long.
	OutOfBudget bool
}

// Profile is the newest kernel's rules with a lower limit on the verifier's work, so that a program that is too complex
// is refused sooner; what is accepted is accepted under the full rules too.
func Profile() *verifier.Profile {
	p := verifier.Newest()
	p.MaxProcessed = 12_000
	return p
}

// Definite reports whether what the program computes depends on nothing but its input: it does not read stack that it
// has not written, and makes no numbers of pointers.
func Definite(p *prog.Program) bool {
	rules := Profile()
	rules.UninitStack, rules.PointerLeaks = false, false
	_, err := verifier.Verify(p, verifier.Options{Profile: rules})
	return err == nil
}

// Engines names the engines that this machine has. All but the first are compared with the first.
func Engines() []string {
	names := []string{"checked", "interp"}
	if jit.Available() {
		names = append(names, "jit")
	}
	return names
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

// Execute runs a verified program on an engine, once for each packet, on a machine of its own; in is the same for all. An error means that the
// engine did not come to be; faults are part of the outcome.
func Execute(v *verifier.Verified, engine string, packets [][]byte, in prog.Input) (*Outcome, error) {
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Shadow: engine == "checked", Size: 1 << 26}, Budget: Budget, Seed: 1})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	e, done, err := newEngine(m, v, engine)
	if err != nil {
		return nil, err
	}
	defer done()
	p := v.Program()
	buf, err := prog.NewBuffer(m.Space(), p.Type, 0)
	if err != nil {
		return nil, err
	}
	out := &Outcome{}
	for i, packet := range packets {
		in.Number = uint64(i + 1)
		if err := buf.Set(packet, &in); err != nil {
			return nil, err
		}
		res, err := e.Run(buf.Ctx())
		run := Run{R0: res.R0, Insns: res.Insns}
		if err != nil {
			run.Fault, run.OutOfBudget = describe(err)
		}
		var after prog.Output
		if prog.ReadFrame(m.Space(), buf.Ctx(), p.Type, &after) {
			run.Data = bytes.Clone(after.Data)
		}
		out.Runs = append(out.Runs, run)
	}
	out.Maps, err = dump(m, p.Maps)
	return out, err
}

// describe is a fault as text, and whether it is for want of budget.
func describe(err error) (text string, budget bool) {
	var f *vm.Fault
	if !errors.As(err, &f) {
		return "no fault: " + err.Error(), false
	}
	return f.Error(), f.Kind == vm.BudgetExceeded
}

// MayGoto reports whether the program has loops that may_goto ends.
func MayGoto(p *prog.Program) bool {
	return slices.ContainsFunc(p.Insns, func(in asm.Insn) bool { return asm.KindOf(in) == asm.MayGoto })
}

func newEngine(m *vm.Machine, v *verifier.Verified, engine string) (e vm.Engine, done func() error, err error) {
	if engine == "jit" {
		c, err := jit.New(m)
		if err != nil {
			return nil, nil, err
		}
		e, err := c.Compile(m.CPU(0), v)
		return e, c.Close, err
	}
	l, err := m.LinkVerified(v.Program())
	if err != nil {
		return nil, nil, err
	}
	e, err = vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Checked: engine == "checked"})
	return e, func() error { return nil }, err
}

func dump(m *vm.Machine, specs []*maps.Spec) (string, error) {
	var b strings.Builder
	for _, s := range specs {
		mp, err := m.AddMap(s)
		if err != nil {
			return "", err
		}
		for k, v := range mp.All() {
			fmt.Fprintf(&b, "%s[%x] = %x\n", s.Name, k, v)
		}
	}
	return b.String(), nil
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
	if a.Maps != b.Maps {
		return fmt.Sprintf("maps:\n%sand\n%s", a.Maps, b.Maps)
	}
	return ""
}

// CheckEngines runs an accepted program on every engine: none may fault, all must agree. "" is success.
func CheckEngines(v *verifier.Verified, packets [][]byte) (problem string, checked *Outcome) {
	for _, name := range Engines() {
		out, err := Execute(v, name, packets, prog.Input{Ifindex: 3, Mark: 0x80000001, CB: [5]uint32{7, 0xffffffff}})
		if err != nil {
			return fmt.Sprintf("engine %s: %v", name, err), nil
		}
		for i, r := range out.Runs {
			if r.Fault != "" && !(r.OutOfBudget && MayGoto(v.Program())) {
				return fmt.Sprintf("accepted, and yet %s faults in run %d: %s", name, i, r.Fault), nil
			}
		}
		if checked == nil {
			checked = out
		} else if d := Diff(checked, out); d != "" {
			return fmt.Sprintf("checked and %s differ: %s", name, d), nil
		}
	}
	return "", checked
}
