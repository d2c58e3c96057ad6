package replay

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/browsertest"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// TestChainDetail: for every chain case, on every engine, the series adds up to the verdicts and faults, each program's histograms to its
// runs, and all instructions of packets that came to an end to the report's.
func TestChainDetail(t *testing.T) {
	files, err := filepath.Glob("testdata/chain/*.txtar")
	require.NoError(t, err)
	for _, file := range files {
		ar, err := txtar.ParseFile(file)
		require.NoError(t, err)
		for _, engine := range engineNames() {
			c := readChain(t, ar)
			if c.rejected && engine == "jit" {
				continue
			}
			o := c.options
			if o.Target, err = c.target(t, engine); err != nil {
				continue // a case of what NewChain refuses
			}
			o.Type, o.Input, o.Detail, o.Loop = o.Target.Engine.(*Chain).Type(), bytes.NewReader(c.capture), true, 2
			rep, err := Run(o)
			require.NoError(t, err, file)
			want, got := map[string]uint64{}, map[string]uint64{}
			for _, v := range rep.Verdicts {
				want[v.Name] += v.Packets
			}
			if rep.Faults > 0 {
				want[faultVerdict] = rep.Faults
			}
			for _, row := range rep.Detail.Series.Rows {
				for _, n := range row.Packets {
					got[row.Name] += n
				}
			}
			require.Equal(t, want, got, file)
			require.Equal(t, rep.Packets, rep.Detail.Nanoseconds.Count)
			require.Equal(t, rep.Insns, rep.Detail.Instructions.Sum)
			insns, faults := uint64(0), uint64(0)
			for _, p := range rep.Programs {
				require.Equal(t, p.Packets, p.Nanoseconds.Count, "%s %s", file, p.Name)
				require.Equal(t, p.Packets-p.Faults, p.Instructions.Count, "%s %s", file, p.Name)
				insns += p.Instructions.Sum
				faults += p.Faults
			}
			require.Equal(t, rep.Faults, faults)
			if faults == 0 {
				require.Equal(t, rep.Insns, insns, file)
			}
		}
	}
}

// abortingChain has two programs each of which aborts some packets and faults on others.
func abortingChain(t *testing.T) *chainCase {
	ar := &txtar.Archive{Files: []txtar.File{{Name: "options", Data: []byte("rejected")}}}
	for i, name := range []string{"one", "two"} {
		// Byte 14 says what happens: 2*i aborts, 2*i+1 loops for ever.
		src := fmt.Sprintf(`
			r2 = *(u32 *)(r1 + 0)
			r0 = *(u8 *)(r2 + 14)
			r0 += %d
			if r0 == 0 goto out
			r3 = 1
		loop:
			if r0 == r3 goto loop
			r0 = 2
		out:
			exit`, -2*i)
		ar.Files = append(ar.Files, txtar.File{Name: fmt.Sprintf("xdp %s prio %d", name, i), Data: []byte(src)})
	}
	var packets strings.Builder
	for i := range 60 {
		fmt.Fprintf(&packets, "%d 0200000000%02x020000000002 0800 %02x*46\n", i*1000, i, i%6)
	}
	c := readChain(t, ar)
	c.capture = captureOf(t, linktype.Ethernet, packets.String())
	return c
}

// TestExamples: the first packets that each program aborts or faults on are kept, in order.
func TestExamples(t *testing.T) {
	c := abortingChain(t)
	target, err := c.target(t, "interp")
	require.NoError(t, err)
	rep, err := Run(Options{Type: prog.XDP, Target: target, Input: bytes.NewReader(c.capture)})
	require.NoError(t, err)
	require.EqualValues(t, 20, rep.Faults)
	var aborted, faults []string
	for _, x := range rep.AbortedExamples {
		aborted = append(aborted, fmt.Sprint(x.Packet, " ", x.Program, " ", x.Hook))
	}
	for _, x := range rep.FaultExamples {
		faults = append(faults, fmt.Sprint(x.Packet, " ", x.Program))
		require.ErrorContains(t, x.Err, "budget")
	}
	require.Equal(t, []string{"1 one xdp", "3 two xdp", "7 one xdp", "9 two xdp", "13 one xdp", "15 two xdp", "19 one xdp", "21 two xdp", "25 one xdp", "27 two xdp"}, aborted)
	require.Equal(t, []string{"2 one", "4 two", "8 one", "10 two", "14 one", "16 two", "20 one", "22 two", "26 one", "28 two"}, faults)

	// As the workers of several CPUs bring them: each its own, the first of all stay.
	sorted := *rep
	rep.AbortedExamples = append(rep.AbortedExamples[5:len(rep.AbortedExamples):len(rep.AbortedExamples)], rep.AbortedExamples[:5]...)
	rep.AbortedExamples = append(rep.AbortedExamples, AbortedExample{100, "one", "xdp"}, AbortedExample{2, "three", "xdp"})
	rep.FaultExamples = append(rep.FaultExamples[3:len(rep.FaultExamples):len(rep.FaultExamples)], rep.FaultExamples[:3]...)
	rep.firstExamples()
	require.Equal(t, sorted.FaultExamples, rep.FaultExamples)
	require.Equal(t, AbortedExample{2, "three", "xdp"}, rep.AbortedExamples[1])
	require.Len(t, rep.AbortedExamples, 11)
}

// chainPage is a chain's report with everything that a page shows of one.
func chainPage(t *testing.T) (*Report, []byte) {
	c := abortingChain(t)
	target, err := c.target(t, "interp")
	require.NoError(t, err)
	rep, err := Run(Options{Type: prog.XDP, Target: target, Input: bytes.NewReader(c.capture), Detail: true})
	require.NoError(t, err)
	rep.Elapsed = 1e6
	for _, m := range []*Measures{&rep.Detail.Measures, rep.Programs[0].Measures, rep.Programs[1].Measures} {
		m.Nanoseconds = m.Instructions
	}
	var page bytes.Buffer
	require.NoError(t, rep.WriteHTML(&page, Page{Title: "one.o, two.o", Capture: "a.pcap"}))
	return rep, page.Bytes()
}

func TestChainPage(t *testing.T) {
	rep, got := chainPage(t)
	const golden = "testdata/chainpage.html"
	if *update {
		require.NoError(t, os.WriteFile(golden, got, 0o644))
	}
	want, err := os.ReadFile(golden)
	require.NoError(t, err)
	require.Equal(t, string(want), string(got))

	text, err := json.Marshal(rep)
	require.NoError(t, err)
	require.Contains(t, string(text), `"packets_per_second":60000`)
	require.Contains(t, string(text), `"faults":10,"instructions":{"count":50,`)
	rep.Elapsed = 0
	text, err = json.Marshal(rep)
	require.NoError(t, err)
	require.NotContains(t, string(text), "packets_per_second")
}

func TestChainPageInBrowser(t *testing.T) {
	_, page := chainPage(t)
	require.Equal(t, "7 charts, 4 tables, fits: true", browsertest.Ask(t, page, `[...document.querySelectorAll("svg")].
		filter(s => s.getBoundingClientRect().width > 300 && s.getBoundingClientRect().height > 100 && s.querySelector("path, rect").getBoundingClientRect().height > 0).
		length + " charts, " + document.querySelectorAll("table").length + " tables, fits: " + (document.documentElement.scrollWidth <= innerWidth)`))
}

// TestAbortedExamples: whichever way packets take through a replay, its report has the same first aborted ones.
func TestAbortedExamples(t *testing.T) {
	p := assemble(t, prog.XDP, `
		r2 = *(u32 *)(r1 + 0)
		r3 = *(u32 *)(r1 + 4)
		r4 = r2
		r4 += 24
		r0 = 1
		if r4 > r3 goto out
		r0 = *(u8 *)(r2 + 23)
		r0 &= 1
		r0 <<= 1
	out:
		exit`)
	file := filepath.Join(t.TempDir(), "sample.pcap")
	require.NoError(t, os.WriteFile(file, traffic.Sample(), 0o644))
	want := []AbortedExample(nil)
	for _, change := range []func(*Options){
		func(*Options) {},
		func(o *Options) { o.Files, o.Input = []string{file}, nil },
		func(o *Options) { o.Sinks = []Sink{&textSink{}} },
		func(o *Options) { o.Detail = true },
		func(o *Options) { o.CountChanged = true },
	} {
		for _, cpus := range []int{1, 3} {
			m, err := vm.NewMachine(vm.Config{CPUs: cpus, Space: smallSpace(false)})
			require.NoError(t, err)
			l, err := m.Link(p)
			require.NoError(t, err)
			engines := make([]vm.Engine, cpus)
			for i := range engines {
				engines[i], err = vm.NewInterpreter(m.CPU(i), l, vm.InterpOptions{})
				require.NoError(t, err)
			}
			o := Options{Type: prog.XDP, Target: Target{Machine: m, Engine: engines[0]}, Others: engines[1:], Input: bytes.NewReader(traffic.Sample())}
			change(&o)
			rep, err := Run(o)
			require.NoError(t, err)
			require.NoError(t, m.Close())
			require.Len(t, rep.AbortedExamples, maxExamples)
			if want == nil {
				want = rep.AbortedExamples
			}
			require.Equal(t, want, rep.AbortedExamples)
		}
	}
}

// TestChainAllocations: chains, their elements' programs and broadcasts to an array allocate nothing for a packet.
func TestChainAllocations(t *testing.T) {
	for _, name := range []string{"devmap", "cpumap", "broadcast", "egress", "xdp_tc", "classic"} {
		c := chainFile(t, name)
		var packets strings.Builder
		for i := range 6000 {
			fmt.Fprintf(&packets, "%d 020000000001020000000002 0800 %02x*46\n", i, []int{0, 1, 2, 3, 8, 24}[i%6])
		}
		c.capture = captureOf(t, linktype.Ethernet, packets.String())
		target, err := c.target(t, "interp")
		require.NoError(t, err)
		run := func(limit uint64, detail bool) uint64 {
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := Run(Options{Type: target.Engine.(*Chain).Type(), Target: target, Input: bytes.NewReader(c.capture), Limit: limit, CountChanged: true, Detail: detail})
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			return after.Mallocs - before.Mallocs
		}
		require.Less(t, run(0, false), run(600, false)+300, "%s: 6,000 packets against 600", name)
		require.Less(t, run(0, true), run(600, true)+300, "%s: 6,000 packets against 600, measured", name)
	}
}
