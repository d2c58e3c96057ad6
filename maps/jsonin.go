package maps

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"math/big"
	"sort"
	"strconv"
	"strings"
)

// JSONError says what of a text with maps cannot be used.
type JSONError struct {
	Offset  int64  // bytes from the start of the text, near where it is
	Map     string // "" when it is not about one
	Element int    // of the map, from 0; -1 when it is not about one
	Reason  string
}

func (e *JSONError) Error() string {
	switch {
	case e.Map == "":
		return fmt.Sprintf("offset %d: %s", e.Offset, e.Reason)
	case e.Element < 0:
		return fmt.Sprintf("offset %d: map %s: %s", e.Offset, e.Map, e.Reason)
	}
	return fmt.Sprintf("offset %d: map %s: element %d: %s", e.Offset, e.Map, e.Element, e.Reason)
}

// jsonMap is what DumpJSON writes.
type jsonMap struct {
	Name     string        `json:"name"`
	Type     string        `json:"type"`
	Elements []jsonElement `json:"elements"`
}

type jsonElement struct {
	Key    any   `json:"key"`
	Value  any   `json:"value"`
	Values []any `json:"values"`
}

// LoadJSON reads maps as DumpJSON writes them, one after the other, and sets the elements that they name; others stay as they are.
// find gives a map by name, nil when there is none. Values may leave fields out: those are zero. The error is a *JSONError; what
// came before it has been set.
func LoadJSON(r io.Reader, find func(name string) Map) error {
	d := json.NewDecoder(r)
	d.DisallowUnknownFields()
	d.UseNumber()
	for {
		var in jsonMap
		err := d.Decode(&in)
		if errors.Is(err, io.EOF) {
			return nil
		}
		fail := func(element int, reason string) error {
			return &JSONError{Offset: d.InputOffset(), Map: in.Name, Element: element, Reason: reason}
		}
		if err != nil {
			in.Name = ""
			return fail(-1, err.Error())
		}
		m := find(in.Name)
		switch {
		case m == nil:
			return fail(-1, "there is no such map")
		case in.Type != "" && in.Type != m.Spec().Type.String():
			return fail(-1, fmt.Sprintf("it is of type %s, not %s", m.Spec().Type, in.Type))
		}
		for i, e := range in.Elements {
			if err := setElement(m, &e); err != nil {
				return fail(i, err.Error())
			}
		}
	}
}

func setElement(m Map, e *jsonElement) error {
	spec := m.Spec()
	key, err := EncodeKey(spec, e.Key)
	if err != nil {
		return err
	}
	if spec.Type.Row().PerCPU {
		value, err := encodePerCPU(m, e)
		if err != nil {
			return err
		}
		return setHost(m, key, value)
	}
	value, err := EncodeValue(spec, e.Value)
	if err != nil {
		return err
	}
	return setHost(m, key, value)
}

// setHost updates as a process does. What a frozen map holds already may be said again, as a dump of all maps does.
func setHost(m Map, key, value []byte) error {
	h := HostOf(m)
	if h.Frozen() {
		if now, err := m.HostLookup(key); err == nil && bytes.Equal(now, value) {
			return nil
		}
	}
	return h.Update(key, value, Any)
}

func encodePerCPU(m Map, e *jsonElement) ([]byte, error) {
	spec, cpus := m.Spec(), CPUs(m)
	if len(e.Values) > cpus {
		return nil, fmt.Errorf("values of %d CPUs: the machine has %d", len(e.Values), cpus)
	}
	stride := int(round8(spec.ValueSize))
	all := make([]byte, cpus*stride)
	for i, v := range e.Values {
		value, err := EncodeValue(spec, v)
		if err != nil {
			return nil, fmt.Errorf("CPU %d: %w", i, err)
		}
		copy(all[i*stride:], value)
	}
	return all, nil
}

// EncodeKey makes a key of a map of a value such as JSON or YAML decodes to: see LoadJSON.
func EncodeKey(spec *Spec, v any) ([]byte, error) {
	b := make([]byte, spec.KeySize)
	if spec.KeySize == 0 && v == nil {
		return b, nil
	}
	if err := putValue(b, spec.Key, v); err != nil {
		return nil, fmt.Errorf("key%w", err)
	}
	return b, nil
}

// EncodeValue makes a value of a map, one CPU's.
func EncodeValue(spec *Spec, v any) ([]byte, error) {
	b := make([]byte, spec.ValueSize)
	if err := putValue(b, spec.Value, v); err != nil {
		return nil, fmt.Errorf("value%w", err)
	}
	return b, nil
}

// pathError is an error with the way to it, ".field[3]".
type pathError struct{ path, reason string }

func (e *pathError) Error() string { return e.path + ": " + e.reason }

func badValue(format string, args ...any) error { return &pathError{"", fmt.Sprintf(format, args...)} }

// under puts a step in front of an error's path.
func under(step string, err error) error {
	var e *pathError
	if errors.As(err, &e) {
		return &pathError{step + e.path, e.reason}
	}
	return err
}

// putValue writes v into b as the type l. Without a type, v is a string of hex digits, or a number of at most 8 bytes.
func putValue(b []byte, l *Layout, v any) error {
	if l != nil && uint64(l.Size) <= uint64(len(b)) {
		b = b[:l.Size]
	} else {
		l = nil
	}
	if s, ok := v.(string); ok && (l == nil || len(b) > 8 && l.Kind != ArrayOf || l.Kind == Float && len(s) == 2*len(b)) {
		return encodeHex(b, s)
	}
	if l == nil {
		l = &Layout{Kind: Int, Size: uint32(len(b))}
	}
	switch l.Kind {
	case Struct, Union:
		return encodeFields(b, l, v)
	case ArrayOf:
		return encodeArray(b, l, v)
	}
	if len(b) > 8 {
		return badValue("%v: want %d bytes in hex", v, len(b))
	}
	word, err := scalarWord(l, v, uint32(len(b))*8)
	if err != nil {
		return err
	}
	var le [8]byte
	binary.LittleEndian.PutUint64(le[:], word)
	copy(b, le[:])
	return nil
}

func encodeHex(b []byte, s string) error {
	if len(s) != 2*len(b) {
		return badValue("%q: want %d bytes, 2 hex digits each", s, len(b))
	}
	if _, err := hex.Decode(b, []byte(s)); err != nil {
		return badValue("%q: not hex digits", s)
	}
	return nil
}

// object is what JSON and YAML decode an object to, by name.
func object(v any) (map[string]any, bool) {
	switch m := v.(type) {
	case map[string]any:
		return m, true
	case map[any]any:
		out := make(map[string]any, len(m))
		for k, e := range m {
			out[fmt.Sprint(k)] = e
		}
		return out, true
	}
	return nil, false
}

func encodeFields(b []byte, l *Layout, v any) error {
	values, ok := object(v)
	if !ok {
		return badValue("%v: want an object with the fields of %s", v, l.describe())
	}
	names := make([]string, 0, len(values))
	for name := range values {
		names = append(names, name)
	}
	sort.Strings(names)
	for _, name := range names {
		f, off := l.field(name)
		if f == nil {
			return &pathError{"." + name, "there is no such field in " + l.describe()}
		}
		if err := encodeField(b, f, off, values[name]); err != nil {
			return under("."+name, err)
		}
	}
	return nil
}

func (l *Layout) describe() string {
	if l.Name == "" {
		return "the type"
	}
	return l.Name
}

// field finds a member, also one of a struct or union without a name, and the bit where it begins.
func (l *Layout) field(name string) (*Field, uint64) {
	for i := range l.Fields {
		f := &l.Fields[i]
		if f.Name == name && name != "" {
			return f, uint64(f.BitOff)
		}
		if f.Name == "" && f.Type != nil {
			if in, off := f.Type.field(name); in != nil {
				return in, uint64(f.BitOff) + off
			}
		}
	}
	return nil, 0
}

func encodeField(b []byte, f *Field, off uint64, v any) error {
	if (off+f.bits()+7)/8 > uint64(len(b)) {
		return badValue("the field ends outside of its struct")
	}
	if f.BitSize == 0 {
		return putValue(b[off/8:][:f.Type.Size], f.Type, v)
	}
	word, err := scalarWord(f.Type, v, f.BitSize)
	if err != nil {
		return err
	}
	for i := range uint64(f.BitSize) {
		at := off + i
		b[at/8] = b[at/8]&^(1<<(at%8)) | byte(word>>i&1)<<(at%8)
	}
	return nil
}

func encodeArray(b []byte, l *Layout, v any) error {
	if s, ok := v.(string); ok {
		if l.Elem != nil && l.Elem.Kind == Char && len(s) <= len(b) {
			copy(b, s)
			return nil
		}
		return encodeHex(b, s)
	}
	list, ok := v.([]any)
	if !ok || l.Elem == nil || l.Elem.Size == 0 {
		return badValue("%v: want a list", v)
	}
	size := int(l.Elem.Size)
	if len(list) > len(b)/size {
		return badValue("%d elements: the array has %d", len(list), len(b)/size)
	}
	for i, e := range list {
		if err := putValue(b[i*size:][:size], l.Elem, e); err != nil {
			return under("["+strconv.Itoa(i)+"]", err)
		}
	}
	return nil
}

// scalarWord is the bits of a number, a truth value, or an enumerator by name.
func scalarWord(l *Layout, v any, bits uint32) (uint64, error) {
	switch v := v.(type) {
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	case int:
		return fit(big.NewInt(int64(v)), bits)
	case int64:
		return fit(big.NewInt(v), bits)
	case uint64:
		return fit(new(big.Int).SetUint64(v), bits)
	case float64:
		return floatWord(l, v, bits)
	case json.Number:
		return numberWord(l, v.String(), bits)
	case string:
		for n, name := range l.Enum {
			if name == v {
				return fit(big.NewInt(n), bits)
			}
		}
		return numberWord(l, v, bits)
	case nil:
		return 0, badValue("nothing is given")
	}
	return 0, badValue("%v is no number", v)
}

func numberWord(l *Layout, s string, bits uint32) (uint64, error) {
	if l.Kind == Float {
		f, err := strconv.ParseFloat(s, 64)
		if err != nil {
			return 0, badValue("%q is no number", s)
		}
		return floatWord(l, f, bits)
	}
	n, ok := new(big.Int).SetString(strings.TrimSpace(s), 0)
	if !ok {
		return 0, badValue("%q is no number", s)
	}
	return fit(n, bits)
}

func floatWord(l *Layout, f float64, bits uint32) (uint64, error) {
	switch {
	case l.Kind == Float && bits == 64:
		return math.Float64bits(f), nil
	case l.Kind == Float && bits == 32:
		return uint64(math.Float32bits(float32(f))), nil
	case f != math.Trunc(f) || math.Abs(f) > 1<<53:
		return 0, badValue("%v is no integer; write big ones as strings", f)
	}
	return fit(big.NewInt(int64(f)), bits)
}

// fit takes a number that bits can hold, signed or not.
func fit(n *big.Int, bits uint32) (uint64, error) {
	low := new(big.Int).Neg(new(big.Int).Lsh(big.NewInt(1), uint(max(bits, 1)-1)))
	high := new(big.Int).Lsh(big.NewInt(1), uint(bits))
	if n.Cmp(low) < 0 || n.Cmp(high) >= 0 {
		return 0, badValue("%v does not fit %d bits", n, bits)
	}
	if n.Sign() < 0 {
		return uint64(n.Int64()) & (^uint64(0) >> (64 - max(bits, 1))), nil
	}
	return n.Uint64(), nil
}
