package vm_test

import (
	"encoding/binary"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// ticking is a machine with a program that sets the timer of element 0 for 100 ns, whose callback counts in the value and sets it again.
func ticking(t *testing.T, again bool) (*vm.Machine, vm.Engine, maps.Map) {
	t.Helper()
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Size: 1 << 22}, Clock: nil})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	spec := &maps.Spec{Name: "t", Type: maps.Array, KeySize: 4, ValueSize: 24, MaxEntries: 1, LockOff: -1, TimerOff: 8,
		Fields: []btf.Field{{Kind: btf.Timer, Off: 8, Size: 16}}}
	restart := "r1 = r3\n r1 += 8\n r2 = 100\n r3 = 0\n call bpf_timer_start\n"
	if !again {
		restart = ""
	}
	insns, err := asm.Parse(`
		*(u32 *)(r10 - 4) = 0
		r1 = map[t]
		r2 = r10
		r2 += -4
		call bpf_map_lookup_elem
		if r0 == 0 goto out
		r6 = r0
		r6 += 8
		r1 = r6
		r2 = map[t]
		r3 = 1
		call bpf_timer_init
		r1 = r6
		r2 = func tick
		call bpf_timer_set_callback
		r1 = r6
		r2 = 100
		r3 = 0
		call bpf_timer_start
	out:
		exit
	tick:
		r0 = *(u64 *)(r3 + 0)
		r0 += 1
		*(u64 *)(r3 + 0) = r0
		`+restart+`
		r0 = 0
		exit`, asm.ParseOptions{Helpers: helpers.ID, Maps: func(string) (int32, bool) { return 0, true }})
	require.NoError(t, err)
	l, err := m.Link(&prog.Program{Name: "p", Type: prog.XDP, License: "GPL", Insns: insns, Maps: []*maps.Spec{spec}})
	require.NoError(t, err)
	x, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{})
	require.NoError(t, err)
	return m, x, m.Maps().ByName("t")
}

func ticks(t *testing.T, m maps.Map) uint64 {
	t.Helper()
	b, err := m.HostLookup(make([]byte, 4))
	require.NoError(t, err)
	return binary.LittleEndian.Uint64(b)
}

func runOnce(t *testing.T, m *vm.Machine, x vm.Engine) {
	t.Helper()
	buf, err := prog.NewBuffer(m.Space(), prog.XDP, 0)
	require.NoError(t, err)
	require.NoError(t, buf.Set(make([]byte, 64), &prog.Input{}))
	_, err = x.Run(buf.Ctx())
	require.NoError(t, err)
}

// TestTimersAreReset: a snapshot has the timers that are set, and a machine that is reset fires them again.
func TestTimersAreReset(t *testing.T) {
	m, x, values := ticking(t, true)
	require.True(t, m.UsesTimers())
	clean := m.Snapshot()
	runOnce(t, m, x)
	armed := m.Snapshot()
	for range 3 {
		at, ok := m.CPU(0).NextTimer()
		require.True(t, ok)
		require.Equal(t, uint64(100), at)
		ran, err := m.CPU(0).RunTimers(450)
		require.NoError(t, err)
		require.Equal(t, 4, ran)
		require.Equal(t, uint64(4), ticks(t, values))
		require.NoError(t, m.Reset(armed, nil))
		require.Zero(t, ticks(t, values))
	}
	require.NoError(t, m.Reset(clean, nil))
	_, ok := m.CPU(0).NextTimer()
	require.False(t, ok)
	ran, err := m.CPU(0).RunTimers(1000)
	require.NoError(t, err)
	require.Zero(t, ran)
}

// TestTimersOfMapState: maps that are restored have the timers that were set then, and no others; what else the machine has goes on.
func TestTimersOfMapState(t *testing.T) {
	m, x, values := ticking(t, true)
	clean := m.SaveMaps()
	runOnce(t, m, x)
	armed := m.SaveMaps()
	cpu := m.CPU(0)
	for range 3 {
		ran, err := cpu.RunTimers(450)
		require.NoError(t, err)
		require.Equal(t, 4, ran)
		require.Equal(t, uint64(4), ticks(t, values))
		m.RestoreMaps(armed)
		require.Zero(t, ticks(t, values))
	}
	m.RestoreMaps(clean)
	_, ok := cpu.NextTimer()
	require.False(t, ok)
	runOnce(t, m, x)
	_, ok = cpu.NextTimer()
	require.True(t, ok, "it can be set again")
}

// TestTimerGoesWithItsElement: an update from outside takes the timer along, and the element can have another.
func TestTimerGoesWithItsElement(t *testing.T) {
	m, x, values := ticking(t, false)
	runOnce(t, m, x)
	require.NoError(t, values.HostUpdate(make([]byte, 4), make([]byte, 24), maps.Any))
	ran, err := m.CPU(0).RunTimers(1000)
	require.NoError(t, err)
	require.Zero(t, ran)
	runOnce(t, m, x)
	values.Clear()
	_, ok := m.CPU(0).NextTimer()
	require.False(t, ok)
	runOnce(t, m, x)
	ran, err = m.CPU(0).RunTimers(1000)
	require.NoError(t, err)
	require.Equal(t, 1, ran)
}
