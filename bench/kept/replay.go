package kept

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"slices"
	"strconv"
	"strings"
)

// Run is something that bench/replay does with the packets of a large capture.
type Run struct {
	Tool string // read, gopacket, tcpdump or skep
	// Work is none, expr (the expression Expr, given to the tool as it is), or the workload whose program skep runs.
	Work  string
	Label string // for the table, in Markdown
	CPUs  []int  // it is measured with so many
	// Peer is the work of tcpdump that it is compared with, if any.
	Peer string
	// Dealt says that skep deals the packets out by flow to as many virtual CPUs (--cpus).
	Dealt bool
}

// Expr is the filter that tcpdump and skep are compared with; the workload block_ssh_xdp is the same in C.
const Expr = "tcp dst port 22"

// None is the work of those that only read, and the engine of those that have none.
const None = "none"

// Runs is what bench/replay measures. It is not to be written to.
var Runs = []Run{
	{Tool: "read", Work: None, Label: "read(2), 1 MiB at a time, nothing else", CPUs: []int{1, 2}},
	{Tool: "gopacket", Work: None, Label: "gopacket, `ZeroCopyReadPacketData`", CPUs: []int{1}},
	{Tool: "tcpdump", Work: None, Label: "`tcpdump -r FILE -w /dev/null`", CPUs: []int{1}},
	{Tool: "tcpdump", Work: "expr", Label: "the same with '" + Expr + "'", CPUs: []int{1, 2}},
	{Tool: "skep", Work: None, Label: "no program", CPUs: []int{1, 2}, Peer: None},
	{Tool: "skep", Work: "expr", Label: "`--filter '" + Expr + "'`", CPUs: []int{1, 2}, Peer: "expr"},
	{Tool: "skep", Work: "block_ssh_xdp", Label: "filter as XDP program", CPUs: []int{1, 2}, Peer: "expr"},
	{Tool: "skep", Work: "drop", Label: "drop", CPUs: []int{1, 2}},
	{Tool: "skep", Work: "tx_bounce", Label: "bounce", CPUs: []int{1, 2}},
	{Tool: "skep", Work: "udp_rewrite", Label: "rewrite UDP", CPUs: []int{1, 2}},
	{Tool: "skep", Work: "hash_count", Label: "count in a hash map", CPUs: []int{1, 2}},
	{Tool: "skep", Work: "hash_count", Label: "the same, `--cpus 2`", CPUs: []int{2}, Dealt: true},
}

// engines of skep in the table, with their labels; the empty name is that of other tools and of runs without a program.
var engines = []struct{ name, label string }{{None, ""}, {"jit", ", machine code"}, {"interp", ", interpreter"}}

// Name is that of a run's benchmark.
func (r *Run) Name(engine string, cpus int) string {
	name := replayName(r.Tool, r.Work, engine, cpus)
	if r.Dealt {
		name += "/dealt"
	}
	return name
}

func replayName(tool, work, engine string, cpus int) string {
	return fmt.Sprintf("BenchmarkReplay/tool=%s/work=%s/engine=%s/cpus=%d", tool, work, engine, cpus)
}

// ReplayTarget is a line of bench/replay.json: what bench/replay should find.
type ReplayTarget struct {
	What string `json:"what"`
	// Of is the benchmark that the target is for; with * in it the worst of all that match.
	Of   string `json:"of"`
	Unit string `json:"unit"`
	// Per is a benchmark whose figure the first one is divided by.
	Per string  `json:"per"`
	Max float64 `json:"max"` // at most so much; or, when Min is set,
	Min float64 `json:"min"` // at least so much
}

// ReadReplayTargets reads bench/replay.json.
func ReadReplayTargets(file string) (list []ReplayTarget, err error) {
	err = ReadJSON(file, &list)
	return list, err
}

// ReadJSON reads a file of targets, which has no fields but those of the value.
func ReadJSON(file string, value any) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.DisallowUnknownFields()
	if err := dec.Decode(value); err != nil {
		return fmt.Errorf("%s: near byte %d: %w", file, dec.InputOffset(), err)
	}
	return nil
}

// measured returns the figure of a target in a unit, of the best rounds and of the middle ones.
func (t *ReplayTarget) measured(r *Results, unit string) (best, middle float64, ok bool) {
	best, middle, ok = r.figure(t.Of, unit)
	if t.Per != "" && ok {
		var b, m float64
		b, m, ok = r.figure(t.Per, unit)
		best, middle = best/b, middle/m
	}
	return best, middle, ok
}

// byCPU is a ratio of wall times as one of CPU times, which other work on the machine disturbs less. Between different numbers of CPUs it would
// mean something else.
func (t *ReplayTarget) byCPU(r *Results) string {
	v, _, ok := t.measured(r, "s-cpu")
	if !ok || t.Unit != "s-wall" || t.Per == "" || path.Base(t.Of) != path.Base(t.Per) {
		return ""
	}
	return Number(v)
}

// figure is that of one benchmark, or the largest of all that a pattern matches.
func (r *Results) figure(name, unit string) (best, middle float64, ok bool) {
	if !strings.Contains(name, "*") {
		return r.best(name + " " + unit)
	}
	for key, values := range r.Values {
		if match, _ := path.Match(name+" "+unit, key); match {
			best, ok = max(best, slices.Max(values)), true
		}
	}
	return best, best, ok
}

// ReplayTables renders what bench/replay measured, and how it stands to the targets.
func ReplayTables(r *Results, targets []ReplayTarget) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "Replay of %s, from the page cache; the best of %s rounds, in which all took turns:\n\n", r.Config["capture"], r.Config["rounds"])
	b.WriteString("| what | one CPU, s | of it CPU time | million packets/s | times read(2) | faster than tcpdump | peak MB | two CPUs, s | faster than one |\n")
	b.WriteString("|---|---|---|---|---|---|---|---|---|\n")
	for i := range Runs {
		for _, e := range engines {
			if line := r.line(&Runs[i], e.name, e.label); line != "" {
				b.WriteString(line)
			}
		}
	}
	b.WriteString("\n| target | measured | median round | by CPU time | wanted |\n|---|---|---|---|---|\n")
	for i := range targets {
		t := &targets[i]
		best, middle, ok := t.measured(r, t.Unit)
		if !ok {
			continue
		}
		word := AtMost(best, t.Max)
		if t.Min > 0 {
			word = AtLeast(best, t.Min)
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", t.What, Number(best), Number(middle), t.byCPU(r), word)
	}
	b.WriteByte('\n')
	return b.Bytes()
}

// line is a row of the table of runs, or nothing.
func (r *Results) line(run *Run, engine, label string) string {
	wall := func(tool, work, engine string, cpus int) float64 {
		v, _, _ := r.best(replayName(tool, work, engine, cpus) + " s-wall")
		return v
	}
	one := wall(run.Tool, run.Work, engine, 1)
	if one == 0 {
		return ""
	}
	two, _, _ := r.best(run.Name(engine, 2) + " s-wall")
	cells := make([]string, 8)
	if !run.Dealt {
		cpu, _, _ := r.best(run.Name(engine, 1) + " s-cpu")
		peak, _, _ := r.figure(run.Name(engine, 1)+"*", "MB-peak")
		packets, _ := strconv.ParseFloat(r.Config["packets"], 64)
		peer := wall("tcpdump", cmp.Or(run.Peer, "-"), None, 1)
		cells = []string{Number(one), Number(cpu), Number(packets / one / 1e6), ratio(one, wall("read", None, None, 1)), ratio(peer, one), Number(peak), "", ""}
	}
	if two > 0 {
		cells[6], cells[7] = Number(two), ratio(one, two)
	}
	if run.Tool == "skep" {
		label = "skep, " + run.Label + label
	} else {
		label = run.Label
	}
	return "| " + label + " | " + strings.Join(cells, " | ") + " |\n"
}

// ratio shows a/b, or nothing when one of them was not measured.
func ratio(a, b float64) string {
	if a == 0 || b == 0 {
		return ""
	}
	return Number(a / b)
}
