package helpers

import (
	"encoding/binary"
	"net/netip"
	"strings"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// sysctlText is the string in a field of a sysctl's ctx, of size bytes at most.
func (e *Env) sysctlText(ctx, off, size uint32) string {
	text, _, _ := strings.Cut(string(e.bytes(ctx+off, size)), "\x00")
	return text
}

// copyText copies a string as strscpy of Linux does: E2BIG when it does not fit with its end.
func copyText(dst []byte, text string) uint64 {
	if len(text) < len(dst) {
		copy(dst, text)
		dst[len(text)] = 0
		return uint64(len(text))
	}
	copy(dst[:len(dst)-1], text)
	dst[len(dst)-1] = 0
	return maps.E2BIG.Ret()
}

// sysctlGetName: see Linux bpf_sysctl_get_name, sysctl_cpy_dir.
func sysctlGetName(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	const baseName = 1 // BPF_F_SYSCTL_BASE_NAME
	buf, err := e.mem(2, r2, r3)
	if err != nil || len(buf) == 0 {
		return maps.EINVAL.Ret(), err
	}
	name := e.sysctlText(uint32(r1), prog.SysctlName, prog.SysctlNameMax)
	if r4&baseName != 0 {
		name = name[strings.LastIndexByte(name, '/')+1:]
	}
	return copyText(buf, name), nil
}

// sysctlValue copies a value as copy_sysctl_value of Linux does.
func sysctlValue(dst []byte, value []byte) uint64 {
	n := copy(dst, value)
	clear(dst[n:])
	switch {
	case len(dst) == 0:
		return maps.E2BIG.Ret()
	case len(value) == 0:
		return maps.EINVAL.Ret()
	case len(dst) > len(value):
		return uint64(len(value))
	}
	dst[len(dst)-1] = 0
	return maps.E2BIG.Ret()
}

func sysctlGetCurrentValue(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	buf, err := e.mem(2, r2, r3)
	if err != nil {
		return 0, err
	}
	return sysctlValue(buf, []byte(e.sysctlText(uint32(r1), prog.SysctlValue, prog.SysctlMax))), nil
}

// newValue is what is to be written: what the program has set, else what it was called for.
func (e *Env) newValue(ctx uint32) []byte {
	if e.Space.Load32(ctx+prog.SysctlUpdated) != 0 {
		return e.bytes(ctx+prog.SysctlNew, min(e.Space.Load32(ctx+prog.SysctlNewLen), prog.SysctlMax))
	}
	return []byte(e.sysctlText(ctx, prog.SysctlNew, prog.SysctlMax))
}

func sysctlGetNewValue(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	buf, err := e.mem(2, r2, r3)
	if err != nil {
		return 0, err
	}
	if e.Space.Load32(uint32(r1)) == 0 { // a read
		clear(buf)
		return maps.EINVAL.Ret(), nil
	}
	return sysctlValue(buf, e.newValue(uint32(r1))), nil
}

// sysctlSetNewValue: see Linux bpf_sysctl_set_new_value.
func sysctlSetNewValue(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	ctx := uint32(r1)
	buf, err := e.mem(2, r2, r3)
	switch {
	case err != nil:
		return 0, err
	case e.Space.Load32(ctx) == 0, len(e.newValue(ctx)) == 0, len(buf) == 0:
		return maps.EINVAL.Ret(), nil
	case len(buf) > prog.SysctlMax-1:
		return maps.E2BIG.Ret(), nil
	}
	to := e.bytes(ctx+prog.SysctlNew, prog.SysctlMax)
	clear(to[copy(to, buf):])
	e.Space.Store32(ctx+prog.SysctlNewLen, uint32(len(buf)))
	e.Space.Store32(ctx+prog.SysctlUpdated, 1)
	return 0, nil
}

// retvals are where the hooks of cgroups keep what they return to the caller.
var retvals = map[prog.Type]uint32{
	prog.CgroupSockAddr: prog.SockAddrRetval, prog.CgroupSock: prog.CgroupSockRetval, prog.CgroupDevice: prog.CgroupDeviceRetval,
	prog.CgroupSysctl: prog.SysctlRetval, prog.CgroupSockopt: 36, // retval of struct bpf_sockopt
}

// getRetval: see Linux bpf_get_retval.
func getRetval(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	off, ok := retvals[e.Type]
	if !ok {
		return 0, nil
	}
	return uint64(int64(int32(e.Space.Load32(e.Ctx + off)))), nil
}

// setRetval: see Linux bpf_set_retval.
func setRetval(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	if off, ok := retvals[e.Type]; ok {
		e.Space.Store32(e.Ctx+off, uint32(r1))
	}
	return 0, nil
}

const (
	sizeofSockaddrIn  = 16
	sizeofSockaddrIn6 = 24 // SIN6_LEN_RFC2133: without the scope
	afUnix            = 1

	errAFNoSupport maps.Errno = 97
	errAddrInUse   maps.Errno = 98
)

// sockaddrBind: see Linux bpf_bind. Deviation: every address is the machine's own, and only a socket of the table holds a port.
func sockaddrBind(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	addr, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	if len(addr) < 2 {
		return maps.EINVAL.Ret(), nil
	}
	var ip netip.Addr
	switch binary.LittleEndian.Uint16(addr) {
	case familyIPv4:
		if len(addr) < sizeofSockaddrIn {
			return maps.EINVAL.Ret(), nil
		}
		ip, _ = netip.AddrFromSlice(addr[4:8])
	case familyIPv6:
		if len(addr) < sizeofSockaddrIn6 {
			return maps.EINVAL.Ret(), nil
		}
		ip, _ = netip.AddrFromSlice(addr[8:24])
	default:
		return errAFNoSupport.Ret(), nil
	}
	s := e.skOfCtx(r1)
	if s == nil || ip.Is6() && s.Local.Addr().Is4() {
		return maps.EINVAL.Ret(), nil
	}
	if ip.Is4() && s.Local.Addr().Is6() {
		return errAFNoSupport.Ret(), nil
	}
	local := netip.AddrPortFrom(ip, binary.BigEndian.Uint16(addr[2:]))
	if e.Sockets.holds(s, local) {
		return errAddrInUse.Ret(), nil
	}
	s.Local = local
	e.Sockets.changed(s)
	ctx := uint32(r1)
	e.Space.Store32(ctx+prog.SockAddrBoundPort, uint32(binary.LittleEndian.Uint16(addr[2:])))
	if ip.Is4() {
		copy(e.bytes(ctx+prog.SockAddrBoundIP4, 4), ip.AsSlice())
	} else {
		copy(e.bytes(ctx+prog.SockAddrBoundIP6, 16), ip.AsSlice())
	}
	return 0, nil
}

// holds reports whether another socket than s has an address and port.
func (t *Sockets) holds(s *Socket, local netip.AddrPort) bool {
	for i := range t.list {
		o := &t.list[i]
		if o == s || local.Port() == 0 || o.Proto != s.Proto || o.Local.Port() != local.Port() {
			continue
		}
		if a, b := o.Local.Addr(), local.Addr(); a == b || a.IsUnspecified() || b.IsUnspecified() {
			return true
		}
	}
	return false
}

// sockAddrSetSunPath: see Linux bpf_sock_addr_set_sun_path.
func sockAddrSetSunPath(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	path, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	ctx, s := uint32(r1), e.skOfCtx(r1)
	if s == nil || s.family != afUnix || len(path) == 0 || len(path) > 108 {
		return intRet(maps.EINVAL), nil
	}
	to := e.bytes(ctx+prog.SockAddrSunPath, 108)
	clear(to[copy(to, path):])
	e.Space.Store32(ctx+prog.SockAddrSunLen, uint32(len(path)))
	return 0, nil
}

// level is the id of the group at a level, the root's being 0; 0 when g is not so deep (Linux: cgroup_ancestor).
func (g *Group) level(n int32) uint64 {
	switch {
	case g == nil || n < 0 || int(n) > len(g.Ancestors):
		return 0
	case int(n) == len(g.Ancestors):
		return g.ID
	}
	return g.Ancestors[len(g.Ancestors)-1-int(n)]
}

// group is the cgroup of a full socket; nil: none is known.
func (s *Socket) group() *Group {
	if s == nil || !s.isFull() {
		return nil
	}
	return s.Cgroup
}

// id is the group's; 0 of one that is not known.
func (g *Group) id() uint64 {
	if g == nil {
		return 0
	}
	return g.ID
}

func skbCgroupId(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	return e.skOfCtx(r1).group().id(), nil
}

func skbAncestorCgroupId(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	return e.skOfCtx(r1).group().level(int32(r2)), nil
}

func skCgroupId(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	s, _ := e.Sockets.At(uint32(r1))
	return s.group().id(), nil
}

func skAncestorCgroupId(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	s, _ := e.Sockets.At(uint32(r1))
	return s.group().level(int32(r2)), nil
}

func getCurrentAncestorCgroupId(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	t := e.task()
	return (&Group{t.CgroupID, t.Ancestors}).level(int32(r1)), nil
}

// initNetns is the cookie of the first network namespace, which everything is in that is not said to be elsewhere.
const initNetns = 1

// getNetnsCookie: see Linux bpf_get_netns_cookie. Without a ctx it is the first namespace's.
func getNetnsCookie(e *Env, r1, _, _, _, _ uint64) (uint64, error) {
	if r1 != 0 {
		if s := e.skOfCtx(r1); s != nil && s.NetnsCookie != 0 {
			return s.NetnsCookie, nil
		}
	}
	return initNetns, nil
}
