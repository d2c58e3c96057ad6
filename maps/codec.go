package maps

import (
	"fmt"
	"math"
	"reflect"
	"strings"
)

// Go values and C types. A struct's fields are found by name: the one in the tag `bpf:"name"`, else the field's own, without regard
// to case and underscores. C members that the Go struct lacks are zero, or left out; a field that C lacks is an error unless its tag is
// `bpf:"-"` or its name is _. Members of anonymous structs and unions stand among the others. Numbers may have another size, as long as the
// value fits. Arrays are Go arrays or slices, of char also strings; an array of as many bytes as the C type has holds it as it is.

// valueError says where in a Go value it does not go together with its C type.
func valueError(format string, args ...any) error { return fmt.Errorf(format, args...) }

// toC writes v into b, which has the type's size and is zero.
func toC(b []byte, l *Layout, v reflect.Value) error {
	if raw, ok := rawBytes(v, len(b)); ok && l.Kind != ArrayOf {
		copy(b, raw)
		return nil
	}
	switch l.Kind {
	case Struct, Union:
		return structToC(b, l, v)
	case ArrayOf:
		return arrayToC(b, l, v)
	}
	word, err := wordOf(l, v, l.Size*8)
	if err != nil {
		return err
	}
	putBits(b, 0, l.Size*8, word)
	return nil
}

// fromC reads b into v, which can be set.
func fromC(b []byte, l *Layout, v reflect.Value) error {
	if v.Kind() == reflect.Array && v.Type().Elem().Kind() == reflect.Uint8 && v.Len() == len(b) {
		reflect.Copy(v, reflect.ValueOf(b))
		return nil
	}
	switch l.Kind {
	case Struct, Union:
		return structFromC(b, l, v)
	case ArrayOf:
		return arrayFromC(b, l, v)
	}
	if len(b) > 8 {
		return valueError("%d bytes are no Go number", len(b))
	}
	return setWord(l, v, lastWord(b), l.Size*8)
}

// rawBytes is v when it is n bytes.
func rawBytes(v reflect.Value, n int) ([]byte, bool) {
	if v.Kind() != reflect.Array || v.Type().Elem().Kind() != reflect.Uint8 || v.Len() != n {
		return nil, false
	}
	b := make([]byte, n)
	reflect.Copy(reflect.ValueOf(b), v)
	return b, true
}

// members calls each for every field of a Go struct and its C member.
func members(size int, l *Layout, v reflect.Value, each func(f *Field, off uint64, v reflect.Value) error) error {
	if v.Kind() != reflect.Struct {
		return valueError("%s for %s", v.Type(), l.describe())
	}
	for i := range v.NumField() {
		sf := v.Type().Field(i)
		name, tagged := sf.Tag.Lookup("bpf")
		switch {
		case sf.Name == "_", name == "-":
			continue
		case !sf.IsExported():
			return valueError("%s.%s is not exported", v.Type(), sf.Name)
		case !tagged:
			name = sf.Name
		}
		f, off := l.member(name, tagged)
		if f == nil || f.Type == nil {
			return valueError("%s.%s: there is no such field in %s", v.Type(), sf.Name, l.describe())
		}
		if off+f.bits() > uint64(size)*8 {
			return valueError("%s.%s: the field ends outside of its struct", v.Type(), sf.Name)
		}
		if err := each(f, off, v.Field(i)); err != nil {
			return valueError("%s.%s: %w", v.Type(), sf.Name, err)
		}
	}
	return nil
}

// member finds a member by its name, or by what a Go field would be called.
func (l *Layout) member(name string, exact bool) (*Field, uint64) {
	if f, off := l.field(name); f != nil || exact {
		return f, off
	}
	for i := range l.Fields {
		f := &l.Fields[i]
		if f.Name != "" && plainName(f.Name) == plainName(name) {
			return f, uint64(f.BitOff)
		}
		if f.Name == "" && f.Type != nil {
			if in, off := f.Type.member(name, false); in != nil {
				return in, uint64(f.BitOff) + off
			}
		}
	}
	return nil, 0
}

func plainName(s string) string { return strings.ToLower(strings.ReplaceAll(s, "_", "")) }

func structToC(b []byte, l *Layout, v reflect.Value) error {
	return members(len(b), l, v, func(f *Field, off uint64, v reflect.Value) error {
		if f.BitSize == 0 {
			return toC(b[off/8:][:f.Type.Size], f.Type, v)
		}
		word, err := wordOf(f.Type, v, f.BitSize)
		if err == nil {
			putBits(b, off, f.BitSize, word)
		}
		return err
	})
}

func structFromC(b []byte, l *Layout, v reflect.Value) error {
	return members(len(b), l, v, func(f *Field, off uint64, v reflect.Value) error {
		if f.BitSize == 0 {
			return fromC(b[off/8:][:f.Type.Size], f.Type, v)
		}
		return setWord(f.Type, v, bitField(b[off/8:], uint32(off%8), f.BitSize), f.BitSize)
	})
}

func arrayToC(b []byte, l *Layout, v reflect.Value) error {
	if l.Elem == nil || l.Elem.Size == 0 || uint64(l.Len)*uint64(l.Elem.Size) > uint64(len(b)) {
		return valueError("an array of unknown elements")
	}
	switch {
	case v.Kind() == reflect.String && l.Elem.Size == 1:
		if v.Len() > len(b) {
			return valueError("%d bytes of text: the array has %d", v.Len(), len(b))
		}
		copy(b, v.String())
		return nil
	case v.Kind() != reflect.Array && v.Kind() != reflect.Slice:
		return valueError("%s for an array", v.Type())
	case v.Len() > int(l.Len):
		return valueError("%d elements: the array has %d", v.Len(), l.Len)
	}
	for i := range v.Len() {
		if err := toC(b[i*int(l.Elem.Size):][:l.Elem.Size], l.Elem, v.Index(i)); err != nil {
			return valueError("[%d]: %w", i, err)
		}
	}
	return nil
}

func arrayFromC(b []byte, l *Layout, v reflect.Value) error {
	if l.Elem == nil || l.Elem.Size == 0 || uint64(l.Len)*uint64(l.Elem.Size) > uint64(len(b)) {
		return valueError("an array of unknown elements")
	}
	switch {
	case v.Kind() == reflect.String && l.Elem.Size == 1:
		text, _, _ := strings.Cut(string(b), "\x00")
		v.SetString(text)
		return nil
	case v.Kind() == reflect.Slice:
		v.Set(reflect.MakeSlice(v.Type(), int(l.Len), int(l.Len)))
	case v.Kind() != reflect.Array:
		return valueError("%s for an array", v.Type())
	case v.Len() < int(l.Len):
		return valueError("an array of %d: C has %d", v.Len(), l.Len)
	}
	for i := range int(l.Len) {
		if err := fromC(b[i*int(l.Elem.Size):][:l.Elem.Size], l.Elem, v.Index(i)); err != nil {
			return valueError("[%d]: %w", i, err)
		}
	}
	return nil
}

// putBits writes size bits, at most 64, from bit off on.
func putBits(b []byte, off uint64, size uint32, word uint64) {
	for i := range uint64(size) {
		at := off + i
		b[at/8] = b[at/8]&^(1<<(at%8)) | byte(word>>i&1)<<(at%8)
	}
}

// wordOf is a number's bits, of which there are that many.
func wordOf(l *Layout, v reflect.Value, bits uint32) (uint64, error) {
	if bits > 64 {
		return 0, valueError("%s for %d bytes", v.Type(), bits/8)
	}
	switch {
	case v.Kind() == reflect.Bool:
		if v.Bool() {
			return 1, nil
		}
		return 0, nil
	case v.CanInt():
		n := v.Int()
		if bits < 64 && (n < -1<<(bits-1) || n>>bits > 0) {
			return 0, valueError("%d does not fit into %d bits", n, bits)
		}
		return uint64(n), nil
	case v.CanUint():
		n := v.Uint()
		if bits < 64 && n>>bits != 0 {
			return 0, valueError("%d does not fit into %d bits", n, bits)
		}
		return n, nil
	case v.CanFloat() && l.Kind == Float && bits == 64:
		return math.Float64bits(v.Float()), nil
	case v.CanFloat() && l.Kind == Float && bits == 32:
		return uint64(math.Float32bits(float32(v.Float()))), nil
	}
	return 0, valueError("%s for a number", v.Type())
}

// setWord sets v to a number of so many bits.
func setWord(l *Layout, v reflect.Value, word uint64, bits uint32) error {
	signed := int64(word)
	if bits < 64 && l.Signed {
		signed = int64(word<<(64-bits)) >> (64 - bits)
	}
	switch {
	case v.Kind() == reflect.Bool:
		v.SetBool(word != 0)
	case v.CanInt():
		if v.OverflowInt(signed) || !l.Signed && signed < 0 {
			return valueError("%d does not fit into %s", word, v.Type())
		}
		v.SetInt(signed)
	case v.CanUint():
		if v.OverflowUint(uint64(signed)) || l.Signed && signed < 0 {
			return valueError("%d does not fit into %s", signed, v.Type())
		}
		v.SetUint(uint64(signed))
	case v.CanFloat() && l.Kind == Float && bits == 64:
		v.SetFloat(math.Float64frombits(word))
	case v.CanFloat() && l.Kind == Float && bits == 32:
		v.SetFloat(float64(math.Float32frombits(uint32(word))))
	default:
		return valueError("%s for a number", v.Type())
	}
	return nil
}
