package cbpf

import (
	"testing"

	"github.com/stretchr/testify/require"
)

// TestAnswers checks what libpcapFile says against tcpdump: a sample of it, or with -full all. Of the same sample it
// checks that the code, run here, selects what tcpdump selects.
func TestAnswers(t *testing.T) {
	command, filters := tcpdump(t), readFilters(t)
	if *update {
		writeAnswers(t, filters, askAll(t, filters))
	}
	all := readAnswers(t)
	require.Len(t, all, len(filters), "run with -update")
	step := 211 // a prime, so that every link type sees different filters
	if *full {
		step = 1
	}
	n, asked, ran := 0, 0, 0
	for _, l := range refLinks() {
		packets := packetsOf(t, l)
		capture, empty := writeCapture(t, l, packets), writeCapture(t, refLink{"empty", l.typ, l.big}, nil)
		for _, f := range filters {
			if n++; n%step != 0 {
				continue
			}
			asked++
			code, refused := ask(t, command, empty, f)
			want := all[f][l.name]
			require.Equal(t, want.err, refused, "%s: %s", l.name, f)
			require.Equal(t, want.code, code, "%s: %s", l.name, f)
			if refused != "" || *full && n%20 != 0 {
				continue
			}
			ran++
			for i, is := range selects(t, command, capture, f, len(packets)) {
				p := packets[i]
				require.Equal(t, is, refRun(code, p.data, p.wire) != 0, "%s: %s: packet %d %x", l.name, f, i, p.data)
			}
		}
	}
	t.Logf("asked tcpdump for %d programs of %d, and ran %d over %d packets a link type", asked, n, ran, len(packetsOf(t, refLinks()[1])))
}
