package maps

import (
	"encoding/binary"
	"fmt"
)

// Get reads an element as Go values: K and V are integers, arrays or structs of such (see encoding/binary), laid out
// little-endian without padding, so C padding must be spelled out as blank fields. No element gives ENOENT, a size
// that is not the map's EINVAL. For a per-CPU map see GetPerCPU.
func Get[K, V any](m Map, key K) (V, error) {
	var v V
	k, err := encode(m, "lookup", key, int(m.Spec().KeySize))
	if err != nil {
		return v, err
	}
	b, err := m.HostLookup(k)
	if err != nil {
		return v, err
	}
	return v, decode(m, b, &v)
}

// GetPerCPU reads all CPUs' values of an element of a per-CPU map, by CPU.
func GetPerCPU[K, V any](m Map, key K) ([]V, error) {
	k, err := encode(m, "lookup", key, int(m.Spec().KeySize))
	if err != nil {
		return nil, err
	}
	b, err := m.HostLookup(k)
	if err != nil {
		return nil, err
	}
	stride := len(b)
	if m.Spec().Type.Row().PerCPU {
		stride = int(round8(m.Spec().ValueSize))
	}
	var vs []V
	for ; len(b) > 0; b = b[stride:] {
		var v V
		if err := decode(m, b[:m.Spec().ValueSize], &v); err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// Put creates or replaces an element; in a per-CPU map it gives every CPU that value. See Get for K and V.
func Put[K, V any](m Map, key K, value V) error {
	spec := m.Spec()
	k, err := encode(m, "update", key, int(spec.KeySize))
	if err != nil {
		return err
	}
	v, err := encode(m, "update", value, int(spec.ValueSize))
	if err != nil {
		return err
	}
	if spec.Type.Row().PerCPU {
		one := append(v, make([]byte, int(round8(spec.ValueSize))-len(v))...)
		v = nil
		for range CPUs(m) {
			v = append(v, one...)
		}
	}
	return m.HostUpdate(k, v, Any)
}

// CPUs returns how many CPUs a map has values for: 1 unless it is a per-CPU map.
func CPUs(m Map) int {
	if c, ok := m.(interface{ shared() *core }); ok && m.Spec().Type.Row().PerCPU {
		return c.shared().cpus
	}
	return 1
}

func encode(m Map, op string, v any, size int) ([]byte, error) {
	b, err := binary.Append(nil, binary.LittleEndian, v)
	if err != nil {
		return nil, &Error{Op: op, Map: m.Spec().Name, Errno: EINVAL, Reason: err.Error()}
	}
	if len(b) != size {
		return nil, &Error{Op: op, Map: m.Spec().Name, Errno: EINVAL,
			Reason: fmt.Sprintf("%T has %d bytes, want %d", v, len(b), size)}
	}
	return b, nil
}

func decode(m Map, b []byte, v any) error {
	n, err := binary.Decode(b, binary.LittleEndian, v)
	reason := ""
	if err != nil {
		reason = err.Error()
	} else if n != len(b) {
		reason = fmt.Sprintf("%T has %d bytes, want %d", v, n, len(b))
	}
	if reason != "" {
		return &Error{Op: "lookup", Map: m.Spec().Name, Errno: EINVAL, Reason: reason}
	}
	return nil
}
