package helpers

import "github.com/skepvm/skep/maps"

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

// spinLock has nothing to wait for: one virtual CPU runs a program to its end, and maps that several share are
// locked by their own code.
func spinLock(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

func spinUnlock(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
