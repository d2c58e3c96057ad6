package skep_test

import (
	"bytes"
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// verdictSink notes what each packet got.
type verdictSink struct{ strings.Builder }

func (s *verdictSink) Write(x *replay.Exit) error {
	_, err := fmt.Fprintln(&s.Builder, x.Number, x.Ret)
	return err
}

func (s *verdictSink) Close() error { return nil }

// TestRandomNumbers: the same seed and number of CPUs give every packet the same random number, on each engine; another seed, or another number
// of CPUs, gives others.
func TestRandomNumbers(t *testing.T) {
	object := assembled(prog.SchedCLS, nil, nil, "call bpf_get_prandom_u32\nexit")
	run := func(engine string, seed uint64, cpus int) string {
		v, err := skep.New(object, skep.Options{Engine: engine, Machine: vm.Config{Seed: seed, CPUs: cpus}})
		require.NoError(t, err)
		defer func() { require.NoError(t, v.Close()) }()
		engines, err := v.Engines("")
		require.NoError(t, err)
		var sink verdictSink
		_, err = v.Replay("", replay.Options{Input: bytes.NewReader(traffic.Sample()), Loop: 2, Others: engines[1:], Sinks: []replay.Sink{&sink}})
		require.NoError(t, err)
		return sink.String()
	}
	seen := map[string]string{}
	for _, seed := range []uint64{0, 7} {
		for _, cpus := range []int{1, 2, 5} {
			what := fmt.Sprintf("seed %d on %d CPUs", seed, cpus)
			want := run(skep.EngineInterp, seed, cpus)
			require.Equal(t, 1000, strings.Count(want, "\n"))
			for _, engine := range bothEngines {
				if engine == skep.EngineChecked && cpus > 1 {
					continue // it watches one CPU
				}
				require.Equal(t, want, run(engine, seed, cpus), "%s, %s", what, engine)
			}
			require.Empty(t, seen[want], what)
			seen[want] = what
		}
	}
}
