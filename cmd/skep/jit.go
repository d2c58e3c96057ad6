package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

type jitFlags struct {
	program, arch, output string
	unverified            bool
	load                  loadFlags
}

func (a *app) jitCommand() *cobra.Command {
	var f jitFlags
	cmd := &cobra.Command{
		Use:   "jit OBJECT",
		Short: "List the machine code of an object's programs beside their instructions",
		Long: `Jit compiles programs and lists C source, eBPF instructions and machine code side by side. Nothing runs, so --arch works on every machine;
without it the listing is what would run on this one.

"block of N" is where a basic block begins, at whose start N instructions are charged to the fuel; "exits" are the reasons for which the
instruction may leave machine code for Go.`,
		Example: "  skep jit --prog block_ssh filter.bpf.o\n  skep jit --arch arm64 -o json filter.bpf.o",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.jit(args[0], &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "prog", "", "only this program")
	fl.StringVar(&f.arch, "arch", "", "amd64 or arm64, a processor with all that code generation uses; default: this machine")
	fl.BoolVar(&f.unverified, "unverified", false, "list programs that the verifier rejects too, as sandboxed code")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	f.load.add(fl)
	return cmd
}

// processor is the one that the --arch flag means.
func (f *jitFlags) processor() (jit.Processor, error) {
	switch f.arch {
	case "":
		if !jit.Available() {
			return jit.Processor{}, fmt.Errorf("%w: give --arch", jit.ErrUnsupported)
		}
		return jit.Host(), nil
	case "amd64", "arm64":
		return jit.Processor{Arch: f.arch, BMI2: true, MOVBE: true, LSE: true}, nil
	}
	return jit.Processor{}, fmt.Errorf("--arch %s: want amd64 or arm64", f.arch)
}

func (a *app) jit(file string, f *jitFlags) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	target, err := f.processor()
	if err != nil {
		return err
	}
	obj, err := a.load(file, &f.load)
	if err != nil {
		return err
	}
	m, err := vm.NewMachine(vm.Config{})
	if err != nil {
		return err
	}
	defer m.Close()
	var lists []*jit.Listing
	for _, p := range obj.Programs {
		if f.program != "" && f.program != p.Name {
			continue
		}
		l, err := a.listMachineCode(m, p, target, f.unverified)
		if err != nil {
			return a.explainFailure(err)
		}
		lists = append(lists, l)
		if f.output == "text" {
			printListing(a.out, p, l)
		}
	}
	if len(lists) == 0 {
		return fmt.Errorf("%s: no program %q", file, f.program)
	}
	if f.output == "json" {
		return a.printJSON(lists)
	}
	return nil
}

func (a *app) listMachineCode(m *vm.Machine, p *prog.Program, target jit.Processor, unverified bool) (*jit.Listing, error) {
	var l *vm.Linked
	v, err := verifier.Verify(p, verifier.Options{Outside: true})
	switch {
	case err == nil:
		l, err = m.LinkProved(p, v.Proof())
	case unverified:
		l, err = m.Link(p)
	}
	if err != nil {
		return nil, err
	}
	return jit.List(m, l, target)
}

// listingLeft is the width of a listing's left column.
const listingLeft = 42

// printListing writes two columns: instructions and what is to be said of them, machine code.
func printListing(w io.Writer, spec *prog.Program, l *jit.Listing) {
	fmt.Fprintf(w, "%s  (%s, %d bytes of machine code)\n", l.Program, l.Arch, l.Bytes)
	for i := range l.Parts {
		p := &l.Parts[i]
		if p.Source != nil {
			fmt.Fprintf(w, "; %s:%d  %s\n", p.Source.File, p.Source.Line, p.Source.Text)
		}
		left := leftColumn(p)
		if p.PC >= 0 {
			left[0] += comment(note(spec, spec.Insns[p.PC]))
		}
		for i := range max(len(left), len(p.Code)) {
			var text, code string
			if i < len(left) {
				text = left[i]
			}
			if i < len(p.Code) {
				in := &p.Code[i]
				code = fmt.Sprintf("%5x  %-20s  %s", in.Offset, in.Hex, in.Text)
			}
			if len(text) > listingLeft && code != "" {
				fmt.Fprintln(w, text)
				text = ""
			}
			fmt.Fprintln(w, strings.TrimRight(fmt.Sprintf("%-*s  %s", listingLeft, text, code), " "))
		}
	}
	fmt.Fprintln(w)
}

func leftColumn(p *jit.Part) []string {
	if p.PC < 0 {
		return []string{p.Name + ":"}
	}
	left := []string{fmt.Sprintf("%6d: %s", p.PC, p.Insn)}
	if p.Block > 0 {
		left = append(left, fmt.Sprintf("        block of %d", p.Block))
	}
	if len(p.Exits) > 0 {
		left = append(left, "        exits: "+strings.Join(p.Exits, ", "))
	}
	return left
}
