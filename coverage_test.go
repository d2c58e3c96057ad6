package skep

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// TestCoverage: every engine counts the same executions of every example's instructions, and as many as it reports.
func TestCoverage(t *testing.T) {
	engines := []string{EngineInterp, EngineChecked}
	if jit.Available() {
		engines = append(engines, EngineJIT)
	}
	for _, object := range examples.Names() {
		elf, err := examples.Open(object)
		require.NoError(t, err)
		var want map[string][]uint64
		for _, engine := range engines {
			v, err := OpenBytes(elf, object, Options{Engine: engine, Machine: vm.Config{Cover: true}})
			require.NoError(t, err)
			report, err := v.Replay(v.order[0].spec.Name, replay.Options{Input: bytes.NewReader(traffic.Sample())})
			require.NoError(t, err, object)
			got, sum := map[string][]uint64{}, uint64(0)
			for _, p := range v.Coverage().Programs {
				got[p.Prog.Name] = p.Counts
				sum += p.Executed()
			}
			require.NoError(t, v.Close())
			require.Equal(t, report.Insns, sum, "%s on %s", object, engine)
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "%s on %s", object, engine)
		}
	}
}

// TestNoCoverage: a machine that was not asked to count has nothing to say.
func TestNoCoverage(t *testing.T) {
	elf, err := examples.Open("drop_all")
	require.NoError(t, err)
	v, err := OpenBytes(elf, "drop_all.bpf.o", Options{})
	require.NoError(t, err)
	defer v.Close()
	require.Empty(t, v.Coverage().Programs)
}
