package replay

import (
	"bytes"
	"encoding/xml"
	"io"
	"os"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/browsertest"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// samplePage is a report with everything that a page shows, from a real run but for the times that no two runs share.
func samplePage(t *testing.T) (*Report, Page) {
	rep, err := Run(Options{Type: prog.XDP, Target: target(t, assemble(t, prog.XDP, sshFilter), "interp"), Input: bytes.NewReader(traffic.Sample()), Detail: true})
	require.NoError(t, err)
	rep.Elapsed = 1e6
	rep.Detail.Nanoseconds = rep.Detail.Instructions
	rep.Changed, rep.Faults, rep.Truncated = 1234567, 2, 3
	rep.FaultExamples = []FaultExample{{Packet: 7, Error: "a <fault>"}}
	rep.Redirects = []Redirect{{Ifindex: 3, Map: "ports", Packets: 5}, {Value: 9, Packets: 1}}
	rep.Skipped, rep.Converted = Counts{"short": 4}, Counts{"LINUX_SLL": 8}
	rep.Damage = []string{"file: offset 7: file ends within a record"}
	return rep, Page{Title: "</title>filter.bpf.o", Capture: "a.pcap", Maps: []PageMap{{"counts", `{"key":1}`}}}
}

// TestPage writes the page, which must be well-formed and need nothing from anywhere.
func TestPage(t *testing.T) {
	rep, p := samplePage(t)
	var got bytes.Buffer
	require.NoError(t, rep.WriteHTML(&got, p))
	const golden = "testdata/page.html"
	if *update {
		require.NoError(t, os.WriteFile(golden, got.Bytes(), 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), got.String())
	d := xml.NewDecoder(&got)
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	seen := map[string]int{}
	for {
		tok, err := d.Token()
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		if e, ok := tok.(xml.StartElement); ok {
			seen[e.Name.Local]++
			for _, a := range e.Attr {
				require.NotContains(t, a.Value, "://")
			}
		}
	}
	require.Equal(t, 3, seen["svg"])
	require.Positive(t, seen["rect"])
	for _, tag := range []string{"script", "link", "img", "iframe"} {
		require.Zero(t, seen[tag])
	}
	rep.Detail = nil
	require.NoError(t, rep.WriteHTML(&got, Page{}))
	require.NotContains(t, got.String(), "<svg")
}

// TestPageInBrowser has a browser draw the page: every chart has a size, and nothing is wider than the window.
func TestPageInBrowser(t *testing.T) {
	rep, p := samplePage(t)
	var page bytes.Buffer
	require.NoError(t, rep.WriteHTML(&page, p))
	require.Equal(t, "3 charts, fits: true", browsertest.Ask(t, page.Bytes(), `[...document.querySelectorAll("svg")].
		filter(s => s.getBoundingClientRect().width > 300 && s.getBoundingClientRect().height > 100 && s.querySelector("path, rect").getBoundingClientRect().height > 0).
		length + " charts, fits: " + (document.documentElement.scrollWidth <= innerWidth)`))
}
