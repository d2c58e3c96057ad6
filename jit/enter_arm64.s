//go:build linux || darwin

#include "go_asm.h"
#include "textflag.h"

// func enter(s *state, stub uintptr)
//
// Jumps to a stub of a program's machine code, on the private stack. The stub gives the stack, R29 and R30 back and
// returns to our caller. Machine code uses any other register but R18 and R28 (g): an assembly function may. Writing
// RSP tells the runtime's unwinder to stop here.
TEXT ·enter(SB), NOSPLIT|NOFRAME, $0-16
	MOVD s+0(FP), R26
	MOVD stub+8(FP), R9
	MOVD RSP, R10
	MOVD R10, state_goSP(R26)
	MOVD R29, state_goBP(R26)
	MOVD R30, state_goLR(R26)
	MOVD state_nativeSP(R26), R10
	MOVD R10, RSP
	JMP  (R9)
