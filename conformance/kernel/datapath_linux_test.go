package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// theirs is the live kernel as a player of a datapath.
type theirs struct {
	k     *kernel.Collection
	types map[string]prog.Type
}

// skbCtx is struct __sk_buff with what Ours has in it.
func skbCtx() []byte {
	ctx := make([]byte, 192)
	binary.LittleEndian.PutUint32(ctx[8:], conformance.SKBMark)
	binary.LittleEndian.PutUint32(ctx[32:], conformance.SKBPriority)
	return ctx
}

func (k *theirs) Run(s conformance.Step) (m conformance.Moment, refused bool, err error) {
	if t := k.types[s.Program]; t == prog.XDP {
		res, err := k.k.Run(s.Program, s.Data)
		if errors.Is(err, syscall.EINVAL) && len(s.Data) < 14 {
			return m, true, nil
		}
		return conformance.Moment{Ret: res.Ret, Data: res.Data}, false, err
	}
	res, ctx, err := k.k.CtxRun(s.Program, s.Data, skbCtx())
	if errors.Is(err, syscall.EINVAL) && tooShort(prog.SchedCLS, s.Data) {
		return m, true, nil
	}
	m = conformance.Moment{Ret: res.Ret, Data: res.Data}
	m.SKB[0], m.SKB[1] = binary.LittleEndian.Uint32(ctx[8:]), binary.LittleEndian.Uint32(ctx[32:])
	for i := range 5 {
		m.SKB[2+i] = binary.LittleEndian.Uint32(ctx[48+4*i:])
	}
	return m, false, err
}

// TestDatapaths: the larger programs do on each engine what they do in the kernel, packet by packet, and leave the same in all maps.
func TestDatapaths(t *testing.T) {
	requireKernel(t)
	engines := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	for _, d := range conformance.Datapaths() {
		for _, engine := range engines {
			t.Run(d.Name+"/"+engine, func(t *testing.T) { compareDatapath(t, d, engine) })
		}
	}
}

func compareDatapath(t *testing.T, d *conformance.Datapath, engine string) {
	pinCPU(t)
	ours, err := conformance.OpenDatapath(d, skep.Options{Engine: engine, Machine: vm.Config{Clock: bootNS}})
	require.NoError(t, err)
	defer ours.VM.Close()
	elf, err := d.Object()
	require.NoError(t, err)
	k, err := kernel.Load(elf)
	require.NoError(t, err)
	defer k.Close()
	them := &theirs{k, map[string]prog.Type{}}
	for _, p := range ours.VM.Object().Programs {
		them.types[p.Name] = p.Type
	}
	for _, spec := range ours.VM.Object().Maps {
		copyMap(t, k, ours.VM.Map(spec.Name))
	}
	verdicts, changed := map[string]int{}, 0
	// The kernel first: what it refuses is not run here either.
	err = d.Play([]conformance.Player{them, ours}, func(s conformance.Step, left []conformance.Moment) error {
		want, got := left[0], left[1]
		if want.Ret != got.Ret || string(want.Data) != string(got.Data) || want.SKB != got.SKB {
			return fmt.Errorf("%s over %x\nkernel %d %x\n%x\n  skep %d %x\n%x", s.Program, s.Data, want.Ret, want.SKB, want.Data, got.Ret, got.SKB, got.Data)
		}
		verdicts[fmt.Sprintf("%s %d", s.Program, want.Ret)]++
		if string(want.Data) != string(s.Data) {
			changed++
		}
		return nil
	})
	require.NoError(t, err)
	for _, spec := range ours.VM.Object().Maps {
		compareMap(t, k, ours.VM.Map(spec.Name))
	}
	t.Logf("%d packets changed, verdicts %v", changed, verdicts)
}

// bootNS is the clock of bpf_ktime_get_ns.
func bootNS() uint64 {
	var now unix.Timespec
	if unix.ClockGettime(unix.CLOCK_MONOTONIC, &now) != nil {
		return 0
	}
	return uint64(now.Nano())
}

// refers tells maps whose values are numbers of programs and maps.
func refers(m maps.Map) bool {
	r := m.Spec().Type.Row()
	return r.MapInMap || m.Spec().Type == maps.ProgArray
}

// copyMap gives the kernel's map what ours has.
func copyMap(t *testing.T, k *kernel.Collection, m maps.Map) {
	if refers(m) || m.Spec().Frozen || m.Spec().Type.Row().PerCPU {
		return
	}
	for key, value := range m.All() {
		require.NoError(t, k.Update(m.Spec().Name, key, value), m.Spec().Name)
	}
}

// compareMap compares a map's elements, or records, with the kernel's.
func compareMap(t *testing.T, k *kernel.Collection, m maps.Map) {
	name := m.Spec().Name
	if ring, ok := m.(*maps.Ring); ok {
		want, err := k.Records(name)
		require.NoError(t, err)
		var got [][]byte
		for record := range ring.Read() {
			got = append(got, append([]byte(nil), record...))
		}
		require.Equal(t, want, got, name)
		t.Logf("%s: %d records", name, len(got))
		return
	}
	if refers(m) {
		return
	}
	want, err := k.Contents(name, thisCPU(t))
	require.NoError(t, err)
	got := map[string]string{}
	for key, value := range m.All() {
		got[string(key)] = string(value[:m.Spec().ValueSize])
	}
	require.Equal(t, len(want), len(got), "%s: number of elements", name)
	for key, value := range want {
		require.Equal(t, []byte(value)[:m.Spec().ValueSize], []byte(got[key]), "%s: key %x", name, key)
	}
	t.Logf("%s: %d elements", name, len(got))
}

// thisCPU is the CPU that the test was pinned to.
func thisCPU(t *testing.T) int {
	var set unix.CPUSet
	require.NoError(t, unix.SchedGetaffinity(0, &set))
	require.Equal(t, 1, set.Count())
	cpu := 0
	for !set.IsSet(cpu) {
		cpu++
	}
	return cpu
}
