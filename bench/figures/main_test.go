package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/bench/kept"
	"github.com/skepvm/skep/bench/workloads"
)

const sampleResults = `goos: linux
BenchmarkWorkload/name=xorshift/engine=interp/call=single	200	14009.0 ns/op	1.0000 ns/insn	1 median-ns	1 max-ns	14009.0 insns
BenchmarkWorkload/name=xorshift/engine=jit/call=single	200	1751.1 ns/op	0.125 ns/insn	1 median-ns	1 max-ns	14009.0 insns
BenchmarkWorkload/name=xorshift4/engine=interp/call=single	200	45018.0 ns/op	1.0000 ns/insn	1 median-ns	1 max-ns	45018.0 insns
BenchmarkWorkload/name=xorshift4/engine=jit/call=single	200	9003.6 ns/op	0.2 ns/insn	1 median-ns	1 max-ns	45018.0 insns
BenchmarkWorkload/name=xorshift/engine=native/call=batch	200	1400.9 ns/op	1 median-ns	1 max-ns
BenchmarkWorkload/name=drop/engine=interp/call=single	200	20.0 ns/op	2 ns/insn	1 median-ns	1 max-ns	10.0 insns
BenchmarkWorkload/name=drop/engine=jit/call=batch	200	9.0 ns/op	0.9 ns/insn	1 median-ns	1 max-ns	10.0 insns
BenchmarkWorkload/name=drop/engine=jit/call=batch	200	2.0 ns/op	0.2 ns/insn	1 median-ns	1 max-ns	10.0 insns
BenchmarkWorkload/name=drop/engine=native/call=batch	200	1.6 ns/op	1 median-ns	1 max-ns
BenchmarkWorkload/name=alu/engine=jit/call=compile	200	34200 ns/op	61 ns/insn	1 median-ns	1 max-ns	560.0 insns
BenchmarkWorkload/name=constant/engine=jit/call=batch	200	1.5 ns/op	1 ns/insn	1 median-ns	1 max-ns	2.0 insns
BenchmarkWorkload/name=helpers/engine=jit/call=batch	200	501.5 ns/op	1 ns/insn	1 median-ns	1 max-ns	303.0 insns
`

func TestTables(t *testing.T) {
	file := filepath.Join(t.TempDir(), "results.txt")
	require.NoError(t, os.WriteFile(file, []byte(sampleResults), 0o644))
	r, err := kept.Read(file)
	require.NoError(t, err)
	targets, err := readTargets("../targets.json")
	require.NoError(t, err)
	text := string(tables(r.Mins(), targets, "x.txt"))
	for _, line := range []string{
		"| interpreter, loop of 14,009 instructions, an instruction | 1 | at most 1.1: met | 0.1 | 10 |",
		"| machine code, loop of 14,009 instructions in one chain, an instruction | 0.125 | 8 times interp: met, 8 times | 0.1 | 1.25 |",
		"| machine code, loop of 45,018 instructions in four chains, an instruction | 0.2 | 8 times interp: **missed**, 5 times |  |  |",
		"| machine code, batch: drop | 2 | at most 2.3: met | 1.6 | 1.25, at most 1.2: **missed** |",
		"| making that machine code | 34200 | at most 34000: **missed** |  |  |",
		"| leaving machine code for a helper and coming back | 5 | at most 6: met |  |  |",
		"| drop after a look at the EtherType | 10 | 20 | - | 2 | 1.6 | - |",
	} {
		require.Contains(t, text, line+"\n")
	}
	require.NotContains(t, text, "UDP") // not measured
}

// TestTargets: every target is for a figure that bench prints, or BenchmarkWorkload of the root for a large object.
func TestTargets(t *testing.T) {
	targets, err := readTargets("../targets.json")
	require.NoError(t, err)
	require.NotEmpty(t, targets)
	calls := map[string]bool{"interp single": true, "jit single": true, "jit batch": true, "jit compile": true, "jit open": true}
	for _, x := range targets {
		require.True(t, calls[x.Engine+" "+x.Call], x.What)
		require.NotEqual(t, x.Max > 0, x.Faster > 0, x.What)
		require.Equal(t, x.Faster > 0, calls[x.Than+" "+x.Call], x.What)
		for _, name := range strings.Fields(x.Workload + " " + x.Minus) {
			_, err := workloads.ByName(name)
			if x.Call == "open" {
				_, err = os.Stat("../large/" + name + ".bpf.o")
			}
			require.NoError(t, err, x.What)
		}
	}
}

func TestBadInput(t *testing.T) {
	file := filepath.Join(t.TempDir(), "x")
	require.NoError(t, os.WriteFile(file, []byte("no JSON"), 0o644))
	_, err := readTargets(file)
	require.ErrorContains(t, err, "near byte")
	require.ErrorContains(t, run(t.TempDir(), "..", file, true), "no results")
}
