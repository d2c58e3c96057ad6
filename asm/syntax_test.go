package asm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// names resolves the few names that the test files use.
var names = asm.ParseOptions{
	Helpers: lookup(map[string]int32{"bpf_map_lookup_elem": 1}),
	Maps:    lookup(map[string]int32{"counts": 2, ".rodata": 3}),
	Kfuncs:  lookup(map[string]int32{"bpf_cast": 7}),
}

func lookup(m map[string]int32) func(string) (int32, bool) {
	return func(name string) (int32, bool) { id, ok := m[name]; return id, ok }
}

// TestSyntax runs testdata/syntax.txt, and checks that it shows every class of instruction.
func TestSyntax(t *testing.T) { testSyntax(t, "syntax.txt", asm.Parse, asm.FormatProgram) }

func TestMnemonics(t *testing.T) {
	testSyntax(t, "mnemonic.txt", asm.ParseMnemonic, asm.FormatMnemonicProgram)
	require.Equal(t, "ldxw %r1, [%r2+8]", asm.FormatMnemonic(asm.Ldx32.Example(), nil))
}

func testSyntax(t *testing.T, file string, parse func(string, asm.ParseOptions) ([]asm.Insn, error), format func([]asm.Insn) string) {
	seen := map[asm.Class]bool{}
	lines(t, file, func(t *testing.T, line string) {
		code, text, written := strings.Cut(line, " = ")
		if i := strings.Index(line, " < "); i >= 0 && (!written || i < len(code)) {
			code, text, written = line[:i], line[i+3:], false
		}
		want := decodeHex(t, code)
		seen[asm.KindOf(want[0]).Info().Class] = true
		for _, parse := range []func(string, asm.ParseOptions) ([]asm.Insn, error){parse, asm.ParseAny} {
			got, err := parse(text, names)
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
		if written {
			require.Equal(t, text+"\n", format(want))
		}
	})
	for k := asm.Invalid; k < asm.NumKinds; k++ {
		require.True(t, seen[k.Info().Class], "no line with a %s", k)
	}
}

func TestSyntaxErrors(t *testing.T) {
	lines(t, "errors.txt", func(t *testing.T, line string) {
		text, want, _ := strings.Cut(line, " => ")
		_, err := asm.Parse(strings.ReplaceAll(text, `\n`, "\n"), names)
		var syntax *asm.SyntaxError
		require.ErrorAs(t, err, &syntax)
		require.Equal(t, want, err.Error())
	})
}

func TestMnemonicErrors(t *testing.T) {
	lines(t, "mnemonic_errors.txt", func(t *testing.T, line string) {
		parts := strings.Split(line, " => ")
		_, err := asm.ParseMnemonic(strings.ReplaceAll(parts[0], `\n`, "\n"), names)
		require.EqualError(t, err, parts[1])
		_, err = asm.ParseAny(strings.ReplaceAll(parts[0], `\n`, "\n"), names)
		require.EqualError(t, err, parts[len(parts)-1])
	})
}

func TestLabels(t *testing.T) {
	got, err := asm.Parse(`
		r6 = r1             ; two slots count as two
	loop: again:
		r1 = map[.rodata][4]
		call sum
		if r0 == 0 goto out
		r1 = func sum
		may_goto loop
		gotol again
	out:	exit
	sum: r0 = 1
		exit
	end:
	`, names)
	require.NoError(t, err)
	want, err := asm.Parse(`
		r6 = r1
		r1 = map[3][4]
		call pc+6
		if r0 == 0 goto +4
		r1 = func pc+4
		may_goto -7
		gotol -8
		exit
		r0 = 1
		exit`, asm.ParseOptions{})
	require.NoError(t, err)
	require.Equal(t, asm.FormatProgram(want), asm.FormatProgram(got))
}

// TestLabelBeforeHelper: a label hides a helper of the same name.
func TestLabelBeforeHelper(t *testing.T) {
	got, err := asm.Parse("call bpf_map_lookup_elem\nbpf_map_lookup_elem: exit", names)
	require.NoError(t, err)
	require.Equal(t, asm.CallLocal, asm.KindOf(got[0]))
}

func TestFarLabel(t *testing.T) {
	src := func(jump string) string { return jump + " far\n" + strings.Repeat("r0 = 0\n", 32768) + "far: exit" }
	_, err := asm.Parse(src("gotol"), asm.ParseOptions{})
	require.NoError(t, err)
	_, err = asm.Parse(src("if r1 == 0 goto"), asm.ParseOptions{})
	var syntax *asm.SyntaxError
	require.ErrorAs(t, err, &syntax)
	require.Equal(t, 1, syntax.Line)
	require.Equal(t, 17, syntax.Col)
}

func TestEmpty(t *testing.T) {
	for _, src := range []string{"", "\n\n", " ; nothing\r\n# here", "label:"} {
		got, err := asm.Parse(src, asm.ParseOptions{})
		require.NoError(t, err)
		require.Empty(t, got)
	}
}

// TestFormatHalf: half a 64-bit load is written as its fields.
func TestFormatHalf(t *testing.T) {
	in := asm.LdImm64.Example()
	require.Equal(t, "r1 = 0x5 ll", asm.Format(in, &asm.Insn{}))
	require.Equal(t, ".insn 0x18 1 0 0 5", asm.Format(in, nil))
	require.Equal(t, ".insn 0x18 1 0 0 5", asm.Format(in, &asm.Insn{Op: 0x95}))
	in.Src = asm.PseudoMapIdx
	require.Equal(t, "r1 = map[5]", asm.Format(in, nil))
	require.Equal(t, ".insn 0x18 1 5 0 5\n", asm.FormatProgram([]asm.Insn{in}))
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte{0x07, 1, 9, 0, 5, 0, 0, 0})
	f.Fuzz(func(t *testing.T, b []byte) {
		prog, err := asm.DecodeProgram(b)
		if (err != nil) != (len(b)%asm.InsnSize != 0) {
			t.Fatal(len(b), err)
		}
		if err == nil && string(asm.EncodeProgram(prog)) != string(b) {
			t.Fatalf("%x comes back as %x", b, asm.EncodeProgram(prog))
		}
	})
}

// FuzzFormat: every program, legal or not, has a text that Parse reads back unchanged.
func FuzzFormat(f *testing.F) {
	for k := asm.Invalid; k < asm.NumKinds; k++ {
		f.Add(asm.Append(nil, k.Example()))
	}
	f.Add(asm.EncodeProgram([]asm.Insn{asm.LdImm64.Example(), {Imm: -1}}))
	f.Fuzz(func(t *testing.T, b []byte) {
		prog, err := asm.DecodeProgram(b[:len(b)/asm.InsnSize*asm.InsnSize])
		if err != nil {
			t.Fatal(err)
		}
		roundTrip(t, "program", prog, false)
		for pc, in := range prog {
			k := asm.KindOf(in)
			if err := asm.Check(in); err == nil && k == asm.Invalid {
				t.Fatalf("%v is legal but unknown", in)
			} else if field := (*asm.FieldError)(nil); err != nil && !errors.As(err, &field) {
				t.Fatalf("%v: %T", in, err)
			}
			if asm.Check(in) == nil && k != asm.LdImm64 && in.Off == 0 && strings.HasPrefix(asm.Format(in, nil), ".insn") {
				t.Fatalf("%v is legal but has no words", in)
			}
			asm.Reads(in)
			asm.Writes(in)
			in.Target(pc)
		}
	})
}

// FuzzParse: no text makes Parse panic, errors have a position inside of it, and what it accepts can be written.
func FuzzParse(f *testing.F) {
	for k := asm.Invalid; k < asm.NumKinds; k++ {
		f.Add(asm.Format(k.Example(), &asm.Insn{}))
	}
	f.Add("a: goto a\nb: call b ; c\n r1 = map[counts][-4]")
	for k := asm.Invalid; k < asm.NumKinds; k++ {
		f.Add(asm.FormatMnemonic(k.Example(), &asm.Insn{}))
	}
	f.Fuzz(func(t *testing.T, src string) {
		for _, parse := range []func(string, asm.ParseOptions) ([]asm.Insn, error){asm.Parse, asm.ParseMnemonic, asm.ParseAny} {
			checkParse(t, src, parse)
		}
	})
}

func checkParse(t *testing.T, src string, parse func(string, asm.ParseOptions) ([]asm.Insn, error)) {
	prog, err := parse(src, names)
	if err == nil {
		roundTrip(t, src, prog, false)
		return
	}
	var e *asm.SyntaxError
	lines := strings.Split(src, "\n")
	if !errors.As(err, &e) || e.Line < 1 || e.Line > len(lines) || e.Col < 1 || e.Col > len(lines[e.Line-1])+1 {
		t.Fatalf("%q: %v", src, err)
	}
	if e.Found != "" && !strings.HasPrefix(lines[e.Line-1][e.Col-1:], e.Found) && e.Found != "\uFFFD" {
		t.Fatalf("%q: %v is not there", src, err)
	}
}

func BenchmarkParse(b *testing.B) {
	src := strings.Repeat("r0 = *(u32 *)(r1 + 4)\nif w1 > 7 goto +1\nlock *(u64 *)(r10 - 8) += r2\nexit\n", 64)
	b.SetBytes(int64(len(src)))
	for b.Loop() {
		if _, err := asm.Parse(src, asm.ParseOptions{}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkFormat(b *testing.B) {
	in, buf := asm.Ldx32.Example(), make([]byte, 0, 64)
	for b.Loop() {
		buf = asm.AppendFormat(buf[:0], in, nil)
	}
}

func BenchmarkDecode(b *testing.B) {
	code := asm.Append(nil, asm.Ldx32.Example())
	for b.Loop() {
		asm.Decode([asm.InsnSize]byte(code))
	}
}

func BenchmarkKindOf(b *testing.B) {
	for _, k := range []asm.Kind{asm.Ldx32, asm.SDiv64X, asm.AtomicCmpxchg64} {
		in := k.Example()
		b.Run(k.String(), func(b *testing.B) {
			for b.Loop() {
				asm.KindOf(in)
			}
		})
	}
}

func BenchmarkCheck(b *testing.B) {
	in := asm.Ldx32.Example()
	for b.Loop() {
		_ = asm.Check(in)
	}
}

func ExampleParse() {
	prog, err := asm.Parse(`
		r0 = 0
		r2 = *(u32 *)(r1 + 4)
		if r2 == 0 goto out
		r0 = 1
	out:	exit
	`, asm.ParseOptions{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for pc, in := range prog {
		fmt.Printf("%d: %x %s\n", pc, asm.Append(nil, in), asm.Format(in, nil))
	}
	// Output:
	// 0: b700000000000000 r0 = 0
	// 1: 6112040000000000 r2 = *(u32 *)(r1 + 4)
	// 2: 1502010000000000 if r2 == 0 goto +1
	// 3: b700000001000000 r0 = 1
	// 4: 9500000000000000 exit
}

func ExampleCheck() {
	in := asm.Decode([8]byte{0x37, 0x01, 0x02, 0x00, 0x05, 0x00, 0x00, 0x00})
	fmt.Println(asm.Check(in))
	// Output: BPF_ALU uses reserved fields (off=2)
}
