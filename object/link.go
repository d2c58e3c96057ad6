package object

import (
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// link makes a program of each function that is an entry: its instructions, then those of every function it needs.
func (l *loader) link() error {
	entries := slices.DeleteFunc(slices.Clone(l.functions), func(f *function) bool { return !f.entry })
	if len(entries) == 0 { // a file compiled without section names
		entries = slices.DeleteFunc(slices.Clone(l.functions), func(f *function) bool { return f.sec.name != ".text" })
	}
	total := 0
	for _, fn := range entries {
		p := l.program(fn)
		if total += len(p.Insns); total > MaxTotalInsns {
			return damaged(fn.sec.offset, "the programs have more than %d instructions together", MaxTotalInsns)
		}
		l.out.Programs = append(l.out.Programs, p)
	}
	return nil
}

// own is the own program type that a section names, or nil.
func (o *Options) own(section string) *prog.TypeRow {
	name, _, _ := strings.Cut(section, "/")
	for _, t := range o.Types {
		if t.Name == name {
			return t
		}
	}
	return nil
}

// program links the program that begins with fn.
func (l *loader) program(fn *function) *prog.Program {
	p := &prog.Program{Name: fn.name, Section: fn.sec.name, License: l.out.License, Object: l.name, Types: l.byID,
		Relocated: l.opts.BTF != nil || l.opts.BTFPath != ""}
	k := &linker{l: l, p: p, start: make(map[*function]int), maps: make(map[*maps.Spec]int32), kfunc: make(map[string]int32)}
	if own := l.opts.own(fn.sec.name); own != nil {
		p.Type, p.Own = prog.Own, own
	} else if t, ok := prog.TypeOfSection(fn.sec.name); ok {
		p.Type = t
	} else if p.Type = l.opts.Type; p.Type == prog.Unspec {
		k.broken(fmt.Sprintf("section %q names no program type: say which it is", fn.sec.name))
	}
	if p.Type == prog.XDP {
		p.Run = l.runConfig(fn.name)
	}
	k.add(fn)
	if len(p.Insns) > MaxInsns {
		k.broken(fmt.Sprintf("more than %d instructions", MaxInsns))
		p.Insns, p.Funcs, p.Lines = nil, nil, nil
		return p
	}
	for _, f := range k.order {
		k.patch(f)
	}
	return p
}

// linker puts one program together.
type linker struct {
	l     *loader
	p     *prog.Program
	start map[*function]int // slot in the program
	order []*function
	maps  map[*maps.Spec]int32
	kfunc map[string]int32
}

// broken keeps the first reason, which is the one to repair first.
func (k *linker) broken(why string) {
	if k.p.Broken == "" {
		k.p.Broken = why
	}
}

// add appends fn and the functions it refers to, in the order in which they are met: libbpf's, so that instruction
// numbers are those of the kernel's log.
func (k *linker) add(fn *function) {
	todo := []*function{fn}
	for len(todo) > 0 && len(k.p.Insns) <= MaxInsns {
		f := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		if _, ok := k.start[f]; ok {
			continue
		}
		k.append(f)
		for _, r := range slices.Backward(f.refs) {
			if r.fn != nil {
				todo = append(todo, r.fn)
			}
		}
	}
}

func (k *linker) append(f *function) {
	at := len(k.p.Insns)
	k.start[f] = at
	k.order = append(k.order, f)
	k.p.Insns = append(k.p.Insns, f.insns...)
	k.p.Funcs = append(k.p.Funcs, prog.Func{Name: f.name, Start: at, End: len(k.p.Insns), Global: f.global, Type: f.typ})
	k.addLines(f, at)
}

// addLines appends the source lines of f, whose first instruction is at slot at of the program.
func (k *linker) addLines(f *function, at int) {
	_, lines, _ := k.l.ext.Section(f.sec.name) // sorted
	first := sort.Search(len(lines), func(i int) bool { return int(lines[i].Offset) >= f.start })
	last := -1
	for _, line := range lines[first:] {
		pc := int(line.Offset)
		if pc >= f.end {
			break
		}
		if pc == last {
			continue
		}
		last = pc
		k.p.Lines = append(k.p.Lines, prog.Line{
			PC: at + pc - f.start, File: cleanPath(line.Line.FileName()), Line: int(line.Line.LineNumber()),
			Col: int(line.Line.LineColumn()), Text: strings.TrimSpace(line.Line.Line()),
		})
	}
}

// patch writes what f refers to into the program's copy of its instructions.
func (k *linker) patch(f *function) {
	at := k.start[f]
	for _, r := range f.refs {
		pc := at + r.pc
		in := &k.p.Insns[pc]
		switch r.kind {
		case refCall:
			in.Src, in.Imm = asm.CallLocalFunc, int32(k.start[r.fn]-pc-1)
		case refFunc:
			in.Src, in.Imm = asm.PseudoFunc, int32(k.start[r.fn]-pc-1)
			k.p.Insns[pc+1].Imm = 0
		case refMap:
			in.Src, in.Imm = asm.PseudoMapIdx, k.mapIndex(r.m.spec)
			k.p.Insns[pc+1].Imm = 0
		case refValue:
			in.Src, in.Imm = asm.PseudoMapIdxValue, k.mapIndex(r.m.spec)
			k.p.Insns[pc+1].Imm = int32(r.off)
		case refKfunc:
			in.Src, in.Off, in.Imm = asm.CallKfuncID, 0, k.kfuncIndex(r.kfunc)
		case refKfuncAddr:
			in.Src, in.Imm = asm.PseudoBTFID, k.kfuncIndex(r.kfunc)
			k.p.Insns[pc+1].Imm = 0
		case refBroken:
			k.broken(fmt.Sprintf("%s, instruction %d: %s", f.name, r.pc, r.why))
		}
	}
}

func (k *linker) mapIndex(spec *maps.Spec) int32 {
	if spec.Broken != "" {
		k.broken(fmt.Sprintf("map %q: %s", spec.Name, spec.Broken))
	}
	i, ok := k.maps[spec]
	if !ok {
		i = int32(len(k.p.Maps))
		k.maps[spec] = i
		k.p.Maps = append(k.p.Maps, spec)
	}
	return i
}

func (k *linker) kfuncIndex(name string) int32 {
	i, ok := k.kfunc[name]
	if !ok {
		i = int32(len(k.p.Kfuncs))
		k.kfunc[name] = i
		k.p.Kfuncs = append(k.p.Kfuncs, prog.Kfunc{Name: name, Weak: k.l.weak[name]})
	}
	return i
}
