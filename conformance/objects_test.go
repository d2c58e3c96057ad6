package conformance_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestObjectsAreReproducible: the committed objects of the referee, and of the large program of bench, are what their build.sh makes.
func TestObjectsAreReproducible(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s on this machine", tool)
		}
	}
	top := t.TempDir()
	for _, pattern := range []string{"conformance/referee/*", "bench/large/*", "examples/*.h", "examples/build.sh", "examples/datapath/*.h"} {
		files, err := filepath.Glob(filepath.Join("..", pattern))
		require.NoError(t, err)
		require.NotEmpty(t, files, pattern)
		for _, file := range files {
			if filepath.Ext(file) == ".o" {
				continue
			}
			text, err := os.ReadFile(file)
			require.NoError(t, err)
			to := filepath.Join(top, file[len("../"):])
			require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
			require.NoError(t, os.WriteFile(to, text, 0o644))
		}
	}
	for _, dir := range []string{"conformance/referee", "bench/large"} {
		out, err := exec.Command("sh", filepath.Join(top, dir, "build.sh")).CombinedOutput()
		require.NoError(t, err, string(out))
		objects, err := filepath.Glob(filepath.Join("..", dir, "*.o"))
		require.NoError(t, err)
		require.NotEmpty(t, objects)
		for _, file := range objects {
			want, err := os.ReadFile(file)
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(top, file[len("../"):]))
			require.NoError(t, err)
			if string(want) != string(got) {
				t.Errorf("%s: built anew it differs; run build.sh (another patch release of clang may differ as well)", file)
			}
		}
	}
}
