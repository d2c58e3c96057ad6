package main

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/browsertest"
)

// TestPagesInBrowser has a browser draw the pages of replays: each has its tables and charts, no element is wider than the window, and
// nothing comes from anywhere else.
func TestPagesInBrowser(t *testing.T) {
	source, err := filepath.Abs("../..")
	require.NoError(t, err)
	t.Chdir(t.TempDir())
	makeFlagFiles(t, source)
	for _, tc := range []struct {
		name string
		args []string
		file string // the page; "" is standard output
		want string
	}{
		{"chain", []string{"-o", "html", "--xdp", "chain.o:odd_drop", "--tc", "chain.o:route", "--egress", "chain.o:policy"}, "", "Verdicts, Programs, Over the capture's time, Time for a packet, Instructions for a packet, " +
			"Time of odd_drop (xdp), Instructions of odd_drop (xdp), Time of route (tc/ingress), Instructions of route (tc/ingress), Time of policy (tc/egress), Instructions of policy (tc/egress), Maps afterwards; 9 charts; fits"},
		{"versions", []string{"-o", "html", "--diff", "late.o", "--diff-prog", "late", "drop.o"}, "", "Verdicts, Over the capture's time, Time for a packet, Instructions for a packet, First differences; 3 charts; fits"},
		{"filters", []string{"-o", "html", "--filter", "tcp", "--filter", "udp"}, "", "Filters; 0 charts; fits"},
		{"captures", []string{"-o", "html"}, "", "Link types; 0 charts; fits"},
		{"coverage", []string{"--cover", "cover.html", "--xdp", "chain.o:odd_drop", "--xdp", "bounce.o", "--tc", "chain.o:route"}, "cover.html", "Source, Instructions; 0 charts; fits"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			code, page := runReplay(append(append([]string{"replay"}, tc.args...), "t.pcap")...)
			require.Contains(t, []int{exitOK, exitRejected}, code, page)
			if tc.file != "" {
				text, err := os.ReadFile(tc.file)
				require.NoError(t, err)
				page = string(text)
			}
			require.NotContains(t, page, "://")
			require.Equal(t, tc.want, browsertest.Ask(t, []byte(page), `[...document.querySelectorAll("h2")].map(h => h.innerText).join(", ") + "; " +
				[...document.querySelectorAll("svg")].filter(s => s.querySelector("path, rect").getBoundingClientRect().height > 0).length + " charts; " +
				(document.documentElement.scrollWidth <= innerWidth ? "fits" : "too wide")`))
		})
	}
}
