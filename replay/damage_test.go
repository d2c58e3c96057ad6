package replay

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/internal/pcaptest"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// ways are those in which a capture can be read and run.
var ways = map[string]func(o *Options, name string, file []byte){
	"file":   func(o *Options, name string, _ []byte) { o.Files = []string{name} },
	"input":  func(o *Options, _ string, file []byte) { o.Input = bytes.NewReader(file) },
	"detail": func(o *Options, name string, _ []byte) { o.Files, o.Detail = []string{name}, true },
	"cpus": func(o *Options, name string, _ []byte) {
		o.Files, o.Others = []string{name}, []vm.Engine{&stub{ret: 2}}
	},
	"sink":     func(o *Options, name string, _ []byte) { o.Files, o.Sinks = []string{name}, []Sink{&collect{}} },
	"merged":   func(o *Options, name string, _ []byte) { o.Files = []string{filepath.Dir(name)} },
	"tolerant": func(o *Options, name string, _ []byte) { o.Files, o.Tolerant = []string{name}, true },
}

// oddOptions are the options of a way; all packets are run as they are.
func oddOptions(t testing.TB, name string, file []byte, set func(*Options, string, []byte)) Options {
	o := Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Convert: ConvertRaw}
	set(&o, name, file)
	for _, e := range o.Others {
		e.(*stub).space = o.Target.Machine.Space()
	}
	return o
}

// FuzzCapture replays anything in all ways, and compares what is run with what the reader gives; two passes run twice as much, or end at the damage.
func FuzzCapture(f *testing.F) {
	for i, c := range pcaptest.Odd(f) {
		f.Add(c.File, i%2 == 0)
	}
	f.Fuzz(func(t *testing.T, file []byte, loop bool) {
		if len(file) > 4096 || bytes.HasPrefix(file, []byte{0x1f, 0x8b}) {
			return
		}
		name := filepath.Join(t.TempDir(), "odd")
		require.NoError(t, os.WriteFile(name, file, 0o644))
		packets, end := readAll(name)
		for _, set := range ways {
			o := oddOptions(t, name, file, set)
			want := uint64(packets)
			if loop {
				o.Loop = 2
				if end == io.EOF || o.Tolerant && packets > 0 {
					want *= 2
				}
			}
			rep, err := Run(o)
			if rep == nil {
				require.Error(t, end)
				require.EqualError(t, err, end.Error())
				continue
			}
			total := rep.Packets
			for _, n := range rep.Skipped {
				total += n
			}
			require.Equal(t, want, total, "loop %v, end %v, error %v", loop, end, err)
		}
	})
}

// readAll counts a capture's packets.
func readAll(name string) (n int, err error) {
	r, err := pcap.Open(name, nil)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	for recs := make([]pcap.Record, 10); err == nil; {
		var got int
		got, err = r.ReadBatch(recs)
		n += got
	}
	return n, err
}

// TestOddCaptures replays every odd capture in all ways of reading and running: what is whole is run and in the report, with each
// measurement and output, and the error says file, offset and reason, unless damage is to be tolerated.
func TestOddCaptures(t *testing.T) {
	dir := t.TempDir()
	name := filepath.Join(dir, "odd")
	cases := pcaptest.Odd(t)
	for _, c := range cases {
		require.NoError(t, os.WriteFile(name, c.File, 0o644))
		for way, set := range ways {
			t.Run(c.Name+"/"+way, func(t *testing.T) {
				o := oddOptions(t, name, c.File, set)
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
