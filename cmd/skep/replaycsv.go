package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/skepvm/skep/replay"
)

// replayCSV prints a row for each number of a report: what it counts, of which name, how many packets and bytes.
type replayCSV struct{ *csv.Writer }

// row prints a count of packets; rest is their bytes, where these are counted.
func (c replayCSV) row(what, name string, packets uint64, rest ...uint64) {
	bytes := ""
	if len(rest) > 0 {
		bytes = strconv.FormatUint(rest[0], 10)
	}
	_ = c.Write([]string{what, strings.TrimSpace(name), strconv.FormatUint(packets, 10), bytes}) // Error says what went wrong
}

func printReplayCSV(w io.Writer, r *replay.Report) error {
	c := replayCSV{csv.NewWriter(w)}
	_ = c.Write([]string{"what", "name", "packets", "bytes"})
	c.row("replayed", r.Engine, r.Packets, r.Bytes)
	for _, f := range r.Filters {
		c.row("filter", f.Name, f.Packets, f.Bytes)
	}
	for _, p := range r.Programs {
		of := p.Hook + " " + p.Name
		c.row("program", of, p.Packets)
		for _, v := range p.Verdicts {
			c.row("returned", of+" "+v.Name, v.Packets, v.Bytes)
		}
		if p.Faults > 0 {
			c.row("program_faults", of, p.Faults)
		}
	}
	for _, v := range r.Verdicts {
		c.row("verdict", v.Hook+" "+v.Program+" "+v.Name, v.Packets, v.Bytes)
	}
	for _, to := range r.Redirects {
		c.row("redirect", redirectName(to), to.Packets)
	}
	for _, counts := range []struct {
		what string
		replay.Counts
	}{{"link", r.Links}, {"converted", r.Converted}, {"skipped", r.Skipped}} {
		for _, name := range sortedNames(counts.Counts) {
			c.row(counts.what, name, counts.Counts[name])
		}
	}
	for _, n := range []struct {
		what    string
		packets uint64
	}{{"changed", r.Changed}, {"truncated", r.Truncated}, {"padded", r.Padded}, {"vlan_taken", r.VLAN}, {"clock_backs", r.ClockBack}, {"timers", r.Timers},
		{"differences", r.Differences}, {"faults", r.Faults}, {"packets_per_second", uint64(r.PerSecond())}} {
		c.row(n.what, "", n.packets)
	}
	c.examples(r)
	c.detail(r)
	c.Flush()
	return c.Error()
}

// examples prints a row for each of the first packets that something went wrong with: packets is 1.
func (c replayCSV) examples(r *replay.Report) {
	for _, x := range r.FaultExamples {
		c.row("fault_example", fmt.Sprintf("packet %d: %s", x.Packet, x.Error), 1)
	}
	for _, x := range r.DifferenceExamples {
		c.row("difference_example", fmt.Sprintf("packet %d: %s: %s here, %s there", x.Packet, x.What, x.Here, x.There), 1)
	}
	for _, x := range r.AbortedExamples {
		c.row("aborted_example", fmt.Sprintf("packet %d: %s", x.Packet, strings.TrimSpace(x.Hook+" "+x.Program+" XDP_ABORTED")), 1)
	}
}

// detail prints a row for each interval of the series, by its start in ns since 1970, and each bucket of the histograms.
func (c replayCSV) detail(r *replay.Report) {
	if r.Detail == nil {
		return
	}
	s := &r.Detail.Series
	for _, verdict := range s.Rows {
		for i, n := range verdict.Packets {
			c.row("series "+verdict.Name, strconv.FormatInt(s.StartNS+int64(i)*s.WidthNS, 10), n)
		}
	}
	c.measures("", &r.Detail.Measures)
	for _, p := range r.Programs {
		c.measures(" "+p.Hook+" "+p.Name, p.Measures)
	}
}

func (c replayCSV) measures(of string, m *replay.Measures) {
	for _, h := range []struct {
		unit string
		*replay.Histogram
	}{{"nanoseconds", &m.Nanoseconds}, {"instructions", &m.Instructions}} {
		for _, b := range h.Buckets {
			c.row(h.unit+of, fmt.Sprintf("%d-%d", b.Low, b.High), b.Count)
		}
	}
}
