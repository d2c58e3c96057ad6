package replay

import (
	"bytes"
	"encoding/hex"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// headerSink keeps the Ethernet header of each packet.
type headerSink map[int]string

func (s headerSink) Write(x *Exit) error {
	s[int(x.Number)] = hex.EncodeToString(x.Data[:min(len(x.Data), etherLen)])
	return nil
}

func (s headerSink) Close() error { return nil }

// TestWirelessAgainstTshark: of generated 802.11 frames, those that become Ethernet have the addresses and the type that tshark finds in the frame.
func TestWirelessAgainstTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark to compare with")
	}
	for _, link := range []string{"wlan", "radiotap", "ppi", "prism", "avs"} {
		var file bytes.Buffer
		_, err := traffic.Generate(&file, traffic.Spec{Packets: 1000, Seed: 5, Link: link})
		require.NoError(t, err)
		name := filepath.Join(t.TempDir(), link+".pcap")
		require.NoError(t, os.WriteFile(name, file.Bytes(), 0o644))
		got := headerSink{}
		rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: bytes.NewReader(file.Bytes()), Sinks: []Sink{got}})
		require.NoError(t, err)
		require.Greater(t, len(got), 700, "%s: %v", link, rep.Skipped)
		out, err := exec.Command(tshark, "-r", name, "-T", "fields", "-E", "occurrence=f", "-E", "separator=,", "-e", "frame.number", "-e", "wlan.da",
			"-e", "wlan.sa", "-e", "llc.type", "-e", "eth.dst", "-e", "eth.src", "-e", "eth.type").Output()
		require.NoError(t, err)
		for line := range strings.Lines(string(out)) {
			f := strings.Split(strings.TrimSpace(line), ",")
			number, err := strconv.Atoi(f[0])
			require.NoError(t, err)
			if got[number] == "" {
				continue
			}
			f = f[1:]
			if f[0] == "" { // Ethernet in PPI
				f = f[3:]
			}
			want := strings.ReplaceAll(f[0]+f[1], ":", "") + strings.TrimPrefix(f[2], "0x")
			require.Equal(t, want, got[number], "%s: packet %d", link, number)
		}
	}
}
