package conformance

import (
	"errors"
	"fmt"
	"slices"

	"github.com/skepvm/skep/internal/reference"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// Engine is a sort of engine, to be compared with others.
type Engine struct {
	Name   string
	Shadow bool // needs guest memory with a shadow; may fault where others go on
	// Make makes an engine of p on CPU 0 of m; v is p's proof, nil when it has none. done gives back what the engine holds.
	Make func(m *vm.Machine, p *prog.Program, v *verifier.Verified) (e vm.Engine, done func() error, err error)
}

// All lists the engines that this machine has. The first is the slow and obvious one that others are compared with.
func All() []Engine {
	all := []Engine{
		{Name: "reference", Make: func(m *vm.Machine, p *prog.Program, v *verifier.Verified) (vm.Engine, func() error, error) {
			l, err := link(m, p, v)
			if err != nil {
				return nil, nil, err
			}
			return reference.New(m.CPU(0), l), nothing, nil
		}},
		{Name: "checked", Shadow: true, Make: interpreter(vm.InterpOptions{Checked: true})},
		{Name: "interp", Make: interpreter(vm.InterpOptions{})},
	}
	if jit.Available() {
		all = append(all, Engine{Name: "jit", Make: compiled})
	}
	return all
}

func link(m *vm.Machine, p *prog.Program, v *verifier.Verified) (*vm.Linked, error) {
	if v == nil {
		return m.Link(p)
	}
	if err := v.Runnable(); err != nil {
		return nil, err
	}
	return m.LinkProved(p, v.Proof())
}

func nothing() error { return nil }

func interpreter(o vm.InterpOptions) func(*vm.Machine, *prog.Program, *verifier.Verified) (vm.Engine, func() error, error) {
	return func(m *vm.Machine, p *prog.Program, v *verifier.Verified) (vm.Engine, func() error, error) {
		l, err := link(m, p, v)
		if err != nil {
			return nil, nil, err
		}
		e, err := vm.NewInterpreter(m.CPU(0), l, o)
		return e, nothing, err
	}
}

// compiled is machine code; of a program without a proof in the sandbox.
func compiled(m *vm.Machine, p *prog.Program, v *verifier.Verified) (vm.Engine, func() error, error) {
	c, err := jit.New(m)
	if err != nil {
		return nil, nil, err
	}
	var e vm.Engine
	if v != nil {
		e, err = c.Compile(m.CPU(0), v)
	} else {
		var l *vm.Linked
		if l, err = m.Link(p); err == nil {
			e, err = c.Sandbox(m.CPU(0), l)
		}
	}
	if err != nil {
		return nil, nil, errors.Join(err, c.Close())
	}
	return e, c.Close, nil
}

// Engines names the engines that this machine has. All but the first are compared with the first.
func Engines() (names []string) {
	for _, e := range All() {
		names = append(names, e.Name)
	}
	return names
}

// Named is the engines of those names, in the order of All.
func Named(names ...string) ([]Engine, error) {
	have := Engines()
	for _, n := range names {
		if !slices.Contains(have, n) {
			return nil, fmt.Errorf("no engine %q: this machine has %v", n, have)
		}
	}
	return slices.DeleteFunc(All(), func(e Engine) bool { return !slices.Contains(names, e.Name) }), nil
}
