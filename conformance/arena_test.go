package conformance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance"
)

// TestArenas checks the programs of testdata/arena with the verifier and on every engine.
func TestArenas(t *testing.T) {
	all, err := conformance.ArenaFixtures("testdata/arena/cases.txt")
	require.NoError(t, err)
	require.NotEmpty(t, all)
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			if wrong := f.CheckArena(); wrong != "" {
				t.Error(wrong)
			}
		})
	}
}

// TestArenaObject runs an object with an arena, variables in it, and a list: what conformance/kernel TestArenaList compares with the
// kernel.
func TestArenaObject(t *testing.T) {
	for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineAuto} {
		v, err := skep.Open("kernel/testdata/arena.o", skep.Options{Engine: engine})
		require.NoError(t, err, engine)
		for i, step := range []struct {
			name string
			ctx  byte
			want uint32
		}{
			{"sum", 0, 0}, {"globals", 9, 7}, {"push", 5, 1}, {"push", 6, 1}, {"sum", 0, 11}, {"pop", 0, 0}, {"sum", 0, 5},
			{"globals", 0, 16}, {"pop", 0, 0}, {"pop", 0, 0}, {"sum", 0, 0},
		} {
			res, err := v.Run(step.name, skep.Packet{Data: []byte{step.ctx, 0, 0, 0, 0, 0, 0, 0}})
			require.NoError(t, err)
			require.Equal(t, step.want, res.Ret, "%s: step %d, %s", engine, i, step.name)
		}
		require.NoError(t, v.Close())
	}
}
