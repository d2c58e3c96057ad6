package replay

import (
	"cmp"
	"math/bits"
	"slices"
	"time"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Detail is what Options.Detail adds to a Report.
type Detail struct {
	Series Series `json:"series"`
	Measures
}

// Measures are distributions of what packets took.
type Measures struct {
	Instructions Histogram `json:"instructions"` // executed for a packet, those with a fault left out
	Nanoseconds  Histogram `json:"nanoseconds"`  // that a packet took, the time of looking at the clock taken off
}

// Series is the number of packets by verdict over the capture's time, in intervals of one width. Packets with a fault are those
// of the verdict "fault".
type Series struct {
	StartNS int64       `json:"start_ns"` // of the first interval, since 1970
	WidthNS int64       `json:"width_ns"`
	Rows    []SeriesRow `json:"rows"` // most packets first
}

// SeriesRow are the packets of a verdict in each interval.
type SeriesRow struct {
	Name    string   `json:"name"`
	Packets []uint64 `json:"packets"`
}

// Histogram counts values in buckets whose width is an eighth of their lower end or less.
type Histogram struct {
	Count   uint64   `json:"count"`
	Sum     uint64   `json:"sum"`
	Min     uint64   `json:"min"`
	Max     uint64   `json:"max"`
	Buckets []Bucket `json:"buckets"` // those with values, from the smallest on
}

// Bucket are the values from Low to High.
type Bucket struct {
	Low   uint64 `json:"low"`
	High  uint64 `json:"high"`
	Count uint64 `json:"count"`
}

// Quantile returns the upper end of the bucket that the q-th part of all values (0 to 1) lies in, at most Max; 0 when there are none.
func (h *Histogram) Quantile(q float64) uint64 {
	want, seen := uint64(q*float64(h.Count)), uint64(0)
	for _, b := range h.Buckets {
		if seen += b.Count; seen > want || seen == h.Count {
			return min(b.High, h.Max)
		}
	}
	return 0
}

// Mean is the average value, 0 when there are none.
func (h *Histogram) Mean() float64 {
	if h.Count == 0 {
		return 0
	}
	return float64(h.Sum) / float64(h.Count)
}

const (
	subBuckets = 8 // in each power of two
	maxSeries  = 256
)

// Columns of a series: for TC programs, then for those of other types, the verdicts -1 to 8 and the others, and the faults behind.
const (
	columnOther = 10
	columnsType = columnOther + 1
	columnFault = 2 * columnsType
	seriesWide  = columnFault + 1
)

// columnOf is the column of a verdict.
func columnOf(typ prog.Type, ret uint32) int {
	column := int(min(ret+1, columnOther))
	if typ != prog.SchedCLS {
		column += columnsType
	}
	return column
}

// columnName is the name of a column's verdict, in a replay of programs of type typ or of a chain.
func columnName(column int, typ prog.Type) string {
	switch {
	case column == columnFault:
		return faultVerdict
	case column%columnsType == columnOther:
		return otherVerdicts
	case column < columnsType:
		return prog.SchedCLS.Verdict(uint32(column - 1))
	}
	return typ.Verdict(uint32(column - columnsType - 1))
}

// gauge is a Histogram while it is filled.
type gauge struct {
	count, sum, min, max uint64
	buckets              [64 * subBuckets]uint64
}

func (g *gauge) add(v uint64) {
	if g.count == 0 || v < g.min {
		g.min = v
	}
	g.max = max(g.max, v)
	g.count++
	g.sum += v
	g.buckets[bucketOf(v)]++
}

func (g *gauge) merge(o *gauge) {
	if o.count == 0 {
		return
	}
	if g.count == 0 || o.min < g.min {
		g.min = o.min
	}
	g.max = max(g.max, o.max)
	g.count += o.count
	g.sum += o.sum
	for i, n := range o.buckets {
		g.buckets[i] += n
	}
}

// bucketOf numbers buckets: the values below 8 have one each, every power of two above has eight.
func bucketOf(v uint64) int {
	if v < subBuckets {
		return int(v)
	}
	exp := bits.Len64(v) - 4 // v>>exp is 8 to 15
	return exp*subBuckets + int(v>>exp)
}

func bucketEnds(i int) (low, high uint64) {
	if i < 2*subBuckets {
		return uint64(i), uint64(i)
	}
	exp := i/subBuckets - 1
	low = uint64(i-exp*subBuckets) << exp
	return low, low + 1<<exp - 1
}

func (g *gauge) histogram() Histogram {
	h := Histogram{Count: g.count, Sum: g.sum, Min: g.min, Max: g.max}
	for i, n := range g.buckets {
		if n > 0 {
			low, high := bucketEnds(i)
			h.Buckets = append(h.Buckets, Bucket{low, high, n})
		}
	}
	return h
}

// measures are Measures while they are filled.
type measures struct{ insns, ns gauge }

func (m *measures) merge(o *measures) {
	m.insns.merge(&o.insns)
	m.ns.merge(&o.ns)
}

func (m *measures) report() *Measures {
	return &Measures{Instructions: m.insns.histogram(), Nanoseconds: m.ns.histogram()}
}

// clockCost is what looking at the clock twice takes.
func clockCost() time.Duration {
	clock := time.Hour
	for range 1000 {
		start := time.Now()
		clock = min(clock, time.Since(start))
	}
	return clock
}

// measure runs a program of a chain and notes what that takes.
func (c *Chain) measure(l *link, ctx uint32) (vm.Result, error) {
	start := time.Now()
	res, err := l.Engine.Run(ctx)
	l.measured.ns.add(uint64(max(time.Since(start)-c.clock, 0)))
	if err == nil {
		l.measured.insns.add(res.Insns)
	}
	c.looks++
	return res, err
}

// looked is the time that measure has spent on looking at the clock since it was last asked for.
func (c *Chain) looked() time.Duration {
	d := time.Duration(c.looks) * c.clock
	c.looks = 0
	return d
}

// detail collects a Detail.
type detail struct {
	measures
	clock time.Duration // what looking at the clock twice takes

	start   int64 // of the series; its first packet's time
	width   int64 // ns, 1 at first: it doubles whenever the series gets too long
	columns [maxSeries][seriesWide]uint64
	used    int
}

func newDetail() *detail { return &detail{width: 1, clock: clockCost()} }

// packet notes a packet that was run, and left by a program of type typ. The series begins at start.
func (d *detail) packet(start, ts int64, typ prog.Type, ret uint32, insns uint64) {
	d.insns.add(insns)
	d.at(start, ts, columnOf(typ, ret))
}

// fault notes a packet with a fault.
func (d *detail) fault(start, ts int64) { d.at(start, ts, columnFault) }

// at adds a packet to the series, which begins at start.
func (d *detail) at(start, ts int64, column int) {
	d.start = start
	since := uint64(ts - start) // which may be more than an int64 holds
	for since/uint64(d.width) >= maxSeries {
		d.halve()
	}
	at := since / uint64(d.width)
	d.columns[at][column]++
	d.used = max(d.used, int(at)+1)
}

// halve makes one interval of every two.
func (d *detail) halve() {
	d.width *= 2
	for i := range maxSeries / 2 {
		for v := range seriesWide {
			d.columns[i][v] = d.columns[2*i][v] + d.columns[2*i+1][v]
		}
	}
	clear(d.columns[maxSeries/2:])
	d.used = (d.used + 1) / 2
}

// merge adds what another one has collected of the same capture.
func (d *detail) merge(o *detail) {
	d.measures.merge(&o.measures)
	if o.used == 0 {
		return
	}
	if d.used == 0 {
		d.start, d.width = o.start, o.width
	}
	for d.width < o.width {
		d.halve()
	}
	for o.width < d.width {
		o.halve()
	}
	for i := range o.used {
		for v, n := range o.columns[i] {
			d.columns[i][v] += n
		}
	}
	d.used = max(d.used, o.used)
}

func (d *detail) took(t time.Duration) { d.ns.add(uint64(max(t-d.clock, 0))) }

// report makes the Detail of a replay of programs of a type, or of a chain.
func (d *detail) report(typ prog.Type) *Detail {
	out := &Detail{Measures: *d.measures.report()}
	out.Series = Series{StartNS: d.start, WidthNS: d.width, Rows: []SeriesRow{}}
	total := map[string]uint64{}
	for v := range seriesWide {
		row := SeriesRow{Name: columnName(v, typ), Packets: make([]uint64, d.used)}
		known, sum := total[row.Name], uint64(0)
		for i := range row.Packets {
			row.Packets[i] = d.columns[i][v]
			sum += row.Packets[i]
		}
		total[row.Name] += sum
		switch {
		case sum == 0:
		case known == 0:
			out.Series.Rows = append(out.Series.Rows, row)
		default: // other verdicts of XDP and of TC
			at := slices.IndexFunc(out.Series.Rows, func(r SeriesRow) bool { return r.Name == row.Name })
			for i, n := range row.Packets {
				out.Series.Rows[at].Packets[i] += n
			}
		}
	}
	slices.SortStableFunc(out.Series.Rows, func(a, b SeriesRow) int { return cmp.Compare(total[b.Name], total[a.Name]) })
	return out
}
