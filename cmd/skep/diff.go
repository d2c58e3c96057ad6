package main

import (
	"fmt"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/replay"
)

// diffFlags ask for a comparison with another version of the program.
type diffFlags struct {
	object, program string
	limit           int
	shown           int
}

func (f *diffFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.object, "diff", "", "another version of the object: every packet runs on both, and those are listed that they treat differently (exit code 1)")
	fl.StringVar(&f.program, "diff-prog", "", "program of that version, when its name differs")
	fl.IntVar(&f.limit, "diff-limit", 20, "list so many packets; all are counted")
}

// difference is replay.Options.Difference.
func (f *diffFlags) difference(a *app) func(*replay.Mismatch) error {
	return func(m *replay.Mismatch) error {
		if f.shown++; f.shown > f.limit {
			return nil
		}
		_, err := fmt.Fprintf(a.out, "packet %d: %s: %s here, %s in %s\n", m.Packet, m.What, m.Value[0], m.Value[1], f.object)
		return err
	}
}
