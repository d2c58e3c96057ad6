package maps

import (
	"encoding/binary"
	"iter"
)

// refArray is an array whose elements refer to something outside it: programs, maps, devices, CPUs, sockets. An
// element is a u32, 0 when empty, with 4 more bytes for the program of a device or CPU entry. Only the host changes it.
type refArray struct {
	*array
	kind refKind
}

// refKind is where the types differ in the error numbers.
type refKind struct {
	onlyAny       bool  // updates take no flags but Any (Linux: bpf_fd_array_map_update_elem)
	byPresence    bool  // NoExist and Exist look at the element; else NoExist always fails
	deleteBeyond  Errno // delete of an index beyond the end
	deleteMissing Errno // delete of an empty element
	most          uint32
	sameAgain     bool // what is there already may be put there with any flags (Linux: xsk_map_update_elem)
	once          bool // nothing may be in the array twice (Linux: reuseport_array_update_check, for all arrays)
}

var refKinds = map[Type]refKind{
	ProgArray:   {onlyAny: true, deleteBeyond: E2BIG, deleteMissing: ENOENT},
	ArrayOfMaps: {onlyAny: true, deleteBeyond: E2BIG, deleteMissing: ENOENT},
	CgroupArray: {onlyAny: true, deleteBeyond: E2BIG, deleteMissing: ENOENT}, // control groups by id
	DevMap:      {deleteBeyond: EINVAL},
	CPUMap:      {deleteBeyond: EINVAL, most: cpuMapQueue},
	XSKMap:      {byPresence: true, deleteBeyond: EINVAL, sameAgain: true},
	SockMap:     {byPresence: true, deleteBeyond: EINVAL, deleteMissing: EINVAL},

	ReuseportSockArray: {byPresence: true, deleteBeyond: E2BIG, deleteMissing: ENOENT, once: true},
}

func newRefArray(c *core) (Map, error) {
	a, err := makeArray(c)
	if err != nil {
		return nil, err
	}
	return &refArray{array: a, kind: refKinds[c.spec.Type]}, nil
}

func (m *refArray) ref(i uint32) uint32 { return binary.LittleEndian.Uint32(m.value(0, i)) }

// LookupAddr gives the element's address, 0 when it is empty; for an array of maps or of sockets what it refers to: the
// handle of the inner map, or the socket's address.
func (m *refArray) LookupAddr(_ int, key []byte) uint32 {
	i, ok := m.index(key)
	if !ok {
		return 0
	}
	ref := m.ref(i)
	if ref == 0 || m.row.MapInMap || m.row.Sockets {
		return ref
	}
	return m.data + i*m.stride
}

func (m *refArray) Update(_ int, key, value []byte, flags uint64) error {
	return m.HostUpdate(key, value, flags)
}

func (m *refArray) HostUpdate(key, value []byte, flags uint64) error {
	i, ok := m.index(key)
	switch {
	case len(key) != 4, len(value) != int(m.spec.ValueSize), flags > Exist, m.kind.onlyAny && flags != Any:
		return m.fail("update", EINVAL)
	case !ok:
		return m.fail("update", E2BIG)
	case !m.kind.byPresence && flags == NoExist:
		return m.fail("update", EEXIST)
	case m.kind.most != 0 && le32(value) > m.kind.most:
		return m.fail("update", EOVERFLOW)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch old := m.ref(i); {
	case m.kind.sameAgain && old == le32(value):
	case m.kind.byPresence && flags == NoExist && old != 0:
		return m.fail("update", EEXIST)
	case m.kind.byPresence && flags == Exist && old == 0:
		return m.fail("update", ENOENT)
	case m.kind.once && m.holds(le32(value)):
		return m.fail("update", EBUSY)
	}
	copy(m.value(0, i), value)
	return nil
}

// holds reports whether an element refers to that.
func (m *refArray) holds(ref uint32) bool {
	for i := range m.max {
		if m.ref(i) == ref {
			return true
		}
	}
	return false
}

func (m *refArray) HostLookup(key []byte) ([]byte, error) {
	value, err := m.array.HostLookup(key)
	if err == nil && le32(value) == 0 {
		return nil, m.fail("lookup", ENOENT)
	}
	return value, err
}

func (m *refArray) Delete(key []byte) error {
	if len(key) != 4 {
		return m.fail("delete", EINVAL)
	}
	i, ok := m.index(key)
	if !ok {
		return m.fail("delete", m.kind.deleteBeyond)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ref(i) == 0 && m.kind.deleteMissing != 0 {
		return m.fail("delete", m.kind.deleteMissing)
	}
	clear(m.value(0, i))
	return nil
}

// Len returns the number of elements that are not empty.
func (m *refArray) Len() int {
	n := 0
	for i := range m.max {
		if m.ref(i) != 0 {
			n++
		}
	}
	return n
}

// All skips empty elements.
func (m *refArray) All() iter.Seq2[[]byte, []byte] {
	return func(yield func([]byte, []byte) bool) {
		for key, value := range m.array.All() {
			if le32(value) != 0 && !yield(key, value) {
				return
			}
		}
	}
}

// devHash is DevMapHash: a hash whose updates take Exist as Any, and no device 0 (Linux: __dev_map_hash_update_elem).
type devHash struct{ *hash }

func newDevHash(c *core) (Map, error) {
	h, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	return &devHash{h}, nil
}

func (m *devHash) Update(_ int, key, value []byte, flags uint64) error {
	return m.HostUpdate(key, value, flags)
}

func (m *devHash) HostUpdate(key, value []byte, flags uint64) error {
	if flags > Exist || len(value) != int(m.spec.ValueSize) || le32(value) == 0 {
		return m.fail("update", EINVAL)
	}
	return m.hash.HostUpdate(key, value, flags&NoExist)
}

// hashOfRefs is a hash whose lookups yield what its elements refer to: inner maps, or sockets.
type hashOfRefs struct{ *hash }

func newHashOfRefs(c *core) (Map, error) {
	h, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	return &hashOfRefs{h}, nil
}

// LookupAddr gives the handle of the inner map, or the socket's address.
func (m *hashOfRefs) LookupAddr(_ int, key []byte) uint32 {
	addr := m.hash.LookupAddr(0, key)
	if addr == 0 {
		return 0
	}
	return m.space.Load32(addr)
}

// PutMap makes inner the element at key of outer, a map-in-map. It gives EINVAL when inner is not what Spec().Inner
// describes (Linux: bpf_map_meta_equal, array_map_meta_equal).
func PutMap(outer Map, key []byte, inner Map) error {
	if !outer.Spec().Type.Row().MapInMap {
		return &Error{Op: "update", Map: outer.Spec().Name, Errno: EINVAL, Reason: "not a map of maps"}
	}
	if want := outer.Spec().Inner; want != nil && !want.fits(inner.Spec()) {
		return &Error{Op: "update", Map: outer.Spec().Name, Errno: EINVAL,
			Reason: "inner map " + inner.Spec().Name + " has another shape"}
	}
	return outer.HostUpdate(key, appendLE32(inner.Handle()), Any)
}

// fits reports whether a map of spec in may stand where s was described.
func (s *Spec) fits(in *Spec) bool {
	if s.Type != in.Type || s.KeySize != in.KeySize || s.ValueSize != in.ValueSize || s.Flags != in.Flags {
		return false
	}
	return s.Type != Array || s.Flags&InnerMap != 0 || s.MaxEntries == in.MaxEntries
}
