package reference_test

import (
	"testing"

	"github.com/skepvm/skep/internal/reference"
	"github.com/skepvm/skep/internal/vmtest"
	"github.com/skepvm/skep/vm"
)

// TestCases runs the engines' table of cases.
func TestCases(t *testing.T) {
	vmtest.Run(t, "../../vm/testdata", func(cpu *vm.CPU, l *vm.Linked) vm.Engine { return reference.New(cpu, l) })
}
