package vm_test

import (
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/vmtest"
	"github.com/skepvm/skep/vm"
)

func newInterpreter(t testing.TB, cpu *vm.CPU, l *vm.Linked, o vm.InterpOptions) *vm.Interpreter {
	t.Helper()
	x, err := vm.NewInterpreter(cpu, l, o)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestCases(t *testing.T) {
	for name, o := range map[string]vm.InterpOptions{
		"interp":  {},
		"checked": {Checked: true},
		"trace":   {Trace: func(*vm.Linked, int, *[asm.NumRegs]uint64) {}},
	} {
		t.Run(name, func(t *testing.T) {
			vmtest.Run(t, "testdata", func(cpu *vm.CPU, l *vm.Linked) vm.Engine {
				return newInterpreter(t, cpu, l, o)
			})
		})
	}
}
