package main

import (
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/verifier"
)

type verifyFlags struct {
	kernel, caps            string
	program, output         string
	log                     string
	jobs, heat              int
	detail                  bool
	junit, sarif, sourceDir string
	baseline, threshold     string
	emit                    string
	load                    loadFlags
}

func (a *app) verifyCommand() *cobra.Command {
	var f verifyFlags
	cmd := &cobra.Command{
		Use:   "verify OBJECT…",
		Short: "Say whether the kernel would load the programs of an object, and why not",
		Long: `Verify proves each program of each object as the Linux kernel's verifier would, for the kernels that --kernel names,
separated by commas:
  newest   the newest rules that skep knows (the default)
  6.1      those of a release
  lts      the long-term releases from 4.19 on, and the newest; "all" is the same
  dag      the classic rules: no back edges, at most 4096 instructions
  unpriv   the newest rules for a loader without capabilities; --caps takes some away
For several kernels it prints a matrix, and one rejection of each program in full. Several objects without --kernel
get the matrix too, for information: the newest kernel decides.

For CI: -o csv has veristat's columns, and --baseline compares with such a file; --junit and --sarif write reports.

Exit code 1 when a demanded kernel rejects a program or a baseline is exceeded, 2 when an object cannot be read; the
others are reported all the same.`,
		Example: `  skep verify filter.bpf.o
  skep verify --kernel 5.10,6.1,6.18 a.bpf.o b.bpf.o
  skep verify --kernel lts --junit verify.xml --sarif verify.sarif build/*.bpf.o
  skep verify --baseline main.csv --threshold insns=10%,states=20% build/*.bpf.o
  skep verify --heat=20 filter.bpf.o`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.verify(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.kernel, "kernel", "", "whose rules, separated by commas: newest (the default), lts, dag, unpriv, or a release such as 6.1")
	fl.StringVar(&f.caps, "caps", "all", "capabilities of the loader: all, none, or some of bpf,perfmon,net_admin,sys_admin")
	fl.StringVar(&f.program, "prog", "", "only this program")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json or csv")
	fl.StringVar(&f.emit, "emit", "", "columns of -o csv, by veristat's names; default: those of veristat")
	fl.StringVar(&f.log, "log", "0", "print the kernel's log: 1 (the way to a rejection), 2 (the whole walk) or stats (its cost)")
	fl.Lookup("log").NoOptDefVal = "1"
	fl.IntVar(&f.heat, "heat", 0, "say where the walk spent its instructions: so many source lines")
	fl.Lookup("heat").NoOptDefVal = "10"
	fl.BoolVar(&f.detail, "detail", false, "with several kernels: print every rejection in full")
	fl.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "programs to verify at a time")
	fl.StringVar(&f.baseline, "baseline", "", "compare with this CSV file, of skep or veristat, and fail when a program costs more")
	fl.StringVar(&f.threshold, "threshold", "10%", "how much more than in the baseline is a failure: 10%, or by column insns=10%,states=20%")
	fl.StringVar(&f.junit, "junit", "", "write a JUnit report to this file")
	fl.StringVar(&f.sarif, "sarif", "", "write the rejections to this file as SARIF 2.1.0")
	fl.StringVar(&f.sourceDir, "source-dir", "", "directory that the objects were compiled in, for source names in reports; default: found by looking")
	f.load.add(fl)
	return cmd
}

// check says what is wrong with the flags' values.
func (f *verifyFlags) check() error {
	switch {
	case f.output != "text" && f.output != "json" && f.output != "csv":
		return fmt.Errorf("-o %s: want text, json or csv", f.output)
	case f.output == "csv" && (f.log != "0" || f.heat > 0):
		return errors.New("-o csv has no place for --log and --heat: use text or json")
	case f.emit != "" && f.output != "csv":
		return errors.New("--emit is for -o csv")
	case f.jobs < 1:
		return fmt.Errorf("--jobs %d: want at least 1", f.jobs)
	case f.heat < 0:
		return fmt.Errorf("--heat %d: want a number of lines", f.heat)
	}
	_, ok := logLevels[f.log]
	if !ok {
		return fmt.Errorf("--log %s: want 0, 1, 2 or stats", f.log)
	}
	return nil
}

// logLevels are the values of --log; "0" is no log.
var logLevels = map[string]verifier.LogLevel{
	"0": 0, "1": verifier.LogBranches, "2": verifier.LogBranches | verifier.LogInsns, "stats": verifier.LogStats,
}

func (a *app) verify(files []string, f *verifyFlags) error {
	if err := f.check(); err != nil {
		return err
	}
	plan, err := planOf(f, len(files))
	if err != nil {
		return err
	}
	columns, err := columnsOf(f.emit, plan.matrix())
	if err != nil {
		return err
	}
	v, err := a.runPlan(files, plan, f)
	if err != nil {
		return err
	}
	diff, err := v.against(f)
	if err != nil {
		return err
	}
	if err := a.writeReports(v, diff, f); err != nil {
		return err
	}
	if err := a.printVerification(v, diff, columns, f); err != nil {
		return err
	}
	for _, u := range v.unreadable[:max(0, len(v.unreadable)-1)] {
		a.report(u.err) // the last one is the command's own error
	}
	return v.verdict(diff)
}

// writeReports writes the files that --junit and --sarif name.
func (a *app) writeReports(v *verification, diff *comparison, f *verifyFlags) error {
	src := sources{dir: f.sourceDir}
	if f.junit != "" {
		if err := writeFile(f.junit, func(w io.Writer) error { return writeJUnit(w, v, diff, src) }); err != nil {
			return err
		}
	}
	if f.sarif != "" {
		return writeFile(f.sarif, func(w io.Writer) error { return writeSARIF(w, v, src) })
	}
	return nil
}

// verdict is the error that decides the exit code. What could not be read outweighs what was rejected.
func (v *verification) verdict(diff *comparison) error {
	if n := len(v.unreadable); n > 0 {
		return v.unreadable[n-1].err
	}
	var no []string
	if n := v.rejectedPrograms(); n > 0 {
		no = append(no, fmt.Sprintf("%d of %d programs rejected", n, len(v.programs)))
	}
	if n := diff.failures(); n > 0 {
		no = append(no, fmt.Sprintf("%d of %d programs worse than the baseline", n, len(v.programs)))
	}
	if len(no) > 0 {
		return &rejected{strings.Join(no, ", ")}
	}
	return nil
}
