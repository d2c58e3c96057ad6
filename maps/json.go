package maps

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"io"
	"math"
	"strconv"
	"unicode/utf8"
)

// DumpJSON writes a map as one JSON object:
//
//	{"name": …, "type": …, "elements": [{"key": …, "value": …}, …]}
//
// with "values", a list by CPU, for a per-CPU map. Keys and values follow the Spec's Layout; what has none is a string
// of hex digits. Elements of arrays that are all zero are left out.
func DumpJSON(w io.Writer, m Map) error {
	spec := m.Spec()
	d := dumper{w: bufio.NewWriter(w)}
	d.raw(`{"name":`)
	d.string(spec.Name)
	d.raw(`,"type":`)
	d.string(spec.Type.String())
	d.raw(`,"elements":[`)
	sep := "\n"
	for key, value := range m.All() {
		if !spec.Type.Row().Hashed && key != nil && allZero(value) {
			continue
		}
		d.raw(sep)
		d.element(spec, key, value)
		sep = ",\n"
	}
	d.raw("]}\n")
	return d.w.Flush()
}

// dumper writes JSON. Write errors stay in its bufio.Writer until Flush.
type dumper struct{ w *bufio.Writer }

func (d *dumper) raw(s string) { _, _ = d.w.WriteString(s) }

func (d *dumper) string(s string) {
	b, err := json.Marshal(s)
	if err != nil {
		panic("maps: a string that JSON cannot hold: " + err.Error())
	}
	_, _ = d.w.Write(b)
}

func (d *dumper) hex(b []byte) { d.string(hex.EncodeToString(b)) }

func (d *dumper) element(spec *Spec, key, value []byte) {
	d.raw("{")
	if key != nil {
		d.raw(`"key":`)
		d.value(spec.Key, key)
		d.raw(",")
	}
	if !spec.Type.Row().PerCPU {
		d.raw(`"value":`)
		d.value(spec.Value, value)
		d.raw("}")
		return
	}
	d.raw(`"values":`)
	stride := int(round8(spec.ValueSize))
	d.list(len(value)/stride, func(cpu int) {
		d.value(spec.Value, value[cpu*stride:cpu*stride+int(spec.ValueSize)])
	})
	d.raw("}")
}

func (d *dumper) list(n int, each func(i int)) {
	d.raw("[")
	for i := range n {
		if i > 0 {
			d.raw(",")
		}
		each(i)
	}
	d.raw("]")
}

// value writes b, which may be longer than the type says; when it is shorter, hex has to do.
func (d *dumper) value(l *Layout, b []byte) {
	if l == nil || uint64(l.Size) > uint64(len(b)) {
		d.hex(b)
		return
	}
	b = b[:l.Size]
	switch l.Kind {
	case Struct, Union:
		d.raw("{")
		d.fields(l, b, "")
		d.raw("}")
	case ArrayOf:
		d.array(l, b)
	case Pointer:
		d.string("0x" + strconv.FormatUint(lastWord(b[:min(len(b), 8)]), 16))
	default:
		if len(b) > 8 || len(b) == 0 {
			d.hex(b)
			return
		}
		d.scalar(l, lastWord(b), uint32(len(b))*8)
	}
}

func (d *dumper) array(l *Layout, b []byte) {
	if l.Elem == nil || l.Elem.Size == 0 || uint64(l.Len)*uint64(l.Elem.Size) > uint64(len(b)) {
		d.hex(b)
		return
	}
	if text, ok := cString(b); ok && l.Elem.Kind == Char {
		d.string(text)
		return
	}
	d.list(int(l.Len), func(i int) { d.value(l.Elem, b[i*int(l.Elem.Size):][:l.Elem.Size]) })
}

// cString is text up to the first NUL, when it is text and nothing but NULs follow.
func cString(b []byte) (string, bool) {
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return string(b[:n]), allZero(b[n:]) && utf8.Valid(b[:n])
}

// fields writes the members of a struct or union; those of anonymous members stand among them, as in C.
// sep is what goes before the first; the result is what goes before the next.
func (d *dumper) fields(l *Layout, b []byte, sep string) string {
	for _, f := range l.Fields {
		if f.Type == nil || uint64(f.BitOff)+f.bits() > uint64(len(b))*8 {
			continue
		}
		part := b[f.BitOff/8:]
		if f.Name == "" && (f.Type.Kind == Struct || f.Type.Kind == Union) {
			sep = d.fields(f.Type, part, sep)
			continue
		}
		d.raw(sep)
		d.string(f.Name)
		d.raw(":")
		if f.BitSize != 0 {
			d.scalar(f.Type, bitField(part, f.BitOff%8, f.BitSize), f.BitSize)
		} else {
			d.value(f.Type, part)
		}
		sep = ","
	}
	return sep
}

func (f *Field) bits() uint64 {
	if f.BitSize != 0 {
		return uint64(f.BitSize)
	}
	return uint64(f.Type.Size) * 8
}

// bitField reads size bits, at most 64, from bit off of b, off < 8.
func bitField(b []byte, off, size uint32) uint64 {
	size = min(size, 64)
	v := lastWord(b[:min(len(b), 8)]) >> off
	if off+size > 64 && len(b) > 8 {
		v |= uint64(b[8]) << (64 - off)
	}
	return v & (^uint64(0) >> (64 - size))
}

// scalar writes a number of so many bits as its type wants it.
func (d *dumper) scalar(l *Layout, v uint64, bits uint32) {
	signed := int64(v)
	if bits < 64 {
		signed = int64(v<<(64-bits)) >> (64 - bits)
	}
	switch {
	case l.Kind == Bool:
		d.raw(strconv.FormatBool(v != 0))
	case l.Kind == Float:
		d.float(v, bits)
	case l.Kind == Enum && l.enumName(v, signed) != "":
		d.string(l.enumName(v, signed))
	case l.Signed:
		d.raw(strconv.FormatInt(signed, 10))
	default:
		d.raw(strconv.FormatUint(v, 10))
	}
}

func (l *Layout) enumName(v uint64, signed int64) string {
	if l.Signed {
		return l.Enum[signed]
	}
	return l.Enum[int64(v)]
}

func (d *dumper) float(v uint64, bits uint32) {
	f := math.Float64frombits(v)
	if bits == 32 {
		f = float64(math.Float32frombits(uint32(v)))
	}
	if bits != 32 && bits != 64 || math.IsNaN(f) || math.IsInf(f, 0) {
		d.hex(binary.LittleEndian.AppendUint64(nil, v)[:bits/8])
		return
	}
	d.raw(strconv.FormatFloat(f, 'g', -1, int(bits)))
}

func allZero(b []byte) bool {
	for _, c := range b {
		if c != 0 {
			return false
		}
	}
	return true
}
