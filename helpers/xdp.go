package helpers

import (
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

const (
	ethHLen    = 14
	maxMetaLen = 255 // skb_shared_info.meta_len; 32 until Linux 6.6
	maxGrow    = 1 << 20
)

// xdpAdjustHead: see Linux bpf_xdp_adjust_head. Metadata moves along.
func xdpAdjustHead(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	by := int64(int32(r2))
	metaLen := f.data - f.meta
	to := int64(f.data) + by
	if to < int64(f.head)+int64(metaLen) || to > int64(f.end)-ethHLen {
		return maps.EINVAL.Ret(), nil
	}
	from := f.meta
	f.data, f.meta = uint32(to), uint32(to)-metaLen
	if metaLen > 0 {
		copy(e.bytes(f.meta, metaLen), e.bytes(from, metaLen))
	}
	e.storeXDP(&f)
	return 0, nil
}

// xdpAdjustTail: see Linux bpf_xdp_adjust_tail. Bytes that it adds are zero.
func xdpAdjustTail(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	by := int64(int32(r2))
	if p := e.piecesOf(&f); p.frags() > 0 {
		return e.adjustFragTail(&f, &p, by).Ret(), nil
	}
	to := int64(f.end) + by
	if to > int64(f.limit) || to < int64(f.data)+ethHLen || by > maxGrow {
		return maps.EINVAL.Ret(), nil
	}
	if by > 0 {
		clear(e.bytes(f.end, uint32(by)))
	}
	f.end = uint32(to)
	e.storeXDP(&f)
	return 0, nil
}

// xdpAdjustMeta: see Linux bpf_xdp_adjust_meta.
func xdpAdjustMeta(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	to := int64(f.meta) + int64(int32(r2))
	if to < int64(f.head) || to > int64(f.data) {
		return maps.EINVAL.Ret(), nil
	}
	if n := int64(f.data) - to; n%4 != 0 || n > maxMetaLen {
		return errAccess.Ret(), nil
	}
	f.meta = uint32(to)
	e.storeXDP(&f)
	return 0, nil
}

func xdpGetBuffLen(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	return e.piecesOf(&f).total, nil
}

// xdpRange is what xdp_load_bytes and xdp_store_bytes copy from and to.
func (e *Env) xdpRange(r1, r2, r3, r4 uint64) (p pieces, buf []byte, errno maps.Errno, err error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return p, nil, 0, err
	}
	p = e.piecesOf(&f)
	if errno = p.holds(uint32(r2), uint32(r4)); errno != 0 {
		return p, nil, errno, nil
	}
	buf, err = e.mem(3, r3, uint64(uint32(r4)))
	return p, buf, 0, err
}

func xdpLoadBytes(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	p, buf, errno, err := e.xdpRange(r1, r2, r3, r4)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	e.load(&p, uint32(r2), buf)
	return 0, nil
}

func xdpStoreBytes(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	p, buf, errno, err := e.xdpRange(r1, r2, r3, r4)
	if err != nil || errno != 0 {
		return errno.Ret(), err
	}
	e.store(&p, uint32(r2), buf)
	return 0, nil
}

// redirectTo notes where the packet of the running program goes.
func (e *Env) redirectTo(kind, to, mapHandle, key uint32) {
	e.Space.Store32(e.Ctx+fieldRedirKind, kind)
	e.Space.Store32(e.Ctx+fieldRedirTo, to)
	e.Space.Store32(e.Ctx+fieldRedirMap, mapHandle)
	e.Space.Store32(e.Ctx+fieldRedirKey, key)
}

// Flags of redirects.
const (
	flagIngress        = 1 << 0
	flagBroadcast      = 1 << 3 // devmap only
	flagExcludeIngress = 1 << 4 // devmap only
	redirectMissMask   = 3      // verdict when redirect_map finds nothing
)

// redirect: see Linux bpf_redirect and bpf_xdp_redirect.
func redirect(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	if e.Type == prog.XDP {
		if r2 != 0 {
			return xdpAborted, nil
		}
		e.redirectTo(prog.RedirectIfindex, uint32(r1), 0, 0)
		return xdpRedirect, nil
	}
	if r2&^flagIngress != 0 {
		return tcActShot, nil
	}
	e.redirectTo(prog.RedirectIfindex, uint32(r1), 0, uint32(r2))
	return tcActRedirect, nil
}

// redirectMap: see Linux __bpf_xdp_redirect_map. A lookup that finds nothing undoes an earlier redirect.
func redirectMap(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	allowed := uint64(redirectMissMask)
	typ := m.Spec().Type
	isDev := typ == maps.DevMap || typ == maps.DevMapHash
	switch {
	case isDev:
		allowed |= flagBroadcast | flagExcludeIngress
	case typ != maps.CPUMap && typ != maps.XSKMap:
		return 0, &ArgError{1, r1, "is no map to redirect by"}
	}
	if r3&^allowed != 0 {
		return xdpAborted, nil
	}
	key := uint32(r2)
	put32(e.scratch[:4], key)
	value := uint32(0)
	if addr := m.LookupAddr(e.CPU, e.scratch[:4]); addr != 0 {
		value = e.Space.Load32(addr)
	}
	switch {
	case r3&flagBroadcast != 0:
		e.redirectTo(prog.RedirectBroadcast, 0, m.Handle(), uint32(r3))
	case value == 0:
		e.redirectTo(prog.RedirectNone, 0, 0, 0)
		return r3 & redirectMissMask, nil
	default:
		e.redirectTo(prog.RedirectMap, value, m.Handle(), key)
	}
	return xdpRedirect, nil
}

func put32(b []byte, v uint32) {
	b[0], b[1], b[2], b[3] = byte(v), byte(v>>8), byte(v>>16), byte(v>>24)
}

func redirectPeer(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	if r2 != 0 {
		return tcActShot, nil
	}
	e.redirectTo(prog.RedirectPeer, uint32(r1), 0, 0)
	return tcActRedirect, nil
}

// cloneRedirect sends a copy of the packet to Env.Clone.
func cloneRedirect(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	f, err := e.frameOf(r1)
	if err != nil {
		return 0, err
	}
	if r3&^flagIngress != 0 || uint32(r2) == 0 {
		return maps.EINVAL.Ret(), nil
	}
	e.Clones++
	if e.Clone != nil {
		e.Clone(uint32(r2), r3, e.bytes(f.data, f.len()))
	}
	return 0, nil
}
