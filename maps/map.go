// Package maps is the kernel's map types over guest memory: one fixed layout, shared by Go code and machine code, and
// the kernel's semantics of lookup, update, delete and iteration, error numbers included.
//
// A map lives in a mem.Space. Everything that changes is in guest memory, so a snapshot of the space covers its maps; every size
// and address that Go code relies on is kept on the host's side, so a program that writes over a map's memory can only
// confuse itself.
//
// All methods of a map may be called from several goroutines (virtual CPUs). Lookups take no lock.
package maps

import (
	"iter"

	"github.com/skepvm/skep/mem"
)

// Options of New.
type Options struct {
	CPUs int // number of virtual CPUs, which per-CPU maps have values for; 0 is 1
}

// Map is a map in guest memory. Keys must have exactly Spec().KeySize bytes and values as many as said below; else
// methods give EINVAL, and lookups find nothing. Errors are of type *Error.
type Map interface {
	// Spec returns what the map was made of. It must not be changed.
	Spec() *Spec
	// Handle returns the guest address of the header: what a program has as its map pointer.
	Handle() uint32

	// LookupAddr returns the guest address of the value for that CPU, 0 when there is none. For a map-in-map it is the
	// handle of the inner map, as bpf_map_lookup_elem gives. It counts as use for LRU maps. It does not allocate.
	LookupAddr(cpu int, key []byte) uint32
	// Update is bpf_map_update_elem: for per-CPU maps it sets that CPU's value. The value has Spec().ValueSize bytes.
	Update(cpu int, key, value []byte, flags uint64) error
	// Delete is bpf_map_delete_elem.
	Delete(key []byte) error
	// Next is BPF_MAP_GET_NEXT_KEY: the key after this one, the first one when key is nil or not in the map; false after the last.
	// Hashes give keys in the order in which their elements were first used.
	Next(key []byte) ([]byte, bool)
	// Len returns the number of elements; for arrays that is MaxEntries.
	Len() int
	// Clear makes the map as it was when it was new.
	Clear()

	// HostLookup copies a value: all CPUs' for a per-CPU map (see Spec.HostValueSize). A lock or timer in it reads as zeros.
	HostLookup(key []byte) ([]byte, error)
	// HostUpdate sets a value: all CPUs' for a per-CPU map.
	HostUpdate(key, value []byte, flags uint64) error
	// All iterates over copies of keys and values as HostLookup gives them. Elements that come or go meanwhile may or may
	// not be seen.
	All() iter.Seq2[[]byte, []byte]
	// Close gives the map's memory back. Nothing may use the map afterwards.
	Close()
}

// New makes a map, empty: see Fill for a Spec's contents. It applies the kernel's rules for creation (EINVAL, E2BIG),
// gives ENOMEM when the space is full, and ENOTSUPP for types that skep does not have yet.
func New(space *mem.Space, spec *Spec, o Options) (Map, error) {
	fail := func(errno Errno, reason string) (Map, error) {
		return nil, &Error{Op: "create", Map: spec.Name, Errno: errno, Reason: reason}
	}
	row := spec.Type.Row()
	switch {
	case spec.Broken != "":
		return fail(EINVAL, spec.Broken)
	case row == &Types[Unspec]:
		return fail(EINVAL, "no map type "+spec.Type.String())
	case row.make == nil:
		return fail(ENOTSUPP, "map type "+spec.Type.String()+" is not implemented")
	}
	if errno, reason := row.rules.check(spec, row); errno != 0 {
		return fail(errno, reason)
	}
	c := &core{space: space, spec: spec, row: row, cpus: max(o.CPUs, 1), specials: specialsOf(spec)}
	m, err := c.build()
	if err != nil {
		c.Close()
		return nil, err
	}
	return m, nil
}

// Fill puts the plain entries of the map's Spec.Contents into it; an arena has one, without a key, which it begins with. Entries that name a program or a map are left to the
// caller, who knows those.
func Fill(m Map) error {
	for _, e := range m.Spec().Contents {
		if e.ProgName != "" || e.MapName != "" {
			continue
		}
		if arena, ok := PagesOf(m); ok {
			if _, err := arena.WriteAt(e.Value, 0); err != nil {
				return err
			}
			continue
		}
		if err := m.HostUpdate(e.Key, e.Value, Any); err != nil {
			return err
		}
	}
	return nil
}
