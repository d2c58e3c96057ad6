package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

type benchFlags struct {
	program, output    string
	workloads, engines []string
	packets, rounds    int
	load               loadFlags
}

func (a *app) benchCommand() *cobra.Command {
	var f benchFlags
	cmd := &cobra.Command{
		Use:   "bench [OBJECT [CAPTURE]]",
		Short: "Time programs: interpreter, machine code, and the live kernel where there is one",
		Long: `Bench times an object's program over the first packets of a capture (the built-in sample when none is given). Without an object it times
the built-in workloads, from a program that only returns to loops of 14,009 instructions, over generated packets.

The engines take turns, a round each, and what is printed is the fastest, the middle and the slowest round in ns a run. "single" is one
call of the engine for each packet, "batch" one call for all. A round starts from fresh packets; maps keep what is in them. The speed-up is
against the interpreter's single calls, fastest rounds both.

As root on Linux the object is also loaded into the live kernel, attached to nothing, and test-run there. The kernel's figure is its own: it
repeats each of ten packets on one buffer, cache-hot, and contains what its test loop costs.

-o benchstat prints lines in the format of "go test -bench", in which ns/op is the fastest round.

Workloads:
` + workloadLines(),
		Example: "  skep bench\n  skep bench --workload drop,udp_rewrite --engine jit\n  skep bench filter.bpf.o\n" +
			"  skep bench --prog xdp_filter -o json filter.bpf.o capture.pcap",
		Args: cobra.MaximumNArgs(2),
		RunE: func(_ *cobra.Command, args []string) error { return a.bench(args, &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "prog", "", "program to time, when the object has several")
	fl.StringSliceVar(&f.workloads, "workload", nil, "only these of the built-in workloads")
	fl.StringSliceVar(&f.engines, "engine", nil, "only these of interp, checked, jit and kernel; default: all but checked, where they are")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json, csv or benchstat")
	fl.IntVar(&f.packets, "packets", 512, "how many of the capture's packets, at most")
	fl.IntVar(&f.rounds, "rounds", 200, "how often")
	f.load.add(fl)
	return cmd
}

func workloadLines() string {
	var b strings.Builder
	for _, w := range workloads.All {
		fmt.Fprintf(&b, "  %-14s %s\n", w.Name, w.About)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// engineKernel is the live kernel's test run among the engines.
const engineKernel = "kernel"

// chosen returns the engines to time. Those that were not asked for by name are left out where they are not.
func (f *benchFlags) chosen() ([]string, error) {
	known := []string{skep.EngineInterp, skep.EngineChecked, skep.EngineJIT, engineKernel}
	for _, e := range f.engines {
		if !slices.Contains(known, e) {
			return nil, fmt.Errorf("--engine %s: want one of %s", e, strings.Join(known, ", "))
		}
	}
	if len(f.engines) > 0 {
		return f.engines, nil
	}
	engines := []string{skep.EngineInterp}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	return append(engines, engineKernel), nil
}

func (a *app) bench(args []string, f *benchFlags) error {
	switch {
	case f.packets < 1 || f.rounds < 1:
		return errors.New("--packets and --rounds: want 1 or more")
	case benchPrinters[f.output] == nil:
		return fmt.Errorf("-o %s: want text, json, csv or benchstat", f.output)
	case len(args) > 0 && len(f.workloads) > 0:
		return errors.New("--workload names built-in programs, and an object is given too")
	}
	jobs, err := a.benchJobs(args, f)
	if err != nil {
		return err
	}
	engines, err := f.chosen()
	if err != nil {
		return err
	}
	var results []*benchResult
	for _, j := range jobs {
		r, err := j.run(engines, f.rounds)
		if err != nil {
			return a.explainFailure(err)
		}
		results = append(results, r)
		if f.output == "text" { // as they come: the whole set takes a while
			printBench(a.out, r)
		}
	}
	return benchPrinters[f.output](a, results)
}

// benchJob is one program to time, and its packets.
type benchJob struct {
	name, about, program string
	file                 *file
	flags                *loadFlags
	packets              [][]byte
	group                int // packets in a round
}

func (a *app) benchJobs(args []string, f *benchFlags) ([]*benchJob, error) {
	if len(args) == 0 {
		return workloadJobs(f)
	}
	capture := "sample"
	if len(args) == 2 {
		capture = args[1]
	}
	packets, err := a.readPackets(capture, len(args) == 2, f.packets)
	switch {
	case err != nil:
		return nil, err
	case len(packets) == 0:
		return nil, fmt.Errorf("%s has no packets", capture)
	}
	in, err := a.read(args[0])
	if err != nil {
		return nil, err
	}
	obj, err := in.load(&f.load)
	if err != nil {
		return nil, err
	}
	name, err := onlyProgram(obj, f.program)
	if err != nil {
		return nil, err
	}
	return []*benchJob{{name: name, about: "packets of " + capture, program: name, file: in, flags: &f.load, packets: packets, group: len(packets)}}, nil
}

func workloadJobs(f *benchFlags) (jobs []*benchJob, err error) {
	all := workloads.All
	if len(f.workloads) > 0 {
		all = nil
		for _, name := range f.workloads {
			w, err := workloads.ByName(name)
			if err != nil {
				return nil, err
			}
			all = append(all, w)
		}
	}
	for _, w := range all {
		elf, err := w.Object()
		if err != nil {
			return nil, err
		}
		packets, err := w.Packets()
		if err != nil {
			return nil, err
		}
		jobs = append(jobs, &benchJob{w.Name, w.About, w.Func, &file{w.Name, elf}, &f.load, packets, w.Round})
	}
	return jobs, nil
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

// contender is a way to run a program that takes turns with others. round returns the ns of a run.
type contender struct {
	engine, call string
	every        int // a round in so many
	round        func(i int) (float64, error)
	times        []float64
}

// run lets the engines take turns.
func (j *benchJob) run(engines []string, rounds int) (*benchResult, error) {
	r := &benchResult{Name: j.name, About: j.about, Program: j.program, Packets: min(j.group, len(j.packets)), Rounds: rounds}
	var all []*contender
	for _, engine := range engines {
		list, done, err := j.contenders(engine, r)
		if err != nil {
			return nil, err
		}
		defer done()
		all = append(all, list...)
	}
	for i := range rounds {
		for _, c := range all {
			if i%c.every != 0 {
				continue
			}
			ns, err := c.round(i)
			if err != nil {
				return nil, fmt.Errorf("%s on %s: %w", j.name, c.engine, err)
			}
			c.times = append(c.times, ns)
		}
	}
	r.fill(all)
	return r, nil
}

// contenders makes the program ready on an engine; done gives everything back.
func (j *benchJob) contenders(engine string, r *benchResult) (list []*contender, done func(), err error) {
	if engine == engineKernel {
		c, done, err := j.kernel(r.Rounds)
		if err != nil {
			r.NoKernel = err.Error()
			return nil, func() {}, nil
		}
		return []*contender{c}, done, nil
	}
	obj, err := j.file.load(j.flags)
	if err != nil {
		return nil, nil, err
	}
	v, err := skep.New(obj, skep.Options{Engine: engine})
	if err != nil {
		return nil, nil, err
	}
	meters, err := j.meters(v)
	if err != nil {
		v.Close()
		return nil, nil, err
	}
	at := func(i int) *skep.Meter { return meters[i%len(meters)] }
	list = []*contender{
		{engine: engine, call: "single", every: 1, round: func(i int) (float64, error) { return at(i).Single() }},
		{engine: engine, call: "batch", every: 1, round: func(i int) (float64, error) {
			ns, err := at(i).Batch()
			r.Insns = at(i).Insns()
			return ns, err
		}},
	}
	if engine == skep.EngineJIT {
		c, err := j.compile(v, r)
		if err != nil {
			v.Close()
			return nil, nil, err
		}
		list = append(list, c)
	}
	return list, func() { v.Close() }, nil
}

// meters makes one for each group of packets, so that a round touches no more memory than a cache holds.
func (j *benchJob) meters(v *skep.VM) (all []*skep.Meter, err error) {
	for group := range slices.Chunk(j.packets, j.group) {
		m, err := v.NewMeter(j.program, group)
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// compileRounds is how often machine code is made, for the time that it takes.
const compileRounds = 20

// compile times the making of machine code, executable pages included.
func (j *benchJob) compile(v *skep.VM, r *benchResult) (*contender, error) {
	proof, err := v.Verify(j.program)
	if err != nil {
		return nil, err
	}
	r.Slots = len(proof.Program().Insns)
	round := func(int) (float64, error) {
		c, err := jit.New(v.Machine())
		if err != nil {
			return 0, err
		}
		defer c.Close()
		start := time.Now()
		_, err = c.Compile(v.Machine().CPU(0), proof)
		return float64(time.Since(start).Nanoseconds()), err
	}
	return &contender{engine: skep.EngineJIT, call: callCompile, every: max(1, r.Rounds/compileRounds), round: round}, nil
}

// kernelPackets is how many packets the kernel's mean is taken over; kernelRound is about how long it runs each of them
// in a round, kernelRounds how many rounds there are. They are few: for an XDP program every test run that repeats waits for two RCU grace
// periods, to put the program into XDP's dispatcher and to take it out again (bpf_prog_change_xdp). That is 10 to 50 ms in which nothing runs.
const (
	kernelPackets = 10
	kernelRound   = 400 * time.Microsecond
	kernelRounds  = 4
)

// kernel loads the program into the live kernel. A round is the mean over the first packets.
func (j *benchJob) kernel(rounds int) (*contender, func(), error) {
	if err := kernel.Available(); err != nil {
		return nil, nil, err
	}
	elf, err := j.elf()
	if err != nil {
		return nil, nil, err
	}
	k, err := kernel.Load(elf)
	if err != nil {
		return nil, nil, err
	}
	var packets [][]byte
	for _, p := range j.packets {
		if kernel.Runs(p) && len(packets) < kernelPackets {
			packets = append(packets, p)
		}
	}
	if len(packets) == 0 {
		k.Close()
		return nil, nil, errors.New("the kernel's test run takes none of the packets")
	}
	mean, err := k.Bench(j.program, packets[0], 100)
	if err != nil {
		k.Close()
		return nil, nil, err
	}
	repeat := uint32(min(max(kernelRound/max(mean, 1), 10), 20_000))
	return &contender{engine: engineKernel, call: "test-run", every: max(1, rounds/kernelRounds), round: func(int) (float64, error) {
		var total time.Duration
		for _, p := range packets {
			mean, err := k.Bench(j.program, p, repeat)
			if err != nil {
				return 0, err
			}
			total += mean
		}
		return float64(total.Nanoseconds()) / float64(len(packets)), nil
	}}, k.Close, nil
}

// elf is what the kernel's loader takes: the file, or an object around plain instructions.
func (j *benchJob) elf() ([]byte, error) {
	if j.file.isELF() {
		return j.file.data, nil
	}
	obj, err := j.file.load(j.flags)
	if err != nil {
		return nil, err
	}
	p, section := obj.Program(j.program), ""
	for i := range prog.Sections { // the shortest name is that of the ordinary attach point
		s := &prog.Sections[i]
		if name := strings.TrimSuffix(s.Pattern, "+"); s.Type == p.Type && (section == "" || len(name) < len(section)) {
			section = name
		}
	}
	return object.WriteELF(p, section)
}
