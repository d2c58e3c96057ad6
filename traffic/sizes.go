package traffic

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// Size is a share of the frames that carry data: those of Min to Max bytes, all equally likely.
type Size struct {
	Min   int `json:"min"`           // 64 to 9000
	Max   int `json:"max,omitempty"` // 0: the same as Min
	Share int `json:"share"`         // relative to the others', 1 to 1,000,000
}

// The shortest and the longest frame with data, bytes: Ethernet's, and common jumbo frames.
const minSize, maxSize = 64, 9000

// IMIX is the lengths that a Spec without any gets: 64, 576 and 1500 bytes in the ratio 7:4:1 (simple IMIX). It is not to be
// written to.
var IMIX = []Size{{64, 64, 7}, {576, 576, 4}, {1500, 1500, 1}}

// ParseSizes reads lengths in bytes with their shares (1 when not said): "64-1500:3,1500:1".
func ParseSizes(text string) (list []Size, err error) {
	for item := range strings.SplitSeq(text, ",") {
		lengths, share, shared := strings.Cut(item, ":")
		from, to, ranged := strings.Cut(lengths, "-")
		if !shared {
			share = "1"
		}
		if !ranged {
			to = from
		}
		var n [3]int
		for i, s := range []string{from, to, share} {
			v, err := strconv.ParseUint(s, 10, 31)
			if err != nil {
				return nil, fmt.Errorf("%q is not LENGTH:SHARE or MIN-MAX:SHARE", item)
			}
			n[i] = int(v)
		}
		list = append(list, Size{n[0], n[1], n[2]})
	}
	return list, checkSizes(&Spec{Sizes: list})
}

// sizes returns the lengths to draw from, with Max everywhere.
func (s *Spec) sizes() []Size {
	switch {
	case s.SizeMax != 0:
		return []Size{{s.SizeMin, s.SizeMax, 1}}
	case len(s.Sizes) == 0:
		return IMIX
	}
	list := make([]Size, len(s.Sizes))
	for i, z := range s.Sizes {
		list[i] = Size{z.Min, max(z.Min, z.Max), z.Share}
	}
	return list
}

// checkSizes finds what makes no sense in the lengths of a Spec.
func checkSizes(s *Spec) error {
	if len(s.Sizes) > 0 && s.SizeMax != 0 {
		return errors.New("sizes and size_max exclude each other")
	}
	for i, z := range s.Sizes {
		if z.Max == 0 {
			z.Max = z.Min
		}
		for _, f := range []struct {
			name         string
			v, low, high int
		}{{"min", z.Min, minSize, maxSize}, {"max", z.Max, z.Min, maxSize}, {"share", z.Share, 1, 1e6}} {
			if f.v < f.low || f.v > f.high {
				return fmt.Errorf("sizes[%d].%s is %d, not %d to %d", i, f.name, f.v, f.low, f.high)
			}
		}
	}
	return nil
}

// size draws the length in bytes of a frame with data.
func (g *Generator) size() int {
	z := g.sizes[0]
	if len(g.sizes) > 1 {
		z = g.drawSize()
	}
	if z.Min == z.Max {
		return z.Min
	}
	return z.Min + g.rng.n(z.Max-z.Min+1)
}

func (g *Generator) drawSize() Size {
	total := 0
	for _, z := range g.sizes {
		total += z.Share
	}
	at := g.rng.n(total)
	for _, z := range g.sizes {
		if at < z.Share {
			return z
		}
		at -= z.Share
	}
	panic("traffic: a share beyond all")
}
