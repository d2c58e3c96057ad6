package kernel_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// TestArenas asks the kernel about the programs of testdata/arena: verdicts and words, and results of runs on new maps.
func TestArenas(t *testing.T) {
	requireKernel(t)
	all, err := conformance.ArenaFixtures("../testdata/arena/cases.txt")
	require.NoError(t, err)
	for _, f := range all {
		t.Run(f.Name, func(t *testing.T) {
			specs := conformance.ArenaMaps()
			p, err := f.ArenaProgram(specs)
			require.NoError(t, err)
			set, err := kernel.NewMaps(specs)
			require.NoError(t, err)
			defer set.Close()
			loaded, err := kernel.LoadProgram(p, set)
			require.Equal(t, f.KernelAccepts(), err == nil, "%v", err)
			if err != nil {
				sameArenaWords(t, f, p, err)
				return
			}
			defer loaded.Close()
			if f.R0 != "" && f.Type == prog.Syscall {
				ret, err := loaded.RunCtx(make([]byte, 64))
				require.NoError(t, err)
				require.Equal(t, f.R0, fmt.Sprint(int32(ret)))
			}
		})
	}
}

func sameArenaWords(t *testing.T, f *conformance.Fixture, p *prog.Program, refused error) {
	_, ours := verifier.Verify(p, verifier.Options{})
	if f.Kernel != "" {
		require.Contains(t, strings.Join(refused.(*kernel.Rejected).Log, "\n"), f.Kernel)
		return
	}
	got := ours.(*verifier.Error).Kernel
	require.True(t, strings.HasSuffix(refused.Error(), got), "the verifier says %q, the kernel %q", got, refused)
}
