package maps

import (
	"bytes"
	"encoding/binary"
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/mem"
)

// plainSpec is a small map of a type.
func plainSpec(typ Type) *Spec {
	row := typ.Row()
	spec := &Spec{Name: row.Short, Type: typ, MaxEntries: 16, Flags: row.rules.need,
		KeySize: row.rules.key.min, ValueSize: row.rules.value.min, LockOff: -1, TimerOff: -1}
	switch {
	case spec.Type == LPMTrie:
		spec.KeySize = 8
	case row.Hashed && row.rules.key.max > 12:
		spec.KeySize = 12
	}
	switch {
	case row.rules.valueStep == 8:
		spec.ValueSize = 16
	case row.rules.value.max > 12:
		spec.ValueSize = 12
	}
	if row.rules.mustBeZero {
		spec.MaxEntries = 0
	}
	if row.rules.pages {
		spec.MaxEntries = kernelPage
	}
	return spec
}

// everyMap makes a small map of each implemented type.
func everyMap(t testing.TB, s *mem.Space) []Map {
	var all []Map
	for i := range Types {
		if Type(i).Row().Implemented() {
			all = append(all, newMap(t, s, plainSpec(Type(i)), 2))
		}
	}
	return all
}

// source gives random choices, of a generator or of a fuzzer's input.
type source interface{ Uint32() uint32 }

type bytesSource struct{ b []byte }

func (s *bytesSource) Uint32() uint32 {
	var v [4]byte
	n := copy(v[:], s.b)
	s.b = s.b[n:]
	return binary.LittleEndian.Uint32(v[:])
}

// corrupt writes to the map's guest memory what a hostile program could.
func corrupt(m Map, r source) {
	c := m.(interface{ shared() *core }).shared()
	nasty := [...]uint32{0, 1, 2, 15, 16, 17, 0x7fffffff, 0x80000000, ^uint32(0), c.handle, r.Uint32()}
	for range 1 + r.Uint32()%8 {
		addr := c.owned[r.Uint32()%uint32(len(c.owned))]
		size := min(c.space.AllocSize(addr), 4096)
		c.space.Store32(addr+r.Uint32()%size&^3, nasty[r.Uint32()%uint32(len(nasty))])
	}
}

// use does every operation. What comes back must lie in the map; iteration must end.
func use(t testing.TB, m Map, r source) {
	spec := m.Spec()
	key := make([]byte, spec.KeySize)
	if len(key) > 0 {
		key[0] = byte(r.Uint32() % 20)
	}
	if spec.Type == LPMTrie {
		key[4] = byte(r.Uint32())
	}
	value := bytes.Repeat([]byte{byte(r.Uint32())}, int(spec.ValueSize))
	if addr := m.LookupAddr(int(r.Uint32()%3), key); addr != 0 && !spec.Type.Row().MapInMap {
		inside(t, m, addr)
	}
	_ = m.Update(int(r.Uint32()%3), key, value, uint64(r.Uint32()%4))
	_ = m.HostUpdate(key, make([]byte, spec.HostValueSize(2)), uint64(r.Uint32()%4))
	_, _ = m.HostLookup(key)
	if r.Uint32()%2 == 0 {
		_ = m.Delete(key)
	}
	n := 0
	for range m.All() {
		if n++; n > 100 {
			t.Fatalf("%s: All does not end", spec.Type)
		}
	}
	_, _ = m.Next(key)
	_ = m.Len()
	switch m := m.(type) {
	case Pusher:
		_ = m.Push(value, uint64(r.Uint32()%3))
		_ = m.Peek(value)
		_ = m.Pop(value)
	case *UserRing:
		_ = m.Send(value)
		if addr, size, next, errno := m.Peek(); errno == 0 {
			inside(t, m, addr)
			inside(t, m, addr+size)
			m.Release(next)
		}
	case *CgroupStorages:
		if addr := m.At(int(r.Uint32()%2), uint64(r.Uint32()%4), 0); addr != 0 {
			inside(t, m, addr)
		}
	case *Ring:
		sample := m.Reserve(uint64(r.Uint32() % 2000))
		if sample != 0 {
			inside(t, m, sample)
		}
		_ = m.Commit(sample+8*(r.Uint32()%2), r.Uint32()%2 == 0)
		_ = m.Output(value)
		n = 0
		for range m.Read() {
			if n++; n > 1000 {
				t.Fatal("Read does not end")
			}
		}
	}
	if r.Uint32()%50 == 0 {
		m.Clear()
	}
}

func inside(t testing.TB, m Map, addr uint32) {
	if m.Spec().Type.Row().Sockets {
		return // whose addresses the map does not know
	}
	c := m.(interface{ shared() *core }).shared()
	for _, own := range c.owned {
		if addr >= own && addr+m.Spec().ValueSize <= own+c.space.AllocSize(own) {
			return
		}
	}
	t.Fatalf("%s: %#x is not the map's", m.Spec().Type, addr)
}

// hostile runs operations on corrupted maps between blocks of memory that must stay as they are.
func hostile(t testing.TB, rounds int, r source) {
	s, err := mem.New(mem.Options{Size: 64 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	var guards []uint32
	guard := func() {
		for _, size := range []uint32{128, 256, 1024, 4096, 40960} {
			addr, err := s.Alloc(size, 0)
			if err != nil {
				t.Fatal(err)
			}
			view, _ := s.Bytes(addr, size)
			copy(view, bytes.Repeat([]byte{0xa5}, int(size)))
			guards = append(guards, addr)
		}
	}
	guard()
	all := everyMap(t, s)
	guard()
	table := NewTable(s)
	for _, m := range all {
		table.Add(m)
	}
	for range rounds {
		m := all[r.Uint32()%uint32(len(all))]
		if r.Uint32()%3 == 0 {
			corrupt(m, r)
		}
		use(t, m, r)
		if table.Get(m.Handle()) != m {
			t.Fatal("the table lost a map")
		}
		_ = table.Get(r.Uint32())
		_ = table.RingOf(r.Uint32())
	}
	for _, addr := range guards {
		view, _ := s.Bytes(addr, 128)
		for i, c := range view {
			if c != 0xa5 {
				t.Fatalf("byte %d of memory that is no map's became %#x", i, c)
			}
		}
	}
	for _, m := range all {
		m.Close()
	}
}

func TestHostileGuest(t *testing.T) {
	for seed := range uint64(20) {
		hostile(t, 2000, rand.New(rand.NewPCG(seed, 11)))
	}
}

func FuzzHostileGuest(f *testing.F) {
	f.Add([]byte("some bytes to begin with, of no meaning at all, but enough for a few rounds"))
	f.Fuzz(func(t *testing.T, b []byte) {
		src := &bytesSource{b}
		hostile(t, min(len(b)/8, 300), src)
	})
}
