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

// BenchmarkOutput writes packets of 268 bytes: what that costs by the clock and in time of the processor, and beside it what write(2) alone takes
// for the bytes of such a packet in pcapng. Files are begun anew after 256 MB.
func BenchmarkOutput(b *testing.B) {
	for _, dst := range []string{"/dev/null", "/dev/shm"} {
		b.Run(filepath.Base(dst)+"/write", func(b *testing.B) { benchmarkOutput(b, &plainWrites{dst: dst}) })
		for name, o := range map[string]Output{"pcapng": {}, "pcapng-entry-exit": {Copies: CopyBoth}, "pcap": {Format: FormatPcap}} {
			o.Create = func(string) (io.WriteCloser, error) { return openOutput(dst) }
			b.Run(filepath.Base(dst)+"/"+name, func(b *testing.B) {
				sink, err := NewFile("", o)
				require.NoError(b, err)
				benchmarkOutput(b, sink)
			})
		}
	}
}

// openOutput opens a device, or a file in a directory that nobody else sees.
func openOutput(dst string) (*os.File, error) {
	if info, err := os.Stat(dst); err != nil || !info.IsDir() {
		return os.OpenFile(dst, os.O_WRONLY, 0)
	}
	f, err := os.CreateTemp(dst, "skep-bench")
	if err == nil {
		err = os.Remove(f.Name())
	}
	return f, err
}

// blockSize is that of a packet of 268 bytes with its options.
const blockSize = 360

// plainWrites writes as many bytes as a pcapng file would have, and as many at a time.
type plainWrites struct {
	dst  string
	f    *os.File
	have int
}

var plainBytes = make([]byte, 256<<10)

func (w *plainWrites) Write(*Exit) (err error) {
	if w.f == nil {
		if w.f, err = openOutput(w.dst); err != nil {
			return err
		}
	}
	if w.have += blockSize; w.have < len(plainBytes) {
		return nil
	}
	w.have -= len(plainBytes)
	_, err = w.f.Write(plainBytes)
	return err
}

func (w *plainWrites) Close() error {
	f := w.f
	w.f = nil
	return f.Close()
}

func benchmarkOutput(b *testing.B, sink Sink) {
	const packets = (256 << 20) / blockSize
	x := Exit{Type: prog.XDP, Data: make([]byte, 268), Entry: make([]byte, 268), OrigLen: 268, EntryLen: 268, Link: uint32(linktype.Ethernet), Ifindex: 1,
		Ret: 2, Verdict: "XDP_PASS", Nano: true}
	before := processorTime(b)
	for b.Loop() {
		if x.Number%packets == packets-1 {
			require.NoError(b, sink.Close())
			reopen(sink)
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

// reopen lets a closed sink begin anew.
func reopen(sink Sink) {
	if s, ok := sink.(*stream); ok {
		*s = stream{o: s.o}
	}
}

// processorTime is how long this process has used the processor, in ns.
func processorTime(b *testing.B) int64 {
	var u unix.Rusage
	require.NoError(b, unix.Getrusage(unix.RUSAGE_SELF, &u))
	return u.Utime.Nano() + u.Stime.Nano()
}
