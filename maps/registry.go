package maps

import (
	"slices"
	"sync"
	"sync/atomic"

	"github.com/skepvm/skep/mem"
)

// Table finds maps by handle, by name and in the order in which they were added. It may be used from any goroutine.
type Table struct {
	space *mem.Space
	mu    sync.Mutex                    // held by Add
	list  atomic.Pointer[tableContents] // never changed in place
}

// tableContents is the maps by number, and their handles beside them to be found without a call.
type tableContents struct {
	maps    []Map
	handles []uint32
}

// NewTable returns an empty table of maps in that space.
func NewTable(space *mem.Space) *Table {
	t := &Table{space: space}
	t.list.Store(new(tableContents))
	return t
}

// Add enters a map of the table's space.
func (t *Table) Add(m Map) {
	t.mu.Lock()
	defer t.mu.Unlock()
	old := t.list.Load()
	n := len(old.maps)
	t.space.Store32(m.Handle()+OffID, uint32(n))
	t.list.Store(&tableContents{append(old.maps[:n:n], m), append(old.handles[:n:n], m.Handle())})
}

// Get returns the map with that handle, nil when there is none. Any value may be given: the number that a handle's
// memory holds is only a hint, and checked.
func (t *Table) Get(handle uint32) Map {
	list := t.list.Load()
	if id := t.space.Load32(handle + OffID); uint64(id) < uint64(len(list.handles)) && list.handles[id] == handle {
		return list.maps[id]
	}
	if i := slices.Index(list.handles, handle); i >= 0 {
		return list.maps[i]
	}
	return nil
}

// ByName returns the first map of that name, nil when there is none.
func (t *Table) ByName(name string) Map {
	for _, m := range t.list.Load().maps {
		if m.Spec().Name == name {
			return m
		}
	}
	return nil
}

// All returns the maps in the order in which they were added. The slice must not be changed.
func (t *Table) All() []Map { return t.list.Load().maps }
