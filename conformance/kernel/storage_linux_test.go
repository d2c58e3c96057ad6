package kernel_test

import (
	"encoding/binary"
	"fmt"
	"os"
	"slices"
	"testing"

	"github.com/cilium/ebpf"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

// TestStorage runs programs on user ring buffers, storage and arrays of control groups, here on every engine and in the kernel, and
// compares what each call gave.
func TestStorage(t *testing.T) {
	for _, name := range []string{"drains", "stores", "asks"} {
		t.Run(name, func(t *testing.T) {
			want := kernelStorage(t, name)
			for _, engine := range []string{skep.EngineInterp, skep.EngineChecked, skep.EngineJIT} {
				require.Equal(t, want, ourStorage(t, name, engine), engine)
			}
			if name == "drains" {
				require.NotZero(t, slices.Max(want))
			}
		})
	}
}

const storageFile = "testdata/storage.o"

// userSamples are put into the ring buffer, the one at discarded as one to be skipped.
var userSamples = [][]byte{[]byte("first sample"), nil, []byte("four"), []byte("discarded"), []byte("longer than eight bytes")}

const discarded = 3

func kernelStorage(t *testing.T, name string) []int64 {
	t.Helper()
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	c, err := loadOne(t, storageFile, name)
	require.NoError(t, err)
	defer c.Close()
	if m := c.Maps["samples"]; m != nil {
		fillUserRing(t, m)
	}
	_, err = c.Programs[name].Run(&ebpf.RunOptions{Data: make([]byte, 64)})
	require.NoError(t, err)
	var out []int64
	for i := range uint32(64) {
		var v int64
		require.NoError(t, c.Maps["results"].Lookup(i, &v))
		out = append(out, v)
	}
	return out
}

// fillUserRing writes the samples as a process does: into the mapped pages, behind the consumer's and the producer's position.
func fillUserRing(t *testing.T, m *ebpf.Map) {
	page, size := os.Getpagesize(), int(m.MaxEntries())
	producer, err := unix.Mmap(m.FD(), int64(page), page+2*size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	require.NoError(t, err)
	defer unix.Munmap(producer)
	at := 0
	for i, s := range userSamples {
		length := uint32(len(s))
		if i == discarded {
			length |= maps.RingDiscard
		}
		binary.LittleEndian.PutUint32(producer[page+at:], length)
		copy(producer[page+at+maps.RingHeaderSize:], s)
		at += (len(s) + maps.RingHeaderSize + 7) &^ 7
	}
	binary.LittleEndian.PutUint64(producer, uint64(at))
}

func ourStorage(t *testing.T, name, engine string) []int64 {
	t.Helper()
	elf, err := os.ReadFile(storageFile)
	require.NoError(t, err)
	v, err := skep.OpenBytes(elf, storageFile, skep.Options{Engine: engine})
	require.NoError(t, err)
	defer v.Close()
	_, err = v.Verify(name)
	require.NoError(t, err)
	if name == "drains" {
		ring := v.Map("samples").(*maps.UserRing)
		for i, s := range userSamples {
			addr := ring.Reserve(uint64(len(s)))
			require.NotZero(t, addr)
			view, ok := v.Machine().Space().Bytes(addr, uint32(len(s)))
			require.True(t, ok)
			copy(view, s)
			require.NoError(t, ring.Commit(addr, i == discarded))
		}
	}
	_, err = v.Run(name, skep.Packet{Data: make([]byte, 64)})
	require.NoError(t, err)
	var out []int64
	for i := range uint32(64) {
		b, err := v.Map("results").HostLookup(binary.LittleEndian.AppendUint32(nil, i))
		require.NoError(t, err)
		out = append(out, int64(binary.LittleEndian.Uint64(b)))
	}
	return out
}

// TestStorageVerdicts compares what both verifiers say of programs that misuse such maps.
func TestStorageVerdicts(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skipf("needs the live kernel: %v", err)
	}
	obj, err := object.LoadFile(storageFile, object.Options{})
	require.NoError(t, err)
	refused := 0
	for _, p := range obj.Programs {
		c, theirs := loadOne(t, storageFile, p.Name)
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
	require.Equal(t, 3, refused)
}
