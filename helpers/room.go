package helpers

import "github.com/skepvm/skep/maps"

// Modes and flags of bpf_skb_adjust_room.
const (
	roomNet = 0 // BPF_ADJ_ROOM_NET: behind the IP header
	roomMAC = 1 // BPF_ADJ_ROOM_MAC: behind the link-layer header

	roomFixedGSO    = 1 << 0
	roomEncapIPv4   = 1 << 1
	roomEncapIPv6   = 1 << 2
	roomEncapGRE    = 1 << 3
	roomEncapUDP    = 1 << 4
	roomNoCsumReset = 1 << 5
	roomEncapEth    = 1 << 6
	roomDecapIPv4   = 1 << 7
	roomDecapIPv6   = 1 << 8
	roomL2Shift     = 56 // length of an inner link-layer header

	roomEncap  = roomEncapIPv4 | roomEncapIPv6
	roomDecap  = roomDecapIPv4 | roomDecapIPv6
	roomShrink = roomFixedGSO | roomDecap | roomNoCsumReset
	roomFlags  = roomShrink | roomEncap | roomEncapGRE | roomEncapUDP | roomEncapEth | 0xff<<roomL2Shift
	roomMost   = 0xfff
)

// skbAdjustRoom: see Linux bpf_skb_adjust_room. Packets are no GSO packets and start without an encapsulation.
func skbAdjustRoom(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	by := int64(int32(r2))
	shrink, n := by < 0, uint32(max(by, -by))
	proto := e.protocol(f.ctx)
	switch {
	case r4&^uint64(roomFlags) != 0:
		return maps.EINVAL.Ret(), nil
	case n > roomMost:
		return errFault.Ret(), nil
	case proto != etherIPv4 && proto != etherIPv6:
		return maps.ENOTSUPP.Ret(), nil
	}
	net := e.netOffset(&f)
	least, off := baseLen(proto), net
	switch uint32(r3) {
	case roomNet:
		off += least
	case roomMAC:
	default:
		return maps.ENOTSUPP.Ret(), nil
	}
	if r4&roomDecap != 0 {
		if !shrink || r4&roomDecap == roomDecap {
			return maps.EINVAL.Ret(), nil
		}
		least = ipv4HLen
		if r4&roomDecapIPv6 != 0 {
			least = ipv6HLen
		}
	}
	cur := f.len() - net
	var errno maps.Errno
	switch {
	case shrink && (n >= cur || cur-n < least), !shrink && f.len()+n > maxPacket:
		errno = maps.ENOTSUPP
	case shrink:
		errno = e.shrinkRoom(&f, off, n, proto, r4)
	default:
		errno = e.growRoom(&f, off, n, proto, r4)
	}
	return errno.Ret(), nil
}

// baseLen is bpf_skb_net_base_len: the length of a plain IP header.
func baseLen(proto uint16) uint32 {
	if proto == etherIPv6 {
		return ipv6HLen
	}
	return ipv4HLen
}

// shrinkRoom: see Linux bpf_skb_net_shrink.
func (e *Env) shrinkRoom(f *frame, off, n uint32, proto uint16, flags uint64) maps.Errno {
	if flags&^uint64(roomShrink) != 0 {
		return maps.EINVAL
	}
	if errno := e.pop(f, off, n); errno != 0 {
		return errno
	}
	switch {
	case proto == etherIPv4 && flags&roomDecapIPv6 != 0:
		e.setProtocol(f.ctx, etherIPv6)
	case proto == etherIPv6 && flags&roomDecapIPv4 != 0:
		e.setProtocol(f.ctx, etherIPv4)
	}
	return 0
}

// growRoom: see Linux bpf_skb_net_grow.
func (e *Env) growRoom(f *frame, off, n uint32, proto uint16, flags uint64) maps.Errno {
	if flags&roomEncap != 0 {
		inner := uint32(flags >> roomL2Shift)
		switch {
		case flags&roomEncap == roomEncap,
			flags&roomEncapGRE != 0 && flags&roomEncapUDP != 0,
			flags&roomEncapEth != 0 && inner < ethHLen,
			inner > n:
			return maps.EINVAL
		}
	}
	net := e.Space.Load32(f.ctx + fieldNet)
	if errno := e.push(f, off, n); errno != 0 {
		return errno
	}
	e.Space.Store32(f.ctx+fieldNet, net) // the outer header takes the place of the inner one
	switch {
	case proto == etherIPv4 && flags&roomEncapIPv6 != 0:
		e.setProtocol(f.ctx, etherIPv6)
	case proto == etherIPv6 && flags&roomEncapIPv4 != 0:
		e.setProtocol(f.ctx, etherIPv4)
	}
	return 0
}
