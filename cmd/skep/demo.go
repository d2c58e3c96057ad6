package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/verifier"
)

// demoPrograms are the examples that the demo shows, and which of their maps.
var demoPrograms = []struct{ name, about, mapName string }{
	{"block_ssh_xdp", "drops TCP to port 22", ""},
	{"udp_rewrite", "sends UDP back: addresses and ports swapped, checksums updated", ""},
	{"ddos", "drops sources that send too much", "totals"},
}

// demoPasses over the capture are enough for some sources to send too much.
const demoPasses = 20

func (a *app) demoCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "See the main job: real programs verified, run and timed over a built-in capture",
		Long: `Demo takes three XDP programs that clang compiled (examples/*.bpf.c) and a small capture, both built into this binary. It verifies the
programs, runs every packet on the interpreter and on machine code, shows verdicts, a changed packet and a map, and times both engines.
It needs no root and touches nothing.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return a.demo() },
	}
}

func (a *app) demo() error {
	packets, err := a.readPackets("", false, 1<<20)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.out, "A capture of %d packets, replayed %d times through %d XDP programs that clang compiled.\n",
		len(packets), demoPasses, len(demoPrograms))
	for _, d := range demoPrograms {
		fmt.Fprintf(a.out, "\n== %s: %s\n", d.name, d.about)
		elf, err := examples.Open(d.name)
		if err != nil {
			return err
		}
		if err := a.demoProgram(d.name, elf, d.mapName, packets); err != nil {
			return a.explainFailure(err)
		}
	}
	fmt.Fprint(a.out, "\nNext: skep verify OBJECT, skep replay OBJECT CAPTURE, skep bench OBJECT; skep help says more.\n")
	return nil
}

func (a *app) demoProgram(name string, elf []byte, mapName string, packets [][]byte) error {
	interp, err := skep.OpenBytes(elf, name, skep.Options{Engine: skep.EngineInterp})
	if err != nil {
		return err
	}
	defer interp.Close()
	fast, err := skep.OpenBytes(elf, name, skep.Options{Engine: secondEngine()})
	if err != nil {
		return err
	}
	defer fast.Close()
	printOutcome(a.out, ptr(verifyProgram(name, interp.Object().Programs[0], target{profile: verifier.Newest()}, nil, &verifyFlags{})))
	change := &firstChange{packets: packets}
	report, err := interp.ReplayBoth(fast, "", "", replay.Options{
		Input: bytes.NewReader(traffic.Sample()), Loop: demoPasses, CountChanged: true, Sinks: []replay.Sink{change},
	})
	if err != nil {
		return err
	}
	printReplay(a.out, report)
	if change.number > 0 {
		fmt.Fprintf(a.out, "  packet %d before\n%s  and after\n%s", change.number, hexLines(packets[change.number-1]), hexLines(change.after))
	}
	if mapName != "" {
		if err := dumpMaps(a.out, interp, mapName); err != nil {
			return err
		}
	}
	job := &benchJob{name: name, about: "packets of the capture", program: interp.Object().Programs[0].Name, file: &file{name, elf},
		flags: &loadFlags{}, packets: packets, group: len(packets)}
	r, err := job.run([]string{skep.EngineInterp, secondEngine()}, 200)
	if err != nil {
		return err
	}
	printBench(a.out, r)
	return nil
}

// secondEngine is what the interpreter is compared with.
func secondEngine() string {
	if jit.Available() {
		return skep.EngineJIT
	}
	return skep.EngineChecked
}

func ptr[T any](v T) *T { return &v }

// firstChange is a sink that keeps the first packet that a program changed.
type firstChange struct {
	packets [][]byte
	number  uint64
	after   []byte
}

func (f *firstChange) Write(x *replay.Exit) error {
	if f.number == 0 && x.Number <= uint64(len(f.packets)) && !bytes.Equal(x.Data, f.packets[x.Number-1]) {
		f.number, f.after = x.Number, bytes.Clone(x.Data)
	}
	return nil
}

func (f *firstChange) Close() error { return nil }

// hexLines is the beginning of a packet: the headers.
func hexLines(b []byte) string {
	text := hex.Dump(b[:min(len(b), 48)])
	return "    " + strings.ReplaceAll(strings.TrimSuffix(text, "\n"), "\n", "\n    ") + "\n"
}
