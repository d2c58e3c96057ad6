package verifier_test

import (
	"fmt"
	"sync"
	"testing"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// answer is all that a verification says, as text.
func answer(p *prog.Program) string {
	rules := verifier.Newest()
	rules.MaxProcessed = 20_000
	v, err := verifier.Verify(p, verifier.Options{Profile: rules})
	if err != nil {
		return err.(*verifier.Error).Detail() + fmt.Sprintf("%+v", err.(*verifier.Error).Stats)
	}
	return fmt.Sprintf("%+v", v.Stats())
}

// TestParallel: the same program has the same answer, down to the cost, whatever was verified before it in the same memory
// and is verified beside it, of the same program too.
func TestParallel(t *testing.T) {
	var programs []*prog.Program
	for _, p := range worstPrograms(t) {
		programs = append(programs, p)
	}
	for _, c := range loadCases(t, "testdata/cases/peers.txt") {
		programs = append(programs, c.prog)
	}
	var want []string
	for _, p := range programs {
		want = append(want, answer(p))
	}
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range programs {
				n := (i + worker*7) % len(programs)
				if got := answer(programs[n]); got != want[n] {
					t.Errorf("%d: %s, before: %s", n, got, want[n])
				}
			}
		})
	}
	wg.Wait()
}
