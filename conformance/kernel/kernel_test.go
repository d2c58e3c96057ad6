package kernel_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// elem is a map element that a program needs before it does anything.
type elem struct {
	mapName    string
	key, value []byte
}

// setup makes a capture and maps interesting for an example; the others run on empty maps and the plain capture.
type setup struct {
	elems  func(packets [][]byte) []elem
	mutate func(packet []byte)
	passes int // over the capture; 0 is 1
}

var setups = map[string]setup{
	"maglev": {elems: maglevMaps},
	"ila":    {elems: ilaMaps, mutate: ilaPrefix},
	"qos":    {elems: qosMaps},
	"ddos":   {passes: 12}, // until sources go over their limit
}

func requireKernel(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
}

// samplePackets returns the frames of the sample capture that the kernel's test run takes.
func samplePackets(t *testing.T) [][]byte {
	r, err := pcap.NewReader(bytes.NewReader(traffic.Sample()), nil)
	require.NoError(t, err)
	var all [][]byte
	recs := make([]pcap.Record, 64)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			if data := r.Data(&recs[i]); kernel.Runs(data) {
				all = append(all, bytes.Clone(data))
			}
		}
		if err != nil || n == 0 {
			break
		}
	}
	require.Greater(t, len(all), 100)
	return all
}

// TestExamples loads every example object into the live kernel and compares verdict and packet with each engine.
func TestExamples(t *testing.T) {
	requireKernel(t)
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) {
			elf, err := examples.Open(name)
			require.NoError(t, err)
			compareObject(t, name, elf)
		})
	}
}

// TestRebuiltExamples is TestExamples on objects that the installed clang makes from the sources now.
func TestRebuiltExamples(t *testing.T) {
	requireKernel(t)
	clang, err := exec.LookPath("clang-19")
	if err != nil {
		t.Skip("needs clang-19")
	}
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) {
			out := filepath.Join(t.TempDir(), name+".o")
			cmd := exec.Command(clang, "-g", "-O2", "-target", "bpf", "-mcpu=v3", "-c", name+".bpf.c", "-o", out)
			cmd.Dir = "../../examples"
			msg, err := cmd.CombinedOutput()
			require.NoError(t, err, string(msg))
			elf, err := os.ReadFile(out)
			require.NoError(t, err)
			compareObject(t, name, elf)
		})
	}
}

func compareObject(t *testing.T, name string, elf []byte) {
	packets := samplePackets(t)
	s := setups[name]
	if s.mutate != nil {
		for _, p := range packets {
			s.mutate(p)
		}
	}
	packets = slices.Repeat(packets, max(s.passes, 1))
	var elems []elem
	if s.elems != nil {
		elems = s.elems(packets)
	}
	engines := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	for _, engine := range engines {
		t.Run(engine, func(t *testing.T) { compareEngine(t, name, elf, engine, packets, elems) })
	}
}

// compareEngine runs every program of the object over the packets, here and in the kernel.
func compareEngine(t *testing.T, name string, elf []byte, engine string, packets [][]byte, elems []elem) {
	pinCPU(t)
	clock := func() uint64 { return uint64(time.Now().UnixNano()) }
	v, err := skep.OpenBytes(elf, name, skep.Options{Engine: engine, Machine: vm.Config{Clock: clock}})
	require.NoError(t, err)
	defer v.Close()
	k, err := kernel.Load(elf)
	require.NoError(t, err)
	defer k.Close()
	for _, e := range elems {
		require.NoError(t, k.Update(e.mapName, e.key, e.value))
		require.NoError(t, v.Map(e.mapName).HostUpdate(e.key, e.value, 0))
	}
	changed, verdicts := 0, map[uint32]int{}
	for _, p := range v.Object().Programs {
		for i, packet := range packets {
			want, err := runKernel(k, p, packet)
			if tooShort(p.Type, packet) && errors.Is(err, syscall.EINVAL) {
				continue
			}
			require.NoError(t, err)
			got, err := v.Run(p.Name, skep.Packet{Data: packet})
			require.NoError(t, err)
			require.Equal(t, want.Ret, got.Ret, "%s, packet %d: verdict\n%x", p.Name, i, packet)
			require.Equal(t, want.Data, got.Data, "%s, packet %d: bytes", p.Name, i)
			verdicts[want.Ret]++
			if !bytes.Equal(want.Data, packet) {
				changed++
			}
		}
	}
	t.Logf("%d packets changed, verdicts %v", changed, verdicts)
}

// tooShort tells packets that the kernel's test run refuses for programs on sk_buffs: IP without a whole IP header.
func tooShort(t prog.Type, packet []byte) bool { return t != prog.XDP && len(packet) < 14+40 }

// runKernel test-runs p. The kernel shows a socket filter the packet from the network header on, where a live packet
// socket shows it from the MAC header: a second MAC header in front makes both see the same bytes.
func runKernel(k *kernel.Collection, p *prog.Program, packet []byte) (kernel.Result, error) {
	if p.Type != prog.SocketFilter {
		return k.Run(p.Name, packet)
	}
	res, err := k.Run(p.Name, slices.Concat(packet[:14], packet))
	if err == nil {
		res.Data = res.Data[14:]
	}
	return res, err
}

func u32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }

func u64s(vs ...uint64) (out []byte) {
	for _, v := range vs {
		out = binary.LittleEndian.AppendUint64(out, v)
	}
	return out
}

// ipv4 tells whether a frame is untagged IPv4 with at least 24 bytes of it: header and ports.
func ipv4(p []byte) bool { return len(p) >= 38 && p[12] == 8 && p[13] == 0 && p[14] == 0x45 }

// maglevMaps makes virtual addresses of the capture's first destinations and fills their tables with four backends.
func maglevMaps(packets [][]byte) []elem {
	var all []elem
	seen := map[string]bool{}
	for _, p := range packets {
		proto := byte(0)
		if ipv4(p) {
			proto = p[23]
		}
		if (proto != 6 && proto != 17) || len(seen) == 16 {
			continue
		}
		key := slices.Concat(p[30:34], p[36:38], []byte{proto, 0})
		if !seen[string(key)] {
			all = append(all, elem{"vips", key, slices.Concat(u32(uint32(len(seen))), u32(uint32(len(seen)&1)))})
			seen[string(key)] = true
		}
	}
	for i := range uint32(16 * 251) {
		all = append(all, elem{"table", u32(i), u32(i % 5)}) // backend 4 does not exist
	}
	for i := range uint32(4) {
		all = append(all, elem{"backends", u32(i), slices.Concat([]byte{10, 1, 0, byte(i + 1)}, make([]byte, 20))})
	}
	return all
}

var sirPrefix = []byte{0x20, 0x01, 0x0d, 0xb8, 0xde, 0xad, 0, 0}

// ilaPrefix moves IPv6 destinations into the prefix that the example translates.
func ilaPrefix(p []byte) {
	if len(p) >= 54 && p[12] == 0x86 && p[13] == 0xdd {
		copy(p[38:], sirPrefix)
	}
}

func ilaMaps(packets [][]byte) []elem {
	var all []elem
	seen := map[string]bool{}
	for _, p := range packets {
		if len(p) < 54 || p[12] != 0x86 || p[13] != 0xdd || seen[string(p[46:54])] || len(seen) == 1000 {
			continue
		}
		id := bytes.Clone(p[46:54])
		locator := []byte{0x20, 0x01, 0x0d, 0xb8, 0, byte(len(seen)), 0, 7}
		all = append(all, elem{"identifiers", id, slices.Concat(locator, u32(uint32(len(seen)%3)), u32(0), u64s(0))})
		seen[string(id)] = true
	}
	return all
}

// qosMaps gives buckets a burst and next to no rate, so that real time plays no part.
func qosMaps([][]byte) []elem {
	var all []elem
	for class := range uint32(8) {
		all = append(all, elem{"buckets", u32(class), u64s(1, uint64(3000+1000*class), uint64(3000+1000*class), 0, 0, 0)})
	}
	return all
}

// TestRejects shows that the comparison can fail: the kernel refuses what it should.
func TestRejects(t *testing.T) {
	requireKernel(t)
	_, err := kernel.Load([]byte("\x7fELF"))
	require.Error(t, err)
	elf, err := examples.Open(examples.Names()[0])
	require.NoError(t, err)
	k, err := kernel.Load(elf)
	require.NoError(t, err)
	defer k.Close()
	_, err = k.Run("none", make([]byte, 64))
	require.ErrorIs(t, err, kernel.ErrNoProgram, fmt.Sprint(err))
}
