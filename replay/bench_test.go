package replay

import (
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// benchPackets are enough for steady figures in a second.
const benchPackets = 500_000

// benchCapture is a capture in memory (page cache) with packets of 268 bytes on average, or SKEP_BENCH_CAPTURE.
func benchCapture(b *testing.B) string {
	if name := os.Getenv("SKEP_BENCH_CAPTURE"); name != "" {
		return name
	}
	name, _ := generate(b, traffic.Spec{Packets: benchPackets, SizeMin: 64, SizeMax: 500})
	return name
}

// bench replays a capture b.N times and reports ns a packet.
func bench(b *testing.B, o Options) {
	b.Helper()
	packets := uint64(0)
	for b.Loop() {
		rep, err := Run(o)
		require.NoError(b, err)
		packets += rep.Packets
		b.SetBytes(int64(rep.Bytes))
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
}

// BenchmarkStub is all of a replay but the program.
func BenchmarkStub(b *testing.B) {
	file := benchCapture(b)
	for _, c := range []struct {
		name string
		typ  prog.Type
		move bool
	}{{"xdp", prog.XDP, false}, {"xdp-copied", prog.XDP, true}, {"tc", prog.SchedCLS, false}, {"tc-copied", prog.SchedCLS, true}} {
		b.Run(c.name, func(b *testing.B) {
			t := stubTarget(b, &stub{ret: 2})
			t.Move = c.move
			bench(b, Options{Type: c.typ, Target: t, Files: []string{file}})
		})
	}
	b.Run("xdp-written", func(b *testing.B) {
		sink, err := NewWriter(io.Discard, Output{})
		require.NoError(b, err)
		bench(b, Options{Type: prog.XDP, Target: stubTarget(b, &stub{ret: 2}), Files: []string{file}, Sinks: []Sink{sink}})
	})
}

// BenchmarkFilter runs tcpdump's filter "tcp dst port 22" as a program.
func BenchmarkFilter(b *testing.B) {
	file := benchCapture(b)
	for _, name := range engineNames() {
		b.Run("engine="+name, func(b *testing.B) {
			bench(b, Options{Type: prog.XDP, Target: target(b, assemble(b, prog.XDP, sshFilter), name), Files: []string{file}})
		})
	}
}
