package cover

import (
	"bufio"
	"fmt"
	"io"
	"strings"
)

// WriteText writes what was executed of each program, function and file, and every line that was not.
func (p *Profile) WriteText(w io.Writer) error {
	b := bufio.NewWriter(w)
	for i := range p.Programs {
		pr := &p.Programs[i]
		s := pr.Insns()
		fmt.Fprintf(b, "%s: %.1f %% of %d instructions, %d executed\n", p.nameOf(pr), s.Percent(), s.Of, pr.Executed())
		funcs := pr.Functions()
		if len(funcs) < 2 {
			continue
		}
		for _, f := range funcs {
			fmt.Fprintf(b, "  %-24s %5.1f %% of %4d instructions, %d calls\n", f.Name, f.Insns.Percent(), f.Insns.Of, f.Calls)
		}
	}
	for _, f := range p.Files() {
		fmt.Fprintf(b, "%s: %.1f %% of %d lines\n", f.Name, f.Share.Percent(), f.Share.Of)
		for _, l := range f.Lines {
			if l.Count == 0 {
				fmt.Fprintf(b, "  %6d  never  %s\n", l.Number, strings.TrimSpace(l.Text))
			}
		}
	}
	return b.Flush()
}

// WriteLCOV writes a tracefile as geninfo(1) describes it: for genhtml and the services that show coverage.
func (p *Profile) WriteLCOV(w io.Writer) error {
	b := bufio.NewWriter(w)
	for _, f := range p.Files() {
		fmt.Fprintf(b, "TN:\nSF:%s\n", f.Name)
		funcs := p.functionsOf(f.Name)
		for _, fn := range funcs {
			fmt.Fprintf(b, "FN:%d,%s\n", fn.Line, fn.Name)
		}
		hit := 0
		for _, fn := range funcs {
			fmt.Fprintf(b, "FNDA:%d,%s\n", fn.Calls, fn.Name)
			if fn.Calls > 0 {
				hit++
			}
		}
		fmt.Fprintf(b, "FNF:%d\nFNH:%d\n", len(funcs), hit)
		for _, l := range f.Lines {
			fmt.Fprintf(b, "DA:%d,%d\n", l.Number, l.Count)
		}
		fmt.Fprintf(b, "LF:%d\nLH:%d\nend_of_record\n", f.Share.Of, f.Share.Hit)
	}
	return b.Flush()
}

// functionsOf are the functions of a file, each once: their calls in all programs that contain them are added up.
func (p *Profile) functionsOf(file string) []Function {
	var out []Function
	known := map[string]int{}
	for i := range p.Programs {
		for _, f := range p.Programs[i].Functions() {
			if f.File != file {
				continue
			}
			at, ok := known[f.Name]
			if !ok {
				at = len(out)
				known[f.Name] = at
				out = append(out, Function{Name: f.Name, Line: f.Line, File: f.File})
			}
			out[at].Calls += f.Calls
		}
	}
	return out
}
