package vm_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/vm"
)

// TestReset: a machine that was reset does again what it did: random numbers, maps, stack, program ids.
func TestReset(t *testing.T) {
	b := newBench(t, hostileMaps()...)
	insns, err := asm.Parse(`
		r6 = *(u64 *)(r10 - 8)
		call 7
		*(u64 *)(r10 - 8) = r0
		*(u32 *)(r10 - 12) = 1
		r1 = map[0]
		r2 = r10
		r2 += -12
		call 1
		if r0 == 0 goto out
		r7 = 1
		r7 = atomic_fetch_add((u64 *)(r0 + 0), r7)
		r0 = *(u64 *)(r10 - 8)
		r0 ^= r6
		r0 ^= r7
	out:
		exit`, asm.ParseOptions{})
	require.NoError(t, err)
	clean := b.m.Snapshot()
	results := map[uint64]int{}
	for range 3 {
		require.NoError(t, b.m.Reset(clean, nil))
		l, err := b.link(insns)
		require.NoError(t, err)
		require.Zero(t, l.ID())
		x := newInterpreter(t, b.m.CPU(0), l, vm.InterpOptions{})
		for range 2 {
			res, err := x.Run(b.buf.Ctx())
			require.NoError(t, err)
			results[res.R0]++
		}
	}
	require.Len(t, results, 2, "two runs, three times each")
	for _, n := range results {
		require.Equal(t, 3, n)
	}
	_, err = b.m.AddMap(hostileMaps()[0])
	require.NoError(t, err)
	require.Error(t, b.m.Reset(clean, nil), "a map was added")
}
