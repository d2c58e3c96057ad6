package replay

import (
	"bytes"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// TestBuckets: every value is in its bucket, buckets follow each other without a gap, and none is wider than an eighth.
func TestBuckets(t *testing.T) {
	next := uint64(0)
	for i := range 62 * subBuckets {
		low, high := bucketEnds(i)
		require.Equal(t, next, low)
		require.Equal(t, i, bucketOf(low))
		require.Equal(t, i, bucketOf(high))
		require.LessOrEqual(t, high-low, low/subBuckets)
		next = high + 1
	}
	require.Less(t, bucketOf(math.MaxUint64), len(gauge{}.buckets))
}

func TestHistogram(t *testing.T) {
	g, rng := gauge{}, rand.New(rand.NewPCG(1, 1))
	var values []uint64
	for range 10000 {
		v := rng.Uint64N(1 << rng.IntN(40))
		g.add(v)
		values = append(values, v)
	}
	slices.Sort(values)
	h := g.histogram()
	require.EqualValues(t, 10000, h.Count)
	require.Equal(t, values[0], h.Min)
	require.Equal(t, values[9999], h.Max)
	for _, q := range []float64{0, 0.5, 0.9, 0.99, 0.999, 1} {
		exact := values[min(int(q*10000), 9999)]
		require.GreaterOrEqual(t, h.Quantile(q), exact, q)
		require.LessOrEqual(t, float64(h.Quantile(q)), float64(exact)*1.13+1, q)
	}
	require.Zero(t, (&Histogram{}).Quantile(0.5))
	require.Zero(t, (&Histogram{}).Mean())
}

// TestDetail: the series and the histograms add up to the report, whatever the engine.
func TestDetail(t *testing.T) {
	p := assemble(t, prog.XDP, sshFilter)
	var first *Detail
	for _, engine := range engineNames() {
		rep, err := Run(Options{Type: prog.XDP, Target: target(t, p, engine), Input: bytes.NewReader(traffic.Sample()), Loop: 3, Detail: true})
		require.NoError(t, err)
		d := rep.Detail
		require.Equal(t, rep.Packets, d.Instructions.Count)
		require.Equal(t, rep.Insns, d.Instructions.Sum)
		require.Equal(t, rep.Packets, d.Nanoseconds.Count)
		require.Positive(t, d.Nanoseconds.Sum)
		require.Len(t, d.Series.Rows, len(rep.Verdicts))
		for i, row := range d.Series.Rows {
			sum := uint64(0)
			for _, n := range row.Packets {
				sum += n
			}
			require.Equal(t, rep.Verdicts[i].Packets, sum)
			require.Equal(t, rep.Verdicts[i].Name, row.Name)
			require.Greater(t, len(row.Packets), maxSeries/4)
		}
		require.Equal(t, rep.FirstNS, d.Series.StartNS)
		require.LessOrEqual(t, rep.LastNS, d.Series.StartNS+d.Series.WidthNS*maxSeries)
		d.Nanoseconds = Histogram{}
		if first == nil {
			first = d
		}
		require.Equal(t, first, d)
	}
}
