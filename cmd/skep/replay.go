package main

import (
	"cmp"
	"context"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	gomaps "maps"
	"math"
	"os"
	"os/signal"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/vm"
)

// sessionFlags are the flags of commands that run a program over a capture.
type sessionFlags struct {
	program, engine string
	set             []string
	loop            int
	limit           uint64
	seed            uint64
	sees            seesFlags
	unverified      bool
	follow          bool
	cpus            int
	pace, clock     string
	tolerant        bool
	state           stateFlags
	network         networkFlags
	load            loadFlags
	cover           coverFlags
	diff            diffFlags
	steps           *stepPrinter // nil when nobody wants to see instructions
	filter          captureFilterFlags
	chain           chainFlags
	links           []skep.Link // of the chain, once its objects are ready
}

func (f *sessionFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.program, "prog", "", "program to run, when the object has several")
	fl.StringVar(&f.engine, "engine", "", "interp, checked, jit, or both: each packet on two engines, and any difference fails")
	fl.StringArrayVar(&f.set, "set", nil, "set a map element before the run: MAP:KEY=VALUE in hex, @PROGRAM behind it for what names one; may be repeated")
	fl.IntVar(&f.loop, "loop", 1, "passes over the capture; time goes on from pass to pass")
	fl.Uint64Var(&f.limit, "limit", 0, "stop after so many packets")
	fl.Uint64Var(&f.seed, "seed", 0, "of the random numbers that programs get")
	fl.BoolVar(&f.unverified, "unverified", false, "run a rejected program too, in checked mode unless --engine is given")
	fl.StringVar(&f.pace, "pace", "", "let packets come as fast as captured (1x), so many times as fast (10x), or so many a second (5000pps)")
	fl.StringVar(&f.clock, "clock", "packet", "what programs get for the time: that of the packet, or wall")
	fl.IntVar(&f.cpus, "cpus", 1, "run on so many CPUs: the packets of a flow, both directions, stay on one")
	fl.BoolVar(&f.follow, "follow", false, "wait for more at the end of the capture, as tail -f does, until Ctrl-C")
	fl.BoolVar(&f.tolerant, "tolerant", false, "a damaged capture ends where the damage is, and that is no failure")
	f.sees.add(fl)
	f.filter.add(fl)
	f.state.add(fl)
	f.network.add(fl)
	f.load.add(fl)
	f.cover.add(fl)
}

type replayFlags struct {
	sessionFlags
	out                  outputFlags
	output               string
	stopOnFault, changed bool
	detail               bool
	trace                uint64
	after                time.Duration
}

func (a *app) replayCommand() *cobra.Command {
	var f replayFlags
	cmd := &cobra.Command{
		Use:   "replay [OBJECT] CAPTURE…",
		Short: "Run a packet program over a capture and count its verdicts",
		Long: `Replay verifies a program and runs it on every packet of a capture: pcap or pcapng, plain or packed with gzip or
zstd, "-" for standard input. Several captures, or all of a directory, are replayed as one in the order of time. --follow waits for more at the end of a
capture that is still being written. Ctrl-C prints the report of what was done so far (exit code 130).
Time is the capture's, random numbers come from --seed: the same input gives the same result.

A program sees what its hook would get: other link layers are made Ethernet, TC finds the VLAN tag in the ctx, packets have a hash and a queue. --l2, --no-convert, --trunc, --rxvlan,
--keep-vlan, --queues and --ifindex say otherwise. With --loop, --loop-addresses makes the flows of each pass new, and --reset-maps the maps.

--filter takes an expression of tcpdump: only packets that match one reach the program. Without OBJECT the filters are counted, -w
writes the packets that match any of them, as they were captured, and --split one file for each filter. A filter is compiled for the link type of
each packet's interface and sees what was captured. OBJECT may also be a filter in text, as "skep filter" and tcpdump -d, -dd, -ddd print.

Several programs make a chain: --xdp, --tc and --egress take the place of OBJECT and run as the kernel's hooks would, each on what the one
before it left; the report and -w say of each verdict whose it was. XDP programs run in libxdp's order, by the priority and the verdicts to go on
at that their objects (.xdp_run_config) or @PRIORITY,VERDICT… say. Programs of xdp/devmap and xdp/cpumap sections run where an element of a map
names them: --set MAP:KEY=IFINDEX@PROGRAM.

Without OBJECT and without --filter the packets are counted, and -w writes all of them: captures merged in the order of time.

-w writes the packets as the program left them: pcapng, with the verdict, the packet's number, direction, queue and a comment on each, or pcap
when the file's name ends in .pcap. "-w -" writes to standard output, and the report goes to stderr. --split writes one file for each
verdict, pcap unless --format pcapng. --rx-capture entry,exit writes each packet as it was before the program, too, with the same packet id.`,
		Example: "  skep replay filter.bpf.o capture.pcap\n  skep replay --engine both -w out.pcapng filter.bpf.o capture.pcap.gz\n  skep replay --xdp guard.bpf.o@10 --xdp lb.bpf.o:balance@20,pass,tx --tc policy.bpf.o capture.pcap\n  skep replay --filter web='tcp port 80' --filter dns='udp port 53' -w out.pcap capture.pcap",
		Args:    cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			mode, err := f.mode(args)
			if err != nil {
				return err
			}
			if err := mode.check(cmd.Flags()); err != nil {
				return err
			}
			switch mode {
			case replayChain:
				return a.replay("", args, &f)
			case replayFilters, replayCaptures:
				return a.replayFilters(args, &f)
			}
			return a.replay(args[0], args[1:], &f)
		},
	}
	fl := cmd.Flags()
	f.add(fl)
	f.chain.add(fl)
	f.out.add(fl)
	fl.StringVarP(&f.output, "output", "o", "text", "text, json, csv, or html: a page with charts")
	fl.BoolVar(&f.detail, "detail", false, "measure every packet: verdicts over time, histograms of ns and instructions; -o html always does")
	f.diff.add(fl)
	fl.Uint64Var(&f.trace, "trace", 0, "print the instructions that are executed for the packet of that number, with the registers they change")
	fl.BoolVar(&f.stopOnFault, "stop-on-fault", false, "end with exit code 3 at the first fault; else faults are counted")
	fl.DurationVar(&f.after, "time-after", 0, "let time go on so long behind the last packet: timers fire")
	fl.BoolVar(&f.changed, "changed", true, "count packets whose bytes the program changed")
	return cmd
}

func (a *app) replay(path string, captures []string, f *replayFlags) (err error) {
	output, err := findReplayOutput(f.output)
	if err != nil {
		return err
	}
	if f.output != "text" && f.out.write != "-" && (f.cover.to == "text" || f.cover.to == "lcov") {
		return fmt.Errorf("-o %s and --cover %s would both be on standard output: give --cover a file's name", f.output, f.cover.to)
	}
	o := replay.Options{StopOnFault: f.stopOnFault, CountChanged: f.changed, Detail: f.detail || f.output == "html", After: uint64(max(f.after, 0))}
	out, err := f.out.open(a, captures, false)
	if err != nil {
		return err
	}
	o.Sinks, a = out.sinks(), f.out.report(a)
	f.diff.print = f.output == "text"
	if f.trace != 0 {
		f.steps = &stepPrinter{w: a.out, only: f.trace}
		if f.output != "text" { // which the report has for itself
			f.steps.w = a.err
		}
	}
	var report *replay.Report
	title, err := f.title(path)
	if err != nil {
		return err
	}
	page := &replay.Page{Title: title, Capture: strings.Join(captures, ", ")}
	err = a.session(path, captures, &f.sessionFlags, o, func(v *skep.VM, r *replay.Report) (err error) {
		report = r
		if f.output == "json" || f.output == "html" {
			err = addMaps(v, r, page)
		}
		return err
	})
	err = out.close(report, err)
	if report != nil {
		if perr := output.print(a, report, page); err == nil {
			err = perr
		}
	}
	return err
}

// session makes the object ready, replays the capture and gives machine and report to done. A report comes with an error, too, when
// the capture ends in the middle of a packet.
func (a *app) session(path string, captures []string, f *sessionFlags, o replay.Options, done func(*skep.VM, *replay.Report) error) error {
	if f.cover.to != "" {
		if _, err := f.cover.form(); err != nil {
			return err
		}
	}
	if f.cpus < 1 {
		return fmt.Errorf("--cpus %d: want 1 or more", f.cpus)
	}
	if err := f.diff.check(f.engine, f.chain.used()); err != nil {
		return err
	}
	if f.chain.used() {
		specs, err := f.chain.specs()
		if err != nil {
			return err
		}
		path = specs[0].path
	}
	in, err := a.read(path)
	if err != nil {
		return err
	}
	v, err := a.open(in, f.engineOne(), f)
	if err != nil {
		return err
	}
	defer v.Close()
	if o.Filters, err = f.filter.filters(a, v); err != nil {
		return err
	}
	if err := a.replayOptions(&o, captures, f); err != nil {
		return err
	}
	stop, release := a.interrupted()
	defer release()
	o.Stop = stop
	report, err := a.replayOn(v, in, f, o)
	if f.steps != nil {
		f.steps.flush()
	}
	if report != nil {
		if derr := errors.Join(done(v, report), f.state.save(v), f.cover.write(a, v)); err == nil {
			err = derr
		}
	}
	var mismatch *replay.Mismatch
	if errors.As(err, &mismatch) {
		return &rejected{"the engines disagree: " + mismatch.Error()}
	}
	if report != nil && report.Differences > 0 && err == nil {
		return &rejected{fmt.Sprintf("the versions differ on %d of %d packets", report.Differences, report.Packets)}
	}
	return a.explainFailure(err)
}

// replayOn replays on v alone, or beside another engine or another version of the object.
func (a *app) replayOn(v *skep.VM, in *file, f *sessionFlags, o replay.Options) (*replay.Report, error) {
	switch {
	case f.cpus > 1 && f.steps != nil:
		return nil, errors.New("--trace follows one CPU")
	case f.cpus > 1 && (f.diff.used() || f.engine == "both"):
		return nil, errors.New("--cpus shares the packets out: what runs twice to be compared stays on one")
	case f.chain.used() && !f.diff.used() && f.engine != "both":
		return v.ReplayChain(f.links, o)
	case !f.diff.used() && f.engine != "both":
		engines, err := v.Engines(f.program)
		if err != nil {
			return nil, err
		}
		o.Others = engines[1:]
		return v.Replay(f.program, o)
	}
	other, engine, program := in, skep.EngineInterp, f.program
	quiet := *f
	quiet.steps = nil
	if f.diff.used() {
		var err error
		if other, err = a.otherVersion(&quiet); err != nil {
			return nil, err
		}
		f.diff.in = quiet.diff.in
		o.Differences = max(f.diff.limit, 0)
		engine, program, o.Difference = f.engine, cmp.Or(f.diff.program, f.program), f.diff.difference(a)
	}
	w, err := a.open(other, engine, &quiet)
	if err != nil {
		return nil, err
	}
	defer w.Close()
	if f.chain.used() {
		return v.ReplayChainBoth(w, f.links, quiet.links, o)
	}
	return v.ReplayBoth(w, f.program, program, o)
}

// otherVersion reads the object to compare with, the first of a chain, and lets f name those that come after it.
func (a *app) otherVersion(f *sessionFlags) (*file, error) {
	if !f.chain.used() {
		f.diff.in = f.diff.objects[0]
		return a.read(f.diff.in)
	}
	specs, err := f.chain.specs()
	if err != nil {
		return nil, err
	}
	if f.chain.versions, err = f.diff.versions(specs); err != nil {
		return nil, err
	}
	f.diff.in = strings.Join(slices.Sorted(gomaps.Values(f.chain.versions)), ", ")
	return a.read(f.chain.file(specs[0].path))
}

// engineOne is the engine of the first, or only, VM.
func (f *sessionFlags) engineOne() string {
	if f.engine != "both" {
		return f.engine
	}
	if jit.Available() {
		return skep.EngineJIT
	}
	return skep.EngineChecked
}

func (a *app) open(in *file, engine string, f *sessionFlags) (*skep.VM, error) {
	obj, err := in.load(&f.load)
	if err != nil {
		return nil, err
	}
	var mu sync.Mutex // CPUs trace at the same time
	machine := vm.Config{Seed: f.seed, CPUs: f.cpus, Cover: f.cover.to != "", Trace: func(line string) {
		mu.Lock()
		defer mu.Unlock()
		fmt.Fprintln(a.err, strings.TrimRight(line, "\n"))
	}}
	clock, ok := clocks[f.clock]
	if !ok {
		return nil, fmt.Errorf("--clock %s: want packet or wall", f.clock)
	}
	machine.Clock = clock
	if err := f.network.machine(&machine); err != nil {
		return nil, err
	}
	o := skep.Options{Engine: engine, Unverified: f.unverified, Machine: machine}
	if f.steps != nil {
		o.Step = f.steps.step
	}
	v, err := skep.New(obj, o)
	if err != nil {
		return nil, err
	}
	if f.steps != nil {
		f.steps.space = v.Machine().Space()
	}
	if f.chain.used() {
		if f.links, err = f.chain.links(a, v, &f.load); err != nil {
			v.Close()
			return nil, err
		}
	}
	if err := f.state.load(v); err != nil {
		v.Close()
		return nil, err
	}
	for _, s := range f.set {
		if err := setElement(v, s, f.chain.used()); err != nil {
			v.Close()
			return nil, fmt.Errorf("--set %s: %w", s, err)
		}
	}
	return v, nil
}

// setElement does one --set MAP:KEY=VALUE.
func setElement(v *skep.VM, s string, isChain bool) error {
	name, rest, ok1 := strings.Cut(s, ":")
	k, val, ok2 := strings.Cut(rest, "=")
	if !ok1 || !ok2 {
		return errors.New("want MAP:KEY=VALUE")
	}
	m := v.Map(name)
	if m == nil {
		return fmt.Errorf("no map %q", name)
	}
	key, err := hex.DecodeString(k)
	if err != nil {
		return fmt.Errorf("key: %w", err)
	}
	val, program, named := strings.Cut(val, "@")
	value, err := hex.DecodeString(val)
	if err != nil {
		return fmt.Errorf("value: %w", err)
	}
	if named && !isChain && m.Spec().Type.Row().ByRedirect {
		return fmt.Errorf("programs of a %s run in chains alone: skep replay --xdp FILE:PROGRAM", m.Spec().Type)
	}
	if named {
		handle, err := v.ProgramHandle(program)
		if err != nil {
			return err
		}
		value = binary.LittleEndian.AppendUint32(value, handle)
	}
	return maps.HostOf(m).Update(key, value, maps.Any)
}

func (a *app) replayOptions(o *replay.Options, captures []string, f *sessionFlags) (err error) {
	if len(captures) == 1 && captures[0] == "-" {
		o.Input = a.in
	} else {
		o.Files = captures
	}
	o.Follow, o.Tolerant = f.follow, f.tolerant
	o.Loop, o.Limit = f.loop, f.limit
	if err := f.sees.options(o); err != nil {
		return err
	}
	if bar := a.progress(); bar != nil {
		o.Progress = bar
	}
	o.Pace, o.Rate, err = parsePace(f.pace)
	return err
}

// parsePace reads a --pace: times the capture's speed, or packets a second.
func parsePace(s string) (pace, rate float64, err error) {
	to := &pace
	number, ok := strings.CutSuffix(s, "x")
	if !ok {
		number, ok = strings.CutSuffix(s, "pps")
		to = &rate
	}
	if s == "" {
		return 0, 0, nil
	}
	if *to, err = strconv.ParseFloat(number, 64); err != nil || !ok || !(*to > 0) || math.IsInf(*to, 0) {
		return 0, 0, fmt.Errorf("--pace %s: want a number above 0 with x or pps behind it", s)
	}
	return pace, rate, nil
}

// clocks are what --clock takes.
var clocks = map[string]func() uint64{
	"packet": nil,
	"wall":   func() uint64 { return uint64(time.Now().UnixNano()) },
}

// interrupted returns a channel that Ctrl-C closes; a second one ends the process as ever.
func (a *app) interrupted() (stop <-chan struct{}, done func()) {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
	context.AfterFunc(ctx, cancel)
	return ctx.Done(), cancel
}

// progress returns what draws the progress line, or nil when stderr is no terminal.
func (a *app) progress() func(replay.Progress) {
	if !isTerminal(a.err) {
		return nil
	}
	start, last := time.Now(), time.Now()
	return func(p replay.Progress) {
		now := time.Now()
		if now.Sub(last) < 200*time.Millisecond {
			return
		}
		last = now
		fmt.Fprintf(a.err, "\r\x1b[K%s\r", progressLine(p, now.Sub(start)))
	}
}

// progressLine says how far a replay is, how fast it goes, and how long it will still take when that can be known.
func progressLine(p replay.Progress, took time.Duration) string {
	rate := float64(p.Packets) / 1e6 / took.Seconds()
	line := fmt.Sprintf("%d packets, %.0f MB, %.1f million packets/s", p.Packets, float64(p.Bytes)/1e6, rate)
	if p.Size <= 0 || p.Read <= 0 {
		return line
	}
	const width = 24
	part := min(float64(p.Read)/float64(p.Size), 1)
	left := time.Duration(float64(took) * (1/part - 1))
	full := int(part * width)
	return fmt.Sprintf("[%s%s] %3.0f %%, %s left, %s", strings.Repeat("=", full), strings.Repeat(" ", width-full), 100*part,
		left.Round(time.Second), line)
}
