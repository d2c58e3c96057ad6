package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
)

// The Internet checksum, RFC 1071, on the bytes as they lie in memory: sums are of little-endian words, as the kernel
// does them on the machines that this project runs on, so that stored and compared values agree.

// sum adds the 4-byte words of b, the last one filled up with zeros, to start. 64 bits take 2^32 words.
func sum(b []byte, start uint64) uint64 {
	for ; len(b) >= 8; b = b[8:] {
		v := binary.LittleEndian.Uint64(b)
		start += v&0xffffffff + v>>32
	}
	if len(b) >= 4 {
		start += uint64(binary.LittleEndian.Uint32(b))
		b = b[4:]
	}
	for i, c := range b {
		start += uint64(c) << (8 * i)
	}
	return start
}

// add32 is csum_add: addition with end-around carry.
func add32(a, b uint32) uint32 {
	s := uint64(a) + uint64(b)
	return uint32(s) + uint32(s>>32)
}

// csumDiff: see Linux bpf_csum_diff, as of 6.13, when results became 16 bits on every architecture, and sizes any number
// of bytes.
func csumDiff(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	fromSize, toSize := uint64(uint32(r2)), uint64(uint32(r4))
	var from, to []byte
	var err error
	if fromSize > 0 {
		if from, err = e.mem(1, r1, fromSize); err != nil {
			return 0, err
		}
	}
	if toSize > 0 {
		if to, err = e.mem(3, r3, toSize); err != nil {
			return 0, err
		}
	}
	seed := uint32(r5)
	switch {
	case fromSize > 0 && toSize > 0:
		return uint64(from32to16(add32(partial(to, seed), ^partial(from, 0)))), nil
	case toSize > 0:
		return uint64(from32to16(partial(to, seed))), nil
	case fromSize > 0:
		return uint64(from32to16(^partial(from, ^seed))), nil
	}
	return uint64(from32to16(seed)), nil
}

// partial is csum_partial: a 32-bit sum, not unique, for which folding gives the checksum.
func partial(b []byte, seed uint32) uint32 {
	s := sum(b, uint64(seed))
	s = s&0xffffffff + s>>32
	return uint32(s&0xffffffff + s>>32)
}

func from32to16(v uint32) uint32 { return (v + (v>>16 | v<<16)) >> 16 }

// csumFold is csum_fold: the complement of a sum in 16 bits.
func csumFold(v uint32) uint16 { return ^uint16(from32to16(v)) }

// replaceByDiff is csum_replace_by_diff.
func replaceByDiff(check uint16, diff uint32) uint16 { return csumFold(add32(diff, ^uint32(check))) }

// replace4 is csum_replace4.
func replace4(check uint16, from, to uint32) uint16 {
	return csumFold(add32(add32(^uint32(check), ^from), to))
}

// replace2 is csum_replace2, which works in 16 bits.
func replace2(check, from, to uint16) uint16 {
	return ^add16(add16(^check, ^from), to)
}

func add16(a, b uint16) uint16 {
	s := uint32(a) + uint32(b)
	return uint16(s) + uint16(s>>16)
}

// Flags of the csum_replace helpers.
const (
	csumFieldMask     = 0xf
	csumPseudoHdr     = 1 << 4
	csumMarkMangled0  = 1 << 5
	csumMarkEnforce   = 1 << 6
	csumIPv6          = 1 << 7 // 6.16
	csumMangled0      = 0xffff
	csumMaxOffset     = 0xffff
	csumL4Flags       = csumFieldMask | csumPseudoHdr | csumMarkMangled0 | csumMarkEnforce | csumIPv6
	skbRecomputeCsum  = 1 << 0
	skbInvalidateHash = 1 << 1
)

// checkField is the address of the checksum at an offset in an skb, 0 and an error number when there is none.
func (e *Env) checkField(f *frame, off uint32) (uint32, maps.Errno) {
	if off > csumMaxOffset || off&1 != 0 || off+2 > f.len() {
		return 0, errFault
	}
	return f.data + off, 0
}

// l3CsumReplace: see Linux bpf_l3_csum_replace.
func l3CsumReplace(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if r5&^csumFieldMask != 0 {
		return maps.EINVAL.Ret(), nil
	}
	addr, errno := e.checkField(&f, uint32(r2))
	if errno != 0 {
		return errno.Ret(), nil
	}
	check := e.Space.Load16(addr)
	switch r5 & csumFieldMask {
	case 0:
		if r3 != 0 {
			return maps.EINVAL.Ret(), nil
		}
		check = replaceByDiff(check, uint32(r4))
	case 2:
		check = replace2(check, uint16(r3), uint16(r4))
	case 4:
		check = replace4(check, uint32(r3), uint32(r4))
	default:
		return maps.EINVAL.Ret(), nil
	}
	e.Space.Store16(addr, check)
	return 0, nil
}

// l4CsumReplace: see Linux bpf_l4_csum_replace. The pseudo header only matters to checksum offloads, which are none here.
func l4CsumReplace(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if r5&^csumL4Flags != 0 {
		return maps.EINVAL.Ret(), nil
	}
	addr, errno := e.checkField(&f, uint32(r2))
	if errno != 0 {
		return errno.Ret(), nil
	}
	check := e.Space.Load16(addr)
	if r5&csumMarkMangled0 != 0 && r5&csumMarkEnforce == 0 && check == 0 {
		return 0, nil
	}
	switch r5 & csumFieldMask {
	case 0:
		if r3 != 0 {
			return maps.EINVAL.Ret(), nil
		}
		check = replaceByDiff(check, uint32(r4))
	case 2:
		check = replace4(check, uint32(uint16(r3)), uint32(uint16(r4)))
	case 4:
		check = replace4(check, uint32(r3), uint32(r4))
	default:
		return maps.EINVAL.Ret(), nil
	}
	if r5&csumMarkMangled0 != 0 && check == 0 {
		check = csumMangled0
	}
	e.Space.Store16(addr, check)
	return 0, nil
}

// csumUpdate: no packet here carries a checksum that hardware computed (CHECKSUM_COMPLETE).
func csumUpdate(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) {
	return maps.ENOTSUPP.Ret(), nil
}

// csumLevel: hardware has verified no checksum (CHECKSUM_UNNECESSARY), so there is no level to change.
func csumLevel(_ *Env, _, r2, _, _, _ uint64) (uint64, error) {
	switch r2 {
	case 0: // BPF_CSUM_LEVEL_QUERY
		return errAccess.Ret(), nil
	case 1, 2, 3: // INC, DEC, RESET
		return 0, nil
	}
	return maps.EINVAL.Ret(), nil
}
