package object

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

const rawText = `
# r0 = 7; call the function after exit; exit
b7 00 00 00 07 00 00 00
85 10 00 00 01 00 00 00
95 00 00 00 00 00 00 00   // the end of the first
9500000000000000
`

func TestLoadRaw(t *testing.T) {
	o, err := LoadRaw([]byte(rawText), "seven.hex", Options{Type: prog.XDP})
	require.NoError(t, err)
	p := o.Programs[0]
	require.Empty(t, p.Broken)
	require.Len(t, p.Insns, 4)
	require.Equal(t, []prog.Func{{Name: "seven.hex", Start: 0, End: 3, Global: true}, {Name: "sub_3", Start: 3, End: 4}}, p.Funcs)

	path := filepath.Join(t.TempDir(), "seven.bin")
	require.NoError(t, os.WriteFile(path, asm.EncodeProgram(p.Insns), 0o600))
	again, err := LoadFile(path, Options{Type: prog.XDP})
	require.NoError(t, err)
	require.Equal(t, p.Insns, again.Programs[0].Insns)
	require.Equal(t, "seven.bin", again.Programs[0].Name)

	o, err = LoadRaw([]byte(rawText), "x", Options{})
	require.NoError(t, err)
	require.Contains(t, o.Programs[0].Broken, "no program type")
	o, err = LoadRaw([]byte("1811000003000000 0000000000000000"), "x", Options{Type: prog.XDP})
	require.NoError(t, err)
	require.Contains(t, o.Programs[0].Broken, "instruction 0 refers to a map")
}

func TestLoadRawErrors(t *testing.T) {
	for _, c := range []struct {
		in   string
		want Error
	}{
		{"", Error{"x", 0, "no instructions"}},
		{"# nothing", Error{"x", 0, "no instructions"}},
		{"95 00 zz", Error{"x", 6, "'z' is no hexadecimal digit"}},
		{"950", Error{"x", 3, "an odd number of hexadecimal digits"}},
		{"95 00 00", Error{"x", 0, "3 bytes are no whole number of instructions of 8"}},
		{"\x95\x00\x00\x00\x00\x00\x00\x00\x01", Error{"x", 8, "9 bytes are no whole number of instructions of 8"}},
	} {
		_, err := LoadRaw([]byte(c.in), "x", Options{})
		require.Equal(t, &c.want, err, c.in)
	}
}

func FuzzLoadRaw(f *testing.F) {
	f.Add([]byte(rawText))
	f.Add([]byte("\x95\x00\x00\x00\x00\x00\x00\x00"))
	f.Add([]byte("\x85\x20\x00\x00\x07\x00\x00\x00")) // a kernel function, of which there is no name
	f.Add([]byte("18 41 00 00 ff ff ff ff 00 00 00 00 00 00 00 00"))
	f.Fuzz(func(t *testing.T, data []byte) {
		o, err := LoadRaw(data, "x", Options{Type: prog.XDP})
		if err == nil {
			checkObject(t, o)
		}
	})
}

func ExampleLoadFile() {
	o, err := LoadFile("../examples/ddos.bpf.o", Options{})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, p := range o.Programs {
		fmt.Printf("%s is %s, licence %s\n", p.Name, p.Type, p.License)
	}
	for _, m := range o.Maps {
		fmt.Printf("%s: %s\n", m.Name, m.Type)
	}
	// Output:
	// ddos is xdp, licence Dual MIT/GPL
	// blocked: lru_hash
	// sources: hash
	// totals: percpu_array
	// alerts: ringbuf
	// .rodata: array
}

func ExampleLoad() {
	_, err := Load(bytes.NewReader([]byte("\x7fELF\x01\x01")), "short.o", Options{})
	fmt.Println(err)
	// Output: short.o: offset 0x6: the ELF header is cut short
}
