package replay

import (
	"bytes"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// TestPace: a packet is not run before its time, and a replay that waits can be stopped.
func TestPace(t *testing.T) {
	capture := captureOf(t, linktype.Ethernet, "0 00*60\n20000000 00*60\n40000000 00*60\n")
	for name, o := range map[string]Options{"as captured": {Pace: 1}, "rate": {Rate: 50}, "twice": {Pace: 2, Loop: 2}} {
		o.Type, o.Target, o.Input = prog.XDP, stubTarget(t, &stub{ret: 2}), bytes.NewReader(capture)
		rep, err := Run(o)
		require.NoError(t, err)
		require.GreaterOrEqual(t, rep.Elapsed, 39*time.Millisecond, name)
	}
	rep, err := Run(Options{Input: bytes.NewReader(capture), Pace: 1})
	require.NoError(t, err)
	require.GreaterOrEqual(t, rep.Elapsed, 39*time.Millisecond, "captures alone")
	stop := make(chan struct{})
	first := &stub{ret: 2, fail: func(uint64) error { close(stop); return nil }}
	rep, err = Run(Options{Type: prog.XDP, Target: stubTarget(t, first), Input: bytes.NewReader(capture), Pace: 1e-9, Stop: stop})
	require.ErrorIs(t, err, ErrStopped)
	require.EqualValues(t, 1, rep.Packets)
}
