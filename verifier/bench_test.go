package verifier_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// BenchmarkVerify reports the cost of an instruction visited. The kernel needs about 1 us.
func BenchmarkVerify(b *testing.B) {
	for name, p := range benchPrograms(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			processed := 0
			for b.Loop() {
				v, err := verifier.Verify(p, verifier.Options{})
				if err != nil {
					b.Fatal(err)
				}
				processed += v.Stats().Processed
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(processed), "ns/insn")
			b.ReportMetric(float64(processed)/float64(b.N), "insns")
		})
	}
}

func benchPrograms(b *testing.B) map[string]*prog.Program {
	programs := map[string]*prog.Program{}
	for _, f := range []string{"maglev", "subprogs", "ddos", "drop_all"} {
		obj, err := object.LoadFile(filepath.Join("..", "examples", f+".bpf.o"), object.Options{})
		if err != nil {
			b.Logf("no example %s: %v", f, err)
			continue
		}
		programs[f] = obj.Programs[0]
	}
	loop := "r6 = 0\nr7 = 0\nagain:\nr6 += 1\nr7 += r6\nif r6 < 20000 goto again\nr0 = 0\nexit\n"
	programs["loop"] = mustParse(b, loop)
	var branches strings.Builder
	branches.WriteString("r9 = r1\nr0 = 0\n")
	for i := range 1000 {
		fmt.Fprintf(&branches, "r6 = *(u32 *)(r9 + 12)\nif r6 & 1 goto l%d\nr0 += 1\nr7 = r0\nr8 = r7\nl%d:\n", i, i)
	}
	branches.WriteString("r0 = 0\nexit\n")
	programs["branches"] = mustParse(b, branches.String())
	return programs
}

func mustParse(tb testing.TB, src string) *prog.Program {
	tb.Helper()
	insns, err := asm.Parse(src, asm.ParseOptions{})
	if err != nil {
		tb.Fatal(err)
	}
	return &prog.Program{Name: "bench", Type: prog.XDP, Insns: insns}
}

// BenchmarkBacktrack reports the cost of an instruction where values are relied on that come from far back: from every
// way out of a loop that counts against an unknown number, and from every access in a long program without branches.
func BenchmarkBacktrack(b *testing.B) {
	access := "r0 = r10\nr0 += -8\nr0 += r5\nr0 = *(u8 *)(r0 + 0)\n"
	for name, text := range map[string]string{
		"loop": "r6 = r1\nr5 = *(u32 *)(r6 + 12)\nr9 = 0\nagain:\nr0 = *(u32 *)(r6 + 12)\nr0 = *(u32 *)(r6 + 12)\nr9 += 1\n" +
			"if r9 < r5 goto again\nif r9 & r9 goto out\nr0 = *(u32 *)(r6 + 12)\nr0 = *(u32 *)(r6 + 12)\n" +
			"r5 = (s8)r5\nif r5 s> 7 goto out\nif r5 s< 0 goto out\n" + access + "out:\nr0 = 0\nexit\n",
		"straight": "r5 = *(u32 *)(r1 + 12)\nr5 &= 7\n" + strings.Repeat(access, 10000) + "r0 = 0\nexit\n",
	} {
		p := mustParse(b, text)
		rules := verifier.Newest()
		rules.MaxProcessed = 50_000
		b.Run(name, func(b *testing.B) {
			processed := 0
			for b.Loop() {
				v, err := verifier.Verify(p, verifier.Options{Profile: rules})
				var e *verifier.Error
				switch {
				case err == nil:
					processed += v.Stats().Processed
				case errors.As(err, &e) && e.Code == verifier.TooComplex:
					processed += e.Stats.Processed
				default:
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(processed), "ns/insn")
		})
	}
}
