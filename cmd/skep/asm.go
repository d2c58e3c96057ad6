package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

type asmFlags struct{ output, format, syntax, section, name string }

func (a *app) asmCommand() *cobra.Command {
	var f asmFlags
	cmd := &cobra.Command{
		Use:   "asm [FILE|-]",
		Short: "Assemble a program from text",
		Long: `Asm reads assembler text from a file, or from standard input, and writes the program:
  raw   the instructions, 8 bytes each; the default with -o
  hex   the same in hexadecimal, one instruction a line; the default on standard output
  c     a C array
  elf   an object with the licence GPL and no maps, which skep and the kernel's loaders take; the section says the program's type

Both syntaxes are read, each line in either: the one of LLVM and the kernel's log ("r0 = *(u32 *)(r1 + 4)") and mnemonics
("ldxw %r0, [%r1+4]"). A label ends with a colon; comments begin with ;, # or //, or lie between /* and */. Helpers have numbers or
names. Maps have numbers only: names of maps are defined by objects, and text defines none.

A mistake is shown with its line and column; exit code 2.`,
		Example: "  echo 'r0 = 2; exit' | tr ';' '\\n' | skep asm\n  skep asm -o pass.o --format elf --section xdp pass.s\n" +
			"  skep disasm --labels --prog filter filter.bpf.o | skep asm --format raw -o filter.bin",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{"-"}
			}
			return a.assemble(args[0], &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.output, "output", "o", "", "file to write")
	fl.StringVar(&f.format, "format", "", "raw, hex, c or elf")
	fl.StringVar(&f.syntax, "syntax", "auto", "auto, llvm or mnemonic")
	fl.StringVar(&f.section, "section", "xdp", "section of an elf object: says the program's type")
	fl.StringVar(&f.name, "name", "", "of the program in an elf object, of the array in C; default: the file's")
	return cmd
}

// parsers read assembler text, by the values of --syntax.
var parsers = map[string]func(string, asm.ParseOptions) ([]asm.Insn, error){
	"auto": asm.ParseAny, "llvm": asm.Parse, "mnemonic": asm.ParseMnemonic,
}

func (a *app) assemble(path string, f *asmFlags) error {
	parse := parsers[f.syntax]
	if parse == nil {
		return fmt.Errorf("--syntax %s: want auto, llvm or mnemonic", f.syntax)
	}
	format := f.format
	switch {
	case format == "" && f.output == "":
		format = "hex"
	case format == "":
		format = "raw"
	}
	write := asmFormats[format]
	if write == nil {
		return fmt.Errorf("--format %s: want raw, hex, c or elf", format)
	}
	in, err := a.read(path)
	if err != nil {
		return err
	}
	if i := bytes.IndexByte(in.data, 0); i >= 0 {
		return fmt.Errorf("%s: byte %d is zero: this is no text", in.name, i)
	}
	// The syntax first: which of them was asked for is not the loader's affair.
	if _, err := parse(string(in.data), asm.ParseOptions{Helpers: helpers.ID}); err != nil {
		return fmt.Errorf("%s:%w", in.name, err)
	}
	o, err := object.LoadAsm(in.data, in.name, object.Options{Helpers: helpers.ID})
	if err != nil {
		return err
	}
	p := o.Programs[0]
	p.Name = f.name
	if p.Name == "" {
		p.Name = identifier(in.name)
	}
	p.Funcs[0].Name = p.Name
	out, err := write(p, f)
	if err != nil {
		return err
	}
	if f.output == "" || f.output == "-" {
		_, err = a.out.Write(out)
		return err
	}
	return os.WriteFile(f.output, out, 0o644)
}

// identifier makes a C name of a file's.
func identifier(file string) string {
	name := strings.TrimSuffix(file, filepath.Ext(file))
	name = strings.Map(func(r rune) rune {
		if r == '_' || '0' <= r && r <= '9' || 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' {
			return r
		}
		return '_'
	}, name)
	if strings.Trim(name, "_") == "" || '0' <= name[0] && name[0] <= '9' || file == stdinName {
		return "program"
	}
	return name
}

// asmFormats write a program, by the values of --format.
var asmFormats = map[string]func(*prog.Program, *asmFlags) ([]byte, error){
	"raw": func(p *prog.Program, _ *asmFlags) ([]byte, error) { return asm.EncodeProgram(p.Insns), nil },
	"hex": func(p *prog.Program, _ *asmFlags) ([]byte, error) {
		var b bytes.Buffer
		for _, in := range p.Insns {
			fmt.Fprintln(&b, hex.EncodeToString(asm.Append(nil, in)))
		}
		return b.Bytes(), nil
	},
	"c": func(p *prog.Program, _ *asmFlags) ([]byte, error) {
		var b bytes.Buffer
		fmt.Fprintf(&b, "/* %d eBPF instructions, 8 bytes each. */\nstatic const unsigned char %s[] = {\n", len(p.Insns), p.Name)
		for _, in := range p.Insns {
			b.WriteByte('\t')
			for i, v := range asm.Append(nil, in) {
				fmt.Fprintf(&b, "%s0x%02x,", map[bool]string{true: " "}[i > 0], v)
			}
			b.WriteByte('\n')
		}
		b.WriteString("};\n")
		return b.Bytes(), nil
	},
	"elf": func(p *prog.Program, f *asmFlags) ([]byte, error) { return object.WriteELF(p, f.section) },
}
