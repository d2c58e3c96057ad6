package verifier_test

import (
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
