package conformance_test

import (
	"flag"
	"testing"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

var (
	first = flag.Uint64("seed", 0, "first seed of generated programs")
	count = flag.Uint64("programs", 3000, "number of generated programs")
)

// problem says what is wrong with a program; "" is nothing, also when it is refused.
func problem(t prog.Type, text string, seed uint64) (wrong string, accepted bool) {
	p, err := gen.Parse(t, text)
	if err != nil {
		return "", false
	}
	v, err := verifier.Verify(p, verifier.Options{Profile: conformance.Profile()})
	if err != nil {
		return "", false
	}
	wrong, _ = conformance.CheckEngines(v, conformance.Packets(seed))
	return wrong, true
}

func report(t *testing.T, p *gen.Program, seed uint64, wrong string) {
	t.Helper()
	text := conformance.Minimize(p.Text, func(text string) bool {
		w, _ := problem(p.Type, text, seed)
		return w != ""
	})
	w, _ := problem(p.Type, text, seed)
	t.Errorf("seed %d: %s\ngo test ./conformance -run TestEngines -seed %d -programs 1\nsmallest %s program: %s\n%s",
		seed, wrong, seed, p.Type, w, text)
}

// TestEngines runs generated programs: what the verifier accepts never faults, and ends alike on every engine.
func TestEngines(t *testing.T) {
	accepted, failed := 0, 0
	for seed := *first; seed < *first+*count; seed++ {
		p := gen.Make(gen.FromSeed(seed), nil)
		wrong, ok := problem(p.Type, p.Text, seed)
		if ok {
			accepted++
		}
		if wrong != "" {
			report(t, p, seed, wrong)
			if failed++; failed == 10 {
				t.Fatal("too many")
			}
		}
	}
	t.Logf("%d of %d programs accepted", accepted, *count)
	if *count >= 1000 && uint64(accepted)*5 < *count {
		t.Errorf("only %d of %d programs accepted", accepted, *count)
	}
}

// FuzzEngines is TestEngines with a fuzzer's bytes as the generator's choices.
func FuzzEngines(f *testing.F) {
	f.Add([]byte{1}, uint64(0))
	f.Add([]byte("packets, maps, loops and calls"), uint64(1))
	f.Fuzz(func(t *testing.T, choices []byte, seed uint64) {
		p := gen.Make(gen.FromBytes(choices), nil)
		if wrong, _ := problem(p.Type, p.Text, seed); wrong != "" {
			t.Errorf("%s\n%s program:\n%s", wrong, p.Type, p.Text)
		}
	})
}
