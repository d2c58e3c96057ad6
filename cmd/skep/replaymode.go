package main

import (
	"errors"
	"fmt"
	gomaps "maps"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// replayMode is what a replay runs.
type replayMode uint8

const (
	replayObject   replayMode = iota
	replayChain               // --xdp, --tc, --egress
	replayFilters             // filters alone
	replayCaptures            // nothing
	replayModes
)

// unfit are the flags that mean nothing in a mode, and why. All others are used.
var unfit = func() (all [replayModes]map[string]string) {
	all[replayChain] = map[string]string{
		"prog":      "the programs of a chain are named with their files",
		"diff-prog": "the programs of a chain have the names of --xdp, --tc and --egress in both versions",
	}
	none := map[string]string{}
	for _, name := range []string{"raw-bytes", "no-convert", "l2", "trunc", "keep-vlan", "rxvlan", "queues", "ifindex", "loop-addresses"} {
		none[name] = "without a program packets are as they were captured"
	}
	for _, name := range []string{"prog", "set", "seed", "unverified", "clock", "cpus", "map-in", "map-out", "fib", "sockets", "btf", "cover", "diff", "diff-prog",
		"diff-limit", "trace", "stop-on-fault", "time-after", "changed", "detail", "rx-capture",
		"reset-maps"} {
		none[name] = "it is about a program, and none is given"
	}
	all[replayFilters] = none
	all[replayCaptures] = gomaps.Clone(none)
	all[replayCaptures]["split"] = "without a program or --filter there is nothing to split by"
	all[replayCaptures]["engine"] = "without a program or --filter nothing is run"
	return all
}()

// needs are the flags of which others need one.
var needs = map[string][]string{"diff-prog": {"diff"}, "diff-limit": {"diff"}, "services": {"filter"}, "format": {"write", "split"},
	"rx-capture": {"write", "split"}, "loop-addresses": {"loop"}, "reset-maps": {"loop"}}

// mode is what the flags and the first argument ask for.
func (f *replayFlags) mode(args []string) (replayMode, error) {
	switch {
	case f.chain.used():
		return replayChain, nil
	case len(f.filter.list) > 0 && f.load.progType == "" && !isProgram(args[0]):
		return replayFilters, nil
	case f.load.progType == "" && isCapture(args[0]):
		return replayCaptures, nil
	case len(args) < 2:
		return 0, fmt.Errorf("%s: want a program and a capture, or captures alone", args[0])
	}
	return replayObject, nil
}

// check refuses flags that the mode would ignore.
func (m replayMode) check(fl *pflag.FlagSet) error {
	var errs []error
	fl.Visit(func(f *pflag.Flag) {
		others := needs[f.Name]
		switch why, ok := unfit[m][f.Name]; {
		case ok:
			errs = append(errs, fmt.Errorf("--%s: %s", f.Name, why))
		case len(others) > 0 && !slices.ContainsFunc(others, fl.Changed):
			errs = append(errs, fmt.Errorf("--%s without --%s", f.Name, strings.Join(others, " or --")))
		}
	})
	return errors.Join(errs...)
}
