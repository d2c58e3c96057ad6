package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/vector"
)

func (a *app) conformanceCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "conformance",
		Short: "Conformance vectors: run them on every engine, or be the program under test of another runner",
		Long: `Conformance vectors are small programs with the result that RFC 9669 gives them, one a file (*.data).

  run      runs vectors on every engine, compares the engines, and says which instructions were executed
  plugin   runs one program, as runners of the public vectors ask their plugins to

A file has sections, each begun by a line "-- NAME"; # begins a comment:
  asm      the program, "ldxw %r0, [%r1+4]" or "r0 = *(u32 *)(r1 + 4)", a line an instruction, with labels
  raw      the same as numbers, "0x0000000000000095", whose little-endian bytes are the slots
  mem      memory in hex: r1 is its address, r2 its length; both are 0 without it
  result   what r0 must be at exit, all 64 bits
  error    instead of result: the program must be refused, or fault
  c        ignored

docs/conformance.md has more.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				return fmt.Errorf("unknown command %q: want run or plugin", args[0])
			}
			return nil
		},
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(a.conformanceRunCommand(), a.pluginCommand())
	return cmd
}

type conformanceFlags struct {
	engine, cpu, output string
	quiet               bool
	budget              uint64
}

func (a *app) conformanceRunCommand() *cobra.Command {
	var f conformanceFlags
	cmd := &cobra.Command{
		Use:   "run DIR|FILE...",
		Short: "Run vectors on every engine and report coverage",
		Long: `Run runs each vector on every engine. The result, the memory afterwards and the number of instructions must be the
same on all; what differs fails. Of a directory it takes all files *.data below it.

A vector passes when it gives its result, or where it wants an error, when it is refused or faults. It is skipped on a --cpu
that lacks its instructions, and where the error is a bad access on engines that don't look for those: interp and jit keep
a program to guest memory, checked finds the very access.

Coverage counts what vectors that did not fail executed, not what they contain: by conformance group of RFC 9669 section 2.4
(linux is what the kernel has beyond it), each instruction in each form: registers low, high, the same twice, immediates and
offsets of each sign, jumps up, down and not taken.

Exit codes: 0 all passed, 1 some failed, 2 a file could not be read.`,
		Example: "  skep conformance run conformance/testdata/vectors\n  skep conformance run --engine jit --cpu v3 -o junit DIR > report.xml",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.runVectors(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.engine, "engine", "all", "all, interp, checked or jit")
	fl.StringVar(&f.cpu, "cpu", asm.ISALinux.String(), "newest instructions to run: v1, v2, v3, v4, or linux for all")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json or junit")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "text: print only vectors that did not pass")
	fl.Uint64Var(&f.budget, "budget", vector.DefaultBudget, "instructions that a run may take")
	return cmd
}

// engines are the engines that --engine names.
func engines(flag string) ([]string, error) {
	have := vector.Engines()
	switch {
	case flag == "all":
		return have, nil
	case slices.Contains(have, flag):
		return []string{flag}, nil
	case flag == vector.JIT:
		return nil, errors.New("--engine jit: there is no machine code on this system")
	}
	return nil, fmt.Errorf("--engine %s: want all, interp, checked or jit", flag)
}

func isaVersion(flag string) (asm.ISA, error) {
	for v := asm.ISAv1; v <= asm.ISALinux; v++ {
		if v.String() == flag {
			return v, nil
		}
	}
	return 0, fmt.Errorf("--cpu %s: want v1, v2, v3, v4 or linux", flag)
}

// vectorReport is what -o json prints.
type vectorReport struct {
	Engines    []string               `json:"engines"`
	CPU        string                 `json:"cpu"`
	Passed     int                    `json:"passed"`
	Failed     int                    `json:"failed"`
	Skipped    int                    `json:"skipped"`
	Vectors    []vectorLine           `json:"vectors"`
	Unreadable []unreadableVector     `json:"unreadable"`
	Coverage   []vector.GroupCoverage `json:"coverage"`
}

// vectorLine is how one vector went. It is skipped when it is on every engine, and has failed when it has on one.
type vectorLine struct {
	File    string          `json:"file"`
	Version string          `json:"version"` // of its instructions
	Status  vector.Status   `json:"status"`
	Results []vector.Result `json:"results"`
}

// unreadableVector is a file that is no vector. Line and Col are 0 when no place in it is to blame.
type unreadableVector struct {
	File   string `json:"file"`
	Line   int    `json:"line"`
	Col    int    `json:"col"`
	Reason string `json:"reason"`
	err    error
}

func (a *app) runVectors(paths []string, f *conformanceFlags) error {
	write, ok := vectorOutputs[f.output]
	if !ok {
		return fmt.Errorf("-o %s: want text, json or junit", f.output)
	}
	names, err := engines(f.engine)
	if err != nil {
		return err
	}
	cpu, err := isaVersion(f.cpu)
	if err != nil {
		return err
	}
	files, err := vector.Files(paths)
	if err != nil {
		return err
	}
	suite := vector.Suite{Engines: names, CPU: cpu, Budget: f.budget}
	r := vectorReport{Engines: names, CPU: f.cpu, Vectors: []vectorLine{}, Unreadable: []unreadableVector{}}
	for _, file := range files {
		v, err := vector.ReadFile(file)
		if err != nil {
			r.unreadable(file, err)
			continue
		}
		r.add(file, v, suite.Run(v))
	}
	r.Coverage = suite.Coverage.Groups(cpu)
	if err := write(a, &r, f.quiet); err != nil {
		return err
	}
	return r.verdict(a)
}

func (r *vectorReport) unreadable(file string, err error) {
	u := unreadableVector{File: file, Reason: err.Error(), err: err}
	var at *vector.Error
	if errors.As(err, &at) {
		u.Line, u.Col, u.Reason = at.Line, at.Col, at.Reason
	}
	r.Unreadable = append(r.Unreadable, u)
}

func (r *vectorReport) add(file string, v *vector.Vector, results []vector.Result) {
	line := vectorLine{File: file, Version: v.Version().String(), Status: vector.Skip, Results: results}
	for _, res := range results {
		if res.Status == vector.Fail || res.Status == vector.Pass && line.Status == vector.Skip {
			line.Status = res.Status
		}
	}
	*map[vector.Status]*int{vector.Pass: &r.Passed, vector.Fail: &r.Failed, vector.Skip: &r.Skipped}[line.Status]++
	r.Vectors = append(r.Vectors, line)
}

// verdict is the command's end: what could not be read weighs more than what failed.
func (r *vectorReport) verdict(a *app) error {
	n := len(r.Unreadable)
	if n > 0 {
		for _, u := range r.Unreadable[:n-1] {
			fmt.Fprintf(a.err, "skep: %v\n", u.err)
		}
		return r.Unreadable[n-1].err
	}
	if r.Failed > 0 {
		return &rejected{fmt.Sprintf("%d of %d vectors failed", r.Failed, len(r.Vectors))}
	}
	return nil
}

// vectorOutputs are the formats of -o.
var vectorOutputs = map[string]func(a *app, r *vectorReport, quiet bool) error{
	"text":  func(a *app, r *vectorReport, quiet bool) error { return a.printVectors(r, quiet) },
	"json":  func(a *app, r *vectorReport, _ bool) error { return a.printJSON(r) },
	"junit": func(a *app, r *vectorReport, _ bool) error { return r.junit().write(a.out) },
}

func (a *app) printVectors(r *vectorReport, quiet bool) error {
	for _, v := range r.Vectors {
		if quiet && v.Status == vector.Pass {
			continue
		}
		fmt.Fprintf(a.out, "%s  %s\n", map[vector.Status]string{vector.Pass: "ok  ", vector.Fail: "FAIL", vector.Skip: "skip"}[v.Status], v.File)
		for _, res := range v.Results {
			if res.Status != vector.Pass {
				fmt.Fprintf(a.out, "      %s: %s: %s\n", res.Engine, res.Status, res.Reason)
			}
		}
	}
	fmt.Fprintf(a.out, "%d vectors on %s: %d passed, %d failed, %d skipped", len(r.Vectors), strings.Join(r.Engines, ", "), r.Passed, r.Failed, r.Skipped)
	if n := len(r.Unreadable); n > 0 {
		fmt.Fprintf(a.out, ", %d files unreadable", n)
	}
	fmt.Fprintf(a.out, "\nexecuted    instructions       forms\n")
	for _, g := range r.Coverage {
		fmt.Fprintf(a.out, "  %-9s %7d/%-4d %7d/%-4d %5.1f %%\n", g.Group, g.InstructionsUsed, g.Instructions, g.FormsUsed, g.Forms, g.Percent)
	}
	for _, g := range r.Coverage {
		switch {
		case g.Forms > 0 && g.FormsUsed == 0:
			fmt.Fprintf(a.out, "missing in %s: all\n", g.Group)
		case len(g.Missing) > 0:
			fmt.Fprintf(a.out, "missing in %s:\n%s", g.Group, wrap(g.Missing, 118))
		}
	}
	return nil
}

// wrap joins words with commas to indented lines of at most width columns.
func wrap(words []string, width int) string {
	var b strings.Builder
	line := " "
	for i, w := range words {
		if i < len(words)-1 {
			w += ","
		}
		if len(line)+1+len(w) > width {
			b.WriteString(line + "\n")
			line = " "
		}
		line += " " + w
	}
	return b.String() + line + "\n"
}

func newJUnitCase(file string) junitCase {
	return junitCase{Class: filepath.ToSlash(filepath.Dir(file)), Name: filepath.Base(file)}
}

func (r *vectorReport) junit() *junitReport {
	var report junitReport
	for i, engine := range r.Engines {
		for _, v := range r.Vectors {
			c := newJUnitCase(v.File)
			switch res := v.Results[i]; res.Status {
			case vector.Fail:
				c.Failure = &junitMessage{Message: res.Reason}
			case vector.Skip:
				c.Skipped = &junitMessage{Message: res.Reason}
			}
			report.add(engine, c)
		}
		for _, u := range r.Unreadable {
			c := newJUnitCase(u.File)
			c.Error = &junitMessage{Message: u.err.Error()}
			report.add(engine, c)
		}
	}
	return &report
}
