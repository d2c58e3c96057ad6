package vm

import (
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// TestFuse runs every fusion, on random registers and values, against the loop with a trace, which fuses nothing.
func TestFuse(t *testing.T) {
	m, err := NewMachine(Config{})
	require.NoError(t, err)
	defer m.Close()
	rng := rand.New(rand.NewPCG(1, 2))
	fused := map[asm.Kind]bool{}
	for range 200 {
		for _, f := range fusions {
			p := &prog.Program{Name: "fuse", Type: prog.SchedCLS, Insns: fusible(f, rng)}
			l, err := m.Link(p)
			require.NoError(t, err)
			for _, in := range l.decoded().fast {
				fused[in.op] = true
			}
			fast := runFused(t, m, l, InterpOptions{})
			plain := runFused(t, m, l, InterpOptions{Trace: func(*Linked, int, *[asm.NumRegs]uint64) {}})
			require.Equal(t, plain, fast, "%v:\n%s", f.op, asm.FormatProgram(p.Insns))
		}
	}
	for _, f := range fusions {
		require.True(t, fused[f.op], "kind %d was never made", f.op)
	}
}

func runFused(t *testing.T, m *Machine, l *Linked, o InterpOptions) Result {
	x, err := NewInterpreter(m.CPU(0), l, o)
	require.NoError(t, err)
	r, err := x.Run(0x10000)
	require.NoError(t, err)
	return r
}

// fusible is a program with f's instructions on a few registers: both ways of a jump, and a jump into the middle.
func fusible(f fusion, rng *rand.Rand) []asm.Insn {
	reg := func() asm.Reg { return asm.Reg(1 + rng.IntN(4)) }
	value := func() int32 { return int32(rng.IntN(9)) }
	var code []asm.Insn
	for r := asm.R0; r < asm.R6; r++ {
		code = append(code, asm.Insn{Op: asm.Mov64K.Info().Opcode, Dst: r, Imm: value()})
	}
	code = append(code, asm.Insn{Op: asm.Jeq64K.Info().Opcode, Dst: asm.R5, Imm: 3, Off: int16(rng.IntN(2))})
	dst := reg()
	for i, kind := range []asm.Kind{f.first, f.second, f.third} {
		in := asm.Insn{Op: kind.Info().Opcode, Dst: dst}
		switch {
		case kind == asm.Invalid:
			continue
		case kind.Info().UseSrc || kind.Info().Class == asm.ClassLoad:
			in.Src = reg()
		default:
			in.Imm = value()
		}
		if i == 1 && f.apart {
			in.Dst = reg()
		}
		if i == 2 && kind == asm.Xor64X {
			in.Dst, in.Src = reg(), dst
		}
		if kind.Info().Class == asm.ClassBranch {
			in.Off = 1
		}
		code = append(code, in)
	}
	code = append(code, asm.Insn{Op: asm.Mul64K.Info().Opcode, Dst: asm.R1, Imm: 77})
	for r := asm.R1; r < asm.R6; r++ { // everything into R0
		code = append(code, asm.Insn{Op: asm.Mul64K.Info().Opcode, Dst: asm.R0, Imm: 1000003},
			asm.Insn{Op: asm.Add64X.Info().Opcode, Dst: asm.R0, Src: r})
	}
	return append(code, asm.Insn{Op: asm.Exit.Info().Opcode})
}
