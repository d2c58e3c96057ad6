package cbpf

import (
	"cmp"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
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
	t.Logf("asked tcpdump for %d programs of %d, and ran %d over about %d packets", asked, n, ran, len(packetsOf(t, refLinks()[1])))
}

// difference is a row of testdata/disagree.data: filters on which we and libpcap are not of one mind.
type difference struct {
	kind   string // refused: by us only; accepted: by us only; verdict: known to be wrong; never: see provenEmpty
	links  map[string]bool
	filter string
	used   bool
}

func (d *difference) covers(kind, link, filter string) bool {
	if d.kind != kind || !d.links["*"] && !d.links[link] {
		return false
	}
	if part, ok := strings.CutPrefix(d.filter, "*"); ok && part != "" {
		return strings.Contains(filter, strings.TrimSuffix(part, "*"))
	}
	return d.filter == filter
}

// readDifferences reads testdata/disagree.data.
func readDifferences(t testing.TB) (all []*difference) {
	text, err := os.ReadFile("testdata/disagree.data")
	require.NoError(t, err)
	for line := range strings.Lines(string(text)) {
		if line == "\n" || line[0] == '#' {
			continue
		}
		f := strings.Split(strings.TrimSpace(line), " | ")
		require.Len(t, f, 4, line)
		require.Contains(t, []string{"refused", "accepted", "verdict", "never"}, f[0], line)
		d := &difference{kind: f[0], filter: f[2], links: map[string]bool{}}
		for link := range strings.FieldsSeq(f[1]) {
			d.links[link] = true
		}
		all = append(all, d)
	}
	return all
}

// tally counts what the referee sees on one link type.
type tally struct {
	filters, both, refused, agree, plain int
	near                                 int // packets made from a filter's code
	selects                              int // filters that select a packet, and don't select another
	never                                int // of random filters: see testdata/disagree.data
	packets                              int
	logRatio                             float64
	worst                                []worst
}

type worst struct {
	ours, theirs int
	filter, link string
}

func (w worst) ratio() float64 { return float64(w.ours) / float64(w.theirs) }

func (s *tally) add(o tally) {
	s.filters, s.both, s.refused, s.agree, s.plain = s.filters+o.filters, s.both+o.both, s.refused+o.refused, s.agree+o.agree, s.plain+o.plain
	s.selects += o.selects
	s.near += o.near
	s.packets, s.logRatio = s.packets+o.packets, s.logRatio+o.logRatio
	s.worst = append(s.worst, o.worst...)
	slices.SortFunc(s.worst, func(a, b worst) int {
		return cmp.Or(cmp.Compare(b.ratio(), a.ratio()), cmp.Compare(a.filter, b.filter))
	})
	s.worst = slices.CompactFunc(s.worst, func(a, b worst) bool { return a.filter == b.filter })
	s.worst = s.worst[:min(len(s.worst), 12)]
}

// TestReferee compares filters with libpcap's answers (see TestAnswers) on every link type: whether they are accepted, and
// what they select, packet by packet. To the packets of the captures come some made for each filter, with the numbers that its code compares with
// and their neighbours. Where libpcap's optimiser changes what a filter selects, its plain code counts as
// well. A filter sees every third packet, with -full all.
func TestReferee(t *testing.T) {
	filters, all, known := readFilters(t), readAnswers(t), readDifferences(t)
	var total tally
	wrong := 0
	for _, l := range refLinks() {
		packets, sum := packetsOf(t, l), tally{}
		sum.packets = len(packets)
		for n, f := range filters {
			kind, text := compareFilter(l, f, all[f][l.name], share(packets, n), &sum)
			at := slices.IndexFunc(known, func(d *difference) bool { return d.covers(kind, l.name, f) })
			switch {
			case kind == "":
			case at >= 0:
				known[at].used = true
			case kind == "verdict":
				wrong++
				fallthrough
			default:
				t.Errorf("%s: %s: %s: %s", l.name, f, kind, text)
			}
		}
		t.Logf("%-10s %4d filters, %4d accepted by both, %4d refused by both, %4d select some packets, %.2f%% agree on all of %d packets (%d with libpcap's plain code only), instructions %.3f of libpcap's",
			l.name, sum.filters, sum.both, sum.refused, sum.selects, 100*float64(sum.agree)/float64(max(sum.both, 1)), sum.packets, sum.plain, math.Exp(sum.logRatio/float64(max(sum.both, 1))))
		total.add(sum)
	}
	ratio := math.Exp(total.logRatio / float64(max(total.both, 1)))
	t.Logf("all: %d pairs, %d accepted by both, %d agree, %d select some packets, %d packets made from numbers in their code; wrong but accepted: %d; instructions %.3f of libpcap's", total.filters, total.both, total.agree, total.selects, total.near, wrong, ratio)
	for _, w := range total.worst {
		t.Logf("  %.2f (%d for %d) %s: %s", w.ratio(), w.ours, w.theirs, w.link, w.filter)
	}
	require.LessOrEqual(t, ratio, 1.2, "instructions for one of libpcap's")
	for _, d := range known {
		if !d.used {
			t.Errorf("testdata/disagree.data: %s: %s: we agree, so the row is to go", d.kind, d.filter)
		}
	}
}

// share returns the packets that the n-th filter is run on.
func share(packets []refPacket, n int) []refPacket {
	if *full {
		return packets
	}
	var some []refPacket
	for i := n % 3; i < len(packets); i += 3 {
		some = append(some, packets[i])
	}
	return some
}

// libpcapNever is what libpcap says of a filter that it finds to select nothing.
const libpcapNever = "expression rejects all packets"

func selectsNone(packets []refPacket, run func(refPacket) uint32) bool {
	return !slices.ContainsFunc(packets, func(p refPacket) bool { return run(p) != 0 })
}

// compareFilter compares one filter on one link type and returns how we differ from libpcap, "" when not.
func compareFilter(l refLink, f string, want outcome, packets []refPacket, sum *tally) (kind, text string) {
	sum.filters++
	got, err := CompileOptions{BigEndian: l.big}.Compile(f, l.typ)
	switch {
	case err != nil && want.err != "":
		sum.refused++
		return "", ""
	case err != nil:
		code := want.code
		if want.plain != nil { // libpcap's optimiser changes what it selects
			code = want.plain
		}
		if strings.HasSuffix(err.Error(), refusedNever) && provenEmpty(code) {
			return "never", err.Error()
		}
		return "refused", err.Error()
	case want.err != "":
		if want.err == libpcapNever && provenEmpty(got) {
			return "never", "libpcap says: " + want.err
		}
		return "accepted", "libpcap says: " + want.err
	}
	sum.both++
	sum.logRatio += math.Log(float64(len(got)) / float64(len(want.code)))
	if !strings.Contains(f, "protochain") { // libpcap has a loop, we have as many rounds as there may be
		sum.worst = append(sum.worst, worst{len(got), len(want.code), f, l.name})
	}
	filter, err := NewFilter(got, Pcap)
	if err != nil {
		return "verdict", err.Error()
	}
	plain, yes, no := false, 0, 0
	near := boundaries(want.code, packets)
	sum.near += len(near)
	for i, p := range append(packets[:len(packets):len(packets)], near...) {
		is := filter.Run(&Packet{Data: p.data, WireLen: p.wire})
		if is != 0 {
			yes = 1
		} else {
			no = 1
		}
		if is == refRun(want.code, p.data, p.wire) {
			continue
		}
		if want.plain != nil && is == refRun(want.plain, p.data, p.wire) {
			plain = true
			continue
		}
		return "verdict", fmt.Sprintf("packet %d (%x, %d of %d bytes) gives %d\n%s", i, p.data, len(p.data), p.wire, is, listing(got))
	}
	sum.selects += yes & no
	if sum.agree++; plain {
		sum.plain++
	}
	return "", ""
}
