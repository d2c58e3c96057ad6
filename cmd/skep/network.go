package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/helpers"
)

// networkFlags describe the network around a program.
type networkFlags struct{ fib []string }

func (f *networkFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.fib, "fib", nil,
		"file with interfaces, routes or neighbours for bpf_fib_lookup, as `ip -json link`, addr, route, rule and neigh print them; may be repeated, interfaces first")
}

// router reads the files; nil when none is given.
func (f *networkFlags) router() (helpers.Router, error) {
	if len(f.fib) == 0 {
		return nil, nil
	}
	fib := new(helpers.FIB)
	for _, file := range f.fib {
		text, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		if err := fib.AddJSON(text); err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
	}
	return fib, nil
}
