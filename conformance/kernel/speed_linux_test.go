package kernel_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// speedPrograms are the corpus' programs that both accept, and two that are long: a loop, and many branches.
func speedPrograms(b *testing.B, c *conformance.Corpus) map[string]*prog.Program {
	all := map[string]*prog.Program{}
	for _, name := range []string{"maglev", "ddos", "drop_all", "subprogs", "ila"} {
		all[name] = c.ByObject(name)
		require.NotNil(b, all[name], name)
	}
	parse := func(text string) *prog.Program {
		p, err := c.Parse(prog.XDP, text)
		require.NoError(b, err)
		return p
	}
	all["loop"] = parse("r6 = 0\nr7 = 0\nagain:\nr6 += 1\nr7 += r6\nif r6 < 20000 goto again\nr0 = 0\nexit\n")
	var branches strings.Builder
	branches.WriteString("r9 = r1\nr0 = 0\n")
	for i := range 1000 {
		fmt.Fprintf(&branches, "r6 = *(u32 *)(r9 + 12)\nif r6 & 1 goto l%d\nr0 += 1\nr7 = r0\nr8 = r7\nl%d:\n", i, i)
	}
	all["branches"] = parse(branches.String() + "r0 = 0\nexit\n")
	return all
}

// BenchmarkVerify compares the time of a verification with what the live kernel says of its own, in turns: the best of each.
func BenchmarkVerify(b *testing.B) {
	if err := kernel.Available(); err != nil {
		b.Skipf("needs the live kernel: %v", err)
	}
	c, err := conformance.NewCorpus()
	require.NoError(b, err)
	set, err := kernel.NewMaps(c.Maps)
	require.NoError(b, err)
	defer set.Close()
	for name, p := range speedPrograms(b, c) {
		b.Run(name, func(b *testing.B) {
			processed := 0
			ours, theirs := time.Hour, time.Hour
			for b.Loop() {
				start := time.Now()
				v, err := verifier.Verify(p, verifier.Options{})
				ours = min(ours, time.Since(start))
				require.NoError(b, err)
				processed = v.Stats().Processed
				took, err := kernel.VerifyTime(p, set)
				require.NoError(b, err)
				theirs = min(theirs, took)
			}
			b.ReportMetric(float64(ours.Nanoseconds())/float64(processed), "best-ns/insn")
			b.ReportMetric(float64(theirs.Nanoseconds())/float64(processed), "kernel-ns/insn")
			b.ReportMetric(float64(ours)/float64(theirs), "x-kernel")
			b.ReportMetric(float64(processed), "insns")
		})
	}
}
