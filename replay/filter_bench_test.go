package replay

import (
	"bytes"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// BenchmarkFilters is a capture in memory through filters: ns for each packet, reading included.
func BenchmarkFilters(b *testing.B) {
	var file bytes.Buffer
	_, err := traffic.Generate(&file, traffic.Spec{Packets: 50_000})
	require.NoError(b, err)
	for _, c := range []struct {
		name string
		list []string
	}{{"ssh", []string{"tcp dst port 22"}}, {"eight", []string{"tcp", "udp", "icmp", "ip6", "tcp port 80", "udp port 53", "arp", "vlan"}}} {
		for engine, build := range filterEngines() {
			b.Run(c.name+"/engine="+engine, func(b *testing.B) {
				if engine == "checked" {
					b.Skip("not for speed")
				}
				m, err := vm.NewMachine(vm.Config{})
				require.NoError(b, err)
				defer m.Close()
				o := Options{Target: Target{Machine: m}, Filters: expressionFilters(m, build, c.list...)}
				packets := uint64(0)
				for b.Loop() {
					o.Input = bytes.NewReader(file.Bytes())
					rep, err := Run(o)
					require.NoError(b, err)
					packets += rep.Packets
				}
				b.SetBytes(int64(file.Len()))
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(packets), "ns/packet")
			})
		}
	}
}
