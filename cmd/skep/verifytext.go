package main

import (
	"fmt"
	"io"
)

// printVerification prints the report in the form that -o asks for.
func (a *app) printVerification(v *verification, diff *comparison, columns []*csvColumn, f *verifyFlags) error {
	switch f.output {
	case "json":
		if err := a.printVerifyJSON(v); err != nil {
			return err
		}
	case "csv":
		if err := writeVerifyCSV(a.out, v, columns); err != nil {
			return err
		}
	default:
		a.printVerifyText(v, f)
		diff.print(a.out)
		return nil
	}
	diff.print(a.err) // stdout has the data
	return nil
}

// programReport is the JSON form of a row of the matrix.
type programReport struct {
	Object  string `json:"object"`
	Program string `json:"program"`
	Type    string `json:"type"`
	support
	Results []outcome `json:"results"`
}

// printVerifyJSON prints the outcomes: a list for one kernel, a list in each program's row for several.
func (a *app) printVerifyJSON(v *verification) error {
	if !v.matrix() {
		return a.printJSON(v.outcomes)
	}
	report := struct {
		Kernels  []string        `json:"kernels"`
		Programs []programReport `json:"programs"`
	}{Programs: []programReport{}}
	for _, t := range v.targets {
		report.Kernels = append(report.Kernels, t.name)
	}
	for i := range v.programs {
		all := v.of(i)
		report.Programs = append(report.Programs, programReport{all[0].Object, all[0].Program, all[0].Type, v.support[i], all})
	}
	return a.printJSON(report)
}

func (a *app) printVerifyText(v *verification, f *verifyFlags) {
	a.printLogs(v)
	if len(v.programs) == 0 {
		return
	}
	last := len(v.targets) - 1
	switch {
	case !v.matrix() || !v.demand[0]: // each program under the one kernel that decides
		for i := range v.programs {
			printOutcome(a.out, &v.of(i)[last])
		}
		fmt.Fprintf(a.out, "%d of %d programs accepted (rules: %s)\n",
			len(v.programs)-v.rejectedPrograms(), len(v.programs), v.targets[last].profile.Name)
		if v.matrix() {
			fmt.Fprintln(a.out)
			printMatrix(a.out, v)
			printSupport(a.out, v)
		}
	default:
		printMatrix(a.out, v)
		printSupport(a.out, v)
		printMatrixDetail(a.out, v, f.detail)
		fmt.Fprintf(a.out, "\n%d of %d programs accepted by all of %d kernels\n",
			len(v.programs)-v.rejectedPrograms(), len(v.programs), len(v.targets))
	}
	for i := range v.outcomes {
		printHeat(a.out, &v.outcomes[i])
	}
}

// printLogs prints the logs of the walks, with headings when there are several.
func (a *app) printLogs(v *verification) {
	for i := range v.outcomes {
		o := &v.outcomes[i]
		if len(o.Log) > 0 && len(v.outcomes) > 1 {
			fmt.Fprintf(a.out, "log     %s  %s, %s (rules: %s)\n", o.Program, o.Object, o.Type, o.profile.Name)
		}
		for _, line := range o.Log {
			fmt.Fprintln(a.out, line)
		}
	}
}

func printOutcome(w io.Writer, o *outcome) {
	if o.Accepted {
		fmt.Fprintf(w, "ok      %s  %s, %d insns: %d processed, %d states (peak %d), %d B stack, %.0f us\n",
			o.Program, o.Type, o.Insns, o.Processed, o.States, o.PeakStates, sum(o.StackDepth), o.TimeUS)
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
