#include "textflag.h"

// func syncRange(start, end uintptr)
//
// Writes the data cache's lines back, then forgets the instruction cache's. CTR_EL0 has the logarithms of the line
// sizes in words of 4 bytes: bits 16-19 for data, 0-3 for instructions.
TEXT ·syncRange(SB), NOSPLIT, $0-16
	MOVD start+0(FP), R0
	MOVD end+8(FP), R1
	MRS  CTR_EL0, R2
	MOVD $4, R3

	UBFX $16, R2, $4, R4
	LSL  R4, R3, R4
	SUB  $1, R4, R6
	BIC  R6, R0, R5
data:
	WORD $0xd50b7b25     // dc cvau, x5
	ADD  R4, R5, R5
	CMP  R1, R5
	BLO  data
	DSB  $11             // ish

	UBFX $0, R2, $4, R4
	LSL  R4, R3, R4
	SUB  $1, R4, R6
	BIC  R6, R0, R5
code:
	WORD $0xd50b7525     // ic ivau, x5
	ADD  R4, R5, R5
	CMP  R1, R5
	BLO  code
	DSB  $11             // ish
	ISB  $15
	RET
