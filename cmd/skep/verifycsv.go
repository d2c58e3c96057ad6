package main

import (
	"encoding/csv"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// csvColumn is a column of veristat's CSV files.
type csvColumn struct {
	name    string // as veristat writes it
	aliases []string
	value   func(*outcome) string
	// number says that values are integers, which a baseline compares.
	number bool
}

// csvColumns are veristat's, in the order in which it writes them (veristat.c: default_csv_output_spec), and last the
// column that a matrix adds. prog_size_jited is 0, as veristat writes it where the kernel has no JIT, and so is
// max_mark_read_len, as kernels from 6.18 on have it. No value is empty: veristat cannot read that.
var csvColumns = []csvColumn{
	{"file_name", []string{"filename", "file"}, func(o *outcome) string { return filepath.Base(o.Object) }, false},
	{"prog_name", []string{"progname", "prog"}, func(o *outcome) string { return o.Program }, false},
	{"verdict", nil, (*outcome).verdict, false},
	{"duration", []string{"dur"}, intColumn(func(o *outcome) int { return int(o.TimeUS) }), true},
	{"total_insns", []string{"insns"}, intColumn(func(o *outcome) int { return o.Processed }), true},
	{"total_states", []string{"states"}, intColumn(func(o *outcome) int { return o.States }), true},
	{"peak_states", nil, intColumn(func(o *outcome) int { return o.PeakStates }), true},
	{"max_states_per_insn", nil, intColumn(func(o *outcome) int { return o.MaxStatesPerInsn }), true},
	{"max_mark_read_len", []string{"mark_read"}, intColumn(func(*outcome) int { return 0 }), true},
	{"prog_size", nil, intColumn(func(o *outcome) int { return o.Insns }), true},
	{"prog_size_jited", nil, intColumn(func(*outcome) int { return 0 }), true},
	{"prog_type", nil, func(o *outcome) string { return o.Type }, false},
	{"attach_type", nil, func(o *outcome) string { return o.prog.Attach().String() }, false},
	{"stack_depth", []string{"stack"}, intColumn(func(o *outcome) int { return sum(o.StackDepth) }), true},
	{kernelColumn, nil, func(o *outcome) string { return o.Kernel }, false},
}

// kernelColumn is not one of veristat's.
const kernelColumn = "kernel"

func intColumn(of func(*outcome) int) func(*outcome) string {
	return func(o *outcome) string { return strconv.Itoa(of(o)) }
}

// short is the name that people type.
func (c *csvColumn) short() string {
	if len(c.aliases) > 0 {
		return c.aliases[len(c.aliases)-1]
	}
	return c.name
}

// Verdicts, as veristat spells them.
const (
	verdictSuccess = "success"
	verdictFailure = "failure"
)

func (o *outcome) verdict() string {
	if o.Accepted {
		return verdictSuccess
	}
	return verdictFailure
}

// columnOf finds a column by its name or an alias of veristat's.
func columnOf(name string) (*csvColumn, bool) {
	for i := range csvColumns {
		if c := &csvColumns[i]; c.name == name || slices.Contains(c.aliases, name) {
			return c, true
		}
	}
	return nil, false
}

// columnsOf reads --emit. Without it the columns are veristat's, and the kernel when there are several.
func columnsOf(emit string, several bool) ([]*csvColumn, error) {
	var all []*csvColumn
	if emit == "" {
		for i := range csvColumns {
			if csvColumns[i].name != kernelColumn || several {
				all = append(all, &csvColumns[i])
			}
		}
		return all, nil
	}
	for name := range strings.SplitSeq(emit, ",") {
		c, ok := columnOf(name)
		if !ok {
			return nil, fmt.Errorf("--emit: no column %q; there are %s", name, columnNames())
		}
		all = append(all, c)
	}
	return all, nil
}

func columnNames() string {
	names := make([]string, len(csvColumns))
	for i := range csvColumns {
		names[i] = csvColumns[i].name
	}
	return strings.Join(names, ", ")
}

// writeVerifyCSV writes a row for each program and kernel.
func writeVerifyCSV(w io.Writer, v *verification, columns []*csvColumn) error {
	out := csv.NewWriter(w)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	out.Write(row)
	for n := range v.outcomes {
		for i, c := range columns {
			row[i] = c.value(&v.outcomes[n])
		}
		out.Write(row)
	}
	out.Flush()
	return out.Error()
}
