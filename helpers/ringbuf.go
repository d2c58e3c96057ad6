package helpers

import "github.com/skepvm/skep/maps"

// Flags of ring buffer helpers: there is nobody to wake up, so they are only checked.
const ringWakeupFlags = 3 // BPF_RB_NO_WAKEUP, BPF_RB_FORCE_WAKEUP

func (e *Env) ring(r1 uint64) (*maps.Ring, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return nil, err
	}
	if r, ok := m.(*maps.Ring); ok {
		return r, nil
	}
	return nil, &ArgError{1, r1, "is no ring buffer"}
}

func ringbufOutput(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	r, err := e.ring(r1)
	if err != nil {
		return 0, err
	}
	if r4&^ringWakeupFlags != 0 {
		return maps.EINVAL.Ret(), nil
	}
	data, err := e.mem(2, r2, r3)
	if err != nil {
		return 0, err
	}
	return ret(r.Output(data))
}

func ringbufReserve(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	r, err := e.ring(r1)
	if err != nil || r3 != 0 {
		return 0, err
	}
	return uint64(r.Reserve(r2)), nil
}

func ringbufSubmit(e *Env, r1, _, _, _, _ uint64) (uint64, error) { return e.commit(r1, false) }

func ringbufDiscard(e *Env, r1, _, _, _, _ uint64) (uint64, error) { return e.commit(r1, true) }

func (e *Env) commit(r1 uint64, discard bool) (uint64, error) {
	r := e.Maps.RingOf(uint32(r1))
	if r == nil || r.Commit(uint32(r1), discard) != nil {
		return 0, &ArgError{1, r1, "is no reserved ring buffer record"}
	}
	return 0, nil
}

func ringbufQuery(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	r, err := e.ring(r1)
	if err != nil {
		return 0, err
	}
	return r.Query(r2), nil
}
