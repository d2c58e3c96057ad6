package verifier_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// fill spills an unknown number of its own to each of the upper slots of a frame.
func fill(slots int) string {
	var b strings.Builder
	for slot := 1; slot <= slots; slot++ {
		fmt.Fprintf(&b, "r0 = *(u32 *)(r6 + 12)\n*(u64 *)(r10 - %d) = r0\n", 8*slot)
	}
	return b.String()
}

// worstPrograms are what costs a verifier of this kind most: much state to copy and to compare at every branch, values that
// are relied on far from where they come from, many branches waiting. None of them ends by itself.
func worstPrograms(tb testing.TB) map[string]*prog.Program {
	const count = "again:\nr9 += 1\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n"
	// 16 slots in each of 8 frames: twice what a kernel allows.
	deep := "r6 = r1\n" + fill(16) + "r1 = r6\ncall f1\nexit\n"
	for i := 1; i <= 7; i++ {
		deep += fmt.Sprintf("f%d:\nr6 = r1\n%s", i, fill(16))
		if i < 7 {
			deep += fmt.Sprintf("r1 = r6\ncall f%d\nr0 = 0\nexit\n", i+1)
		}
	}
	access := "r0 = r10\nr0 += -8\nr0 += r5\nr0 = *(u8 *)(r0 + 0)\n"
	var slots strings.Builder // each slot is relied on at another time
	for slot := 2; slot <= 64; slot++ {
		fmt.Fprintf(&slots, "r0 = *(u64 *)(r10 - %d)\nr0 &= 7\nr1 = r10\nr1 += -8\nr1 += r0\nr0 = *(u8 *)(r1 + 0)\n", 8*slot)
	}
	texts := map[string]string{
		"count":       "r9 = 0\n" + count,
		"countStack":  "r6 = r1\n" + fill(63) + "*(u64 *)(r10 - 512) = 0\nagain:\nr9 = *(u64 *)(r10 - 512)\nr9 += 1\n*(u64 *)(r10 - 512) = r9\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n",
		"deep":        deep + "r9 = 0\n" + count,
		"deepBranch":  deep + "r9 = 0\nagain:\nr0 = *(u32 *)(r6 + 12)\nif r0 == 7 goto next\nr9 += 1\nnext:\nr9 += 1\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n",
		"unknown":     "r6 = r1\nr5 = *(u32 *)(r6 + 12)\nr9 = 0\nagain:\nr0 = *(u32 *)(r6 + 12)\nr9 += 1\nif r9 < r5 goto again\nif r9 & r9 goto out\nr5 = (s8)r5\nif r5 s> 7 goto out\nif r5 s< 0 goto out\n" + access + "out:\nr0 = 0\nexit\n",
		"mayGoto":     "r6 = r1\n" + fill(64) + "r9 = 0\nagain:\nmay_goto out\nr9 += 1\nr0 = *(u64 *)(r10 - 512)\nr0 &= 7\nr0 += r9\nif r0 > 100 goto again\ngoto again\nout:\nr0 = 0\nexit\n",
		"mayGotoNest": "r6 = r1\nr9 = 0\nr8 = 0\na:\nmay_goto outa\nr9 += 1\nb:\nmay_goto outb\nr8 += 1\nif r8 > r9 goto b\ngoto b\noutb:\nr7 = *(u32 *)(r6 + 12)\ngoto a\nouta:\nr0 = 0\nexit\n",
		"slots":       "r6 = r1\n" + fill(64) + "r9 = 0\nagain:\n" + slots.String() + "r9 += 1\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n",
		"pending":     "r6 = r1\n" + fill(64) + "r9 = 0\nagain:\nr0 = *(u32 *)(r6 + 12)\nif r0 == r9 goto out\nr9 += 1\ngoto again\nout:\nr0 = r9\nexit\n",
		"gray": "r6 = r1\n" + fill(64) + "r9 = 0\nagain:\nr9 += 1\nr0 = r9\nr0 >>= 1\nr0 ^= r9\n*(u64 *)(r10 - 504) = r0\nr1 = r9\nr1 &= 3\n*(u64 *)(r10 - 512) = r1\n" +
			"r2 = r10\nr2 += -8\nr2 += r1\nr3 = *(u8 *)(r2 + 0)\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n",
		"references": "r6 = r1\n" + fill(2) + "r9 = 0\nagain:\nr1 = r6\nr2 = r10\nr2 += -16\nr3 = 12\nr4 = -1\nr5 = 0\ncall 84\nr9 += 1\nif r9 < 0x7fffffff goto again\nr0 = 0\nexit\n",
	}
	all := map[string]*prog.Program{}
	for name, text := range texts {
		all[name] = mustParse(tb, text)
	}
	return all
}

// verifyWorst verifies p and returns how many instructions that took, and with which code it was refused.
func verifyWorst(tb testing.TB, p *prog.Program, rules *verifier.Profile) (processed int, code verifier.Code) {
	tb.Helper()
	v, err := verifier.Verify(p, verifier.Options{Profile: rules})
	var e *verifier.Error
	switch {
	case err == nil:
		return v.Stats().Processed, "accept"
	case errors.As(err, &e):
		return e.Stats.Processed, e.Code
	}
	tb.Fatal(err)
	return 0, ""
}

// TestWorst: what is hard ends all the same, and soon. The limit is far from what it takes, as machines may be busy.
func TestWorst(t *testing.T) {
	for name, p := range worstPrograms(t) {
		rules := verifier.Newest()
		rules.MaxProcessed = 100_000
		start := time.Now()
		processed, code := verifyWorst(t, p, rules)
		if took := time.Since(start); took > 30*time.Second {
			t.Errorf("%s: %d instructions took %v", name, processed, took)
		}
		switch code {
		case verifier.TooComplex, verifier.TooManyJumps, "accept":
		default:
			t.Errorf("%s: refused with %s: it is no longer hard", name, code)
		}
	}
}

// BenchmarkWorst reports the cost of an instruction of programs that are as hard as can be, up to the kernel's limit.
func BenchmarkWorst(b *testing.B) {
	for name, p := range worstPrograms(b) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			processed := 0
			for b.Loop() {
				n, _ := verifyWorst(b, p, nil)
				processed += n
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(processed), "ns/insn")
			b.ReportMetric(float64(processed)/float64(b.N), "insns")
		})
	}
}
