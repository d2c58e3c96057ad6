package kernel_test

import (
	"encoding/binary"
	"errors"
	"fmt"
	mapkeys "maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/cilium/ebpf"
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

// TestLarge: the kernel takes the large program of bench, too, and does the same with packets and rules.
func TestLarge(t *testing.T) {
	requireKernel(t)
	elf, err := os.ReadFile("../../bench/large/firewall.bpf.o")
	require.NoError(t, err)
	k, err := kernel.Load(elf)
	require.NoError(t, err)
	defer k.Close()
	v, err := skep.OpenBytes(elf, "firewall", skep.Options{})
	require.NoError(t, err)
	defer v.Close()
	rules := v.Map("rules")
	for i, rule := range []map[string]any{
		{"family": 6, "sport_to": 65535, "dport_to": 65535},
		{"family": 4, "proto": 17, "sport_to": 65535, "dport_from": 53, "dport_to": 53, "verdict": 1},
		{"family": 4, "proto": 6, "sport_to": 65535, "dport_to": 1023, "flags": 2, "flags_mask": 18, "verdict": 3},
	} {
		value, err := maps.EncodeValue(rules.Spec(), rule)
		require.NoError(t, err)
		key := u32(uint32(i) * 50)
		require.NoError(t, rules.HostUpdate(key, value, maps.Any))
		require.NoError(t, k.Update("rules", key, value))
	}
	pinCPU(t)
	verdicts := map[uint32]int{}
	for _, packet := range samplePackets(t) {
		want, err := k.Run("firewall", packet)
		require.NoError(t, err)
		got, err := v.Run("", skep.Packet{Data: packet})
		require.NoError(t, err)
		require.Equal(t, want.Ret, got.Ret, "%x", packet)
		verdicts[want.Ret]++
	}
	require.Len(t, verdicts, 3)
	compareMap(t, k, rules)
}

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
	if k.types[s.Program] == prog.CgroupSKB && err == nil {
		res.Data = res.Data[14:] // in front of the IP packet are zeros
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
	playDatapaths(t, conformance.Datapaths())
}

// TestReferees: the referee's programs of every helper and map type do on each engine what they do in the kernel.
func TestReferees(t *testing.T) {
	requireKernel(t)
	all, err := conformance.Referees()
	require.NoError(t, err)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	require.NoError(t, err)
	defer listener.Close()
	for _, d := range all {
		d.Listener = netip.MustParseAddrPort(listener.Addr().String())
	}
	playDatapaths(t, all)
}

func playDatapaths(t *testing.T, all []*conformance.Datapath) {
	engines := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	for _, d := range all {
		for _, engine := range engines {
			t.Run(d.Name+"/"+engine, func(t *testing.T) { compareDatapath(t, d, engine) })
		}
	}
}

func compareDatapath(t *testing.T, d *conformance.Datapath, engine string) {
	pinCPU(t)
	events := map[string][][]byte{}
	note := func(m maps.Map, _ int, data []byte) {
		events[m.Spec().Name] = append(events[m.Spec().Name], slices.Clone(data))
	}
	ours, err := conformance.OpenDatapath(d, skep.Options{Engine: engine, Machine: vm.Config{Clock: bootNS, Event: note}})
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
	readers := map[string]*kernel.Events{}
	for _, spec := range ours.VM.Object().Maps {
		if spec.Type == maps.PerfEventArray {
			r, err := k.Events(spec.Name)
			require.NoError(t, err)
			defer r.Close()
			readers[spec.Name] = r
			continue
		}
		copyMap(t, k, ours.VM.Map(spec.Name))
	}
	verdicts, changed := map[string]int{}, 0
	wrong := newDifferences(k, ours)
	// The kernel first: what it refuses is not run here either.
	err = d.Play([]conformance.Player{them, ours}, func(s conformance.Step, left []conformance.Moment) error {
		want, got := left[0], left[1]
		if want.Ret != got.Ret || string(want.Data) != string(got.Data) || want.SKB != got.SKB {
			wrong.add(s.Program+" leaves something else", fmt.Sprintf("over %x\nkernel %d %x\n%x\n  skep %d %x\n%x", s.Data, want.Ret,
				want.SKB, want.Data, got.Ret, got.SKB, got.Data))
		}
		wrong.results(s)
		verdicts[fmt.Sprintf("%s %d", s.Program, want.Ret)]++
		if string(want.Data) != string(s.Data) {
			changed++
		}
		return nil
	})
	require.NoError(t, err)
	if wrong.report(t) {
		return
	}
	for _, spec := range ours.VM.Object().Maps {
		compareMap(t, k, ours.VM.Map(spec.Name))
	}
	for name, r := range readers {
		want, err := r.Take()
		require.NoError(t, err)
		require.NotEmpty(t, want, name)
		for i := range want {
			require.Less(t, i, len(events[name]), name)
			// The kernel fills records up to a multiple of 8.
			require.Equal(t, want[i][:len(events[name][i])], events[name][i], "%s: record %d", name, i)
			require.Less(t, len(want[i])-len(events[name][i]), 8)
		}
	}
	t.Logf("%d packets changed, verdicts %v", changed, verdicts)
}

// differences are what was not as in the kernel, the first of each sort.
type differences struct {
	k     *kernel.Collection
	ours  maps.Map // the referee's results; nil for other programs
	first map[string]string
}

func newDifferences(k *kernel.Collection, ours *conformance.Ours) *differences {
	return &differences{k, ours.VM.Map("results"), map[string]string{}}
}

func (d *differences) add(what, how string) {
	if _, ok := d.first[what]; !ok {
		d.first[what] = how
	}
}

// results compares what a step put into the map of results, and says what the calls of helpers gave. Ours becomes what the
// kernel's is, so that each difference is seen once.
func (d *differences) results(s conformance.Step) {
	if d.ours == nil {
		return
	}
	for key, ours := range d.ours.All() {
		theirs, err := d.k.Lookup("results", key)
		if err != nil || string(theirs) == string(ours) {
			continue
		}
		d.add(fmt.Sprintf("%s: result %d", s.Program, binary.LittleEndian.Uint32(key)),
			fmt.Sprintf("off by %d over %x", int64(binary.LittleEndian.Uint64(ours)-binary.LittleEndian.Uint64(theirs)), s.Data))
		if err := d.ours.HostUpdate(key, theirs, maps.Any); err != nil {
			panic(err) // the key is of the map itself
		}
	}
}

func (d *differences) report(t *testing.T) bool {
	for _, what := range slices.Sorted(mapkeys.Keys(d.first)) {
		t.Errorf("%s %s", what, d.first[what])
	}
	return len(d.first) > 0
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
	switch {
	case refers(m) || m.Spec().Type == maps.PerfEventArray:
		return
	case m.Spec().Type == maps.CgroupStorage || m.Spec().Type == maps.PerCPUCgroupStorage:
		return // the kernel's goes with the test run
	}
	if m.Spec().Type.Row().ByPop {
		comparePops(t, k, m.(maps.Pusher))
		return
	}
	want, err := k.Contents(name, thisCPU(t))
	if errors.Is(err, ebpf.ErrNotSupported) || errors.Is(err, syscall.EOPNOTSUPP) || errors.Is(err, syscall.ENOSPC) {
		return // its elements cannot be listed
	}
	require.NoError(t, err, name)
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

func comparePops(t *testing.T, k *kernel.Collection, m maps.Pusher) {
	want, err := k.Pops(m.Spec().Name)
	require.NoError(t, err)
	require.Equal(t, len(want), m.Len(), m.Spec().Name)
	for i := range want {
		value := make([]byte, m.Spec().ValueSize)
		require.NoError(t, m.Pop(value))
		require.Equal(t, want[i], value, "%s: element %d", m.Spec().Name, i)
	}
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
