// Command figures writes the speed table of the README from the newest kept benchmark results, so that no figure is
// ever typed by hand. Results are files that bench/run.sh makes, in the format of `go test -bench`.
//
//	go run ./bench/figures            rewrite README.md
//	go run ./bench/figures -check     exit 1 when README.md does not say what the newest results say
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// row is a line of the table: what is measured, in which benchmark and unit, and the benchmark that it is compared with.
type row struct {
	label, bench, unit, versus string
	shown                      string // unit as shown
}

var rows = []row{
	{label: "interpreter, 14,007-instruction ALU loop", bench: "BenchmarkALULoop/engine=interp", unit: "min-ns/insn", shown: "ns an instruction"},
	{label: "machine code, the same loop", bench: "BenchmarkALULoop/engine=jit", unit: "min-ns/insn", versus: "BenchmarkALULoop/engine=interp", shown: "ns an instruction"},
	{label: "machine code, TCP filter, batch", bench: "BenchmarkFilter/engine=jit", unit: "batch-ns/packet", versus: "BenchmarkFilter/engine=interp", shown: "ns a packet"},
	{label: "replay of 5 million packets, 3.7 GB in memory, machine code", bench: "BenchmarkLarge/tool=replay/engine=jit", unit: "s-cpu", versus: "BenchmarkLarge/tool=tcpdump", shown: "s of CPU time"},
	{label: "the same, interpreter", bench: "BenchmarkLarge/tool=replay/engine=interp", unit: "s-cpu", versus: "BenchmarkLarge/tool=tcpdump", shown: "s of CPU time"},
	{label: "the same file through `tcpdump -r FILE -w /dev/null 'tcp dst port 22'`", bench: "BenchmarkLarge/tool=tcpdump", unit: "s-cpu", shown: "s of CPU time"},
}

const begin, end = "<!-- figures: made by bench/figures -->\n", "<!-- end of figures -->\n"

func main() {
	check := flag.Bool("check", false, "only say whether README.md is up to date")
	dir := flag.String("results", "bench/results", "folder with kept results")
	readme := flag.String("readme", "README.md", "file to rewrite")
	flag.Parse()
	if err := run(*dir, *readme, *check); err != nil {
		fmt.Fprintln(os.Stderr, "figures:", err)
		os.Exit(1)
	}
}

func run(dir, readme string, check bool) error {
	files, err := filepath.Glob(filepath.Join(dir, "*.txt"))
	if err != nil || len(files) == 0 {
		return fmt.Errorf("no results in %s (%v): run bench/run.sh", dir, err)
	}
	newest := slices.Max(files) // names begin with the date
	results, err := readResults(newest)
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
	made := slices.Concat(before, []byte(begin), table(results, filepath.Base(newest)), []byte(end), after)
	switch {
	case bytes.Equal(made, old):
		return nil
	case check:
		return fmt.Errorf("%s is not what %s says: run go run ./bench/figures", readme, newest)
	}
	return os.WriteFile(readme, made, 0o644)
}

// readResults returns the smallest value of each benchmark and unit: "BenchmarkX/engine=jit ns/op" -> 1.5.
func readResults(file string) (map[string]float64, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	best := map[string]float64{}
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

// table renders the rows whose benchmark is among the results.
func table(results map[string]float64, source string) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "| what | fastest | ratio |\n|---|---|---|\n")
	for _, r := range rows {
		v, ok := results[r.bench+" "+r.unit]
		if !ok {
			continue
		}
		ratio := ""
		if base, ok := results[r.versus+" "+r.unit]; ok {
			ratio = fmt.Sprintf("%.1fx faster than %s", base/v, r.versus[strings.IndexByte(r.versus, '=')+1:])
		}
		fmt.Fprintf(&b, "| %s | %.3g %s | %s |\n", r.label, v, r.shown, ratio)
	}
	fmt.Fprintf(&b, "\nFrom `bench/results/%s`; `bash bench/run.sh` makes such a file.\n", source)
	return b.Bytes()
}
