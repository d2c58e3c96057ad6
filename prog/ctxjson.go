package prog

import (
	"encoding/json"
	"fmt"
	"math"
	"strconv"

	"github.com/skepvm/skep/mem"
)

// CtxError says which ctx field could not be set.
type CtxError struct {
	Type   Type
	Field  string
	Reason string
}

func (e *CtxError) Error() string {
	return fmt.Sprintf("ctx field %q of %s: %s", e.Field, e.Type.Row().CtxName, e.Reason)
}

// WriteCtx sets fields of the ctx of a program of type t, by name: numbers (also as JSON gives them, or strings such
// as "0x86dd"), and lists of them for arrays. Fields that are pointers cannot be set.
func WriteCtx(s *mem.Space, ctx uint32, t Type, fields map[string]any) error {
	for name, v := range fields {
		f, ok := t.Row().Field(name)
		if !ok {
			return &CtxError{t, name, "there is no such field"}
		}
		if f.Yields != Scalar {
			return &CtxError{t, name, "it is a pointer"}
		}
		if reason := writeField(s, ctx, f, v); reason != "" {
			return &CtxError{t, name, reason}
		}
	}
	return nil
}

func writeField(s *mem.Space, ctx uint32, f *CtxField, v any) (reason string) {
	list, isList := v.([]any)
	if !isList {
		list = []any{v}
	}
	if n := f.Size / f.Unit; len(list) > n || isList && n == 1 {
		return fmt.Sprintf("%d values for %d", len(list), n)
	}
	for i, e := range list {
		n, err := number(e)
		if err != nil {
			return err.Error()
		}
		if bits := 8 * f.Unit; bits < 64 && n>>bits != 0 && int64(n)>>(bits-1) != -1 {
			return fmt.Sprintf("%v does not fit %d bits", e, bits)
		}
		store(s, ctx+uint32(f.Off+i*f.Unit), f.Unit, n)
	}
	return ""
}

func number(v any) (uint64, error) {
	switch v := v.(type) {
	case float64:
		if v != math.Trunc(v) || v < -1<<53 || v > 1<<53 {
			return 0, fmt.Errorf("%v is no integer; write big ones as strings", v)
		}
		return uint64(int64(v)), nil
	case json.Number:
		return parseNumber(string(v))
	case string:
		return parseNumber(v)
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case uint64:
		return v, nil
	case int:
		return uint64(v), nil
	}
	return 0, fmt.Errorf("%v is no number", v)
}

func parseNumber(s string) (uint64, error) {
	if n, err := strconv.ParseUint(s, 0, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return uint64(n), nil
}

// ReadCtx returns the fields that a program of type t may read and that are numbers: uint64, or []uint64 for arrays.
func ReadCtx(s *mem.Space, ctx uint32, t Type) map[string]any {
	out := map[string]any{}
	for i := range t.Row().Fields {
		f := &t.Row().Fields[i]
		if f.Yields != Scalar || f.Access&(Read|Write) == 0 {
			continue
		}
		if f.Size == f.Unit {
			out[f.Name] = load(s, ctx+uint32(f.Off), f.Unit)
			continue
		}
		list := make([]uint64, f.Size/f.Unit)
		for j := range list {
			list[j] = load(s, ctx+uint32(f.Off+j*f.Unit), f.Unit)
		}
		out[f.Name] = list
	}
	return out
}

func load(s *mem.Space, addr uint32, size int) uint64 {
	switch size {
	case 1:
		return uint64(s.Load8(addr))
	case 2:
		return uint64(s.Load16(addr))
	case 4:
		return uint64(s.Load32(addr))
	}
	return s.Load64(addr)
}

func store(s *mem.Space, addr uint32, size int, v uint64) {
	switch size {
	case 1:
		s.Store8(addr, uint8(v))
	case 2:
		s.Store16(addr, uint16(v))
	case 4:
		s.Store32(addr, uint32(v))
	default:
		s.Store64(addr, v)
	}
}
