package jit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/vmtest"
	"github.com/skepvm/skep/vm"
)

// compilers makes one compiler a machine and closes them at the end of the test.
type compilers struct {
	t    testing.TB
	made map[*vm.Machine]*Compiler
}

func newCompilers(t testing.TB) *compilers {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	c := &compilers{t, map[*vm.Machine]*Compiler{}}
	t.Cleanup(func() {
		for _, compiler := range c.made {
			require.NoError(t, compiler.Close())
		}
	})
	return c
}

func (c *compilers) of(m *vm.Machine) *Compiler {
	if c.made[m] == nil {
		compiler, err := New(m)
		require.NoError(c.t, err)
		c.made[m] = compiler
	}
	return c.made[m]
}

func (c *compilers) engine(cpu *vm.CPU, l *vm.Linked) *engine {
	e, err := c.of(cpu.Machine()).engine(cpu, l)
	require.NoError(c.t, err)
	return e
}

// TestCases runs the interpreter's cases.
func TestCases(t *testing.T) {
	c := newCompilers(t)
	vmtest.Run(t, "../vm/testdata", func(cpu *vm.CPU, l *vm.Linked) vm.Engine { return c.engine(cpu, l) })
}

// TestCasesOnOldProcessors runs them without BMI2 or LSE.
func TestCasesOnOldProcessors(t *testing.T) {
	c := newCompilers(t)
	vmtest.Run(t, "../vm/testdata", func(cpu *vm.CPU, l *vm.Linked) vm.Engine {
		c.of(cpu.Machine()).processor = Processor{Arch: host.Arch}
		return c.engine(cpu, l)
	})
}
