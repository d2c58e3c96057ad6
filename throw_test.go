package skep_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/prog"
)

// TestThrowInBatch: a program that throws on every other packet ends the run of that packet only, with the count of its instructions.
func TestThrowInBatch(t *testing.T) {
	object := assembled(prog.XDP, nil, nil, `
		r6 = *(u32 *)(r1 + 16)
		r6 &= 1
		if r6 == 0 goto out
		call f
	out:
		r0 = 2
		exit
	f:
		r1 = 3
		call kfunc bpf_throw
		r0 = 0
		exit`)
	object.Programs[0].License = "GPL"
	const n = 9
	for _, name := range bothEngines {
		vm, err := skep.New(object, skep.Options{Engine: name})
		require.NoError(t, err)
		engine, err := vm.Engine("")
		require.NoError(t, err)
		space, stride := vm.Machine().Space(), prog.FrameStride(24)
		first, err := space.Alloc(n*stride+prog.FrameHeader, 64)
		require.NoError(t, err)
		first += prog.FrameHeader
		for i := range uint32(n) {
			prog.SetFrame(space, first+i*stride, prog.XDP, 4096, 4096, 4096, 4096, &prog.Input{RxQueue: i})
		}
		done, err := engine.RunBatch(first, stride, n)
		require.NoError(t, err)
		require.Equal(t, n, done)
		for i := range uint32(n) {
			ctx := first + i*stride
			at := func(off int32) uint64 { return space.Load64(ctx + uint32(off)) }
			want := [2]uint64{2, 5}
			if i%2 == 1 {
				want = [2]uint64{3, 6}
			}
			require.Equal(t, want, [2]uint64{at(prog.FrameRet), at(prog.FrameInsns)}, "%s, packet %d", engine.Name(), i)
		}
		require.NoError(t, vm.Close())
	}
}
