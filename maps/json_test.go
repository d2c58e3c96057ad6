package maps

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write testdata/dump.json anew")

var (
	u8  = &Layout{Kind: Int, Size: 1}
	u16 = &Layout{Kind: Int, Size: 2}
	u32 = &Layout{Kind: Int, Size: 4}
	s32 = &Layout{Kind: Int, Size: 4, Signed: true}
	u64 = &Layout{Kind: Int, Size: 8}
)

// sampleLayout has every kind of type.
var sampleLayout = &Layout{Kind: Struct, Name: "sample", Size: 80, Fields: []Field{
	{Name: "count", BitOff: 0, Type: u64},
	{Name: "delta", BitOff: 64, Type: s32},
	{Name: "on", BitOff: 96, Type: &Layout{Kind: Bool, Size: 1}},
	{Name: "low", BitOff: 104, BitSize: 3, Type: u8},
	{Name: "wide", BitOff: 107, BitSize: 13, Type: &Layout{Kind: Int, Size: 2, Signed: true}},
	{Name: "name", BitOff: 128, Type: &Layout{Kind: ArrayOf, Size: 8, Len: 8, Elem: &Layout{Kind: Char, Size: 1}}},
	{Name: "not_text", BitOff: 192, Type: &Layout{Kind: ArrayOf, Size: 4, Len: 4, Elem: &Layout{Kind: Char, Size: 1, Signed: true}}},
	{Name: "action", BitOff: 224, Type: &Layout{Kind: Enum, Size: 4, Enum: map[int64]string{2: "PASS"}}},
	{Name: "odd", BitOff: 256, Type: &Layout{Kind: Enum, Size: 4, Signed: true, Enum: map[int64]string{-1: "NONE"}}},
	{Name: "other", BitOff: 288, Type: &Layout{Kind: Enum, Size: 4, Signed: true}},
	{Name: "ptr", BitOff: 320, Type: &Layout{Kind: Pointer, Size: 8}},
	{Name: "rate", BitOff: 384, Type: &Layout{Kind: Float, Size: 8}},
	{Name: "", BitOff: 448, Type: &Layout{Kind: Union, Size: 4, Fields: []Field{
		{Name: "ip", Type: u32}, {Name: "bytes", Type: &Layout{Kind: ArrayOf, Size: 4, Len: 4, Elem: u8}}}}},
	{Name: "empty", BitOff: 480, Type: &Layout{Kind: ArrayOf, Elem: &Layout{Kind: Struct}}},
	{Name: "nested", BitOff: 480, Type: &Layout{Kind: Struct, Size: 4, Fields: []Field{{Name: "port", Type: u16}}}},
	{Name: "big", BitOff: 512, Type: &Layout{Kind: Int, Size: 16}},
	{Name: "beyond", BitOff: 640, Type: u64},
}}

type sample struct {
	Count   uint64
	Delta   int32
	On      bool
	Bits    [3]byte
	Name    [8]byte
	NotText [4]byte
	Action  uint32
	Odd     int32
	Other   int32
	Ptr     uint64
	Rate    float64
	IP      [4]byte
	Port    uint16
	_       uint16
	Big     [16]byte
}

// image is the struct as it lies in memory.
func image(v sample) (b [80]byte) {
	if _, err := binary.Encode(b[:], binary.LittleEndian, v); err != nil {
		panic(err)
	}
	return b
}

func TestDumpJSON(t *testing.T) {
	s := newSpace(t)
	var out bytes.Buffer
	var all []Map
	dump := func(m Map) {
		t.Helper()
		all = append(all, m)
		if err := DumpJSON(&out, m); err != nil {
			t.Fatal(err)
		}
	}
	m := newMap(t, s, &Spec{Name: "samples", Type: Hash, KeySize: 4, ValueSize: 80, MaxEntries: 4, Key: u32, Value: sampleLayout, LockOff: -1, TimerOff: -1}, 1)
	v := sample{Count: math.MaxUint64, Delta: -5, On: true, Bits: [3]byte{0b10101101, 0xff, 0}, Name: [8]byte{'e', 't', 'h', '0'},
		NotText: [4]byte{0xff, 0, 1, 0}, Action: 2, Odd: -1, Other: -7, Ptr: 0xdead, Rate: 1.5, IP: [4]byte{10, 0, 0, 1}, Port: 53, Big: [16]byte{1}}
	if err := Put(m, uint32(7), image(v)); err != nil {
		t.Fatal(err)
	}
	v.Action, v.Rate = 99, math.NaN()
	if err := Put(m, uint32(3), image(v)); err != nil {
		t.Fatal(err)
	}
	dump(m)
	m = newMap(t, s, &Spec{Name: "per \"cpu\"", Type: PerCPUArray, KeySize: 4, ValueSize: 4, MaxEntries: 1000, Key: u32, Value: u32}, 2)
	_ = m.Update(1, []byte{5, 0, 0, 0}, []byte{9, 0, 0, 0}, Any)
	dump(m)
	m = newMap(t, s, &Spec{Name: "untyped", Type: LRUHash, KeySize: 3, ValueSize: 2, MaxEntries: 4}, 1)
	_ = m.Update(0, []byte{1, 2, 3}, []byte{0, 0}, Any)
	dump(m)
	m = newMap(t, s, &Spec{Name: "short", Type: Array, KeySize: 4, ValueSize: 2, MaxEntries: 1, Value: u64}, 1)
	_ = Put(m, uint32(0), uint16(0x0201))
	dump(m)
	q := newMap(t, s, &Spec{Name: "q", Type: Queue, ValueSize: 4, MaxEntries: 4, Value: u32}, 1)
	_ = q.HostUpdate(nil, []byte{1, 0, 0, 0}, Any)
	_ = q.HostUpdate(nil, []byte{2, 0, 0, 0}, Any)
	dump(q)
	for d := json.NewDecoder(bytes.NewReader(out.Bytes())); d.More(); {
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("not JSON: %v\n%s", err, out.Bytes())
		}
	}
	golden(t, out.Bytes())

	// Reading it into new maps gives the same text.
	again, dumped := newSpace(t), bytes.Clone(out.Bytes())
	fresh := map[string]Map{}
	for _, m := range all {
		fresh[m.Spec().Name] = newMap(t, again, m.Spec(), CPUs(m))
	}
	if err := LoadJSON(bytes.NewReader(dumped), func(name string) Map { return fresh[name] }); err != nil {
		t.Fatal(err)
	}
	out.Reset()
	for _, m := range all {
		if err := DumpJSON(&out, fresh[m.Spec().Name]); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.Bytes(); !bytes.Equal(got, dumped) {
		t.Errorf("read and written again:\n%s\nwant:\n%s", got, dumped)
	}
}

func TestLoadJSONErrors(t *testing.T) {
	s := newSpace(t)
	typed := newMap(t, s, &Spec{Name: "m", Type: Hash, KeySize: 4, ValueSize: 80, MaxEntries: 1, Key: u32, Value: sampleLayout, LockOff: -1, TimerOff: -1}, 1)
	plain := newMap(t, s, &Spec{Name: "p", Type: PerCPUHash, KeySize: 3, ValueSize: 2, MaxEntries: 1}, 2)
	find := func(name string) Map { return map[string]Map{"m": typed, "p": plain}[name] }
	for _, c := range []struct{ text, want string }{
		{`{"name": "x"}`, "offset 13: map x: there is no such map"},
		{`{"name": "m", "type": "array"}`, "offset 30: map m: it is of type hash, not array"},
		{`{"nam": "m"}`, `offset 12: json: unknown field "nam"`},
		{`{"name": "m", "elements": [{"key": 1, "value": {"cunt": 1}}]}`, "offset 61: map m: element 0: value.cunt: there is no such field in sample"},
		{`{"name": "m", "elements": [{"key": "a", "value": {}}]}`, `offset 54: map m: element 0: key: "a" is no number`},
		{`{"name": "m", "elements": [{"key": 4294967296, "value": {}}]}`, "offset 61: map m: element 0: key: 4294967296 does not fit 32 bits"},
		{`{"name": "m", "elements": [{"key": 1, "value": {"bytes": [1,2,3,4,5]}}]}`, "offset 72: map m: element 0: value.bytes: 5 elements: the array has 4"},
		{`{"name": "m", "elements": [{"key": 1, "value": {"bytes": [1,256]}}]}`, "offset 68: map m: element 0: value.bytes[1]: 256 does not fit 8 bits"},
		{`{"name": "m", "elements": [{"key": 1, "value": 3}]}`, "offset 51: map m: element 0: value: 3: want an object with the fields of sample"},
		{`{"name": "m", "elements": [{"key": 1, "value": {"low": 8}}]}`, "offset 60: map m: element 0: value.low: 8 does not fit 3 bits"},
		{`{"name": "m", "elements": [{"key": 1, "value": {}}, {"key": 2, "value": {}}]}`,
			`offset 77: map m: element 1: map "m": update: too big or map full (E2BIG)`},
		{`{"name": "p", "elements": [{"key": "0102", "values": []}]}`, `offset 58: map p: element 0: key: "0102": want 3 bytes, 2 hex digits each`},
		{`{"name": "p", "elements": [{"key": "010203", "values": [1, 2, 3]}]}`, "offset 67: map p: element 0: values of 3 CPUs: the machine has 2"},
	} {
		err := LoadJSON(bytes.NewReader([]byte(c.text)), find)
		var bad *JSONError
		if !errors.As(err, &bad) || bad.Error() != c.want {
			t.Errorf("%s\n got %v\nwant %s", c.text, err, c.want)
		}
	}
}

func FuzzLoadJSON(f *testing.F) {
	f.Add([]byte(`{"name": "m", "elements": [{"key": 1, "value": {"count": -1, "low": 3, "name": "x", "bytes": [1], "rate": 1.5, "action": "PASS"}}]}`))
	f.Add([]byte(`{"name": "p", "elements": [{"key": "010203", "values": ["0102", 3]}]}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := newSpace(t)
		typed := newMap(t, s, &Spec{Name: "m", Type: Hash, KeySize: 4, ValueSize: 80, MaxEntries: 4, Key: u32, Value: sampleLayout, LockOff: -1, TimerOff: -1}, 1)
		plain := newMap(t, s, &Spec{Name: "p", Type: PerCPUHash, KeySize: 3, ValueSize: 2, MaxEntries: 4}, 2)
		find := func(name string) Map { return map[string]Map{"m": typed, "p": plain}[name] }
		var bad *JSONError
		if err := LoadJSON(bytes.NewReader(text), find); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
	})
}

func golden(t *testing.T, got []byte) {
	const file = "testdata/dump.json"
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got:\n%s\nwant (-update writes it):\n%s", got, want)
	}
}

type failingWriter struct{}

func (failingWriter) Write([]byte) (int, error) { return 0, os.ErrClosed }

func TestDumpJSONWriteError(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: Array, KeySize: 4, ValueSize: 2, MaxEntries: 1}, 1)
	if err := DumpJSON(failingWriter{}, m); !errors.Is(err, os.ErrClosed) {
		t.Error(err)
	}
}

// Layouts come from object files: no description of a type may make the dump fail.
func FuzzDumpLayout(f *testing.F) {
	f.Add([]byte{6, 8, 1, 2, 3, 4}, []byte("value"))
	f.Fuzz(func(t *testing.T, desc, value []byte) {
		if len(value) == 0 || len(value) > 1000 {
			return
		}
		m := newMap(t, newSpace(t), &Spec{Type: Array, KeySize: 4, ValueSize: uint32(len(value)), MaxEntries: 1}, 1)
		m.Spec().Value = layoutFrom(&desc, 4)
		if err := m.HostUpdate(make([]byte, 4), value, Any); err != nil {
			t.Skip(err)
		}
		var out bytes.Buffer
		if err := DumpJSON(&out, m); err != nil {
			t.Fatal(err)
		}
		if !json.Valid(out.Bytes()) {
			t.Fatalf("not JSON: %s", out.Bytes())
		}
	})
}

func layoutFrom(desc *[]byte, depth int) *Layout {
	next := func() uint32 {
		if len(*desc) == 0 {
			return 0
		}
		b := (*desc)[0]
		*desc = (*desc)[1:]
		if b > 250 {
			return 1 << 31 >> (b & 3)
		}
		return uint32(b)
	}
	l := &Layout{Kind: LayoutKind(next() % 10), Size: next(), Signed: next()&1 != 0, Len: next()}
	if depth == 0 {
		return l
	}
	switch l.Kind {
	case ArrayOf:
		l.Elem = layoutFrom(desc, depth-1)
	case Struct, Union:
		for range next() % 4 {
			l.Fields = append(l.Fields, Field{Name: string(rune('a' + next()%3)), BitOff: next(), BitSize: next() % 80, Type: layoutFrom(desc, depth-1)})
		}
	}
	return l
}

func TestTypedErrors(t *testing.T) {
	s := newSpace(t)
	m := newMap(t, s, &Spec{Name: "m", Type: Hash, KeySize: 4, ValueSize: 8, MaxEntries: 1}, 1)
	if _, err := Get[uint64, uint64](m, 1); ErrnoOf(err) != EINVAL {
		t.Errorf("key of the wrong size: %v", err)
	}
	if _, err := Get[uint32, uint64](m, 1); !errors.Is(err, &Error{Errno: ENOENT}) {
		t.Errorf("no element: %v", err)
	}
	if err := Put(m, uint32(1), uint32(1)); ErrnoOf(err) != EINVAL {
		t.Errorf("value of the wrong size: %v", err)
	}
	if err := Put(m, uint32(1), "text"); ErrnoOf(err) != EINVAL {
		t.Errorf("value without a size: %v", err)
	}
	_ = Put(m, uint32(1), uint64(1))
	if _, err := Get[uint32, uint32](m, 1); ErrnoOf(err) != EINVAL {
		t.Errorf("result of the wrong size: %v", err)
	}
	if ErrnoOf(nil) != 0 || ErrnoOf(os.ErrClosed) != EINVAL || ENOENT.Ret() != ^uint64(1) {
		t.Error("ErrnoOf")
	}
}

// What is frozen cannot be set from outside: programs were verified with it. A dump may say it again.
func TestLoadFrozen(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Name: "ro", Type: Array, KeySize: 4, ValueSize: 4, MaxEntries: 1, Flags: ReadOnlyProg}, 1)
	if err := Put(m, uint32(0), uint32(7)); err != nil {
		t.Fatal(err)
	}
	if err := HostOf(m).Freeze(); err != nil {
		t.Fatal(err)
	}
	find := func(string) Map { return m }
	if err := LoadJSON(strings.NewReader(`{"name":"ro","elements":[{"key":"00000000","value":"07000000"}]}`), find); err != nil {
		t.Error("what it holds:", err)
	}
	err := LoadJSON(strings.NewReader(`{"name":"ro","elements":[{"key":"00000000","value":"08000000"}]}`), find)
	if err == nil || !strings.Contains(err.Error(), "EPERM") {
		t.Error("something else:", err)
	}
	if v, err := Get[uint32, uint32](m, 0); err != nil || v != 7 {
		t.Error(v, err)
	}
}
