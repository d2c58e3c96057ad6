package main

import (
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// replayMode is what a replay runs.
type replayMode uint8

const (
	replayObject replayMode = iota
	replayChain
	replayFilter // filters alone
	replayModes
)

// unfit are the flags that mean nothing in a mode, and why. All others are used.
var unfit = [replayModes]map[string]string{
	replayChain: {
		"prog":      "the programs of a chain are named with their files",
		"diff-prog": "the programs of a chain have the names of --xdp, --tc and --egress in both versions",
	},
	replayFilter: func() map[string]string {
		reasons := map[string]string{
			"keep-vlan": "filters see packets as they were captured",
			"raw-bytes": "filters see packets as they were captured",
		}
		for _, name := range []string{"prog", "set", "seed", "unverified", "clock", "cpus", "map-in", "map-out", "fib", "sockets", "btf", "cover", "diff",
			"diff-prog", "diff-limit", "trace", "stop-on-fault", "time-after", "changed", "detail"} {
			reasons[name] = "it is about a program, and --filter without OBJECT runs none"
		}
		return reasons
	}(),
}

// needs are the flags without which others mean nothing.
var needs = map[string]string{"diff-prog": "diff", "diff-limit": "diff", "services": "filter"}

// check refuses flags that the mode would ignore.
func (m replayMode) check(fl *pflag.FlagSet) error {
	var given []string
	fl.Visit(func(f *pflag.Flag) { given = append(given, f.Name) })
	for _, name := range given {
		if why, ok := unfit[m][name]; ok {
			return fmt.Errorf("--%s: %s", name, why)
		}
		if other, ok := needs[name]; ok && !slices.Contains(given, other) {
			return fmt.Errorf("--%s without --%s", name, other)
		}
	}
	return nil
}
