package examples

import (
	"bytes"
	"debug/elf"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestEverySourceHasItsObject(t *testing.T) {
	sources, err := filepath.Glob("*.bpf.c")
	require.NoError(t, err)
	var names []string
	for _, s := range sources {
		names = append(names, strings.TrimSuffix(s, ".bpf.c"))
	}
	require.Equal(t, names, Names())
	for _, name := range names {
		b, err := Open(name)
		require.NoError(t, err)
		f, err := elf.NewFile(bytes.NewReader(b))
		require.NoError(t, err, name)
		require.Equal(t, elf.EM_BPF, f.Machine, name)
		require.Nil(t, f.Section(".debug_info"), name)
		require.NotNil(t, f.Section(".BTF.ext"), name)
	}
	_, err = Open("nonesuch")
	require.ErrorContains(t, err, "drop_all")
}

func TestReadmeNamesEveryExample(t *testing.T) {
	text, err := os.ReadFile("README.md")
	require.NoError(t, err)
	for _, name := range Names() {
		require.Contains(t, string(text), "`"+name+"`")
	}
}

// The committed objects are what build.sh makes, where the same compiler is at hand.
func TestObjectsAreReproducible(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s on this machine", tool)
		}
	}
	top := t.TempDir()
	for _, dir := range []string{".", "rejected", "tracing", "tested", "datapath", "hooks"} {
		require.NoError(t, os.MkdirAll(filepath.Join(top, dir), 0o755))
		for _, pattern := range []string{"*.c", "*.h", "build.sh"} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			require.NoError(t, err)
			for _, f := range files {
				b, err := os.ReadFile(f)
				require.NoError(t, err)
				require.NoError(t, os.WriteFile(filepath.Join(top, f), b, 0o755))
			}
		}
	}
	for _, dir := range []string{".", "rejected", "tracing", "tested", "datapath", "hooks"} {
		out, err := exec.Command("sh", filepath.Join(top, dir, "build.sh")).CombinedOutput()
		require.NoError(t, err, string(out))
		objects, err := filepath.Glob(filepath.Join(dir, "*"+suffix))
		require.NoError(t, err)
		require.NotEmpty(t, objects)
		for _, name := range objects {
			want, err := os.ReadFile(name)
			require.NoError(t, err)
			got, err := os.ReadFile(filepath.Join(top, name))
			require.NoError(t, err)
			if !bytes.Equal(want, got) {
				t.Errorf("%s: built anew it differs; run build.sh (another patch release of clang may differ as well)", name)
			}
		}
	}
}
