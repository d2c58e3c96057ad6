package skep

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// shardRun is what a replay on some CPUs left.
type shardRun struct {
	report  replay.Report
	written []byte
	maps    string
}

// capture is one of whole packets, of some in part, and of some that are too short for any program.
func capture(t *testing.T) []byte {
	const header = 24
	all := bytes.Clone(traffic.Sample())
	for _, snap := range []int{90, 12} {
		var file bytes.Buffer
		_, err := traffic.Generate(&file, traffic.Spec{Packets: 200, Seed: 7, Snap: snap})
		require.NoError(t, err)
		all = append(all, file.Bytes()[header:]...)
	}
	return all
}

// runSharded replays it three times on so many CPUs; a plain run asks for nothing but the verdicts.
func runSharded(t *testing.T, object, engine string, cpus int, plain bool) shardRun {
	elf, err := examples.Open(object)
	require.NoError(t, err)
	v, err := OpenBytes(elf, object, Options{Engine: engine, Machine: vm.Config{CPUs: cpus}})
	require.NoError(t, err)
	defer v.Close()
	name := v.order[0].spec.Name
	engines, err := v.Engines(name)
	require.NoError(t, err)
	require.Len(t, engines, cpus)
	var out bytes.Buffer
	sink, err := replay.NewWriter(&out, replay.Output{})
	require.NoError(t, err)
	o := replay.Options{Input: bytes.NewReader(capture(t)), Loop: 3, CountChanged: true, Others: engines[1:]}
	if !plain {
		o.Detail, o.Sinks = true, []replay.Sink{sink}
	}
	report, err := v.Replay(name, o)
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	report.Elapsed = 0
	if !plain {
		report.Detail.Nanoseconds = replay.Histogram{}
	}
	run := shardRun{report: *report, written: out.Bytes()}
	var state bytes.Buffer
	for _, m := range v.Machine().Maps().All() {
		if m.Spec().Type.Row().PerCPU {
			for key, value := range m.All() {
				state.Write(key)
				state.Write(value)
			}
		}
	}
	run.maps = state.String()
	return run
}

// sharing are the examples whose verdict on a packet depends on packets of other flows.
var sharing = map[string]bool{"ddos": true, "qos": true}

// TestCPUs: on several CPUs a replay of programs whose flows share nothing gives the report and the packets that it gives on one; the maps of
// each CPU are the same in every run.
func TestCPUs(t *testing.T) {
	for _, object := range examples.Names() {
		for _, how := range []struct {
			engine string
			plain  bool
		}{{EngineInterp, false}, {EngineAuto, false}, {EngineAuto, true}} {
			engine, plain := how.engine, how.plain
			one := runSharded(t, object, engine, 1, plain)
			require.Zero(t, one.report.CPUs)
			for _, cpus := range []int{2, 5} {
				got := runSharded(t, object, engine, cpus, plain)
				require.Equal(t, cpus, got.report.CPUs)
				shared := got.report.Shared
				got.report.CPUs, got.report.Shared = 0, nil
				require.Equal(t, one.report.Packets, got.report.Packets)
				require.Equal(t, one.report.Bytes, got.report.Bytes)
				if sharing[object] {
					require.NotEmpty(t, shared)
					continue
				}
				require.Equal(t, one.report, got.report, "%s on %d CPUs", object, cpus)
				require.True(t, bytes.Equal(one.written, got.written), "%s on %d CPUs writes other packets", object, cpus)
				again := runSharded(t, object, engine, cpus, plain)
				require.Equal(t, got.maps, again.maps, "%s on %d CPUs", object, cpus)
			}
		}
	}
}

// TestPlain: a replay that is asked for verdicts only takes a shorter way, and says the same.
func TestPlain(t *testing.T) {
	for _, object := range examples.Names() {
		long := runSharded(t, object, EngineAuto, 1, false)
		long.report.Detail, long.written = nil, nil
		short := runSharded(t, object, EngineAuto, 1, true)
		short.written = nil
		require.Equal(t, long, short, object)
	}
}

// TestSharedMaps: the report says which maps flows can meet in.
func TestSharedMaps(t *testing.T) {
	for object, want := range map[string][]string{"tx_bounce": nil, "drop_all": {".bss"}, "maglev": {"vips", "table", "backends", "connections"}} {
		require.Equal(t, want, runSharded(t, object, EngineAuto, 2, true).report.Shared, object)
	}
}
