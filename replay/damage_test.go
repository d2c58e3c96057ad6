package replay

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/internal/pcaptest"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// TestOddCaptures replays every odd capture in all ways of reading and running: what is whole is run and in the report, with each
// measurement and output, and the error says file, offset and reason, unless damage is to be tolerated.
func TestOddCaptures(t *testing.T) {
	dir := t.TempDir()
	name, empty := filepath.Join(dir, "odd"), filepath.Join(dir, "empty")
	cases := pcaptest.Odd(t)
	at := slices.IndexFunc(cases, func(c pcaptest.Case) bool { return c.Name == "header-only" })
	require.NoError(t, os.WriteFile(empty, cases[at].File, 0o644))
	ways := map[string]func(o *Options, file []byte){
		"file":     func(o *Options, _ []byte) { o.Files = []string{name} },
		"input":    func(o *Options, file []byte) { o.Input = bytes.NewReader(file) },
		"detail":   func(o *Options, _ []byte) { o.Files, o.Detail = []string{name}, true },
		"cpus":     func(o *Options, _ []byte) { o.Files, o.Others = []string{name}, []vm.Engine{&stub{ret: 2}} },
		"sink":     func(o *Options, _ []byte) { o.Files, o.Sinks = []string{name}, []Sink{&collect{}} },
		"merged":   func(o *Options, _ []byte) { o.Files = []string{name, empty} },
		"tolerant": func(o *Options, _ []byte) { o.Files, o.Tolerant = []string{name}, true },
	}
	for _, c := range cases {
		require.NoError(t, os.WriteFile(name, c.File, 0o644))
		for way, set := range ways {
			t.Run(c.Name+"/"+way, func(t *testing.T) {
				o := Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Convert: ConvertRaw}
				set(&o, c.File)
				for _, e := range o.Others {
					e.(*stub).space = o.Target.Machine.Space()
				}
				if r, err := pcap.Open(name, nil); err != nil {
					o.Tolerant = false // what is no capture is none
				} else {
					require.NoError(t, r.Close())
				}
				rep, err := Run(o)
				checkOdd(t, &c, rep, err, strings.NewReplacer(name, "capture"), o.Tolerant)
			})
		}
	}
}

// checkOdd compares report and error with what the case wants.
func checkOdd(t *testing.T, c *pcaptest.Case, rep *Report, err error, names *strings.Replacer, tolerant bool) {
	t.Helper()
	if rep == nil {
		require.Zero(t, c.Packets())
		require.Error(t, err)
		require.Equal(t, c.Damage(), names.Replace(err.Error()))
		return
	}
	total := rep.Packets
	for _, n := range rep.Skipped {
		total += n
	}
	require.EqualValues(t, c.Packets(), total)
	damage := strings.Join(rep.Damage, "\n")
	if !tolerant && err != nil {
		require.Empty(t, damage)
		var e *CaptureError
		require.ErrorAs(t, err, &e)
		damage = err.Error()
	} else if c.Damage() == "" || tolerant {
		require.NoError(t, err)
	}
	require.Equal(t, c.Damage(), names.Replace(damage))
}
