package execmem_test

import (
	"bytes"
	"errors"
	"os"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/execmem"
)

func load(t *testing.T, code []byte) *execmem.Code {
	t.Helper()
	c, err := execmem.Load(code)
	if errors.Is(err, execmem.ErrUnsupported) {
		t.Skip(err)
	}
	require.NoError(t, err)
	return c
}

// TestCodePagesAreNeverWritable asks the kernel what it gave us.
func TestCodePagesAreNeverWritable(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("reads /proc/self/maps")
	}
	c := load(t, []byte{0xc3})
	maps, err := os.ReadFile("/proc/self/maps")
	require.NoError(t, err)
	prefix := strconv.FormatUint(uint64(c.Entry()), 16) + "-"
	var perms string
	for line := range strings.Lines(string(maps)) {
		if fields := strings.Fields(line); strings.HasPrefix(line, prefix) {
			perms = fields[1]
		}
		require.NotContains(t, strings.Fields(line)[1], "wx", line)
	}
	require.Equal(t, "r-xp", perms)
	require.NoError(t, c.Free())
	require.NoError(t, c.Free(), "a second Free")
}

func TestLoadCopies(t *testing.T) {
	code := bytes.Repeat([]byte{0x90}, 5000)
	c := load(t, code)
	defer c.Free()
	entry := c.Entry()
	got := unsafe.Slice(*(**byte)(unsafe.Pointer(&entry)), len(code))
	require.True(t, bytes.Equal(code, got))
}

func TestBadSizes(t *testing.T) {
	_, err := execmem.Load(nil)
	require.Error(t, err)
}
