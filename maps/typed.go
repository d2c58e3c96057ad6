package maps

import (
	"encoding/binary"
	"iter"
	"reflect"
)

// Get reads an element as Go values. Where the map's key or value has a C type (Spec.Key, Spec.Value, from BTF), a Go value goes
// together with it as said below; else K and V are integers, arrays or structs of such (see encoding/binary), laid out
// little-endian without padding, so that C padding must be spelled out as blank fields.
//
// A struct's fields find C members by name: by the tag `bpf:"name"`, else by their own, whatever its case and underscores. Numbers may have
// another size if the value fits; arrays are arrays, slices or, of char, strings. C members without a field are zero; a field without a
// member is an error.
//
// No element gives ENOENT, a value that does not fit EINVAL. For a per-CPU map see GetPerCPU.
func Get[K, V any](m Map, key K) (V, error) {
	var v V
	spec := m.Spec()
	k, err := encode(m, "lookup", key, spec.KeySize, spec.Key)
	if err != nil {
		return v, err
	}
	b, err := HostOf(m).Lookup(k, 0)
	if err != nil {
		return v, err
	}
	return v, decode(m, b, spec.Value, &v)
}

// GetPerCPU reads all CPUs' values of an element of a per-CPU map, by CPU.
func GetPerCPU[K, V any](m Map, key K) ([]V, error) {
	k, err := encode(m, "lookup", key, m.Spec().KeySize, m.Spec().Key)
	if err != nil {
		return nil, err
	}
	b, err := HostOf(m).Lookup(k, 0)
	if err != nil {
		return nil, err
	}
	return decodeAll[V](m, b)
}

// decodeAll splits a value into those of the CPUs.
func decodeAll[V any](m Map, b []byte) (vs []V, err error) {
	spec, stride := m.Spec(), len(b)
	if spec.Type.Row().PerCPU {
		stride = int(round8(spec.ValueSize))
	}
	for ; len(b) > 0; b = b[stride:] {
		var v V
		if err := decode(m, b[:spec.ValueSize], spec.Value, &v); err != nil {
			return nil, err
		}
		vs = append(vs, v)
	}
	return vs, nil
}

// Put creates or replaces an element; in a per-CPU map it gives every CPU that value. See Get for K and V. A map that is frozen gives EPERM.
func Put[K, V any](m Map, key K, value V) error {
	spec := m.Spec()
	k, err := encode(m, "update", key, spec.KeySize, spec.Key)
	if err != nil {
		return err
	}
	v, err := encode(m, "update", value, spec.ValueSize, spec.Value)
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
	return HostOf(m).Update(k, v, Any)
}

// Delete deletes an element. See Get for K. A map that is frozen gives EPERM.
func Delete[K any](m Map, key K) error {
	k, err := encode(m, "delete", key, m.Spec().KeySize, m.Spec().Key)
	if err != nil {
		return err
	}
	return HostOf(m).Delete(k)
}

// Element is one of a map, as Go values: see Get.
type Element[K, V any] struct {
	Key    K
	Value  V   // of CPU 0 in a per-CPU map
	PerCPU []V // of a per-CPU map: all CPUs'
}

// Elements iterates over a map. It ends after the first element that does not go together with K and V, with an error. Elements that come
// or go meanwhile may or may not be seen.
func Elements[K, V any](m Map) iter.Seq2[Element[K, V], error] {
	return func(yield func(Element[K, V], error) bool) {
		for key, value := range m.All() {
			e, err := element[K, V](m, key, value)
			if !yield(e, err) || err != nil {
				return
			}
		}
	}
}

func element[K, V any](m Map, key, value []byte) (e Element[K, V], err error) {
	spec := m.Spec()
	if len(key) > 0 {
		if err := decode(m, key, spec.Key, &e.Key); err != nil {
			return e, err
		}
	}
	if spec.Type.Row().PerCPU {
		if e.PerCPU, err = decodeAll[V](m, value); err == nil {
			e.Value = e.PerCPU[0]
		}
		return e, err
	}
	return e, decode(m, value, spec.Value, &e.Value)
}

// Decode reads bytes of a C type that l describes into v, a pointer, as Get does; a nil l is encoding/binary's layout. It is for what does
// not come out of a map's elements: samples of ring buffers and of perf events.
func Decode(b []byte, l *Layout, v any) error {
	if l == nil || uint64(l.Size) > uint64(len(b)) {
		n, err := binary.Decode(b, binary.LittleEndian, v)
		if err == nil && n != len(b) {
			err = valueError("%T has %d bytes, want %d", v, n, len(b))
		}
		return err
	}
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.IsNil() {
		return valueError("%T is no pointer", v)
	}
	return fromC(b[:l.Size], l, p.Elem())
}

// CPUs returns how many CPUs a map has values for: 1 unless it is a per-CPU map.
func CPUs(m Map) int {
	if c, ok := m.(interface{ shared() *core }); ok && m.Spec().Type.Row().PerCPU {
		return c.shared().cpus
	}
	return 1
}

func encode(m Map, op string, v any, size uint32, l *Layout) ([]byte, error) {
	var b []byte
	var err error
	if l != nil && l.Size == size {
		b = make([]byte, size)
		err = toC(b, l, reflect.ValueOf(v))
	} else if b, err = binary.Append(nil, binary.LittleEndian, v); err == nil && len(b) != int(size) {
		err = valueError("%T has %d bytes, want %d", v, len(b), size)
	}
	if err != nil {
		return nil, &Error{Op: op, Map: m.Spec().Name, Errno: EINVAL, Reason: err.Error()}
	}
	return b, nil
}

func decode(m Map, b []byte, l *Layout, v any) error {
	if l != nil && int(l.Size) != len(b) {
		l = nil
	}
	if err := Decode(b, l, v); err != nil {
		return &Error{Op: "lookup", Map: m.Spec().Name, Errno: EINVAL, Reason: err.Error()}
	}
	return nil
}
