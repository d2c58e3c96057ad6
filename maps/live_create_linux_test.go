//go:build amd64 || arm64

package maps

import (
	"fmt"
	"testing"

	"github.com/skepvm/skep/mem"
	"golang.org/x/sys/unix"
)

// What of creation is compared. Larger maps would only measure how much memory there is.
var (
	createSizes   = []uint32{0, 1, 2, 3, 4, 5, 7, 8, 12, 16, 20, 257, 260, 261, 512, 513, 1016, 1024, 32768, 32769}
	createEntries = []uint32{0, 1, 2, 3, 16, 4095, 4096, 8192, 12288}
	createFlags   = []uint32{0, NoPrealloc, NoCommonLRU, NUMANode, ReadOnly, WriteOnly, StackBuildID, ZeroSeed, ReadOnlyProg,
		WriteOnlyProg, Clone, Mmapable, PreserveElems, InnerMap, 1 << 13, 1 << 17, 1 << 18, 1 << 19, 1 << 31,
		NoPrealloc | NoCommonLRU, NoPrealloc | Clone, NoPrealloc | ReadOnly, NoPrealloc | ReadOnlyProg, NoPrealloc | ReadOnlyProg | WriteOnlyProg,
		NoPrealloc | ReadOnly | WriteOnly, ReadOnly | WriteOnly, ReadOnlyProg | WriteOnlyProg, NoPrealloc | NUMANode, NoPrealloc | ZeroSeed,
		Mmapable | InnerMap, NUMANode | ReadOnly, NoPrealloc | Mmapable, Mmapable | ReadOnly}
)

// Every type, with key size, value size, max_entries and flags varied by themselves around a map that can be made, and in pairs: the
// kernel's error number is ours.
func TestLiveCreate(t *testing.T) {
	needLiveKernel(t)
	inner, errno := kernelCreate(&Spec{Type: Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}, 0)
	if errno != 0 {
		t.Fatal(errno)
	}
	t.Cleanup(func() { _ = unix.Close(inner) })
	s := newSpace(t)
	for i := range Types {
		row := Type(i).Row()
		if !row.Implemented() {
			continue
		}
		t.Run(row.Short, func(t *testing.T) {
			t.Parallel()
			base := plainSpec(Type(i))
			if fd, errno := kernelCreate(base, innerOf(base, inner)); errno != 0 {
				t.Fatalf("the kernel does not make %+v: %v", base, errno)
			} else {
				_ = unix.Close(fd)
			}
			specs := variants(base)
			bad := 0
			for _, spec := range specs {
				if bad += compareCreate(t, s, spec, innerOf(spec, inner)); bad > 20 {
					t.Fatal("and so on")
				}
			}
		})
	}
}

func innerOf(s *Spec, fd int) int {
	if s.Type.Row().MapInMap {
		return fd
	}
	return 0
}

// variants are copies of base with two of its properties changed, in all ways.
func variants(base *Spec) []*Spec {
	axes := []func(yield func(*Spec)){
		func(yield func(*Spec)) {
			for _, n := range createSizes {
				s := *base
				s.KeySize = n
				yield(&s)
			}
		},
		func(yield func(*Spec)) {
			for _, n := range createSizes {
				s := *base
				s.ValueSize = n
				yield(&s)
			}
		},
		func(yield func(*Spec)) {
			for _, n := range createEntries {
				if n == 0 && base.Type == PerfEventArray || n > 16 && base.Type == CPUMap {
					continue // 0 is what a loader replaces; how many CPUs there may be, each kernel has its own idea
				}
				s := *base
				s.MaxEntries = n
				yield(&s)
			}
		},
		func(yield func(*Spec)) {
			for _, f := range createFlags {
				s := *base
				s.Flags = f
				yield(&s)
			}
		},
		func(yield func(*Spec)) {
			for _, x := range []uint64{0, 1, 15, 16, 1 << 40, 1<<32 - 4096, 1<<32 - 1<<16, 1 << 44} {
				s := *base
				s.Extra = x
				yield(&s)
			}
		},
	}
	var all []*Spec
	seen := map[string]bool{}
	add := func(s *Spec) {
		if key := fmt.Sprint(s.KeySize, s.ValueSize, s.MaxEntries, s.Flags, s.Extra); !seen[key] {
			seen[key] = true
			all = append(all, s)
		}
	}
	first := base
	for i := range axes {
		base = first
		axes[i](func(s *Spec) {
			for j := i + 1; j < len(axes); j++ {
				base = s
				axes[j](add)
			}
			base = first
		})
	}
	return all
}

func compareCreate(t *testing.T, space *mem.Space, spec *Spec, inner int) (bad int) {
	if uint64(spec.KeySize+spec.ValueSize)*uint64(spec.MaxEntries) > 1<<20 {
		return 0 // says nothing that fewer bytes do not, and takes long
	}
	fd, want := kernelCreate(spec, inner)
	if want == 0 {
		_ = unix.Close(fd)
	}
	m, err := New(space, spec, Options{CPUs: 2})
	if err == nil {
		m.Close()
	}
	if got := ErrnoOf(err); got != want && want != ENOMEM {
		t.Errorf("%s key %d value %d max %d flags %#x extra %#x: the kernel has %s, we %s (%v)", spec.Type, spec.KeySize, spec.ValueSize,
			spec.MaxEntries, spec.Flags, spec.Extra, errnoName(want), errnoName(got), err)
		return 1
	}
	return 0
}
