package main

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/prog"
)

// TestSameVerdicts: native code comes to the interpreter's verdicts over the same packets, so that it does the same work.
func TestSameVerdicts(t *testing.T) {
	clang, err := compiler()
	if err != nil {
		t.Skip(err)
	}
	b, err := newBench(t.TempDir(), "../..", clang)
	require.NoError(t, err)
	for _, w := range workloads.All {
		t.Run(w.Name, func(t *testing.T) {
			elf, err := w.Object()
			require.NoError(t, err)
			v, err := skep.OpenBytes(elf, w.Name, skep.Options{Engine: skep.EngineInterp})
			require.NoError(t, err)
			defer v.Close()
			packets, err := w.Packets()
			require.NoError(t, err)
			var want [5]uint64
			for _, p := range packets {
				res, err := v.Run(w.Func, skep.Packet{Data: p, Input: prog.Input{Ifindex: 1}}) // as in harness.c
				require.NoError(t, err)
				want[res.Ret]++
			}
			got, err := b.run(w, len(packets)/w.Round)
			require.NoError(t, err)
			require.Equal(t, want, got.verdicts)
			require.Positive(t, got.min)
			require.LessOrEqual(t, got.min, got.median)
		})
	}
}

func TestOutput(t *testing.T) {
	clang, err := compiler()
	if err != nil {
		t.Skip(err)
	}
	var out bytes.Buffer
	require.NoError(t, run(&out, clang, "../..", "drop", 3))
	require.Regexp(t, `(?m)^BenchmarkWorkload/name=drop/engine=native/call=batch\t3\t[0-9.]+ ns/op\t`, out.String())
	require.Error(t, run(&out, clang, "../..", "nonesuch", 3))
	require.ErrorContains(t, run(&out, clang, "nowhere", "drop", 3), "nowhere")
}
