// Command figures writes the speed table of the README from the newest kept benchmark results, so that no figure is
// ever typed by hand. Results are files that bench/run.sh makes, in the format of `go test -bench`.
//
//	go run ./bench/figures            rewrite README.md
//	go run ./bench/figures -check     exit 1 when README.md does not say what the newest results say
package main

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

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

// row is a line of the table of replays: what is measured, in which benchmark, and the benchmark that it is compared with.
type row struct{ label, bench, versus string }

const large = "BenchmarkLarge/file=disk/"

var rows = []row{
	{"replay of 5 million packets, 3.7 GB in the page cache, machine code", large + "tool=replay/engine=jit", large + "tool=tcpdump"},
	{"the same, interpreter", large + "tool=replay/engine=interp", large + "tool=tcpdump"},
	{"the same file through `tcpdump -r FILE -w /dev/null 'tcp dst port 22'`", large + "tool=tcpdump", ""},
	{"reading the file and nothing else", large + "tool=read", ""},
}

const begin, end = "<!-- figures: made by bench/figures -->\n", "<!-- end of figures -->\n"

func main() {
	check := flag.Bool("check", false, "only say whether README.md is up to date")
	dir := flag.String("results", "bench/results", "folder with kept results")
	targets := flag.String("targets", "bench/targets.json", "what the figures should be")
	readme := flag.String("readme", "README.md", "file to rewrite")
	flag.Parse()
	if err := run(*dir, *targets, *readme, *check); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(dir, targetFile, readme string, check bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no results in %s (%v): run bench/run.sh", dir, err)
	}
	newest := slices.Max(files) // names begin with the date
	best, err := readResults(newest)
	if err != nil {
		return err
	}
	targets, err := readTargets(targetFile)
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
	made := slices.Concat(before, []byte(begin), tables(best, targets, filepath.Base(newest)), []byte(end), after)
	switch {
	case bytes.Equal(made, old):
		return nil
	case check:
		return fmt.Errorf("%s is not what %s says: run go run ./bench/figures", readme, newest)
	}
	return os.WriteFile(readme, made, 0o644)
}

// results are the smallest values by benchmark and unit: "BenchmarkX/engine=jit ns/op" -> 1.5.
type results map[string]float64

func workload(name, engine, call string) string {
	return fmt.Sprintf("BenchmarkWorkload/name=%s/engine=%s/call=%s", name, engine, call)
}

func readTargets(file string) (list []target, err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&list); err != nil {
		return nil, fmt.Errorf("%s: near byte %d: %w", file, dec.InputOffset(), err)
	}
	for i := range list {
		t := &list[i]
		t.Unit, t.Times = cmp.Or(t.Unit, "ns/op"), cmp.Or(t.Times, 1)
	}
	return list, nil
}

// readResults reads the output of go test -bench, and what else is in its format.
func readResults(file string) (results, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	best := results{}
	for s := bufio.NewScanner(f); s.Scan(); {
		fields := strings.Fields(s.Text())
		if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
			continue
		}
		name := fields[0]
		if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS
			if _, err := strconv.Atoi(name[i+1:]); err == nil {
				name = name[:i]
			}
		}
		for i := 2; i+1 < len(fields); i += 2 {
			v, err := strconv.ParseFloat(fields[i], 64)
			if err != nil {
				return nil, fmt.Errorf("%s: %q: %w", file, s.Text(), err)
			}
			key := name + " " + fields[i+1]
			if was, ok := best[key]; !ok || v < was {
				best[key] = v
			}
		}
	}
	return best, nil
}

// tables renders what is among the results.
func tables(r results, targets []target, source string) []byte {
	var b bytes.Buffer
	targetTable(&b, r, targets)
	workloadTable(&b, r)
	if _, ok := r[rows[0].bench+" s-cpu"]; ok {
		b.WriteString("| what | CPU time | |\n|---|---|---|\n")
		for _, w := range rows {
			v, ratio := r[w.bench+" s-cpu"], ""
			if base, ok := r[w.versus+" s-cpu"]; ok {
				ratio = fmt.Sprintf("%.1fx faster than %s", base/v, w.versus[strings.LastIndexByte(w.versus, '=')+1:])
			}
			fmt.Fprintf(&b, "| %s | %.3g s | %s |\n", w.label, v, ratio)
		}
		b.WriteByte('\n')
	}
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
		aim := verdict(v, t.Max+t.PerInsn*r[workload(t.Workload, t.Engine, t.Call)+" insns"])
		if than, ok := t.measured(r, t.Than, t.Call); ok && t.Faster > 0 {
			aim = fasterVerdict(than/v, t.Faster, t.Than)
		}
		native, ratio := "", ""
		if n, ok := t.measured(r, "native", "batch"); ok && t.Call != "compile" {
			native, ratio = number(n), number(v/n)
			if t.Native > 0 {
				ratio += ", " + verdict(v/n, t.Native)
			}
		}
		fmt.Fprintf(b, "| %s | %s | %s | %s | %s |\n", t.label(), number(v), aim, native, ratio)
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

// verdict says what the limit is and whether v is within it.
func verdict(v, limit float64) string {
	if v <= limit {
		return "at most " + number(limit) + ": met"
	}
	return "at most " + number(limit) + ": **missed**"
}

// fasterVerdict says how many times faster something should be than an engine, and how many times it is.
func fasterVerdict(is, should float64, than string) string {
	word := "met"
	if is < should {
		word = "**missed**"
	}
	return fmt.Sprintf("%s times %s: %s, %s times", number(should), than, word, number(is))
}

// number shows three digits, or all in front of the point.
func number(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
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
				cell = number(v)
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
