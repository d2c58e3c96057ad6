package maps

import (
	"encoding/binary"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"unsafe"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/mem"
)

// core is what all map types share.
type core struct {
	space  *mem.Space
	spec   *Spec
	row    *Row
	cpus   int
	handle uint32

	specials []special // the value's lock, timer and the like

	mu    sync.Mutex // guards what updates change, in guest memory too
	owned []uint32   // guest allocations, for Close

	failMu sync.Mutex
	fails  map[failure]*Error
}

type failure struct {
	op    string
	errno Errno
}

// The state after the header: what changes.
const (
	stateCount  = HeaderSize + 0  // elements in the map
	stateFree   = HeaderSize + 4  // hashes: head of the free list, element+1
	stateUsed   = HeaderSize + 8  // hashes: elements that were ever used; the others are fresh
	stateHand   = HeaderSize + 12 // LRU: where the search for a victim goes on
	stateHead   = HeaderSize + 16 // queues: u64 elements ever pushed; ring buffers: u64 producer position
	stateTail   = HeaderSize + 24 // queues: u64 elements ever popped; ring buffers: u64 consumer position
	stateMoves  = HeaderSize + 32 // hashes: odd while a deletion moves slots, see HashLayout
	stateFrozen = HeaderSize + 36 // not 0: a process may not change the map
	stateStamp  = HeaderSize + 40 // LPM: u64, see lpmOrder
	stateSize   = HeaderSize + 64
)

// build allocates the header and lets the type's constructor do the rest.
func (c *core) build() (Map, error) {
	var err error
	if c.handle, err = c.alloc(stateSize, 64); err != nil {
		return nil, err
	}
	c.setHeader(OffType, uint32(c.spec.Type))
	c.setHeader(OffFlags, c.spec.Flags)
	c.setHeader(OffKeySize, c.spec.KeySize)
	c.setHeader(OffValueSize, c.spec.ValueSize)
	c.setHeader(OffMaxEntries, c.spec.MaxEntries)
	c.setHeader(OffStride, round8(c.spec.ValueSize))
	c.setHeader(OffCPUs, uint32(c.cpus))
	return c.row.make(c)
}

func (c *core) setHeader(off, v uint32) { c.space.Store32(c.handle+off, v) }

// alloc gets guest memory that belongs to the map.
func (c *core) alloc(size uint64, align uint32) (uint32, error) {
	if size >= mem.MaxSize || size > c.space.Size() {
		return 0, c.tooLarge(size)
	}
	addr, err := c.space.Alloc(uint32(size), align)
	if err != nil {
		return 0, &Error{Op: "create", Map: c.spec.Name, Errno: ENOMEM, Reason: err.Error()}
	}
	c.owned = append(c.owned, addr)
	return addr, nil
}

// tooLarge says that a map takes more bytes than there can be.
func (c *core) tooLarge(size uint64) error {
	return &Error{Op: "create", Map: c.spec.Name, Errno: ENOMEM,
		Reason: fmt.Sprintf("it takes %d bytes, all of guest memory has %d", size, c.space.Size())}
}

// view is guest memory that alloc gave.
func (c *core) view(addr uint32, n uint64) []byte {
	b, ok := c.space.Bytes(addr, uint32(n))
	if !ok {
		panic("maps: an allocation leaves the space")
	}
	return b
}

// words32 and words64 are guest memory as host-order words, for atomic access.
func (c *core) words32(addr uint32, n uint64) []uint32 {
	return unsafe.Slice((*uint32)(unsafe.Pointer(unsafe.SliceData(c.view(addr, n*4)))), int(n))
}

func (c *core) words64(addr uint32, n uint64) []uint64 {
	return unsafe.Slice((*uint64)(unsafe.Pointer(unsafe.SliceData(c.view(addr, n*8)))), int(n))
}

func (c *core) state(off uint32) *uint32 { return (*uint32)(c.space.Pointer(c.handle + off)) }

func (c *core) state64(off uint32) *uint64 { return (*uint64)(c.space.Pointer(c.handle + off)) }

// fail returns the error for a failed operation; each is made once, as programs may cause many.
func (c *core) fail(op string, errno Errno) error {
	c.failMu.Lock()
	defer c.failMu.Unlock()
	key := failure{op, errno}
	err := c.fails[key]
	if err == nil {
		if c.fails == nil {
			c.fails = make(map[failure]*Error)
		}
		err = &Error{Op: op, Map: c.spec.Name, Errno: errno}
		c.fails[key] = err
	}
	return err
}

func (c *core) frozen() bool { return atomic.LoadUint32(c.state(stateFrozen)) != 0 }

// shared is what a map of any type has in common with others.
func (c *core) shared() *core { return c }

func (c *core) Spec() *Spec    { return c.spec }
func (c *core) Handle() uint32 { return c.handle }

func (c *core) Close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, addr := range c.owned {
		c.space.Free(addr)
	}
	c.owned = nil
}

// checkFlags applies the rules on Update's flags that most maps share (Linux: array_map_update_elem, htab_map_update_elem).
func (c *core) checkFlags(flags uint64) Errno {
	if flags&^Lock > Exist {
		return EINVAL
	}
	if flags&Lock != 0 {
		if _, ok := c.spec.Lock(); !ok {
			return EINVAL
		}
	}
	return 0
}

// special is a field of a value that the kernel looks after itself.
type special struct {
	off, size int
	lock      bool
}

// Sizes of the special fields in bytes, where a Spec has offsets only.
const (
	sizeofLock  = 4
	sizeofTimer = 16
)

func specialsOf(s *Spec) []special {
	var fields []special
	add := func(f special) {
		if f.off+f.size <= int(s.ValueSize) && !slices.ContainsFunc(fields, func(h special) bool { return h.off == f.off }) {
			fields = append(fields, f)
		}
	}
	if off, ok := s.Lock(); ok {
		add(special{off, sizeofLock, true})
	}
	if off, ok := s.Timer(); ok {
		add(special{off, sizeofTimer, false})
	}
	for _, f := range s.Fields {
		add(special{int(f.Off), int(f.Size), f.Kind == btf.SpinLock || f.Kind == btf.ResSpinLock})
	}
	return sortSpecials(fields)
}

// clearSpecial zeroes the special fields in a copy of a value, or in a value that goes: timers are then as if they had
// never been set up, which cancels them (Linux: check_and_init_map_value, bpf_obj_free_fields).
func (c *core) clearSpecial(value []byte) {
	for _, f := range c.specials {
		clear(value[f.off : f.off+f.size])
	}
}

// ElementAt finds the element whose value is at a guest address, of a map whose values may have timers: its key, and where the key
// is in guest memory; 0 when it is not there, as for arrays. False when no value begins there.
func ElementAt(m Map, value uint32) (key []byte, addr uint32, ok bool) {
	if f, has := m.(interface {
		elementAt(value uint32) ([]byte, uint32, bool)
	}); has {
		return f.elementAt(value)
	}
	return nil, 0, false
}

func le32(b []byte) uint32 { return binary.LittleEndian.Uint32(b) }

func appendLE32(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
