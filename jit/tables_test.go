package jit

import (
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// TestOtherTables: what was verified with an embedder's helpers is compiled for machines with the same ones only.
func TestOtherTables(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	tables, err := helpers.NewTables(helpers.Own{})
	if err != nil {
		t.Fatal(err)
	}
	p := &prog.Program{Name: "p", Type: prog.XDP, Insns: []asm.Insn{{Op: 0xb7}, {Op: 0x95}}, Funcs: []prog.Func{{Name: "p", End: 2}}}
	for _, c := range []struct{ verified, machine *helpers.Tables }{{nil, tables}, {tables, nil}, {tables, tables}, {nil, nil}} {
		v, err := verifier.Verify(p, verifier.Options{Tables: c.verified})
		if err != nil {
			t.Fatal(err)
		}
		m, err := vm.NewMachine(vm.Config{Tables: c.machine})
		if err != nil {
			t.Fatal(err)
		}
		compiler, err := New(m)
		if err != nil {
			t.Fatal(err)
		}
		_, err = compiler.Compile(m.CPU(0), v)
		if same := c.verified == c.machine; same != (err == nil) || !same && !strings.Contains(err.Error(), "other helpers") {
			t.Errorf("%v: %v", c, err)
		}
		compiler.Close()
		m.Close()
	}
}
