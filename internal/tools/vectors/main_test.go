package main

import (
	"flag"
	"maps"
	"math"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write the vectors anew")

const dir = "../../../conformance/testdata/vectors"

// TestUpToDate compares the files with what the program makes.
func TestUpToDate(t *testing.T) {
	if *update {
		require.NoError(t, write(dir))
	}
	want := map[string]string{}
	for _, f := range files() {
		name := f.name + ".data"
		require.NotContains(t, want, name, "two files of one name")
		want[name] = f.String()
	}
	have, err := made(dir)
	require.NoError(t, err)
	require.Equal(t, slices.Sorted(maps.Keys(want)), slices.Sorted(maps.Keys(have)))
	for name := range want {
		if want[name] != have[name] {
			t.Errorf("%s is not what is made: go test ./internal/tools/vectors -update", name)
		}
	}
}

func (o aluOp) must(t *testing.T, width int, a, b, want uint64) {
	t.Helper()
	require.Equal(t, want, o.result(width, a, b), "%s %d: %#x, %#x", o.name, width, a, b)
}

func operation(name string) aluOp {
	i := slices.IndexFunc(arithmetic, func(o aluOp) bool { return o.name == name })
	return arithmetic[i]
}

// TestArithmetic holds the edges of RFC 9669 §4.1, written by hand, against what the files' results are computed with.
func TestArithmetic(t *testing.T) {
	operation("div").must(t, 64, 7, 0, 0)
	operation("mod").must(t, 64, 7, 0, 7)
	operation("mod").must(t, 32, 0x1122334455667788, 0xff00000000, 0x55667788)
	operation("sdiv").must(t, 64, min64, math.MaxUint64, min64)
	operation("smod").must(t, 64, min64, math.MaxUint64, 0)
	operation("sdiv").must(t, 32, min32, 0xffffffff, min32)
	operation("sdiv").must(t, 64, minus(13), 3, minus(4))
	operation("smod").must(t, 64, minus(13), 3, minus(1))
	operation("smod").must(t, 64, 13, minus(3), 1)
	operation("lsh").must(t, 64, 1, 65, 2)
	operation("lsh").must(t, 32, 0x80000001, 1, 2)
	operation("arsh").must(t, 32, 0x80000000, 63, 0xffffffff)
	operation("rsh").must(t, 64, min64, 64+63, 1)
	operation("sub").must(t, 32, 0, 1, 0xffffffff)
	operation("mul").must(t, 32, 0xffffffff, 0xffffffff, 1)
	require.Equal(t, uint64(0x0807060504030201), reversed(0x0102030405060708, 8))
	require.Equal(t, uint64(0x0807), reversed(0x0102030405060708, 2))
	require.Equal(t, minus(0x80), signed(0x0180, 1))
}
