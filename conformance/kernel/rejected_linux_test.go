package kernel_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

// TestRejectedExamples checks that the live kernel says of the programs of examples/rejected what the verifier says, to the
// letter; where its release accepts one, the verifier has to as well.
func TestRejectedExamples(t *testing.T) {
	requireKernel(t)
	files, err := filepath.Glob(filepath.Join("..", "..", "examples", "rejected", "*.o"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			elf, err := os.ReadFile(f)
			require.NoError(t, err)
			verdicts, err := kernel.Verify(elf, 1)
			require.NoError(t, err)
			obj, err := object.LoadBytes(elf, "", object.Options{})
			require.NoError(t, err)
			for _, p := range obj.Programs {
				live := verdicts[p.Name]
				require.NotNil(t, live, p.Name)
				_, err := verifier.Verify(p, verifier.Options{})
				if live.Accepted {
					require.NoError(t, err)
					continue
				}
				var e *verifier.Error
				require.ErrorAs(t, err, &e, live.Words)
				if e.Code == verifier.InfiniteLoop { // states follow the message
					require.Contains(t, live.Log, e.Kernel)
					continue
				}
				lines := strings.Split(strings.TrimSpace(e.Kernel), "\n")
				require.Equal(t, live.Words, lines[len(lines)-1])
			}
		})
	}
}
