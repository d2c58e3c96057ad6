package cover

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"strings"

	"github.com/skepvm/skep/asm"
)

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("cover").Funcs(template.FuncMap{
	"percent": func(s Share) string { return fmt.Sprintf("%.1f", s.Percent()) },
	"grade":   grade,
	"heat":    heat,
}).Parse(page))

// grade is the colour of a share.
func grade(s Share) string {
	switch p := s.Percent(); {
	case p >= 90:
		return "good"
	case p >= 60:
		return "fair"
	}
	return "poor"
}

// heat is a class from 0 (never) to 5, by the logarithm of how a count compares with the largest one.
func heat(count, most uint64) int {
	if count == 0 {
		return 0
	}
	class := 5
	for n := most; n/4 > count && class > 1; n /= 4 {
		class--
	}
	return class
}

// row is a line of a listing.
type row struct {
	Number string
	Count  uint64
	Code   bool // a count says something
	Source bool // of a listing of instructions: C
	Text   string
}

// listing is a source file or a program.
type listing struct {
	Name, ID, Unit string
	Share          Share
	Executed       uint64
	Most           uint64
	Functions      []Function
	Rows           []row
}

// WriteHTML writes a page that needs nothing else: an overview, each source file with its counts, and the instructions of each
// program.
func (p *Profile) WriteHTML(w io.Writer, title string) error {
	data := struct {
		Title           string
		Files, Programs []listing
	}{Title: title}
	for i, f := range p.Files() {
		data.Files = append(data.Files, p.fileListing(f, fmt.Sprintf("f%d", i)))
	}
	for i := range p.Programs {
		l := p.Programs[i].listing(fmt.Sprintf("p%d", i))
		l.Name = p.nameOf(&p.Programs[i])
		data.Programs = append(data.Programs, l)
	}
	return pageTemplate.Execute(w, data)
}

// fileListing has every line of a file whose text is to be had, and those with instructions of others.
func (p *Profile) fileListing(f File, id string) listing {
	l := listing{Name: f.Name, ID: id, Unit: "lines", Share: f.Share}
	var text []string
	if p.Source != nil {
		if b, err := p.Source(f.Name); err == nil {
			text = strings.Split(strings.TrimSuffix(string(b), "\n"), "\n")
		}
	}
	at := 1
	plain := func(upTo int) {
		if text == nil && upTo > at && at > 1 {
			l.Rows = append(l.Rows, row{Text: "…"})
		}
		for ; at < upTo; at++ {
			if at <= len(text) {
				l.Rows = append(l.Rows, row{Number: fmt.Sprint(at), Text: text[at-1]})
			}
		}
	}
	for _, line := range f.Lines {
		plain(line.Number)
		r := row{Number: fmt.Sprint(line.Number), Count: line.Count, Code: true, Text: line.Text}
		if line.Number <= len(text) {
			r.Text = text[line.Number-1]
		}
		l.Rows = append(l.Rows, r)
		l.Most = max(l.Most, line.Count)
		at = line.Number + 1
	}
	if text != nil {
		plain(len(text) + 1)
	}
	return l
}

// listing is the program's instructions, with the source lines between them.
func (p *Program) listing(id string) listing {
	l := listing{ID: id, Unit: "instructions", Share: p.Insns(), Executed: p.Executed(), Functions: p.Functions()}
	printer, lines := &asm.Printer{}, p.Prog.Lines
	for pc, slots := 0, 0; pc < len(p.Prog.Insns); pc += slots {
		for len(lines) > 0 && lines[0].PC <= pc {
			l.Rows = append(l.Rows, row{Source: true, Text: fmt.Sprintf("%s:%d  %s", lines[0].File, lines[0].Line, strings.TrimSpace(lines[0].Text))})
			lines = lines[1:]
		}
		var text []byte
		text, slots = printer.Append(nil, p.Prog.Insns, pc)
		l.Rows = append(l.Rows, row{Number: fmt.Sprint(pc), Count: p.Counts[pc], Code: true, Text: string(text)})
		l.Most = max(l.Most, p.Counts[pc])
	}
	return l
}
