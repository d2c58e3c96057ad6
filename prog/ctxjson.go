package prog

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"math"
	"net/netip"
	"strconv"
	"strings"

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

// SocketTable is where the sockets are that ctx fields point to.
type SocketTable interface {
	// SocketAddr is the guest address of the socket with a cookie.
	SocketAddr(cookie uint64) (addr uint32, ok bool)
	// SocketCookie is the cookie of the socket at a guest address.
	SocketCookie(addr uint32) (cookie uint64, ok bool)
}

// WriteCtx sets fields of the ctx of a program of type t, by name, hidden ones too: numbers (also as JSON gives them, or strings such
// as "0x86dd", "10.0.0.1" and "fe80::1" for addresses, "htons(80)"), lists of them for arrays, and strings for text. A field
// that is a socket is set to the cookie of one in sockets, which may be nil; other pointers cannot be set.
func WriteCtx(s *mem.Space, ctx uint32, t Type, fields map[string]any, sockets SocketTable) error {
	for name, v := range fields {
		f, ok := t.Row().Field(name)
		if !ok {
			return &CtxError{t, name, "there is no such field"}
		}
		var reason string
		switch f.Yields {
		case Scalar:
			reason = writeField(s, ctx, f, v)
		case Sock, SockOrNull, SockCommonOrNull:
			reason = writeSocket(s, ctx, f, v, sockets)
		default:
			reason = "it is a pointer"
		}
		if reason != "" {
			return &CtxError{t, name, reason}
		}
	}
	return nil
}

// writeSocket makes f point to the socket with cookie v; 0 is none.
func writeSocket(s *mem.Space, ctx uint32, f *CtxField, v any, sockets SocketTable) (reason string) {
	cookie, err := number(v)
	if err != nil {
		return err.Error()
	}
	addr := uint32(0)
	if cookie != 0 {
		ok := sockets != nil
		if ok {
			addr, ok = sockets.SocketAddr(cookie)
		}
		if !ok {
			return fmt.Sprintf("there is no socket with cookie %d", cookie)
		}
	}
	s.Store64(ctx+uint32(f.Off), uint64(addr))
	return ""
}

func writeField(s *mem.Space, ctx uint32, f *CtxField, v any) (reason string) {
	b, reason := encodeField(f, v)
	if reason == "" {
		copy(frameBytes(s, ctx+uint32(f.Off), uint32(len(b))), b)
	}
	return reason
}

// encodeField makes bytes of a field's value: of an array, those of the elements that there are.
func encodeField(f *CtxField, v any) (b []byte, reason string) {
	if text, ok := v.(string); ok && f.Text {
		if len(text) >= f.Size {
			return nil, fmt.Sprintf("%d bytes, at most %d", len(text), f.Size-1)
		}
		b = make([]byte, f.Size)
		copy(b, text)
		return b, ""
	}
	list, isList := v.([]any)
	if !isList {
		if list = wordsOf(v, f); list == nil {
			list = []any{v}
		}
	}
	if n := f.Size / f.Unit; len(list) > n || isList && n == 1 {
		return nil, fmt.Sprintf("%d values for %d", len(list), n)
	}
	for _, e := range list {
		n, err := number(e)
		if err != nil {
			return nil, err.Error()
		}
		if bits := 8 * f.Unit; bits < 64 && n>>bits != 0 && int64(n)>>(bits-1) != -1 {
			return nil, fmt.Sprintf("%v does not fit %d bits", e, bits)
		}
		b = append(b, binary.LittleEndian.AppendUint64(nil, n)[:f.Unit]...)
	}
	return b, ""
}

// SameField reports whether two values of a ctx field are the same, in any of the notations of WriteCtx; of arrays, the elements that
// want has. Sockets are compared by their cookies. The error is a *CtxError.
func (t Type) SameField(name string, got, want any) (bool, error) {
	f, ok := t.Row().Field(name)
	if !ok {
		return false, &CtxError{t, name, "there is no such field"}
	}
	if f.Yields != Scalar {
		g, err1 := number(got)
		w, err2 := number(want)
		if err1 != nil || err2 != nil {
			return false, &CtxError{t, name, "a socket is shown by its cookie, a number"}
		}
		return g == w, nil
	}
	g, reason := encodeField(f, got)
	if reason == "" {
		var w []byte
		if w, reason = encodeField(f, want); reason == "" {
			return bytes.HasPrefix(g, w), nil
		}
	}
	return false, &CtxError{t, name, reason}
}

// wordsOf is an address as the elements of a field that holds it, and a list of numbers as a list of anything; nil when v is neither.
func wordsOf(v any, f *CtxField) (words []any) {
	switch v := v.(type) {
	case []uint64:
		for _, n := range v {
			words = append(words, n)
		}
		return words
	case string:
		a, err := netip.ParseAddr(v)
		if err != nil || f.Unit != 4 || len(a.AsSlice()) != f.Size {
			return nil
		}
		for b := a.AsSlice(); len(b) > 0; b = b[4:] {
			words = append(words, uint64(binary.LittleEndian.Uint32(b)))
		}
	}
	return words
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
	case uint32:
		return uint64(v), nil
	case int:
		return uint64(v), nil
	}
	return 0, fmt.Errorf("%v is no number", v)
}

// parseNumber reads a number in any of Go's notations; htons(N) is N with its two bytes swapped, as ports in network order are.
func parseNumber(s string) (uint64, error) {
	if inner, ok := strings.CutPrefix(s, "htons("); ok && strings.HasSuffix(inner, ")") {
		n, err := strconv.ParseUint(inner[:len(inner)-1], 0, 16)
		if err != nil {
			return 0, fmt.Errorf("%q: want a number of 16 bits", s)
		}
		return uint64(swap16(uint16(n))), nil
	}
	if n, err := strconv.ParseUint(s, 0, 64); err == nil {
		return n, nil
	}
	n, err := strconv.ParseInt(s, 0, 64)
	if err != nil {
		return 0, fmt.Errorf("%q is no number", s)
	}
	return uint64(n), nil
}

// ReadCtx returns the fields that a program of type t may read or write and that are numbers, and the hidden ones: uint64, or
// []uint64 for arrays, strings for text, cookies for sockets. Raw memory is none of them.
func ReadCtx(s *mem.Space, ctx uint32, t Type, sockets SocketTable) map[string]any {
	out := map[string]any{}
	row := t.Row()
	for _, fields := range [][]CtxField{row.Fields, row.Hidden} {
		for i := range fields {
			f := &fields[i]
			if f.Access&(Read|Write) == 0 || f.Size > maxShown && !f.Text {
				continue
			}
			if v := readField(s, ctx, f, sockets); v != nil {
				out[f.Name] = v
			}
		}
	}
	return out
}

// maxShown is the size of the longest array that ReadCtx returns, bytes: more is raw memory.
const maxShown = 256

// readField is the value of a field, nil when it is a pointer.
func readField(s *mem.Space, ctx uint32, f *CtxField, sockets SocketTable) any {
	at := ctx + uint32(f.Off)
	switch {
	case f.Text:
		return textOf(frameBytes(s, at, uint32(f.Size)))
	case f.Yields == Sock, f.Yields == SockOrNull, f.Yields == SockCommonOrNull:
		if sockets == nil {
			return nil
		}
		cookie, ok := sockets.SocketCookie(s.Load32(at))
		if !ok {
			return uint64(0)
		}
		return cookie
	case f.Yields != Scalar:
		return nil
	case f.Size == f.Unit:
		return load(s, at, f.Unit)
	}
	list := make([]uint64, f.Size/f.Unit)
	for j := range list {
		list[j] = load(s, at+uint32(j*f.Unit), f.Unit)
	}
	return list
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
