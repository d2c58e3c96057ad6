package maps

import (
	"bytes"
	"sync/atomic"
)

// Host is a map as a process has it that talks to bpf(2): the same map, with that system call's rules. It may not do what the map's flags
// forbid user space (ReadOnly, WriteOnly) or what was frozen (EPERM), and not every command goes with every type: see Row.
//
// Keys and values are those of HostLookup and HostUpdate. What a process names by file descriptor, a program, a map or a socket, is
// named here as HostUpdate has it, and a lookup gives the same name back where the kernel gives an id.
type Host struct{ m Map }

// HostOf returns m as bpf(2) shows it.
func HostOf(m Map) Host { return Host{m} }

// Map returns the map itself.
func (h Host) Map() Map { return h.m }

// hostRules are a type's answers to the commands of bpf(2): 0, the command works, or the error number that it always gives.
type hostRules struct {
	lookup, update, del, next Errno
	take                      bool // BPF_MAP_LOOKUP_AND_DELETE_ELEM works
	cookie                    bool // a lookup gives a socket's cookie, of 8 bytes
	batch                     batches
}

// batches is a set of batch commands.
type batches uint8

const (
	lookupBatch batches = 1 << iota
	takeBatch
	updateBatch
	deleteBatch

	arrayBatches = lookupBatch | updateBatch
	hashBatches  = lookupBatch | takeBatch | updateBatch | deleteBatch
)

// access is what an operation needs the map to allow user space.
type access uint8

const (
	reads access = 1 << iota
	writes
)

// admit checks flags (all but Lock are refused when onlyLock is set) and access, in the kernel's order (Linux: map_lookup_elem,
// map_update_elem, map_get_sys_perms).
func (h Host) admit(op string, need access, flags uint64, onlyLock bool) error {
	c := h.core()
	if onlyLock && flags&^Lock != 0 {
		return c.fail(op, EINVAL)
	}
	if need&reads != 0 && c.spec.Flags&WriteOnly != 0 || need&writes != 0 && (c.spec.Flags&ReadOnly != 0 || c.frozen()) {
		return c.fail(op, EPERM)
	}
	if flags&Lock != 0 {
		if _, ok := c.spec.Lock(); !ok {
			return c.fail(op, EINVAL)
		}
	}
	return nil
}

// Wrapper is a Map that shows another one in its way.
type Wrapper interface {
	Map
	Inner() Map
}

func (h Host) core() *core {
	m := h.m
	for {
		w, ok := m.(Wrapper)
		if !ok {
			return m.(interface{ shared() *core }).shared()
		}
		m = w.Inner()
	}
}

// checkKey checks a key's size; no key at all is right for maps without keys.
func (h Host) checkKey(op string, key []byte) error {
	if c := h.core(); len(key) != int(c.spec.KeySize) {
		return c.fail(op, EINVAL)
	}
	return nil
}

// Lookup is BPF_MAP_LOOKUP_ELEM; flags may be Lock. In a bloom filter see Contains.
func (h Host) Lookup(key []byte, flags uint64) ([]byte, error) {
	if err := h.admit("lookup", reads, flags, true); err != nil {
		return nil, err
	}
	if err := h.checkKey("lookup", key); err != nil {
		return nil, err
	}
	if flags&Lock != 0 {
		return h.copyLocked(key)
	}
	return h.copyOut("lookup", key)
}

// copyLocked is a copy of a value, made under its spin lock.
func (h Host) copyLocked(key []byte) (out []byte, err error) {
	c := h.core()
	addr := h.m.LookupAddr(0, key)
	if addr == 0 {
		return nil, c.fail("lookup", ENOENT)
	}
	value := c.view(addr, uint64(c.spec.ValueSize))
	err = c.withLock("lookup", value, Lock, func() { out = bytes.Clone(value) })
	if err != nil {
		return nil, err
	}
	c.clearSpecial(out)
	return out, nil
}

func (h Host) copyOut(op string, key []byte) ([]byte, error) {
	c := h.core()
	if errno := c.row.host.lookup; errno != 0 {
		return nil, c.fail(op, errno)
	}
	if c.row.host.cookie && c.spec.ValueSize != 8 { // whose name is a cookie of 8 bytes
		return nil, c.fail(op, ENOSPC)
	}
	return h.m.HostLookup(key)
}

// Contains is BPF_MAP_LOOKUP_ELEM in a bloom filter: nil when the value may be in it, else ENOENT.
func (h Host) Contains(value []byte) error {
	if err := h.admit("lookup", reads, 0, true); err != nil {
		return err
	}
	b, ok := h.m.(*bloom)
	if !ok {
		return h.core().fail("lookup", EINVAL)
	}
	return b.Peek(value)
}

// Update is BPF_MAP_UPDATE_ELEM.
func (h Host) Update(key, value []byte, flags uint64) error {
	if err := h.admit("update", writes, flags, false); err != nil {
		return err
	}
	if err := h.checkKey("update", key); err != nil {
		return err
	}
	return h.update(key, value, flags)
}

func (h Host) update(key, value []byte, flags uint64) error {
	if errno := h.core().row.host.update; errno != 0 {
		return h.core().fail("update", errno)
	}
	return h.m.HostUpdate(key, value, flags)
}

// Delete is BPF_MAP_DELETE_ELEM.
func (h Host) Delete(key []byte) error {
	if err := h.admit("delete", writes, 0, false); err != nil {
		return err
	}
	if err := h.checkKey("delete", key); err != nil {
		return err
	}
	return h.del(key)
}

func (h Host) del(key []byte) error {
	if errno := h.core().row.host.del; errno != 0 {
		return h.core().fail("delete", errno)
	}
	return h.m.Delete(key)
}

// taker is a map that looks up and deletes in one step.
type taker interface {
	takeOut(key []byte) ([]byte, error)
}

// LookupAndDelete is BPF_MAP_LOOKUP_AND_DELETE_ELEM: Pop for queues and stacks. Flags may be Lock for hashes.
func (h Host) LookupAndDelete(key []byte, flags uint64) ([]byte, error) {
	const op = "lookup and delete"
	c := h.core()
	if err := h.admit(op, reads|writes, flags, true); err != nil {
		return nil, err
	}
	if err := h.checkKey(op, key); err != nil {
		return nil, err
	}
	if !c.row.host.take {
		return nil, c.fail(op, ENOTSUPP)
	}
	if t, ok := h.m.(taker); ok {
		return t.takeOut(key)
	}
	value := make([]byte, c.spec.ValueSize)
	if err := h.m.(Pusher).Pop(value); err != nil {
		return nil, err
	}
	return value, nil
}

// Next is BPF_MAP_GET_NEXT_KEY: the first key when key is nil or not in the map, ENOENT after the last one.
func (h Host) Next(key []byte) ([]byte, error) {
	if err := h.admit("next key", reads, 0, false); err != nil {
		return nil, err
	}
	if key != nil {
		if err := h.checkKey("next key", key); err != nil {
			return nil, err
		}
	}
	return h.next(key)
}

func (h Host) next(key []byte) ([]byte, error) {
	c := h.core()
	if errno := c.row.host.next; errno != 0 {
		return nil, c.fail("next key", errno)
	}
	next, ok := h.m.Next(key)
	if !ok {
		return nil, c.fail("next key", ENOENT)
	}
	return next, nil
}

// Freeze is BPF_MAP_FREEZE: from now on a process cannot change the map, which programs still can. It gives EPERM when it was frozen
// already, and ENOTSUPP when values have fields that the kernel looks after (Linux: map_freeze; EBUSY, which it gives while somebody has the
// map mapped for writing, does not happen here).
func (h Host) Freeze() error {
	c := h.core()
	if len(c.spec.Fields) > 0 || len(c.specials) > 0 {
		return c.fail("freeze", ENOTSUPP)
	}
	if c.spec.Flags&ReadOnly != 0 || !atomic.CompareAndSwapUint32(c.state(stateFrozen), 0, 1) {
		return c.fail("freeze", EPERM)
	}
	return nil
}

// Frozen reports whether the map was frozen.
func (h Host) Frozen() bool { return h.core().frozen() }
