package main

import (
	"bufio"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

type disasmFlags struct {
	program, syntax, output string
	labels                  bool
	load                    loadFlags
}

func (a *app) disasmCommand() *cobra.Command {
	var f disasmFlags
	cmd := &cobra.Command{
		Use:   "disasm FILE|-",
		Short: "List the instructions of programs with their C source",
		Long: `Disasm lists the programs of an ELF object, or plain instructions: bytes, hexadecimal or assembler text.

--labels prints one program as assembler text, with labels in the place of distances: skep asm makes the same bytes of it.
What is no instruction is shown as its fields, ".insn OPCODE DST SRC OFF IMM", with the reason.`,
		Example: "  skep disasm --prog xdp_filter filter.bpf.o\n  skep disasm --syntax mnemonic --labels filter.bpf.o\n" +
			"  echo b700000002000000 9500000000000000 | skep disasm -",
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.disasm(args[0], &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "prog", "", "only this program")
	fl.StringVar(&f.syntax, "syntax", "llvm", "llvm or mnemonic")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.BoolVar(&f.labels, "labels", false, "labels for the targets of jumps and calls; the text can be assembled")
	f.load.add(fl)
	return cmd
}

func (a *app) disasm(path string, f *disasmFlags) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	if f.syntax != "llvm" && f.syntax != "mnemonic" {
		return fmt.Errorf("--syntax %s: want llvm or mnemonic", f.syntax)
	}
	in, err := a.read(path)
	if err != nil {
		return err
	}
	obj, err := in.loadUntyped(&f.load)
	if err != nil {
		return err
	}
	list := obj.Programs
	if f.program != "" || f.labels {
		name, err := onlyProgram(obj, f.program)
		if err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		list = []*prog.Program{obj.Program(name)}
	}
	listings := make([]*listing, len(list))
	for i, p := range list {
		listings[i] = disassemble(p, f.syntax == "mnemonic", f.labels)
	}
	if f.output == "json" {
		return a.printJSON(map[string]any{"programs": listings})
	}
	w := bufio.NewWriter(a.out)
	for _, l := range listings {
		if f.labels {
			l.printSource(w)
		} else {
			l.print(w)
		}
	}
	return w.Flush()
}

// listing is a program in text.
type listing struct {
	Name    string        `json:"name"`
	Section string        `json:"section,omitempty"`
	Type    string        `json:"type"`
	Slots   int           `json:"slots"`
	Insns   []listingLine `json:"insns"`
}

// listingLine is an instruction in text.
type listingLine struct {
	PC     int      `json:"pc"`
	Bytes  string   `json:"bytes"` // of both slots of a 64-bit immediate load
	Labels []string `json:"labels,omitempty"`
	Text   string   `json:"text"`
	Note   string   `json:"note,omitempty"`   // what the instruction refers to by number, or why it is none
	Source string   `json:"source,omitempty"` // where it comes from, when the instruction before does not: FILE:LINE  TEXT
}

func disassemble(p *prog.Program, mnemonic, labels bool) *listing {
	l := &listing{Name: p.Name, Section: p.Section, Type: p.Type.String(), Slots: len(p.Insns)}
	names := functionNames(p)
	if labels {
		names = labelNames(p)
	}
	printer := &asm.Printer{Mnemonic: mnemonic}
	if labels {
		printer.Label = func(pc int) string { return names[pc] }
	}
	lines := p.Lines
	for pc, slots := 0, 0; pc < len(p.Insns); pc += slots {
		var text []byte
		text, slots = printer.Append(nil, p.Insns, pc)
		line := listingLine{PC: pc, Bytes: hex.EncodeToString(asm.EncodeProgram(p.Insns[pc : pc+slots])), Text: string(text), Note: note(p, p.Insns[pc])}
		for len(lines) > 0 && lines[0].PC <= pc {
			line.Source = fmt.Sprintf("%s:%d  %s", lines[0].File, lines[0].Line, lines[0].Text)
			lines = lines[1:]
		}
		if name := names[pc]; name != "" {
			line.Labels = []string{name}
		}
		l.Insns = append(l.Insns, line)
	}
	return l
}

func functionNames(p *prog.Program) map[int]string {
	names := map[int]string{}
	for _, f := range p.Funcs {
		names[f.Start] = f.Name
	}
	return names
}

// labelNames gives a label to each slot that something jumps to or calls: a function's name where it can be a label, else L and the slot.
func labelNames(p *prog.Program) map[int]string {
	names, used := map[int]string{}, map[string]bool{}
	for _, f := range p.Funcs {
		if isLabel(f.Name) && !used[f.Name] && f.Start < len(p.Insns) {
			names[f.Start], used[f.Name] = f.Name, true
		}
	}
	half := secondSlots(p.Insns)
	for pc, in := range p.Insns {
		target := in.Target(pc)
		if half[pc] || target < 0 || target >= len(p.Insns) || half[target] || names[target] != "" {
			continue
		}
		name := fmt.Sprintf("L%d", target)
		for used[name] {
			name += "_"
		}
		names[target], used[name] = name, true
	}
	return names
}

// secondSlots tells which slots are written together with the one before.
func secondSlots(insns []asm.Insn) map[int]bool {
	half := map[int]bool{}
	for pc, slots := 0, 0; pc < len(insns); pc += slots {
		if _, slots = (&asm.Printer{}).Append(nil, insns, pc); slots == 2 {
			half[pc+1] = true
		}
	}
	return half
}

// isLabel says whether a label of that name reads back as one.
func isLabel(name string) bool {
	s, err := asm.ParseSource(name+": exit", asm.ParseOptions{})
	return err == nil && len(s.Labels) == 1 && len(s.Insns) == 1 && s.Labels[name] == 0
}

// print lists one instruction a line, each C source line before the first instruction that came from it.
func (l *listing) print(w io.Writer) {
	if l.Section != "" {
		fmt.Fprintf(w, "%s  (section %s, %s, %d insns)\n", l.Name, l.Section, l.Type, l.Slots)
	} else {
		fmt.Fprintf(w, "%s  (%d insns)\n", l.Name, l.Slots)
	}
	for i := range l.Insns {
		x := &l.Insns[i]
		for _, label := range x.Labels {
			fmt.Fprintf(w, "%s:\n", label)
		}
		if x.Source != "" {
			fmt.Fprintf(w, "; %s\n", x.Source)
		}
		fmt.Fprintf(w, "%6d: %s  %s%s\n", x.PC, x.Bytes[:2*asm.InsnSize], x.Text, comment(x.Note))
	}
	fmt.Fprintln(w)
}

// printSource prints what skep asm reads.
func (l *listing) printSource(w io.Writer) {
	fmt.Fprintf(w, "; %s, %d insns\n", oneLine(l.Name), l.Slots)
	for i := range l.Insns {
		x := &l.Insns[i]
		for _, label := range x.Labels {
			fmt.Fprintf(w, "%s:\n", label)
		}
		if x.Source != "" {
			fmt.Fprintf(w, "\t; %s\n", oneLine(x.Source))
		}
		fmt.Fprintf(w, "\t%s%s\n", x.Text, comment(x.Note))
	}
}

func comment(note string) string {
	if note == "" {
		return ""
	}
	return "  # " + oneLine(note)
}

// oneLine keeps a comment from ending where its text has a line break.
func oneLine(s string) string { return strings.NewReplacer("\n", " ", "\r", " ").Replace(s) }

// note names what an instruction refers to by number, or says why it is none.
func note(p *prog.Program, in asm.Insn) string {
	switch k := asm.KindOf(in); {
	case k == asm.Invalid:
		return invalidNote(in)
	case k == asm.CallHelper:
		if row := helpers.ByID(in.Imm); row != nil {
			return row.Name
		}
	case k == asm.CallKfunc, k == asm.LdImm64 && in.Src == asm.PseudoBTFID:
		f, _ := p.Kfunc(in.Imm)
		return f.Name
	case k == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue):
		if i := int(in.Imm); i >= 0 && i < len(p.Maps) {
			return p.Maps[i].Name
		}
	}
	return ""
}

// invalidNote tells an opcode that no instruction has from fields that make none.
func invalidNote(in asm.Insn) string {
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if k.Info().Opcode == in.Op {
			return fmt.Sprintf("opcode 0x%02x is no instruction with these fields", in.Op)
		}
	}
	return fmt.Sprintf("unknown opcode 0x%02x", in.Op)
}
