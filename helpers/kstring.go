package helpers

import (
	"bytes"

	"github.com/skepvm/skep/maps"
)

// The string functions of Linux 6.17 (bpf_strcmp and its kin). Strings may be anywhere in the kernel's memory and are read up to maxString bytes.

// maxString is how far they look (Linux: XATTR_SIZE_MAX).
const maxString = 65536

// stringRows are those functions.
var stringRows = []Row{
	{Name: "bpf_strcmp", Args: [5]Arg{ArgAny, ArgAny}, Fn: compareStrings(func(c byte) byte { return c })},
	{Name: "bpf_strcasecmp", Args: [5]Arg{ArgAny, ArgAny}, Fn: compareStrings(lower)},
	{Name: "bpf_strchr", Args: [5]Arg{ArgAny, ArgAny}, Fn: strchr},
	{Name: "bpf_strchrnul", Args: [5]Arg{ArgAny, ArgAny}, Fn: strchrnul},
	{Name: "bpf_strnchr", Args: [5]Arg{ArgAny, ArgAny, ArgAny}, Fn: strnchr},
	{Name: "bpf_strrchr", Args: [5]Arg{ArgAny, ArgAny}, Fn: strrchr},
	{Name: "bpf_strlen", Args: [5]Arg{ArgAny}, Fn: strlen},
	{Name: "bpf_strnlen", Args: [5]Arg{ArgAny, ArgAny}, Fn: strnlen},
	{Name: "bpf_strspn", Args: [5]Arg{ArgAny, ArgAny}, Fn: spanString(true)},
	{Name: "bpf_strcspn", Args: [5]Arg{ArgAny, ArgAny}, Fn: spanString(false)},
	{Name: "bpf_strstr", Args: [5]Arg{ArgAny, ArgAny}, Fn: strstr},
	{Name: "bpf_strnstr", Args: [5]Arg{ArgAny, ArgAny, ArgAny}, Fn: strnstr},
}

// kernelString is what can be read from an address on, up to maxString bytes, nothing perhaps. ERANGE: the address is none of the
// kernel's (Linux: copy_from_kernel_nofault_allowed).
func (e *Env) kernelString(at uint64) ([]byte, maps.Errno) {
	if !e.allowed(at) {
		return nil, errRange
	}
	return e.raw(at, maxString, kernelSpace), 0
}

// allowed reports whether an address may be one of the kernel's: those below are user space's, but for guest memory.
func (e *Env) allowed(at uint64) bool { return at>>47 != 0 || len(e.raw(at, 1, kernelSpace)) > 0 }

// endOf is the error of a string that has not ended where its bytes do.
func endOf(b []byte) maps.Errno {
	if len(b) < maxString {
		return errFault
	}
	return maps.E2BIG
}

func lower(c byte) byte {
	switch {
	case c >= 'A' && c <= 'Z', c >= 0xc0 && c <= 0xde && c != 0xd7: // of Latin-1, as in the kernel
		return c + 0x20
	}
	return c
}

// compareStrings: see Linux __bpf_strcasecmp.
func compareStrings(fold func(byte) byte) Func {
	return func(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
		a, errno := e.kernelString(r1)
		if errno != 0 {
			return intRet(errno), nil
		}
		b, errno := e.kernelString(r2)
		if errno != 0 {
			return intRet(errno), nil
		}
		n := min(len(a), len(b))
		for i := range n {
			switch x, y := fold(a[i]), fold(b[i]); {
			case x < y:
				return uint64(^uint32(0)), nil
			case x > y:
				return 1, nil
			case x == 0:
				return 0, nil
			}
		}
		return intRet(endOf(a[:n])), nil
	}
}

// find looks for c in the first count bytes of a string (Linux: bpf_strnchr).
func (e *Env) find(s uint64, count uint64, c byte) (uint64, error) {
	b, errno := e.kernelString(s)
	if errno != 0 {
		return intRet(errno), nil
	}
	for i := range min(uint64(len(b)), count) {
		switch b[i] {
		case c:
			return i, nil
		case 0:
			return intRet(maps.ENOENT), nil
		}
	}
	if count <= uint64(len(b)) && count != maxString {
		return intRet(maps.ENOENT), nil
	}
	return intRet(endOf(b)), nil
}

func strchr(e *Env, r1, r2, _, _, _ uint64) (uint64, error) { return e.find(r1, maxString, byte(r2)) }

func strnchr(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) { return e.find(r1, r2, byte(r3)) }

// strchrnul is strchr, but gives the length when the character is not there.
func strchrnul(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	b, errno := e.kernelString(r1)
	if errno != 0 {
		return intRet(errno), nil
	}
	for i, c := range b {
		if c == byte(r2) || c == 0 {
			return uint64(i), nil
		}
	}
	return intRet(endOf(b)), nil
}

// strrchr gives the last place of a character, which is an int here: none beyond 255 is found.
func strrchr(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	b, errno := e.kernelString(r1)
	if errno != 0 {
		return intRet(errno), nil
	}
	last := intRet(maps.ENOENT)
	for i, c := range b {
		if uint32(c) == uint32(r2) {
			last = uint64(i)
		}
		if c == 0 {
			return last, nil
		}
	}
	return intRet(endOf(b)), nil
}

func strlen(e *Env, r1, _, _, _, _ uint64) (uint64, error) { return strnlen(e, r1, maxString, 0, 0, 0) }

func strnlen(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	b, errno := e.kernelString(r1)
	if errno != 0 {
		return intRet(errno), nil
	}
	for i := range min(uint64(len(b)), r2) {
		if b[i] == 0 {
			return i, nil
		}
	}
	if r2 <= uint64(len(b)) && r2 != maxString {
		return r2, nil
	}
	return intRet(endOf(b)), nil
}

// spanString counts the first characters that are among those of another string, or that are not (Linux: bpf_strspn, bpf_strcspn).
func spanString(among bool) Func {
	return func(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
		s, errno := e.kernelString(r1)
		if errno != 0 {
			return intRet(errno), nil
		}
		list, errno := e.kernelString(r2)
		if errno != 0 {
			return intRet(errno), nil
		}
		end := bytes.IndexByte(list, 0)
		var set [256]bool
		for i, c := range list {
			if i == end {
				break
			}
			set[c] = true
		}
		for i, c := range s {
			switch {
			case c == 0:
				return uint64(i), nil
			case end < 0 && !set[c]:
				return intRet(endOf(list)), nil
			case set[c] != among:
				return uint64(i), nil
			}
		}
		return intRet(endOf(s)), nil
	}
}

func strstr(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	return strnstr(e, r1, r2, maxString, 0, 0)
}

// strnstr gives the place of a string in the first r3 bytes of another (Linux: bpf_strnstr). The kernel compares at one place after the other and stops
// at the first where the end of either string, or of what can be read, is reached: behind that there is no room for a match.
func strnstr(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	s, errno := e.kernelString(r1)
	if errno != 0 {
		return intRet(errno), nil
	}
	want, errno := e.kernelString(r2)
	if errno != 0 {
		return intRet(errno), nil
	}
	end, wantEnd := bytes.IndexByte(s, 0), bytes.IndexByte(want, 0)
	known := s
	if end >= 0 {
		known = s[:end]
	}
	limited := r3 <= uint64(len(known)) && r3 != maxString
	if limited {
		known = known[:r3]
	}
	whole := want
	if wantEnd >= 0 {
		whole = want[:wantEnd]
	}
	switch at := bytes.Index(known, whole); {
	case at >= 0 && wantEnd >= 0:
		return uint64(at), nil
	case at >= 0:
		return intRet(endOf(want)), nil
	case limited || end >= 0:
		return intRet(maps.ENOENT), nil
	}
	return intRet(endOf(s)), nil
}
