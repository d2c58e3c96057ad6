package replay

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strings"
	"time"
)

// Page is what a page shows beside the report.
type Page struct {
	Title   string // the program's name, say
	Capture string // what was replayed
	Maps    []PageMap
}

// PageMap is a map's contents, as text.
type PageMap struct{ Name, Text string }

//go:embed page.html
var page string

var pageTemplate = template.Must(template.New("report").Funcs(template.FuncMap{
	"count": groups, "bytes": byteSize, "percent": percent, "time": wallTime, "px": func(v float64) string { return fmt.Sprintf("%.1f", v) }, // the same on every processor
	"quantile": func(h *Histogram, q float64) string { return groups(h.Quantile(q)) },
	"mean":     func(h *Histogram) string { return fmt.Sprintf("%.1f", h.Mean()) },
}).Parse(page))

// hues is how many colours the page has for verdicts.
const hues = 8

// chart is a drawing of the page, in its own coordinates.
type chart struct {
	Width, Height int
	Areas         []area
	Bars          []bar
	Lines         []tick // of the vertical axis
	Ticks         []tick // of the horizontal axis
}

type area struct {
	Path, Name string
	Hue        int
}

type bar struct {
	X, Y, W, H float64
	Title      string
}

type tick struct {
	At   float64
	Text string
}

const (
	chartWidth  = 960
	chartHeight = 220
	chartLeft   = 64 // room for the vertical axis' numbers
	chartBottom = 24
	chartTop    = 8
)

// WriteHTML writes the report as a page that needs nothing else: tables, and charts when Options.Detail has measured for them.
func (rep *Report) WriteHTML(w io.Writer, p Page) error {
	colours := rep.colours()
	data := struct {
		Page
		*Report
		Rate         string
		Span         time.Duration
		Hue          func(verdict string) int
		Series       *chart
		Legend       []SeriesRow
		Distribution []distribution
	}{Page: p, Report: rep, Span: time.Duration(rep.LastNS - rep.FirstNS), Hue: func(name string) int { return colours[name] }}
	data.Rate = fmt.Sprintf("%.2f", rep.PerSecond()/1e6)
	if d := rep.Detail; d != nil {
		if len(d.Series.Rows) > 0 {
			data.Series, data.Legend = d.Series.chart(colours), d.Series.Rows
		}
		data.Distribution = d.Measures.distributions("for a packet")
	}
	for i := range rep.Programs {
		if p := &rep.Programs[i]; p.Measures != nil {
			data.Distribution = append(data.Distribution, p.Measures.distributions(fmt.Sprintf("of %s (%s)", p.Name, p.Hook))...)
		}
	}
	return pageTemplate.Execute(w, data)
}

// colours has a hue for each verdict's name.
func (rep *Report) colours() map[string]int {
	hue := map[string]int{}
	add := func(name string) {
		if _, ok := hue[name]; !ok {
			hue[name] = len(hue) % hues
		}
	}
	for _, v := range rep.Verdicts {
		add(v.Name)
	}
	if rep.Detail != nil {
		for _, row := range rep.Detail.Series.Rows {
			add(row.Name)
		}
	}
	return hue
}

type distribution struct {
	Name, Unit string
	*Histogram
	Chart *chart
}

// distributions are what there is to draw of some measures; of says whose they are.
func (m *Measures) distributions(of string) (list []distribution) {
	for _, h := range []distribution{{"Time " + of, "ns", &m.Nanoseconds, nil}, {"Instructions " + of, "instructions", &m.Instructions, nil}} {
		if h.Count > 0 {
			h.Chart = h.chart()
			list = append(list, h)
		}
	}
	return list
}

// chart stacks the rows: the height of a column is all packets of its interval.
func (s *Series) chart(hue map[string]int) *chart {
	n := len(s.Rows[0].Packets)
	below, most := make([]uint64, n), uint64(1)
	for i := range n {
		sum := uint64(0)
		for _, row := range s.Rows {
			sum += row.Packets[i]
		}
		most = max(most, sum)
	}
	c := &chart{Width: chartWidth, Height: chartHeight}
	top := c.scale(most)
	for _, row := range s.Rows {
		var up, down strings.Builder
		for i, v := range row.Packets {
			left, right := c.column(i, n)
			y0, y1 := c.y(below[i], top), c.y(below[i]+v, top)
			fmt.Fprintf(&up, "L%.1f %.1fL%.1f %.1f", left, y1, right, y1)
			down.WriteString(reversed(left, right, y0))
			below[i] += v
		}
		c.Areas = append(c.Areas, area{Path: "M" + up.String()[1:] + backwards(down.String()) + "Z", Name: row.Name, Hue: hue[row.Name]})
	}
	for _, part := range []float64{0, 0.25, 0.5, 0.75, 1} {
		at := chartLeft + part*(chartWidth-chartLeft)
		c.Ticks = append(c.Ticks, tick{at, time.Duration(min(part*float64(s.WidthNS)*float64(n), longest)).Round(time.Microsecond).String()})
	}
	return c
}

// longest is about the longest time.Duration, 292 years: a capture's clock may lie.
const longest = 9e18

// reversed is a step of the lower edge of an area, to be read from right to left; steps end with a semicolon.
func reversed(left, right, y float64) string {
	return fmt.Sprintf("L%.1f %.1fL%.1f %.1f;", right, y, left, y)
}

func backwards(steps string) string {
	var b strings.Builder
	parts := strings.Split(strings.TrimSuffix(steps, ";"), ";")
	for i := len(parts) - 1; i >= 0; i-- {
		b.WriteString(parts[i])
	}
	return b.String()
}

// chart draws a bar for each bucket, on a logarithmic axis. The largest values, one in a thousand, are left out: a few packets during
// which the machine did something else would push all others into a corner.
func (h *Histogram) chart() *chart {
	c := &chart{Width: chartWidth / 2, Height: chartHeight}
	buckets, last := h.Buckets, h.Quantile(0.999)
	for len(buckets) > 1 && buckets[len(buckets)-1].Low > last {
		buckets = buckets[:len(buckets)-1]
	}
	most, lowest, highest := uint64(1), buckets[0].Low, buckets[len(buckets)-1].High
	for _, b := range buckets {
		most = max(most, b.Count)
	}
	top := c.scale(most)
	from, to := math.Log2(float64(lowest)+1), math.Log2(float64(highest)+2)
	x := func(v uint64) float64 {
		return chartLeft + (math.Log2(float64(v)+1)-from)/(to-from)*float64(c.Width-chartLeft)
	}
	for _, b := range buckets {
		left, right := x(b.Low), x(b.High+1)
		y := c.y(b.Count, top)
		c.Bars = append(c.Bars, bar{left, y, max(right-left-0.5, 0.5), c.y(0, top) - y,
			fmt.Sprintf("%d to %d: %d packets", b.Low, b.High, b.Count)})
	}
	for _, v := range roundNumbers(lowest, highest) {
		c.Ticks = append(c.Ticks, tick{x(v), groups(v)})
	}
	return c
}

// maxTicks is how many numbers an axis of a histogram has room for.
const maxTicks = 9

// roundNumbers are some from low to high, which look evenly spread on a logarithmic axis: all when they are few, else 1, 2 and 5 times
// powers of ten, or powers of ten alone.
func roundNumbers(low, high uint64) []uint64 {
	var all, some, few []uint64
	if high-low < maxTicks {
		for v := low; v <= high; v++ {
			all = append(all, v)
		}
		return all
	}
	for ten := uint64(1); ten <= high; ten *= 10 {
		for _, v := range []uint64{ten, 2 * ten, 5 * ten} {
			if v < low || v > high {
				continue
			}
			some = append(some, v)
			if v == ten {
				few = append(few, v)
			}
		}
		if ten > math.MaxUint64/10 {
			break
		}
	}
	if len(some) <= maxTicks {
		return some
	}
	return few
}

// scale rules the vertical axis up to a round number, which it returns.
func (c *chart) scale(most uint64) uint64 {
	step := uint64(1)
	for i := 0; most > 4*step; i++ {
		step = step * [...]uint64{2, 5, 2}[i%3] / [...]uint64{1, 2, 1}[i%3]
	}
	top := (most + step - 1) / step * step
	for v := uint64(0); v <= top; v += step {
		c.Lines = append(c.Lines, tick{c.y(v, top), groups(v)})
	}
	return top
}

func (c *chart) y(v, top uint64) float64 {
	room := float64(c.Height - chartTop - chartBottom)
	return chartTop + room*(1-float64(v)/float64(top))
}

func (c *chart) column(i, n int) (left, right float64) {
	w := float64(c.Width-chartLeft) / float64(n)
	return chartLeft + float64(i)*w, chartLeft + float64(i+1)*w
}

// groups writes a number with its thousands apart.
func groups(v uint64) string {
	s := fmt.Sprint(v)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "\u202f" + s[i:]
	}
	return s
}

func byteSize(v uint64) string {
	for _, unit := range []struct {
		size float64
		name string
	}{{1e9, "GB"}, {1e6, "MB"}, {1e3, "kB"}} {
		if float64(v) >= unit.size {
			return fmt.Sprintf("%.1f %s", float64(v)/unit.size, unit.name)
		}
	}
	return fmt.Sprintf("%d B", v)
}

func percent(part, of uint64) string {
	return fmt.Sprintf("%.1f", 100*float64(part)/float64(max(of, 1)))
}

func wallTime(ns int64) string {
	return time.Unix(0, ns).UTC().Format("2006-01-02 15:04:05.000000 UTC")
}
