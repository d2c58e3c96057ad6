package replay

import (
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// BenchmarkOutput writes packets of 268 bytes: what the program and the kernel's copy of the file's bytes cost, by the clock and in time of the
// processor. Files are begun anew after 256 MB.
func BenchmarkOutput(b *testing.B) {
	for _, dst := range []string{"/dev/null", "/dev/shm"} {
		for name, o := range map[string]Output{"pcapng": {}, "pcapng-entry-exit": {Copies: CopyBoth}, "pcap": {Format: FormatPcap}} {
			b.Run(filepath.Base(dst)+"/"+name, func(b *testing.B) { benchmarkOutput(b, dst, o) })
		}
	}
}

func benchmarkOutput(b *testing.B, dst string, o Output) {
	open := func() *os.File {
		if info, err := os.Stat(dst); err != nil || !info.IsDir() {
			f, err := os.OpenFile(dst, os.O_WRONLY, 0)
			require.NoError(b, err)
			return f
		}
		f, err := os.CreateTemp(dst, "skep-bench")
		require.NoError(b, err)
		require.NoError(b, os.Remove(f.Name()))
		return f
	}
	const packets = (256 << 20) / 400
	x := Exit{Type: prog.XDP, Data: make([]byte, 268), Entry: make([]byte, 268), OrigLen: 268, EntryLen: 268, Link: uint32(linktype.Ethernet), Ifindex: 1,
		Ret: 2, Verdict: "XDP_PASS", Nano: true}
	var sink Sink
	var err error
	before := processorTime(b)
	for b.Loop() {
		if x.Number%packets == 0 {
			if sink != nil {
				require.NoError(b, sink.Close())
			}
			o.Create = func(string) (io.WriteCloser, error) { return open(), nil }
			sink, err = NewFile("", o)
			require.NoError(b, err)
		}
		x.Number++
		x.TS += 1000
		if err := sink.Write(&x); err != nil {
			b.Fatal(err)
		}
	}
	require.NoError(b, sink.Close())
	b.ReportMetric(float64(processorTime(b)-before)/float64(x.Number), "cpu-ns/packet")
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(x.Number), "ns/packet")
	b.ReportMetric(0, "ns/op")
}

// processorTime is how long this process has used the processor, in ns.
func processorTime(b *testing.B) int64 {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
