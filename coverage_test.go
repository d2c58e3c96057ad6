package skep

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// TestCoverage: every engine counts the same executions of every example's instructions, and as many as it reports.
func TestCoverage(t *testing.T) {
	engines := []string{EngineInterp, EngineChecked}
	if jit.Available() {
		engines = append(engines, EngineJIT)
	}
	for _, object := range examples.Names() {
		elf, err := examples.Open(object)
		require.NoError(t, err)
		var want map[string][]uint64
		for _, engine := range engines {
			v, err := OpenBytes(elf, object, Options{Engine: engine, Machine: vm.Config{Cover: true}})
			require.NoError(t, err)
			report, err := v.Replay(v.order[0].spec.Name, replay.Options{Input: bytes.NewReader(traffic.Sample())})
			require.NoError(t, err, object)
			got, sum := map[string][]uint64{}, uint64(0)
			for _, p := range v.Coverage().Programs {
				got[p.Prog.Name] = p.Counts
				sum += p.Executed()
			}
			require.NoError(t, v.Close())
			require.Equal(t, report.Insns, sum, "%s on %s", object, engine)
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "%s on %s", object, engine)
		}
	}
}

// TestNoCoverage: a machine that was not asked to count has nothing to say.
func TestNoCoverage(t *testing.T) {
	elf, err := examples.Open("drop_all")
	require.NoError(t, err)
	v, err := OpenBytes(elf, "drop_all.bpf.o", Options{})
	require.NoError(t, err)
	defer v.Close()
	require.Empty(t, v.Coverage().Programs)
}

// TestChainCoverage: the programs of a chain, of all its objects, are counted the same on every engine and any number of CPUs; those that
// no packet came to are there.
func TestChainCoverage(t *testing.T) {
	links := []Link{{Program: "block_ssh"}, {Program: "route", Hook: replay.HookIngress}, {Program: "policy", Hook: replay.HookEgress}}
	var want map[string][]uint64
	for _, engine := range []string{EngineInterp, EngineChecked, EngineAuto} {
		for _, cpus := range []int{1, 2, 3} {
			if engine == EngineChecked && cpus > 1 {
				continue
			}
			v, err := Open("examples/block_ssh_xdp.bpf.o", Options{Engine: engine, Machine: vm.Config{Cover: true, CPUs: cpus}})
			require.NoError(t, err)
			other, err := object.LoadFile("object/testdata/chain.o", object.Options{})
			require.NoError(t, err)
			_, err = v.AddObject(other)
			require.NoError(t, err)
			report, err := v.ReplayChain(links, replay.Options{Input: bytes.NewReader(traffic.Sample()), Loop: 2})
			require.NoError(t, err)
			got, sum := map[string][]uint64{}, uint64(0)
			profile := v.Coverage()
			for _, p := range profile.Programs {
				got[p.Prog.Object+" "+p.Prog.Name] = p.Counts
				sum += p.Executed()
			}
			require.Equal(t, report.Insns, sum, "%s on %d CPUs", engine, cpus)
			require.Len(t, got, 4)
			require.Contains(t, got, "chain.o out")
			var lcov, page bytes.Buffer
			require.NoError(t, profile.WriteLCOV(&lcov))
			require.NoError(t, profile.WriteHTML(&page, "chain"))
			require.NoError(t, v.Close())
			for _, file := range []string{"chain.c", "block_ssh_xdp.bpf.c"} {
				require.Contains(t, lcov.String(), "SF:"+file)
				require.Contains(t, page.String(), file)
			}
			if want == nil {
				want = got
			}
			require.Equal(t, want, got, "%s on %d CPUs", engine, cpus)
		}
	}
}
