//go:build amd64 || arm64

package helpers

import (
	"encoding/binary"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// TestSyncookie plays a handshake: the SYN's cookie comes back in an ACK, in time or not, whole or changed.
func TestSyncookie(t *testing.T) {
	for _, c := range []struct {
		name       string
		gen, check string
		header     int
		option     []byte
		mss        uint64
	}{
		{"IPv4 without option", "bpf_tcp_raw_gen_syncookie_ipv4", "bpf_tcp_raw_check_syncookie_ipv4", 20, nil, 536},
		{"IPv4, 1460", "bpf_tcp_raw_gen_syncookie_ipv4", "bpf_tcp_raw_check_syncookie_ipv4", 20, []byte{2, 4, 5, 180}, 1460},
		{"IPv4, 1459 after padding", "bpf_tcp_raw_gen_syncookie_ipv4", "bpf_tcp_raw_check_syncookie_ipv4", 20,
			[]byte{1, 1, 1, 1, 2, 4, 5, 179}, 1440},
		{"IPv4, after the end of options", "bpf_tcp_raw_gen_syncookie_ipv4", "bpf_tcp_raw_check_syncookie_ipv4", 20,
			[]byte{0, 0, 0, 0, 2, 4, 5, 180}, 536},
		{"IPv6 without option", "bpf_tcp_raw_gen_syncookie_ipv6", "bpf_tcp_raw_check_syncookie_ipv6", 40, nil, 1220},
		{"IPv6, 9000", "bpf_tcp_raw_gen_syncookie_ipv6", "bpf_tcp_raw_check_syncookie_ipv6", 40, []byte{2, 4, 35, 40}, 8940},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestbed(t, prog.XDP)
			now := uint64(90e9)
			b.e.Clock = func() uint64 { return now }
			call := func(name string, args ...uint64) uint64 {
				r, _ := ByName(name)
				var a [5]uint64
				copy(a[:], args)
				ret, err := r.Fn(b.e, a[0], a[1], a[2], a[3], a[4])
				if err != nil {
					t.Fatal(err)
				}
				return ret
			}
			ip, tcp := b.stack, b.stack+64
			head, segment := b.e.bytes(ip, uint32(c.header)), b.e.bytes(tcp, 60)
			for i := range head {
				head[i] = byte(i * 7)
			}
			copy(segment, []byte{0x12, 0x34, 0, 80, 1, 2, 3, 4})
			segment[12] = byte(20+len(c.option)) / 4 << 4
			copy(segment[20:], c.option)
			got := call(c.gen, uint64(ip), uint64(tcp), uint64(20+len(c.option)))
			if got>>32 != c.mss {
				t.Errorf("segment size %d, want %d", got>>32, c.mss)
			}
			binary.BigEndian.PutUint32(segment[4:], 0x01020305)
			binary.BigEndian.PutUint32(segment[8:], uint32(got)+1)
			check := func() uint64 { return call(c.check, uint64(ip), uint64(tcp)) }
			if ret := check(); ret != 0 {
				t.Errorf("the cookie was refused: %d", int64(ret))
			}
			now += 60e9
			if ret := check(); ret != 0 {
				t.Errorf("the cookie was refused in the next minute: %d", int64(ret))
			}
			now += 60e9
			if ret := check(); ret != errAccess.Ret() {
				t.Errorf("a cookie two minutes old: %d", int64(ret))
			}
			now = 90e9
			segment[1]++
			if ret := check(); ret != errAccess.Ret() {
				t.Errorf("a cookie from another port: %d", int64(ret))
			}
		})
	}
	b := newTestbed(t, prog.XDP)
	segment := b.e.bytes(b.stack+64, 20)
	segment[12] = 4 << 4
	if ret, _ := tcpRawGenSyncookieIPv4(b.e, uint64(b.stack), uint64(b.stack+64), 16, 0, 0); ret != maps.EINVAL.Ret() {
		t.Errorf("a header of 16 bytes: %d", int64(ret))
	}
}
