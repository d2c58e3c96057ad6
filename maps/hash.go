package maps

import (
	"encoding/binary"
	"iter"
	"sync/atomic"
	"unsafe"
)

// hash is Hash, PerCPUHash, their LRU kinds, and what is built on them. See layout.go for the layout.
//
// Updates of an existing key change the value in place. (The kernel puts a new element in the old one's place, so
// that a pointer from an earlier lookup keeps the old value for a while; no program can count on that.)
type hash struct {
	*core
	index     []uint64 // slots, guest memory
	indexAddr uint32
	mask      uint32
	elems     []byte // the pool of elements, guest memory
	data      uint32 // its address
	stride    uint32 // distance between elements
	valueOff  uint32
	cpuStride uint32   // 0 when there is one value for all CPUs
	max       uint32   // elements in the pool
	meta      []uint32 // one an element: metaLive, or the next free element+1
	refs      []byte   // one an element: used since the victim search came by; nil without LRU
	refsAddr  uint32
	keySize   int
	numCPUs   uint // as in core, nearer

	// In guest memory: elements in the map; the free list's head, element+1; elements that were ever used; where the search for a victim
	// goes on; and a counter that is odd while a deletion moves slots.
	count, free, used, hand, moves *uint32
}

const (
	metaLive = ^uint32(0)
	noElem   = ^uint32(0) // element of an empty slot
)

func newHash(c *core) (Map, error) {
	m, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func makeHash(c *core) (*hash, error) {
	m := &hash{core: c, max: c.spec.MaxEntries, keySize: int(c.spec.KeySize), numCPUs: uint(c.cpus)}
	m.valueOff = round8(c.spec.KeySize)
	value := uint64(round8(c.spec.ValueSize))
	elem := uint64(m.valueOff) + value
	if c.row.PerCPU {
		m.cpuStride = uint32(value)
		elem = uint64(m.valueOff) + value*uint64(c.cpus)
	}
	slots := uint64(8)
	for slots < 2*uint64(m.max) {
		slots *= 2
	}
	if all := slots*8 + uint64(m.max)*4; elem >= 1<<32 || all+elem*uint64(m.max) > c.space.Size() {
		return nil, c.tooLarge(all + elem*uint64(m.max))
	}
	m.stride, m.mask = uint32(elem), uint32(slots-1)
	indexAddr, err := c.alloc(slots*8, 64)
	if err != nil {
		return nil, err
	}
	if m.data, err = c.alloc(elem*uint64(m.max), 64); err != nil {
		return nil, err
	}
	metaAddr, err := c.alloc(uint64(m.max)*4, 64)
	if err != nil {
		return nil, err
	}
	m.index, m.indexAddr = c.words64(indexAddr, slots), indexAddr
	m.elems = c.view(m.data, elem*uint64(m.max))
	m.meta = c.words32(metaAddr, uint64(m.max))
	m.count, m.free, m.used = c.state(stateCount), c.state(stateFree), c.state(stateUsed)
	m.hand, m.moves = c.state(stateHand), c.state(stateMoves)
	c.setHeader(OffData, m.data)
	c.setHeader(OffCPUStride, m.cpuStride)
	c.setHeader(OffIndex, indexAddr)
	c.setHeader(OffIndexMask, m.mask)
	c.setHeader(OffElemStride, m.stride)
	c.setHeader(OffValueOff, m.valueOff)
	return m, nil
}

// HashLayout is where a hash keeps what a lookup needs, as guest addresses and distances: what machine code is made of.
// It comes from the map itself, not from the header, which a guest can write to.
type HashLayout struct {
	Index, IndexMask  uint32 // the index table, and its number of slots minus 1
	Elems, ElemStride uint32
	Max               uint32 // elements in the pool: a slot that names another is the guest's doing
	ValueOff          uint32 // from an element to its value, of CPU 0
	CPUStride         uint32 // 0 when there is one value for all CPUs
	Refs              uint32 // LRU: one byte an element, to be set to 1 by a program's lookup; else 0
	// Moves is a counter. A lookup that finds nothing has proved it only when the counter is even, and the same
	// before and after.
	Moves uint32
}

// LayoutOfHash describes m's table. It is false when a program's lookup in m is more than to find an element there.
func LayoutOfHash(m Map) (HashLayout, bool) {
	h, ok := m.(*hash)
	if !ok {
		return HashLayout{}, false
	}
	return HashLayout{
		Index: h.indexAddr, IndexMask: h.mask, Elems: h.data, ElemStride: h.stride, Max: h.max, ValueOff: h.valueOff,
		CPUStride: h.cpuStride, Refs: h.refsAddr, Moves: h.handle + stateMoves,
	}, true
}

// A slot of the index table.
func slotOf(hash, elem uint32) uint64   { return uint64(hash) | uint64(elem+1)<<32 }
func slotHash(slot uint64) uint32       { return uint32(slot) }
func slotElem(slot uint64) (e1 uint32)  { return uint32(slot >> 32) } // element+1, 0 when empty
func (m *hash) offset(elem uint32) int  { return int(elem) * int(m.stride) }
func (m *hash) key(elem uint32) []byte  { off := m.offset(elem); return m.elems[off : off+m.keySize] }
func (m *hash) load(slot uint32) uint64 { return atomic.LoadUint64(&m.index[slot]) }

func (m *hash) value(cpu int, elem uint32) []byte {
	off := m.offset(elem) + int(m.valueOff) + cpu*int(m.cpuStride)
	return m.elems[off : off+int(m.spec.ValueSize)]
}

func (m *hash) LookupAddr(cpu int, key []byte) uint32 {
	if len(key) != m.keySize || uint(cpu) >= m.numCPUs {
		return 0
	}
	elem, ok := m.locate(key)
	if !ok {
		return 0
	}
	if m.refs != nil && m.refs[elem] == 0 {
		m.refs[elem] = 1
	}
	return m.data + elem*m.stride + m.valueOff + uint32(cpu)*m.cpuStride
}

// locate is the lookup without a lock of a key of the right size.
func (m *hash) locate(key []byte) (elem uint32, ok bool) {
	var sure bool
	switch len(key) {
	case 4:
		elem, ok, sure = m.findWord(uint64(binary.LittleEndian.Uint32(key)))
	case 8:
		elem, ok, sure = m.findWord(binary.LittleEndian.Uint64(key))
	}
	if ok || sure {
		return elem, ok
	}
	return m.find(key)
}

// findWord is find for a key that is one word: the same walk, once, without calls and without bounds checks, which
// mask and max make needless. sure is false when a deletion was under way and a miss proves nothing.
func (m *hash) findWord(word uint64) (elem uint32, ok, sure bool) {
	moves := atomic.LoadUint32(m.moves)
	hash := uint32(mix(HashSeed, word))
	index, elems, mask, stride := unsafe.Pointer(&m.index[0]), unsafe.Pointer(&m.elems[0]), m.mask, uintptr(m.stride)
	first := hash & mask
	for slot := first; ; {
		s := atomic.LoadUint64((*uint64)(unsafe.Add(index, uintptr(slot)*8)))
		e := slotElem(s) - 1
		if slotHash(s) == hash && e < m.max && *(*uint64)(unsafe.Add(elems, uintptr(e)*stride)) == word {
			return e, true, true
		}
		if slot = (slot + 1) & mask; e == noElem || slot == first {
			return 0, false, moves&1 == 0 && atomic.LoadUint32(m.moves) == moves
		}
	}
}

// find is the lookup without a lock of any key. A hit needs no check: the slot and the key that it leads to were read. A miss
// beside a deletion proves nothing, and is tried again, at last under the lock.
func (m *hash) find(key []byte) (uint32, bool) {
	hash := HashKey(key)
	for range 3 {
		moves := atomic.LoadUint32(m.moves)
		if _, elem, ok := m.probe(hash, key); ok {
			return elem, true
		}
		if moves&1 == 0 && atomic.LoadUint32(m.moves) == moves {
			return 0, false
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	_, elem, ok := m.probe(hash, key)
	return elem, ok
}

// probe walks the index table; it looks at each slot once at most, whatever the guest wrote there. Without a hit, slot is the
// empty one where the key belongs, or meaningless when there is none.
func (m *hash) probe(hash uint32, key []byte) (slot, elem uint32, ok bool) {
	slot = hash & m.mask
	for range m.index {
		s := atomic.LoadUint64(&m.index[slot])
		e1 := slotElem(s)
		if e1 == 0 {
			return slot, 0, false
		}
		if slotHash(s) == hash && e1 <= m.max && m.hasKey(e1-1, key) {
			return slot, e1 - 1, true
		}
		slot = (slot + 1) & m.mask
	}
	return slot, 0, false
}

func (m *hash) hasKey(elem uint32, key []byte) bool {
	k := m.elems[int(elem)*int(m.stride):]
	for ; len(key) > 8; key, k = key[8:], k[8:] {
		if binary.LittleEndian.Uint64(key) != binary.LittleEndian.Uint64(k) {
			return false
		}
	}
	return lastWord(key) == binary.LittleEndian.Uint64(k)
}

func (m *hash) Update(cpu int, key, value []byte, flags uint64) error {
	if len(value) != int(m.spec.ValueSize) || uint(cpu) >= uint(m.cpus) {
		return m.fail("update", EINVAL)
	}
	return m.update(key, flags, func(elem uint32, fresh bool) error {
		switch {
		case !fresh:
			return m.replace(m.value(m.own(cpu), elem), value, flags, flags&Lock != 0)
		case m.cpuStride == 0:
			copy(m.value(0, elem), value)
			m.clearSpecial(m.value(0, elem))
		default: // other CPUs start from zero (Linux: pcpu_init_value)
			clear(m.elems[m.offset(elem)+int(m.valueOff) : m.offset(elem)+int(m.stride)])
			copy(m.value(cpu, elem), value)
		}
		return nil
	})
}

func (m *hash) HostUpdate(key, value []byte, flags uint64) error {
	if len(value) != m.spec.HostValueSize(m.cpus) {
		return m.fail("update", EINVAL)
	}
	return m.update(key, flags, func(elem uint32, fresh bool) error {
		switch {
		case m.cpuStride != 0:
			for cpu := range m.cpus {
				copy(m.value(cpu, elem), value[cpu*int(m.cpuStride):])
			}
		case fresh:
			copy(m.value(0, elem), value)
			m.clearSpecial(m.value(0, elem))
		default:
			return m.replace(m.value(0, elem), value, flags, flags&Lock != 0)
		}
		return nil
	})
}

// own is cpu for a per-CPU map, 0 for one whose value all CPUs share.
func (m *hash) own(cpu int) int {
	if m.cpuStride == 0 {
		return 0
	}
	return cpu
}

// update finds or makes the key's element and has write fill in the value (Linux: htab_map_update_elem).
func (m *hash) update(key []byte, flags uint64, write func(elem uint32, fresh bool) error) error {
	if errno := m.checkFlags(flags); errno != 0 || len(key) != m.keySize {
		return m.fail("update", EINVAL)
	}
	hash := HashKey(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, elem, ok := m.probe(hash, key)
	if ok {
		if flags&NoExist != 0 {
			return m.fail("update", EEXIST)
		}
		if m.refs != nil {
			m.refs[elem] = 1
		}
		return write(elem, false)
	}
	if flags&Exist != 0 {
		return m.fail("update", ENOENT)
	}
	elem, ok = m.take()
	if !ok && m.refs != nil {
		var hole uint32
		elem, hole, ok = m.evict()
		if home := hash & m.mask; ok && (hole-home)&m.mask < (slot-home)&m.mask { // it is empty now, and before the one that was
			slot = hole
		}
	}
	if !ok {
		return m.fail("update", E2BIG)
	}
	if slotElem(m.load(slot)) != 0 { // only when the guest filled the index table
		m.give(elem)
		return m.fail("update", E2BIG)
	}
	off := m.offset(elem)
	clear(m.elems[off : off+int(m.valueOff)]) // the key's padding
	copy(m.elems[off:], key)
	if err := write(elem, true); err != nil {
		m.give(elem)
		return err
	}
	m.meta[elem] = metaLive
	atomic.StoreUint64(&m.index[slot], slotOf(hash, elem)) // only now can others see it
	return nil
}

// take gives a free element: the one that was freed last, else the next fresh one. The guest may have written over
// the state; then elements get lost or shared, but only those of the pool.
func (m *hash) take() (uint32, bool) {
	count, free, used := m.count, m.free, m.used
	if *count >= m.max {
		return 0, false
	}
	if e1 := *free; e1 != 0 && e1 <= m.max {
		next := m.meta[e1-1]
		if next == metaLive {
			next = 0
		}
		*free = next
		*count++
		return e1 - 1, true
	}
	if *used >= m.max {
		return 0, false
	}
	elem := *used
	*used++
	*count++
	return elem, true
}

// give puts an element on the free list.
func (m *hash) give(elem uint32) {
	count, free := m.count, m.free
	m.clearSpecials(elem)
	m.meta[elem] = *free
	*free = elem + 1
	if *count > 0 {
		*count--
	}
	if m.refs != nil {
		m.refs[elem] = 0
	}
}

// clearSpecials zeroes the special fields of an element that goes.
func (m *hash) clearSpecials(elem uint32) {
	if len(m.specials) == 0 {
		return
	}
	cpus := 1
	if m.cpuStride != 0 {
		cpus = m.cpus
	}
	for cpu := range cpus {
		m.clearSpecial(m.value(cpu, elem))
	}
}

func (m *hash) elementAt(value uint32) ([]byte, uint32, bool) {
	off := value - m.data
	elem := off / m.stride
	if elem >= m.max || off%m.stride != m.valueOff || m.meta[elem] != metaLive {
		return nil, 0, false
	}
	return m.key(elem), value - m.valueOff, true
}

func (m *hash) Delete(key []byte) error {
	if len(key) != m.keySize {
		return m.fail("delete", EINVAL)
	}
	hash := HashKey(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, elem, ok := m.probe(hash, key)
	if !ok {
		return m.fail("delete", ENOENT)
	}
	m.unlink(slot)
	m.give(elem)
	return nil
}

// takeOut looks up and deletes in one step (Linux: __htab_map_lookup_and_delete_elem).
func (m *hash) takeOut(key []byte) ([]byte, error) {
	hash := HashKey(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	slot, elem, ok := m.probe(hash, key)
	if !ok {
		return nil, m.fail("lookup and delete", ENOENT)
	}
	value := m.hostValue(elem)
	m.unlink(slot)
	m.give(elem)
	return value, nil
}

// unlink empties a slot and moves back those after it that would not be found any more. hole is the slot that is empty now. When
// none moves, nobody else can miss anything meanwhile.
func (m *hash) unlink(slot uint32) (hole uint32) {
	hole = slot
	moving := false
	for i := range m.mask { // one round at most, whatever the guest wrote
		at := (slot + i + 1) & m.mask
		s := m.load(at)
		if slotElem(s) == 0 {
			break
		}
		if home := slotHash(s) & m.mask; (at-home)&m.mask >= (at-hole)&m.mask {
			if !moving {
				atomic.AddUint32(m.moves, 1)
				moving = true
			}
			atomic.StoreUint64(&m.index[hole], s)
			hole = at
		}
	}
	atomic.StoreUint64(&m.index[hole], 0)
	if moving {
		atomic.AddUint32(m.moves, 1)
	}
	return hole
}

func (m *hash) Next(key []byte) ([]byte, bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	from := uint32(0)
	if len(key) == m.keySize {
		if _, elem, ok := m.probe(HashKey(key), key); ok {
			from = elem + 1
		}
	}
	elem, ok := m.nextLive(from)
	if !ok {
		return nil, false
	}
	return append([]byte(nil), m.key(elem)...), true
}

// nextLive returns the first element in use from that one on.
func (m *hash) nextLive(from uint32) (uint32, bool) {
	for elem, end := from, min(*m.used, m.max); elem < end; elem++ {
		if m.meta[elem] == metaLive {
			return elem, true
		}
	}
	return 0, false
}

func (m *hash) Len() int {
	return int(min(atomic.LoadUint32(m.count), m.max))
}

func (m *hash) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	atomic.AddUint32(m.moves, 1)
	for i := range m.index {
		atomic.StoreUint64(&m.index[i], 0)
	}
	atomic.AddUint32(m.moves, 1)
	for elem := range min(*m.used, m.max) {
		m.clearSpecials(elem)
	}
	clear(m.meta)
	clear(m.refs)
	*m.count, *m.free, *m.used, *m.hand = 0, 0, 0, 0
}

func (m *hash) HostLookup(key []byte) ([]byte, error) {
	if len(key) != m.keySize {
		return nil, m.fail("lookup", EINVAL)
	}
	hash := HashKey(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	_, elem, ok := m.probe(hash, key)
	if !ok {
		return nil, m.fail("lookup", ENOENT)
	}
	return m.hostValue(elem), nil
}

func (m *hash) hostValue(elem uint32) []byte {
	out := make([]byte, m.spec.HostValueSize(m.cpus))
	if m.cpuStride == 0 {
		copy(out, m.value(0, elem))
		m.clearSpecial(out)
		return out
	}
	for cpu := range m.cpus {
		copy(out[cpu*int(m.cpuStride):], m.value(cpu, elem))
	}
	return out
}

func (m *hash) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for from := uint32(0); ; {
			m.mu.Lock()
			elem, ok := m.nextLive(from)
			if !ok {
				m.mu.Unlock()
				return
			}
			key, value := append([]byte(nil), m.key(elem)...), m.hostValue(elem)
			m.mu.Unlock()
			if !yield(key, value) {
				return
			}
			from = elem + 1
		}
	}
}
