package main

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// heatLine is what one source line cost the verifier, or one instruction where the object has no lines.
type heatLine struct {
	File      string  `json:"file,omitempty"`
	Line      int     `json:"line,omitempty"`
	Source    string  `json:"source,omitempty"`
	PC        int     `json:"pc"` // its first instruction
	Insn      string  `json:"insn,omitempty"`
	Processed int     `json:"processed"` // instructions of the line, over all paths
	Percent   float64 `json:"percent"`   // … of all that were processed
	Visits    int     `json:"visits"`    // of the instruction of the line that was visited most
	States    int     `json:"states"`    // kept at the line
}

// heatOf adds up the heat of instructions by source line, and returns the n hottest lines.
func heatOf(p *prog.Program, heat []verifier.Heat, n int) []heatLine {
	type place struct {
		file string
		line int // 0: pc counts
		pc   int
	}
	var lines []heatLine
	index := map[place]int{}
	total := 0
	for pc, h := range heat {
		if h.Visits == 0 {
			continue
		}
		at, l := place{pc: pc}, p.LineAt(pc)
		if l != nil {
			at = place{file: l.File, line: l.Line}
		}
		i, ok := index[at]
		if !ok {
			i = len(lines)
			index[at] = i
			lines = append(lines, newHeatLine(p, pc, l))
		}
		lines[i].Processed += h.Visits
		lines[i].Visits = max(lines[i].Visits, h.Visits)
		lines[i].States += h.States
		total += h.Visits
	}
	for i := range lines {
		lines[i].Percent = 100 * float64(lines[i].Processed) / float64(total)
	}
	slices.SortStableFunc(lines, func(a, b heatLine) int { return cmp.Compare(b.Processed, a.Processed) })
	return lines[:min(n, len(lines))]
}

func newHeatLine(p *prog.Program, pc int, l *prog.Line) heatLine {
	if l == nil {
		return heatLine{PC: pc, Insn: asm.Format(p.Insns[pc], nil)}
	}
	return heatLine{PC: pc, File: l.File, Line: l.Line, Source: strings.TrimSpace(l.Text)}
}

// where names the line or the instruction.
func (h *heatLine) where() string {
	if h.Line == 0 {
		return fmt.Sprintf("%d: %s", h.PC, h.Insn)
	}
	return fmt.Sprintf("%s:%d  %s", h.File, h.Line, h.Source)
}

func printHeat(w io.Writer, o *outcome) {
	if len(o.Heat) == 0 {
		return
	}
	fmt.Fprintf(w, "heat    %s  %d processed, %d states (rules: %s)\n", o.Program, o.Processed, o.States, o.profile.Name)
	fmt.Fprintf(w, "  %9s  %6s  %7s  %6s\n", "processed", "part", "visits", "states")
	for i := range o.Heat {
		h := &o.Heat[i]
		fmt.Fprintf(w, "  %9d  %5.1f%%  %7d  %6d  %s\n", h.Processed, h.Percent, h.Visits, h.States, h.where())
	}
}
