package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/suite"
)

type testFlags struct {
	engine, run, output string
	reset               []string
	verbose             bool
	network             networkFlags
	load                loadFlags
}

func (a *app) testCommand() *cobra.Command {
	var f testFlags
	cmd := &cobra.Command{
		Use:   "test FILE…",
		Short: "Run tests of packet programs: tables of cases, or tests that an object brings",
		Long: `Test runs the cases of tables (.yaml, .yml):

  object: filter.bpf.o
  tests:
  - name: ssh is dropped
    packet: [{eth: {}}, {ip: {src: 10.0.0.1}}, {tcp: {dport: 22}}]
    maps: {limits: [{key: 0, value: 100}]}
    want: {verdict: XDP_DROP, packet: same, maps: {dropped: [{key: 0, value: 1}]}}

and the tests that objects bring: programs in sections that end in /pktgen (makes a packet), /setup (runs on it) and /check (judges
what it returned and left: 101 pass, 102 fail, 103 skip, 100 error), and in /tail for program arrays, by their tags "tail:MAP/SLOT".

Exit code 1 when a test does not pass, 2 when a file cannot be read.`,
		Example: "  skep test filter.yaml\n  skep test --engine both -o junit nat_test.bpf.o > report.xml",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.test(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.engine, "engine", "", "interp, checked, jit, or both, one after the other")
	fl.StringVar(&f.run, "run", "", "only tests whose name has this in it")
	fl.StringSliceVar(&f.reset, "reset-between-tests", nil, "maps of an object to empty after each of its tests")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json or junit")
	fl.BoolVarP(&f.verbose, "verbose", "v", false, "show tests that pass, and what programs print")
	f.network.add(fl)
	f.load.add(fl)
	return cmd
}

// testSummary counts results by status.
type testSummary map[suite.Status]int

func (a *app) test(files []string, f *testFlags) error {
	if f.output != "text" && f.output != "json" && f.output != "junit" {
		return fmt.Errorf("-o %s: want text, json or junit", f.output)
	}
	engines := []string{f.engine}
	if f.engine == "both" {
		engines = []string{skep.EngineInterp, secondEngine()}
	}
	results := []suite.Result{}
	for _, engine := range engines {
		o := suite.Options{Machine: skep.Options{Engine: engine}, Reset: f.reset, Only: f.run}
		var err error
		if o.Machine.Load, err = f.load.options(); err != nil {
			return err
		}
		if err := f.network.machine(&o.Machine.Machine); err != nil {
			return err
		}
		for _, file := range files {
			if err := a.testFile(file, o, func(r suite.Result) {
				if len(engines) > 1 {
					r.Name += " (" + engine + ")"
				}
				results = append(results, r)
			}); err != nil {
				return err
			}
		}
	}
	return a.printTests(results, f)
}

func (a *app) testFile(file string, o suite.Options, each func(suite.Result)) error {
	if ext := filepath.Ext(file); ext == ".yaml" || ext == ".yml" {
		table, err := suite.ReadFile(file)
		if err != nil {
			return err
		}
		return table.Run(o, each)
	}
	in, err := a.read(file)
	if err != nil {
		return err
	}
	return suite.RunObject(file, in.data, o, each)
}

func (a *app) printTests(results []suite.Result, f *testFlags) error {
	count := testSummary{}
	for _, r := range results {
		count[r.Status]++
	}
	var err error
	switch f.output {
	case "json":
		err = a.printJSON(results)
	case "junit":
		err = junitOfTests(results).write(a.out)
	default:
		for i := range results {
			a.printTest(&results[i], f.verbose)
		}
		fmt.Fprintf(a.out, "%d passed, %d failed, %d skipped\n", count[suite.Pass], count[suite.Fail]+count[suite.Error], count[suite.Skip])
	}
	if err != nil {
		return err
	}
	if bad := count[suite.Fail] + count[suite.Error]; bad > 0 {
		return &rejected{fmt.Sprintf("%d of %d tests failed", bad, len(results))}
	}
	if len(results) == 0 {
		return &rejected{fmt.Sprintf("no test has %q in its name", f.run)}
	}
	return nil
}

// testWords are go test's.
var testWords = map[suite.Status]string{suite.Pass: "--- PASS", suite.Fail: "--- FAIL", suite.Error: "--- FAIL", suite.Skip: "--- SKIP"}

func (a *app) printTest(r *suite.Result, verbose bool) {
	if r.Status == suite.Pass && !verbose {
		return
	}
	fmt.Fprintf(a.out, "%s: %s (%.2fs)\n", testWords[r.Status], r.Name, r.Duration.Seconds())
	place := r.Suite
	if r.Line > 0 {
		place = fmt.Sprintf("%s:%d", r.File, r.Line)
	}
	if r.Message != "" {
		fmt.Fprintf(a.out, "    %s: %s\n", place, strings.ReplaceAll(r.Message, "\n", "\n    "))
	}
	for _, line := range r.Log {
		fmt.Fprintf(a.out, "    | %s\n", line)
	}
}

func junitOfTests(results []suite.Result) *junitReport {
	var report junitReport
	for i := range results {
		r := &results[i]
		c := junitCase{Class: r.Suite, Name: r.Name, File: r.File, Line: r.Line, Time: seconds(r.Duration.Seconds())}
		text := strings.Join(append([]string{r.Message}, r.Log...), "\n")
		message := &junitMessage{Message: strings.SplitN(r.Message, "\n", 2)[0], Type: string(r.Status), Text: text}
		switch r.Status {
		case suite.Fail:
			c.Failure = message
		case suite.Error:
			c.Error = message
		case suite.Skip:
			c.Skipped = message
		}
		report.add(r.Suite, c)
	}
	return &report
}
