package asm

// opcodeEntry is what an opcode byte alone says: the kind, or which field to look at.
type opcodeEntry struct {
	kind     Kind // the first kind with the opcode, Invalid when there is none
	selector Field
	variants uint8 // index into variantKinds when there is a selector
}

// variantSlots is the number of selector values that variantIndex keeps apart.
const variantSlots = 72

var opcodes, variantKinds = buildOpcodes()

// KindOf tells the kind of in: Invalid when no row of the table has its opcode and, where several kinds share the
// opcode, its selecting field (off of divisions and moves, imm of swaps and atomics, src of calls).
// The other fields may still be illegal: see Check.
func KindOf(in Insn) Kind {
	e := opcodes[in.Op]
	if e.selector == FieldNone {
		return e.kind
	}
	i, ok := variantIndex(selectorValue(e.selector, in))
	if !ok {
		return Invalid
	}
	return variantKinds[e.variants][i]
}

func selectorValue(f Field, in Insn) uint32 {
	switch f {
	case FieldOff:
		return uint32(uint16(in.Off))
	case FieldImm:
		return uint32(in.Imm)
	}
	return uint32(in.Src) << 3 // small consecutive numbers, moved to where variantIndex has room for them
}

// variantIndex packs a selector densely. Selectors are multiples of 8, with or without bit 0 (the fetch flag, the
// signed flag), up to 0x110 (store-release).
func variantIndex(v uint32) (uint32, bool) {
	i := v>>2&^1 | v&1
	return i, v&6 == 0 && i < variantSlots
}

func buildOpcodes() (ops [256]opcodeEntry, variants [][variantSlots]Kind) {
	for k := Invalid + 1; k < NumKinds; k++ {
		row := &Table[k]
		e := &ops[row.Opcode]
		sel := row.Selector()
		if e.kind == Invalid {
			*e = opcodeEntry{kind: k, selector: sel}
			if sel != FieldNone {
				e.variants = uint8(len(variants))
				variants = append(variants, [variantSlots]Kind{})
			}
		}
		if sel != e.selector {
			panic("asm: " + row.Name + " and " + ops[row.Opcode].kind.String() + " disagree on the selecting field")
		}
		if sel == FieldNone {
			if e.kind != k {
				panic("asm: " + row.Name + " has the encoding of " + e.kind.String())
			}
			continue
		}
		i, ok := variantIndex(selectorValue(sel, k.Example()))
		if !ok || variants[e.variants][i] != Invalid {
			panic("asm: " + row.Name + ": selector out of range or taken")
		}
		variants[e.variants][i] = k
	}
	return ops, variants
}
