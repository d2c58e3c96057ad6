//go:build linux || darwin || windows

#include "go_asm.h"
#include "textflag.h"

// func enter(s *state, stub uintptr)
//
// Jumps to a stub of a program's machine code, on the private stack. The stub gives the stack and BP back and returns
// to our caller. Machine code uses all other registers, R14 (g) and X15 (zero) included: the wrapper that
// Go puts around an assembly function restores those. Writing SP tells the runtime's unwinder to stop here.
TEXT ·enter(SB), NOSPLIT|NOFRAME, $0-16
	MOVQ s+0(FP), R12
	MOVQ stub+8(FP), AX
	MOVQ BP, state_goBP(R12)
	MOVQ SP, state_goSP(R12)
	MOVQ state_nativeSP(R12), SP
	JMP  AX

// func features() uint32
TEXT ·features(SB), NOSPLIT, $0-4
	MOVL $1, AX
	XORL CX, CX
	CPUID
	MOVL CX, ret+0(FP)
	RET
