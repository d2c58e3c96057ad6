package object

import (
	"bytes"
	"debug/elf"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/cilium/ebpf"
	casm "github.com/cilium/ebpf/asm"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

func testdata(t testing.TB, name string) []byte {
	t.Helper()
	b, err := os.ReadFile(filepath.Join("testdata", name))
	require.NoError(t, err)
	return b
}

func load(t testing.TB, data []byte, opts Options) *Object {
	t.Helper()
	o, err := Load(bytes.NewReader(data), "test.o", opts)
	require.NoError(t, err)
	return o
}

// immediates returns the immediates of the moves to registers and loads of constants in p.
func immediates(p *prog.Program) []int32 {
	var out []int32
	for _, in := range p.Insns {
		if in.Op == 0xb7 || in.Op == 0xb4 || in.Op == opLdImm64 {
			out = append(out, in.Imm)
		}
	}
	return out
}

func offsets(p *prog.Program) []int16 {
	var out []int16
	for _, in := range p.Insns {
		if in.Op&7 == 1 {
			out = append(out, in.Off)
		}
	}
	return out
}

func TestCOREAgainstOwnTypes(t *testing.T) {
	p := load(t, testdata(t, "core.o"), Options{}).Program("core")
	require.Equal(t, []int16{0, 4, 16}, offsets(p)[:3], "first, second, gone")
	require.Contains(t, immediates(p), int32(24), "size of struct record")
	require.Contains(t, immediates(p), int32(2), "GREEN")
}

func TestCOREAgainstOtherTypes(t *testing.T) {
	data := testdata(t, "core.o")
	for _, opts := range []Options{
		{BTF: bytes.NewReader(testdata(t, "core_target.o"))},
		{BTFPath: filepath.Join("testdata", "core_target.o")},
	} {
		o := load(t, data, opts)
		p := o.Program("core")
		require.Empty(t, p.Broken)
		require.Equal(t, []int16{12, 8}, offsets(p)[:2], "first and second have changed places")
		require.Contains(t, immediates(p), int32(20), "GREEN")
		var poisoned int
		for _, in := range p.Insns {
			if in.Op == opCall && uint32(in.Imm) == 0xbad2310 {
				poisoned++
			}
		}
		require.Equal(t, 1, poisoned, "the load of the field that is gone")
		require.Len(t, o.Warnings, 1)
		require.Contains(t, o.Warnings[0], "record")
	}
	_, err := Load(bytes.NewReader(data), "core.o", Options{BTF: bytes.NewReader([]byte("no BTF"))})
	require.ErrorContains(t, err, "the given BTF cannot be read")
	_, err = Load(bytes.NewReader(data), "core.o", Options{BTFPath: "testdata/nonesuch"})
	require.ErrorContains(t, err, "nonesuch")
}

func TestKconfigValues(t *testing.T) {
	data := testdata(t, "externs.o")
	o := load(t, data, Options{Kernel: kver.V(5, 10), Kconfig: map[string]string{
		"CONFIG_HZ": "250", "CONFIG_BPF_SYSCALL": "y", "CONFIG_IPV6": "m", "CONFIG_CC_VERSION_TEXT": `"gcc 12"`,
		"CONFIG_NOBODY_KNOWS": "0x10",
	}})
	v := o.Map(".kconfig").Contents[0].Value
	require.Equal(t, uint32(5<<16|10<<8), le.Uint32(v))
	require.Equal(t, uint32(250), le.Uint32(v[4:]))
	require.Equal(t, byte(1), v[8])
	require.Equal(t, uint64(16), le.Uint64(v[16:]))
	require.Equal(t, uint32(2), le.Uint32(v[24:]))
	require.Equal(t, "gcc 12\x00", string(v[28:35]))

	for value, want := range map[string]string{"250000000000": "number of 32 bits", "y z": "number of 32 bits", "-1": "number"} {
		o := load(t, data, Options{Kconfig: map[string]string{"CONFIG_HZ": value}})
		require.Contains(t, o.Map(".kconfig").Broken, want, value)
		require.Contains(t, o.Program("kconfig").Broken, `"CONFIG_HZ"`)
	}
	for name, value := range map[string]string{
		"CONFIG_BPF_SYSCALL": "m", "CONFIG_IPV6": "1", "CONFIG_CC_VERSION_TEXT": "gcc",
	} {
		o := load(t, data, Options{Kconfig: map[string]string{name: value}})
		require.Contains(t, o.Program("kconfig").Broken, name)
	}
	o = load(t, testdata(t, "strong_kconfig.o"), Options{Kconfig: map[string]string{"CONFIG_NOBODY_KNOWS": "1"}})
	require.Empty(t, o.Program("needs_it").Broken)
}

func TestTypeOption(t *testing.T) {
	o := load(t, testdata(t, "iproute2.o"), Options{Type: prog.SchedCLS})
	for _, p := range o.Programs {
		require.Empty(t, p.Broken)
		require.Equal(t, prog.SchedCLS, p.Type)
	}
	o = load(t, testdata(t, "odd.o"), Options{Type: prog.SchedCLS})
	require.Equal(t, prog.XDP, o.Program("uses_fine").Type, "the section's name goes first")
	require.Equal(t, prog.SchedCLS, o.Program("unknown_section").Type)
}

// oldLLVM makes of an object what LLVM before 8 would have written: symbols without a type and size, no machine.
func oldLLVM(t *testing.T, data []byte) []byte {
	data = bytes.Clone(data)
	f, err := parseELF(data)
	require.NoError(t, err)
	le.PutUint16(data[18:], uint16(elf.EM_NONE))
	for _, sym := range f.symbols {
		if sym.bind == elf.STB_GLOBAL {
			data[sym.offset+4] = elf.ST_INFO(elf.STB_GLOBAL, elf.STT_NOTYPE)
			le.PutUint64(data[sym.offset+16:], 0)
		}
	}
	return data
}

func TestObjectsOfOldCompilers(t *testing.T) {
	for _, name := range []string{"legacy_maps.o", "iproute2.o"} {
		data := testdata(t, name)
		require.Equal(t, listing(load(t, data, Options{})), listing(load(t, oldLLVM(t, data), Options{})))
	}
}

func TestHelpersOfObject(t *testing.T) {
	o := load(t, testdata(t, "odd.o"), Options{})
	require.NotNil(t, o.Program("optional"))
	require.Nil(t, o.Program("nonesuch"))
	require.Equal(t, maps.Array, o.Map("fine").Type)
	require.Nil(t, o.Map("nonesuch"))
}

// Where a program needs no more than one function below it, cilium/ebpf puts it together in the same order, so that
// the two must agree in every slot but for the ways in which they name maps.
func TestAgreesWithCilium(t *testing.T) {
	for _, name := range examples.Names() {
		data, err := examples.Open(name)
		require.NoError(t, err)
		spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(data))
		require.NoError(t, err)
		o := load(t, data, Options{})
		require.Len(t, o.Programs, len(spec.Programs))
		for _, p := range o.Programs {
			if len(p.Funcs) > 2 {
				continue
			}
			want := spec.Programs[p.Name].Instructions
			for i := range want {
				if want[i].IsLoadFromMap() {
					require.NoError(t, want[i].AssociateMap(fakeMap{}))
				}
			}
			var b bytes.Buffer
			require.NoError(t, casm.Instructions(want).Marshal(&b, spec.ByteOrder))
			theirs, err := asm.DecodeProgram(b.Bytes())
			require.NoError(t, err)
			require.Len(t, theirs, len(p.Insns))
			for pc, in := range p.Insns {
				switch in.Src {
				case asm.PseudoMapIdx, asm.PseudoMapIdxValue:
					if in.Op == opLdImm64 {
						in.Src -= asm.PseudoMapIdx - asm.PseudoMapFD
						in.Imm = theirs[pc].Imm
					}
				}
				require.Equal(t, theirs[pc], in, "%s slot %d", p.Name, pc)
			}
		}
		for _, m := range o.Maps {
			theirs := spec.Maps[m.Name]
			require.NotNil(t, theirs, m.Name)
			require.Equal(t, uint32(theirs.Type), uint32(m.Type))
			require.Equal(t, []uint32{theirs.KeySize, theirs.ValueSize, theirs.MaxEntries, theirs.Flags},
				[]uint32{m.KeySize, m.ValueSize, m.MaxEntries, m.Flags}, m.Name)
		}
	}
}

type fakeMap struct{}

func (fakeMap) FD() int { return 3 }

func TestErrors(t *testing.T) {
	good := testdata(t, "odd.o")
	patch := func(at int, b ...byte) []byte {
		d := bytes.Clone(good)
		copy(d[at:], b)
		return d
	}
	shoff := int(le.Uint64(good[40:]))
	for _, c := range []struct {
		name   string
		data   []byte
		offset int64
		want   string
	}{
		{"empty", nil, 0, "not an ELF file"},
		{"text", []byte("hello, world"), 0, "not an ELF file"},
		{"cut header", good[:40], 40, "cut short"},
		{"32 bits", patch(4, 1), 4, "64-bit"},
		{"big-endian", patch(5, 2), 5, "bpfel"},
		{"byte order", patch(5, 9), 5, "byte order 9"},
		{"machine", patch(18, 62), 18, "EM_X86_64"},
		{"no sections", patch(60, 0, 0), 60, "no sections"},
		{"header size", patch(58, 40), 58, "40 bytes"},
		{"cut sections", good[:len(good)-1], 40, "leaves the file"},
		{"section names", patch(62, 0xff, 0xff), 62, "section names"},
		{"section size", patch(shoff+64+32, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff), int64(shoff + 64), "leaves the file"},
	} {
		_, err := Load(bytes.NewReader(c.data), "x.o", Options{})
		var e *Error
		require.ErrorAs(t, err, &e, c.name)
		require.Equal(t, "x.o", e.File)
		require.Equal(t, c.offset, e.Offset, c.name)
		require.Contains(t, e.Reason, c.want, c.name)
		require.NotContains(t, err.Error(), "\n")
	}
	_, err := LoadFile("testdata/nonesuch", Options{})
	require.ErrorIs(t, err, os.ErrNotExist)
	require.Equal(t, "f: no", (&Error{"f", -1, "no"}).Error())
	require.Equal(t, "f: offset 0x10: no", (&Error{"f", 16, "no"}).Error())
}

// Every prefix of an object, and every object with one byte changed, loads or gives an *Error.
func TestDamagedObjects(t *testing.T) {
	for _, name := range []string{"odd.o", "map_kinds.o", "externs.o", "core.o", "iproute2.o"} {
		data := testdata(t, name)
		for n := 0; n < len(data); n += 3 {
			mustNotPanic(t, data[:n])
		}
		for i := range data {
			d := bytes.Clone(data)
			d[i] ^= 0xff
			mustNotPanic(t, d)
		}
	}
}

func mustNotPanic(t testing.TB, data []byte) {
	o, err := Load(bytes.NewReader(data), "damaged.o", Options{})
	if err != nil {
		var e *Error
		require.True(t, errors.As(err, &e))
		require.Nil(t, o)
		return
	}
	checkObject(t, o)
}

func FuzzLoad(f *testing.F) {
	for _, name := range examples.Names() {
		b, err := examples.Open(name)
		require.NoError(f, err)
		f.Add(b)
	}
	paths, err := filepath.Glob("testdata/*.o")
	require.NoError(f, err)
	for _, path := range paths {
		b, err := os.ReadFile(path)
		require.NoError(f, err)
		f.Add(b)
		for i := 64; i < len(b); i += 97 { // mutated ones
			d := bytes.Clone(b)
			d[i] ^= byte(i)
			f.Add(d)
		}
	}
	f.Fuzz(func(t *testing.T, data []byte) { mustNotPanic(t, data) })
}

func TestTestdataIsReproducible(t *testing.T) {
	for _, tool := range []string{"clang-19", "llvm-strip-19", "sh"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("skipped: no %s on this machine", tool)
		}
	}
	dir := t.TempDir()
	for _, pattern := range []string{"testdata/*.c", "testdata/*.sh", "../examples/*.h"} {
		files, err := filepath.Glob(pattern)
		require.NoError(t, err)
		to := filepath.Join(dir, "object", "testdata")
		if filepath.Ext(pattern) == ".h" {
			to = filepath.Join(dir, "examples")
		}
		require.NoError(t, os.MkdirAll(to, 0o755))
		for _, file := range files {
			b, err := os.ReadFile(file)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(filepath.Join(to, filepath.Base(file)), b, 0o755))
		}
	}
	out, err := exec.Command("sh", filepath.Join(dir, "object", "testdata", "build.sh")).CombinedOutput()
	require.NoError(t, err, string(out))
	paths, err := filepath.Glob("testdata/*.o")
	require.NoError(t, err)
	for _, path := range paths {
		got, err := os.ReadFile(filepath.Join(dir, "object", path))
		require.NoError(t, err)
		if !bytes.Equal(testdata(t, filepath.Base(path)), got) {
			t.Errorf("%s: built anew it differs; run build.sh (another patch release of clang may differ as well)", path)
		}
	}
}
