package replay

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// BenchmarkLarge compares a replay with tcpdump on a capture of SKEP_BENCH_LARGE packets, which it makes and removes:
// 5,000,000 are 4 GB. It is measured as a file of the directory for temporary files, read from the page cache, and as a file
// of /dev/shm, of which the kernel copies single pages. See bench/replay.sh. Wall and CPU time are of one pass, the
// best of b.N.
func BenchmarkLarge(b *testing.B) {
	packets, err := strconv.Atoi(os.Getenv("SKEP_BENCH_LARGE"))
	if err != nil {
		b.Skip("set SKEP_BENCH_LARGE to a number of packets")
	}
	for _, place := range []struct{ name, dir string }{{"disk", ""}, {"shm", "/dev/shm"}} {
		b.Run("file="+place.name, func(b *testing.B) { benchmarkLarge(b, packets, place.dir) })
	}
}

func benchmarkLarge(b *testing.B, packets int, parent string) {
	file, matches := largeCapture(b, packets, parent)
	b.Run("tool=tcpdump", func(b *testing.B) {
		measure(b, packets, syscall.RUSAGE_CHILDREN, func() {
			require.NoError(b, exec.Command("tcpdump", "-r", file, "-w", "/dev/null", "tcp dst port 22").Run())
		})
	})
	b.Run("tool=read", func(b *testing.B) {
		measure(b, packets, syscall.RUSAGE_SELF, func() { require.Equal(b, packets, readAll(b, file)) })
	})
	for _, name := range append([]string{"stub"}, engineNames()...) {
		if name == "checked" {
			continue
		}
		b.Run("tool=replay/engine="+name, func(b *testing.B) {
			t := stubTarget(b, &stub{ret: 2})
			if name != "stub" {
				t = target(b, assemble(b, prog.XDP, sshFilter), name)
			}
			measure(b, packets, syscall.RUSAGE_SELF, func() {
				rep, err := Run(Options{Type: prog.XDP, Target: t, Files: []string{file}})
				require.NoError(b, err)
				if name != "stub" {
					require.EqualValues(b, matches, rep.Verdicts[1].Packets)
				}
			})
			b.ReportMetric(float64(peakMemory(b))/1e6, "MB-peak")
		})
	}
}

// largeCapture makes a capture in a directory of its own in parent, and says how many of its packets go to TCP port 22.
func largeCapture(b *testing.B, packets int, parent string) (file string, matches int) {
	dir, err := os.MkdirTemp(parent, "skep-bench-")
	require.NoError(b, err)
	b.Cleanup(func() { require.NoError(b, os.RemoveAll(dir)) })
	file = filepath.Join(dir, "capture.pcap")
	out, err := os.Create(file)
	require.NoError(b, err)
	start := time.Now()
	m, err := traffic.Generate(out, traffic.Spec{Packets: packets, SizeMin: 230, SizeMax: 1500})
	require.NoError(b, err)
	require.NoError(b, out.Sync()) // writing back must not go on beside the measurement
	require.NoError(b, out.Close())
	info, err := os.Stat(file)
	require.NoError(b, err)
	matches = m.Labels["tcp-dst-port-22"].Packets
	b.Logf("%s: %d packets, %d bytes, %d match; made in %v", file, packets, info.Size(), matches, time.Since(start))
	return file, matches
}

// measure reports the best wall and CPU time of f.
func measure(b *testing.B, packets, who int, f func()) {
	var wall, cpu time.Duration
	for b.Loop() {
		start, used := time.Now(), cpuTime(b, who)
		f()
		w, c := time.Since(start), cpuTime(b, who)-used
		if wall == 0 || w < wall {
			wall = w
		}
		if cpu == 0 || c < cpu {
			cpu = c
		}
	}
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(wall.Seconds(), "s-wall")
	b.ReportMetric(cpu.Seconds(), "s-cpu")
	b.ReportMetric(float64(cpu.Nanoseconds())/float64(packets), "cpu-ns/packet")
}

func cpuTime(b *testing.B, who int) time.Duration {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(who, &u))
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// peakMemory is the most memory that this process had, in bytes.
func peakMemory(b *testing.B) int64 {
	var u syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &u))
	return int64(u.Maxrss) << 10
}

func readAll(b *testing.B, file string) int {
	r, err := pcap.Open(file, nil)
	require.NoError(b, err)
	defer func() { require.NoError(b, r.Close()) }()
	recs, seen := make([]pcap.Record, 512), 0
	for {
		n, err := r.ReadBatch(recs)
		if err != nil {
			require.EqualError(b, err, "EOF", fmt.Sprint(seen))
			return seen
		}
		seen += n
	}
}
