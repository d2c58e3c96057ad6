package fuzz_test

import (
	"testing"

	"github.com/skepvm/skep/conformance/fuzz"
)

func BenchmarkLadder(b *testing.B) {
	for _, l := range []fuzz.Level{fuzz.Bytes, fuzz.Insns, fuzz.Programs, fuzz.Mutants} {
		b.Run(l.String(), func(b *testing.B) {
			r, err := fuzz.Run(b.Context(), fuzz.Options{Levels: []fuzz.Level{l}, Count: uint64(b.N), Workers: 1})
			if err != nil || len(r.Findings) > 0 {
				b.Fatal(r.Findings, err)
			}
		})
	}
}
