package object

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

const text = `
; the answer, by a function
main:	r1 = 42 ll
	call twice        /* of 21 */
	call helper seven
	exit
twice:	mov %r0, %r1
	exit
`

var named = Options{Type: prog.XDP, Helpers: func(name string) (int32, bool) { return 7, name == "seven" }}

func TestLoadAsm(t *testing.T) {
	o, err := LoadBytes([]byte(text), "answer.s", named)
	require.NoError(t, err)
	p := o.Programs[0]
	require.Empty(t, p.Broken)
	require.Equal(t, "answer.s", p.Name)
	require.Equal(t, []prog.Func{{Name: "main", Start: 0, End: 5, Global: true}, {Name: "twice", Start: 5, End: 7}}, p.Funcs)
	require.Equal(t, &prog.Line{PC: 2, File: "answer.s", Line: 4, Col: 1, Text: "call twice        /* of 21 */"}, p.LineAt(2))
	require.Equal(t, 3, p.LineAt(1).Line) // the second slot of the load
	require.EqualValues(t, 7, p.Insns[3].Imm)

	_, err = LoadBytes([]byte("exit\nadd %r0, %q\n"), "x.s", named)
	require.EqualError(t, err, `x.s:2:11: expected a register %r0..%r10, found "q"`)
	var syntax *asm.SyntaxError
	require.True(t, errors.As(err, &syntax))
	_, err = LoadBytes([]byte("add %r0, %q"), "x.s", named) // a word of hexadecimal digits
	require.ErrorContains(t, err, "a register %r0..%r10")
	_, err = LoadBytes([]byte("r1 = map[counts]\nexit"), "x.s", named)
	require.EqualError(t, err, `x.s:1:10: expected a map's number, found "counts"`)
	_, err = LoadBytes([]byte("label:"), "x.s", named)
	require.Equal(t, &Error{"x.s", 0, "no instructions"}, err)
}

func TestLoadBytes(t *testing.T) {
	want := asm.EncodeProgram([]asm.Insn{asm.Mov64K.Example(), asm.Exit.Example()})
	for _, c := range []struct{ name, data string }{
		{"x", string(want)},
		{"x", "# comment\n b701000005000000 95 00 00 00 00 00 00 00"},
		{"x.hex", "b701000005000000\n9500000000000000 // end"},
		{"x", "r1 = 5\nexit"},
		{"x", "mov %r1, 5 ; five\n/* */ exit"},
	} {
		o, err := LoadBytes([]byte(c.data), c.name, named)
		require.NoError(t, err, c.data)
		require.Equal(t, want, asm.EncodeProgram(o.Programs[0].Insns), c.data)
	}
	for _, c := range []struct{ name, data, want string }{
		{"x.hex", "r1 = 5", "offset 0x0: 'r' is no hexadecimal digit"},
		{"x", "95 00 zz", "offset 0x6: 'z' is no hexadecimal digit"},
		{"x", "", "no instructions"},
		{"x", "# nothing", "no instructions"},
		{"x", "\x7fELF", "x: "},
	} {
		_, err := LoadBytes([]byte(c.data), c.name, named)
		require.ErrorContains(t, err, c.want, c.data)
	}
}

func TestWriteELF(t *testing.T) {
	o, err := LoadBytes([]byte(text), "answer.s", named)
	require.NoError(t, err)
	p := o.Programs[0]
	elf, err := WriteELF(p, "tc")
	require.NoError(t, err)
	again, err := LoadBytes(elf, "answer.o", Options{})
	require.NoError(t, err)
	require.Empty(t, again.Warnings)
	require.Len(t, again.Programs, 1)
	q := again.Programs[0]
	require.Equal(t, p.Insns, q.Insns)
	require.Equal(t, "answer.s", q.Name)
	require.Equal(t, []prog.Func{{Name: "answer.s", Start: 0, End: 5}, {Name: "twice", Start: 5, End: 7}}, q.Funcs) // BTF says who is global
	require.Equal(t, prog.SchedCLS, q.Type)
	require.Equal(t, "GPL", q.License)
	require.Empty(t, q.Broken)

	_, err = WriteELF(p, "")
	require.ErrorContains(t, err, "names of a section")
	o, err = LoadBytes([]byte("r1 = map[0]\nexit"), "x.s", named)
	require.NoError(t, err)
	_, err = WriteELF(o.Programs[0], "xdp")
	require.ErrorContains(t, err, "instruction 0 refers to a map")
}

// FuzzLoadBytes: whatever the bytes are, there is an object or an error.
func FuzzLoadBytes(f *testing.F) {
	f.Add([]byte(text), "x")
	f.Add([]byte("b701000005000000"), "x.hex")
	f.Add([]byte("# \n/* */ call local a\na: exit"), "x")
	f.Fuzz(func(t *testing.T, data []byte, name string) {
		o, err := LoadBytes(data, name, named)
		if (o == nil) == (err == nil) {
			t.Fatal(o, err)
		}
		if err != nil || len(o.Programs) != 1 || o.Programs[0].Section != "" {
			return
		}
		p := o.Programs[0]
		elf, err := WriteELF(p, "xdp")
		if err != nil {
			return
		}
		again, err := LoadBytes(elf, "x.o", Options{})
		if err != nil {
			t.Fatal(err)
		}
		if q := again.Programs[0]; q.Broken == "" && string(asm.EncodeProgram(q.Insns)) != string(asm.EncodeProgram(p.Insns)) {
			t.Fatalf("%v comes back as %v", p.Insns, q.Insns)
		}
	})
}
