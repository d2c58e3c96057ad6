package main

import (
	"fmt"
	"io"
	"path/filepath"
	"strings"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// support says from which kernel on a program loads.
type support struct {
	Lowest  string   `json:"lowest,omitempty"`  // release; "" when no release that skep knows accepts it
	Decides []string `json:"decides,omitempty"` // what the long-term release before it lacks; empty when there is none before it
	Why     string   `json:"why,omitempty"`     // code of the newest release's rejection
}

// supportOf looks for the lowest kernel among the long-term releases, and then among those since the one before it.
func supportOf(p *prog.Program) support {
	s := verifier.Lowest(p, verifier.Options{}, verifier.Profiles(verifier.LongTerm))
	if s.Lowest == nil {
		return support{Why: string(s.Error.Code)}
	}
	out := support{Lowest: s.Lowest.Kernel.String()}
	if s.Before != nil {
		between := releasesBetween(s.Before.Kernel, s.Lowest.Kernel)
		out.Lowest = verifier.Lowest(p, verifier.Options{}, verifier.Profiles(between)).Lowest.Kernel.String()
	}
	for _, n := range s.Decides {
		out.Decides = append(out.Decides, n.String())
	}
	return out
}

// lastMinor is the last release of each major version that is complete.
var lastMinor = map[uint8]uint8{4: 20, 5: 19}

// releasesBetween are all releases from one to the other.
func releasesBetween(from, to kver.Version) []kver.Version {
	all := []kver.Version{from}
	for k := from; k != to; all = append(all, k) {
		if last, ok := lastMinor[k.Major]; ok && k.Minor == last {
			k = kver.V(k.Major+1, 0)
		} else {
			k.Minor++
		}
	}
	return all
}

// printSupport prints the lowest kernel of each program and what decides it.
func printSupport(w io.Writer, v *verification) {
	fmt.Fprintln(w)
	t := &table{}
	t.add("object", "program", "type", "lowest", "decided by")
	for i, s := range v.support {
		o := &v.of(i)[0]
		lowest, why := s.Lowest, strings.Join(s.Decides, ", ")
		switch {
		case lowest == "":
			lowest, why = "none", s.Why
		case len(s.Decides) == 0:
			why = "-"
		}
		row := []string{filepath.Base(o.Object), o.Program, o.Type, lowest, why}
		if i > 0 && v.of(i - 1)[0].Object == o.Object {
			row[0] = ""
		}
		t.add(row...)
	}
	t.print(w)
}
