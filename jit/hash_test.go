package jit

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// lookupProgram looks the first size bytes of the packet up and returns the first 8 bytes of the value, or -1.
func lookupProgram(size int) string {
	var b strings.Builder
	fmt.Fprintf(&b, "r2 = *(u32 *)(r1 + 0)\nr3 = *(u32 *)(r1 + 4)\nr0 = -2\nr4 = r2\nr4 += %d\nif r4 > r3 goto out\n", size)
	for i := range size {
		fmt.Fprintf(&b, "r5 = *(u8 *)(r2 + %d)\n*(u8 *)(r10 - %d) = r5\n", i, size-i)
	}
	fmt.Fprintf(&b, "r2 = r10\nr2 += -%d\nr1 = map[0]\ncall 1\nif r0 == 0 goto none\nr0 = *(u64 *)(r0 + 0)\nout:\nexit\nnone:\nr0 = -1\nexit", size)
	return b.String()
}

// lookups is a verified program that looks keys up in one map, as machine code.
type lookups struct {
	m     maps.Map
	jit   *engine
	buf   *prog.Buffer
	asked int // how often machine code asked Go
}

func newLookups(t testing.TB, typ maps.Type, key, entries uint32, cpus int) *lookups {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	spec := &maps.Spec{Name: "keys", Type: typ, KeySize: key, ValueSize: 8, MaxEntries: entries, LockOff: -1, TimerOff: -1}
	insns := parse(t, lookupProgram(int(key)))
	p := &prog.Program{Name: "lookup", Type: prog.XDP, License: "GPL", Insns: insns, Maps: []*maps.Spec{spec},
		Funcs: []prog.Func{{Name: "lookup", End: len(insns)}}}
	v, err := verifier.Verify(p, verifier.Options{})
	require.NoError(t, err)
	m, err := vm.NewMachine(vm.Config{CPUs: cpus})
	require.NoError(t, err)
	t.Cleanup(func() { m.Close() })
	c, err := New(m)
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	e, err := c.Compile(m.CPU(cpus-1), v)
	require.NoError(t, err)
	l := &lookups{m: m.Maps().ByName("keys"), jit: e.(*engine)}
	for i, exit := range l.jit.program.exits {
		if fn := exit.fn; fn != nil {
			l.jit.program.exits[i].fn = func(env *helpers.Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
				l.asked++
				return fn(env, r1, r2, r3, r4, r5)
			}
		}
	}
	l.buf, err = prog.NewBuffer(m.Space(), prog.XDP, 0)
	require.NoError(t, err)
	return l
}

func (l *lookups) find(t testing.TB, key []byte) int64 {
	require.NoError(t, l.buf.Set(key, &prog.Input{}))
	res, err := l.jit.Run(l.buf.Ctx())
	require.NoError(t, err)
	return int64(res.R0)
}

// TestHashLookup holds lookups in machine code against the map's own, while keys come and go.
func TestHashLookup(t *testing.T) {
	for _, typ := range []maps.Type{maps.Hash, maps.PerCPUHash, maps.LRUHash, maps.LRUPerCPUHash} {
		for key := uint32(1); key <= maxInlineKey+1; key++ {
			t.Run(fmt.Sprintf("%s/%d", typ, key), func(t *testing.T) {
				checkLookups(t, newLookups(t, typ, key, 50, 2), int(key))
			})
		}
	}
}

func checkLookups(t *testing.T, l *lookups, size int) {
	r := rand.New(rand.NewPCG(uint64(size), 1))
	key := func() []byte { // one of 150, which differ in one place
		b := make([]byte, size)
		b[r.IntN(min(size, 3))*(size-1)/2] = byte(1 + r.IntN(75))
		return b
	}
	const rounds = 400
	hits := 0
	for i := range rounds {
		k := key()
		switch r.IntN(4) {
		case 0:
			_ = l.m.Delete(k)
		default:
			value := make([]byte, l.m.Spec().HostValueSize(2))
			binary.LittleEndian.PutUint64(value[len(value)-8:], uint64(i))
			_ = l.m.HostUpdate(k, value, 0) // may be full
		}
		k = key()
		want := int64(-1)
		if value, err := l.m.HostLookup(k); err == nil {
			want = int64(binary.LittleEndian.Uint64(value[len(value)-8:]))
			hits++
		}
		require.Equal(t, want, l.find(t, k), "%x", k)
	}
	require.NotZero(t, hits)
	if keyWords(uint32(size)) != nil {
		require.Less(t, l.asked, rounds/10, "lookups that were not done in machine code")
	} else {
		require.Equal(t, rounds, l.asked)
	}
}

// TestHashLookupMarks shows that a lookup in machine code keeps an element from being the next victim.
func TestHashLookupMarks(t *testing.T) {
	l := newLookups(t, maps.LRUHash, 4, 4, 1)
	key := func(i uint32) []byte { return binary.LittleEndian.AppendUint32(nil, i) }
	for i := range uint32(4) {
		require.NoError(t, l.m.HostUpdate(key(i), make([]byte, 8), 0))
	}
	require.EqualValues(t, 0, l.find(t, key(0)))
	require.Zero(t, l.asked)
	require.NoError(t, l.m.HostUpdate(key(9), make([]byte, 8), 0))
	require.EqualValues(t, 0, l.find(t, key(0)), "it was used")
	require.EqualValues(t, -1, l.find(t, key(1)), "the first that was not")
}

// TestHashLookupWhileSlotsMove shows that machine code asks Go when it finds nothing and a deletion is under way.
func TestHashLookupWhileSlotsMove(t *testing.T) {
	l := newLookups(t, maps.Hash, 4, 4, 1)
	layout, ok := maps.LayoutOfHash(l.m)
	require.True(t, ok)
	require.EqualValues(t, -1, l.find(t, []byte{1, 2, 3, 4}))
	require.Zero(t, l.asked)
	space := l.jit.cpu.Env.Space
	space.Store32(layout.Moves, space.Load32(layout.Moves)+1)
	require.EqualValues(t, -1, l.find(t, []byte{1, 2, 3, 4}))
	require.Equal(t, 1, l.asked)
}

// TestHashLookupBesideDeletion looks for a key that is there all the time, while others before it in the table go and
// come back: deletion moves slots, and machine code must not take a slot on its way for missing.
func TestHashLookupBesideDeletion(t *testing.T) {
	l := newLookups(t, maps.Hash, 4, 64, 1)
	key := func(i uint32) []byte { return binary.LittleEndian.AppendUint32(nil, i) }
	for i := range uint32(64) {
		require.NoError(t, l.m.HostUpdate(key(i), make([]byte, 8), 0))
	}
	stop, done := make(chan struct{}), make(chan error)
	go func() {
		var err error
		for i := uint32(0); err == nil; i++ {
			select {
			case <-stop:
				done <- nil
				return
			default:
			}
			k := key(i%32*2 + 1) // odd keys
			if err = l.m.Delete(k); err == nil {
				err = l.m.HostUpdate(k, make([]byte, 8), 0)
			}
		}
		done <- err
	}()
	for i := range uint32(200_000) {
		if l.find(t, key(i%32*2)) != 0 {
			t.Errorf("key %d was not found", i%32*2)
			break
		}
	}
	close(stop)
	require.NoError(t, <-done)
}
