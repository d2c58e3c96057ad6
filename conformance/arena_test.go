package conformance_test

import (
	"testing"

	"github.com/stretchr/testify/require"

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
