package maps

import (
	"bytes"
	"encoding/binary"
)

// StackTraces is a map of type StackTrace: stacks of return addresses, by an id that is made of the stack itself. With the flag
// StackBuildID an address is a struct bpf_stack_build_id of buildIDSize bytes; as no file is known to be mapped where a stack
// leads to, that holds the address itself (Linux: BPF_STACK_BUILD_ID_IP, where the kernel cannot look at the mappings either).
type StackTraces struct {
	*hash
	buckets uint32 // a power of two, at least MaxEntries
}

func newStackTraces(c *core) (Map, error) {
	entry := uint32(8)
	if c.spec.Flags&StackBuildID != 0 {
		entry = buildIDSize
	}
	switch {
	case c.spec.ValueSize%entry != 0, c.spec.ValueSize/entry > stackDepthMax:
		return nil, c.fail("create", EINVAL)
	case c.spec.MaxEntries > 1<<31:
		return nil, c.fail("create", E2BIG)
	}
	h, err := makeHash(c)
	if err != nil {
		return nil, err
	}
	m := &StackTraces{hash: h, buckets: 1}
	for m.buckets < c.spec.MaxEntries {
		m.buckets *= 2
	}
	return m, nil
}

// Put stores a stack of 8-byte addresses, cut to the size of a value, and returns its id. Another stack with the same id is
// replaced when replace is set, else it gives EEXIST; with sameHash a stack of the same hash counts as the same (Linux:
// bpf_get_stackid).
func (m *StackTraces) Put(stack []byte, replace, sameHash bool) (id uint32, err error) {
	value := make([]byte, m.spec.ValueSize)
	if m.spec.Flags&StackBuildID != 0 {
		putBuildIDs(value, stack)
	} else {
		copy(value, stack)
	}
	sum := traceHash(value)
	id = sum & (m.buckets - 1)
	key := appendLE32(id)
	if addr := m.LookupAddr(0, key); addr != 0 {
		old := m.view(addr, uint64(len(value)))
		switch {
		case bytes.Equal(old, value), sameHash && traceHash(old) == sum:
			return id, nil
		case !replace:
			return 0, m.fail("update", EEXIST)
		}
	}
	err = m.HostUpdate(key, value, Any)
	if ErrnoOf(err) == E2BIG {
		err = m.fail("update", ENOMEM)
	}
	return id, err
}

// A struct bpf_stack_build_id: a status, 20 bytes of build id, an offset or an address.
const (
	buildIDSize   = 32
	buildIDAddr   = 24
	buildIDWithIP = 2 // BPF_STACK_BUILD_ID_IP
)

// putBuildIDs fills value with as much of the stack as fits (Linux: stack_map_get_build_id_offset).
func putBuildIDs(value, stack []byte) {
	for ; len(stack) >= 8 && len(value) >= buildIDSize; stack, value = stack[8:], value[buildIDSize:] {
		binary.LittleEndian.PutUint32(value, buildIDWithIP)
		copy(value[buildIDAddr:buildIDSize], stack)
	}
}

// traceHash is FNV-1a over words.
func traceHash(b []byte) uint32 {
	h := uint64(14695981039346656037)
	for ; len(b) >= 4; b = b[4:] {
		h = (h ^ uint64(le32(b))) * 1099511628211
	}
	return uint32(h ^ h>>32)
}

// Delete: see Linux stack_map_delete_elem.
func (m *StackTraces) Delete(key []byte) error {
	if len(key) == 4 && le32(key) >= m.buckets {
		return m.fail("delete", E2BIG)
	}
	return m.hash.Delete(key)
}

// Update is not for programs: see Put.
func (m *StackTraces) Update(int, []byte, []byte, uint64) error { return m.fail("update", EINVAL) }
