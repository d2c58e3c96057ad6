package main

import (
	"encoding/csv"
	"fmt"
	"io"
	gomaps "maps"
	"slices"
	"strconv"
	"strings"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/maps"
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

// maxPageMap is how much of a map a page shows, in bytes of text.
const maxPageMap = 64 << 10

// pageMaps are the maps that are no data sections, as JSON lines.
func pageMaps(v *skep.VM) ([]replay.PageMap, error) {
	var out []replay.PageMap
	for _, m := range v.Machine().Maps().All() {
		if m.Spec().DataSection {
			continue
		}
		var text strings.Builder
		if err := maps.DumpJSON(&text, m); err != nil {
			return nil, err
		}
		s := text.String()
		if len(s) > maxPageMap {
			s = s[:maxPageMap] + "\n… (skep maps prints all)"
		}
		out = append(out, replay.PageMap{Name: m.Spec().Name, Text: s})
	}
	return out, nil
}

// printReplayCSV prints a row for each number of the report: what it counts, of which name, how many packets and bytes.
func printReplayCSV(w io.Writer, r *replay.Report) error {
	c := csv.NewWriter(w)
	row := func(what, name string, packets uint64, bytes string) {
		_ = c.Write([]string{what, name, strconv.FormatUint(packets, 10), bytes}) // Error says what went wrong
	}
	_ = c.Write([]string{"what", "name", "packets", "bytes"})
	row("replayed", r.Engine, r.Packets, strconv.FormatUint(r.Bytes, 10))
	for _, f := range r.Filters {
		row("filter", f.Name, f.Packets, strconv.FormatUint(f.Bytes, 10))
	}
	for _, p := range r.Programs {
		row("program", p.Hook+" "+p.Name, p.Packets, "")
		for _, v := range p.Verdicts {
			row("returned", p.Hook+" "+p.Name+" "+v.Name, v.Packets, strconv.FormatUint(v.Bytes, 10))
		}
	}
	for _, v := range r.Verdicts {
		row("verdict", strings.TrimSpace(v.Hook+" "+v.Program+" "+v.Name), v.Packets, strconv.FormatUint(v.Bytes, 10))
	}
	for _, to := range r.Redirects {
		row("redirect", redirectName(to), to.Packets, "")
	}
	for _, counts := range []struct {
		what string
		replay.Counts
	}{{"converted", r.Converted}, {"skipped", r.Skipped}} {
		for _, name := range sortedNames(counts.Counts) {
			row(counts.what, name, counts.Counts[name], "")
		}
	}
	for _, n := range []struct {
		what    string
		packets uint64
	}{{"changed", r.Changed}, {"truncated", r.Truncated}, {"vlan_taken", r.VLAN}, {"clock_backs", r.ClockBack}, {"faults", r.Faults}} {
		row(n.what, "", n.packets, "")
	}
	c.Flush()
	return c.Error()
}

func printReplay(w io.Writer, r *replay.Report) {
	engine := r.Engine
	if r.Against != "" {
		engine += " and " + r.Against + ", " + r.Agreement()
	}
	if r.CPUs > 0 {
		engine += fmt.Sprintf(" on %d CPUs", r.CPUs)
	}
	seconds := r.Elapsed.Seconds()
	fmt.Fprintf(w, "%d packets, %d bytes in %.3f s, %.2f million packets/s (%s)\n", r.Packets, r.Bytes, seconds,
		float64(r.Packets)/1e6/max(seconds, 1e-9), engine)
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
		fmt.Fprintln(w)
	}
	for _, to := range r.Redirects {
		fmt.Fprintf(w, "  redirected %-20s%12d packets\n", redirectName(to), to.Packets)
	}
	number := func(what string, n uint64) {
		if n > 0 {
			fmt.Fprintf(w, "  %s: %d\n", what, n)
		}
	}
	number("packets changed", r.Changed)
	number("timers fired", r.Timers)
	number("captured in part", r.Truncated)
	number("VLAN tags taken out", r.VLAN)
	number("older than a packet before them", r.ClockBack)
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
	if len(r.Filters) > 0 && len(r.Verdicts) == 0 {
		return
	}
	fmt.Fprintf(w, "  %.1f instructions a packet\n", float64(r.Insns)/float64(max(r.Packets, 1)))
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
