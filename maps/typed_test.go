package maps

import (
	"reflect"
	"strings"
	"testing"
)

// session is struct session { u8 proto; u16 port; u32 ip[2]; union { u64 both; struct { u32 lo, hi; }; }; int up : 1; unsigned rate : 13;
// char name[8]; s64 delta; float load; enum state state; }
var sessionLayout = func() *Layout {
	u8, u16, u32, u64 := &Layout{Kind: Int, Size: 1}, &Layout{Kind: Int, Size: 2}, &Layout{Kind: Int, Size: 4}, &Layout{Kind: Int, Size: 8}
	s64 := &Layout{Kind: Int, Size: 8, Signed: true}
	halves := &Layout{Kind: Struct, Size: 8, Fields: []Field{{Name: "lo", Type: u32}, {Name: "hi", BitOff: 32, Type: u32}}}
	return &Layout{Kind: Struct, Name: "session", Size: 64, Fields: []Field{
		{Name: "proto", Type: u8}, {Name: "dst_port", BitOff: 16, Type: u16},
		{Name: "ip", BitOff: 32, Type: &Layout{Kind: ArrayOf, Size: 8, Len: 2, Elem: u32}},
		{BitOff: 128, Type: &Layout{Kind: Union, Size: 8, Fields: []Field{{Name: "both", Type: u64}, {Type: halves}}}},
		{Name: "up", BitOff: 192, BitSize: 1, Type: &Layout{Kind: Int, Size: 4, Signed: true}},
		{Name: "rate", BitOff: 193, BitSize: 13, Type: u32},
		{Name: "name", BitOff: 256, Type: &Layout{Kind: ArrayOf, Size: 8, Len: 8, Elem: &Layout{Kind: Char, Size: 1}}},
		{Name: "delta", BitOff: 320, Type: s64},
		{Name: "load", BitOff: 384, Type: &Layout{Kind: Float, Size: 4}},
		{Name: "state", BitOff: 416, Type: &Layout{Kind: Enum, Size: 4, Enum: map[int64]string{1: "up"}}},
	}}
}()

type session struct {
	DstPort uint16
	Proto   uint64   // wider than in C
	Addrs   []uint32 `bpf:"ip"`
	Lo, Hi  uint32
	Up      int
	Rate    uint16
	Name    string
	Delta   int64
	Load    float32
	State   int
	Note    string `bpf:"-"`
	_       int
}

func TestTypedByBTF(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Name: "sessions", Type: Hash, KeySize: 4, ValueSize: 64, MaxEntries: 8, Value: sessionLayout,
		Key: &Layout{Kind: Int, Size: 4}, LockOff: -1, TimerOff: -1}, 1)
	in := session{DstPort: 443, Proto: 6, Addrs: []uint32{1, 2}, Lo: 7, Hi: 9, Up: -1, Rate: 0x1abc, Name: "eth0", Delta: -5, Load: 1.5, State: 1}
	if err := Put(m, 3, in); err != nil { // the key is an int: any integer that fits
		t.Fatal(err)
	}
	got, err := Get[uint8, session](m, 3)
	if err != nil || !reflect.DeepEqual(got, in) {
		t.Errorf("%+v, %v", got, err)
	}
	b, err := m.HostLookup(appendLE32(3))
	if err != nil || b[0] != 6 || b[2] != 0xbb || b[3] != 1 || b[16] != 7 || b[20] != 9 || b[24] != 0x79 || b[25] != 0x35 || string(b[32:37]) != "eth0\x00" {
		t.Errorf("% x, %v", b, err)
	}
	type part struct{ Both uint64 } // other members are left out
	if p, err := Get[int, part](m, 3); err != nil || p.Both != 7|9<<32 {
		t.Errorf("%+v, %v", p, err)
	}
	if raw, err := Get[int, [64]byte](m, 3); err != nil || !reflect.DeepEqual(raw[:], b) {
		t.Errorf("% x, %v", raw, err)
	}
	if err := Put(m, 4, [64]byte{1, 2, 3}); err != nil {
		t.Error(err)
	}
	n := 0
	for e, err := range Elements[int32, session](m) {
		if err != nil || e.Key == 3 && e.Value.Name != "eth0" || e.Key != 3 && e.Key != 4 {
			t.Errorf("%+v, %v", e, err)
		}
		n++
	}
	if n != 2 {
		t.Errorf("%d elements", n)
	}
	if err := Delete(m, int64(3)); err != nil || m.Len() != 1 {
		t.Error(err)
	}
}

func TestTypedByBTFErrors(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Name: "sessions", Type: Hash, KeySize: 4, ValueSize: 64, MaxEntries: 8, Value: sessionLayout,
		Key: &Layout{Kind: Int, Size: 4}, LockOff: -1, TimerOff: -1}, 1)
	if err := Put(m, 1, [64]byte{0: 200}); err != nil {
		t.Fatal(err)
	}
	for want, err := range map[string]error{
		"Prot: there is no such field in session":    Put(m, 1, struct{ Prot uint8 }{}),
		"256 does not fit into 8 bits":               Put(m, 1, struct{ Proto int }{256}),
		"-129 does not fit into 8 bits":              Put(m, 1, struct{ Proto int }{-129}),
		"8192 does not fit into 13 bits":             Put(m, 1, struct{ Rate int }{8192}),
		"3 elements: the array has 2":                Put(m, 1, struct{ IP [3]uint32 }{}),
		"9 bytes of text: the array has 8":           Put(m, 1, struct{ Name string }{"too long."}),
		"string for a number":                        Put(m, 1, struct{ Proto string }{}),
		"proto is not exported":                      Put(m, 1, struct{ proto int }{}),
		"uint64 for session":                         Put(m, 1, uint64(5)),
		"4294967296 does not fit into 32 bits":       Put(m, uint64(1<<32), [64]byte{}),
		"200 does not fit into int8":                 second(Get[int, struct{ Proto int8 }](m, 1)),
		"an array of 1: C has 2":                     second(Get[int, struct{ IP [1]uint32 }](m, 1)),
		"no such element":                            second(Get[int, session](m, 9)),
		"struct { Name int }.Name: int for an array": second(Get[int, struct{ Name int }](m, 1)),
		"int for session":                            second(Get[int, int](m, 1)),
		"there is no such field in session: invalid ": Put(m, 1, struct {
			X int `bpf:"dstport"` // a tag is exact
		}{}),
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := Decode(nil, sessionLayout, 5); err == nil {
		t.Error("bytes of another size, and no error")
	}
	if err := Decode(make([]byte, 64), sessionLayout, session{}); err == nil {
		t.Error("no pointer, and no error")
	}
}

func second[T any](_ T, err error) error { return err }

func TestTypedPerCPU(t *testing.T) {
	m := newMap(t, newSpace(t), &Spec{Type: PerCPUArray, KeySize: 4, ValueSize: 4, MaxEntries: 2, Value: &Layout{Kind: Int, Size: 4},
		LockOff: -1, TimerOff: -1}, 3)
	if err := m.Update(2, appendLE32(1), appendLE32(7), Any); err != nil {
		t.Fatal(err)
	}
	var got [][]int
	for e, err := range Elements[uint32, int](m) {
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, e.PerCPU)
	}
	if !reflect.DeepEqual(got, [][]int{{0, 0, 0}, {0, 0, 7}}) {
		t.Error(got)
	}
	for _, err := range Elements[uint32, string](m) {
		if err == nil {
			t.Error("a string for a number, and no error")
		}
	}
}

func TestPerfReader(t *testing.T) {
	r := NewPerfReader(10)
	for i := range 4 {
		r.Add(nil, i, []byte("1234"))
	}
	if r.Lost() != 2 {
		t.Errorf("%d lost", r.Lost())
	}
	var cpus []int
	for event, lost := range r.Read() {
		if string(event.Data) != "1234" || (lost == 2) != (event.CPU == 0) {
			t.Errorf("%+v, %d lost", event, lost)
		}
		cpus = append(cpus, event.CPU)
		if event.CPU == 1 {
			r.Add(nil, 9, []byte("1234")) // while reading
		}
	}
	if !reflect.DeepEqual(cpus, []int{0, 1, 9}) || r.Lost() != 0 {
		t.Errorf("%v, %d lost", cpus, r.Lost())
	}
}

// randomLayout makes a type of choices; it need not make sense.
func randomLayout(r source, depth int) *Layout {
	l := &Layout{Kind: LayoutKind(r.Uint32() % 9), Size: r.Uint32() % 20, Signed: r.Uint32()%2 == 0}
	names := []string{"", "proto", "dst_port", "ip", "lo", "up", "rate", "name", "delta", "load", "state"}
	if depth > 0 {
		for range r.Uint32() % 4 {
			l.Fields = append(l.Fields, Field{Name: names[r.Uint32()%uint32(len(names))], BitOff: r.Uint32() % 160,
				BitSize: r.Uint32() % 80 * (r.Uint32() % 2), Type: randomLayout(r, depth-1)})
		}
		l.Elem, l.Len = randomLayout(r, depth-1), r.Uint32()%5
	}
	return l
}

// FuzzDecode has Go values made of bytes of any type, and bytes of them again.
func FuzzDecode(f *testing.F) {
	f.Add([]byte("some bytes to make a type of, and others for what it describes: as many as it takes"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l := randomLayout(&bytesSource{b}, 3)
		var all struct {
			Proto   uint8
			DstPort []int16
			IP      [2]uint32
			Up      bool
			Rate    float64
			Name    string
		}
		for _, v := range []any{new(session), &all, new(uint16), new([]string), new([4]byte), new(string)} {
			if err := Decode(b, l, v); err == nil && uint64(l.Size) <= uint64(len(b)) {
				_ = toC(make([]byte, l.Size), l, reflect.ValueOf(v).Elem())
			}
		}
		_ = toC(make([]byte, l.Size), l, reflect.ValueOf(session{Addrs: make([]uint32, 4), Name: "12345"}))
	})
}
