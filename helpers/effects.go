package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Effect is what a program asked the kernel for that is neither in guest memory nor in its result: a signal, another result for a
// function, a next hop.
type Effect struct {
	Helper string
	Value  uint64 // the signal, the result, the interface
	Data   []byte // the next hop's address, 4 or 16 bytes; valid during the call only
}

// Counter is what a performance counter says (Linux: struct bpf_perf_event_value).
type Counter struct {
	Value, Enabled, Running uint64 // the count, and the times in ns for which it was enabled and ran
}

// effect hands an effect to whoever records them.
func (e *Env) effect(f Effect) {
	if e.Effect != nil {
		e.Effect(f)
	}
}

// maxSignal is the greatest signal.
const maxSignal = 64

// sendSignal: see Linux bpf_send_signal_common. The first process and the kernel's own tasks, of which one without a pid is one, are not sent any.
func sendSignal(name string) Func {
	return func(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
		sig := uint32(r1)
		switch t := e.task(); {
		case t.TGID <= 1:
			return errPerm.Ret(), nil
		case sig > maxSignal:
			return maps.EINVAL.Ret(), nil
		case sig != 0: // which only asks
			e.effect(Effect{Helper: name, Value: uint64(sig)})
		}
		return 0, nil
	}
}

// overrideReturn: see Linux bpf_override_return. That the function is one of those that allow it is the loader's matter.
func overrideReturn(e *Env, _, r2, _, _, _ uint64) (uint64, error) {
	e.effect(Effect{Helper: "bpf_override_return", Value: r2})
	return 0, nil
}

// Bytes of a struct bpf_pidns_info and a struct bpf_perf_event_value.
const (
	sizeofPidnsInfo  = 8
	sizeofEventValue = 24
)

// getNsCurrentPidTgid: see Linux bpf_get_ns_current_pid_tgid. r1 and r2 are the device and inode number of a pid namespace, which must be that of
// the task.
func getNsCurrentPidTgid(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	info, err := e.mem(3, r3, uint64(uint32(r4)))
	if err != nil {
		return 0, err
	}
	clear(info)
	t := e.task()
	if len(info) != sizeofPidnsInfo || t.NSIno == 0 || r1 != uint64(t.NSDev) || r2 != t.NSIno {
		return maps.EINVAL.Ret(), nil
	}
	binary.LittleEndian.PutUint32(info, t.NSPID)
	binary.LittleEndian.PutUint32(info[4:], t.NSTGID)
	return 0, nil
}

// counterAt finds the counter of a map's element (Linux: get_map_perf_counter).
func (e *Env) counterAt(handle, flags uint64) (Counter, maps.Errno, error) {
	m, err := e.mapArg(1, handle)
	if err != nil {
		return Counter{}, 0, err
	}
	if flags&^uint64(eventIndexMask) != 0 {
		return Counter{}, maps.EINVAL, nil
	}
	index := flags & eventIndexMask
	if index == eventCurrentCPU {
		index = uint64(e.CPU)
	}
	if index >= uint64(m.Spec().MaxEntries) {
		return Counter{}, maps.E2BIG, nil
	}
	if e.Counter != nil {
		if c, ok := e.Counter(m, uint32(index)); ok {
			return c, 0, nil
		}
	}
	return Counter{}, maps.ENOENT, nil
}

// perfEventRead: see Linux bpf_perf_event_read.
func perfEventRead(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	c, errno, err := e.counterAt(r1, r2)
	if errno != 0 || err != nil {
		return errno.Ret(), err
	}
	return c.Value, nil
}

// perfEventReadValue: see Linux bpf_perf_event_read_value. What cannot be read leaves zeros.
func perfEventReadValue(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	buf, err := e.mem(3, r3, uint64(uint32(r4)))
	if err != nil {
		return 0, err
	}
	clear(buf)
	if len(buf) != sizeofEventValue {
		return maps.EINVAL.Ret(), nil
	}
	c, errno, err := e.counterAt(r1, r2)
	if errno != 0 || err != nil {
		return errno.Ret(), err
	}
	c.put(buf)
	return 0, nil
}

func (c *Counter) put(buf []byte) {
	binary.LittleEndian.PutUint64(buf, c.Value)
	binary.LittleEndian.PutUint64(buf[8:], c.Enabled)
	binary.LittleEndian.PutUint64(buf[16:], c.Running)
}

// readBranchRecords: see Linux bpf_read_branch_records. No event comes with branches.
func readBranchRecords(_ *Env, _, _, _, r4, _ uint64) (uint64, error) {
	const recordSize = 1 // BPF_F_GET_BRANCH_RECORDS_SIZE
	if r4&^recordSize != 0 {
		return maps.EINVAL.Ret(), nil
	}
	return maps.ENOENT.Ret(), nil
}

// getBranchSnapshot: see Linux bpf_get_branch_snapshot, on a processor that records none.
func getBranchSnapshot(_ *Env, _, _, r3, _, _ uint64) (uint64, error) {
	if r3 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	return maps.ENOENT.Ret(), nil
}

// getFuncIP is the address of the function that a probe is at the start of, 0 when it is elsewhere.
func getFuncIP(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.FuncIP, nil }

// getAttachCookie is the number that whoever attached the program gave.
func getAttachCookie(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.Cookie, nil }

// redirectNeigh: see Linux bpf_redirect_neigh. The next hop that the caller gives, a struct bpf_redir_neigh, is an Effect.
func redirectNeigh(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	const sizeofRedirNeigh = 20
	n := uint32(r3)
	if n != 0 && n < sizeofRedirNeigh || r4 != 0 {
		return tcActShot, nil
	}
	if n != 0 {
		hop, err := e.mem(2, r2, sizeofRedirNeigh)
		if err != nil {
			return 0, err
		}
		size := map[uint32]int{2: 4, 10: 16}[binary.LittleEndian.Uint32(hop)]
		e.effect(Effect{Helper: "bpf_redirect_neigh", Value: uint64(uint32(r1)), Data: hop[4 : 4+size]})
	}
	e.redirectTo(prog.RedirectNeigh, uint32(r1), 0, 0)
	return tcActRedirect, nil
}
