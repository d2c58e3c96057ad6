package workloads_test

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/jit"
)

func open(t *testing.T, w *workloads.Workload, engine string) *skep.VM {
	elf, err := w.Object()
	require.NoError(t, err)
	v, err := skep.OpenBytes(elf, w.Name, skep.Options{Engine: engine})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, v.Close()) })
	return v
}

// expected is what each workload must do for its figure to mean what its row says.
var expected = map[string]struct {
	most  string  // the verdict of most packets
	share float64 // of all packets, at least
	insns float64 // for a packet on average, at least and at most 3 % more
}{
	"constant":      {"XDP_PASS", 1, 2},
	"drop":          {"XDP_DROP", 1, 10},
	"block_ssh_xdp": {"XDP_PASS", 0.8, 22.1},
	"tx_bounce":     {"XDP_TX", 1, 27},
	"udp_rewrite":   {"XDP_TX", 1, 88},
	"array_count":   {"XDP_DROP", 0.5, 15.9},
	"hash_count":    {"XDP_DROP", 1, 26},
	"alu":           {"", 0, 558},
	"helpers":       {"", 0, 303},
	"xorshift":      {"", 0, 14009},
	"xorshift4":     {"", 0, 45018},
}

// TestWorkloads runs each workload over its packets on every engine, and checks that it does what it is there for.
func TestWorkloads(t *testing.T) {
	require.Len(t, expected, len(workloads.All))
	for _, w := range workloads.All {
		t.Run(w.Name, func(t *testing.T) {
			packets, err := w.Packets()
			require.NoError(t, err)
			require.Zero(t, len(packets)%w.Round)
			engines := []string{skep.EngineInterp}
			if jit.Available() {
				engines = append(engines, skep.EngineJIT)
			}
			for _, engine := range engines {
				v := open(t, w, engine)
				verdicts, insns := map[string]int{}, uint64(0)
				for _, p := range packets {
					res, err := v.Run(w.Func, skep.Packet{Data: p})
					require.NoError(t, err)
					verdicts[res.Verdict]++
					insns += res.Insns
				}
				want, n := expected[w.Name], float64(len(packets))
				require.GreaterOrEqual(t, float64(verdicts[want.most])/n, want.share, verdicts)
				require.GreaterOrEqual(t, float64(insns)/n, want.insns)
				require.LessOrEqual(t, float64(insns)/n, 1.03*want.insns)
			}
		})
	}
}

// TestHashKeys: every packet has a source of its own.
func TestHashKeys(t *testing.T) {
	w, err := workloads.ByName("hash_count")
	require.NoError(t, err)
	v := open(t, w, skep.EngineInterp)
	packets, err := w.Packets()
	require.NoError(t, err)
	for _, p := range packets {
		_, err := v.Run(w.Func, skep.Packet{Data: p})
		require.NoError(t, err)
	}
	n := 0
	for range v.Map("sources").All() {
		n++
	}
	require.Equal(t, 10_000, n)
}

// TestStraightALU: the ALU workload has 544 instructions of 64-bit arithmetic in its chains, and jumps nowhere.
func TestStraightALU(t *testing.T) {
	w, err := workloads.ByName("alu")
	require.NoError(t, err)
	p := open(t, w, skep.EngineInterp).Object().Programs[0]
	kinds := map[asm.Kind]int{}
	for _, in := range p.Insns {
		k := asm.KindOf(in)
		require.NotEqual(t, asm.ClassBranch, k.Info().Class)
		kinds[k]++
	}
	const steps, shifts = 4 * 13, 4 * (3*13 + 2)
	require.Equal(t, 544, steps+3*shifts)
	require.Equal(t, steps, kinds[asm.Mul64X])
	require.Equal(t, shifts+1, kinds[asm.Lsh64K]+kinds[asm.Rsh64K]) // one for the verdict
	require.Equal(t, shifts, kinds[asm.Xor64X])
	require.GreaterOrEqual(t, kinds[asm.Mov64X], shifts)
}

func TestUnknown(t *testing.T) {
	_, err := workloads.ByName("nonesuch")
	require.ErrorContains(t, err, "udp_rewrite")
}

// The committed objects are what build.sh makes, where the same compiler is at hand.
func TestObjectsAreReproducible(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s on this machine", tool)
		}
	}
	dir := filepath.Join(t.TempDir(), "bench", "workloads") // the sources include ../../examples
	for _, pattern := range []string{"*.c", "*.h", "build.sh", "../../examples/*.h", "../../examples/build.sh"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		require.NotEmpty(t, files)
		for _, f := range files {
			b, err := os.ReadFile(f)
			require.NoError(t, err)
			to := filepath.Join(dir, f)
			require.NoError(t, os.MkdirAll(filepath.Dir(to), 0o755))
			require.NoError(t, os.WriteFile(to, b, 0o755))
		}
	}
	out, err := exec.Command("sh", filepath.Join(dir, "build.sh")).CombinedOutput()
	require.NoError(t, err, string(out))
	sources, err := filepath.Glob("*.bpf.c")
	require.NoError(t, err)
	for _, src := range sources {
		obj := strings.TrimSuffix(src, ".c") + ".o"
		want, err := os.ReadFile(obj)
		require.NoError(t, err)
		got, err := os.ReadFile(filepath.Join(dir, obj))
		require.NoError(t, err)
		if !bytes.Equal(want, got) {
			t.Errorf("%s: built anew it differs; run build.sh (another patch release of clang may differ as well)", obj)
		}
	}
}
