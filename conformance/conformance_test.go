package conformance_test

import (
	"flag"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/verifier"
)

var (
	first = flag.Uint64("seed", 0, "first seed of generated programs")
	count = flag.Uint64("programs", 3000, "number of generated programs")
)

// TestBenchIsReset: programs that run one after another on a bench leave what they leave on a machine of their own.
func TestBenchIsReset(t *testing.T) {
	specs := gen.Maps()
	for _, e := range conformance.All() {
		used, err := conformance.NewBench(e, specs, conformance.Budget)
		require.NoError(t, err)
		ran := 0
		for seed := uint64(0); seed < 250; seed++ {
			p := gen.MakeOver(gen.FromSeed(seed), nil, specs).Program
			v, err := verifier.Verify(p, verifier.Options{Profile: conformance.Profile()})
			if err != nil && seed%2 == 0 {
				// Something wild in between, which may write anywhere.
				_, err := used.Run(gen.InsnsOver(gen.FromSeed(seed), nil, specs).Program, nil, conformance.Packets(seed), conformance.Input)
				require.NoError(t, err)
			}
			if err != nil {
				continue
			}
			got, err := used.Run(p, v, conformance.Packets(seed), conformance.Input)
			require.NoError(t, err)
			if seed%3 == 0 { // new machines take time
				want, err := conformance.Execute(v, e.Name, conformance.Packets(seed), conformance.Input)
				require.NoError(t, err)
				require.Equal(t, want, got, "seed %d on %s", seed, e.Name)
				ran++
			}
		}
		require.Greater(t, ran, 20)
		require.NoError(t, used.Close())
	}
}

// FuzzEngines has a fuzzer's bytes as the generators' choices: what the verifier accepts never faults, and engines agree
// on that and on instructions that make no sense.
func FuzzEngines(f *testing.F) {
	specs := gen.Maps()
	strict, err := conformance.NewBenches(conformance.All(), specs, conformance.Budget)
	require.NoError(f, err)
	hostile, err := conformance.NewBenches(conformance.All(), specs, conformance.SmallBudget)
	require.NoError(f, err)
	f.Add([]byte{1}, uint64(0))
	f.Add([]byte("packets, maps, loops and calls"), uint64(1))
	f.Fuzz(func(t *testing.T, choices []byte, seed uint64) {
		p := gen.MakeOver(gen.FromBytes(choices), nil, specs)
		if v, err := verifier.Verify(p.Program, verifier.Options{Profile: conformance.Profile()}); err == nil {
			if wrong, _ := conformance.Compare(strict, v, conformance.Packets(seed)); wrong != "" {
				t.Errorf("%s\n%s program:\n%s", wrong, p.Type, p.Text)
			}
		}
		p = gen.InsnsOver(gen.FromBytes(choices), nil, specs)
		if wrong, _ := conformance.CompareUnverified(hostile, p.Program, conformance.Packets(seed)); wrong != "" {
			t.Errorf("%s\nunverified %s program:\n%s", wrong, p.Type, p.Text)
		}
	})
}
