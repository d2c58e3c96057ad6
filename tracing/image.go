package tracing

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"sort"
	"strconv"
	"strings"

	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/internal/jsonpos"
	"github.com/skepvm/skep/mem"
)

// Image is a described piece of a machine's memory: named objects that tracing programs find by raw pointers.
type Image struct {
	space   *mem.Space
	memory  helpers.Memory
	symbols map[string]uint64
}

// NewImage returns an image without objects.
func NewImage(space *mem.Space) *Image { return &Image{space: space, symbols: map[string]uint64{}} }

// Memory is what helpers read from.
func (im *Image) Memory() *helpers.Memory { return &im.memory }

// Symbol is the address of an object; false when there is none of that name.
func (im *Image) Symbol(name string) (uint64, bool) {
	at, ok := im.symbols[name]
	return at, ok
}

// ImageError says what of an image's text cannot be used.
type ImageError struct {
	Offset int64  // bytes from the start of the text; -1 when Object says where
	Object string // "" when the text as a whole is wrong
	Field  string
	Reason string
}

func (e *ImageError) Error() string {
	switch {
	case e.Object == "":
		return fmt.Sprintf("offset %d: %s", e.Offset, e.Reason)
	case e.Field == "":
		return fmt.Sprintf("object %q: %s", e.Object, e.Reason)
	}
	return fmt.Sprintf("object %q: field %q: %s", e.Object, e.Field, e.Reason)
}

// jsonObject is an object in AddJSON's text.
type jsonObject struct {
	Type   string         `json:"type"`
	Fields map[string]any `json:"fields"`
	Text   *string        `json:"text"`
	Hex    string         `json:"hex"`
	Words  []any          `json:"words"`
	At     string         `json:"at"`
	User   bool           `json:"user"`
}

// maxObject bounds an object in bytes.
const maxObject = 1 << 20

// AddJSON adds objects. Each has one of these contents:
//
//	{"task": {"type": "task_struct", "fields": {"pid": 7, "comm": "bash", "mm.owner": "@task", "parent": "@init"}},
//	 "path": {"text": "/etc/passwd", "user": true},
//	 "raw":  {"hex": "00ff"},
//	 "argv": {"words": ["@path", 0], "at": "0x7ffd00001000", "user": true}}
//
// "type" is a struct of types; fields are set by their path, to numbers, text or addresses ("@name", "@name+8"). An object is where
// "at" says, or anywhere. It is the kernel's memory unless "user" is set. The error is an *ImageError.
func (im *Image) AddJSON(text []byte, types *btf.Types) error {
	var objects map[string]*jsonObject
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	d.UseNumber()
	if err := jsonpos.Decode(d, &objects); err != nil {
		offset, reason := jsonpos.Of(err, d, text)
		return &ImageError{Offset: offset, Reason: reason}
	}
	names := make([]string, 0, len(objects))
	for name, o := range objects {
		if o == nil {
			return &ImageError{Object: name, Reason: "null"}
		}
		names = append(names, name)
	}
	sort.Strings(names) // so that addresses are the same in each run
	places := make(map[string][]byte, len(names))
	for _, name := range names {
		b, err := im.place(name, objects[name], types)
		if err != nil {
			return err
		}
		places[name] = b
	}
	for _, name := range names { // addresses of all objects are known now
		if err := im.fill(name, objects[name], types, places[name]); err != nil {
			return err
		}
	}
	return nil
}

// place gives an object its memory.
func (im *Image) place(name string, o *jsonObject, types *btf.Types) ([]byte, error) {
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, &ImageError{Offset: -1, Object: name, Reason: fmt.Sprintf(format, args...)}
	}
	if _, have := im.symbols[name]; have {
		return fail("there is one of that name already")
	}
	size, given := 0, 0
	if o.Type != "" {
		given++
		id, ok := structOf(types, o.Type)
		if !ok {
			return fail("no type %q: give type information that has it", o.Type)
		}
		n, ok := types.Size(id)
		if !ok {
			return fail("type %q has no size", o.Type)
		}
		size = int(n)
	}
	if o.Text != nil {
		given++
		size = len(*o.Text) + 1
	}
	if o.Hex != "" {
		given++
		size = len(o.Hex) / 2
	}
	if o.Words != nil {
		given++
		size = 8 * len(o.Words)
	}
	switch {
	case given != 1:
		return fail("want one of type, text, hex and words")
	case size == 0 || size > maxObject:
		return fail("%d bytes: want 1 to %d", size, maxObject)
	}
	addr, err := im.space.Alloc(uint32(size), 16)
	if err != nil {
		return fail("%v", err)
	}
	at := uint64(addr)
	if o.At != "" {
		if at, err = strconv.ParseUint(o.At, 0, 64); err != nil {
			return fail("at: %q is no address", o.At)
		}
	}
	if !im.memory.Add(at, addr, uint32(size), o.User) {
		return fail("another object is at %#x", at)
	}
	im.symbols[name] = at
	b, _ := im.space.Bytes(addr, uint32(size))
	return b, nil
}

// structOf finds a struct, union or typedef, with or without the word in front.
func structOf(types *btf.Types, name string) (btf.ID, bool) {
	if types == nil {
		return 0, false
	}
	name = strings.TrimPrefix(strings.TrimPrefix(name, "struct "), "union ")
	for _, kind := range []btf.Kind{btf.Struct, btf.Union, btf.Typedef} {
		if id, ok := types.Find(kind, name); ok {
			return types.Resolve(id), true
		}
	}
	return 0, false
}

// fill writes an object's contents.
func (im *Image) fill(name string, o *jsonObject, types *btf.Types, b []byte) error {
	fail := func(field string, err error) error {
		return &ImageError{Offset: -1, Object: name, Field: field, Reason: err.Error()}
	}
	switch {
	case o.Text != nil:
		copy(b, *o.Text)
	case o.Hex != "":
		if _, err := hex.Decode(b, []byte(o.Hex)); err != nil || len(o.Hex)%2 != 0 {
			return fail("", errors.New("hex: not pairs of hex digits"))
		}
	case o.Words != nil:
		for i, v := range o.Words {
			if err := im.put(b[8*i:8*i+8], 1, v); err != nil {
				return fail("words", err)
			}
		}
	}
	paths := make([]string, 0, len(o.Fields))
	for path := range o.Fields {
		paths = append(paths, path)
	}
	sort.Strings(paths)
	for _, path := range paths {
		if o.Type == "" {
			return fail(path, errors.New("only an object with a type has fields"))
		}
		id, _ := structOf(types, o.Type)
		field, count, err := member(types, id, b, path)
		if err == nil {
			err = im.put(field, count, o.Fields[path])
		}
		if err != nil {
			return fail(path, err)
		}
	}
	return nil
}

// member finds the bytes of a field by its path, and how many elements it has. Members of structs without a name count as the
// struct's own.
func member(types *btf.Types, id btf.ID, b []byte, path string) (field []byte, count int, err error) {
	for _, name := range strings.Split(path, ".") {
		m, off, ok := types.Member(id, name)
		switch {
		case !ok:
			return nil, 0, fmt.Errorf("%s has no member %q", describe(types, id), name)
		case m.Bits != 0 || off%8 != 0:
			return nil, 0, errors.New("bit fields cannot be set")
		}
		e, ok := types.Elements(m.Type)
		if !ok || uint64(off/8)+uint64(e.Size) > uint64(len(b)) {
			return nil, 0, errors.New("it has no size")
		}
		b, id, count = b[off/8:off/8+e.Size], e.Type, int(e.Count)
	}
	return b, count, nil
}

func describe(types *btf.Types, id btf.ID) string {
	if ty := types.At(id); ty.Name != "" {
		return strings.ToLower(ty.Kind.String()) + " " + ty.Name
	}
	return strings.ToLower(types.At(id).Kind.String())
}

// put writes a value into a field of count elements: a number, "@object", or text for an array of bytes.
func (im *Image) put(field []byte, count int, v any) error {
	unit := len(field) / count
	if list, ok := v.([]any); ok {
		if len(list) > count {
			return fmt.Errorf("%d values for %d", len(list), count)
		}
		for i, e := range list {
			if err := im.put(field[i*unit:(i+1)*unit], 1, e); err != nil {
				return err
			}
		}
		return nil
	}
	if s, ok := v.(string); ok && count > 1 && unit == 1 && !strings.HasPrefix(s, "@") {
		if len(s) >= len(field) {
			return fmt.Errorf("%q does not fit %d bytes with a zero at the end", s, len(field))
		}
		clear(field[copy(field, s):])
		return nil
	}
	if unit > 8 || count > 1 {
		return fmt.Errorf("%v is no value for %d bytes", v, len(field))
	}
	n, err := im.number(v)
	if err != nil {
		return err
	}
	if bits := 8 * unit; bits < 64 && n>>bits != 0 && int64(n)>>(bits-1) != -1 {
		return fmt.Errorf("%v does not fit %d bits", v, bits)
	}
	for i := range field {
		field[i] = byte(n >> (8 * i))
	}
	return nil
}

// number reads a number, or an address "@name" or "@name+offset".
func (im *Image) number(v any) (uint64, error) {
	s := ""
	switch v := v.(type) {
	case json.Number:
		s = v.String()
	case string:
		s = v
	case bool:
		if v {
			return 1, nil
		}
		return 0, nil
	default:
		return 0, fmt.Errorf("%v is no number", v)
	}
	if name, ok := strings.CutPrefix(s, "@"); ok {
		name, by, _ := strings.Cut(name, "+")
		at, ok := im.symbols[name]
		if !ok {
			return 0, fmt.Errorf("no object %q", name)
		}
		if by == "" {
			return at, nil
		}
		n, err := strconv.ParseUint(by, 0, 32)
		if err != nil {
			return 0, fmt.Errorf("%q is no distance", by)
		}
		return at + n, nil
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
