package main

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/bench/kept"
	"github.com/skepvm/skep/jit"
)

// TestMain lets the test's executable be the child that it starts.
func TestMain(m *testing.M) {
	if os.Getenv(childEnv) != "" {
		main()
		return
	}
	code := m.Run()
	if built != "" {
		_ = os.RemoveAll(built)
	}
	os.Exit(code)
}

// built has the commands; TestMain removes it.
var built string

// commands builds what is measured, once.
func commands(t *testing.T) string {
	if testing.Short() {
		t.Skip("builds commands and runs them")
	}
	if built == "" {
		dir, err := os.MkdirTemp("", "skep-bench-")
		require.NoError(t, err)
		built = dir
		out, err := exec.Command("go", "build", "-o", dir, "../../cmd/skep", "./plainread", "./gopacketread").CombinedOutput()
		require.NoError(t, err, string(out))
	}
	return built
}

// TestSmoke: one round over a small capture runs everything, counts alike everywhere, and leaves a result and nothing else.
func TestSmoke(t *testing.T) {
	dir, results := t.TempDir(), t.TempDir()
	var out, talk bytes.Buffer
	c := &config{packets: 20_000, rounds: 1, dir: dir, root: "../..", bin: commands(t), out: results}
	require.NoError(t, run(t.Context(), c, &out, &talk), talk.String())
	files, err := filepath.Glob(filepath.Join(results, "replay-*.txt"))
	require.NoError(t, err)
	require.Len(t, files, 1)
	r, err := kept.Read(files[0])
	require.NoError(t, err)
	require.Equal(t, "20000", r.Config["packets"])
	b := &bench{config: c, talk: &talk}
	b.cpus, err = allowedCPUs()
	require.NoError(t, err)
	for i := range kept.Runs {
		run := &kept.Runs[i]
		for _, engine := range enginesOf(run) {
			for _, cpus := range run.CPUs {
				if cpus <= len(b.cpus) && b.have(run.Tool) {
					require.Len(t, r.Values[run.Name(engine, cpus)+" s-wall"], 1, run.Name(engine, cpus))
				}
			}
		}
	}
	engine := "interp"
	if jit.Available() {
		engine = "jit"
	}
	for _, m := range inMemory {
		require.Positive(t, r.Values["BenchmarkMemory/work="+m.work+"/engine="+engine+"/batch=1024 Mpackets/s"][0], m.work)
	}
	require.Less(t, r.Values["BenchmarkAllocs/work=drop/engine="+engine+" allocs/packet"][0], 0.01)
	require.Contains(t, out.String(), "| allocations a packet, in any run of skep |")
	left, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Empty(t, left)
}

// TestKeep: -keep leaves the capture, and the next run takes it and leaves it too; -only chooses.
func TestKeep(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "skep-bench-1000.pcap")
	var first os.FileInfo
	for _, keep := range []bool{true, false} {
		var out, talk bytes.Buffer
		c := &config{packets: 1000, rounds: 2, dir: dir, root: "../..", bin: commands(t), keep: keep, only: "tool=read.*cpus=1"}
		require.NoError(t, run(t.Context(), c, &out, &talk), talk.String())
		require.Equal(t, 2, bytes.Count(out.Bytes(), []byte("\nBenchmark")))
		info, err := os.Stat(file)
		require.NoError(t, err)
		if first != nil {
			require.Equal(t, first.ModTime(), info.ModTime())
		}
		first = info
	}
}

func TestErrors(t *testing.T) {
	bin := commands(t)
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for want, c := range map[string]*config{
		"-only: ":               {packets: 1000, rounds: 1, only: "("},
		"want 1000 packets":     {packets: 10, rounds: 1},
		"context canceled":      {packets: 1000, rounds: 1, dir: t.TempDir(), root: "../.."},
		"go build":              {packets: 1000, rounds: 1, dir: t.TempDir(), root: t.TempDir()},
		"skep generate: ":       {packets: 1000, rounds: 1, dir: filepath.Join(t.TempDir(), "none"), root: "../..", bin: bin},
		"no benchmark has such": {packets: 1000, rounds: 1, dir: t.TempDir(), root: "../..", bin: bin, only: "nonesuch"},
	} {
		use := t.Context()
		if want == "context canceled" {
			use = ctx
		}
		var out, talk bytes.Buffer
		require.ErrorContains(t, run(use, c, &out, &talk), want)
		require.Empty(t, out.String())
	}
}
