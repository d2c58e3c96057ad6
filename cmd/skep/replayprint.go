package main

import (
	"fmt"
	"io"
	gomaps "maps"
	"slices"
	"strings"
	"time"

	"github.com/skepvm/skep/replay"
)

// replayOutput is a form of a replay's report.
type replayOutput struct {
	name  string
	print func(a *app, r *replay.Report, p *replay.Page) error
}

var replayOutputs = []replayOutput{
	{"text", func(a *app, r *replay.Report, _ *replay.Page) error { printReplay(a.out, r); return nil }},
	{"json", func(a *app, r *replay.Report, _ *replay.Page) error { return a.printJSON(r) }},
	{"csv", func(a *app, r *replay.Report, _ *replay.Page) error { return printReplayCSV(a.out, r) }},
	{"html", func(a *app, r *replay.Report, p *replay.Page) error { return r.WriteHTML(a.out, *p) }},
}

func findReplayOutput(name string) (*replayOutput, error) {
	for i := range replayOutputs {
		if replayOutputs[i].name == name {
			return &replayOutputs[i], nil
		}
	}
	return nil, fmt.Errorf("-o %s: want text, json, csv or html", name)
}

func printReplay(w io.Writer, r *replay.Report) {
	printRun(w, r)
	printVerdicts(w, r)
	number := func(what string, n uint64) {
		if n > 0 {
			fmt.Fprintf(w, "  %s: %d\n", what, n)
		}
	}
	number("packets changed", r.Changed)
	number("timers fired", r.Timers)
	number("captured in part", r.Truncated)
	number("padded with zeros", r.Padded)
	number("VLAN tags taken out", r.VLAN)
	number("older than a packet before them", r.ClockBack)
	printCounts(w, "of", r.Links)
	printCounts(w, "converted from", r.Converted)
	printCounts(w, "skipped:", r.Skipped)
	if len(r.Shared) > 0 {
		fmt.Fprintf(w, "  flows share state through %s: another run may have another result\n", strings.Join(r.Shared, ", "))
	}
	for _, d := range r.Damage {
		fmt.Fprintf(w, "  DAMAGED %s\n", d)
	}
	number("FAULTS", r.Faults)
	for _, f := range r.FaultExamples {
		fmt.Fprintf(w, "    packet %d: %s\n", f.Packet, f.Error)
	}
	printAborted(w, r.AbortedExamples)
	if r.Engine == "" || len(r.Filters) > 0 && len(r.Verdicts) == 0 {
		return
	}
	fmt.Fprintf(w, "  %.1f instructions a packet\n", float64(r.Insns)/float64(max(r.Packets, 1)))
	if r.Detail == nil {
		return
	}
	printMeasures(w, "a packet", &r.Detail.Measures)
	for i := range r.Programs {
		printMeasures(w, fmt.Sprintf("%s (%s)", r.Programs[i].Name, r.Programs[i].Hook), r.Programs[i].Measures)
	}
}

// printRun prints what was replayed, how fast, and on what.
func printRun(w io.Writer, r *replay.Report) {
	engine := r.Engine
	if r.Against != "" {
		engine += " and " + r.Against + ", " + r.Agreement()
	}
	if r.CPUs > 0 {
		engine += fmt.Sprintf(" on %d CPUs", r.CPUs)
	}
	seconds := r.Elapsed.Seconds()
	fmt.Fprintf(w, "%d packets, %d bytes in %.3f s, %.2f million packets/s", r.Packets, r.Bytes, seconds, float64(r.Packets)/1e6/max(seconds, 1e-9))
	if engine != "" {
		fmt.Fprintf(w, " (%s)", engine)
	}
	fmt.Fprintln(w)
	if len(r.Links) > 0 {
		fmt.Fprintf(w, "  from %s to %s\n", captureTime(r.FirstNS), captureTime(r.LastNS))
	}
}

// printVerdicts prints what filters and programs said of the packets, and where they went.
func printVerdicts(w io.Writer, r *replay.Report) {
	for _, f := range r.Filters {
		fmt.Fprintf(w, "  %-16s%12d packets  %5.1f %%  %14d bytes\n", f.Name, f.Packets, 100*float64(f.Packets)/float64(max(r.Seen, 1)), f.Bytes)
	}
	for _, v := range r.Verdicts {
		fmt.Fprintf(w, "  %-16s%12d packets  %5.1f %%  %14d bytes", v.Name, v.Packets,
			100*float64(v.Packets)/float64(max(r.Packets, 1)), v.Bytes)
		if v.Program != "" {
			fmt.Fprintf(w, "  by %s (%s)", v.Program, v.Hook)
		}
		fmt.Fprintln(w)
	}
	for _, p := range r.Programs {
		fmt.Fprintf(w, "  %-11s %-20s%12d packets", p.Hook, p.Name, p.Packets)
		for _, v := range p.Verdicts {
			fmt.Fprintf(w, "  %s %d", v.Name, v.Packets)
		}
		if p.Faults > 0 {
			fmt.Fprintf(w, "  faults %d", p.Faults)
		}
		fmt.Fprintln(w)
	}
	for _, to := range r.Redirects {
		fmt.Fprintf(w, "  redirected %-20s%12d packets\n", redirectName(to), to.Packets)
	}
}

// printAborted prints the first packets that ended with XDP_ABORTED, a line for each program of a chain.
func printAborted(w io.Writer, list []replay.AbortedExample) {
	packets := map[string][]string{}
	var order []string
	for _, x := range list {
		by := ""
		if x.Program != "" {
			by = fmt.Sprintf(" by %s (%s)", x.Program, x.Hook)
		}
		if packets[by] == nil {
			order = append(order, by)
		}
		packets[by] = append(packets[by], fmt.Sprint(x.Packet))
	}
	for _, by := range order {
		fmt.Fprintf(w, "  first with XDP_ABORTED%s: packet %s\n", by, strings.Join(packets[by], ", "))
	}
}

// printMeasures prints the middle and the ends of distributions.
func printMeasures(w io.Writer, of string, m *replay.Measures) {
	for _, h := range []struct {
		unit string
		*replay.Histogram
	}{{"ns", &m.Nanoseconds}, {"instructions", &m.Instructions}} {
		if h.Count > 0 {
			fmt.Fprintf(w, "  %-28s %s: mean %.1f, half up to %d, 99 %% up to %d, most %d\n", of, h.unit, h.Mean(), h.Quantile(0.5), h.Quantile(0.99), h.Max)
		}
	}
}

// captureTime shows a packet's time.
func captureTime(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000000000")
}

// redirectName says where packets were redirected to.
func redirectName(to replay.Redirect) string {
	place := fmt.Sprintf("to interface %d", to.Ifindex)
	if to.Ifindex == 0 {
		place = fmt.Sprintf("to %d", to.Value)
	}
	if to.Map != "" {
		place += " of " + to.Map
	}
	return place
}

func printCounts(w io.Writer, what string, c replay.Counts) {
	for _, name := range sortedNames(c) {
		fmt.Fprintf(w, "  %s %s: %d\n", what, name, c[name])
	}
}

func sortedNames(c replay.Counts) []string {
	return slices.Sorted(gomaps.Keys(c))
}
