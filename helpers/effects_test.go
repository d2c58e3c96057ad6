//go:build amd64 || arm64

package helpers

import (
	"encoding/binary"
	"reflect"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

func callHelper(t *testing.T, e *Env, name string, args ...uint64) int64 {
	t.Helper()
	row, _ := ByName(name)
	var r [5]uint64
	copy(r[:], args)
	r0, err := row.Fn(e, r[0], r[1], r[2], r[3], r[4])
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return int64(r0)
}

// TestEffects sees what programs ask for, and what they may not.
func TestEffects(t *testing.T) {
	b := newTestbed(t, prog.SchedCLS)
	var got []Effect
	b.e.Effect = func(f Effect) {
		f.Data = append([]byte(nil), f.Data...)
		got = append(got, f)
	}
	if r := callHelper(t, b.e, "bpf_send_signal", 9); r != -1 {
		t.Errorf("a signal for nobody: %d", r)
	}
	b.e.Task = &Task{TGID: 1}
	if r := callHelper(t, b.e, "bpf_send_signal", 9); r != -1 {
		t.Errorf("a signal for the first process: %d", r)
	}
	b.e.Task = &Task{TGID: 7}
	for _, sig := range []uint64{0, 9, 65} {
		callHelper(t, b.e, "bpf_send_signal_thread", sig)
	}
	callHelper(t, b.e, "bpf_override_return", uint64(b.e.Ctx), ^uint64(11))
	hop := b.e.bytes(b.stack, 20)
	binary.LittleEndian.PutUint32(hop, 2)
	copy(hop[4:], []byte{10, 0, 0, 1})
	for _, size := range []uint64{20, 0, 19} {
		callHelper(t, b.e, "bpf_redirect_neigh", 5, uint64(b.stack), size, 0)
	}
	binary.LittleEndian.PutUint32(hop, 10)
	callHelper(t, b.e, "bpf_redirect_neigh", 6, uint64(b.stack), 20, 0)
	want := []Effect{{Helper: "bpf_send_signal_thread", Value: 9}, {Helper: "bpf_override_return", Value: ^uint64(11)},
		{Helper: "bpf_redirect_neigh", Value: 5, Data: []byte{10, 0, 0, 1}},
		{Helper: "bpf_redirect_neigh", Value: 6, Data: append([]byte{10, 0, 0, 1}, make([]byte, 12)...)}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %v\nwant %v", got, want)
	}
}

// TestCounters reads described counters and others.
func TestCounters(t *testing.T) {
	b := newTestbed(t, prog.XDP)
	m, err := maps.New(b.e.Space, &maps.Spec{Name: "m", Type: maps.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 3}, maps.Options{})
	if err != nil {
		t.Fatal(err)
	}
	b.e.Maps.Add(m)
	b.e.CPU = 1
	b.e.Counter = func(of maps.Map, index uint32) (Counter, bool) {
		return Counter{Value: 100 + uint64(index), Enabled: 7, Running: 5}, of == m && index != 2
	}
	const current = 1<<32 - 1
	for flags, want := range map[uint64]int64{0: 100, current: 101, 2: -2, 3: -7, 1 << 32: -22} {
		if got := callHelper(t, b.e, "bpf_perf_event_read", uint64(m.Handle()), flags); got != want {
			t.Errorf("flags %#x: %d, want %d", flags, got, want)
		}
		buf := b.e.bytes(b.stack, 24)
		buf[3] = 9
		got, words := callHelper(t, b.e, "bpf_perf_event_read_value", uint64(m.Handle()), flags, uint64(b.stack), 24), [3]uint64{}
		if want >= 0 {
			words, want = [3]uint64{uint64(want), 7, 5}, 0
		}
		for i, w := range words {
			if binary.LittleEndian.Uint64(buf[8*i:]) != w {
				t.Errorf("flags %#x: % x, want %v", flags, buf, words)
			}
		}
		if got != want {
			t.Errorf("flags %#x: %d, want %d", flags, got, want)
		}
	}
	if got := callHelper(t, b.e, "bpf_perf_event_read_value", uint64(m.Handle()), 0, uint64(b.stack), 16); got != -22 {
		t.Errorf("16 bytes: %d", got)
	}
	b.e.Counter = nil
	if got := callHelper(t, b.e, "bpf_perf_event_read", uint64(m.Handle()), 0); got != -2 {
		t.Errorf("without counters: %d", got)
	}
}

// TestPidNamespace is for a task that is in one.
func TestPidNamespace(t *testing.T) {
	b := newTestbed(t, prog.XDP)
	b.e.Task = &Task{PID: 70, TGID: 60, NSDev: 4, NSIno: 4026531836, NSPID: 7, NSTGID: 6}
	if got := callHelper(t, b.e, "bpf_get_ns_current_pid_tgid", 4, 4026531836, uint64(b.stack), 8); got != 0 {
		t.Errorf("%d", got)
	}
	if got := b.e.Space.Load64(b.stack); got != 7|6<<32 {
		t.Errorf("%#x", got)
	}
}
