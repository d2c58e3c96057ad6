package maps

import (
	"cmp"
	"runtime"
	"slices"
	"sync/atomic"
	"time"
	"unsafe"
)

// How a spin lock is waited for: a while by giving way, then by sleeping. A run that fails may leave one locked; its CPU gives it back when it
// begins the next, but an unverified program can do anything.
const (
	lockTries = 1000
	lockNap   = 50 * time.Microsecond
	lockWait  = 2 * time.Second // of a process
)

// SpinLock takes a struct bpf_spin_lock, a word of guest memory that is 1 while it is taken. It waits for whoever has it, at most about as
// long as said; false when it was not given back, or is none: then it holds something else.
func SpinLock(word *uint32, wait time.Duration) bool {
	for range lockTries {
		switch {
		case atomic.CompareAndSwapUint32(word, 0, 1):
			return true
		case atomic.LoadUint32(word) > 1:
			return false
		}
		runtime.Gosched()
	}
	for end := time.Now().Add(wait); time.Now().Before(end); {
		if atomic.CompareAndSwapUint32(word, 0, 1) {
			return true
		}
		time.Sleep(lockNap)
	}
	return false
}

// SpinUnlock gives a lock back.
func SpinUnlock(word *uint32) { atomic.StoreUint32(word, 0) }

// lockOf is the spin lock in a value in guest memory, nil when it has none where one can be.
func (c *core) lockOf(value []byte) *uint32 {
	off, ok := c.spec.Lock()
	if !ok || off%sizeofLock != 0 || off+sizeofLock > len(value) {
		return nil
	}
	return (*uint32)(unsafe.Pointer(&value[off]))
}

// withLock does what changes or reads a value in guest memory, under its spin lock when flags has Lock (Linux: copy_map_value_locked).
func (c *core) withLock(op string, value []byte, flags uint64, do func()) error {
	var word *uint32
	if flags&Lock != 0 {
		word = c.lockOf(value)
	}
	if word == nil {
		do()
		return nil
	}
	if !SpinLock(word, lockWait) {
		return c.fail(op, EBUSY)
	}
	do()
	SpinUnlock(word)
	return nil
}

// replace is copyValue, under the value's lock when flags has Lock.
func (c *core) replace(dst, src []byte, flags uint64, keep bool) error {
	return c.withLock("update", dst, flags, func() { c.copyValue(dst, src, keep) })
}

// copyValue overwrites a value that is in use, except for its lock. Its other special fields go, unless the copy is made under the
// lock: then they stay, in a hash (Linux: copy_map_value, bpf_obj_free_fields, and copy_map_value_locked alone in
// htab_map_update_elem). What stays is not touched: somebody may be looking at it.
func (c *core) copyValue(dst, src []byte, keep bool) {
	at := 0
	for _, f := range c.specials {
		if f.off < at {
			continue // inside of the one before
		}
		copy(dst[at:f.off], src[at:])
		if at = f.off + f.size; !keep && !f.lock {
			clear(dst[f.off:at])
		}
	}
	copy(dst[at:], src[at:])
}

func sortSpecials(fields []special) []special {
	slices.SortFunc(fields, func(a, b special) int { return cmp.Compare(a.off, b.off) })
	return fields
}
