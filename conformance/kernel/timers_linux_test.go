package kernel_test

import (
	"encoding/binary"
	"fmt"
	"maps"
	"os"
	"testing"
	"time"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

// TestTimers runs programs that set timers, here on every engine and in the kernel, and compares what each call gave and what callbacks
// found.
func TestTimers(t *testing.T) {
	file := "testdata/timers.o"
	for _, name := range []string{"errors", "freed", "fires", "work"} {
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

// TestTimersVerdicts compares what both verifiers say of programs that misuse timers and work queues.
func TestTimersVerdicts(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	obj, err := object.LoadFile("testdata/timers.o", object.Options{})
	require.NoError(t, err)
	refused := 0
	for _, p := range obj.Programs {
		c, theirs := loadOne(t, "testdata/timers.o", p.Name)
		if theirs == nil {
			c.Close()
		}
		_, ours := verifier.Verify(p, verifier.Options{})
		if (ours == nil) != (theirs == nil) {
			t.Errorf("%s: we say %v, the kernel %v", p.Name, ours, theirs)
			continue
		}
		if ours == nil {
			continue
		}
		refused++
		var e *verifier.Error
		require.ErrorAs(t, ours, &e)
		require.Contains(t, fmt.Sprintf("%+v", theirs), e.Kernel, p.Name)
	}
	require.Equal(t, 6, refused)
}

// loadOne loads one program of an object into the kernel, with the object's maps.
func loadOne(t *testing.T, file, name string) (*ebpf.Collection, error) {
	t.Helper()
	spec, err := ebpf.LoadCollectionSpec(file)
	require.NoError(t, err)
	maps.DeleteFunc(spec.Programs, func(other string, _ *ebpf.ProgramSpec) bool { return other != name })
	return ebpf.NewCollection(spec)
}

// kernelTimers runs a program in the kernel, gives its timers time, and reads the results.
func kernelTimers(t *testing.T, file, name string) map[uint32]int64 {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	c, err := loadOne(t, file, name)
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
