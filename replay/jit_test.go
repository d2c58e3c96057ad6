package replay

import (
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

func init() {
	if jit.Available() {
		engines["jit"] = compile
	}
}

// compile verifies p and makes machine code of it.
func compile(m *vm.Machine, p *prog.Program) (vm.Engine, error) {
	v, err := verifier.Verify(p, verifier.Options{Outside: true})
	if err != nil {
		return nil, err
	}
	c, err := jit.New(m)
	if err != nil {
		return nil, err
	}
	return c.Compile(m.CPU(0), v)
}
