package gen

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// BytesOver makes what may be a program of type t, or not: noise, or an encoded program with a few bytes changed, slots
// exchanged, its end cut off.
func BytesOver(src Source, t prog.Type, over []*maps.Spec) []byte {
	var b []byte
	switch src.IntN(4) {
	case 0:
		b = make([]byte, src.IntN(160))
		for i := range b {
			b[i] = byte(src.IntN(256))
		}
		return b
	case 1: // opcodes that there are, with noise behind them
		b = make([]byte, asm.InsnSize*(1+src.IntN(20)))
		for i := range b {
			b[i] = byte(src.IntN(256))
			if i%asm.InsnSize == 0 {
				b[i] = asm.Kind(1 + src.IntN(asm.NumKinds-1)).Info().Opcode
			} else if src.IntN(2) == 0 {
				b[i] = 0
			}
		}
		return b
	case 2:
		b = asm.EncodeProgram(InsnsOver(src, nil, over).Insns)
	default:
		b = asm.EncodeProgram(MakeOver(src, nil, over).Insns)
	}
	for range src.IntN(4) {
		damage(src, b)
	}
	if src.IntN(6) == 0 {
		b = b[:src.IntN(len(b)+1)]
	}
	return b
}

// damage changes a little of an encoded program.
func damage(src Source, b []byte) {
	at := src.IntN(len(b))
	switch src.IntN(5) {
	case 0:
		b[at] ^= 1 << src.IntN(8)
	case 1:
		b[at] = byte(src.IntN(256))
	case 2: // another opcode
		b[at&^7] = asm.Kind(1 + src.IntN(asm.NumKinds-1)).Info().Opcode
	case 3: // a slot in another's place
		copy(b[at&^7:][:8], b[src.IntN(len(b))&^7:][:8])
	case 4: // a register
		b[at&^7+1] ^= 1 << src.IntN(8)
	}
}
