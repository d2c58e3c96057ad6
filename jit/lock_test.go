package jit

import (
	"encoding/binary"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// count adds 1 to a counter, taking its time, under the lock of the value that holds it.
const count = `
	*(u32 *)(r10 - 4) = 0
	r2 = r10
	r2 += -4
	r1 = map[counts]
	call 1
	if r0 == 0 goto out
	r6 = r0
	r1 = r0
	call 93
	r7 = *(u64 *)(r6 + 8)
	r8 = 2000
	slowly:
	r8 += -1
	if r8 != 0 goto slowly
	r7 += 1
	*(u64 *)(r6 + 8) = r7
	r1 = r6
	call 94
	out:
	r0 = 0
	exit`

// Programs on several CPUs that count under a lock, on every engine at once, lose nothing; nor does a process that updates under it.
func TestSpinLock(t *testing.T) {
	const workers, runs = 3, 1000
	m, err := vm.NewMachine(vm.Config{CPUs: workers})
	require.NoError(t, err)
	defer m.Close()
	counts := &maps.Spec{Name: "counts", Type: maps.Array, KeySize: 4, ValueSize: 24, MaxEntries: 1, LockOff: 0, TimerOff: -1,
		Fields: []btf.Field{{Kind: btf.SpinLock, Off: 0, Size: 4}},
		Value: &maps.Layout{Kind: maps.Struct, Size: 24, Fields: []maps.Field{
			{Name: "lock", Type: &maps.Layout{Kind: maps.Struct, Name: "bpf_spin_lock", Size: 4}}}}}
	insns, err := asm.Parse(count, asm.ParseOptions{Maps: func(string) (int32, bool) { return 0, true }})
	require.NoError(t, err)
	l, err := m.Link(&prog.Program{Name: "count", Type: prog.SchedCLS, Insns: insns, Maps: []*maps.Spec{counts}})
	require.NoError(t, err)
	array, err := m.AddMap(counts)
	require.NoError(t, err)
	var engines []vm.Engine
	for i := range workers {
		x, err := vm.NewInterpreter(m.CPU(i), l, vm.InterpOptions{})
		require.NoError(t, err)
		engines = append(engines, x)
	}
	if Available() {
		c, err := New(m)
		require.NoError(t, err)
		defer c.Close()
		for i := range 2 {
			engines[i], err = c.Sandbox(m.CPU(i), l)
			require.NoError(t, err)
		}
	}
	var wg sync.WaitGroup
	for i, engine := range engines {
		wg.Go(func() {
			buf, err := prog.NewBuffer(m.Space(), prog.SchedCLS, 8192)
			if err != nil {
				t.Error(err)
				return
			}
			for range runs {
				if err := buf.Set(make([]byte, 64), &prog.Input{}); err != nil {
					t.Error(err)
					return
				}
				if _, err := engine.Run(buf.Ctx()); err != nil {
					t.Errorf("CPU %d: %v", i, err)
					return
				}
			}
		})
	}
	// Meanwhile a process reads and writes under the lock: the counter by itself would be torn from what it was.
	wg.Go(func() {
		key := make([]byte, 4)
		for range 200 {
			if _, err := maps.HostOf(array).Lookup(key, maps.Lock); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	value, err := array.HostLookup(make([]byte, 4))
	require.NoError(t, err)
	require.Equal(t, uint64(workers*runs), binary.LittleEndian.Uint64(value[8:]))
	require.Zero(t, binary.LittleEndian.Uint32(value), "the lock is not for others")
}
