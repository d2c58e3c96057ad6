package replay

import (
	"bytes"
	"encoding/binary"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// turned is the frame with source and destination of every layer that flowHash looks at exchanged.
func turned(b []byte) []byte {
	b = bytes.Clone(b)
	swap := func(at, n int) {
		for i := range n {
			b[at+i], b[at+n+i] = b[at+n+i], b[at+i]
		}
	}
	swap(0, 6)
	at := etherLen
	proto := binary.BigEndian.Uint16(b[12:])
	for slices.Contains([]uint16{0x8100, 0x88a8}, proto) {
		proto = binary.BigEndian.Uint16(b[at+2:])
		at += vlanLen
	}
	switch {
	case proto == 0x0800 && len(b) >= at+20:
		swap(at+12, 4)
		if header := at + int(b[at]&15)*4; header >= at+20 && len(b) >= header+4 && binary.BigEndian.Uint16(b[at+6:])&ipv4Fragment == 0 {
			swap(header, 2)
		}
	case proto == 0x86dd && len(b) >= at+44:
		swap(at+8, 16)
		if slices.Contains([]uint8{protoTCP, protoUDP}, b[at+6]) {
			swap(at+40, 2)
		}
	}
	return b
}

// TestFlowHash: a packet and its answer hash alike; packets that gopacket finds to be of different flows do not, but for chance.
func TestFlowHash(t *testing.T) {
	r, err := pcap.NewReader(bytes.NewReader(traffic.Sample()), nil)
	require.NoError(t, err)
	byFlow, flows := map[uint32]map[string]bool{}, map[string]bool{}
	recs := make([]pcap.Record, 100)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			b := r.Data(&recs[i])
			require.Equal(t, flowHash(b), flowHash(turned(b)), "% x", b)
			p := gopacket.NewPacket(b, layers.LayerTypeEthernet, gopacket.NoCopy)
			if p.ErrorLayer() != nil || p.NetworkLayer() == nil || p.TransportLayer() == nil || p.Layer(layers.LayerTypeMPLS) != nil {
				continue
			}
			net, trans := p.NetworkLayer().NetworkFlow(), p.TransportLayer().TransportFlow()
			name := min(net.String(), net.Reverse().String()) + " " + min(trans.String(), trans.Reverse().String()) + p.TransportLayer().LayerType().String()
			flows[name] = true
			h := flowHash(b)
			if byFlow[h] == nil {
				byFlow[h] = map[string]bool{}
			}
			byFlow[h][name] = true
		}
		if err != nil {
			break
		}
	}
	require.Greater(t, len(flows), 50)
	shared := 0
	for _, names := range byFlow {
		shared += len(names) - 1
	}
	require.Less(t, shared, len(flows)/20)
	counts := [4]int{}
	for h := range byFlow {
		counts[h%4]++
	}
	for _, n := range counts {
		require.Greater(t, n, len(byFlow)/8, "hashes crowd: %v", counts)
	}
}

func FuzzFlowHash(f *testing.F) {
	f.Add([]byte("0123456789ab\x08\x00E00000000000000000000000"))
	f.Fuzz(func(t *testing.T, b []byte) { flowHash(b) })
}

// TestShardsStop: a replay on several CPUs ends where it is told to, and what it ran is in the report.
func TestShardsStop(t *testing.T) {
	stop := make(chan struct{})
	close(stop)
	options := func(ret uint64) Options {
		target := stubTarget(t, &stub{ret: ret})
		return Options{Type: prog.XDP, Target: target, Others: []vm.Engine{&stub{space: target.Machine.Space(), ret: ret}}, Input: bytes.NewReader(traffic.Sample())}
	}
	o := options(2)
	o.Stop = stop
	rep, err := Run(o)
	require.ErrorIs(t, err, ErrStopped)
	require.Zero(t, rep.Packets)

	o = options(2)
	o.Limit, o.Loop = 777, 5
	rep, err = Run(o)
	require.NoError(t, err)
	require.EqualValues(t, 777, rep.Packets)
	require.EqualValues(t, 777, rep.Verdicts[0].Packets)

	o = options(2)
	file := traffic.Sample()
	o.Input = bytes.NewReader(file[:len(file)-3])
	rep, err = Run(o)
	require.ErrorContains(t, err, "file ends within a record")
	require.EqualValues(t, 499, rep.Packets)
	require.Equal(t, 2, rep.CPUs)

	o = options(2)
	o.Sinks = []Sink{failingSink{}}
	_, err = Run(o)
	require.ErrorContains(t, err, "output")
	o = options(2)
	against := stubTarget(t, &stub{})
	o.Against = &against
	_, err = Run(o)
	require.ErrorContains(t, err, "several CPUs")
}

// TestShardsChunks: a file of many chunks gives on several CPUs what it gives on one.
func TestShardsChunks(t *testing.T) {
	spec := traffic.Spec{Packets: 6000, Seed: 5, SizeMin: 500, SizeMax: 1500}
	file := filepath.Join(t.TempDir(), "long.pcap")
	out, err := os.Create(file)
	require.NoError(t, err)
	_, err = traffic.Generate(out, spec)
	require.NoError(t, err)
	require.NoError(t, out.Close())
	run := func(others int) *Report {
		target := stubTarget(t, &stub{ret: 2})
		o := Options{Type: prog.XDP, Target: target, Files: []string{file}, CountChanged: true}
		for range others {
			o.Others = append(o.Others, &stub{space: target.Machine.Space(), ret: 2})
		}
		rep, err := Run(o)
		require.NoError(t, err)
		rep.Elapsed, rep.CPUs = 0, 0
		return rep
	}
	one := run(0)
	require.EqualValues(t, 6000, one.Packets)
	require.Greater(t, one.Bytes, uint64(3*chunkSize))
	for _, others := range []int{1, 3} {
		require.Equal(t, one, run(others))
	}
}
