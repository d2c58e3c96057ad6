package prog

import (
	"fmt"
	"math"
	"net/netip"
	"reflect"
	"strings"
	"unicode"
)

// CtxFields makes of a struct what WriteCtx takes: a ctx field for each of its exported fields, by the name in the tag ctx, else by
// its own in snake case (RemoteIP4 is remote_ip4). Fields are integers, bools, strings, netip.Addr, and arrays or slices of integers;
// those of value zero are left out. v may be a pointer to the struct.
func CtxFields(v any) (map[string]any, error) {
	s := reflect.Indirect(reflect.ValueOf(v))
	if s.Kind() != reflect.Struct {
		return nil, fmt.Errorf("ctx of type %T: want a struct", v)
	}
	out := map[string]any{}
	for i := range s.NumField() {
		f := s.Type().Field(i)
		if !f.IsExported() || s.Field(i).IsZero() {
			continue
		}
		value, ok := plain(s.Field(i))
		if !ok {
			return nil, fmt.Errorf("ctx field %s: a %s is no number, string or list of numbers", f.Name, f.Type)
		}
		out[ctxName(f)] = value
	}
	return out, nil
}

// ctxName is the ctx field that a struct's field stands for.
func ctxName(f reflect.StructField) string {
	if tag := f.Tag.Get("ctx"); tag != "" {
		return tag
	}
	var b strings.Builder
	runes := []rune(f.Name)
	for i, r := range runes {
		// A word begins at a capital after a small letter, and at the last of several capitals before one.
		if i > 0 && unicode.IsUpper(r) && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// plain is a value as WriteCtx takes it.
func plain(v reflect.Value) (any, bool) {
	if a, ok := v.Interface().(netip.Addr); ok {
		return a.String(), true
	}
	switch v.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		return uint64(v.Int()), true
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return v.Uint(), true
	case reflect.Bool, reflect.String:
		return v.Interface(), true
	case reflect.Array, reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			n, ok := plain(v.Index(i))
			if _, number := n.(uint64); !ok || !number {
				return nil, false
			}
			list[i] = n
		}
		return list, true
	}
	return nil, false
}

// SetFields sets the fields of the struct that v points to from what ReadCtx returned, by the names that CtxFields gives them.
// Fields without a ctx field of their name are left alone.
func SetFields(v any, fields map[string]any) error {
	p := reflect.ValueOf(v)
	if p.Kind() != reflect.Pointer || p.Elem().Kind() != reflect.Struct {
		return fmt.Errorf("ctx of type %T: want a pointer to a struct", v)
	}
	s := p.Elem()
	for i := range s.NumField() {
		f := s.Type().Field(i)
		value, ok := fields[ctxName(f)]
		if !ok || !f.IsExported() {
			continue
		}
		if !setPlain(s.Field(i), value) {
			return fmt.Errorf("ctx field %s: a %s cannot hold %v", f.Name, f.Type, value)
		}
	}
	return nil
}

// setPlain is the reverse of plain.
func setPlain(to reflect.Value, v any) bool {
	if to.Type() == reflect.TypeFor[netip.Addr]() {
		a, ok := addrOf(v)
		to.Set(reflect.ValueOf(a))
		return ok
	}
	switch v := v.(type) {
	case string:
		if to.Kind() == reflect.String {
			to.SetString(v)
			return true
		}
	case uint64:
		return setNumber(to, v)
	case []uint64:
		if to.Kind() == reflect.Slice {
			to.Set(reflect.MakeSlice(to.Type(), len(v), len(v)))
		} else if to.Kind() != reflect.Array || to.Len() != len(v) {
			return false
		}
		for i, n := range v {
			if !setNumber(to.Index(i), n) {
				return false
			}
		}
		return true
	}
	return false
}

func setNumber(to reflect.Value, v uint64) bool {
	switch to.Kind() {
	case reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64:
		n := int64(v)
		if v <= math.MaxUint32 && to.Type().Bits() == 32 {
			n = int64(int32(v)) // a signed field, which ReadCtx shows without its sign
		}
		to.SetInt(n)
		return !to.OverflowInt(n)
	case reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		to.SetUint(v)
		return !to.OverflowUint(v)
	case reflect.Bool:
		to.SetBool(v != 0)
		return v <= 1
	}
	return false
}

// addrOf is the address in a field of 4 bytes, or of 4 times 4.
func addrOf(v any) (netip.Addr, bool) {
	var b []byte
	words, isList := v.([]uint64)
	if n, ok := v.(uint64); ok {
		words = []uint64{n}
	} else if !isList {
		return netip.Addr{}, false
	}
	for _, w := range words {
		b = append(b, byte(w), byte(w>>8), byte(w>>16), byte(w>>24))
	}
	return netip.AddrFromSlice(b)
}
