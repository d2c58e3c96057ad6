// Package cover tells which instructions and which C source lines of programs were executed, and how often: as text, in the
// format of lcov (.info), and as one page of HTML.
package cover

import (
	"cmp"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// Program is a program with the counts of its executions.
type Program struct {
	Prog   *prog.Program
	Counts []uint64 // by slot, as vm.Machine.Executed gives them
}

// Profile is what a run, or several on one machine, executed.
type Profile struct {
	Programs []Program
	// Source gives the text of a source file; nil, or an error of it, leaves the lines that the object itself holds.
	Source func(file string) ([]byte, error)
}

// Share is how much of something was executed.
type Share struct{ Hit, Of int }

// Percent is 100 for what has nothing to execute.
func (s Share) Percent() float64 {
	if s.Of == 0 {
		return 100
	}
	return 100 * float64(s.Hit) / float64(s.Of)
}

// nameOf is the name of a program, with its object's where another one is called the same.
func (p *Profile) nameOf(pr *Program) string {
	for i := range p.Programs {
		if other := p.Programs[i].Prog; other != pr.Prog && other.Name == pr.Prog.Name {
			return pr.Prog.Object + ":" + pr.Prog.Name
		}
	}
	return pr.Prog.Name
}

func (s *Share) add(hit bool) {
	s.Of++
	if hit {
		s.Hit++
	}
}

// Function is a function of a program.
type Function struct {
	Name  string
	Line  int    // where its first instruction comes from; 0 when unknown
	File  string // of that line
	Calls uint64 // executions of its first instruction
	Insns Share
}

// Line is a line of source that instructions come from.
type Line struct {
	Number int
	Text   string
	// Count is that of the instruction of the line that was executed most often, added up over the programs that contain it.
	Count uint64
	Insns Share
}

// File is a source file with its lines in order.
type File struct {
	Name  string
	Lines []Line
	Share Share // of the lines
}

// Insns is how many of the program's instructions were executed at least once.
func (p *Program) Insns() Share { return p.share(0, len(p.Prog.Insns)) }

func (p *Program) share(start, end int) (s Share) {
	for pc := start; pc < end; pc += width(p.Prog.Insns[pc]) {
		s.add(p.Counts[pc] > 0)
	}
	return s
}

// Executed is the number of instructions that were executed.
func (p *Program) Executed() (sum uint64) {
	for pc := 0; pc < len(p.Prog.Insns); pc += width(p.Prog.Insns[pc]) {
		sum += p.Counts[pc]
	}
	return sum
}

// Functions are the program's, in the order of its code. A program without function information is one.
func (p *Program) Functions() []Function {
	funcs := p.Prog.Funcs
	if len(funcs) == 0 {
		funcs = []prog.Func{{Name: p.Prog.Name, End: len(p.Prog.Insns)}}
	}
	out := make([]Function, len(funcs))
	for i, f := range funcs {
		out[i] = Function{Name: f.Name, Calls: p.Counts[f.Start], Insns: p.share(f.Start, f.End)}
		if l := p.Prog.LineAt(f.Start); l != nil {
			out[i].Line, out[i].File = l.Line, l.File
		}
	}
	return out
}

// width is how many slots an instruction takes.
func width(in asm.Insn) int {
	if asm.KindOf(in) == asm.LdImm64 {
		return 2
	}
	return 1
}

// Files are the source files that instructions come from, by name.
func (p *Profile) Files() []File {
	type place struct {
		file string
		line int
	}
	lines := map[place]*Line{}
	for _, pr := range p.Programs {
		most := map[place]uint64{}
		for pc := 0; pc < len(pr.Prog.Insns); pc += width(pr.Prog.Insns[pc]) {
			at := pr.Prog.LineAt(pc)
			if at == nil || at.Line == 0 {
				continue
			}
			key := place{at.File, at.Line}
			l := lines[key]
			if l == nil {
				l = &Line{Number: at.Line, Text: at.Text}
				lines[key] = l
			}
			l.Insns.add(pr.Counts[pc] > 0)
			most[key] = max(most[key], pr.Counts[pc])
		}
		for key, n := range most {
			lines[key].Count += n
		}
	}
	files := map[string]*File{}
	for key, l := range lines {
		f := files[key.file]
		if f == nil {
			f = &File{Name: key.file}
			files[key.file] = f
		}
		f.Lines = append(f.Lines, *l)
		f.Share.add(l.Count > 0)
	}
	var out []File
	for _, f := range files {
		slices.SortFunc(f.Lines, func(a, b Line) int { return cmp.Compare(a.Number, b.Number) })
		out = append(out, *f)
	}
	slices.SortFunc(out, func(a, b File) int { return cmp.Compare(a.Name, b.Name) })
	return out
}
