package kept

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const sample = `goos: linux
cpu: a processor
packets: 5000000
rounds: 3
capture: 5 million packets, 4.05 GB
BenchmarkReplay/tool=read/work=none/engine=none/cpus=1	1	0.5 s-wall	0.4 s-cpu	5 MB-peak
BenchmarkReplay/tool=read/work=none/engine=none/cpus=1	1	0.4 s-wall	0.4 s-cpu	5 MB-peak
BenchmarkReplay/tool=read/work=none/engine=none/cpus=1	1	0.6 s-wall	0.4 s-cpu	5 MB-peak
BenchmarkReplay/tool=tcpdump/work=expr/engine=none/cpus=1	1	2 s-wall	2 s-cpu	7 MB-peak
BenchmarkReplay/tool=skep/work=expr/engine=jit/cpus=1	1	0.8 s-wall	0.7 s-cpu	30 MB-peak
BenchmarkReplay/tool=skep/work=drop/engine=jit/cpus=1	1	0.52 s-wall	0.51 s-cpu	40 MB-peak
BenchmarkReplay/tool=skep/work=drop/engine=jit/cpus=1	1	0.624 s-wall	0.5 s-cpu	41 MB-peak
BenchmarkReplay/tool=skep/work=drop/engine=jit/cpus=2	1	0.4 s-wall	0.6 s-cpu	250 MB-peak
BenchmarkReplay/tool=skep/work=drop/engine=interp/cpus=1	1	1 s-wall	1 s-cpu	40 MB-peak
BenchmarkMemory/work=drop/engine=jit/batch=1024-2	2000	5.0 ns/op	200 Mpackets/s
BenchmarkMemory/work=drop/engine=jit/batch=1024-2	2000	4.0 ns/op	250 Mpackets/s
BenchmarkAllocs/work=drop/engine=jit	4500000	0.0000 allocs/packet
BenchmarkAllocs/work=drop/engine=interp	4500000	0.0000 allocs/packet
`

func TestReplayTables(t *testing.T) {
	targets, err := ReadReplayTargets("../replay.json")
	require.NoError(t, err)
	text := string(ReplayTables(read(t, sample), targets))
	for _, line := range []string{
		"Replay of 5 million packets, 4.05 GB, from the page cache; the best of 3 rounds, in which all took turns:",
		"| read(2), 1 MiB at a time, nothing else | 0.4 | 0.4 | 12.5 | 1 |  | 5 |  |  |",
		"| skep, `--filter 'tcp dst port 22'`, machine code | 0.8 | 0.7 | 6.25 | 2 | 2.5 | 30 |  |  |",
		"| skep, drop, machine code | 0.52 | 0.5 | 9.62 | 1.3 |  | 41 | 0.4 | 1.3 |",
		"| skep, drop, interpreter | 1 | 1 | 5 | 2.5 |  | 40 |  |  |",
		"| drop, times read(2) | 1.3 | 1.14 | 1.25 | at most 1.4: met |",
		"| filter expression, times read(2) | 2 | 1.6 | 1.75 | at most 1.4: **missed** |",
		"| filter expression, times faster than tcpdump | 2.5 | 2.5 | 2.86 | at least 2.5: met |",
		"| drop, two CPUs faster than one | 1.3 | 1.43 |  | at least 1.7: **missed** |",
		"| from memory: drops, millions a second on a CPU | 250 | 225 |  | at least 200: met |",
		"| peak memory of any run of skep, MB | 250 | 250 |  | at most 200: **missed** |",
		"| allocations a packet, in any run of skep | 0 | 0 |  | at most 0: met |",
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "bounce") // not measured
}

// TestReplayTargets: every target is for a benchmark that bench/replay has.
func TestReplayTargets(t *testing.T) {
	names := map[string]bool{}
	for i := range Runs {
		for _, e := range engines {
			for _, cpus := range Runs[i].CPUs {
				names[Runs[i].Name(e.name, cpus)] = true
			}
		}
	}
	targets, err := ReadReplayTargets("../replay.json")
	require.NoError(t, err)
	require.NotEmpty(t, targets)
	for _, x := range targets {
		require.False(t, x.Max > 0 && x.Min > 0, x.What)
		for _, name := range []string{x.Of, x.Per} {
			if strings.HasPrefix(name, "BenchmarkReplay") && !strings.Contains(name, "*") {
				require.True(t, names[name], name)
			}
		}
	}
}

func TestRead(t *testing.T) {
	r := read(t, sample)
	require.Equal(t, "a processor", r.Config["cpu"])
	require.Equal(t, []float64{5, 4}, r.Values["BenchmarkMemory/work=drop/engine=jit/batch=1024 ns/op"], "without the number of processors")
	require.Equal(t, 0.4, r.Mins()["BenchmarkReplay/tool=read/work=none/engine=none/cpus=1 s-wall"])

	file := filepath.Join(t.TempDir(), "bad.txt")
	require.NoError(t, os.WriteFile(file, []byte("BenchmarkX 1 abc ns/op\n"), 0o644))
	_, err := Read(file)
	require.ErrorContains(t, err, "abc")
	_, err = ReadReplayTargets(file)
	require.ErrorContains(t, err, "near byte")
	_, err = Read(filepath.Join(t.TempDir(), "none"))
	require.ErrorIs(t, err, os.ErrNotExist)
}

func read(t *testing.T, text string) *Results {
	t.Helper()
	file := filepath.Join(t.TempDir(), "results.txt")
	require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	r, err := Read(file)
	require.NoError(t, err)
	return r
}
