package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/vector"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

type pluginFlags struct {
	program, engine, cpu string
	elf                  bool
}

func (a *app) pluginCommand() *cobra.Command {
	var f pluginFlags
	cmd := &cobra.Command{
		Use:   "plugin [MEMORY]",
		Short: "Run one program in hex and print r0 in hex, as runners of the public vectors want it",
		Long: `Plugin runs one program, which nobody verified, and prints r0 in hexadecimal.

The program is the first line of standard input, or follows --program: bytes in hex, separated by spaces. MEMORY is in the
same form and may be empty: r1 is its address, r2 its length. With --elf the bytes are an object file, from which the function
main is run, or the first that no other calls. Helpers have Linux's numbers; the machine has one processor, and
its clock stands still.

Exit codes: 0 with r0 on standard output; 1 when the program was refused, 2 when the input could not be read,
3 when it faulted, each with the reason on standard error.`,
		Example: "  echo 'b7 00 00 00 07 00 00 00 95 00 00 00 00 00 00 00' | skep conformance plugin\n" +
			"  skep conformance plugin --engine jit --program '71 10 00 00 00 00 00 00 95 00 00 00 00 00 00 00' '2a'",
		Args: cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.plugin(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "program", "", "the program in hex; default: the first line of standard input")
	fl.StringVar(&f.engine, "engine", vector.Interp, "interp, checked or jit")
	fl.StringVar(&f.cpu, "cpu", asm.ISALinux.String(), "refuse newer instructions: v1, v2, v3, v4, or linux for all")
	fl.BoolVar(&f.elf, "elf", false, "the program is an ELF object")
	return cmd
}

func (a *app) plugin(args []string, f *pluginFlags) error {
	cpu, err := isaVersion(f.cpu)
	if err != nil {
		return err
	}
	if f.engine == "all" {
		return errors.New("--engine all: want interp, checked or jit")
	}
	if _, err := engines(f.engine); err != nil {
		return err
	}
	var memory []byte
	if len(args) > 0 {
		if memory, err = vector.ParseBytes(args[0]); err != nil {
			return fmt.Errorf("memory: %w", err)
		}
	}
	p, err := a.pluginProgram(f)
	if err != nil {
		return err
	}
	if need := (&vector.Vector{Insns: p.Insns}).Version(); need > cpu {
		return &rejected{fmt.Sprintf("the program needs instructions of %s", need)}
	}
	out, err := vector.Execute(p, memory, vector.Options{Engine: f.engine})
	var refusal *vm.LinkError
	switch {
	case errors.As(err, &refusal):
		return &rejected{refusal.Error()}
	case err != nil:
		return err
	case out.Fault != nil:
		return out.Fault
	}
	_, err = fmt.Fprintf(a.out, "%x\n", out.R0)
	return err
}

// pluginProgram reads the program of --program or standard input.
func (a *app) pluginProgram(f *pluginFlags) (*prog.Program, error) {
	text := f.program
	if text == "" {
		s := bufio.NewScanner(a.in)
		s.Buffer(nil, 4*object.MaxFile)
		s.Scan()
		if err := s.Err(); err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		text = s.Text()
	}
	code, err := vector.ParseBytes(text)
	if err != nil {
		return nil, fmt.Errorf("program: %w", err)
	}
	if f.elf {
		return mainProgram(code)
	}
	if len(code) == 0 {
		return nil, errors.New("program: no instructions")
	}
	insns, err := asm.DecodeProgram(code)
	if err != nil {
		return nil, err
	}
	return vector.NewProgram("plugin", insns), nil
}

// mainProgram picks the program of an object: main, or else the first that no other calls.
func mainProgram(elf []byte) (*prog.Program, error) {
	// The type is for functions whose section names none; it means nothing here.
	obj, err := object.Load(bytes.NewReader(elf), "program", object.Options{Type: prog.SocketFilter})
	if err != nil {
		return nil, err
	}
	if p := obj.Program("main"); p != nil {
		return p, nil
	}
	called := map[string]bool{}
	for _, p := range obj.Programs {
		for _, fn := range p.Funcs[min(1, len(p.Funcs)):] {
			called[fn.Name] = true
		}
	}
	for _, p := range obj.Programs {
		if !called[p.Name] {
			return p, nil
		}
	}
	return nil, errors.New("program: the object has no function to begin with")
}
