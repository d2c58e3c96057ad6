package cbpf_test

import (
	"encoding/hex"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/cbpf"
	"github.com/stretchr/testify/require"
)

// runCase is a program of testdata/cases.txt with its packets.
type runCase struct {
	name    string
	program cbpf.Program
	packets []casePacket
}

// casePacket is a packet and the answers by mode; refused where the program is not valid in the mode.
type casePacket struct {
	cbpf.Packet
	line string
	want [2]uint32 // Pcap, Socket
	bad  [2]bool
}

func readCases(t testing.TB) []runCase {
	t.Helper()
	text, err := os.ReadFile("testdata/cases.txt")
	require.NoError(t, err)
	var cases []runCase
	for _, part := range strings.Split("\n"+string(text), "\n=== ")[1:] {
		name, rest, _ := strings.Cut(part, "\n")
		prog, packets, ok := strings.Cut(rest, "---\n")
		require.True(t, ok, name)
		c := runCase{name: name}
		c.program, err = cbpf.Parse(prog)
		require.NoError(t, err, name)
		for _, line := range strings.Split(strings.TrimSpace(packets), "\n") {
			c.packets = append(c.packets, readPacket(t, line))
		}
		cases = append(cases, c)
	}
	require.Greater(t, len(cases), 30)
	return cases
}

// readPacket reads a line of a case.
func readPacket(t testing.TB, line string) casePacket {
	t.Helper()
	pkt := casePacket{line: line, Packet: cbpf.Packet{Meta: &cbpf.Meta{}}}
	answers := 0
	fields := strings.Fields(line)
	wire := -1
	for i := 0; i < len(fields); i++ {
		key, value, ok := strings.Cut(fields[i], "=")
		switch {
		case fields[i] == "->":
			i++
			n := caseNumber(t, fields[i])
			pkt.want, answers = [2]uint32{n, n}, 3
		case key == "data":
			b, err := hex.DecodeString(value)
			require.NoError(t, err, line)
			pkt.Data = b
		case !ok: // more of data
			b, err := hex.DecodeString(fields[i])
			require.NoError(t, err, line)
			pkt.Data = append(pkt.Data, b...)
		case key == "pcap" || key == "socket":
			mode := map[string]cbpf.Mode{"pcap": cbpf.Pcap, "socket": cbpf.Socket}[key]
			answers |= 1 << mode
			if pkt.bad[mode] = value == "!"; !pkt.bad[mode] {
				pkt.want[mode] = caseNumber(t, value)
			}
		case key == "wire":
			pkt.WireLen, wire = caseNumber(t, value), 0
		default:
			setMeta(t, pkt.Meta, key, caseNumber(t, value))
		}
	}
	require.Equal(t, 3, answers, line)
	if wire < 0 {
		pkt.WireLen = uint32(len(pkt.Data))
	}
	return pkt
}

func caseNumber(t testing.TB, s string) uint32 {
	t.Helper()
	n, err := strconv.ParseUint(s, 0, 32)
	require.NoError(t, err, s)
	return uint32(n)
}

func setMeta(t testing.TB, m *cbpf.Meta, key string, v uint32) {
	t.Helper()
	fields := map[string]*uint32{"proto": &m.Protocol, "type": &m.PktType, "ifidx": &m.IfIndex, "mark": &m.Mark,
		"queue": &m.Queue, "hatype": &m.HaType, "rxhash": &m.RxHash, "cpu": &m.CPU, "vlan_tci": &m.VLANTag,
		"vlan_avail": &m.VLANPresent, "poff": &m.PayOffset, "vlan_tpid": &m.VLANProto, "net": &m.NetOff}
	require.Contains(t, fields, key)
	*fields[key] = v
}

// TestTrace runs the cases on the interpreter that the others are compared with, and on the fast one.
func TestTrace(t *testing.T) {
	for _, c := range readCases(t) {
		t.Run(c.name, func(t *testing.T) {
			for _, pkt := range c.packets {
				for _, mode := range []cbpf.Mode{cbpf.Pcap, cbpf.Socket} {
					err := c.program.Validate(mode)
					if pkt.bad[mode] {
						require.Error(t, err, mode)
						continue
					}
					require.NoError(t, err, mode)
					require.Equal(t, pkt.want[mode], c.program.Trace(mode, pkt.Packet, nil), "%s: %s", mode, pkt.line)
					f, err := cbpf.NewFilter(c.program, mode)
					require.NoError(t, err)
					require.Equal(t, pkt.want[mode], f.Run(&pkt.Packet), "%s: %s", mode, pkt.line)
				}
			}
		})
	}
}
