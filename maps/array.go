package maps

import (
	"encoding/binary"
	"iter"
)

// array is Array and PerCPUArray.
type array struct {
	*core
	max       uint32
	stride    uint32
	cpuStride uint32 // 0 when there is one value for all CPUs
	data      uint32
	values    []byte // guest memory from data on
	numCPUs   uint   // as in core, nearer
}

func newArray(c *core) (Map, error) {
	m, err := makeArray(c)
	if err != nil {
		return nil, err
	}
	return m, nil
}

func makeArray(c *core) (*array, error) {
	m := &array{core: c, max: c.spec.MaxEntries, stride: round8(c.spec.ValueSize), numCPUs: uint(c.cpus)}
	size := uint64(m.max) * uint64(m.stride)
	if c.row.PerCPU {
		if size >= 1<<32 {
			return nil, c.tooLarge(size * uint64(c.cpus))
		}
		size = (size + 63) &^ 63 // CPUs do not share cache lines
		m.cpuStride = uint32(size)
		size *= uint64(c.cpus)
	}
	var err error
	if m.data, err = c.alloc(size, 64); err != nil {
		return nil, err
	}
	m.values = c.view(m.data, size)
	c.setHeader(OffStride, m.stride)
	c.setHeader(OffData, m.data)
	c.setHeader(OffCPUStride, m.cpuStride)
	return m, nil
}

// index returns the element that a key names, false beyond the end.
func (m *array) index(key []byte) (uint32, bool) {
	if len(key) != 4 {
		return 0, false
	}
	i := binary.LittleEndian.Uint32(key)
	return i, i < m.max
}

// offset is where in values element i of a CPU begins.
func (m *array) offset(cpu int, i uint32) int {
	return int(m.cpuStride)*cpu + int(i)*int(m.stride)
}

func (m *array) value(cpu int, i uint32) []byte {
	off := m.offset(cpu, i)
	return m.values[off : off+int(m.spec.ValueSize)]
}

func (m *array) LookupAddr(cpu int, key []byte) uint32 {
	if len(key) != 4 || uint(cpu) >= m.numCPUs {
		return 0
	}
	i := binary.LittleEndian.Uint32(key)
	if i >= m.max {
		return 0
	}
	return m.data + m.cpuStride*uint32(cpu) + i*m.stride
}

func (m *array) elementAt(value uint32) ([]byte, uint32, bool) {
	off := value - m.data
	if m.cpuStride != 0 || off%m.stride != 0 || off/m.stride >= m.max {
		return nil, 0, false
	}
	return appendLE32(off / m.stride), 0, true
}

// admit applies the rules on an update (Linux: array_map_update_elem).
func (m *array) admit(key []byte, valueSize, want int, flags uint64) (uint32, error) {
	if flags&^Lock > Exist || len(key) != 4 || valueSize != want {
		return 0, m.fail("update", EINVAL)
	}
	i, ok := m.index(key)
	if !ok {
		return 0, m.fail("update", E2BIG)
	}
	if flags&NoExist != 0 {
		return 0, m.fail("update", EEXIST)
	}
	if errno := m.checkFlags(flags); errno != 0 {
		return 0, m.fail("update", errno)
	}
	return i, nil
}

func (m *array) Update(cpu int, key, value []byte, flags uint64) error {
	i, err := m.admit(key, len(value), int(m.spec.ValueSize), flags)
	if err != nil {
		return err
	}
	if uint(cpu) >= uint(m.cpus) {
		return m.fail("update", EINVAL)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.replace(m.value(m.own(cpu), i), value, flags, false)
}

// own is cpu for a per-CPU map, 0 for one whose value all CPUs share.
func (m *array) own(cpu int) int {
	if m.cpuStride == 0 {
		return 0
	}
	return cpu
}

func (m *array) HostUpdate(key, value []byte, flags uint64) error {
	i, err := m.admit(key, len(value), m.spec.HostValueSize(m.cpus), flags)
	if err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.cpuStride == 0 {
		return m.replace(m.value(0, i), value, flags, false)
	}
	for cpu := range m.cpus {
		copy(m.value(cpu, i), value[cpu*int(m.stride):])
	}
	return nil
}

func (m *array) HostLookup(key []byte) ([]byte, error) {
	if len(key) != 4 {
		return nil, m.fail("lookup", EINVAL)
	}
	i, ok := m.index(key)
	if !ok {
		return nil, m.fail("lookup", ENOENT)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.hostValue(i), nil
}

func (m *array) hostValue(i uint32) []byte {
	out := make([]byte, m.spec.HostValueSize(m.cpus))
	if m.cpuStride == 0 {
		copy(out, m.value(0, i))
		m.clearSpecial(out)
		return out
	}
	for cpu := range m.cpus {
		copy(out[cpu*int(m.stride):], m.value(cpu, i))
	}
	return out
}

// Delete fails: elements of an array always exist (Linux: array_map_delete_elem).
func (m *array) Delete([]byte) error { return m.fail("delete", EINVAL) }

func (m *array) Next(key []byte) ([]byte, bool) { return nextIndex(key, m.max) }

// nextIndex is Next of an array of n elements (Linux: array_map_get_next_key).
func nextIndex(key []byte, n uint32) ([]byte, bool) {
	switch {
	case n == 0:
		return nil, false
	case len(key) != 4 || le32(key) >= n:
		return appendLE32(0), true
	case le32(key) == n-1:
		return nil, false
	}
	return appendLE32(le32(key) + 1), true
}

func (m *array) Len() int { return int(m.max) }

func (m *array) Clear() {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.values)
}

func (m *array) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for i := range m.max {
			m.mu.Lock()
			value := m.hostValue(i)
			m.mu.Unlock()
			if !yield(appendLE32(i), value) {
				return
			}
		}
	}
}
