package replay

import (
	"bytes"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// oneCPU are cases that are not the same on several CPUs: those that count over all packets, or end at one.
var oneCPU = map[string]bool{"fault": true, "fault_stop": true, "maps": true}

// TestCasesOnCPUs: on two CPUs, and on three, programs see what they see on one.
func TestCasesOnCPUs(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".txtar")
		if oneCPU[name] {
			continue
		}
		ar, err := txtar.ParseFile(file)
		require.NoError(t, err)
		c := readCase(t, ar)
		run := func(cpus int) (*Report, string, error) {
			m, err := vm.NewMachine(vm.Config{CPUs: cpus, Budget: 100_000, Space: smallSpace(false)})
			require.NoError(t, err)
			defer func() { require.NoError(t, m.Close()) }()
			l, err := m.Link(assemble(t, c.typ, c.program))
			require.NoError(t, err)
			var list []vm.Engine
			for i := range cpus {
				e, err := vm.NewInterpreter(m.CPU(i), l, vm.InterpOptions{})
				require.NoError(t, err)
				list = append(list, e)
			}
			var sink textSink
			o := c.options
			o.Type, o.Target, o.Others, o.Input = c.typ, Target{Machine: m, Engine: list[0]}, list[1:], bytes.NewReader(c.capture)
			o.Sinks, o.CountChanged = []Sink{&sink}, true
			rep, err := Run(o)
			if rep != nil {
				rep.Elapsed, rep.CPUs, rep.Shared = 0, 0, nil
			}
			return rep, sink.b.String(), err
		}
		rep1, text1, err1 := run(1)
		for _, cpus := range []int{2, 3} {
			rep, text, err := run(cpus)
			require.Equal(t, fmt.Sprint(err1), fmt.Sprint(err), name)
			require.Equal(t, rep1, rep, "%s on %d CPUs", name, cpus)
			require.Equal(t, text1, text, "%s on %d CPUs", name, cpus)
		}
	}
}

// TestSeesRefused: options that say nothing are refused.
func TestSeesRefused(t *testing.T) {
	good := stubTarget(t, &stub{})
	alone := []Filter{{Name: "all", Compile: func(linktype.Type, bool) (vm.Engine, error) { return good.Engine, nil }}}
	for want, o := range map[string]Options{
		"replay: packets without a link layer: without a program packets stay as they were captured, and there are no maps":       {Filters: alone, L2: L2None},
		"replay: VLAN tags that a device takes out: without a program packets stay as they were captured, and there are no maps":  {Filters: alone, RxVLAN: true},
		"replay: receive queues: without a program packets stay as they were captured, and there are no maps":                     {Filters: alone, Queues: 1},
		"replay: other addresses in each pass: without a program packets stay as they were captured, and there are no maps":       {Filters: alone, LoopAddresses: true, Loop: 2},
		"replay: packets that were captured in part: without a program packets stay as they were captured, and there are no maps": {Filters: alone, Truncated: TruncSkip},
		"replay: maps that begin anew: without a program packets stay as they were captured, and there are no maps":               {Filters: alone, ResetMaps: true, Loop: 2},
		"replay: VLAN tags that a device takes out: not when a program runs on the bytes as they are":                             {Type: prog.Classic, Target: good, RxVLAN: true},
		"replay: other addresses in each pass: not when a program runs on the bytes as they are":                                  {Type: prog.XDP, Target: good, Convert: ConvertRaw, LoopAddresses: true, Loop: 2},
		"replay: packets without a link layer: not when a program runs on the bytes as they are":                                  {Type: prog.XDP, Target: good, Convert: ConvertRaw, L2: L2None},
		"replay: VLAN tags that are kept, and that a device takes out":                                                            {Type: prog.SchedCLS, Target: good, RxVLAN: true, KeepVLAN: true},
		"replay: 65537 receive queues: at most 65535":                                                                             {Type: prog.XDP, Target: good, Queues: 65537},
		"replay: other addresses in each pass, or maps that begin anew, of one pass":                                              {Type: prog.XDP, Target: good, ResetMaps: true},
	} {
		if len(o.Filters) > 0 {
			o.Target.Machine = good.Machine
		}
		o.Input = bytes.NewReader(nil)
		_, err := Run(o)
		require.EqualError(t, err, want)
	}
}
