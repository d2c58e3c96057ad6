package replay

import (
	"bytes"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
)

// A single program's broadcast counts and is written once for each device; no element's program runs.
func TestBroadcastAlone(t *testing.T) {
	for _, engine := range engineNames() {
		c := chainFile(t, "broadcast")
		target, err := c.target(t, engine)
		require.NoError(t, err)
		target.Engine = target.Engine.(*Chain).links[0].Engine
		var sink textSink
		var out bytes.Buffer
		both, err := NewWriter(&out, Output{Copies: CopyBoth})
		require.NoError(t, err)
		rep, err := Run(Options{Type: prog.XDP, Target: target, Input: bytes.NewReader(c.capture), Sinks: []Sink{&sink, both}})
		require.NoError(t, err)
		require.NoError(t, both.Close())
		require.EqualValues(t, 4, rep.Packets)
		require.Equal(t, []Redirect{{Ifindex: 2, Map: "devs", Packets: 3}, {Ifindex: 5, Map: "devs", Packets: 3},
			{Ifindex: 6, Map: "devs", Packets: 3}, {Ifindex: 1, Map: "devs", Packets: 2}}, rep.Redirects)
		var to []string
		for line := range strings.Lines(sink.b.String()) {
			words := strings.Fields(line)
			to = append(to, words[0]+" "+words[6])
			require.Contains(t, line, " aa00000000010200000000020800")
		}
		require.Equal(t, []string{"1 if1", "1 if5", "1 if6", "1 if2", "2 if1", "2 if5", "2 if6", "3 if5", "3 if6", "3 if2", "4 if2"}, to)

		// One copy at entry, then those at exit.
		r, err := pcap.NewReader(bytes.NewReader(out.Bytes()), nil)
		require.NoError(t, err)
		var ids []uint64
		recs := make([]pcap.Record, 64)
		for {
			n, err := r.ReadBatch(recs)
			for i := range recs[:n] {
				ids = append(ids, recs[i].ID)
			}
			if err != nil {
				break
			}
		}
		require.Len(t, ids, 4+11)
	}
}

// What a copy's program does otherwise is found.
func TestBroadcastDiffers(t *testing.T) {
	for _, tc := range []struct{ old, new, what, a, b string }{
		{"r5 += 16", "r5 += 17", "packet 1: copy from its byte on differs", "10", "11"},
		{"r0 = 3", "r0 = 2", "packet 1: verdict on a copy differs", "XDP_ABORTED by picky", "XDP_PASS by picky"},
		{"devs 2 6 picky", "devs 2 7 picky", "packet 1: interface of a copy differs", "6", "7"},
		{"devs 2 6 picky", "devs 2 0 picky", "packet 1: number of copies differs", "4", "3"},
	} {
		a, b := chainFile(t, "broadcast"), chainFile(t, "broadcast")
		for i := range b.programs {
			b.programs[i].src = strings.Replace(b.programs[i].src, tc.old, tc.new, 1)
		}
		for i := range b.elements {
			b.elements[i] = strings.Replace(b.elements[i], tc.old, tc.new, 1)
		}
		one, err := a.target(t, "interp")
		require.NoError(t, err)
		other, err := b.target(t, "interp")
		require.NoError(t, err)
		_, err = Run(Options{Type: prog.XDP, Target: one, Against: &other, Input: bytes.NewReader(a.capture)})
		require.ErrorContains(t, err, tc.what)
		require.ErrorContains(t, err, tc.a)
		require.ErrorContains(t, err, tc.b)
	}
}
