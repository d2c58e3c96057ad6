package cbpf_test

import (
	"testing"

	"github.com/skepvm/skep/cbpf"
)

// TestRefereeEBPF runs the referee's filters as eBPF programs of every form on every engine: a sample of the filters, with
// -full all of them.
func TestRefereeEBPF(t *testing.T) {
	filters, r := cbpf.RefereeFilters(t), newRig(t)
	step, programs, forms := 293, 0, 0
	if cbpf.Full() {
		step = 3
	}
	for i, l := range cbpf.RefereeLinks(t) {
		for n := i % step; n < len(filters); n += step {
			p, err := l.Options.Compile(filters[n], l.Type)
			if err != nil {
				continue
			}
			var packets []cbpf.Packet
			for k := n % 29; k < len(l.Packets); k += 29 {
				packets = append(packets, l.Packets[k])
			}
			programs++
			forms += r.compare(t, p, cbpf.Pcap, packets)
		}
	}
	t.Logf("%d programs in %d forms", programs, forms)
}
