package kernel_test

import (
	"encoding/binary"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
)

// TestTimers runs programs that set timers, here on every engine and in the kernel, and compares what each call gave and what callbacks
// found.
func TestTimers(t *testing.T) {
	file := "testdata/timers.o"
	for _, name := range []string{"errors", "freed", "fires"} {
		t.Run(name, func(t *testing.T) {
			var want map[uint32]int64
			for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineJIT} {
				got := ourTimers(t, file, name, engine)
				if want == nil {
					want = kernelTimers(t, file, name)
				}
				for i := range uint32(64) {
					if got[i] != want[i] {
						t.Errorf("%s: result %d is %d, the kernel's %d", engine, i, got[i], want[i])
					}
				}
			}
		})
	}
}

// kernelTimers runs a program in the kernel, gives its timers time, and reads the results.
func kernelTimers(t *testing.T, file, name string) map[uint32]int64 {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	spec, err := ebpf.LoadCollectionSpec(file)
	require.NoError(t, err)
	c, err := ebpf.NewCollection(spec)
	require.NoError(t, err)
	defer c.Close()
	ret, err := c.Programs[name].Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	require.NoError(t, err)
	require.Zero(t, ret)
	time.Sleep(20 * time.Millisecond)
	out := map[uint32]int64{}
	for i := range uint32(64) {
		var v int64
		require.NoError(t, c.Maps["results"].Lookup(i, &v))
		out[i] = v
	}
	return out
}

func ourTimers(t *testing.T, file, name, engine string) map[uint32]int64 {
	t.Helper()
	elf, err := os.ReadFile(file)
	require.NoError(t, err)
	v, err := skep.OpenBytes(elf, file, skep.Options{Engine: engine})
	require.NoError(t, err)
	defer v.Close()
	packet := skep.Packet{Data: make([]byte, 64)}
	packet.Time = 1 << 30
	res, err := v.Run(name, packet)
	require.NoError(t, err)
	require.Zero(t, res.Ret)
	_, err = v.RunTimers(packet.Time + 20e6)
	require.NoError(t, err)
	out := map[uint32]int64{}
	for i := range uint32(64) {
		b, err := v.Map("results").HostLookup(binary.LittleEndian.AppendUint32(nil, i))
		require.NoError(t, err)
		out[i] = int64(binary.LittleEndian.Uint64(b))
	}
	return out
}
