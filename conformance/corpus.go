package conformance

import (
	"bytes"
	"embed"
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

//go:embed testdata/*.txt
var fixtures embed.FS

// Corpus is real programs over one list of maps, to be mutated: the compiled examples and workloads, and the fixtures.
type Corpus struct {
	Maps     []*maps.Spec // those of gen.Maps first
	Programs []*prog.Program
	index    map[string]int32 // maps of objects
}

// NewCorpus reads the programs; every call makes new maps. Maps are made small: their size is of no interest here, and all
// guest memory is compared after every run.
func NewCorpus() (*Corpus, error) {
	c := &Corpus{Maps: gen.Maps(), index: map[string]int32{}}
	if err := c.addFixtures(); err != nil {
		return nil, err
	}
	for _, name := range examples.Names() {
		elf, err := examples.Open(name)
		if err != nil {
			return nil, err
		}
		if err := c.addObject(name, elf); err != nil {
			return nil, err
		}
	}
	for _, w := range workloads.All {
		if w.Example {
			continue
		}
		elf, err := w.Object()
		if err != nil {
			return nil, err
		}
		if err := c.addObject(w.Name, elf); err != nil {
			return nil, err
		}
	}
	for _, p := range c.Programs {
		p.Maps = c.Maps
	}
	return c, nil
}

func (c *Corpus) addFixtures() error {
	all, err := fixturesIn(fixtures, "testdata/*.txt")
	if err != nil {
		return err
	}
	for _, f := range all {
		if f.Kernel == "gives up" {
			continue // after seconds, and so it does on most mutants
		}
		p, err := gen.ParseOver(f.Type, f.Text, c.Maps)
		if err != nil {
			return fmt.Errorf("%s: %w", f.Name, err)
		}
		c.Programs = append(c.Programs, p)
	}
	return nil
}

// addObject adds those programs of an object for which there are packets.
func (c *Corpus) addObject(name string, elf []byte) error {
	obj, err := object.Load(bytes.NewReader(elf), name, object.Options{})
	if err != nil {
		return err
	}
	for _, p := range obj.Programs {
		if p.Broken != "" || !slices.Contains(gen.Types(), p.Type) {
			continue
		}
		q := gen.FromInsns(p.Type, c.rebase(p), nil)
		q.Object = name
		c.Programs = append(c.Programs, q)
	}
	return nil
}

// ByObject is the first program of an example or workload, nil when there is none.
func (c *Corpus) ByObject(name string) *prog.Program {
	for _, p := range c.Programs {
		if p.Object == name {
			return p
		}
	}
	return nil
}

// Parse assembles a program over the corpus' maps.
func (c *Corpus) Parse(t prog.Type, text string) (*prog.Program, error) {
	return gen.ParseOver(t, text, c.Maps)
}

// Mutant is one of the programs, or a grammatical one, with a few changes.
func (c *Corpus) Mutant(src gen.Source) *gen.Program {
	base, donor := c.base(src), c.base(src)
	p := gen.FromInsns(base.Type, gen.Mutate(src, base.Insns, donor.Insns), c.Maps)
	return &gen.Program{Program: p, Text: asm.FormatProgram(p.Insns), Local: true, Callbacks: needsBTF(p)}
}

func (c *Corpus) base(src gen.Source) *prog.Program {
	if src.IntN(3) == 0 {
		return gen.MakeOver(src, nil, c.Maps).Program
	}
	return c.Programs[src.IntN(len(c.Programs))]
}

// needsBTF reports whether the kernel takes the program only with BTF: it has callbacks, or functions and tail calls.
func needsBTF(p *prog.Program) bool {
	tail := false
	for pc := 0; pc < len(p.Insns); pc++ {
		switch in := p.Insns[pc]; asm.KindOf(in) {
		case asm.LdImm64:
			if in.Src == asm.PseudoFunc {
				return true
			}
			pc++
		case asm.CallHelper:
			tail = tail || in.Imm == tailCallID
		}
	}
	return tail && len(p.Funcs) > 1
}

// rebase returns p's instructions with its maps appended to the corpus' own.
func (c *Corpus) rebase(p *prog.Program) []asm.Insn {
	insns := slices.Clone(p.Insns)
	for pc := 0; pc < len(insns); pc++ {
		in := &insns[pc]
		if asm.KindOf(*in) != asm.LdImm64 {
			continue
		}
		pc++
		if in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue {
			in.Imm = c.add(p.Object, p.Maps[in.Imm])
		}
	}
	return insns
}

// add is the index of an object's map, which is added if it is not there yet.
func (c *Corpus) add(object string, spec *maps.Spec) int32 {
	key := object + " " + spec.Name
	if i, ok := c.index[key]; ok {
		return i
	}
	const most = 4
	small := *spec
	small.Name = strings.TrimPrefix(spec.Name, ".") // cilium/ebpf freezes .rodata before it is filled
	if spec.MaxEntries > most && spec.Type != maps.RingBuf {
		small.MaxEntries = most
		small.Contents = spec.Contents[:min(len(spec.Contents), most)]
	}
	c.index[key] = int32(len(c.Maps))
	c.Maps = append(c.Maps, &small)
	return c.index[key]
}
