package vector

import (
	"errors"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/vm"
)

// Names of the engines.
const (
	Interp  = "interp"
	Checked = "checked"
	JIT     = "jit"
)

// maker makes an engine for s on cpu, and says what to do when it is no longer needed. Only interpreters trace.
type maker func(cpu *vm.CPU, s *setting, trace func(pc int)) (e vm.Engine, done func() error, err error)

var makers = map[string]maker{Interp: newInterp, Checked: newChecked, JIT: newJIT}

func nothing() error { return nil }

func newInterp(cpu *vm.CPU, s *setting, trace func(pc int)) (vm.Engine, func() error, error) {
	e, err := vm.NewInterpreter(cpu, s.linked, vm.InterpOptions{Trace: s.trace(trace)})
	return e, nothing, err
}

func newChecked(cpu *vm.CPU, s *setting, trace func(pc int)) (vm.Engine, func() error, error) {
	o := vm.InterpOptions{Checked: true, CtxSize: uint32(len(s.view)), Trace: s.trace(trace)}
	e, err := vm.NewInterpreter(cpu, s.linked, o)
	return e, nothing, err
}

func newJIT(cpu *vm.CPU, s *setting, _ func(pc int)) (vm.Engine, func() error, error) {
	c, err := jit.New(cpu.Machine())
	if err != nil {
		return nil, nothing, err
	}
	e, err := c.Sandbox(cpu, s.linked)
	if err != nil {
		return nil, nothing, errors.Join(err, c.Close())
	}
	return e, c.Close, nil
}

// trace makes an interpreter's hook of f, which counts slots from the program's own first.
func (s *setting) trace(f func(pc int)) func(*vm.Linked, int, *[asm.NumRegs]uint64) {
	if f == nil {
		return nil
	}
	return func(_ *vm.Linked, pc int, _ *[asm.NumRegs]uint64) {
		if pc >= s.slots {
			f(pc - s.slots)
		}
	}
}

// Engines names the engines that this machine has.
func Engines() []string {
	names := []string{Checked, Interp}
	if jit.Available() {
		names = append(names, JIT)
	}
	return names
}
