package main

import (
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

type verifyFlags struct {
	kernel, program, output string
	log                     bool
	load                    loadFlags
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify OBJECT…",
		Short: "Say whether the kernel would load the programs of an object, and why not",
		Long: `Verify proves each program of each object as the Linux kernel's verifier would, for the kernel that --kernel names:
  newest   the newest rules that skep knows (the default)
  6.1      those of a release
  dag      the classic rules: no back edges, at most 4096 instructions

Exit code 1 when a program is rejected, 2 when an object cannot be read.`,
		Example: "  skep verify filter.bpf.o\n  skep verify --kernel 5.10 -o json filter.bpf.o",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.verify(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kernel, "kernel", "newest", "whose rules: newest, dag, or a release such as 6.1")
	fl.StringVar(&f.program, "prog", "", "only this program")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.BoolVar(&f.log, "log", false, "print the verifier's walk in the kernel's log format")
	f.load.add(fl)
	return cmd
}

// profileOf reads the --kernel flag.
func profileOf(name string) (*verifier.Profile, error) {
	switch name {
	case "newest", "":
		return verifier.Newest(), nil
	case "dag":
		return verifier.DAG(), nil
	}
	v, err := kver.Parse(name)
	if err != nil {
		return nil, err
	}
	return verifier.Linux(int(v.Major), int(v.Minor)), nil
}

// outcome is one program's line of the report.
type outcome struct {
	Object   string  `json:"object"`
	Program  string  `json:"program"`
	Type     string  `json:"type"`
	Insns    int     `json:"insns"`
	Accepted bool    `json:"accepted"`
	TimeUS   float64 `json:"time_us"`
	verifier.Stats
	Error *rejection `json:"error,omitempty"`

	cause *verifier.Error
}

// rejection is the JSON form of a verifier.Error.
type rejection struct {
	Code   string     `json:"code"`
	PC     int        `json:"pc"`
	Insn   string     `json:"insn,omitempty"`
	Kernel string     `json:"kernel"`
	Reason string     `json:"reason,omitempty"`
	File   string     `json:"file,omitempty"`
	Line   int        `json:"line,omitempty"`
	Column int        `json:"column,omitempty"`
	Source string     `json:"source,omitempty"`
	Causes []cause    `json:"causes,omitempty"`
	State  string     `json:"state,omitempty"`
	Path   []pathStep `json:"path,omitempty"`
	Hint   string     `json:"hint,omitempty"`
}

// cause is an instruction that a rejection goes back to.
type cause struct {
	PC     int    `json:"pc"`
	Text   string `json:"text"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Source string `json:"source,omitempty"`
}

type pathStep struct {
	PC    int    `json:"pc"`
	Taken bool   `json:"taken"`
	Insn  string `json:"insn"`
	Line  int    `json:"line,omitempty"`
	Why   string `json:"why,omitempty"`
}

func (a *app) verify(files []string, f *verifyFlags) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	profile, err := profileOf(f.kernel)
	if err != nil {
		return err
	}
	var all []outcome
	for _, file := range files {
		obj, err := a.load(file, &f.load)
		if err != nil {
			return err
		}
		found, err := a.verifyObject(file, obj, profile, f)
		if err != nil {
			return err
		}
		all = append(all, found...)
	}
	return a.printOutcomes(all, profile, f.output)
}

func (a *app) verifyObject(file string, obj *object.Object, profile *verifier.Profile, f *verifyFlags) ([]outcome, error) {
	opts := verifier.Options{Profile: profile}
	if f.log {
		opts.Log = func(line string) { fmt.Fprintln(a.out, line) }
	}
	var all []outcome
	for _, p := range obj.Programs {
		if f.program == "" || f.program == p.Name {
			all = append(all, verifyProgram(file, p, opts))
		}
	}
	if len(all) == 0 && f.program != "" {
		return nil, fmt.Errorf("%s: no program %q", file, f.program)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("%s: no programs", file)
	}
	return all, nil
}

func verifyProgram(file string, p *prog.Program, opts verifier.Options) outcome {
	o := outcome{Object: file, Program: p.Name, Type: p.Type.String(), Insns: len(p.Insns)}
	start := time.Now()
	v, err := verifier.Verify(p, opts)
	o.TimeUS = float64(time.Since(start).Nanoseconds()) / 1e3
	if err == nil {
		o.Accepted, o.Stats = true, v.Stats()
		return o
	}
	var cause *verifier.Error
	if !errors.As(err, &cause) {
		cause = &verifier.Error{Prog: p.Name, PC: -1, Kernel: err.Error()}
	}
	o.cause, o.Stats, o.Error = cause, cause.Stats, rejectionOf(cause)
	return o
}

func rejectionOf(e *verifier.Error) *rejection {
	r := &rejection{Code: string(e.Code), PC: e.PC, Kernel: e.Kernel, Reason: e.Reason, State: e.State, Hint: e.Hint}
	if e.PC >= 0 {
		r.Insn = asm.Format(e.Insn, nil)
	}
	if e.Line != nil {
		r.File, r.Line, r.Column, r.Source = e.Line.File, e.Line.Line, e.Line.Col, e.Line.Text
	}
	for _, c := range e.Causes {
		out := cause{PC: c.PC, Text: c.Text}
		if c.Line != nil {
			out.File, out.Line, out.Source = c.Line.File, c.Line.Line, c.Line.Text
		}
		r.Causes = append(r.Causes, out)
	}
	for _, s := range e.Path {
		step := pathStep{PC: s.PC, Taken: s.Taken, Insn: s.Text, Why: s.Why}
		if s.Line != nil {
			step.Line = s.Line.Line
		}
		r.Path = append(r.Path, step)
	}
	return r
}

func (a *app) printOutcomes(all []outcome, profile *verifier.Profile, output string) error {
	no := 0
	for i := range all {
		if !all[i].Accepted {
			no++
		}
	}
	if output == "json" {
		if err := a.printJSON(all); err != nil {
			return err
		}
	} else {
		for i := range all {
			printOutcome(a.out, &all[i])
		}
		fmt.Fprintf(a.out, "%d of %d programs accepted (rules: %s)\n", len(all)-no, len(all), profile.Name)
	}
	if no > 0 {
		return &rejected{fmt.Sprintf("%d of %d programs rejected", no, len(all))}
	}
	return nil
}

func printOutcome(w io.Writer, o *outcome) {
	if o.Accepted {
		fmt.Fprintf(w, "ok      %s  %s, %d insns: %d processed, %d states, %d B stack, %.0f us\n",
			o.Program, o.Type, o.Insns, o.Processed, o.States, sum(o.StackDepth), o.TimeUS)
		return
	}
	fmt.Fprintf(w, "REJECT  %s  %s, %d insns\n", o.Program, o.Type, o.Insns)
	printRejection(w, o.cause)
}

func sum(all []int) (n int) {
	for _, v := range all {
		n += v
	}
	return n
}
