package conformance_test

import (
	"bytes"
	"flag"
	"fmt"
	"hash/crc32"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/jit"
	skepmaps "github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/vm"
)

var update = flag.Bool("update", false, "write what came out to golden files")

func golden(t *testing.T, file string, got []byte) {
	t.Helper()
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, got, 0o644))
		return
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	if !bytes.Equal(want, got) {
		t.Errorf("%s: %s", file, difference(want, got))
	}
}

// difference is the first line in which two texts differ.
func difference(want, got []byte) string {
	w, g := strings.Split(string(want), "\n"), strings.Split(string(got), "\n")
	for i := range w {
		if i >= len(g) || w[i] != g[i] {
			return fmt.Sprintf("line %d: got %q, want %q", i+1, strings.Join(g[i:min(i+1, len(g))], ""), w[i])
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func engines() []string {
	all := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		all = append(all, skep.EngineJIT)
	}
	return all
}

// TestEdges: the capture of edge packets is what Edges makes.
func TestEdges(t *testing.T) {
	var b bytes.Buffer
	require.NoError(t, conformance.WriteEdges(&b))
	golden(t, "../examples/datapath/edges.pcap", b.Bytes())
}

// TestDatapaths runs the larger programs over their traffic on every engine at once: each step leaves the same on all of them, and
// what testdata says. The live kernel's word on the same steps is in conformance/kernel.
func TestDatapaths(t *testing.T) {
	require.Equal(t, len(examples.Datapaths()), len(conformance.Datapaths()))
	for _, d := range conformance.Datapaths() {
		require.Contains(t, examples.Datapaths(), d.Name)
	}
	play(t, conformance.Datapaths(), "datapath")
}

// TestReferees is TestDatapaths for the programs of the referee.
func TestReferees(t *testing.T) {
	all, err := conformance.Referees()
	require.NoError(t, err)
	play(t, all, "referee")
}

func play(t *testing.T, all []*conformance.Datapath, dir string) {
	for _, d := range all {
		t.Run(d.Name, func(t *testing.T) {
			var ours []*conformance.Ours
			var players []conformance.Player
			for _, engine := range engines() {
				o, err := conformance.OpenDatapath(d, skep.Options{Engine: engine, Machine: vm.Config{Clock: func() uint64 { return 90e9 }}})
				require.NoError(t, err)
				defer o.VM.Close()
				ours, players = append(ours, o), append(players, o)
			}
			var out, part strings.Builder
			steps, verdicts := 0, map[string]int{}
			require.NoError(t, d.Play(players, func(s conformance.Step, left []conformance.Moment) error {
				for i := range left {
					require.Equal(t, left[0], left[i], "%s on %s over\n%x", s.Program, engines()[i], s.Data)
				}
				changed := "-"
				if !bytes.Equal(s.Data, left[0].Data) {
					changed = fmt.Sprintf("%d %08x", len(left[0].Data), crc32.ChecksumIEEE(left[0].Data))
				}
				fmt.Fprintf(&part, "%s %x: %d %s %x\n", s.Program, s.Data, left[0].Ret, changed, left[0].SKB)
				verdicts[fmt.Sprintf("%s returns %d", s.Program, left[0].Ret)]++
				if steps++; steps%50 == 0 {
					fmt.Fprintf(&out, "to step %d: %08x\n", steps, crc32.ChecksumIEEE([]byte(part.String())))
				}
				return nil
			}))
			fmt.Fprintf(&out, "%d steps: %08x\n", steps, crc32.ChecksumIEEE([]byte(part.String())))
			for _, v := range slices.Sorted(maps.Keys(verdicts)) {
				fmt.Fprintf(&out, "%s: %d times\n", v, verdicts[v])
			}
			first := stateOf(t, ours[0].VM)
			for i, o := range ours[1:] {
				require.Equal(t, first, stateOf(t, o.VM), engines()[i+1])
			}
			out.WriteString(first)
			golden(t, filepath.Join("testdata", dir, d.Name+".txt"), []byte(out.String()))
		})
	}
}

// stateOf sums up every map.
func stateOf(t *testing.T, v *skep.VM) string {
	var b strings.Builder
	for _, spec := range v.Object().Maps {
		m := v.Map(spec.Name)
		var lines []string
		if row := spec.Type.Row(); row.MapInMap || spec.Type == skepmaps.ProgArray {
			continue // numbers of maps and programs
		}
		if r, ok := m.(*skepmaps.Ring); ok {
			for record := range r.Read() {
				lines = append(lines, fmt.Sprintf("%x", record))
			}
		} else {
			for k, value := range m.All() {
				lines = append(lines, fmt.Sprintf("%x=%x", k, value))
			}
			slices.Sort(lines)
		}
		fmt.Fprintf(&b, "map %s: %d elements, %08x\n", spec.Name, len(lines), crc32.ChecksumIEEE([]byte(strings.Join(lines, "\n"))))
	}
	return b.String()
}
