package asm_test

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// lines calls f for each line of a file of testdata that is neither empty nor a comment.
func lines(t *testing.T, name string, f func(t *testing.T, line string)) {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	require.NoError(t, err)
	defer file.Close()
	n := 0
	for s := bufio.NewScanner(file); s.Scan(); {
		n++
		if line := strings.TrimSpace(s.Text()); line != "" && line[0] != '#' {
			t.Run(fmt.Sprintf("%s:%d", name, n), func(t *testing.T) { f(t, line) })
		}
	}
	require.NotZero(t, n)
}

// decodeHex reads slots written as hex digits, with or without spaces.
func decodeHex(t *testing.T, s string) []asm.Insn {
	t.Helper()
	b, err := hex.DecodeString(strings.ReplaceAll(s, " ", ""))
	require.NoError(t, err)
	prog, err := asm.DecodeProgram(b)
	require.NoError(t, err)
	return prog
}

// TestNames checks that every constant of type Kind has a row with its name.
func TestNames(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "kind.go", nil, 0)
	require.NoError(t, err)
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Names[0].Name != "NumKinds" {
			names = append(names, spec.Names[0].Name)
		}
		return true
	})
	require.Len(t, names, asm.NumKinds)
	for i, name := range names {
		require.Equal(t, name, asm.Kind(i).String())
	}
	require.Equal(t, "Invalid", asm.Kind(asm.NumKinds).String())
}

// TestOpcodes compares the table with testdata/opcodes.txt, both ways.
func TestOpcodes(t *testing.T) {
	seen := map[string]bool{}
	byName := map[string]asm.Kind{}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		byName[k.String()] = k
	}
	lines(t, "opcodes.txt", func(t *testing.T, line string) {
		f := strings.Fields(line)
		require.Len(t, f, 7)
		k, ok := byName[f[2]]
		require.True(t, ok, "no kind %s", f[2])
		seen[f[2]] = true
		row := k.Info()

		since, section := row.Since.String(), row.Section
		if row.Since == asm.Never {
			since = "never"
		}
		if section == "" {
			section = "-"
		}
		selector := "-"
		switch s := row.Selector(); s {
		case asm.FieldImm:
			selector = fmt.Sprintf("imm=%#x", row.Select)
		case asm.FieldOff, asm.FieldSrc:
			selector = fmt.Sprintf("%s=%d", s, row.Select)
		}
		got := fmt.Sprintf("0x%02x %s %s %s %s %s %s", row.Opcode, selector, k, section, row.Group, row.ISA, since)
		require.Equal(t, strings.Join(f, " "), got)
	})
	require.Len(t, seen, asm.NumKinds-1)
}

// TestKindOfExhaustive walks every opcode with every value of every field that selects, and counts.
func TestKindOfExhaustive(t *testing.T) {
	found := map[asm.Kind]int{}
	try := func(in asm.Insn) {
		k := asm.KindOf(in)
		if k == asm.Invalid {
			return
		}
		if in.Op != k.Info().Opcode {
			t.Fatalf("%v is said to be a %s", in, k)
		}
		found[k]++
	}
	for op := range 256 {
		for off := range 1 << 16 {
			try(asm.Insn{Op: uint8(op), Off: int16(off), Imm: 16})
		}
		for imm := int32(-0x200); imm < 0x400; imm++ {
			try(asm.Insn{Op: uint8(op), Imm: imm})
			try(asm.Insn{Op: uint8(op), Imm: imm << 16})
		}
		for src := range asm.Reg(16) {
			try(asm.Insn{Op: uint8(op), Src: src, Imm: 16})
		}
	}
	require.Len(t, found, asm.NumKinds-1)
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if k.Info().Selector() == asm.FieldOff && k.Info().Select != 0 {
			require.Equal(t, 1, found[k], "%s: values of off", k)
		}
	}
}

func TestExamples(t *testing.T) {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		in := k.Example()
		require.Equal(t, k, asm.KindOf(in), "%s", k)
		require.NoError(t, asm.Check(in), "%s", k)
	}
	require.Equal(t, asm.Insn{}, asm.Invalid.Example())
	require.Equal(t, asm.Invalid, asm.KindOf(asm.Insn{}))
}

func TestCheck(t *testing.T) {
	lines(t, "check.txt", func(t *testing.T, line string) {
		code, want := line[:23], strings.TrimSpace(line[23:])
		err := asm.Check(decodeHex(t, code)[0])
		if want == "ok" {
			require.NoError(t, err)
			return
		}
		var field *asm.FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, want, err.Error())
	})
}

func TestCheckImm64(t *testing.T) {
	lo := asm.Insn{Op: 0x18, Dst: 1}
	for _, c := range []struct {
		src asm.Reg
		hi  asm.Insn
		bad asm.Field
	}{
		{asm.PseudoNone, asm.Insn{Imm: -1}, asm.FieldNone},
		{asm.PseudoMapValue, asm.Insn{Imm: 8}, asm.FieldNone},
		{asm.PseudoMapFD, asm.Insn{}, asm.FieldNone},
		{asm.PseudoMapFD, asm.Insn{Imm: 8}, asm.FieldImm},
		{asm.PseudoMapIdx, asm.Insn{Imm: 8}, asm.FieldImm},
		{asm.PseudoNone, asm.Insn{Op: 0x18}, asm.FieldOp},
		{asm.PseudoNone, asm.Insn{Dst: 1}, asm.FieldDst},
		{asm.PseudoNone, asm.Insn{Src: 1}, asm.FieldSrc},
		{asm.PseudoNone, asm.Insn{Off: 1}, asm.FieldOff},
	} {
		lo.Src = c.src
		err := asm.CheckImm64(lo, c.hi)
		if c.bad == asm.FieldNone {
			require.NoError(t, err)
			continue
		}
		var field *asm.FieldError
		require.ErrorAs(t, err, &field)
		require.Equal(t, c.bad, field.Field)
	}
}

// TestReadsWrites reads testdata/regs.txt: text, registers read, registers written.
func TestReadsWrites(t *testing.T) {
	set := func(s string) (set asm.RegSet) {
		for _, f := range strings.Fields(s) {
			n, err := strconv.Atoi(f)
			require.NoError(t, err)
			set |= 1 << n
		}
		return set
	}
	lines(t, "regs.txt", func(t *testing.T, line string) {
		f := strings.Split(line, "|")
		require.Len(t, f, 3)
		prog, err := asm.Parse(f[0], asm.ParseOptions{})
		require.NoError(t, err)
		require.Equal(t, set(f[1]), asm.Reads(prog[0]), "reads")
		require.Equal(t, set(f[2]), asm.Writes(prog[0]), "writes")
	})
	require.True(t, asm.RegSet(1<<10).Has(asm.R10))
	require.False(t, asm.RegSet(1<<10).Has(asm.R9))
	require.Zero(t, asm.Reads(asm.Insn{Op: 0xff, Dst: 15, Src: 15}))
}

func TestTarget(t *testing.T) {
	for text, want := range map[string]int{
		"goto +3": 14, "goto -11": 0, "gotol +70000": 70011, "if r1 > r2 goto -1": 10, "may_goto +0": 11, "call pc+5": 16,
		"r1 = func pc+5": 16, "call 5": -1, "exit": -1, "r1 = 5 ll": -1, "r1 += 5": -1, "callx r2": -1,
	} {
		prog, err := asm.Parse(text, asm.ParseOptions{})
		require.NoError(t, err)
		require.Equal(t, want, prog[0].Target(10), text)
	}
}

func TestNoAllocations(t *testing.T) {
	in := asm.AtomicCmpxchg64.Example()
	b := make([]byte, 0, 128)
	require.Zero(t, testing.AllocsPerRun(100, func() {
		asm.KindOf(in)
		_ = asm.Check(in)
		asm.Reads(in)
		asm.Writes(in)
		b = asm.AppendFormat(b[:0], in, nil)
		b = asm.Append(b[:0], in)
	}))
}
