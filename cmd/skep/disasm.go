package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
)

func (a *app) disasmCommand() *cobra.Command {
	var f loadFlags
	var name string
	cmd := &cobra.Command{
		Use:     "disasm OBJECT",
		Short:   "List the instructions of an object's programs with their C source",
		Example: "  skep disasm --prog xdp_filter filter.bpf.o",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			obj, err := a.load(args[0], &f)
			if err != nil {
				return err
			}
			found := false
			for _, p := range obj.Programs {
				if name == "" || name == p.Name {
					listProgram(a.out, p)
					found = true
				}
			}
			if !found {
				return fmt.Errorf("%s: no program %q", args[0], name)
			}
			return nil
		},
	}
	cmd.Flags().StringVar(&name, "prog", "", "only this program")
	f.add(cmd.Flags())
	return cmd
}

// listProgram prints one instruction a line, each C source line before the first instruction that came from it.
func listProgram(w io.Writer, p *prog.Program) {
	fmt.Fprintf(w, "%s  (section %s, %s, %d insns)\n", p.Name, p.Section, p.Type, len(p.Insns))
	funcs, lines := p.Funcs, p.Lines
	for pc := 0; pc < len(p.Insns); pc++ {
		for len(funcs) > 0 && funcs[0].Start == pc {
			fmt.Fprintf(w, "%s:\n", funcs[0].Name)
			funcs = funcs[1:]
		}
		for len(lines) > 0 && lines[0].PC == pc {
			fmt.Fprintf(w, "; %s:%d  %s\n", lines[0].File, lines[0].Line, lines[0].Text)
			lines = lines[1:]
		}
		in, next := p.Insns[pc], (*asm.Insn)(nil)
		wide := asm.KindOf(in) == asm.LdImm64 && pc+1 < len(p.Insns)
		if wide {
			next = &p.Insns[pc+1]
		}
		fmt.Fprintf(w, "%6d: %016x  %s%s\n", pc, asm.Append(nil, in), asm.Format(in, next), note(p, in))
		if wide {
			pc++
		}
	}
	fmt.Fprintln(w)
}

// note names what an instruction refers to by number.
func note(p *prog.Program, in asm.Insn) string {
	switch k := asm.KindOf(in); {
	case k == asm.CallHelper:
		if row := helpers.ByID(in.Imm); row != nil {
			return "  # " + row.Name
		}
	case k == asm.CallKfunc && int(in.Imm) < len(p.Kfuncs) && in.Imm >= 0:
		return "  # " + p.Kfuncs[in.Imm]
	case k == asm.LdImm64 && (in.Src == asm.PseudoMapIdx || in.Src == asm.PseudoMapIdxValue):
		if i := int(in.Imm); i >= 0 && i < len(p.Maps) {
			return "  # " + p.Maps[i].Name
		}
	}
	return ""
}
