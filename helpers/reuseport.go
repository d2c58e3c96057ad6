package helpers

import (
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

const (
	errBadFD     maps.Errno = 77 // EBADFD
	errProtoType maps.Errno = 91 // EPROTOTYPE
)

// skSelectReuseport: see Linux sk_select_reuseport. The sockets of a group are those that listen at the same address and port.
func skSelectReuseport(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	m, key, err := e.mapAndKey(r2, r3)
	if err != nil {
		return 0, err
	}
	if !m.Spec().Type.Row().Sockets {
		return 0, &ArgError{2, r2, "is no map of sockets"}
	}
	s, _ := e.Sockets.At(m.LookupAddr(e.CPU, key))
	if s == nil {
		return maps.ENOENT.Ret(), nil
	}
	sk := e.skOfCtx(r1)
	if sk == nil {
		return 0, &ArgError{1, r1, "is no ctx with a socket"}
	}
	switch {
	case s.Remote.IsValid() && m.Spec().Type != maps.ReuseportSockArray:
		return maps.EINVAL.Ret(), nil // it is in no group
	case s.Proto != sk.Proto:
		return errProtoType.Ret(), nil
	case s.Local.Addr().Is4() != sk.Local.Addr().Is4():
		return errAFNoSupport.Ret(), nil
	case sk != &e.Sockets.own && s.Local != sk.Local:
		return errBadFD.Ret(), nil
	}
	e.Space.Store64(uint32(r1)+prog.ReuseportSelected, uint64(e.Sockets.addrOf(s)))
	return 0, nil
}
