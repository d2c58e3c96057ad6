package helpers

import (
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Headers that skb_load_bytes_relative counts from.
const (
	startMAC = 0 // BPF_HDR_START_MAC
	startNet = 1 // BPF_HDR_START_NET
)

// loadBytes copies packet bytes from offset off to a buffer, or clears it and gives EFAULT.
func (e *Env) loadBytes(f *frame, off uint64, dst []byte) (uint64, error) {
	if off+uint64(len(dst)) > uint64(f.len()) {
		clear(dst)
		return errFault.Ret(), nil
	}
	copy(dst, e.bytes(f.data+uint32(off), uint32(len(dst))))
	return 0, nil
}

func skbLoadBytes(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	dst, err := e.mem(3, r3, uint64(uint32(r4)))
	if err != nil {
		return 0, err
	}
	return e.loadBytes(&f, uint64(uint32(r2)), dst)
}

func skbLoadBytesRelative(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	dst, err := e.mem(3, r3, uint64(uint32(r4)))
	if err != nil {
		return 0, err
	}
	off := uint64(uint32(r2))
	switch uint32(r5) {
	case startMAC:
	case startNet:
		off += uint64(e.netOffset(&f))
	default:
		off = 1 << 32
	}
	if uint32(r2) > 0xffff {
		off = 1 << 32
	}
	return e.loadBytes(&f, off, dst)
}

// skbStoreBytes: see Linux bpf_skb_store_bytes. There is no hardware checksum to keep up to date (BPF_F_RECOMPUTE_CSUM).
func skbStoreBytes(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	off, n := uint64(uint32(r2)), uint64(uint32(r4))
	if r5&^(skbRecomputeCsum|skbInvalidateHash) != 0 {
		return maps.EINVAL.Ret(), nil
	}
	if off > intMax || off+n > uint64(f.len()) {
		return errFault.Ret(), nil
	}
	src, err := e.mem(3, r3, n)
	if err != nil {
		return 0, err
	}
	copy(e.bytes(f.data+uint32(off), uint32(n)), src)
	if r5&skbInvalidateHash != 0 {
		e.Space.Store32(f.ctx+prog.SKBHash, 0)
	}
	return 0, nil
}

// skbPullData: packets are always in one piece, so all that is there may be accessed.
func skbPullData(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if uint32(r2) > f.len() {
		return maps.ENOMEM.Ret(), nil
	}
	e.storeSKB(&f)
	return 0, nil
}

// skbChangeTail: see Linux __bpf_skb_change_tail.
func skbChangeTail(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	n, old := uint32(r2), f.len()
	if r3 != 0 || n > maxPacket || n < e.netOffset(&f) {
		return maps.EINVAL.Ret(), nil
	}
	if n > old {
		if n > f.limit-f.data {
			return maps.ENOMEM.Ret(), nil
		}
		clear(e.bytes(f.end, n-old))
	}
	f.end = f.data + n
	e.storeSKB(&f)
	return 0, nil
}

// skbChangeHead: see Linux __bpf_skb_change_head. The new room is a bigger link-layer header.
func skbChangeHead(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	n := uint32(r2)
	if r3 != 0 || uint64(f.len())+uint64(n) > maxPacket {
		return maps.EINVAL.Ret(), nil
	}
	if errno := e.push(&f, 0, n); errno != 0 {
		return errno.Ret(), nil
	}
	return 0, nil
}

// push makes n zero bytes of room at offset off of the packet; what was before stays in front (Linux:
// bpf_skb_generic_push). The network header moves with the bytes behind the room.
func (e *Env) push(f *frame, off, n uint32) maps.Errno {
	if n > f.data-f.head {
		return maps.ENOMEM
	}
	net := e.Space.Load32(f.ctx + fieldNet)
	f.data -= n
	copy(e.bytes(f.data, off), e.bytes(f.data+n, off))
	clear(e.bytes(f.data+off, n))
	e.Space.Store32(f.ctx+fieldNet, net+n)
	e.storeSKB(f)
	return 0
}

// pop removes n bytes at offset off (Linux: bpf_skb_generic_pop).
func (e *Env) pop(f *frame, off, n uint32) maps.Errno {
	if uint64(off)+uint64(n) > uint64(f.len()) {
		return maps.ENOMEM
	}
	copy(e.bytes(f.data+n, off), e.bytes(f.data, off))
	f.data += n
	e.storeSKB(f)
	return 0
}

// Protocols and header lengths.
const (
	etherIPv4  = 0x0800
	etherIPv6  = 0x86dd
	etherVLAN  = 0x8100
	etherQinQ  = 0x88a8
	ether8023  = 0x0001
	ether8022  = 0x0004
	etherMinII = 0x0600
	ipv4HLen   = 20
	ipv6HLen   = 40
	vlanHLen   = 4
)

// skbChangeProto: see Linux bpf_skb_proto_xlat. It makes or removes room for the longer header; the program fills it.
func skbChangeProto(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if r3 != 0 {
		return maps.EINVAL.Ret(), nil
	}
	from, to := e.protocol(f.ctx), swap16(uint16(r2))
	net := e.netOffset(&f)
	var errno maps.Errno
	switch {
	case from == etherIPv4 && to == etherIPv6:
		if errno = e.push(&f, net, ipv6HLen-ipv4HLen); errno == 0 {
			e.Space.Store32(f.ctx+fieldNet, net)
		}
	case from == etherIPv6 && to == etherIPv4:
		errno = e.pop(&f, net, ipv6HLen-ipv4HLen)
	default:
		errno = maps.ENOTSUPP
	}
	if errno != 0 {
		return errno.Ret(), nil
	}
	e.setProtocol(f.ctx, to)
	e.Space.Store32(f.ctx+prog.SKBHash, 0)
	return 0, nil
}

// skbChangeType: see Linux bpf_skb_change_type.
func skbChangeType(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	const otherHost = 3 // PACKET_OTHERHOST, the last that may be changed or set
	ctx := uint32(r1)
	if uint32(r2) > otherHost || e.Space.Load32(ctx+prog.SKBPktType) > otherHost {
		return maps.EINVAL.Ret(), nil
	}
	e.Space.Store32(ctx+prog.SKBPktType, uint32(r2))
	return 0, nil
}

// setVlan makes the tag beside the packet (Linux: __vlan_hwaccel_put_tag).
func (e *Env) setVlan(ctx uint32, proto, tci uint16) {
	e.Space.Store32(ctx+prog.SKBVlanPresent, 1)
	e.Space.Store32(ctx+prog.SKBVlanTCI, uint32(tci))
	e.Space.Store32(ctx+prog.SKBVlanProto, uint32(swap16(proto)))
}

func (e *Env) clearVlan(ctx uint32) {
	e.Space.Store32(ctx+prog.SKBVlanPresent, 0)
	e.Space.Store32(ctx+prog.SKBVlanTCI, 0)
	e.Space.Store32(ctx+prog.SKBVlanProto, 0)
}

func isVlan(proto uint16) bool { return proto == etherVLAN || proto == etherQinQ }

// skbVlanPush: see Linux skb_vlan_push. The new tag stands beside the packet; one that stood there moves into it.
func skbVlanPush(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	proto := swap16(uint16(r2))
	if !isVlan(proto) {
		proto = etherVLAN
	}
	s := e.Space
	if s.Load32(f.ctx+prog.SKBVlanPresent) != 0 {
		if f.len() < ethHLen {
			return maps.ENOMEM.Ret(), nil
		}
		old := swap16(s.Load16(f.ctx + prog.SKBVlanProto))
		tci := uint16(s.Load32(f.ctx + prog.SKBVlanTCI))
		net := s.Load32(f.ctx + fieldNet)
		if errno := e.push(&f, 2*6, vlanHLen); errno != 0 {
			return errno.Ret(), nil
		}
		s.Store32(f.ctx+fieldNet, net) // now at the tag that moved
		s.Store16(f.data+12, swap16(old))
		s.Store16(f.data+14, swap16(tci))
		e.setProtocol(f.ctx, old)
	}
	e.setVlan(f.ctx, proto, uint16(r3))
	return 0, nil
}

// skbVlanPop: see Linux skb_vlan_pop. A tag that is next in the packet moves beside it.
func skbVlanPop(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if e.Space.Load32(f.ctx+prog.SKBVlanPresent) != 0 {
		e.clearVlan(f.ctx)
	} else {
		if !isVlan(e.protocol(f.ctx)) {
			return 0, nil
		}
		if _, errno := e.takeVlan(&f); errno != 0 {
			return errno.Ret(), nil
		}
	}
	proto := e.protocol(f.ctx)
	if !isVlan(proto) {
		return 0, nil
	}
	tci, errno := e.takeVlan(&f)
	if errno != 0 {
		return errno.Ret(), nil
	}
	e.setVlan(f.ctx, proto, tci)
	return 0, nil
}

// takeVlan removes the tag behind the MAC addresses and sets the protocol to what it encapsulated (Linux:
// __skb_vlan_pop, vlan_set_encap_proto).
func (e *Env) takeVlan(f *frame) (tci uint16, errno maps.Errno) {
	s := e.Space
	if f.len() < ethHLen+vlanHLen {
		return 0, maps.ENOMEM
	}
	tci = swap16(s.Load16(f.data + 14))
	proto := swap16(s.Load16(f.data + 16))
	if proto < etherMinII {
		inner := s.Load16(f.data + 18)
		proto = ether8022
		if f.len() >= ethHLen+vlanHLen+2 && inner == 0xffff {
			proto = ether8023
		}
	}
	net := s.Load32(f.ctx + fieldNet)
	if errno := e.pop(f, 2*6, vlanHLen); errno != 0 {
		return 0, errno
	}
	s.Store32(f.ctx+fieldNet, max(net, ethHLen+vlanHLen)-vlanHLen)
	e.setProtocol(f.ctx, proto)
	return tci, 0
}

// getHashRecalc is the ctx's hash, or one of the packet's flow when it has none. The kernel's depends on a random key;
// this one only on the packet.
func getHashRecalc(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	h := e.Space.Load32(f.ctx + prog.SKBHash)
	if h == 0 {
		h = e.flowHash(&f)
		e.Space.Store32(f.ctx+prog.SKBHash, h)
	}
	return uint64(h), nil
}

// flowHash mixes addresses, protocol and ports of an IP packet, the same in both directions; for others the first
// bytes. It is never 0.
func (e *Env) flowHash(f *frame) uint32 {
	const (
		ipAddrs, ip6Addrs  = 12, 8 // offsets of the source address
		ipProto, ip6NextHd = 9, 6
	)
	b := e.bytes(f.data, f.len())[e.netOffset(f):]
	h := uint64(e.protocol(f.ctx))
	switch {
	case h == etherIPv4 && len(b) >= ipv4HLen:
		h = mixPair(mixIn(h, b[ipProto:ipProto+1]), b[ipAddrs:ipAddrs+8])
		b = b[min(len(b), int(b[0]&0xf)*4):]
	case h == etherIPv6 && len(b) >= ipv6HLen:
		h = mixPair(mixIn(h, b[ip6NextHd:ip6NextHd+1]), b[ip6Addrs:ip6Addrs+32])
		b = b[ipv6HLen:]
	}
	h = mixPair(h, b[:min(len(b), 4)&^1])
	return uint32(h>>32^h) | 1
}

// mixPair mixes in the two halves of b in either order.
func mixPair(h uint64, b []byte) uint64 {
	half := len(b) / 2
	return h*31 + (mixIn(0, b[:half]) + mixIn(0, b[half:]))
}

// mixIn is FNV-1a.
func mixIn(h uint64, b []byte) uint64 {
	for _, c := range b {
		h = (h ^ uint64(c)) * 0x100000001b3
	}
	return h
}

func setHash(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	e.Space.Store32(uint32(r1)+prog.SKBHash, uint32(r2))
	return 0, nil
}

func setHashInvalid(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	e.Space.Store32(uint32(r1)+prog.SKBHash, 0)
	return 0, nil
}

// skbSetTstamp: see Linux bpf_skb_set_tstamp.
func skbSetTstamp(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	const lastClock = 2 // BPF_SKB_CLOCK_REALTIME 0, MONOTONIC 1, TAI 2
	ctx := uint32(r1)
	if p := e.protocol(ctx); p != etherIPv4 && p != etherIPv6 {
		return maps.EOPNOTSUPP.Ret(), nil
	}
	if clock := uint32(r3); clock > lastClock || clock != 0 && r2 == 0 {
		return maps.EINVAL.Ret(), nil
	}
	e.Space.Store64(ctx+prog.SKBTstamp, r2)
	e.Space.Store8(ctx+prog.SKBTstampType, uint8(r3))
	return 0, nil
}

// skbEcnSetCe marks congestion in an IP header whose sender understands it; it returns 1 when it did or was so before
// (Linux: INET_ECN_set_ce).
func skbEcnSetCe(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	ip := e.bytes(f.data, f.len())[e.netOffset(&f):]
	switch p := e.protocol(f.ctx); {
	case p == etherIPv4 && len(ip) >= ipv4HLen:
		return setCE4(ip), nil
	case p == etherIPv6 && len(ip) >= ipv6HLen:
		const ce6 = 3 << 4 // in the traffic class, byte 1
		if ip[1]&ce6 == 0 {
			return 0, nil
		}
		ip[1] |= ce6
		return 1, nil
	}
	return 0, nil
}

// setCE4 sets both ECN bits of an IPv4 header and keeps its checksum right.
func setCE4(ip []byte) uint64 {
	const ce = 3
	old := ip[1]
	if old&ce == 0 {
		return 0
	}
	ip[1] |= ce
	check := uint16(ip[10]) | uint16(ip[11])<<8
	check = replace2(check, uint16(ip[0])|uint16(old)<<8, uint16(ip[0])|uint16(ip[1])<<8)
	ip[10], ip[11] = byte(check), byte(check>>8)
	return 1
}

// What the kernel says of a packet without a cgroup or route.

func getRouteRealm(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

func getCgroupClassid(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }
