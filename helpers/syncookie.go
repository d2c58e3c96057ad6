package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
)

// A SYN cookie is a TCP sequence number that proves that its sender was answered before, without memory of it: a hash
// of the flow, the client's sequence number, the minute in the high 8 bits, and, under a second hash that also
// covers the minute, the index of a segment size (D. J. Bernstein; Linux: net/ipv4/syncookies.c).
const (
	cookieBits    = 24
	cookieMask    = 1<<cookieBits - 1
	cookieMinutes = 2 // how many minutes a cookie holds
	minuteNS      = 60e9

	sizeofIPv4Header = 20
	sizeofIPv6Header = 40
	sizeofTCPHeader  = 20
)

// cookieForm is where IPv4 and IPv6 differ.
type cookieForm struct {
	header     uint64    // bytes of an IP header
	addrs, end int       // both addresses in it
	sizes      [4]uint16 // segment sizes that a cookie can express, ascending
	mss        uint16    // when the segment does not say
}

var (
	cookieIPv4 = cookieForm{sizeofIPv4Header, 12, 20, [4]uint16{536, 1300, 1440, 1460}, 536}
	cookieIPv6 = cookieForm{sizeofIPv6Header, 8, 40, [4]uint16{1220, 1420, 1440, 8940}, 1220}
)

func tcpRawGenSyncookieIPv4(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.makeCookie(&cookieIPv4, r1, r2, r3)
}

func tcpRawGenSyncookieIPv6(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.makeCookie(&cookieIPv6, r1, r2, r3)
}

func tcpRawCheckSyncookieIPv4(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	return e.checkCookie(&cookieIPv4, r1, r2)
}

func tcpRawCheckSyncookieIPv6(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	return e.checkCookie(&cookieIPv6, r1, r2)
}

// makeCookie returns the cookie for a SYN, with its segment size in the high half. Deviation: the kernel's secret is
// random; here it is the same in every run.
func (e *Env) makeCookie(f *cookieForm, ip, tcp, tcpLen uint64) (uint64, error) {
	n := uint64(uint32(tcpLen))
	head, err := e.mem(1, ip, f.header)
	if err != nil {
		return 0, err
	}
	segment, err := e.mem(2, tcp, n)
	if err != nil {
		return 0, err
	}
	if n < sizeofTCPHeader || n != uint64(segment[12]>>4)*4 {
		return maps.EINVAL.Ret(), nil
	}
	mss := mssOption(segment[sizeofTCPHeader:])
	if mss == 0 {
		mss = f.mss
	}
	index := len(f.sizes) - 1
	for index > 0 && mss < f.sizes[index] {
		index--
	}
	minute := e.minute()
	seq := binary.BigEndian.Uint32(segment[4:])
	cookie := f.hash(head, segment, 0, 0) + seq + minute<<cookieBits +
		(f.hash(head, segment, 1, minute)+uint32(index))&cookieMask
	return uint64(cookie) | uint64(f.sizes[index])<<32, nil
}

// checkCookie looks at the ACK that should bring a cookie back: 0 when it does, else -EACCES.
func (e *Env) checkCookie(f *cookieForm, ip, tcp uint64) (uint64, error) {
	head, err := e.mem(1, ip, f.header)
	if err != nil {
		return 0, err
	}
	segment, err := e.mem(2, tcp, sizeofTCPHeader)
	if err != nil {
		return 0, err
	}
	seq := binary.BigEndian.Uint32(segment[4:]) - 1
	rest := binary.BigEndian.Uint32(segment[8:]) - 1 - f.hash(head, segment, 0, 0) - seq
	minute := e.minute()
	age := (minute - rest>>cookieBits) & (1<<(32-cookieBits) - 1)
	if age >= cookieMinutes || (rest-f.hash(head, segment, 1, minute-age))&cookieMask >= uint32(len(f.sizes)) {
		return errAccess.Ret(), nil
	}
	return 0, nil
}

func (e *Env) minute() uint32 { return uint32(e.Now() / minuteNS) }

// hash is of the flow (addresses and ports), of one of two secrets, and of a minute.
func (f *cookieForm) hash(head, segment []byte, secret, minute uint32) uint32 {
	h := uint64(secret+1)*0x9e3779b97f4a7c15 ^ uint64(minute)
	for _, part := range [2][]byte{head[f.addrs:f.end], segment[:4]} {
		for ; len(part) > 0; part = part[4:] {
			h = (h ^ uint64(binary.LittleEndian.Uint32(part))) * 0xff51afd7ed558ccd
			h ^= h >> 32
		}
	}
	return uint32(h)
}

// mssOption finds the maximum segment size in TCP options, 0 when they say none (Linux: tcp_parse_mss_option).
func mssOption(options []byte) (mss uint16) {
	const end, nop, maxSegment = 0, 1, 2
	for len(options) > 0 && options[0] != end {
		if options[0] == nop {
			options = options[1:]
			continue
		}
		if len(options) < 2 || options[1] < 2 || int(options[1]) > len(options) {
			return mss
		}
		if options[0] == maxSegment && options[1] == 4 {
			if v := binary.BigEndian.Uint16(options[2:]); v != 0 {
				mss = v
			}
		}
		options = options[options[1]:]
	}
	return mss
}
