package helpers

import (
	"slices"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Kernel functions that engines can run are called as helpers are, by ids that no helper has: Link puts them where a program calls
// the function. Prototypes here are what checked mode looks at; the verifier goes by the declarations of kfuncTable.

// firstKfunc is the id of the first row of kfuncRows.
const firstKfunc = 1 << 20

// kfuncRows are the kernel functions that are implemented.
var kfuncRows = numbered(dynptrRows, stringRows, memoryRows, xdpRows, arenaRows)

// dynptrRows are those for iterators of numbers, dynptrs, work queues and sections.
var dynptrRows = []Row{
	{Name: "bpf_iter_num_new", Args: [5]Arg{ArgFixedMem | ArgWrite, ArgAny, ArgAny}, FixedSize: [5]uint32{8}, Fn: iterNumNew},
	{Name: "bpf_iter_num_next", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{8}, Fn: iterNumNext},
	{Name: "bpf_iter_num_destroy", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{8}, Fn: iterNumDestroy},
	{Name: "bpf_dynptr_from_skb", Args: [5]Arg{ArgAny, ArgAny, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{2: 16}, Fn: dynptrFromSKB},
	{Name: "bpf_dynptr_from_xdp", Args: [5]Arg{ArgCtx, ArgAny, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{2: 16}, Fn: dynptrFromXDP},
	{Name: "bpf_dynptr_slice", Args: [5]Arg{ArgFixedMem, ArgAny, ArgAny, ArgAllocSize}, FixedSize: [5]uint32{16}, Ret: RetAllocMem | RetMaybeNull,
		Fn: dynptrSliceRead},
	{Name: "bpf_dynptr_slice_rdwr", Args: [5]Arg{ArgFixedMem, ArgAny, ArgAny, ArgAllocSize}, FixedSize: [5]uint32{16},
		Ret: RetAllocMem | RetMaybeNull, Fn: dynptrSliceWrite},
	{Name: "bpf_dynptr_adjust", Args: [5]Arg{ArgFixedMem | ArgWrite, ArgAny, ArgAny}, FixedSize: [5]uint32{16}, Fn: dynptrAdjust},
	{Name: "bpf_dynptr_is_null", Args: [5]Arg{ArgFixedMem}, FixedSize: [5]uint32{16}, Fn: dynptrIsNull},
	{Name: "bpf_dynptr_is_rdonly", Args: [5]Arg{ArgFixedMem}, FixedSize: [5]uint32{16}, Fn: dynptrIsReadOnly},
	{Name: "bpf_dynptr_size", Args: [5]Arg{ArgFixedMem}, FixedSize: [5]uint32{16}, Fn: dynptrGetSize},
	{Name: "bpf_dynptr_clone", Args: [5]Arg{ArgFixedMem, ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{16, 16}, Fn: dynptrClone},
	{Name: "bpf_dynptr_copy", Args: [5]Arg{ArgFixedMem, ArgAny, ArgFixedMem, ArgAny, ArgAny}, FixedSize: [5]uint32{0: 16, 2: 16}, Fn: dynptrCopy},
	{Name: "bpf_dynptr_memset", Args: [5]Arg{ArgFixedMem, ArgAny, ArgAny, ArgAny}, FixedSize: [5]uint32{16}, Fn: dynptrMemset},
	{Name: "bpf_wq_init", Args: [5]Arg{ArgTimer, ArgMapPtr, ArgAny}, Engine: true},
	{Name: "bpf_wq_set_callback_impl", Args: [5]Arg{ArgTimer, ArgFunc, ArgAny}, Engine: true},
	{Name: "bpf_wq_start", Args: [5]Arg{ArgTimer, ArgAny}, Engine: true},
	{Name: "bpf_cast_to_kern_ctx", Args: [5]Arg{ArgCtx}, Fn: castToKernCtx},
	{Name: "bpf_sock_addr_set_sun_path", Args: [5]Arg{ArgCtx, ArgMem, ArgSize}, Fn: sockAddrSetSunPath},
	{Name: "bpf_throw", Args: [5]Arg{ArgAny}, Engine: true},
	{Name: "bpf_rcu_read_lock", Fn: nothing},
	{Name: "bpf_rcu_read_unlock", Fn: nothing},
	{Name: "bpf_preempt_disable", Fn: nothing},
	{Name: "bpf_preempt_enable", Fn: nothing},
}

func numbered(lists ...[]Row) []Row {
	rows := slices.Concat(lists...)
	for i := range rows {
		rows[i].ID = firstKfunc + int32(i)
	}
	return rows
}

// KfuncID is the id by which engines call a kernel function; false when none can.
func KfuncID(name string) (id int32, ok bool) {
	for i := range kfuncRows {
		if kfuncRows[i].Name == name {
			return kfuncRows[i].ID, true
		}
	}
	return 0, false
}

// Callable is what engines call by an id: a helper, a kernel function, or one of TracePrintk's. nil when there is none. The verifier asks ByID: programs
// cannot name kernel functions so.
func Callable(id int32) *Row {
	if i := id - firstKfunc; i >= 0 && int(i) < len(kfuncRows) {
		return &kfuncRows[i]
	}
	if i := id - firstPrintk; i >= 0 && int(i) < len(printkRows) {
		return &printkRows[i]
	}
	return ByID(id)
}

// intRet is a C int that a kernel function returns: unlike a helper's result it is not sign-extended.
func intRet(errno maps.Errno) uint64 { return uint64(uint32(errno.Ret())) }

// castToKernCtx gives the ctx itself: what the kernel has behind it is not here, so only functions can be given it.
func castToKernCtx(_ *Env, r1, _, _, _, _ uint64) (uint64, error) { return r1, nil }

// nothing is what locks and critical sections come to: a program runs to its end on its CPU.
func nothing(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

// A struct bpf_iter_num on the stack: the number given last, and the end.
const (
	iterNumCur   = 0
	iterNumEnd   = 4
	iterMaxLoops = 8 << 20 // BPF_MAX_LOOPS
)

// iterNumNew: see Linux bpf_iter_num_new.
func iterNumNew(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	at, start, end := uint32(r1), int32(r2), int32(r3)
	errno := maps.Errno(0)
	switch {
	case start > end:
		errno = maps.EINVAL
	case int64(end)-int64(start) > iterMaxLoops:
		errno = maps.E2BIG
	}
	if errno != 0 {
		start, end = 1, 0
	}
	e.Space.Store32(at+iterNumCur, uint32(start-1))
	e.Space.Store32(at+iterNumEnd, uint32(end))
	return intRet(errno), nil
}

// iterNumNext: see Linux bpf_iter_num_next. It gives the address of the number.
func iterNumNext(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	at := uint32(r1)
	next, end := int32(e.Space.Load32(at+iterNumCur))+1, int32(e.Space.Load32(at+iterNumEnd))
	if next >= end {
		e.Space.Store64(at, 0)
		return 0, nil
	}
	e.Space.Store32(at+iterNumCur, uint32(next))
	return uint64(at), nil
}

func iterNumDestroy(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	e.Space.Store64(uint32(r1), 0)
	return 0, nil
}

// dynptrFromSKB: see Linux bpf_dynptr_from_skb. Where programs may not write the packet it is read-only.
func dynptrFromSKB(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	if r1 != uint64(e.Ctx) && (e.Type != prog.Netfilter || r1 != e.Space.Load64(e.Ctx+prog.NetfilterSKB)) {
		return 0, &ArgError{1, r1, "is not the packet"}
	}
	return e.packetDynptr(dynptrSKB, uint64(e.Ctx), r2, r3)
}

// dynptrFromXDP: see Linux bpf_dynptr_from_xdp.
func dynptrFromXDP(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.packetDynptr(dynptrXDP, r1, r2, r3)
}

func (e *Env) packetDynptr(typ uint32, ctx, flags, ptr uint64) (uint64, error) {
	if flags != 0 {
		e.setDynptr(ptr, 0, 0, 0)
		return intRet(maps.EINVAL), nil
	}
	f, err := e.frameOf(ctx)
	if err != nil {
		return 0, err
	}
	e.setDynptr(ptr, uint32(ctx), uint32(e.piecesOf(&f).total), typ)
	if row := e.Type.Row(); typ == dynptrSKB && !row.PktWrite {
		at := uint32(ptr) + dynptrSize
		e.Space.Store32(at, e.Space.Load32(at)|dynptrReadOnly)
	}
	return 0, nil
}

func dynptrSliceRead(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	d := e.dynptrAt(r1)
	return e.sliceOf(&d, uint32(r2), r3, uint32(r4))
}

func dynptrSliceWrite(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	d := e.dynptrAt(r1)
	if d.only {
		return 0, nil
	}
	return e.sliceOf(&d, uint32(r2), r3, uint32(r4))
}

// sliceOf is the address of a part of a dynptr's memory, 0 when it is not there. What is in several buffers is copied to the one that
// the caller gives, if it gives one (Linux: bpf_dynptr_slice).
func (e *Env) sliceOf(d *dynptr, off uint32, buffer uint64, n uint32) (uint64, error) {
	if d.data == 0 || !d.holds(off, n) {
		return 0, nil
	}
	base, packet, errno, err := e.dynptrRange(d, off, n)
	if errno != 0 || err != nil {
		return 0, err
	}
	if base == 0 && packet != nil && buffer != 0 {
		to, err := e.mem(3, buffer, uint64(n))
		if err != nil {
			return 0, err
		}
		e.load(packet, d.off+off, to)
		return buffer, nil
	}
	return uint64(base), nil
}

func dynptrAdjust(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	d, start, end := e.dynptrAt(r1), uint32(r2), uint32(r3)
	switch {
	case d.data == 0 || start > end:
		return intRet(maps.EINVAL), nil
	case end > d.size:
		return intRet(errRange), nil
	}
	e.Space.Store32(d.at+dynptrOffset, d.off+start)
	word := e.Space.Load32(d.at + dynptrSize)
	e.Space.Store32(d.at+dynptrSize, word&^dynptrSizeMask|(end-start))
	return 0, nil
}

func dynptrIsNull(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	return boolWord(e.dynptrAt(r1).data == 0), nil
}

func dynptrIsReadOnly(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	d := e.dynptrAt(r1)
	return boolWord(d.data != 0 && d.only), nil
}

func boolWord(set bool) uint64 {
	if set {
		return 1
	}
	return 0
}

func dynptrGetSize(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	d := e.dynptrAt(r1)
	if d.data == 0 {
		return intRet(maps.EINVAL), nil // a __u32
	}
	return uint64(d.size), nil
}

func dynptrClone(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	if e.dynptrAt(r1).data == 0 {
		e.setDynptr(r2, 0, 0, 0)
		return intRet(maps.EINVAL), nil
	}
	for off := uint32(0); off < 16; off += 8 {
		e.Space.Store64(uint32(r2)+off, e.Space.Load64(uint32(r1)+off))
	}
	return 0, nil
}

// dynptrCopy: see Linux bpf_dynptr_copy.
func dynptrCopy(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	dst, src, n := e.dynptrAt(r1), e.dynptrAt(r3), uint32(r5)
	if dst.data == 0 || src.data == 0 || dst.only {
		return intRet(maps.EINVAL), nil
	}
	if _, errno, err := e.dynptrView(&dst, uint32(r2), n); errno != 0 || err != nil {
		return intRet(errno), err
	}
	from, errno, err := e.dynptrView(&src, uint32(r4), n)
	if errno != 0 || err != nil {
		return intRet(errno), err
	}
	errno, err = e.dynptrFill(&dst, uint32(r2), n, func(part []byte) { copy(part, from) })
	return intRet(errno), err
}

// dynptrMemset: see Linux bpf_dynptr_memset.
func dynptrMemset(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	d := e.dynptrAt(r1)
	if d.data == 0 || d.only {
		return intRet(maps.EINVAL), nil
	}
	errno, err := e.dynptrFill(&d, uint32(r2), uint32(r3), func(part []byte) {
		for i := range part {
			part[i] = byte(r4)
		}
	})
	return intRet(errno), err
}
