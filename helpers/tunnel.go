package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
)

// tunnel is the tunnel metadata that bpf_skb_set_tunnel_key put on a packet.
type tunnel struct {
	packet uint64 // FrameNumber of the packet it is for
	ctx    uint32
	set    bool
	key    [sizeofTunnelKey]byte
	opt    [maxTunnelOpt]byte
	optLen int
}

const (
	sizeofTunnelKey = 44 // struct bpf_tunnel_key
	maxTunnelOpt    = 255

	// Older, shorter layouts of struct bpf_tunnel_key that the kernel still takes.
	tunnelKeyToIPv4, tunnelKeyToTTL, tunnelKeyToExt, tunnelKeyToLabel = 8, 22, 24, 28

	tunnelIPv6     = 1 << 0 // BPF_F_TUNINFO_IPV6
	tunnelSetFlags = 1<<5 - 1
	tunnelGetFlags = 1<<0 | 1<<4 // and BPF_F_TUNINFO_FLAGS
)

// tunnelOf is the metadata of the packet of a ctx, new when the last was another packet's.
func (e *Env) tunnelOf(ctx uint32) *tunnel {
	if n := e.Space.Load64(ctx + fieldNumber); e.tunnel.packet != n || e.tunnel.ctx != ctx {
		e.tunnel = tunnel{packet: n, ctx: ctx}
	}
	return &e.tunnel
}

// skbSetTunnelKey: see Linux bpf_skb_set_tunnel_key. What it sets is only there for bpf_skb_get_tunnel_key.
func skbSetTunnelKey(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	n := uint64(uint32(r3))
	if r4&^uint64(tunnelSetFlags) != 0 {
		return maps.EINVAL.Ret(), nil
	}
	if !isTunnelKeySize(n) {
		return maps.EINVAL.Ret(), nil
	}
	key, err := e.mem(2, r2, n)
	if err != nil {
		return 0, err
	}
	if r4&tunnelIPv6 == 0 && n >= tunnelKeyToLabel && binary.LittleEndian.Uint32(key[24:])&0xfffff != 0 {
		return maps.EINVAL.Ret(), nil // a flow label without IPv6
	}
	t := e.tunnelOf(uint32(r1))
	t.set, t.optLen = true, 0
	clear(t.key[:])
	copy(t.key[:], key)
	return 0, nil
}

func isTunnelKeySize(n uint64) bool {
	switch n {
	case sizeofTunnelKey, tunnelKeyToIPv4, tunnelKeyToTTL, tunnelKeyToExt, tunnelKeyToLabel:
		return true
	}
	return false
}

// skbGetTunnelKey: see Linux bpf_skb_get_tunnel_key.
func skbGetTunnelKey(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	key, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	t := e.tunnelOf(uint32(r1))
	if !t.set || r4&^uint64(tunnelGetFlags) != 0 || !isTunnelKeySize(uint64(len(key))) {
		clear(key)
		return maps.EINVAL.Ret(), nil
	}
	copy(key, t.key[:])
	return 0, nil
}

// skbSetTunnelOpt: see Linux bpf_skb_set_tunnel_opt.
func skbSetTunnelOpt(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	n := uint64(uint32(r3))
	t := e.tunnelOf(uint32(r1))
	if !t.set || n&3 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	if n > maxTunnelOpt {
		return maps.ENOMEM.Ret(), nil
	}
	opt, err := e.mem(2, r2, n)
	if err != nil {
		return 0, err
	}
	t.optLen = copy(t.opt[:], opt)
	return 0, nil
}

// skbGetTunnelOpt: see Linux bpf_skb_get_tunnel_opt. It returns how many bytes there are.
func skbGetTunnelOpt(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	buf, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	t := e.tunnelOf(uint32(r1))
	switch {
	case !t.set || t.optLen == 0:
		clear(buf)
		return maps.ENOENT.Ret(), nil
	case len(buf) < t.optLen:
		clear(buf)
		return maps.ENOMEM.Ret(), nil
	}
	n := copy(buf, t.opt[:t.optLen])
	clear(buf[n:])
	return uint64(n), nil
}
