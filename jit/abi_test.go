package jit

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/internal/arm64"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// TestStateLayout pins the block that Go, the trampoline and machine code share, on every architecture.
func TestStateLayout(t *testing.T) {
	for name, at := range map[string][2]int32{
		"goSP":      {offGoSP, 0},
		"goBP":      {offGoBP, 8},
		"nativeSP":  {offNativeSP, 16},
		"resume":    {offResume, 24},
		"base":      {offBase, 32},
		"fuel":      {offFuel, 40},
		"regs":      {offRegs, 48},
		"site":      {offSite, 136},
		"code":      {offCode, 140},
		"ctx":       {offCtx, 144},
		"stackTop":  {offStackTop, 148},
		"lastFrame": {offLastFrame, 152},
		"cpu":       {offCPU, 156},
		"stride":    {offStride, 160},
		"left":      {offLeft, 164},
		"frameFuel": {offFrameFuel, 168},
		"loops":     {offLoops, 176},
		"goLR":      {offGoLR, 208},
	} {
		require.Equal(t, at[1], at[0], name)
	}
	require.EqualValues(t, 216, unsafe.Sizeof(state{}))
	require.EqualValues(t, 4, unsafe.Sizeof(state{}.loops[0]), "loopCount scales frame numbers by 4")
	require.EqualValues(t, 512, vm.FrameSize, "loopCount divides by it with a shift")
}

// TestRegisterMaps: every BPF register has a home of its own, and none of those that code generation uses itself.
func TestRegisterMaps(t *testing.T) {
	x := map[amd64.Reg]string{x64Fuel: "fuel", x64Base: "base", x64State: "state", x64Scratch: "scratch", amd64.RSP: "stack"}
	require.Len(t, x, 5)
	for r, home := range x64Map {
		require.Empty(t, x[home], "R%d", r)
		x[home] = asm.Reg(r).String()
	}
	require.Len(t, x, 16)
	require.Equal(t, amd64.RAX, x64Map[asm.R0], "cmpxchg and div want R0 in RAX")

	a := map[arm64.Reg]string{a64Fuel: "fuel", a64Frame: "frame", a64Base: "base", a64State: "state", a64Scratch: "scratch",
		a64Addr: "address", a64Host: "host address", a64Status: "status",
		arm64.X18: "the system's", arm64.X28: "g", arm64.X29: "Go's frame", arm64.X30: "return address", arm64.SP: "stack"}
	require.Len(t, a, 13)
	for r, home := range a64Map {
		require.Empty(t, a[home], "R%d", r)
		a[home] = asm.Reg(r).String()
	}
}

// TestStackAligned: arm64's stack pointer must be a multiple of 16.
func TestStackAligned(t *testing.T) {
	for range 10 {
		require.Zero(t, newBench(t, prog.XDP, "exit").jit.stack%16)
	}
}
