package asm_test

import (
	"math"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// syntaxes are the ways to write a program, each with what must read it.
var syntaxes = []struct {
	name   string
	format func([]asm.Insn) string
	parse  []func(string, asm.ParseOptions) ([]asm.Insn, error)
}{
	{"llvm", asm.FormatProgram, []func(string, asm.ParseOptions) ([]asm.Insn, error){asm.Parse, asm.ParseAny}},
	{"mnemonic", asm.FormatMnemonicProgram, []func(string, asm.ParseOptions) ([]asm.Insn, error){asm.ParseMnemonic, asm.ParseAny}},
}

// values returns what a field may hold by its rule: every register, and of numbers those at the edges.
func values(r asm.Rule, selected int64, edges ...int64) []int64 {
	switch r {
	case asm.ReadReg:
		return []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	case asm.WriteReg:
		return []int64{0, 1, 2, 3, 4, 5, 6, 7, 8, 9}
	case asm.AnyValue:
		return edges
	case asm.Selector:
		return []int64{selected}
	case asm.PseudoSrc:
		return []int64{0, 1, 2, 3, 4, 5, 6}
	case asm.CastSpace:
		return []int64{1, 1 << 16}
	}
	return []int64{0}
}

// legal returns instructions of kind k with every operand that Check allows, numbers at their edges.
func legal(k asm.Kind) (list []asm.Insn) {
	row := k.Info()
	sel := int64(row.Select)
	for _, dst := range values(row.Legal.Dst, sel) {
		for _, src := range values(row.Legal.Src, sel) {
			for _, off := range values(row.Legal.Off, sel, math.MinInt16, -1, 0, 1, math.MaxInt16) {
				for _, imm := range values(row.Legal.Imm, sel, math.MinInt32, -1, 0, 1, 9, 10, math.MaxInt32) {
					in := asm.Insn{Op: row.Opcode, Dst: asm.Reg(dst), Src: asm.Reg(src), Off: int16(off), Imm: int32(imm)}
					if k == asm.LdImm64 {
						for _, hi := range []int32{math.MinInt32, -1, 0, 1, math.MaxInt32} {
							next := asm.Insn{Imm: hi}
							useless := in.Src == asm.PseudoFunc && hi != 0 // nobody looks at it, and it has no words
							if asm.CheckImm64(in, next) == nil && !useless {
								list = append(list, in, next)
							}
						}
						continue
					}
					list = append(list, in)
				}
			}
		}
	}
	if k == asm.CallReg { // older compilers' form
		for r := range int32(10) {
			list = append(list, asm.Insn{Op: row.Opcode, Imm: r + 1})
		}
	}
	return list
}

// TestRoundTrip: every legal instruction has words in both syntaxes, and they read back as it is.
func TestRoundTrip(t *testing.T) {
	total := 0
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		prog := legal(k)
		require.NotEmpty(t, prog)
		for i := 0; i < len(prog); i++ {
			require.NoError(t, asm.Check(prog[i]), "%s %v", k, prog[i])
			require.Equal(t, k, asm.KindOf(prog[i]))
			if k == asm.LdImm64 {
				i++
			}
		}
		total += len(prog)
		roundTrip(t, k.String(), prog, true)
	}
	require.Greater(t, total, 20_000)
}

// TestRoundTripIllegal: what is not legal is written too, as its fields, and reads back: each opcode with fields at their edges.
func TestRoundTripIllegal(t *testing.T) {
	for op := range 256 {
		var prog []asm.Insn
		for _, reg := range []asm.Reg{0, 10, 11, 15} {
			for _, off := range []int16{math.MinInt16, -1, 0, 1, 8, math.MaxInt16} {
				for _, imm := range []int32{math.MinInt32, -1, 0, 1, 16, 0xf1, 0x110, math.MaxInt32} {
					prog = append(prog, asm.Insn{Op: uint8(op), Dst: reg, Off: off, Imm: imm}, asm.Insn{Op: uint8(op), Src: reg, Off: off, Imm: imm},
						asm.Insn{Op: uint8(op), Dst: reg, Src: reg, Off: off, Imm: imm})
				}
			}
		}
		roundTrip(t, "opcode", prog, false)
	}
}

func roundTrip(t *testing.T, name string, prog []asm.Insn, words bool) {
	for _, s := range syntaxes {
		text := s.format(prog)
		if words {
			require.False(t, strings.Contains(text, ".insn"), "%s has no words in %s", name, s.name)
		}
		for i, parse := range s.parse {
			got, err := parse(text, asm.ParseOptions{})
			require.NoError(t, err, "%s in %s", name, s.name)
			if !equal(prog, got) {
				t.Fatalf("%s in %s, parser %d, comes back as another:\n%s", name, s.name, i, firstOther(prog, got, text))
			}
		}
	}
}

func equal(a, b []asm.Insn) bool { return string(asm.EncodeProgram(a)) == string(asm.EncodeProgram(b)) }

func firstOther(want, got []asm.Insn, text string) string {
	for i := range want {
		if i >= len(got) || want[i] != got[i] {
			all := strings.Split(text, "\n")
			return all[min(i, len(all)-1)]
		}
	}
	return "only longer"
}
