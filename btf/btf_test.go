package btf

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const declared = `
typedef unsigned long pfn_t;
struct later;
struct inner { u8 a; u32 b; };
struct outer {
	const char *name;
	struct inner pair[2];
	union { u16 half; u64 whole; };
	unsigned low : 3, high : 30;
	struct later __rcu *next;
	struct inner __kptr *own;
	struct inner list __contains(inner, b);
	void (*done)(struct outer *o);
	pfn_t tail[];
};
int sum(struct outer *o __arg_nonnull, u32 size);
`

// describe writes the members of a struct and where they are.
func describe(t *Types, name string) string {
	id, _ := t.Find(Struct, name)
	var b strings.Builder
	for _, m := range t.Members(t.At(id)) {
		e, _ := t.Elements(m.Type)
		fmt.Fprintf(&b, "%s %d %d %s*%d; ", m.Name, m.Off, m.Bits, t.At(e.Type).Kind, e.Count)
	}
	return b.String() + fmt.Sprint(t.At(id).Size)
}

func TestDeclare(t *testing.T) {
	types := MustDeclare(declared)
	require.Equal(t, "name 0 0 PTR*1; pair 64 0 STRUCT*2;  192 0 UNION*1; low 256 3 INT*1; high 288 30 INT*1; "+
		"next 320 0 PTR*1; own 384 0 PTR*1; list 448 0 STRUCT*1; done 512 0 PTR*1; tail 576 0 INT*0; 72", describe(types, "outer"))
	outer, _ := types.Find(Struct, "outer")
	members := types.Members(types.At(outer))
	next := types.At(members[5].Type)
	require.Equal(t, TypeTag, types.At(next.Ref).Kind)
	require.Equal(t, "rcu", types.At(next.Ref).Name)
	require.Equal(t, Fwd, types.At(types.Resolve(next.Ref)).Kind)
	require.Equal(t, []string{"contains:inner:b"}, types.Tags(outer, 7))
	sum, ok := types.Find(Func, "sum")
	require.True(t, ok)
	require.Equal(t, []string{"arg:nonnull"}, types.Tags(sum, 0))
	require.Empty(t, types.Tags(sum, 1))
	require.Len(t, types.Members(types.At(types.At(sum).Ref)), 2)
}

func TestDeclareErrors(t *testing.T) {
	for text, want := range map[string]string{
		"struct a { u32 x; ":                 `1:19: a name is expected, not ""`,
		"struct a { pfn_t x; };":             `1:18: type "pfn_t" is not known`,
		"struct a { u32 x; }\n4;":            `2:1: ";" is expected, not "4"`,
		"struct a { u32 x; }; struct a { };": "a is declared twice",
		"struct a { struct a x; };":          "has itself as a member",
		"struct a { u32 x[99999999999]; };":  "a number is expected",
		strings.Repeat("struct { ", 40):      "nested too deeply",
		"struct a { u32 x : 3 y; };":         `";" is expected, not "y"`,
	} {
		_, err := Declare(text)
		var e *SyntaxError
		require.ErrorAs(t, err, &e, text)
		require.Contains(t, err.Error(), want)
	}
}

func TestParse(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("..", "examples", "*.o"))
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, f := range files {
		data, err := os.ReadFile(f)
		require.NoError(t, err)
		types, err := Parse(data)
		require.NoError(t, err, f)
		if id, ok := types.Find(Struct, "xdp_md"); ok {
			size, ok := types.Size(id)
			require.True(t, ok)
			require.EqualValues(t, 24, size, f)
			require.Equal(t, "data", types.Members(types.At(id))[0].Name)
		}
	}
}

func TestParseErrors(t *testing.T) {
	head := func(types, strs string) string {
		return "\x9f\xeb\x01\x00\x18\x00\x00\x00\x00\x00\x00\x00" + string(le.AppendUint32(nil, uint32(len(types)))) +
			string(le.AppendUint32(nil, uint32(len(types)))) + string(le.AppendUint32(nil, uint32(len(strs)))) + types + strs
	}
	for data, want := range map[string]string{
		"":        "no little-endian BTF header",
		"\x7fELF": "EOF",
		strings.Replace(head("", "\x00"), "\x01", "\x02", 1): "version 2 is not known",
		head("", ""):                     "strings are not within the file",
		head("", "a"):                    "do not begin and end with NUL",
		head("\x00\x00\x00\x00", "\x00"): "cut off",
		head("\x00\x00\x00\x00\x00\x00\x00\x1f\x00\x00\x00\x00", "\x00"): "kind 31 is not known",
		head("\x09\x00\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00", "\x00"): "not within the strings",
		head("\x00\x00\x00\x00\x00\x00\x00\x02\x09\x00\x00\x00", "\x00"): "type 9, which does not exist",
		head("\x00\x00\x00\x00\x01\x00\x00\x04\x09\x00\x00\x00", "\x00"): "cut off",
	} {
		_, err := Parse([]byte(data))
		var e *Error
		require.ErrorAs(t, err, &e, "%q", data)
		require.ErrorContains(t, err, want, "%q", data)
	}
}

// walk looks at everything, as their users do.
func walk(types *Types) {
	for id := ID(-1); int(id) <= types.Len(); id++ {
		ty := types.At(id)
		types.Members(ty)
		types.Tags(id, -1)
		types.Resolve(id)
		types.Elements(id)
		types.Find(ty.Kind, ty.Name)
		_, _ = Fields(types, id, MapFields|ObjectFields)
	}
}

func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob(filepath.Join("..", "examples", "*.o"))
	for _, name := range files {
		if data, err := os.ReadFile(name); err == nil {
			f.Add(data)
			if section, err := fromELF(data); err == nil {
				f.Add(section)
			}
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		types, err := Parse(data)
		if err == nil {
			walk(types)
		} else if e := (*Error)(nil); !errors.As(err, &e) {
			t.Fatalf("%T", err)
		}
	})
}

func FuzzDeclare(f *testing.F) {
	f.Add(declared)
	deep := "struct s0 { int x; };"
	for i := range 31 { // nested to a depth of 31, and 2^31 paths
		deep += fmt.Sprintf("struct s%d { struct s%d a, b; };", i+1, i)
	}
	f.Add(deep)
	f.Add("union u { struct { int x; } y[3][2]; }; extern int v;")
	f.Fuzz(func(t *testing.T, text string) {
		types, err := Declare(text)
		if err == nil {
			walk(types)
		} else if e := (*SyntaxError)(nil); !errors.As(err, &e) {
			t.Fatalf("%T", err)
		}
	})
}
