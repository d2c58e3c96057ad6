package main

import (
	"encoding/csv"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// programKey names a program in a CSV file, as veristat does, and the kernel where there are several.
type programKey struct{ file, program, kernel string }

// baselineRow is a program's row of a CSV file.
type baselineRow struct {
	key    programKey
	values map[string]string // by column
}

// readBaseline reads a CSV file of skep or of veristat, which may have any of their columns; others are ignored.
func readBaseline(r io.Reader, name string) (rows []baselineRow, columns []string, err error) {
	in := csv.NewReader(r)
	in.ReuseRecord = true
	head, err := in.Read()
	if err != nil {
		return nil, nil, baselineError(name, err)
	}
	for _, h := range head {
		h = strings.TrimSpace(h)
		if c, ok := columnOf(h); ok {
			h = c.name
		}
		columns = append(columns, h)
	}
	for {
		record, err := in.Read()
		if err == io.EOF {
			return rows, columns, nil
		}
		if err != nil {
			return nil, nil, baselineError(name, err)
		}
		line, _ := in.FieldPos(0)
		row := baselineRow{values: map[string]string{}}
		for i, c := range columns {
			row.values[c] = record[i]
		}
		if err := row.check(); err != nil {
			return nil, nil, fmt.Errorf("%s:%d: %w", name, line, err)
		}
		rows = append(rows, row)
	}
}

func baselineError(name string, err error) error {
	var syntax *csv.ParseError
	switch {
	case err == io.EOF:
		return fmt.Errorf("%s: empty, no CSV file", name)
	case errors.As(err, &syntax):
		return fmt.Errorf("%s:%d:%d: %w", name, syntax.Line, syntax.Column, syntax.Err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

// check makes the key and sees that the values are such as their columns have.
func (r *baselineRow) check() error {
	r.key = programKey{filepath.Base(r.values["file_name"]), r.values["prog_name"], r.values[kernelColumn]}
	if r.values["file_name"] == "" || r.key.program == "" {
		return errors.New("no file_name or no prog_name: not veristat's columns")
	}
	if v, ok := r.values["verdict"]; ok && v != verdictSuccess && v != verdictFailure {
		return fmt.Errorf("verdict %q: want %s or %s", v, verdictSuccess, verdictFailure)
	}
	for name, value := range r.values {
		if c, ok := columnOf(name); ok && c.number {
			if _, err := strconv.Atoi(value); err != nil {
				return fmt.Errorf("%s %q is no number", name, value)
			}
		}
	}
	return nil
}

// threshold is how much more of a column than in the baseline is too much.
type threshold struct {
	column  *csvColumn
	percent float64
}

// thresholdsOf reads --threshold: "10%" is of the instructions, "states=20%" of a column.
func thresholdsOf(text string) ([]threshold, error) {
	var all []threshold
	for part := range strings.SplitSeq(text, ",") {
		name, value, named := strings.Cut(part, "=")
		if !named {
			name, value = "total_insns", part
		}
		c, ok := columnOf(name)
		if !ok || !c.number {
			return nil, fmt.Errorf("--threshold %s: no number %q; there are insns, states, peak_states, stack, duration …", part, name)
		}
		percent, err := strconv.ParseFloat(strings.TrimSuffix(value, "%"), 64)
		if err != nil || !(percent >= 0) {
			return nil, fmt.Errorf("--threshold %s: want a percentage such as 10%%", part)
		}
		all = append(all, threshold{c, percent})
	}
	return all, nil
}

// comparison is of a baseline, side A, with a verification, side B. nil is none.
type comparison struct {
	name    string
	columns []*csvColumn // the numbers that are compared
	kernels bool         // rows differ by kernel too
	pairs   []pair
}

// pair is a program on both sides, or on one.
type pair struct {
	key  programKey
	a    *baselineRow // nil: new
	b    *outcome     // nil: gone
	fail []string     // why B is too much worse
}

// comparedColumns are what a comparison shows besides columns with a threshold. Times differ from run to run.
var comparedColumns = []string{"total_insns", "total_states", "peak_states", "stack_depth"}

// against compares with the file that --baseline names.
func (v *verification) against(f *verifyFlags) (*comparison, error) {
	limits, err := thresholdsOf(f.threshold)
	if err != nil || f.baseline == "" {
		return nil, err
	}
	file, err := os.Open(f.baseline)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	rows, columns, err := readBaseline(file, f.baseline)
	if err != nil {
		return nil, err
	}
	rows = slices.DeleteFunc(rows, func(r baselineRow) bool { return f.program != "" && r.key.program != f.program })
	return v.compare(f.baseline, rows, columns, limits)
}

// compare pairs the rows with the outcomes under the kernels that were demanded. Rows of other kernels don't count.
func (v *verification) compare(name string, rows []baselineRow, columns []string, limits []threshold) (*comparison, error) {
	c := &comparison{name: name, kernels: slices.Contains(columns, kernelColumn)}
	demanded := v.demandedNames()
	if !c.kernels && len(demanded) > 1 {
		return nil, fmt.Errorf("%s has no column %s: compare with one kernel at a time", name, kernelColumn)
	}
	for _, l := range limits {
		if !slices.Contains(columns, l.column.name) {
			return nil, fmt.Errorf("%s has no column %s, which --threshold is for", name, l.column.name)
		}
	}
	// Rows of the same key, as of objects of the same name in several directories, pair up in their order.
	open := map[programKey][]*baselineRow{}
	for i := range rows {
		r := &rows[i]
		if !c.kernels {
			r.key.kernel = demanded[0]
		}
		open[r.key] = append(open[r.key], r)
	}
	for i := range v.outcomes {
		o := &v.outcomes[i]
		if !v.demand[i%len(v.targets)] {
			continue
		}
		p := pair{key: programKey{filepath.Base(o.Object), o.Program, o.Kernel}, b: o}
		if same := open[p.key]; len(same) > 0 {
			p.a, open[p.key] = same[0], same[1:]
			p.fail = p.failures(limits)
		}
		c.pairs = append(c.pairs, p)
	}
	for i := range rows {
		r := &rows[i]
		if slices.Contains(open[r.key], r) && slices.Contains(demanded, r.key.kernel) {
			c.pairs = append(c.pairs, pair{key: r.key, a: r})
		}
	}
	c.chooseColumns(columns, limits)
	return c, nil
}

// chooseColumns takes instructions and states, and other columns that have a threshold or a difference.
func (c *comparison) chooseColumns(known []string, limits []threshold) {
	for i := range csvColumns {
		col := &csvColumns[i]
		limited := slices.ContainsFunc(limits, func(l threshold) bool { return l.column == col })
		if !slices.Contains(known, col.name) || !limited && !slices.Contains(comparedColumns, col.name) {
			continue
		}
		differs := func(p pair) bool { return p.a != nil && p.b != nil && p.differs(col) }
		if limited || col.name == "total_insns" || col.name == "total_states" || slices.ContainsFunc(c.pairs, differs) {
			c.columns = append(c.columns, col)
		}
	}
}

// demandedNames are the kernels that decide.
func (v *verification) demandedNames() (names []string) {
	for i, t := range v.targets {
		if v.demand[i] {
			names = append(names, t.name)
		}
	}
	return names
}

// failures says what is too much worse in B. What a rejected program cost does not matter.
func (p *pair) failures(limits []threshold) (why []string) {
	was, known := p.a.values["verdict"]
	switch {
	case !p.b.Accepted && was == verdictSuccess:
		return []string{"verdict success -> failure"}
	case !p.b.Accepted || known && was != verdictSuccess:
		return nil
	}
	for _, l := range limits {
		if pct := p.percent(l.column); pct > l.percent {
			why = append(why, fmt.Sprintf("%s %+.2f%%, more than %g%%", l.column.short(), pct, l.percent))
		}
	}
	return why
}

// sides are the values of a column.
func (p *pair) sides(c *csvColumn) (a, b int) {
	a, _ = strconv.Atoi(p.a.values[c.name])
	b, _ = strconv.Atoi(c.value(p.b))
	return a, b
}

// percent is how much more B is than A. As with veristat, all is 100 % more than nothing.
func (p *pair) percent(c *csvColumn) float64 {
	a, b := p.sides(c)
	switch {
	case a == b:
		return 0
	case a == 0:
		return 100
	}
	return 100 * float64(b-a) / float64(a)
}

// failures counts the programs that are too much worse.
func (c *comparison) failures() (n int) {
	if c == nil {
		return 0
	}
	for i := range c.pairs {
		if len(c.pairs[i].fail) > 0 {
			n++
		}
	}
	return n
}

// failure says why an outcome is too much worse; "" when it is not.
func (c *comparison) failure(o *outcome) string {
	if c == nil {
		return ""
	}
	for i := range c.pairs {
		if c.pairs[i].b == o {
			return strings.Join(c.pairs[i].fail, ", ")
		}
	}
	return ""
}

// print writes the programs that differ, and how many do not.
func (c *comparison) print(w io.Writer) {
	if c == nil {
		return
	}
	t := &table{right: map[int]bool{}}
	head := []string{"object", "program"}
	if c.kernels {
		head = append(head, kernelColumn)
	}
	head = append(head, "verdict")
	for _, col := range c.columns {
		for _, side := range []string{" A", " B", ""} {
			t.right[len(head)] = true
			if side == "" {
				head = append(head, "diff")
				continue
			}
			head = append(head, col.short()+side)
		}
	}
	t.add(head...)
	same, fresh, gone := 0, 0, 0
	for i := range c.pairs {
		p := &c.pairs[i]
		switch {
		case p.a == nil:
			fresh++
		case p.b == nil:
			gone++
		case p.same(c.columns):
			same++
			continue
		}
		t.add(p.row(c)...)
	}
	fmt.Fprintf(w, "\ncompared with %s (A: there, B: now)\n", c.name)
	if len(t.rows) > 1 {
		t.print(w)
	}
	fmt.Fprintf(w, "%d the same, %d different, %d new, %d gone", same, len(t.rows)-1-fresh-gone, fresh, gone)
	if n := c.failures(); n > 0 {
		fmt.Fprintf(w, "; %d FAIL", n)
	}
	fmt.Fprintln(w)
}

// same reports whether nothing differs that is shown.
func (p *pair) same(columns []*csvColumn) bool {
	if was, known := p.a.values["verdict"]; known && was != p.b.verdict() {
		return false
	}
	return !slices.ContainsFunc(columns, p.differs)
}

// differs reports whether the sides have different values of a column.
func (p *pair) differs(c *csvColumn) bool {
	a, b := p.sides(c)
	return a != b
}

// row makes the pair's cells.
func (p *pair) row(c *comparison) []string {
	row := []string{p.key.file, p.key.program}
	if c.kernels {
		row = append(row, p.key.kernel)
	}
	row = append(row, p.verdict())
	for _, col := range c.columns {
		switch {
		case p.a == nil:
			row = append(row, "", col.value(p.b), "")
		case p.b == nil:
			row = append(row, p.a.values[col.name], "", "")
		default:
			a, b := p.sides(col)
			row = append(row, strconv.Itoa(a), strconv.Itoa(b), fmt.Sprintf("%+d (%+.2f%%)", b-a, p.percent(col)))
		}
	}
	switch {
	case p.a == nil:
		row = append(row, "new")
	case p.b == nil:
		row = append(row, "gone")
	case len(p.fail) > 0:
		row = append(row, "FAIL: "+strings.Join(p.fail, ", "))
	}
	return row
}

// verdict is that of both sides, if they differ.
func (p *pair) verdict() string {
	switch {
	case p.a == nil:
		return p.b.verdict()
	case p.b == nil:
		return p.a.values["verdict"]
	}
	if was, known := p.a.values["verdict"]; known && was != p.b.verdict() {
		return was + " -> " + p.b.verdict()
	}
	return p.b.verdict()
}
