package helpers

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// hostile is a machine with maps of many types, for helpers called with anything.
type hostile struct {
	e       *Env
	handles []uint32
	snap    *mem.Snapshot
}

func newHostile(t testing.TB, typ prog.Type) *hostile {
	t.Helper()
	s, err := mem.New(mem.Options{Size: 1 << 26})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	e := &Env{Space: s, Maps: maps.NewTable(s), NumCPUs: 2, LockWait: 1, Type: typ, Trace: func(string) {},
		Event: func(maps.Map, int, []byte) {}, Clone: func(uint32, uint64, []byte) {}, Router: new(FIB)}
	h := &hostile{e: e}
	for _, spec := range []maps.Spec{
		{Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4}, {Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		{Type: maps.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 4}, {Type: maps.Queue, ValueSize: 8, MaxEntries: 4},
		{Type: maps.RingBuf, MaxEntries: 4096}, {Type: maps.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 2},
		{Type: maps.DevMap, KeySize: 4, ValueSize: 4, MaxEntries: 4}, {Type: maps.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 4},
		{Type: maps.LPMTrie, KeySize: 8, ValueSize: 8, MaxEntries: 4, Flags: 1}, {Type: maps.LRUHash, KeySize: 4, ValueSize: 8, MaxEntries: 4},
		{Type: maps.BloomFilter, ValueSize: 8, MaxEntries: 4}, {Type: maps.SockMap, KeySize: 4, ValueSize: 8, MaxEntries: 4},
	} {
		spec.LockOff, spec.TimerOff = -1, -1
		m, err := maps.New(s, &spec, maps.Options{CPUs: 2})
		if err != nil {
			t.Fatal(spec.Type, err)
		}
		e.Maps.Add(m)
		h.handles = append(h.handles, m.Handle())
	}
	size := uint32(8192)
	if !typ.Row().Packet {
		size = 0
	}
	buf, err := prog.NewBuffer(s, typ, size)
	if err != nil {
		t.Fatal(err)
	}
	if err := buf.Set(make([]byte, min(100, buf.MaxLen())), &prog.Input{}); err != nil {
		t.Fatal(err)
	}
	e.Ctx = buf.Ctx()
	local := netip.MustParseAddrPort("10.0.0.1:80")
	if e.Sockets, err = NewSockets(s, []Socket{{Proto: ProtoTCP, Local: local}, {Proto: ProtoUDP, Local: local}}); err != nil {
		t.Fatal(err)
	}
	e.Sockets.SetOwn(typ, e.Ctx)
	h.snap = s.Snapshot()
	return h
}

// arg makes an argument out of two bytes and eight: a map, the ctx, memory near something, or just a number.
func (h *hostile) arg(kind byte, v uint64) uint64 {
	switch kind % 8 {
	case 0, 1:
		return uint64(h.handles[v%uint64(len(h.handles))])
	case 2:
		return uint64(h.e.Ctx)
	case 3:
		return uint64(h.e.Ctx) + v%512 - 256
	case 4:
		return v % 64
	case 5:
		return -(v % 300)
	case 6:
		return h.e.Space.Size() - v%32
	case 7:
		if v%4 == 0 {
			return uint64(h.e.Sockets.Addr(int(v / 4 % 3)))
		}
	}
	return v
}

func (h *hostile) run(t *testing.T, data []byte) {
	if err := h.e.Space.Restore(h.snap); err != nil {
		t.Fatal(err)
	}
	const callSize = 1 + 5*9
	for ; len(data) >= callSize; data = data[callSize:] {
		r := &Table[1+int(data[0])%(len(Table)-1)]
		var args [5]uint64
		for i := range args {
			b := data[1+9*i:]
			args[i] = h.arg(b[0], binary.LittleEndian.Uint64(b[1:]))
		}
		if data[1]>>7 == 0 { // scribble: what a program that nobody verified does
			h.e.Space.Store64(uint32(args[0]), args[1])
		}
		if r.Fn != nil {
			_, _ = r.Fn(h.e, args[0], args[1], args[2], args[3], args[4])
		}
	}
}

// TestHostileCalls calls every helper many times as FuzzHelpers does.
func TestHostileCalls(t *testing.T) {
	rounds := map[prog.Type]int{prog.XDP: 1500, prog.SchedCLS: 1500, prog.CgroupSKB: 1500}
	for _, row := range prog.Types {
		typ := row.Type
		if !row.Supported {
			continue
		}
		h := newHostile(t, typ)
		rng := rand.New(rand.NewPCG(uint64(typ), 1))
		data := make([]byte, 46*64)
		for range max(rounds[typ], 150) {
			for i := range data {
				data[i] = byte(rng.Uint32())
				if i%46 >= 46-4*9 && rng.IntN(2) == 0 {
					data[i] = 0 // small numbers
				}
			}
			h.run(t, data)
		}
	}
}

// FuzzHelpers calls helpers with arguments and guest memory that no verifier looked at: no panic, no hang.
func FuzzHelpers(f *testing.F) {
	var all []*hostile
	for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS, prog.SkMsg, prog.SockOps, prog.CgroupSockAddr, prog.CgroupSysctl} {
		all = append(all, newHostile(f, typ))
	}
	for seed := range byte(8) {
		data := make([]byte, 46*40)
		x := uint32(seed) + 1
		for i := range data {
			x = x*1664525 + 1013904223
			data[i] = byte(x >> 24)
		}
		f.Add(data)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		for _, h := range all {
			h.run(t, data)
		}
	})
}
