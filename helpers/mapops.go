package helpers

import (
	"time"

	"github.com/skepvm/skep/maps"
)

// ret is what a helper with an error number returns: 0 or -errno.
func ret(err error) (uint64, error) {
	if err == nil {
		return 0, nil
	}
	return maps.ErrnoOf(err).Ret(), nil
}

func mapLookupElem(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	key, err := e.mem(2, r2, uint64(m.Spec().KeySize))
	if err != nil {
		return 0, err
	}
	return uint64(m.LookupAddr(e.CPU, key)), nil
}

func mapUpdateElem(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	key, err := e.mem(2, r2, uint64(m.Spec().KeySize))
	if err != nil {
		return 0, err
	}
	if m.Spec().Type.Row().Sockets { // the value is a pointer to a socket
		s, _, err := e.socketArg(3, r3)
		if err != nil {
			return 0, err
		}
		return ret(m.Update(e.CPU, key, e.socketValue(m, s), r4))
	}
	value, err := e.mem(3, r3, uint64(m.Spec().ValueSize))
	if err != nil {
		return 0, err
	}
	return ret(m.Update(e.CPU, key, value, r4))
}

func mapDeleteElem(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	key, err := e.mem(2, r2, uint64(m.Spec().KeySize))
	if err != nil {
		return 0, err
	}
	return ret(m.Delete(key))
}

// mapLookupPercpuElem gives another CPU's value, NULL when there is no such CPU.
func mapLookupPercpuElem(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	key, err := e.mem(2, r2, uint64(m.Spec().KeySize))
	if err != nil || uint32(r3) >= uint32(e.NumCPUs) {
		return 0, err
	}
	return uint64(m.LookupAddr(int(uint32(r3)), key)), nil
}

// pusher is the queue, stack or bloom filter in argument 1, and a view of the value in argument 2.
func (e *Env) pusher(r1, r2 uint64) (maps.Pusher, []byte, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return nil, nil, err
	}
	p, ok := m.(maps.Pusher)
	if !ok {
		return nil, nil, &ArgError{1, r1, "is neither queue nor stack"}
	}
	value, err := e.mem(2, r2, uint64(m.Spec().ValueSize))
	return p, value, err
}

func mapPushElem(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	p, value, err := e.pusher(r1, r2)
	if err != nil {
		return 0, err
	}
	return ret(p.Push(value, r3))
}

func mapPopElem(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	p, value, err := e.pusher(r1, r2)
	if err != nil {
		return 0, err
	}
	return ret(p.Pop(value))
}

func mapPeekElem(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	p, value, err := e.pusher(r1, r2)
	if err != nil {
		return 0, err
	}
	return ret(p.Peek(value))
}

// How long a program waits for a spin lock when Env.LockWait does not say. Where there is no other CPU, only a process can have it, for a moment.
const (
	lockWait      = time.Second
	lockWaitAlone = 10 * time.Millisecond
)

// spinLock: see Linux bpf_spin_lock. It waits for other CPUs' programs, and for a process that updates with BPF_F_LOCK.
func spinLock(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	word, err := e.lockArg(r1)
	if err != nil {
		return 0, err
	}
	wait := e.LockWait
	switch {
	case wait != 0:
	case e.NumCPUs == 1:
		wait = lockWaitAlone
	default:
		wait = lockWait
	}
	if e.lock != 0 || !maps.SpinLock(word, wait) {
		return 0, &ArgError{1, r1, "is a lock that nobody gives back"}
	}
	e.lock = uint32(r1)
	return 0, nil
}

func spinUnlock(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	word, err := e.lockArg(r1)
	if err != nil {
		return 0, err
	}
	e.lock = 0
	maps.SpinUnlock(word)
	return 0, nil
}

// lockArg is the lock that argument 1 points to.
func (e *Env) lockArg(r1 uint64) (*uint32, error) {
	if _, err := e.mem(1, r1, 4); err != nil {
		return nil, err
	}
	if r1%4 != 0 {
		return nil, &ArgError{1, r1, "is not aligned"}
	}
	return (*uint32)(e.Space.Pointer(uint32(r1))), nil
}

// Begin prepares the Env for a run: a lock that the one before kept, because it failed, is given back.
func (e *Env) Begin() {
	if e.lock != 0 {
		maps.SpinUnlock((*uint32)(e.Space.Pointer(e.lock)))
		e.lock = 0
	}
}
