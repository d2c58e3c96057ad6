package jit

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

func TestSmoke(t *testing.T) {
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{}})
	require.NoError(t, err)
	insns, err := asm.Parse(`
		r0 = 7
		r0 += r1
		r2 = 1000
	loop:
		r0 *= 3
		r2 += -1
		if r2 != 0 goto loop
		*(u64 *)(r10 - 8) = r0
		call f
		exit
	f:
		r0 = *(u32 *)(r10 + 504)
		r0 %= 1000
		exit
	`, asm.ParseOptions{})
	require.NoError(t, err)
	l, err := m.Link(&prog.Program{Insns: insns})
	require.NoError(t, err)
	c, err := New(m)
	require.NoError(t, err)
	x, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{})
	require.NoError(t, err)
	want, err := x.Run(0x12345)
	require.NoError(t, err)
	e, err := c.compileLinked(m.CPU(0), l)
	require.NoError(t, err)
	got, err := e.Run(0x12345)
	require.NoError(t, err)
	require.Equal(t, want, got)
}
