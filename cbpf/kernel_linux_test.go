package cbpf_test

import (
	"math/rand/v2"
	"testing"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/prog"
	"github.com/stretchr/testify/require"
)

// TestEBPFKernel runs converted programs in the running kernel, which is also asked whether it takes them.
func TestEBPFKernel(t *testing.T) {
	if err := kernel.Available(); err != nil {
		t.Skip(err)
	}
	none, err := kernel.NewMaps(nil)
	require.NoError(t, err)
	defer none.Close()
	m := maker{rand.New(rand.NewPCG(3, 4))}
	loaded, ran := 0, 0
	for range 250 {
		mode := []cbpf.Mode{cbpf.Pcap, cbpf.Socket}[m.IntN(2)]
		p := m.program(mode)
		if asksMeta(p) {
			continue
		}
		for _, o := range []cbpf.EBPFOptions{{Type: prog.XDP}, {Type: prog.SchedCLS}, {Type: prog.SchedCLS, Direct: true}, {Type: prog.SchedACT}} {
			o.Mode = mode
			converted, err := p.EBPF(o)
			if err != nil {
				continue
			}
			live, err := kernel.LoadProgram(converted, none)
			require.NoError(t, err, "%s\n%s", p.Text(cbpf.Comma), p)
			loaded++
			for range 8 {
				pkt := m.packet()
				pkt.WireLen = uint32(len(pkt.Data))
				if !testRuns(o.Type, pkt.Data) || !sameView(p, mode, o.Type, &pkt) {
					continue
				}
				res, err := live.Run(pkt.Data)
				require.NoError(t, err, "%d %s", len(pkt.Data), o.Type)
				require.Equal(t, p.Trace(mode, pkt, nil), res.Ret, "%s as %s, mode %s, packet %x\n%s", p.Text(cbpf.Comma), o.Type, mode, pkt.Data, p)
				ran++
			}
			live.Close()
		}
	}
	for _, c := range readCases(t) {
		for _, o := range []cbpf.EBPFOptions{{Type: prog.XDP}, {Type: prog.SchedCLS}, {Type: prog.SchedCLS, Direct: true},
			{Type: prog.SocketFilter}, {Type: prog.XDP, Mode: cbpf.Socket}, {Type: prog.SchedCLS, Mode: cbpf.Socket}} {
			converted, err := c.program.EBPF(o)
			if err != nil {
				continue
			}
			live, err := kernel.LoadProgram(converted, none)
			require.NoError(t, err, c.name)
			loaded++
			for _, pkt := range c.packets {
				if asksMeta(c.program) || o.Type == prog.SocketFilter || !testRuns(o.Type, pkt.Data) ||
					!sameView(c.program, o.Mode, o.Type, &pkt.Packet) {
					continue
				}
				res, err := live.Run(pkt.Data)
				require.NoError(t, err, pkt.line)
				require.Equal(t, pkt.want[o.Mode], res.Ret, "%s as %s: %s", c.name, o.Type, pkt.line)
				ran++
			}
			live.Close()
		}
	}
	t.Logf("%d programs, %d runs", loaded, ran)
	require.Greater(t, ran, 500)
}

// testRuns reports whether the kernel test-runs a packet: as an skb not what has the EtherType of IP and no whole header (6.18).
func testRuns(typ prog.Type, data []byte) bool {
	if !kernel.Runs(data) {
		return false
	}
	switch ether := uint16(data[12])<<8 | uint16(data[13]); {
	case typ == prog.XDP:
		return true
	case ether == 0x0800:
		return len(data) >= 14+20
	case ether == 0x86dd:
		return len(data) >= 14+40
	}
	return true
}
