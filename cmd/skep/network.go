package main

import (
	"fmt"
	"os"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/vm"
)

// networkFlags describe the network around a program.
type networkFlags struct {
	fib     []string
	sockets string
}

func (f *networkFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.fib, "fib", nil,
		"file with interfaces, routes or neighbours for bpf_fib_lookup, as ip -json link, addr, route, rule and neigh print them; may be repeated, interfaces first")
	fl.StringVar(&f.sockets, "sockets", "",
		`file with the sockets that lookups find: [{"proto": "tcp", "local": "0.0.0.0:80", "remote": …, "state": …}, …]`)
}

// machine puts what the files say into a machine's configuration.
func (f *networkFlags) machine(c *vm.Config) error {
	var err error
	if c.Router, err = f.router(); err != nil || f.sockets == "" {
		return err
	}
	text, err := os.ReadFile(f.sockets)
	if err != nil {
		return err
	}
	if c.Sockets, err = helpers.ParseSockets(text); err != nil {
		return fmt.Errorf("%s: %w", f.sockets, err)
	}
	return nil
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
