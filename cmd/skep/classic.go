package main

import (
	"bufio"
	"bytes"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// classicFlags say how a classic program is printed.
type classicFlags struct {
	disasm                   int
	asm, comma, ebpf, native bool
}

func (f *classicFlags) add(fl *pflag.FlagSet) {
	fl.CountVarP(&f.disasm, "disasm", "d", "-d: numbered lines, the default; -dd: an array of C; -ddd: decimal numbers; as tcpdump's")
	fl.BoolVar(&f.asm, "asm", false, "bpf_asm text with labels")
	fl.BoolVar(&f.comma, "comma", false, "the form in one line that tc and iptables take")
	fl.BoolVar(&f.ebpf, "ebpf", false, "the program converted to eBPF")
	fl.BoolVar(&f.native, "native", false, "machine code beside the converted program")
}

// form is the text form that was asked for; the last flag of the list wins, as it is the most unusual.
func (f *classicFlags) form() (cbpf.Form, error) {
	switch {
	case f.disasm > 3:
		return 0, fmt.Errorf("-%s: at most -ddd", strings.Repeat("d", f.disasm))
	case f.comma:
		return cbpf.Comma, nil
	case f.asm:
		return cbpf.Asm, nil
	case f.disasm == 3:
		return cbpf.Decimal, nil
	case f.disasm == 2:
		return cbpf.CArray, nil
	}
	return cbpf.Disasm, nil
}

// printClassic prints a program, or what it was converted to.
func (a *app) printClassic(p cbpf.Program, converted *prog.Program, f *classicFlags) error {
	form, err := f.form()
	if err != nil {
		return err
	}
	switch {
	case f.native:
		return a.printNative(converted)
	case f.ebpf:
		w := bufio.NewWriter(a.out)
		disassemble(converted, false, false).print(w)
		return w.Flush()
	}
	text := p.Text(form)
	if form == cbpf.Comma {
		text += "\n"
	}
	_, err = fmt.Fprint(a.out, text)
	return err
}

func (a *app) printNative(p *prog.Program) error {
	target, err := (&jitFlags{}).processor()
	if err != nil {
		return err
	}
	m, err := vm.NewMachine(vm.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	var l *jit.Listing
	if l, err = a.listMachineCode(m, p, target, false); err != nil {
		return a.explainFailure(err)
	}
	printListing(a.out, p, l)
	return nil
}

// nameLines says where the lines of a converted program come from.
func nameLines(p *prog.Program, file string) {
	for i := range p.Lines {
		p.Lines[i].File = file
	}
}

// isClassic tells the text of a classic program from an object, plain instructions and eBPF text: it is in one of the
// forms of numbers, or has a ret and no exit.
func isClassic(data []byte) bool {
	if bytes.IndexByte(data, 0) >= 0 || !utf8.Valid(data) {
		return false
	}
	text := strings.TrimLeft(string(data), " \t\r\n")
	if text != "" && (text[0] >= '0' && text[0] <= '9' || text[0] == '{' || text[0] == '(') {
		return true
	}
	ret := false
	for line := range strings.Lines(text) {
		if _, rest, ok := strings.Cut(line, ":"); ok {
			line = rest
		}
		switch word, _, _ := strings.Cut(strings.TrimSpace(line), " "); word {
		case "ret":
			ret = true
		case "exit":
			return false
		}
	}
	return ret
}

// classicVerdicts are what converted programs of types with verdicts return for a match and for none.
var classicVerdicts = map[prog.Type]*cbpf.Verdict{
	prog.XDP:      {Match: 2, NoMatch: 1}, // XDP_PASS, XDP_DROP
	prog.SchedCLS: {Match: 0, NoMatch: 2}, // TC_ACT_OK, TC_ACT_SHOT
	prog.SchedACT: {Match: 0, NoMatch: 2},
}

// classicObject makes an object of a classic program's text.
func classicObject(name string, text []byte, typ prog.Type) (*object.Object, error) {
	src, err := cbpf.ParseSource(string(text))
	if err != nil {
		return nil, placed(name, err)
	}
	o := cbpf.EBPFOptions{Type: typ, Name: "filter", Verdict: classicVerdicts[typ]}
	switch typ {
	case prog.Unspec, prog.Classic:
	case prog.Seccomp:
		o.Mode = cbpf.Seccomp
	default:
		o.Mode = cbpf.Socket
		o.Direct = o.Verdict != nil && typ != prog.XDP
	}
	if err := src.Validate(o.Mode); err != nil {
		return nil, placed(name, err)
	}
	p, err := src.Program.EBPF(o)
	if err != nil {
		return nil, placed(name, err)
	}
	p.Object, p.License = name, "GPL"
	nameLines(p, name)
	return &object.Object{File: name, License: p.License, Programs: []*prog.Program{p}}, nil
}
