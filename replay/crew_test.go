package replay

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// slowSink leaves time, at its first packet, for what goes on beside it.
type slowSink struct{ begun bool }

func (s *slowSink) Write(*Exit) error {
	if !s.begun {
		s.begun = true
		time.Sleep(20 * time.Millisecond)
	}
	return nil
}

func (*slowSink) Close() error { return nil }

// TestPipeIsNotReadAhead: a replay that has what it wants does not wait for the next packet of a pipe.
func TestPipeIsNotReadAhead(t *testing.T) {
	file := traffic.Sample()
	out, in := io.Pipe()
	go func() {
		_, _ = in.Write(file[:len(file)/2]) // nothing comes behind it, and nobody closes the pipe
	}()
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: out, Limit: 100, Sinks: []Sink{&slowSink{}}})
	require.NoError(t, err)
	require.EqualValues(t, 100, rep.Packets)
}

// TestPieces: however many cores read a capture, the result is that of one.
func TestPieces(t *testing.T) {
	file := filepath.Join(t.TempDir(), "long.pcap")
	out, err := os.Create(file)
	require.NoError(t, err)
	_, err = traffic.Generate(out, traffic.Spec{Packets: 6000, Seed: 5, SizeMin: 500, SizeMax: 1500})
	require.NoError(t, err)
	require.NoError(t, out.Close())
	defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(0))
	var first []byte
	var want *Report
	for _, procs := range []int{1, 2, 4} {
		runtime.GOMAXPROCS(procs)
		var written bytes.Buffer
		sink, err := NewWriter(&written, Output{})
		require.NoError(t, err)
		rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Files: []string{file}, Loop: 2, Sinks: []Sink{sink}, CountChanged: true})
		require.NoError(t, err)
		require.NoError(t, sink.Close())
		rep.Elapsed = 0
		if want == nil {
			want, first = rep, written.Bytes()
		}
		require.Equal(t, want, rep, "%d processors", procs)
		require.True(t, bytes.Equal(first, written.Bytes()), "%d processors", procs)
	}
	require.EqualValues(t, 12000, want.Packets)
}
