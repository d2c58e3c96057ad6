package replay

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// TestNamedPipe: a replay of a named pipe ends with what it wants, although whoever writes to it does not.
func TestNamedPipe(t *testing.T) {
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, unix.Mkfifo(name, 0o600))
	pipe, err := os.OpenFile(name, os.O_RDWR, 0) // both ends: opening does not wait, and there is no end of file
	require.NoError(t, err)
	defer pipe.Close()
	file := traffic.Sample()
	_, err = pipe.Write(file[:40_000])
	require.NoError(t, err)
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Files: []string{name}, Limit: 20, Sinks: []Sink{&slowSink{}}})
	require.NoError(t, err)
	require.EqualValues(t, 20, rep.Packets)
}
