package main

import (
	"bytes"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

// TestFeaturesDoc checks that docs/features.md is what the tables say; -update writes it.
func TestFeaturesDoc(t *testing.T) {
	const file = "../../docs/features.md"
	var out bytes.Buffer
	a := &app{out: &out}
	require.NoError(t, a.features("", &featureFlags{output: "markdown"}))
	if *update {
		require.NoError(t, os.WriteFile(file, out.Bytes(), 0o644))
	}
	want, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Equal(t, string(want), out.String(), "go test ./cmd/skep -run TestFeaturesDoc -update writes it")
}

// What is said to run has an implementation, and the first kernels are those that helpers.Allowed gives.
func TestFeaturesAreTrue(t *testing.T) {
	n := 0
	for _, f := range helperFeatures(prog.Unspec).List {
		row, ok := helpers.ByName(f.Name)
		require.True(t, ok, f.Name)
		require.Equal(t, row.Fn != nil || row.Engine, f.Runs == "yes", f.Name)
		n++
	}
	require.Equal(t, 211, n, "helpers of Linux 6.18")
	fib := matching(helperFeatures(prog.XDP).List, "bpf_csum_diff")
	require.Len(t, fib, 1)
	require.Contains(t, fib[0].Types, "xdp (4.16)")
	require.Contains(t, fib[0].Types, "sched_cls")
}

// TestProgramTypesDoc: the page names every type that runs on a ctx, and every field that Linux's ctx has not.
func TestProgramTypesDoc(t *testing.T) {
	page, err := os.ReadFile("../../docs/program-types.md")
	require.NoError(t, err)
	for _, row := range prog.Types {
		if !row.Supported {
			continue
		}
		if !row.Packet {
			require.Contains(t, string(page), "\n| "+row.Name+" |")
		}
		for _, f := range row.Hidden {
			if f.Access != 0 {
				require.Contains(t, string(page), "`"+f.Name+"`", row.Name)
			}
		}
	}
}
