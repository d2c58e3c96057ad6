// Command figures writes the speed tables of the README from the newest kept benchmark results, so that no figure is
// ever typed by hand. Results are files that bench/run.sh and bench/replay make, in the format of `go test -bench`.
//
//	go run ./bench/figures            rewrite README.md
//	go run ./bench/figures -check     exit 1 when README.md does not say what the newest results say
package main

import (
	"bytes"
	"cmp"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/skepvm/skep/bench/kept"
	"github.com/skepvm/skep/bench/workloads"
)

// target is a figure that skep aims at, a line of bench/targets.json: what a run of a workload may take, in ns.
type target struct {
	What     string  `json:"what"`
	Workload string  `json:"workload"`
	Engine   string  `json:"engine"`
	Call     string  `json:"call"`
	Unit     string  `json:"unit"`         // ns/op when empty
	Minus    string  `json:"minus"`        // a workload whose time is taken off first
	Times    float64 `json:"times"`        // how often the workload does it; once when 0
	Max      float64 `json:"max"`          // may take so much
	PerInsn  float64 `json:"max_per_insn"` // and so much for each instruction of the program
	Native   float64 `json:"native"`       // may take so many times what native C takes; 0: no target
	Faster   float64 `json:"faster"`       // should be so many times faster than Than, which then is the target instead of Max
	Than     string  `json:"than"`         // an engine
}

const begin, end = "<!-- figures: made by bench/figures -->\n", "<!-- end of figures -->\n"

func main() {
	check := flag.Bool("check", false, "only say whether README.md is up to date")
	dir := flag.String("results", "bench/results", "folder with kept results")
	targets := flag.String("targets", "bench", "folder with targets.json and replay.json: what the figures should be")
	readme := flag.String("readme", "README.md", "file to rewrite")
	flag.Parse()
	if err := run(*dir, *targets, *readme, *check); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(dir, targetDir, readme string, check bool) error {
	text, sources, err := allTables(dir, targetDir)
	if err != nil {
		return err
	}
	old, err := os.ReadFile(readme)
	if err != nil {
		return err
	}
	before, rest, ok1 := bytes.Cut(old, []byte(begin))
	_, after, ok2 := bytes.Cut(rest, []byte(end))
	if !ok1 || !ok2 {
		return fmt.Errorf("%s has no block %q … %q", readme, begin, end)
	}
	made := slices.Concat(before, []byte(begin), text, []byte(end), after)
	switch {
	case bytes.Equal(made, old):
		return nil
	case check:
		return fmt.Errorf("%s is not what %s say: run go run ./bench/figures", readme, strings.Join(sources, " and "))
	}
	return os.WriteFile(readme, made, 0o644)
}

// allTables renders the newest results of either sort, and says which they are.
func allTables(dir, targetDir string) (text []byte, sources []string, err error) {
	speed, err := newest(dir, "[0-9]*.txt", "bench/run.sh")
	if err != nil {
		return nil, nil, err
	}
	targets, err := readTargets(filepath.Join(targetDir, "targets.json"))
	if err != nil {
		return nil, nil, err
	}
	text = tables(speed.Mins(), targets, filepath.Base(speed.File))
	replays, err := newest(dir, "replay-*.txt", "go run ./bench/replay -out "+dir)
	if errors.Is(err, os.ErrNotExist) {
		return text, []string{speed.File}, nil
	}
	if err != nil {
		return nil, nil, err
	}
	replayTargets, err := kept.ReadReplayTargets(filepath.Join(targetDir, "replay.json"))
	if err != nil {
		return nil, nil, err
	}
	text = slices.Concat(text, []byte("\n"), kept.ReplayTables(replays, replayTargets))
	text = fmt.Appendf(text, "From `bench/results/%s` (%s, Linux %s); `go run ./bench/replay -out bench/results` makes such a file.\n",
		filepath.Base(replays.File), replays.Config["cpu"], replays.Config["kernel"])
	return text, []string{speed.File, replays.File}, nil
}

// newest reads the newest of the results whose names match: before the date all names are alike.
func newest(dir, pattern, maker string) (*kept.Results, error) {
	files, err := filepath.Glob(filepath.Join(dir, pattern))
	switch {
	case err != nil:
		return nil, err
	case len(files) == 0:
		return nil, fmt.Errorf("no results %s in %s, which %s makes: %w", pattern, dir, maker, os.ErrNotExist)
	}
	return kept.Read(slices.Max(files))
}

// results are the smallest values by benchmark and unit: "BenchmarkX/engine=jit ns/op" -> 1.5.
type results map[string]float64

func workload(name, engine, call string) string {
	return fmt.Sprintf("BenchmarkWorkload/name=%s/engine=%s/call=%s", name, engine, call)
}

func readTargets(file string) (list []target, err error) {
	if err := kept.ReadJSON(file, &list); err != nil {
		return nil, err
	}
	for i := range list {
		t := &list[i]
		t.Unit, t.Times = cmp.Or(t.Unit, "ns/op"), cmp.Or(t.Times, 1)
	}
	return list, nil
}

// tables renders what is among the results.
func tables(r results, targets []target, source string) []byte {
	var b bytes.Buffer
	targetTable(&b, r, targets)
	workloadTable(&b, r)
	fmt.Fprintf(&b, "From `bench/results/%s`; `bash bench/run.sh` makes such a file.\n", source)
	return b.Bytes()
}

// targetTable shows each target beside what was measured, and whether it was met.
func targetTable(b *bytes.Buffer, r results, targets []target) {
	first := true
	for i := range targets {
		t := &targets[i]
		v, ok := t.measured(r, t.Engine, t.Call)
		if !ok {
			continue
		}
		if first {
			b.WriteString("| what, ns | measured | target | native C | times native C |\n|---|---|---|---|---|\n")
			first = false
		}
		aim := kept.AtMost(v, t.Max+t.PerInsn*r[workload(t.Workload, t.Engine, t.Call)+" insns"])
		if than, ok := t.measured(r, t.Than, t.Call); ok && t.Faster > 0 {
			aim = fasterVerdict(than/v, t.Faster, t.Than)
		}
		native, ratio := "", ""
		if n, ok := t.measured(r, "native", "batch"); ok && t.Call != "compile" {
			native, ratio = kept.Number(n), kept.Number(v/n)
			if t.Native > 0 {
				ratio += ", " + kept.AtMost(v/n, t.Native)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", t.label(), kept.Number(v), aim, native, ratio)
	}
	if !first {
		b.WriteByte('\n')
	}
}

func (t *target) label() string {
	if t.Unit == "ns/insn" {
		return t.What + ", an instruction"
	}
	return t.What
}

// measured returns the figure that the target is for, of any engine.
func (t *target) measured(r results, engine, call string) (float64, bool) {
	v, ok := r[workload(t.Workload, engine, call)+" "+t.Unit]
	if !ok && t.Unit == "ns/insn" { // native code has no eBPF instructions: take those of the engine
		v, ok = r[workload(t.Workload, engine, call)+" ns/op"]
		v /= r[workload(t.Workload, t.Engine, t.Call)+" insns"]
	}
	if t.Minus != "" {
		base, have := r[workload(t.Minus, engine, call)+" ns/op"]
		v, ok = v-base, ok && have
	}
	return v / t.Times, ok
}

// fasterVerdict says how many times faster something should be than an engine, and how many times it is.
func fasterVerdict(is, should float64, than string) string {
	word := "met"
	if is < should {
		word = "**missed**"
	}
	return fmt.Sprintf("%s times %s: %s, %s times", kept.Number(should), than, word, kept.Number(is))
}

// columns of the table of workloads, and how each is run.
var columns = []struct{ title, engine, call string }{
	{"interpreter", "interp", "single"},
	{"machine code", "jit", "single"},
	{"machine code, batch", "jit", "batch"},
	{"native C, batch", "native", "batch"},
	{"kernel's test run", "kernel", "test-run"},
}

// workloadTable shows each workload on each engine.
func workloadTable(b *bytes.Buffer, r results) {
	var lines []string
	for _, w := range workloads.All {
		insns, ok := r[workload(w.Name, columns[0].engine, columns[0].call)+" insns"]
		if !ok {
			continue
		}
		line := fmt.Sprintf("| %s | %s |", w.About, strconv.FormatFloat(insns, 'f', 0, 64))
		for _, c := range columns {
			cell := "-"
			if v, ok := r[workload(w.Name, c.engine, c.call)+" ns/op"]; ok {
				cell = kept.Number(v)
			}
			line += " " + cell + " |"
		}
		lines = append(lines, line)
	}
	if len(lines) == 0 {
		return
	}
	b.WriteString("| workload, ns a run | instructions |")
	for _, c := range columns {
		fmt.Fprintf(b, " %s |", c.title)
	}
	b.WriteString("\n|---|---|" + strings.Repeat("---|", len(columns)) + "\n" + strings.Join(lines, "\n") + "\n\n")
}
