package maps

// How many objects may have a value in a storage map, and how many bytes all of them: the kernel has no limit but memory.
const (
	storageMax   = 1 << 16
	cgroupsMax   = 1 << 10
	storageBytes = 64 << 20
)

// storage is SKStorage, InodeStorage, TaskStorage and CgrpStorage: a value for each object that was given one. Where the kernel has a
// descriptor for a key, here is the guest address of a socket or an inode, the pid of a task, or the id of a control group. Values
// appear as a hash's do.
//
// Deviations: at most storageMax objects, and storageBytes; a map needs no BTF.
type storage struct {
	*hash
	given *Spec
}

func newStorage(c *core) (Map, error) {
	h, given, err := makeUnbounded(c, storageMax)
	if err != nil {
		return nil, err
	}
	return &storage{h, given}, nil
}

// makeUnbounded makes a hash for a type without max_entries. given is the Spec as it was.
func makeUnbounded(c *core, most uint32) (h *hash, given *Spec, err error) {
	given, sized := c.spec, *c.spec
	size := round8(given.ValueSize)
	if c.row.PerCPU {
		size *= uint32(c.cpus)
	}
	sized.MaxEntries = min(most, max(storageBytes/size, 1))
	c.spec = &sized
	h, err = makeHash(c)
	return h, given, err
}

// Spec returns what the map was made of, whose MaxEntries is 0.
func (m *storage) Spec() *Spec { return m.given }

// CgroupStorages is a map of type CgroupStorage or PerCPUCgroupStorage: a value for each control group that a program is attached to,
// and for each way in which it is when the key has room for that (Linux: struct bpf_cgroup_storage_key). In the kernel they come
// and go with the attachments, here they come with the first program that asks: see At. Deviation: at most cgroupsMax.
type CgroupStorages struct {
	*hash
	given *Spec
}

// Sizes of keys: the group's id, and with it the attach type and 4 bytes that say nothing.
const (
	cgroupKey       = 8
	cgroupAttachKey = 16
)

func newCgroupStorage(c *core) (Map, error) {
	h, given, err := makeUnbounded(c, cgroupsMax)
	if err != nil {
		return nil, err
	}
	return &CgroupStorages{h, given}, nil
}

// Spec returns what the map was made of, whose MaxEntries is 0.
func (m *CgroupStorages) Spec() *Spec { return m.given }

// At returns the guest address of the value for a control group and an attach type, which is made of zeros when there is none; 0 when
// there is no room (Linux: bpf_get_local_storage).
func (m *CgroupStorages) At(cpu int, cgroup uint64, attach uint32) uint32 {
	var key [cgroupAttachKey]byte
	for i := range cgroupKey {
		key[i] = byte(cgroup >> (8 * i))
	}
	copy(key[cgroupKey:], appendLE32(attach))
	k := key[:m.keySize]
	if addr := m.LookupAddr(cpu, k); addr != 0 {
		return addr
	}
	if err := m.hash.HostUpdate(k, make([]byte, m.spec.HostValueSize(m.cpus)), NoExist); err != nil && ErrnoOf(err) != EEXIST {
		return 0
	}
	return m.LookupAddr(cpu, k)
}

// canonical is a key of the map without what says nothing.
func (m *CgroupStorages) canonical(key []byte) []byte {
	if len(key) != cgroupAttachKey {
		return key
	}
	return append(append([]byte(nil), key[:cgroupKey+4]...), 0, 0, 0, 0)
}

// Update is not for programs.
func (m *CgroupStorages) Update(int, []byte, []byte, uint64) error { return m.fail("update", EINVAL) }

// HostUpdate replaces a value (Linux: cgroup_storage_update_elem, bpf_percpu_cgroup_storage_update).
func (m *CgroupStorages) HostUpdate(key, value []byte, flags uint64) error {
	if flags&^(Lock|Exist) != 0 || m.row.PerCPU && flags&^Exist != 0 {
		return m.fail("update", EINVAL)
	}
	return m.hash.HostUpdate(m.canonical(key), value, flags|Exist)
}

// HostLookup copies a value.
func (m *CgroupStorages) HostLookup(key []byte) ([]byte, error) {
	return m.hash.HostLookup(m.canonical(key))
}

// Delete fails: values go with the attachment.
func (m *CgroupStorages) Delete([]byte) error { return m.fail("delete", EINVAL) }

// Next finds nothing after a key that is not there (Linux: cgroup_storage_get_next_key).
func (m *CgroupStorages) Next(key []byte) ([]byte, bool) {
	if key != nil {
		key = m.canonical(key)
		if _, err := m.hash.HostLookup(key); err != nil {
			return nil, false
		}
	}
	return m.hash.Next(key)
}
