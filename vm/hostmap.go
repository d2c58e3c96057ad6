package vm

import (
	"encoding/binary"
	"iter"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
)

// Host is a map as the host sees it. Maps of sockets have guest addresses in them, and those that keep something for a socket have
// them as keys; to the host, both are the sockets' cookies. Other maps are as they are.
func (m *Machine) Host(mp maps.Map) maps.Map {
	if mp == nil || !mp.Spec().Type.Row().Sockets && mp.Spec().Type != maps.SKStorage {
		return mp
	}
	return &socketMap{Map: mp, sockets: m.sockets, keys: mp.Spec().Type == maps.SKStorage}
}

// socketMap shows cookies where the map within has addresses: in its keys, else in its values. Sockets that are not in the machine's
// table cannot be set, and show as 0.
type socketMap struct {
	maps.Map
	sockets *helpers.Sockets
	keys    bool
}

// Inner is the map as programs see it.
func (s *socketMap) Inner() maps.Map { return s.Map }

// inward is a cookie made an address.
func (s *socketMap) inward(b []byte) ([]byte, error) {
	addr, ok := s.sockets.SocketAddr(word(b))
	if !ok {
		return nil, &maps.Error{Op: "update", Map: s.Spec().Name, Errno: maps.ENOENT, Reason: "no socket has that cookie"}
	}
	return put(b, uint64(addr)), nil
}

// outward is an address made a cookie.
func (s *socketMap) outward(b []byte) []byte {
	cookie, _ := s.sockets.SocketCookie(uint32(word(b)))
	return put(b, cookie)
}

// word is a number of 4 bytes or 8; 0 when b has another length.
func word(b []byte) uint64 {
	switch len(b) {
	case 4:
		return uint64(binary.LittleEndian.Uint32(b))
	case 8:
		return binary.LittleEndian.Uint64(b)
	}
	return 0
}

// put is v in as many bytes as like has.
func put(like []byte, v uint64) []byte {
	b := binary.LittleEndian.AppendUint64(nil, v)
	return b[:min(len(like), 8)]
}

// in makes what the map within takes.
func (s *socketMap) in(key, value []byte) (k, v []byte, err error) {
	if s.keys {
		k, err = s.inward(key)
		return k, value, err
	}
	v, err = s.inward(value)
	return key, v, err
}

func (s *socketMap) Update(cpu int, key, value []byte, flags uint64) error {
	k, v, err := s.in(key, value)
	if err != nil {
		return err
	}
	return s.Map.Update(cpu, k, v, flags)
}

func (s *socketMap) HostUpdate(key, value []byte, flags uint64) error {
	k, v, err := s.in(key, value)
	if err != nil {
		return err
	}
	return s.Map.HostUpdate(k, v, flags)
}

func (s *socketMap) Delete(key []byte) error {
	if s.keys {
		k, err := s.inward(key)
		if err != nil {
			return err
		}
		key = k
	}
	return s.Map.Delete(key)
}

func (s *socketMap) HostLookup(key []byte) ([]byte, error) {
	if !s.keys {
		value, err := s.Map.HostLookup(key)
		if err != nil {
			return nil, err
		}
		return s.outward(value), nil
	}
	k, err := s.inward(key)
	if err != nil {
		return nil, err
	}
	return s.Map.HostLookup(k)
}

func (s *socketMap) Next(key []byte) ([]byte, bool) {
	if !s.keys {
		return s.Map.Next(key)
	}
	if key != nil {
		if k, err := s.inward(key); err == nil {
			key = k
		}
	}
	next, ok := s.Map.Next(key)
	if ok {
		next = s.outward(next)
	}
	return next, ok
}

func (s *socketMap) All() iter.Seq2[[]byte, []byte] {
	return func(yield func(key, value []byte) bool) {
		for key, value := range s.Map.All() {
			if s.keys {
				key = s.outward(key)
			} else {
				value = s.outward(value)
			}
			if !yield(key, value) {
				return
			}
		}
	}
}
