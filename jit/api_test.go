package jit_test

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

func verified(t testing.TB, src string) *verifier.Verified {
	insns, err := asm.Parse(src, asm.ParseOptions{})
	require.NoError(t, err)
	v, err := verifier.Verify(&prog.Program{
		Name: "main", Type: prog.XDP, License: "GPL", Insns: insns,
		Funcs: []prog.Func{{Name: "main", End: len(insns)}},
	}, verifier.Options{})
	require.NoError(t, err)
	return v
}

func machine(t testing.TB, cpus int) (*vm.Machine, *jit.Compiler) {
	m, err := vm.NewMachine(vm.Config{CPUs: cpus})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	c, err := jit.New(m)
	if !jit.Available() {
		require.ErrorIs(t, err, jit.ErrUnsupported)
		t.Skip(err)
	}
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, c.Close()) })
	return m, c
}

func TestCompile(t *testing.T) {
	m, c := machine(t, 3)
	v := verified(t, "call 8\nexit")
	for i := range 3 {
		e, err := c.Compile(m.CPU(i), v)
		require.NoError(t, err)
		require.Equal(t, "jit", e.Name())
		res, err := e.Run(0)
		require.NoError(t, err)
		require.Equal(t, vm.Result{R0: uint64(i), Insns: 2}, res)
	}
	require.Len(t, m.Programs(), 1, "one program, whatever the number of CPUs")

	other, _ := machine(t, 1)
	_, err := c.Compile(other.CPU(0), v)
	require.ErrorContains(t, err, "another machine")
}

// TestSandbox: what the verifier refuses runs, cannot leave guest memory, and ends.
func TestSandbox(t *testing.T) {
	m, c := machine(t, 1)
	sandbox := func(src string) vm.Engine {
		insns, err := asm.Parse(src, asm.ParseOptions{})
		require.NoError(t, err)
		l, err := m.Link(&prog.Program{Name: "main", Type: prog.XDP, Insns: insns})
		require.NoError(t, err)
		e, err := c.Sandbox(m.CPU(0), l)
		require.NoError(t, err)
		return e
	}
	wild := sandbox("r1 = -1 ll\n*(u64 *)(r1 + 32767) = r1\nr0 = *(u64 *)(r1 + 32767)\nexit")
	res, err := wild.Run(0)
	require.NoError(t, err)
	require.Equal(t, ^uint64(0), res.R0, "r1 + 32767 is a guest address like any other")
	require.Equal(t, ^uint64(0), m.Space().Load64(32766))

	deep := sandbox("f:\ncall f\nexit")
	_, err = deep.Run(0)
	var f *vm.Fault
	require.ErrorAs(t, err, &f)
	require.Equal(t, vm.CallDepth, f.Kind)

	other, _ := machine(t, 1)
	l, err := other.Link(&prog.Program{Name: "main", Type: prog.XDP, Insns: []asm.Insn{asm.Exit.Example()}})
	require.NoError(t, err)
	_, err = c.Sandbox(m.CPU(0), l)
	require.ErrorContains(t, err, "another machine")
	_, err = c.Sandbox(other.CPU(0), m.Programs()[0])
	require.ErrorContains(t, err, "another machine")
}

func TestEmptyBatch(t *testing.T) {
	m, c := machine(t, 1)
	e, err := c.Compile(m.CPU(0), verified(t, "r0 = 2\nexit"))
	require.NoError(t, err)
	for _, n := range []int{0, -1} {
		done, err := e.RunBatch(0, 0, n)
		require.NoError(t, err)
		require.Zero(t, done)
	}
}

func TestList(t *testing.T) {
	m, err := vm.NewMachine(vm.Config{})
	require.NoError(t, err)
	defer m.Close()
	insns, err := asm.Parse("r0 = 2\ncall 7\nloop:\nr0 += -1\nif r0 != 0 goto loop\nexit", asm.ParseOptions{})
	require.NoError(t, err)
	p := &prog.Program{Name: "main", Type: prog.XDP, Insns: insns, Lines: []prog.Line{{PC: 2, File: "a.c", Line: 7, Text: "do {"}}}
	l, err := m.Link(p)
	require.NoError(t, err)
	for _, target := range []jit.Processor{{Arch: "amd64", BMI2: true}, {Arch: "arm64", LSE: true}, {Arch: "arm64"}} {
		list, err := jit.List(m, l, target)
		require.NoError(t, err)
		require.Equal(t, target.Arch, list.Arch)
		next := 0
		for i, part := range list.Parts {
			for _, in := range part.Code {
				require.Equal(t, next, in.Offset, "every byte is listed, once and in order")
				require.NotContains(t, in.Text, ".word")
				require.NotContains(t, in.Text, ".byte")
				next += len(in.Hex) / 2
			}
			if i < len(insns) {
				require.Equal(t, i, part.PC)
				require.NotEmpty(t, part.Code)
			} else {
				require.Equal(t, -1, part.PC)
				require.NotEmpty(t, part.Name)
			}
		}
		require.Equal(t, list.Bytes, next)
		require.Equal(t, "r0 = 2", list.Parts[0].Insn)
		require.Equal(t, []int{2, 0, 2, 0, 1}, []int{list.Parts[0].Block, list.Parts[1].Block, list.Parts[2].Block, list.Parts[3].Block, list.Parts[4].Block})
		require.Equal(t, []string{"helper"}, list.Parts[1].Exits)
		require.Equal(t, []string{"out of fuel"}, list.Parts[3].Exits)
		require.Equal(t, &jit.Source{File: "a.c", Line: 7, Text: "do {"}, list.Parts[2].Source)
		require.Nil(t, list.Parts[3].Source)
	}
	_, err = jit.List(m, l, jit.Processor{})
	require.ErrorIs(t, err, jit.ErrUnsupported)
}

func Example() {
	insns, _ := asm.Parse("r0 = 21\nr0 *= 2\nexit", asm.ParseOptions{})
	p := &prog.Program{Name: "answer", Type: prog.XDP, Insns: insns, Funcs: []prog.Func{{Name: "answer", End: len(insns)}}}
	v, err := verifier.Verify(p, verifier.Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	m, err := vm.NewMachine(vm.Config{})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer m.Close()
	var engine vm.Engine
	if c, err := jit.New(m); err == nil {
		defer c.Close()
		engine, _ = c.Compile(m.CPU(0), v)
	} else { // no machine code for this system
		l, _ := m.Link(p)
		engine, _ = vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{})
	}
	res, err := engine.Run(0)
	fmt.Println(res.R0, res.Insns, err)
	// Output: 42 3 <nil>
}
