package object

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

var update = flag.Bool("update", false, "write the golden files")

// listing is the text form of an object that golden files hold.
func listing(o *Object) string {
	var b strings.Builder
	fmt.Fprintf(&b, "license %q\n", o.License)
	for _, m := range o.Maps {
		listMap(&b, "map", m)
	}
	for _, p := range o.Programs {
		listProgram(&b, o, p)
	}
	for _, w := range o.Warnings {
		fmt.Fprintf(&b, "warning: %s\n", w)
	}
	return b.String()
}

func listMap(b *strings.Builder, title string, m *maps.Spec) {
	fmt.Fprintf(b, "%s %s: type %s key %d value %d max %d flags %#x", title, m.Name, m.Type, m.KeySize, m.ValueSize, m.MaxEntries, m.Flags)
	if m.Frozen {
		b.WriteString(" frozen")
	}
	if m.DataSection {
		b.WriteString(" data")
	}
	if m.Pinned {
		b.WriteString(" pinned")
	}
	if m.LockOff >= 0 {
		fmt.Fprintf(b, " lock@%d", m.LockOff)
	}
	if m.TimerOff >= 0 {
		fmt.Fprintf(b, " timer@%d", m.TimerOff)
	}
	b.WriteByte('\n')
	if m.Broken != "" {
		fmt.Fprintf(b, "  broken: %s\n", m.Broken)
	}
	if m.Key != nil {
		fmt.Fprintf(b, "  key %s\n", layoutText(m.Key))
	}
	if m.Value != nil {
		fmt.Fprintf(b, "  value %s\n", layoutText(m.Value))
	}
	for _, e := range m.Contents {
		fmt.Fprintf(b, "  [%x] = %x%s%s\n", e.Key, e.Value, e.ProgName, e.MapName)
	}
	if m.Inner != nil {
		listMap(b, "  inner", m.Inner)
	}
}

func layoutText(l *maps.Layout) string {
	switch l.Kind {
	case maps.ArrayOf:
		return fmt.Sprintf("%s[%d]", layoutText(l.Elem), l.Len)
	case maps.Struct, maps.Union:
		var fields []string
		for _, f := range l.Fields {
			s := fmt.Sprintf("%s@%d %s", f.Name, f.BitOff/8, layoutText(f.Type))
			if f.BitSize > 0 {
				s = fmt.Sprintf("%s@%d.%d:%d %s", f.Name, f.BitOff/8, f.BitOff%8, f.BitSize, layoutText(f.Type))
			}
			fields = append(fields, s)
		}
		word := map[maps.LayoutKind]string{maps.Struct: "struct", maps.Union: "union"}[l.Kind]
		return fmt.Sprintf("%s %s(%d){%s}", word, l.Name, l.Size, strings.Join(fields, "; "))
	case maps.Pointer:
		return "pointer"
	}
	return fmt.Sprintf("%s:%d", l.Name, l.Size)
}

func listProgram(b *strings.Builder, o *Object, p *prog.Program) {
	fmt.Fprintf(b, "program %s: section %q type %s, %d slots\n", p.Name, p.Section, p.Type, len(p.Insns))
	if p.Broken != "" {
		fmt.Fprintf(b, "  broken: %s\n", p.Broken)
	}
	for i, m := range p.Maps {
		fmt.Fprintf(b, "  map %d: %s\n", i, m.Name)
	}
	for i, k := range p.Kfuncs {
		fmt.Fprintf(b, "  kfunc %d: %s weak=%v\n", i, k.Name, k.Weak)
	}
	for _, f := range p.Funcs {
		fmt.Fprintf(b, "  func %s [%d,%d) global=%v\n", f.Name, f.Start, f.End, f.Global)
	}
	for pc := 0; pc < len(p.Insns); pc++ {
		in := p.Insns[pc]
		switch {
		case in.Op == opLdImm64 && pc+1 < len(p.Insns):
			if in.Src != 0 {
				fmt.Fprintf(b, "  %4d: r%d = load src=%d imm=%d off=%d\n", pc, in.Dst, in.Src, in.Imm, p.Insns[pc+1].Imm)
			}
			pc++
		case in.Op == opCall && in.Src != 0:
			fmt.Fprintf(b, "  %4d: call src=%d imm=%d\n", pc, in.Src, in.Imm)
		}
	}
	for i, line := range p.Lines {
		if i < 3 || i == len(p.Lines)-1 {
			fmt.Fprintf(b, "  line %d: %s:%d:%d %s\n", line.PC, line.File, line.Line, line.Col, line.Text)
		}
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	path := filepath.Join("testdata", "golden", name+".txt")
	if *update {
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(got), 0o644))
	}
	want, err := os.ReadFile(path)
	require.NoError(t, err, "run go test -update and look at the difference")
	require.Equal(t, string(want), got)
}

func TestExamples(t *testing.T) {
	for _, name := range examples.Names() {
		t.Run(name, func(t *testing.T) {
			b, err := examples.Open(name)
			require.NoError(t, err)
			o, err := Load(bytes.NewReader(b), name+".bpf.o", Options{})
			require.NoError(t, err)
			checkObject(t, o)
			golden(t, name, listing(o))
			for _, p := range o.Programs {
				require.Empty(t, p.Broken)
			}
			again, err := Load(bytes.NewReader(b), name+".bpf.o", Options{})
			require.NoError(t, err)
			require.Equal(t, o, again, "loading is deterministic")
		})
	}
}

// checkObject checks what must hold of every object, also of one made of a damaged file.
func checkObject(t testing.TB, o *Object) {
	for _, p := range o.Programs {
		next := 0
		for _, f := range p.Funcs {
			require.Equal(t, next, f.Start)
			require.Less(t, f.Start, f.End)
			next = f.End
		}
		require.Equal(t, len(p.Insns), next)
		for i, line := range p.Lines {
			require.True(t, line.PC >= 0 && line.PC < len(p.Insns))
			require.True(t, i == 0 || p.Lines[i-1].PC <= line.PC)
		}
		for pc := 0; pc < len(p.Insns); pc++ {
			in := p.Insns[pc]
			if in.Op == opLdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue) && p.Broken == "" {
				require.True(t, in.Imm >= 0 && int(in.Imm) < len(p.Maps), "map index %d", in.Imm)
			}
			if in.Op == opCall && in.Src == asm.CallKfuncID && p.Broken == "" {
				require.True(t, in.Imm >= 0 && int(in.Imm) < len(p.Kfuncs))
			}
			if in.Op == opLdImm64 {
				pc++
			}
		}
		for _, m := range p.Maps {
			require.Contains(t, o.Maps, m)
		}
	}
}

// TestObjects lists every object in testdata. core.o is resolved against its own types.
func TestObjects(t *testing.T) {
	paths, err := filepath.Glob("testdata/*.o")
	require.NoError(t, err)
	require.NotEmpty(t, paths)
	for _, path := range paths {
		name := strings.TrimSuffix(filepath.Base(path), ".o")
		t.Run(name, func(t *testing.T) {
			o, err := LoadFile(path, Options{})
			require.NoError(t, err)
			checkObject(t, o)
			golden(t, name, listing(o))
		})
	}
}
