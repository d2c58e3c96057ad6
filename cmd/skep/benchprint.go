package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"runtime"
	"strconv"

	"github.com/skepvm/skep"
)

// callCompile marks the time of making machine code, which is no run.
const callCompile = "compile"

// benchResult is what bench says of one program.
type benchResult struct {
	Name    string     `json:"name"`
	About   string     `json:"about"`
	Program string     `json:"program"`
	Packets int        `json:"packets"` // in each round
	Rounds  int        `json:"rounds"`
	Insns   float64    `json:"insns"`           // executed for a packet, on average
	Slots   int        `json:"slots,omitempty"` // of the program that machine code was made of
	Rows    []benchRow `json:"rows"`
	// NoKernel says why there is no figure of the kernel.
	NoKernel string `json:"no_kernel,omitempty"`
}

// benchRow is what one way to run took, ns a run; of call "compile", ns altogether.
type benchRow struct {
	Engine string `json:"engine"`
	Call   string `json:"call"` // single, batch, test-run, compile
	skep.Spread
	PerInsn float64 `json:"ns_per_insn"`
	// SpeedUp is against the interpreter's single calls, 0 without them.
	SpeedUp float64 `json:"speed_up,omitempty"`
}

// insnsOf returns the instructions that the row's time is for: those of a run, or those of the program.
func (r *benchResult) insnsOf(row *benchRow) float64 {
	if row.Call == callCompile {
		return float64(r.Slots)
	}
	return r.Insns
}

// fill makes the rows of what was timed.
func (r *benchResult) fill(all []*contender) {
	base := 0.0
	for _, c := range all {
		row := benchRow{Engine: c.engine, Call: c.call, Spread: skep.SpreadOf(c.times)}
		if insns := r.insnsOf(&row); insns > 0 {
			row.PerInsn = row.Min / insns
		}
		if c.engine == skep.EngineInterp && c.call == "single" {
			base = row.Min
		}
		r.Rows = append(r.Rows, row)
	}
	for i := range r.Rows {
		if row := &r.Rows[i]; row.Call != callCompile && row.Min > 0 {
			row.SpeedUp = base / row.Min
		}
	}
}

// benchPrinters print the results in the formats of -o. Text is printed as results come.
var benchPrinters = map[string]func(*app, []*benchResult) error{
	"text":      func(*app, []*benchResult) error { return nil },
	"json":      func(a *app, all []*benchResult) error { return a.printJSON(map[string]any{"workloads": all}) },
	"csv":       printBenchCSV,
	"benchstat": printBenchstat,
}

func printBench(w io.Writer, r *benchResult) {
	fmt.Fprintf(w, "%s: %s; %d packets, %d rounds, %.1f instructions a run; ns a run\n", r.Name, r.About, r.Packets, r.Rounds, r.Insns)
	fmt.Fprintf(w, "  %-16s%10s%10s%10s%10s%10s\n", "", "min", "median", "max", "ns/insn", "speed-up")
	for _, row := range r.Rows {
		name, unit := row.Engine, 1.0
		switch row.Call {
		case "single":
		case callCompile:
			name, unit = name+" compile, us", 1000
		default:
			name += " " + row.Call
		}
		fmt.Fprintf(w, "  %-16s%10.1f%10.1f%10.1f%10.3f", name, row.Min/unit, row.Median/unit, row.Max/unit, row.PerInsn)
		if row.SpeedUp > 0 {
			fmt.Fprintf(w, "%9.1fx", row.SpeedUp)
		}
		fmt.Fprintln(w)
	}
	if r.NoKernel != "" {
		fmt.Fprintf(w, "  %-16s skipped: %s\n", engineKernel, r.NoKernel)
	}
}

func printBenchCSV(a *app, all []*benchResult) error {
	w := csv.NewWriter(a.out)
	f := func(v float64) string { return strconv.FormatFloat(v, 'f', 3, 64) }
	lines := [][]string{{"workload", "engine", "call", "packets", "rounds", "insns", "min_ns", "median_ns", "max_ns", "ns_per_insn", "speed_up"}}
	for _, r := range all {
		for _, row := range r.Rows {
			lines = append(lines, []string{r.Name, row.Engine, row.Call, strconv.Itoa(r.Packets), strconv.Itoa(r.Rounds), f(r.Insns),
				f(row.Min), f(row.Median), f(row.Max), f(row.PerInsn), f(row.SpeedUp)})
		}
	}
	return w.WriteAll(lines)
}

// printBenchstat writes the format of `go test -bench`. The count of each line is that of its rounds.
func printBenchstat(a *app, all []*benchResult) error {
	fmt.Fprintf(a.out, "goos: %s\ngoarch: %s\npkg: github.com/skepvm/skep/bench/workloads\n", runtime.GOOS, runtime.GOARCH)
	for _, r := range all {
		for _, row := range r.Rows {
			fmt.Fprintf(a.out, "BenchmarkWorkload/name=%s/engine=%s/call=%s\t%d\t%.3f ns/op\t%.4f ns/insn\t%.3f median-ns\t%.3f max-ns\t%.1f insns\n",
				r.Name, row.Engine, row.Call, r.Rounds, row.Min, row.PerInsn, row.Median, row.Max, r.insnsOf(&row))
		}
	}
	return nil
}
