package cover

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/browsertest"
	"github.com/skepvm/skep/prog"
)

var update = flag.Bool("update", false, "rewrite the golden files")

// sample is a program of two functions and two files, of which the second half did not run, and another that shares a line.
func sample(t *testing.T) *Profile {
	assemble := func(text string) []asm.Insn {
		insns, err := asm.Parse(text, asm.ParseOptions{})
		require.NoError(t, err)
		return insns
	}
	first := &prog.Program{
		Name:  "first",
		Insns: assemble("r1 = 5 ll\ncall f\nif r0 == 0 goto +1\nr0 = 1\nexit\nf:\nr0 = 0\nexit"),
		Funcs: []prog.Func{{Name: "first", End: 6}, {Name: "f", Start: 6, End: 8}},
		Lines: []prog.Line{{PC: 0, File: "a.c", Line: 10, Text: "\tif (f(5))"}, {PC: 4, File: "a.c", Line: 11, Text: "\t\treturn 1 < 2 && \"<b>\";"},
			{PC: 5, File: "a.c", Line: 13, Text: "}"}, {PC: 6, File: "b.h", Line: 3, Text: "return 0;"}},
	}
	second := &prog.Program{
		Name: "second", Insns: assemble("r0 = 0\nexit"),
		Lines: []prog.Line{{PC: 0, File: "b.h", Line: 3, Text: "return 0;"}},
	}
	return &Profile{Programs: []Program{
		{first, []uint64{7, 7, 7, 7, 0, 7, 7, 7}},
		{second, []uint64{2, 2}},
	}}
}

// TestGolden writes every form of the report.
func TestGolden(t *testing.T) {
	p := sample(t)
	source := func(file string) ([]byte, error) {
		if file != "a.c" {
			return nil, errors.New("not here")
		}
		return []byte("1\n2\n3\n4\n5\n6\n7\n8\nint first(void *ctx) {\n\tif (f(5))\n\t\treturn 1 < 2 && \"<b>\";\n\n}\n// the end\n"), nil
	}
	for name, write := range map[string]func(io.Writer) error{
		"cover.txt": p.WriteText, "cover.info": p.WriteLCOV,
		"cover.html":  func(w io.Writer) error { return p.WriteHTML(w, "sample.bpf.o") },
		"source.html": func(w io.Writer) error { q := *p; q.Source = source; return q.WriteHTML(w, "sample.bpf.o") },
	} {
		var got bytes.Buffer
		require.NoError(t, write(&got))
		path := filepath.Join("testdata", name)
		if *update {
			require.NoError(t, os.WriteFile(path, got.Bytes(), 0o644))
			continue
		}
		want, err := os.ReadFile(path)
		require.NoError(t, err)
		require.Equal(t, string(want), got.String(), name)
	}
}

// TestPage wants a page that is well-formed and asks for nothing from anywhere.
func TestPage(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, sample(t).WriteHTML(&page, "<script>alert(1)</script>"))
	require.NotContains(t, page.String(), "<script>alert")
	d := xml.NewDecoder(&page)
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok {
			require.NotContains(t, []string{"script", "link", "img", "iframe"}, e.Name.Local)
			for _, a := range e.Attr {
				require.NotContains(t, a.Value, "://")
			}
		}
	}
}

func TestCounts(t *testing.T) {
	p := sample(t)
	require.Equal(t, Share{6, 7}, p.Programs[0].Insns())
	require.EqualValues(t, 42, p.Programs[0].Executed(), "a 64-bit load is one instruction")
	files := p.Files()
	require.Len(t, files, 2)
	require.Equal(t, Share{2, 3}, files[0].Share)
	require.EqualValues(t, 9, files[1].Lines[0].Count, "both programs contain the line")
	require.Equal(t, 100.0, Share{}.Percent())
	for count, want := range map[uint64]int{0: 0, 1: 1, 999: 4, 1000: 4, 4000: 5, 4096: 5} {
		require.Equal(t, want, heat(count, 4096), count)
	}
}

// TestPageInBrowser has a browser draw the page: lines that never ran look different from those that ran, and nothing is wider than the
// window.
func TestPageInBrowser(t *testing.T) {
	var page bytes.Buffer
	require.NoError(t, sample(t).WriteHTML(&page, "sample.bpf.o"))
	require.Equal(t, "4 listings, differ: true, fits: true", browsertest.Ask(t, page.Bytes(), `(() => {
		const colour = c => getComputedStyle(document.querySelector("tr." + c + " td.t")).backgroundColor;
		return document.querySelectorAll("details[id]").length + " listings, differ: " + (colour("h0") != colour("h5")) +
			", fits: " + (document.documentElement.scrollWidth <= innerWidth) })()`))
}
