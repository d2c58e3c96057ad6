package vector

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

// TestErrors reads testdata/errors.txt: texts, and what is wrong with each. Where "…" stands the words are package asm's.
func TestErrors(t *testing.T) {
	text, err := os.ReadFile("testdata/errors.txt")
	require.NoError(t, err)
	cases := strings.Split("\n"+string(text), "\n=== ")[1:]
	require.Greater(t, len(cases), 20)
	for _, c := range cases {
		want, text, _ := strings.Cut(c, "\n")
		_, err := Parse("x", strings.TrimSuffix(text, "\n"))
		var typed *Error
		require.ErrorAs(t, err, &typed, want)
		got := strings.TrimPrefix(strings.TrimPrefix(err.Error(), "x:"), " ")
		if words, more := strings.CutSuffix(want, "…"); more {
			require.True(t, strings.HasPrefix(got, words), "%s: %s", want, got)
		} else {
			require.Equal(t, want, got)
		}
	}
}

func TestSections(t *testing.T) {
	v, err := Parse("x", `# a comment
-- c
int f(void) { return 1; }   # whatever
--i;
-- mem   # bytes
01 0203	04
# and one more
AB
--	asm
 out: ldxb %r0, [%r1+3]   # a comment
 ja -2 ; another
-- raw
0x0000000000031071 0x00000000fffe0005
-- result
 -2 # two's complement
`)
	require.NoError(t, err)
	require.Equal(t, []byte{1, 2, 3, 4, 0xab}, v.Mem)
	require.Equal(t, ^uint64(1), v.Result)
	require.Equal(t, []asm.Insn{{Op: 0x71, Src: 1, Off: 3}, {Op: 5, Off: -2}}, v.Insns)
	require.False(t, v.WantError)

	v, err = Parse("x", "-- raw\n1122334455667788\r\n-- error\r\nsome words # here\r\nand more\r\n")
	require.NoError(t, err)
	require.Equal(t, []asm.Insn{asm.Decode([8]byte{0x88, 0x77, 0x66, 0x55, 0x44, 0x33, 0x22, 0x11})}, v.Insns)
	require.True(t, v.WantError)
	require.Equal(t, "some words and more", v.Reason)
}

func TestNumbers(t *testing.T) {
	for text, want := range map[string]uint64{
		"0": 0, "010": 10, "0x10": 16, "0XfF": 255, "-1": 1<<64 - 1, "-0x8000000000000000": 1 << 63, "18446744073709551615": 1<<64 - 1,
	} {
		v, err := Parse("x", "-- asm\nexit\n-- result\n"+text)
		require.NoError(t, err, text)
		require.Equal(t, want, v.Result, text)
	}
}

func TestVersion(t *testing.T) {
	for text, want := range map[string]asm.ISA{
		"exit": asm.ISAv1, "jlt %r1, 2, +0\nexit": asm.ISAv2, "add32 %r1, 1\nexit": asm.ISAv3, "bswap16 %r0\nexit": asm.ISAv4,
		"may_goto +0\nexit": asm.ISALinux, "lddw %r1, 0xff000000ff\nexit": asm.ISAv1,
	} {
		v, err := Parse("x", "-- asm\n"+text+"\n-- result\n0")
		require.NoError(t, err)
		require.Equal(t, want, v.Version(), text)
	}
}

func TestFiles(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"b.data", "a/x.data", "a/y.txt", "c.data"} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), nil, 0o644))
	}
	odd := filepath.Join(dir, "a/y.txt") // taken when it is named
	files, err := Files([]string{dir, odd})
	require.NoError(t, err)
	require.Equal(t, []string{filepath.Join(dir, "a/x.data"), filepath.Join(dir, "b.data"), filepath.Join(dir, "c.data"), odd}, files)
	_, err = Files([]string{filepath.Join(dir, "none")})
	require.ErrorIs(t, err, os.ErrNotExist)
	_, err = Files([]string{t.TempDir()})
	require.ErrorContains(t, err, "no *.data files")
}

// FuzzParse: whatever the text, a vector or a typed error with a place in the text comes out, and the engines agree on
// what the program does.
func FuzzParse(f *testing.F) {
	files, err := Files([]string{vectors})
	if err != nil {
		f.Fatal(err)
	}
	for i, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		if len(text) < 2000 && (i%4 == 0 || !strings.Contains(name, "errors")) {
			f.Add(string(text))
		}
	}
	f.Add("-- raw\n0x95\n-- result\n")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := Parse("x", text)
		if err != nil {
			var typed *Error
			if !errors.As(err, &typed) || typed.Line < 0 || typed.Line > 1+strings.Count(text, "\n") || typed.Line > 0 && typed.Col < 1 {
				t.Fatalf("error %#v", err)
			}
			return
		}
		if len(v.Insns) == 0 || len(v.Insns) > 1000 {
			return
		}
		s := Suite{Budget: 10_000}
		for _, res := range s.Run(v) {
			if strings.Contains(res.Reason, "differs") {
				t.Errorf("%s: %s", res.Engine, res.Reason)
			}
		}
	})
}
