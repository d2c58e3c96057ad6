package jit

import (
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
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
	} {
		require.Equal(t, at[1], at[0], name)
	}
	require.EqualValues(t, 208, unsafe.Sizeof(state{}))
	require.EqualValues(t, 4, unsafe.Sizeof(state{}.loops[0]), "loopCount scales frame numbers by 4")
	require.EqualValues(t, 512, vm.FrameSize, "loopCount divides by it with a shift")
}

// TestRegisterMap: every BPF register has a home of its own, and none of those that code generation uses itself.
func TestRegisterMap(t *testing.T) {
	used := map[amd64.Reg]string{fuelReg: "fuel", baseReg: "base", stateReg: "state", scratch: "scratch", amd64.RSP: "stack"}
	require.Len(t, used, 5)
	for r, home := range regMap {
		require.Empty(t, used[home], "R%d", r)
		used[home] = asm.Reg(r).String()
	}
	require.Len(t, used, 16)
	require.Equal(t, amd64.RAX, regMap[asm.R0], "cmpxchg and div want R0 in RAX")
}
