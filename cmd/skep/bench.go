package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
)

type benchFlags struct {
	program, output string
	packets, rounds int
	load            loadFlags
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench OBJECT [CAPTURE]",
		Short: "Time a program: interpreter, machine code, and the live kernel where there is one",
		Long: `Bench runs a program over the first packets of a capture (the built-in sample when none is given), many rounds on each engine, and
prints ns a packet. "single" is one call of the engine for each packet, "batch" one call for all.

As root on Linux the object is also loaded into the live kernel, attached to nothing, and test-run there. The kernel's figure is its own: it
repeats each of ten packets on one buffer, cache-hot, and contains some 20 ns of test loop.`,
		Example: "  skep bench filter.bpf.o\n  skep bench --prog xdp_filter -o json filter.bpf.o capture.pcap",
		Args:    cobra.RangeArgs(1, 2),
		RunE:    func(_ *cobra.Command, args []string) error { return a.bench(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "prog", "", "program to time, when the object has several")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.IntVar(&f.packets, "packets", 512, "how many of the capture's packets, at most")
	fl.IntVar(&f.rounds, "rounds", 300, "how often")
	f.load.add(fl)
	return cmd
}

// benchReport is what bench prints with -o json.
type benchReport struct {
	Program  string             `json:"program"`
	Engines  []skep.Measurement `json:"engines"`
	KernelNS float64            `json:"kernel_ns,omitempty"`
	NoKernel string             `json:"no_kernel,omitempty"` // why there is no figure of the kernel
}

func (a *app) bench(args []string, f *benchFlags) error {
	if f.packets < 1 || f.rounds < 1 {
		return fmt.Errorf("--packets and --rounds: want 1 or more")
	}
	if err := checkOutput(f.output); err != nil {
		return err
	}
	capture := "sample"
	if len(args) == 2 {
		capture = args[1]
	}
	packets, err := a.readPackets(capture, len(args) == 2, f.packets)
	if err != nil {
		return err
	}
	report, err := a.benchObject(args[0], packets, f)
	if err != nil {
		return err
	}
	if f.output == "json" {
		return a.printJSON(report)
	}
	printBench(a.out, report)
	return nil
}

func (a *app) benchObject(file string, packets [][]byte, f *benchFlags) (*benchReport, error) {
	engines := []string{skep.EngineInterp}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	report := &benchReport{}
	for _, engine := range engines {
		obj, err := a.load(file, &f.load)
		if err != nil {
			return nil, err
		}
		if report.Program, err = onlyProgram(obj, f.program); err != nil {
			return nil, err
		}
		m, err := measure(obj, engine, report.Program, packets, f.rounds)
		if err != nil {
			return nil, a.explainFailure(err)
		}
		report.Engines = append(report.Engines, m)
	}
	ns, err := benchKernel(file, report.Program, packets)
	if err != nil {
		report.NoKernel = err.Error()
	}
	report.KernelNS = ns
	return report, nil
}

// onlyProgram resolves an empty program name to the object's only program.
func onlyProgram(obj *object.Object, name string) (string, error) {
	if name == "" && len(obj.Programs) == 1 {
		return obj.Programs[0].Name, nil
	}
	e := &skep.NoProgramError{Name: name}
	for _, p := range obj.Programs {
		if p.Name == name {
			return name, nil
		}
		e.Have = append(e.Have, p.Name)
	}
	return "", e
}

func measure(obj *object.Object, engine, name string, packets [][]byte, rounds int) (skep.Measurement, error) {
	v, err := skep.New(obj, skep.Options{Engine: engine})
	if err != nil {
		return skep.Measurement{}, err
	}
	defer v.Close()
	return v.Measure(name, packets, rounds)
}

// kernelPackets is how many packets the kernel's mean is taken over, kernelRepeat how often each is run.
const (
	kernelPackets = 10
	kernelRepeat  = 20000
)

// benchKernel returns the kernel's mean ns a run over the first packets.
func benchKernel(file, name string, packets [][]byte) (float64, error) {
	if err := kernel.Available(); err != nil {
		return 0, err
	}
	elf, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	k, err := kernel.Load(elf)
	if err != nil {
		return 0, err
	}
	defer k.Close()
	var total time.Duration
	n := 0
	for _, p := range packets {
		if n == kernelPackets {
			break
		}
		if !kernel.Runs(p) {
			continue
		}
		mean, err := k.Bench(name, p, kernelRepeat)
		if err != nil {
			return 0, err
		}
		total += mean
		n++
	}
	if n == 0 {
		return 0, errors.New("the kernel's test run takes none of the packets")
	}
	return float64(total.Nanoseconds()) / float64(n), nil
}

func printBench(w io.Writer, r *benchReport) {
	printEngines(w, r)
	if r.NoKernel != "" {
		fmt.Fprintf(w, "  %-10s skipped: %s\n", "kernel", r.NoKernel)
		return
	}
	fmt.Fprintf(w, "  %-10s%9.1f  (its own test run)\n", "kernel", r.KernelNS)
}

// printEngines shows the engines side by side.
func printEngines(w io.Writer, r *benchReport) {
	first := r.Engines[0]
	fmt.Fprintf(w, "speed of %s: %d packets, %d rounds, %.1f instructions a packet; ns a packet, fastest round (median)\n",
		r.Program, first.Packets, first.Rounds, first.Insns)
	fmt.Fprintf(w, "  %-10s%18s%18s\n", "", "single", "batch")
	for _, m := range r.Engines {
		fmt.Fprintf(w, "  %-10s%9.1f (%6.1f)%9.1f (%6.1f)", m.Engine, m.Single.Min, m.Single.Median, m.Batch.Min, m.Batch.Median)
		if m.Engine != first.Engine {
			fmt.Fprintf(w, "   %.1fx, in batches %.1fx", first.Single.Min/m.Single.Min, first.Batch.Min/m.Batch.Min)
		}
		fmt.Fprintln(w)
	}
}
