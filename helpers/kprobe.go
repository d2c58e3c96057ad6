package helpers

import (
	"slices"

	"github.com/skepvm/skep/maps"
)

// Kernel functions that read the memory of a described machine, and others that need little more than a number.

// memoryRows are those functions.
var memoryRows = []Row{
	{Name: "bpf_probe_read_user_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(userSpace, false)},
	{Name: "bpf_probe_read_kernel_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(kernelSpace, false)},
	{Name: "bpf_probe_read_user_str_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(userSpace, true)},
	{Name: "bpf_probe_read_kernel_str_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(kernelSpace, true)},
	{Name: "bpf_copy_from_user_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(userSpace, false)},
	{Name: "bpf_copy_from_user_str_dynptr", Args: probeDynptrArgs, FixedSize: [5]uint32{16}, Fn: probeToDynptr(userSpace, true)},
	{Name: "bpf_copy_from_user_str", Args: [5]Arg{ArgMem | ArgWrite, ArgSizeOrZero, ArgAny, ArgAny}, Fn: copyFromUserStr},
	{Name: "bpf_iter_bits_new", Args: [5]Arg{ArgFixedMem | ArgWrite, ArgAny, ArgAny}, FixedSize: [5]uint32{16}, Fn: iterBitsNew},
	{Name: "bpf_iter_bits_next", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{16}, Fn: iterBitsNext},
	{Name: "bpf_iter_bits_destroy", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{16}, Fn: iterBitsDestroy},
	{Name: "bpf_local_irq_save", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{8}, Fn: irqSave},
	{Name: "bpf_local_irq_restore", Args: [5]Arg{ArgFixedMem | ArgWrite}, FixedSize: [5]uint32{8}, Fn: nothing},
	{Name: "bpf_map_sum_elem_count", Args: [5]Arg{ArgMapPtr}, Fn: mapSumElemCount},
	{Name: "bpf_stream_vprintk_impl", Args: [5]Arg{ArgAny, ArgConstStr, ArgMem | ArgMaybeNull | ArgReadOnly, ArgSizeOrZero}, Fn: streamVprintk},
}

var probeDynptrArgs = [5]Arg{ArgFixedMem, ArgAny, ArgAny, ArgAny}

// probeToDynptr reads memory into a dynptr: r2 is the offset in it, r3 how many bytes (Linux: __bpf_dynptr_copy, __bpf_dynptr_copy_str).
func probeToDynptr(whose memorySpace, text bool) Func {
	return func(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
		d := e.dynptrAt(r1)
		if d.data == 0 {
			return intRet(maps.EINVAL), nil
		}
		dst, errno, err := e.dynptrView(&d, uint32(r2), uint32(r3))
		switch {
		case err != nil || errno != 0:
			return intRet(errno), err
		case d.only:
			return intRet(maps.EINVAL), nil
		}
		if whose == kernelSpace && !e.allowed(r4) && !(text && len(dst) == 0) {
			return intRet(errRange), nil
		}
		src := e.raw(r4, uint32(len(dst)), whose)
		if text {
			n, errno := copyString(dst, src)
			if errno != 0 {
				return intRet(errno), nil
			}
			return n, nil
		}
		if len(src) < len(dst) {
			return intRet(errFault), nil
		}
		copy(dst, src)
		return 0, nil
	}
}

// copyString copies up to a zero, or as much as fits with a zero behind it; n counts the zero.
func copyString(dst, src []byte) (n uint64, errno maps.Errno) {
	if len(dst) == 0 {
		return 0, 0
	}
	if end := slices.Index(src, 0); end >= 0 {
		return uint64(copy(dst, src[:end+1])), 0
	}
	if len(src) < len(dst) {
		return 0, errFault
	}
	copy(dst, src)
	dst[len(dst)-1] = 0
	return uint64(len(dst)), 0
}

// copyFromUserStr: see Linux bpf_copy_from_user_str. Flag 1 (BPF_F_PAD_ZEROS) zeroes the rest; what cannot be read leaves zeros with it.
func copyFromUserStr(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	const padZeros = 1
	if r4&^padZeros != 0 {
		return intRet(maps.EINVAL), nil
	}
	dst, err := e.mem(1, r1, uint64(uint32(r2)))
	if err != nil || len(dst) == 0 {
		return 0, err
	}
	n, errno := copyString(dst, e.raw(r3, uint32(len(dst)), userSpace))
	if r4&padZeros != 0 {
		clear(dst[n:])
	}
	if errno != 0 {
		return intRet(errno), nil
	}
	return n, nil
}

// A struct bpf_iter_bits on the stack: the word itself, when it is one, then the number of bits, and the bit given last. More words than one
// are kept by the Env, by the address of the iterator.
const (
	iterBitsWord  = 0
	iterBitsCount = 8
	iterBitsBit   = 12
	iterBitsMax   = 511 // words (Linux: BITS_ITER_NR_WORDS_MAX)
	bitsInWord    = 64
	bytesInWord   = 8
	maxIterBits   = 64 // iterators of several words at a time: more than a verified program's stack holds
)

// iterBitsNew: see Linux bpf_iter_bits_new.
func iterBitsNew(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	at, words := uint32(r1), uint32(r3)
	e.Space.Store64(at+iterBitsWord, 0)
	e.Space.Store32(at+iterBitsCount, 0)
	e.Space.Store32(at+iterBitsBit, ^uint32(0))
	switch {
	case r2 == 0 || words == 0:
		return intRet(maps.EINVAL), nil
	case words > iterBitsMax:
		return intRet(maps.E2BIG), nil
	}
	src := e.raw(r2, words*bytesInWord, kernelSpace)
	switch {
	case words > 1 && !e.allowed(r2):
		return intRet(errRange), nil
	case len(src) < int(words)*bytesInWord:
		return intRet(errFault), nil
	}
	if words == 1 {
		copy(e.bytes(at+iterBitsWord, bytesInWord), src)
	} else {
		if e.bits == nil {
			e.bits = map[uint32][]byte{}
		}
		if len(e.bits) >= maxIterBits {
			return intRet(maps.ENOMEM), nil
		}
		e.bits[at] = slices.Clone(src)
	}
	e.Space.Store32(at+iterBitsCount, words*bitsInWord)
	return 0, nil
}

// iterBitsNext gives the address of the number of the next bit that is set.
func iterBitsNext(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	at := uint32(r1)
	words := e.bytes(at+iterBitsWord, bytesInWord)
	if e.Space.Load32(at+iterBitsCount) > bitsInWord {
		words = e.bits[at]
	}
	count, bit := min(e.Space.Load32(at+iterBitsCount), uint32(8*len(words))), e.Space.Load32(at+iterBitsBit)
	if count == 0 || int32(bit) >= int32(count) {
		return 0, nil
	}
	for bit++; bit < count && words[bit/8]>>(bit%8)&1 == 0; bit++ {
	}
	e.Space.Store32(at+iterBitsBit, bit)
	if bit >= count {
		return 0, nil
	}
	return uint64(at + iterBitsBit), nil
}

func iterBitsDestroy(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	delete(e.bits, uint32(r1))
	e.Space.Store32(uint32(r1)+iterBitsCount, 0)
	return 0, nil
}

// irqSave: a program runs to its end on its CPU, so there is no state to save.
func irqSave(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	e.Space.Store64(uint32(r1), 0)
	return 0, nil
}

// mapSumElemCount counts the elements of a hash; other maps count none (Linux: bpf_map_sum_elem_count).
func mapSumElemCount(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	switch m.Spec().Type {
	case maps.Hash, maps.PerCPUHash, maps.LRUHash, maps.LRUPerCPUHash, maps.HashOfMaps:
		return uint64(m.Len()), nil
	}
	return 0, nil
}

// streamVprintk prints to one of a program's two streams, of which Env.Trace has both (Linux: bpf_stream_vprintk).
func streamVprintk(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	if id := uint32(r1); id != 1 && id != 2 { // BPF_STDOUT, BPF_STDERR
		return intRet(maps.ENOENT), nil
	}
	args, n, errno, err := e.varargs(3, r3, r4)
	if err != nil || errno != 0 {
		return intRet(errno), err
	}
	r0, err := e.trace(r2, uint64(len(e.cString(r2))), &args, n)
	if int64(r0) < 0 || err != nil {
		return uint64(uint32(r0)), err
	}
	return 0, nil
}
