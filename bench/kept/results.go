// Package kept reads benchmark results that are kept as files, and says how they stand to what they should be.
package kept

import (
	"bufio"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// Results are the lines of a file in the format of `go test -bench`.
type Results struct {
	File string
	// Config has the lines "key: value" that stand before the benchmarks.
	Config map[string]string
	// Values are all that was measured, in the order of the file, by benchmark and unit: "BenchmarkX/engine=jit ns/op". The number of
	// processors at the end of a benchmark's name is left out.
	Values map[string][]float64
}

// config matches a line of configuration.
var config = regexp.MustCompile(`^([a-z][a-z0-9-]*): +(.+)$`)

// Read reads the output of go test -bench, and what else is in its format.
func Read(file string) (*Results, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	r := &Results{File: file, Config: map[string]string{}, Values: map[string][]float64{}}
	s := bufio.NewScanner(f)
	for s.Scan() {
		if m := config.FindStringSubmatch(s.Text()); m != nil {
			r.Config[m[1]] = m[2]
		} else if err := r.add(s.Text()); err != nil {
			return nil, fmt.Errorf("%s: %q: %w", file, s.Text(), err)
		}
	}
	if err := s.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// add takes a line of a benchmark; other lines say nothing.
func (r *Results) add(line string) error {
	fields := strings.Fields(line)
	if len(fields) < 4 || !strings.HasPrefix(fields[0], "Benchmark") {
		return nil
	}
	name := fields[0]
	if i := strings.LastIndexByte(name, '-'); i > 0 { // GOMAXPROCS
		if _, err := strconv.Atoi(name[i+1:]); err == nil {
			name = name[:i]
		}
	}
	for i := 2; i+1 < len(fields); i += 2 {
		v, err := strconv.ParseFloat(fields[i], 64)
		if err != nil {
			return err
		}
		key := name + " " + fields[i+1]
		r.Values[key] = append(r.Values[key], v)
	}
	return nil
}

// Mins are the smallest values of each benchmark and unit.
func (r *Results) Mins() map[string]float64 {
	m := map[string]float64{}
	for key, values := range r.Values {
		m[key] = slices.Min(values)
	}
	return m
}

// best and middle are what a benchmark is judged by: the best of its values, which is the largest of a rate, and the median.
func (r *Results) best(key string) (best, middle float64, ok bool) {
	values := slices.Sorted(slices.Values(r.Values[key]))
	if len(values) == 0 {
		return 0, 0, false
	}
	best = values[0]
	if strings.HasSuffix(key, "/s") {
		best = values[len(values)-1]
	}
	return best, (values[(len(values)-1)/2] + values[len(values)/2]) / 2, true
}

// Number shows three digits, or all in front of the point.
func Number(v float64) string {
	if v >= 1000 {
		return strconv.FormatFloat(v, 'f', 0, 64)
	}
	return strconv.FormatFloat(v, 'g', 3, 64)
}

// AtMost says what the limit is and whether v is within it.
func AtMost(v, limit float64) string { return verdict("at most ", limit, v <= limit) }

// AtLeast is AtMost the other way round.
func AtLeast(v, limit float64) string { return verdict("at least ", limit, v >= limit) }

func verdict(word string, limit float64, met bool) string {
	if met {
		return word + Number(limit) + ": met"
	}
	return word + Number(limit) + ": **missed**"
}
