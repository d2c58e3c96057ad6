package jit

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
)

var update = flag.Bool("update", false, "write the golden files")

// goldenPrograms show what is generated for each sort of instruction. Code generation is pure, so this runs on every
// architecture.
var goldenPrograms = []struct {
	name, src string
	verified  bool
}{
	{"arithmetic", "r0 = 5\nr0 += r1\nw0 += 128\nr0 &= 255\nr0 <<= r2\nw3 s>>= 3\nr0 *= 10\nr0 = bswap16 r0\nexit", false},
	{"division", "r0 /= r1\nr3 s%= r4\nw5 /= 10\nr6 %= 16\nexit", false},
	{"memory", "r0 = *(u32 *)(r1 + 4)\n*(u64 *)(r10 - 8) = r0\n*(u16 *)(r2 + 0) = 7\nr0 = *(s8 *)(r3 - 1)\n" +
		"lock *(u64 *)(r4 + 0) += r5\nr5 = atomic_fetch_or((u32 *)(r4 + 0), r5)\nexit", false},
	{"swapped loads", "r1 = *(u16 *)(r1 + 4)\nr1 = be16 r1\nr2 = *(u32 *)(r1 + 4)\nr2 = bswap32 r2\nr3 = *(u64 *)(r1 + 4)\nr3 = be64 r3\n" +
		"r4 = *(u32 *)(r1 + 4)\nr4 = be16 r4\nr5 = *(u32 *)(r1 + 4)\nr5 = le32 r5\nr5 = *(u32 *)(r1 + 4)\nr4 = be32 r4\nexit", false},
	{"loop", "r1 = 10\nloop:\nr1 += -1\nif r1 != 0 goto loop\nexit", false},
	{"calls", "call f\ncall 7\ncall 8\nexit\nf:\nr6 = 1\nexit", false},
	{"filter", tcpFilter, false},
	{"verified filter", tcpFilter, true},
	{"known numbers", "r1 = 5\nr1 += 7\nif r2 > r1 goto on\nr1 = 6\non:\nr1 <<= 2\nw1 = w1\n*(u8 *)(r1 + 1) = 1\nr1 = *(u64 *)(r1 + 0)\n*(u8 *)(r1 + 0) = 1\nexit", true},
}

// goldenProcessors has each architecture's best processor, and a plain one for the program that shows the difference.
var goldenProcessors = map[string]struct {
	best  Processor
	plain string
}{
	"amd64": {Processor{Arch: "amd64", BMI2: true, MOVBE: true}, "arithmetic"},
	"arm64": {Processor{Arch: "arm64", LSE: true}, "memory"},
}

func TestGolden(t *testing.T) {
	for arch, processors := range goldenProcessors {
		t.Run(arch, func(t *testing.T) {
			var b strings.Builder
			for _, p := range goldenPrograms {
				b.WriteString("=== " + p.name + "\n" + golden(t, p.src, processors.best, p.verified, p.name == "filter"))
				if p.name == processors.plain {
					b.WriteString("=== " + p.name + "\nplain\n" + golden(t, p.src, Processor{Arch: arch}, p.verified, false))
				}
			}
			require.NotRegexp(t, `\b[xw](18|28)\b`, b.String(), "the system's register, and Go's g")
			file := "testdata/" + arch + ".txt"
			if *update {
				require.NoError(t, os.WriteFile(file, []byte(b.String()), 0o666))
			}
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			require.Equal(t, string(want), b.String())
		})
	}
}

// golden is the listing of a program; the stubs are the same everywhere.
func golden(t *testing.T, src string, p Processor, verified, stubs bool) string {
	c, err := compile(parse(t, src), target{Processor: p, id: 3, mask: ^uint32(0), verified: verified})
	require.NoError(t, err)
	var text strings.Builder
	for _, part := range append(c.instructions(), c.rest()...) {
		if part.PC < 0 {
			fmt.Fprintf(&text, "%s:\n", part.Name)
		} else {
			fmt.Fprintf(&text, "%4d: %s\n", part.PC, part.Insn)
		}
		for _, m := range part.Code {
			fmt.Fprintf(&text, "\t%06x  %s\n", m.Offset, m.Text)
		}
	}
	if stubs {
		return text.String()
	}
	body, _, _ := strings.Cut(text.String(), "run:\n")
	return body
}

// TestCompileRefuses: what vm.Link would not have let through gives an error, not bad code.
func TestCompileRefuses(t *testing.T) {
	exit := asm.Exit.Example()
	for name, insns := range map[string][]asm.Insn{
		"empty":              {},
		"falls off":          {{Op: asm.Mov64K.Info().Opcode}},
		"jump outside":       {{Op: asm.Ja.Info().Opcode, Off: 5}, exit},
		"jump before":        {{Op: asm.Ja.Info().Opcode, Off: -2}, exit},
		"into a wide load":   {{Op: asm.Ja.Info().Opcode, Off: 1}, {Op: asm.LdImm64.Info().Opcode}, {}, exit},
		"half a wide load":   {exit, {Op: asm.LdImm64.Info().Opcode}},
		"unknown opcode":     {{Op: 0xff}, exit},
		"writes R10":         {{Op: asm.Mov64K.Info().Opcode, Dst: asm.R10}, exit},
		"register beyond 10": {{Op: asm.Mov64X.Info().Opcode, Src: 11}, exit},
	} {
		for _, p := range goldenProcessors {
			_, err := compile(insns, target{Processor: p.best, mask: ^uint32(0)})
			var e *Error
			require.ErrorAs(t, err, &e, name)
		}
	}
}
