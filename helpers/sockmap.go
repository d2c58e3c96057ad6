package helpers

import (
	"encoding/binary"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Flags of bpf_sk_storage_get.
const storageCreate = 1 << 0 // BPF_SK_STORAGE_GET_F_CREATE

// skStorageGet: see Linux bpf_sk_storage_get.
func skStorageGet(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil || r2 == 0 || r4&^uint64(storageCreate) != 0 {
		return 0, err
	}
	s, addr, err := e.socketArg(2, r2)
	if err != nil || !s.isFull() {
		return 0, err
	}
	key := e.scratch[:4]
	binary.LittleEndian.PutUint32(key, addr)
	return e.storageGet(m, key, r3, r4)
}

// storageGet is the value of an object in a storage map. With storageCreate it makes one, of what r3 points to when that is not
// NULL (Linux: bpf_local_storage_update).
func (e *Env) storageGet(m maps.Map, key []byte, r3, flags uint64) (uint64, error) {
	if at := m.LookupAddr(e.CPU, key); at != 0 || flags&storageCreate == 0 {
		return uint64(at), nil
	}
	value := make([]byte, m.Spec().ValueSize)
	if r3 != 0 {
		initial, err := e.mem(3, r3, uint64(len(value)))
		if err != nil {
			return 0, err
		}
		copy(value, initial)
	}
	if err := m.Update(e.CPU, key, value, maps.NoExist); err != nil {
		return 0, nil // NULL says that there is no room
	}
	return uint64(m.LookupAddr(e.CPU, key)), nil
}

// skStorageDelete: see Linux bpf_sk_storage_delete.
func skStorageDelete(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(1, r1)
	if err != nil {
		return 0, err
	}
	if r2 == 0 {
		return maps.EINVAL.Ret(), nil
	}
	_, addr, err := e.socketArg(2, r2)
	if err != nil {
		return 0, err
	}
	key := e.scratch[:4]
	binary.LittleEndian.PutUint32(key, addr)
	return ret(m.Delete(key))
}

// Verdicts of sk_skb programs.
const skDrop, skPass = 0, 1

// skRedirectMap: see Linux bpf_sk_redirect_map. The frame says which socket the packet goes to.
func skRedirectMap(e *Env, _, r2, r3, r4, _ uint64) (uint64, error) {
	binary.LittleEndian.PutUint32(e.scratch[:4], uint32(r3))
	return e.redirectToSocket(r2, e.scratch[:4], uint32(r3), r4)
}

// skRedirectHash: see Linux bpf_sk_redirect_hash.
func skRedirectHash(e *Env, _, r2, r3, r4, _ uint64) (uint64, error) {
	_, key, err := e.mapAndKey(r2, r3)
	if err != nil {
		return 0, err
	}
	return e.redirectToSocket(r2, key, 0, r4)
}

// mapAndKey are the map and the key in arguments 2 and 3.
func (e *Env) mapAndKey(r2, r3 uint64) (maps.Map, []byte, error) {
	m, err := e.mapArg(2, r2)
	if err != nil {
		return nil, nil, err
	}
	key, err := e.mem(3, r3, uint64(m.Spec().KeySize))
	return m, key, err
}

func (e *Env) redirectToSocket(handle uint64, key []byte, shown uint32, flags uint64) (uint64, error) {
	m, err := e.mapArg(2, handle)
	if err != nil {
		return 0, err
	}
	if !m.Spec().Type.Row().Sockets {
		return 0, &ArgError{2, handle, "is no map of sockets"}
	}
	if flags&^flagIngress != 0 {
		return skDrop, nil
	}
	_, i := e.Sockets.At(m.LookupAddr(e.CPU, key))
	if i < 0 {
		return skDrop, nil
	}
	e.redirectTo(prog.RedirectMap, uint32(i), m.Handle(), shown)
	return skPass, nil
}

// sockMapUpdate puts the socket of a ctx into a map (Linux: bpf_sock_map_update, bpf_sock_hash_update).
func sockMapUpdate(e *Env, r1, r2, r3, r4, _ uint64) (uint64, error) {
	m, key, err := e.mapAndKey(r2, r3)
	if err != nil {
		return 0, err
	}
	s := e.skOfCtx(r1)
	if s == nil {
		return maps.EINVAL.Ret(), nil
	}
	return ret(m.Update(e.CPU, key, e.socketValue(m, s), r4))
}

// socketValue is the element of a map of sockets for s.
func (e *Env) socketValue(m maps.Map, s *Socket) []byte {
	value := e.scratch[8:16]
	binary.LittleEndian.PutUint64(value, uint64(e.Sockets.addrOf(s)))
	return value[:m.Spec().ValueSize]
}
