package helpers

import "github.com/skepvm/skep/maps"

// strncmp compares as the kernel's does: -1, 0 or 1, up to r2 bytes or the first zero.
func strncmp(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	a, err := e.mem(1, r1, uint64(uint32(r2)))
	if err != nil {
		return 0, err
	}
	for i, c := range a {
		switch d := e.Space.Load8(uint32(r3) + uint32(i)); {
		case c < d:
			return ^uint64(0), nil
		case c > d:
			return 1, nil
		case c == 0:
			return 0, nil
		}
	}
	return 0, nil
}

// strtol returns the number of characters read and puts the value at r4 (Linux: __bpf_strtoll).
func strtol(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	e.Space.Store64(uint32(r4), 0)
	v, negative, n, errno, err := e.parseInt(r1, r2, r3)
	switch {
	case err != nil || errno != 0:
		return errno.Ret(), err
	case negative && int64(-v) > 0, !negative && int64(v) < 0:
		return errRange.Ret(), nil
	case negative:
		v = -v
	}
	e.Space.Store64(uint32(r4), v)
	return n, nil
}

// strtoul is strtol for unsigned numbers: a minus sign is an error (Linux: bpf_strtoul).
func strtoul(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	e.Space.Store64(uint32(r4), 0)
	v, negative, n, errno, err := e.parseInt(r1, r2, r3)
	switch {
	case err != nil || errno != 0:
		return errno.Ret(), err
	case negative:
		return maps.EINVAL.Ret(), nil
	}
	e.Space.Store64(uint32(r4), v)
	return n, nil
}

// parseInt reads white space, a sign, a base prefix and digits (Linux: __bpf_strtoull). n is how many characters that
// were. At most 63 count after the sign.
func (e *Env) parseInt(ptr, size, flags uint64) (v uint64, negative bool, n uint64, errno maps.Errno, err error) {
	const most = 63
	buf, err := e.mem(1, ptr, size)
	if err != nil {
		return 0, false, 0, 0, err
	}
	base := flags & 31 // BPF_STRTOX_BASE_MASK
	if len(buf) == 0 || flags != base || base != 0 && base != 8 && base != 10 && base != 16 {
		return 0, false, 0, maps.EINVAL, nil
	}
	s := buf
	for len(s) > 0 && (isSpace(s[0]) || s[0] == 0xa0) {
		s = s[1:]
	}
	if len(s) > 0 && s[0] == '-' {
		negative, s = true, s[1:]
	}
	before := len(buf) - len(s)
	s = s[:min(len(s), most)]
	base, prefix := fixBase(s, base)
	v, digits, overflow := parseDigits(s[prefix:], base)
	switch {
	case overflow:
		return 0, false, 0, errRange, nil
	case digits == 0:
		return 0, false, 0, maps.EINVAL, nil
	}
	return v, negative, uint64(before + prefix + digits), 0, nil
}

// fixBase settles base 0 and skips "0x" (Linux: _parse_integer_fixup_radix).
func fixBase(s []byte, base uint64) (newBase uint64, prefix int) {
	at := func(i int) byte {
		if i < len(s) {
			return s[i]
		}
		return 0
	}
	hasX := at(0) == '0' && at(1)|0x20 == 'x'
	if base == 0 {
		switch {
		case hasX && digitOf(at(2)) < 16:
			base = 16
		case at(0) == '0':
			base = 8
		default:
			base = 10
		}
	}
	if base == 16 && hasX {
		return base, 2
	}
	return base, 0
}

// digitOf is the value of a hexadecimal digit; 16 for what is none.
func digitOf(c byte) uint64 {
	switch {
	case c >= '0' && c <= '9':
		return uint64(c - '0')
	case c|0x20 >= 'a' && c|0x20 <= 'f':
		return uint64(c|0x20-'a') + 10
	}
	return 16
}

func parseDigits(s []byte, base uint64) (v uint64, n int, overflow bool) {
	for n < len(s) && digitOf(s[n]) < base {
		d := digitOf(s[n])
		if v > (^uint64(0)-d)/base {
			overflow = true
		}
		v = v*base + d
		n++
	}
	return v, n, overflow
}
