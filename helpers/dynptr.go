package helpers

import "github.com/skepvm/skep/maps"

// A dynptr is 16 bytes of stack: where its memory begins, the size and type, and an offset (Linux: struct bpf_dynptr_kern).
// Programs cannot read it.
const (
	dynptrData   = 0  // u64 guest address, of a packet's that of the ctx; 0: the dynptr is invalid
	dynptrSize   = 8  // u32: size, type and whether it is read-only
	dynptrOffset = 12 // u32

	dynptrMaxSize   = 1<<24 - 1
	dynptrSizeMask  = 1<<24 - 1
	dynptrTypeShift = 28
	dynptrTypeMask  = 7
	dynptrReadOnly  = 1 << 31
)

// Types of dynptrs (Linux: enum bpf_dynptr_type).
const (
	dynptrLocal   = 1 // memory of the program
	dynptrRingbuf = 2 // a record of a ring buffer
	dynptrSKB     = 3 // the packet of a ctx
	dynptrXDP     = 4
)

// dynptr is one, as it lies in memory.
type dynptr struct {
	at   uint32 // where
	data uint32
	off  uint32
	size uint32
	typ  uint32
	only bool // read-only
}

// dynptrAt reads a dynptr.
func (e *Env) dynptrAt(ptr uint64) dynptr {
	at := uint32(ptr)
	word := e.Space.Load32(at + dynptrSize)
	return dynptr{at: at, data: uint32(e.Space.Load64(at + dynptrData)), off: e.Space.Load32(at + dynptrOffset),
		size: word & dynptrSizeMask, typ: word >> dynptrTypeShift & dynptrTypeMask, only: word&dynptrReadOnly != 0}
}

// setDynptr makes a dynptr; one of size 0 at address 0 is invalid.
func (e *Env) setDynptr(ptr uint64, data, size, typ uint32) {
	at := uint32(ptr)
	e.Space.Store64(at+dynptrData, uint64(data))
	e.Space.Store32(at+dynptrSize, size|typ<<dynptrTypeShift)
	e.Space.Store32(at+dynptrOffset, 0)
}

// LocalDynptr makes a dynptr to memory of the program's, for engines that give one to a callback. It takes DynptrSize bytes.
func (e *Env) LocalDynptr(at, data, size uint32) { e.setDynptr(uint64(at), data, size, dynptrLocal) }

// DynptrSize is the size of a dynptr in bytes.
const DynptrSize = 16

// holds reports whether [off, off+n) is inside (Linux: bpf_dynptr_check_off_len).
func (d *dynptr) holds(off, n uint32) bool { return n <= d.size && off <= d.size-n }

// dynptrFromMem: see Linux bpf_dynptr_from_mem.
func dynptrFromMem(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	size := uint32(r2)
	switch {
	case size > dynptrMaxSize:
		e.setDynptr(r4, 0, 0, 0)
		return maps.E2BIG.Ret(), nil
	case r3 != 0:
		e.setDynptr(r4, 0, 0, 0)
		return maps.EINVAL.Ret(), nil
	}
	e.setDynptr(r4, uint32(r1), size, dynptrLocal)
	return 0, nil
}

// dynptrRange is the guest address of a part that the dynptr holds; of a packet the part must still be there. Of a packet in several
// buffers it may not be in one: then the address is 0, and packet has the part.
func (e *Env) dynptrRange(d *dynptr, off, n uint32) (addr uint32, packet *pieces, errno maps.Errno, err error) {
	if d.typ != dynptrSKB && d.typ != dynptrXDP {
		return d.data + d.off + off, nil, 0, nil
	}
	f, err := e.frameOf(uint64(d.data))
	if err != nil {
		return 0, nil, 0, err
	}
	from := uint64(d.off) + uint64(off)
	if d.typ == dynptrXDP {
		p := e.piecesOf(&f)
		if errno = p.holds(uint32(min(from, intMax)), n); errno != 0 {
			return 0, nil, errno, nil
		}
		return p.in(uint32(from), n), &p, 0, nil
	}
	if from+uint64(n) > uint64(f.len()) {
		return 0, nil, errFault, nil
	}
	return f.data + uint32(from), nil, 0, nil
}

// dynptrView is the host's view of a part of a dynptr's memory, to be read; E2BIG when the dynptr does not hold it.
func (e *Env) dynptrView(d *dynptr, off, n uint32) ([]byte, maps.Errno, error) {
	return e.dynptrPart(d, off, n, nil)
}

// dynptrFill writes n bytes that fill makes to a dynptr's memory.
func (e *Env) dynptrFill(d *dynptr, off, n uint32, fill func(part []byte)) (maps.Errno, error) {
	b, errno, err := e.dynptrPart(d, off, n, fill)
	if errno == 0 && err == nil && b != nil {
		fill(b)
	}
	return errno, err
}

// dynptrPart is the view, or a copy where the memory is in several pieces. With fill, those are filled from the copy, and there is no view.
func (e *Env) dynptrPart(d *dynptr, off, n uint32, fill func(part []byte)) ([]byte, maps.Errno, error) {
	if !d.holds(off, n) {
		return nil, maps.E2BIG, nil
	}
	addr, packet, errno, err := e.dynptrRange(d, off, n)
	if errno != 0 || err != nil {
		return nil, errno, err
	}
	if addr != 0 || packet == nil {
		b, err := e.mem(1, uint64(addr), uint64(n))
		return b, 0, err
	}
	b := make([]byte, n)
	if fill == nil {
		e.load(packet, d.off+off, b)
		return b, 0, nil
	}
	fill(b)
	e.store(packet, d.off+off, b)
	return nil, 0, nil
}

// dynptrRead: see Linux bpf_dynptr_read.
func dynptrRead(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	d, n := e.dynptrAt(r3), uint32(r2)
	if d.data == 0 || r5 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	src, errno, err := e.dynptrView(&d, uint32(r4), n)
	if errno != 0 || err != nil {
		return errno.Ret(), err
	}
	dst, err := e.mem(1, r1, uint64(n))
	copy(dst, src)
	return 0, err
}

// dynptrWrite: see Linux bpf_dynptr_write. Only packets of an skb take flags, those of bpf_skb_store_bytes.
func dynptrWrite(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	d, off, n := e.dynptrAt(r1), uint32(r2), uint32(r4)
	switch {
	case d.data == 0 || d.only:
		return maps.EINVAL.Ret(), nil
	case !d.holds(off, n):
		return maps.E2BIG.Ret(), nil
	case d.typ == dynptrSKB:
		return skbStoreBytes(e, uint64(d.data), uint64(d.off+off), r3, uint64(n), r5)
	case r5 != 0:
		return maps.EINVAL.Ret(), nil
	}
	src, err := e.mem(3, r3, uint64(n))
	if err != nil {
		return 0, err
	}
	errno, err := e.dynptrFill(&d, off, n, func(part []byte) { copy(part, src) })
	return errno.Ret(), err
}

// dynptrSlice: see Linux bpf_dynptr_data.
func dynptrSlice(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	d, off, n := e.dynptrAt(r1), uint32(r2), uint32(r3)
	if d.data == 0 || d.only || !d.holds(off, n) || d.typ == dynptrSKB || d.typ == dynptrXDP {
		return 0, nil
	}
	return uint64(d.data + d.off + off), nil
}

// ringbufReserveDynptr: see Linux bpf_ringbuf_reserve_dynptr.
func ringbufReserveDynptr(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	r, err := e.ring(r1)
	if err != nil {
		return 0, err
	}
	e.setDynptr(r4, 0, 0, 0)
	switch {
	case r3 != 0:
		return maps.EINVAL.Ret(), nil
	case uint32(r2) > dynptrMaxSize:
		return maps.E2BIG.Ret(), nil
	}
	record := r.Reserve(uint64(uint32(r2)))
	if record == 0 {
		return maps.EINVAL.Ret(), nil
	}
	e.setDynptr(r4, record, uint32(r2), dynptrRingbuf)
	return 0, nil
}

func ringbufSubmitDynptr(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	return e.commitDynptr(r1, false)
}

func ringbufDiscardDynptr(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	return e.commitDynptr(r1, true)
}

// commitDynptr gives a record back. A reservation that failed left a dynptr that is invalid, and nothing to do.
func (e *Env) commitDynptr(ptr uint64, discard bool) (uint64, error) {
	d := e.dynptrAt(ptr)
	if d.data == 0 {
		return 0, nil
	}
	e.setDynptr(ptr, 0, 0, 0)
	return e.commit(uint64(d.data), discard)
}
