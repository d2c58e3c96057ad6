package verifier_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

// TestHeat checks that the heat of the instructions adds up to what the verification cost, of accepted and of rejected
// programs, and that nobody pays for it who does not ask.
func TestHeat(t *testing.T) {
	for _, file := range []string{"subprogs.bpf.o", "maglev.bpf.o", "rejected/endless.bpf.o"} {
		obj, err := object.LoadFile("../examples/"+file, object.Options{})
		require.NoError(t, err)
		p := obj.Programs[0]
		stats := statsOf(verifier.Verify(p, verifier.Options{Heat: true}))
		require.Len(t, stats.Heat, len(p.Insns))
		visits, states := 0, 0
		for _, h := range stats.Heat {
			visits += h.Visits
			states += h.States
		}
		require.Equal(t, stats.Processed, visits, file)
		require.Equal(t, stats.States, states, file)
		require.NotZero(t, visits, file)
		require.LessOrEqual(t, stats.MaxStatesPerInsn, stats.States, file)
		require.Nil(t, statsOf(verifier.Verify(p, verifier.Options{})).Heat)
	}
}

// statsOf is what a verification cost, whatever came of it.
func statsOf(v *verifier.Verified, err error) verifier.Stats {
	if err != nil {
		return err.(*verifier.Error).Stats
	}
	return v.Stats()
}
