package helpers

import (
	"encoding/binary"
	"errors"
	"strings"
	"testing"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

func nothingOwn(*Env, uint64, uint64, uint64, uint64, uint64) (uint64, error) { return 0, nil }

// TestOwnRefused has one wrong thing at a time in what an embedder gives.
func TestOwnRefused(t *testing.T) {
	xdp := SetOf(prog.XDP)
	row := func(args ...Arg) Row {
		r := Row{ID: 600, Name: "mine", Types: xdp}
		copy(r.Args[:], args)
		return r
	}
	impl := func(r Row) Row {
		r.Fn = nothingOwn
		return r
	}
	with := func(r Row, change func(*Row)) OwnHelper {
		change(&r)
		return OwnHelper{Row: r, Go: func() int { return 0 }}
	}
	for _, c := range []struct {
		want string
		own  Own
	}{
		{"no name of a C function", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Name = "my helper" })}}},
		{"id 211", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.ID = 211 })}}},
		{"id 65537", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.ID = 1<<16 + 1 })}}},
		{"helper of that name", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Name = "bpf_redirect" })}}},
		{"helper of that name", Own{Helpers: []OwnHelper{with(row(), func(r *Row) {}), with(row(), func(r *Row) { r.ID++ })}}},
		{"id 600 is that of mine", Own{Helpers: []OwnHelper{with(row(), func(r *Row) {}), with(row(), func(r *Row) { r.Name = "other" })}}},
		{"no program may call it", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Types = 0 })}}},
		{"for the kernel's helpers", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Engine = true })}}},
		{"no size follows", Own{Helpers: []OwnHelper{{Row: impl(row(ArgMem))}}}},
		{"no size follows", Own{Helpers: []OwnHelper{{Row: impl(row(ArgMem, ArgAny))}}}},
		{"no memory is before it", Own{Helpers: []OwnHelper{{Row: impl(row(ArgSize))}}}},
		{"FixedSize[0]", Own{Helpers: []OwnHelper{{Row: impl(row(ArgFixedMem))}}}},
		{"wants a map before it", Own{Helpers: []OwnHelper{{Row: impl(row(ArgMapKey))}}}},
		{"follows one that is none", Own{Helpers: []OwnHelper{{Row: impl(row(ArgAny, ArgNone, ArgAny))}}}},
		{"own helpers cannot have", Own{Helpers: []OwnHelper{{Row: impl(row(ArgTimer))}}}},
		{"a flag that its kind does not take", Own{Helpers: []OwnHelper{{Row: impl(row(ArgAny | ArgWrite))}}}},
		{"RetMem wants RetSize", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Ret = RetMem })}}},
		{"wants a map among", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Ret = RetMapValue | RetMaybeNull })}}},
		{"the result is of a kind", Own{Helpers: []OwnHelper{with(row(), func(r *Row) { r.Ret = RetSocket })}}},
		{"both Fn and Go", Own{Helpers: []OwnHelper{{Row: impl(row()), Go: func() int { return 0 }}}}},
		{"neither Fn nor Go", Own{Helpers: []OwnHelper{{Row: row()}}}},
		{"want a function", Own{Helpers: []OwnHelper{{Row: row(), Go: 7}}}},
		{"variadic", Own{Helpers: []OwnHelper{{Row: row(), Go: func(...int) int { return 0 }}}}},
		{"too few parameters", Own{Helpers: []OwnHelper{{Row: row(ArgAny), Go: func() int { return 0 }}}}},
		{"more than the prototype", Own{Helpers: []OwnHelper{{Row: row(), Go: func(int) int { return 0 }}}}},
		{"want an integer", Own{Helpers: []OwnHelper{{Row: row(ArgAny), Go: func(string) int { return 0 }}}}},
		{"takes uint64, want []uint8", Own{Helpers: []OwnHelper{{Row: row(ArgMem, ArgSize), Go: func(a, b uint64) int { return 0 }}}}},
		{"want maps.Map", Own{Helpers: []OwnHelper{{Row: row(ArgMapPtr), Go: func(uint64) int { return 0 }}}}},
		{"want string", Own{Helpers: []OwnHelper{{Row: row(ArgConstStr), Go: func([]byte) int { return 0 }}}}},
		{"must have one of an integer type", Own{Helpers: []OwnHelper{{Row: row(), Go: func() {}}}}},
		{"must have one of an integer type", Own{Helpers: []OwnHelper{{Row: row(), Go: func() string { return "" }}}}},
		{"has 2 results", Own{Helpers: []OwnHelper{{Row: row(), Go: func() (int, int) { return 0, 0 }}}}},
		{"has no result", Own{Helpers: []OwnHelper{{Row: Row{ID: 600, Name: "mine", Types: xdp, Ret: RetVoid}, Go: func() int { return 0 }}}}},

		{"want TYPE NAME(ARGUMENTS)", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(void);", Types: xdp, Fn: nothingOwn}}}},
		{"want TYPE NAME(ARGUMENTS)", Own{Kfuncs: []OwnKfunc{{Decl: "mine", Types: xdp, Fn: nothingOwn}}}},
		{"want TYPE NAME or TYPE *NAME", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(int)", Types: xdp, Fn: nothingOwn}}}},
		{"want TYPE NAME or TYPE *NAME", Own{Kfuncs: []OwnKfunc{{Decl: "int mine()", Types: xdp, Fn: nothingOwn}}}},
		{"at most 5", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(int a, int b, int c, int d, int e, int f)", Types: xdp, Fn: nothingOwn}}}},
		{"no type float", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(float f)", Types: xdp, Fn: nothingOwn}}}},
		{"no type float", Own{Kfuncs: []OwnKfunc{{Decl: "float mine(void)", Types: xdp, Fn: nothingOwn}}}},
		{"must be one to a struct", Own{Kfuncs: []OwnKfunc{{Decl: "void *mine(void)", Types: xdp, Fn: nothingOwn}}}},
		{"cannot return a struct", Own{Kfuncs: []OwnKfunc{{Decl: "struct a mine(void)", Types: xdp, Fn: nothingOwn}}}},
		{"is a size, and no memory", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(u32 n__sz)", Types: xdp, Fn: nothingOwn}}}},
		{"own kernel functions cannot have", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(struct bpf_rb_root *root)", Types: xdp, Fn: nothingOwn}}}},
		{"own kernel functions cannot have", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(void *p)", Types: xdp, Fn: nothingOwn}}}},
		{"a flag that own", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(void)", Flags: KfuncIterNew, Types: xdp, Fn: nothingOwn}}}},
		{"functions that return a pointer", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(void)", Flags: KfuncAcquire, Types: xdp, Fn: nothingOwn}}}},
		{"kernel function of that name", Own{Kfuncs: []OwnKfunc{{Decl: "int bpf_strlen(int a)", Types: xdp, Fn: nothingOwn}}}},
		{"takes []uint8, want an integer", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(struct own *o)", Types: xdp, Go: func([]byte) int { return 0 }}}}},
		{"has a parameter of type uint32 more", Own{Kfuncs: []OwnKfunc{{Decl: "int mine(u8 *p, u32 p__sz)", Types: xdp, Go: func([]byte, uint32) int { return 0 }}}}},
	} {
		_, err := NewTables(c.own)
		var own *OwnError
		if !errors.As(err, &own) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}

// TestBind calls functions with every kind of parameter.
func TestBind(t *testing.T) {
	space, err := mem.New(mem.Options{Size: 1 << 20})
	if err != nil {
		t.Fatal(err)
	}
	defer space.Close()
	e := &Env{Space: space, Maps: maps.NewTable(space)}
	m, err := maps.New(space, &maps.Spec{Name: "m", Type: maps.Hash, KeySize: 4, ValueSize: 8, MaxEntries: 4}, maps.Options{})
	if err != nil {
		t.Fatal(err)
	}
	e.Maps.Add(m)
	buf, err := space.Alloc(64, 8)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := space.Bytes(buf, 64)
	copy(b, "key.value...name\x00")
	at, handle := uint64(buf), uint64(m.Handle())

	fails := errors.New("no")
	for i, c := range []struct {
		row  Row
		fn   any
		args [5]uint64
		want uint64
		err  string
	}{
		{row: Row{}, fn: func() int { return -2 }, want: ^uint64(1)},
		{row: Row{}, fn: func() int32 { return -2 }, want: ^uint64(1)},
		{row: Row{}, fn: func() uint32 { return 1 << 31 }, want: 1 << 31},
		{row: Row{Ret: RetVoid}, fn: func() {}},
		{row: Row{Ret: RetVoid}, fn: func() error { return fails }, err: "no"},
		{row: Row{}, fn: func() (int, error) { return 3, nil }, want: 3},
		{row: Row{}, fn: func() (int, error) { return 3, fails }, err: "no"},
		{row: Row{Args: [5]Arg{ArgAny, ArgAny, ArgAny, ArgScalar, ArgAny}}, fn: func(a uint64, b int64, c uint32, d int32, e uint8) int64 {
			return int64(a) + b + int64(c) + int64(d) + int64(e)
		}, args: [5]uint64{1, ^uint64(0), 1<<32 | 5, 1<<32 - 1, 0x1ff}, want: 259},
		{row: Row{Args: [5]Arg{ArgMapPtr, ArgMapKey, ArgMapValue}}, fn: func(e *Env, m maps.Map, key, value []byte) int {
			return int(binary.LittleEndian.Uint32(key)) + len(value) + len(m.Spec().Name)
		}, args: [5]uint64{handle, at, at + 4}, want: uint64(binary.LittleEndian.Uint32([]byte("key."))) + 8 + 1},
		{row: Row{Args: [5]Arg{ArgMapPtr}}, fn: func(m maps.Map) int { return 0 }, args: [5]uint64{at}, err: "is no map"},
		{row: Row{Args: [5]Arg{ArgConstStr}}, fn: func(s string) int { return len(s) }, args: [5]uint64{at + 12}, want: 4},
		{row: Row{Args: [5]Arg{ArgMem, ArgSize, ArgFixedMem}, FixedSize: [5]uint32{2: 3}}, fn: func(a, b []byte) int {
			return 10*len(a) + len(b)
		}, args: [5]uint64{at, 5, at}, want: 53},
		{row: Row{Args: [5]Arg{ArgMem | ArgMaybeNull, ArgSizeOrZero}}, fn: func(a []byte) int {
			if a == nil {
				return 1
			}
			return 2
		}, want: 1},
		{row: Row{Args: [5]Arg{ArgMem, ArgSize}}, fn: func(a []byte) int { return 0 }, args: [5]uint64{at, 1 << 40}, err: "too long"},
		{row: Row{Args: [5]Arg{ArgMem, ArgSize}}, fn: func(a []byte) int { return 0 }, args: [5]uint64{1<<20 - 1, 2}, err: "outside"},
	} {
		fn, err := Bind(&c.row, c.fn)
		if err != nil {
			t.Errorf("case %d: %v", i, err)
			continue
		}
		got, err := fn(e, c.args[0], c.args[1], c.args[2], c.args[3], c.args[4])
		if c.err != "" {
			if err == nil || !strings.Contains(err.Error(), c.err) {
				t.Errorf("case %d: error %v, want %q", i, err, c.err)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("case %d: %#x, %v; want %#x", i, got, err, c.want)
		}
	}
}

// TestOwnResults: what a kernel function leaves in R0 is what C would, and no more bits.
func TestOwnResults(t *testing.T) {
	for decl, want := range map[string]uint64{"int f(void)": 1<<32 - 1, "u8 f(void)": 0xff, "s64 f(void)": ^uint64(0), "u16 f(void)": 0xffff, "void f(void)": 0} {
		var fn any = func() int { return -1 }
		if strings.HasPrefix(decl, "void") {
			fn = func() {}
		}
		tables, err := NewTables(Own{Kfuncs: []OwnKfunc{{Decl: decl, Types: SetOf(prog.XDP), Go: fn}}})
		if err != nil {
			t.Fatalf("%s: %v", decl, err)
		}
		id, ok := tables.KfuncID("f")
		if row := tables.Callable(id); !ok || row == nil {
			t.Errorf("%s cannot be called", decl)
		} else if got, err := row.Fn(nil, 0, 0, 0, 0, 0); got != want || err != nil {
			t.Errorf("%s: %#x, %v; want %#x", decl, got, err, want)
		}
	}
	var none *Tables
	if _, ok := none.KfuncID("f"); ok || none.Callable(600) != nil || none.ByID(600) != nil || none.ByID(1) == nil {
		t.Error("the kernel's tables have what nobody added, or not what they should")
	}
}

// FuzzOwnDecl: no declaration, whatever it says, does more than be refused.
func FuzzOwnDecl(f *testing.F) {
	for _, decl := range []string{"int f(void)", "struct a *f(u32 id__k, const u8 *p, u32 p__sz)", "void f(struct xdp_md *ctx, char *s__str)",
		"int f(int a, )", "u64 f(void *m__map, struct bpf_dynptr *d)", "enum e f(callback *g)", "int *f(int *p__nullable)", "int f(u8 *, int a)"} {
		f.Add(decl, uint16(0))
	}
	f.Fuzz(func(t *testing.T, decl string, flags uint16) {
		tables, err := NewTables(Own{Kfuncs: []OwnKfunc{{Decl: decl, Flags: KfuncFlags(flags), Types: SetOf(prog.XDP), Fn: nothingOwn}}})
		if err != nil {
			return
		}
		for _, k := range tables.kfuncs {
			if len(k.Args) > 5 || k.Name == "" {
				t.Errorf("%q: %+v", decl, k)
			}
		}
	})
}
