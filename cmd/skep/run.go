package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/verifier"
)

type runFlags struct {
	program, engine, ctx, output string
	repeat                       int
	until                        time.Duration
	unverified, maps, trace      bool
	packet                       packetFlags
	state                        stateFlags
	network                      networkFlags
	events                       eventFlags
	load                         loadFlags
}

func (a *app) runCommand() *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run OBJECT (--data FILE | --hex BYTES | --ctx JSON | --regs … | --events FILE)",
		Short: "Run a program on one packet, on another ctx, or on events",
		Long: `Run verifies a program, runs it on one packet and prints its verdict, the packet afterwards and what it traced.

Programs of cgroups, sockets and the like have no packet: --ctx describes what they are called for, by the names of the ctx's fields and of
what the kernel knows besides (docs/program-types.md). What the program changed is printed. --data is a message (sk_msg), the value of
an option (cgroup_sockopt), TCP headers (sock_ops).

Tracing programs run on events instead: --regs gives a kprobe's registers, --events a file with a JSON object a line:
  {"ns": 1000, "regs": {"arg1": "@path"}, "task": {"pid": 7, "comm": "bash"}}      kprobe, uprobe, perf_event
  {"fields": {"prev_pid": 7, "prev_comm": "bash"}}                                tracepoint, with --format
  {"args": ["@task", 3]}                                                         raw_tracepoint
--mem describes the memory that pointers lead to: {"path": {"text": "/etc/passwd"}, "task": {"type": "task_struct", "fields": {"pid": 7}}}.

--unverified runs a program that the verifier rejects: in checked mode, unless --engine names another, a bad access ends the run with the
exact instruction and address, and exit code 3. Other engines only keep it inside guest memory: jit makes sandboxed machine code.`,
		Example: "  skep run --hex 'ffffffffffff 020000000001 0800 45…' filter.bpf.o\n" +
			`  skep run --ctx '{"ingress_ifindex": 2}' --data packet.bin filter.bpf.o`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error { return a.run(args[0], &f) },
	}
	fl := cmd.Flags()
	fl.StringVar(&f.program, "prog", "", "program to run, when the object has several")
	fl.StringVar(&f.engine, "engine", "", "interp, checked, jit, or both; default: the fastest")
	fl.StringVar(&f.ctx, "ctx", "", "ctx fields as JSON, or @FILE; a socket is its cookie in --sockets, \"htons(80)\" a port in network order")
	fl.IntVar(&f.repeat, "repeat", 1, "run so often and print the mean time; the packet is set anew each time")
	fl.DurationVar(&f.until, "time-after", 0, "let time go on so long behind the program: its timers fire")
	fl.BoolVar(&f.unverified, "unverified", false, "run a rejected program too, in checked mode unless --engine is given")
	fl.BoolVar(&f.trace, "trace", false, "print the instructions as they are executed, with the registers they change")
	fl.BoolVar(&f.maps, "maps", false, "print the maps afterwards")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	f.packet.add(fl)
	f.state.add(fl)
	f.network.add(fl)
	f.events.add(fl)
	f.load.add(fl)
	return cmd
}

// runReport is what a run printed with -o json says.
type runReport struct {
	Program string         `json:"program"`
	Engine  string         `json:"engine"`
	Ret     uint32         `json:"ret"`
	Verdict string         `json:"verdict"`
	Insns   uint64         `json:"insns"`
	Data    string         `json:"data"`
	Changed bool           `json:"changed"`
	Ctx     map[string]any `json:"ctx"`

	CtxChanged []string `json:"ctx_changed,omitempty"`
	MeanNS     float64  `json:"mean_ns,omitempty"`
}

func (a *app) run(path string, f *runFlags) error {
	if f.repeat < 1 {
		return fmt.Errorf("--repeat %d: want 1 or more", f.repeat)
	}
	if err := checkOutput(f.output); err != nil {
		return err
	}
	engines := []string{f.engine}
	if f.engine == "both" {
		engines = []string{skep.EngineInterp, secondEngine()}
	}
	in, err := a.read(path)
	if err != nil {
		return err
	}
	if f.events.given() {
		return a.runEvents(in, engines, f)
	}
	data, err := f.packet.read(a.in)
	if errors.Is(err, errNoPacket) && f.ctx != "" {
		err = nil // if the program's type has packets, running it says so
	}
	if err != nil {
		return err
	}
	var reports []*runReport
	for _, engine := range engines {
		r, err := a.runOn(in, engine, data, f)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	if len(reports) == 2 {
		if diff := diffRuns(reports[0], reports[1]); diff != "" {
			return &rejected{"the engines disagree: " + diff}
		}
	}
	return nil
}

// diffRuns names the first thing in which two engines' runs differ, "" when nothing does.
func diffRuns(x, y *runReport) string {
	for _, d := range []struct {
		what string
		x, y any
	}{
		{"verdict", x.Verdict, y.Verdict}, {"return value", x.Ret, y.Ret},
		{"packet", x.Data, y.Data}, {"instructions", x.Insns, y.Insns}, {"ctx", fmt.Sprint(x.Ctx), fmt.Sprint(y.Ctx)},
	} {
		if d.x != d.y {
			return fmt.Sprintf("%s: %v on %s, %v on %s", d.what, d.x, x.Engine, d.y, y.Engine)
		}
	}
	return ""
}

func (a *app) runOn(in *file, engine string, data []byte, f *runFlags) (*runReport, error) {
	obj, err := in.load(&f.load)
	if err != nil {
		return nil, err
	}
	opts := skep.Options{Engine: engine, Unverified: f.unverified}
	steps := &stepPrinter{w: a.out}
	if f.trace {
		opts.Step = steps.step
	}
	opts.Machine.Trace = func(line string) { fmt.Fprintln(a.err, strings.TrimRight(line, "\n")) }
	opts.Machine.Effect = a.printEffect
	if err := f.network.machine(&opts.Machine); err != nil {
		return nil, err
	}
	v, err := skep.New(obj, opts)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if data == nil && hasPackets(obj, f.program) {
		return nil, errNoPacket
	}
	packet := skep.Packet{Data: data}
	if packet.Ctx, err = ctxFields(f.ctx); err != nil {
		return nil, err
	}
	if err := f.state.load(v); err != nil {
		return nil, err
	}
	eng, err := v.Engine(f.program)
	if err != nil {
		return nil, a.explainFailure(err)
	}
	start := time.Now()
	var res skep.Result
	for range f.repeat {
		res, err = v.Run(f.program, packet)
		steps.flush()
		if err != nil {
			return nil, err
		}
	}
	if f.until != 0 {
		if _, err := v.RunTimers(uint64(max(f.until, 0))); err != nil {
			return nil, err
		}
	}
	r := &runReport{Program: f.name(obj), Engine: eng.Name(), Ret: res.Ret, Verdict: res.Verdict, Insns: res.Insns,
		Data: hex.EncodeToString(res.Data), Changed: string(res.Data) != string(data), Ctx: res.Ctx,
		CtxChanged: res.CtxChanged}
	if f.repeat > 1 {
		r.MeanNS = float64(time.Since(start).Nanoseconds()) / float64(f.repeat)
	}
	return r, errors.Join(a.printRun(v, r, res.Data, f), f.state.save(v))
}

// name is that of the program that was found.
func (f *runFlags) name(obj *object.Object) string {
	if f.program == "" {
		return obj.Programs[0].Name // it is the only one
	}
	return f.program
}

// printEffect says what a program asked the kernel for.
func (a *app) printEffect(f helpers.Effect) {
	fmt.Fprintf(a.err, "%s: %d", f.Helper, int64(f.Value))
	if addr, ok := netip.AddrFromSlice(f.Data); ok {
		fmt.Fprintf(a.err, " via %s", addr)
	}
	fmt.Fprintln(a.err)
}

// explainFailure prints a rejection in full and leaves one line for the end.
func (a *app) explainFailure(err error) error {
	if o := asRejection(err); o != nil {
		if o.Code == verifier.NeedsBTF {
			o.Hint = "a run has only the types of the object's own BTF; skep verify --btf FILE tells whether that kernel would load the program"
		}
		fmt.Fprintf(a.err, "REJECT  %s\n", o.Prog)
		printRejection(a.err, o)
		return &rejected{fmt.Sprintf("%s was rejected by the verifier", o.Prog)}
	}
	return err
}

// ctxFields reads the --ctx flag: a JSON object of field names and numbers, or @FILE with one.
func ctxFields(s string) (map[string]any, error) {
	if s == "" {
		return map[string]any{}, nil
	}
	text := []byte(s)
	if file, ok := strings.CutPrefix(s, "@"); ok {
		var err error
		if text, err = os.ReadFile(file); err != nil {
			return nil, err
		}
	}
	var fields map[string]any
	dec := json.NewDecoder(bytes.NewReader(text))
	dec.UseNumber() // 64-bit fields
	if err := dec.Decode(&fields); err != nil {
		return nil, fmt.Errorf("--ctx: %w", err)
	}
	return fields, nil
}

func (a *app) printRun(v *skep.VM, r *runReport, data []byte, f *runFlags) error {
	if f.output == "json" {
		return a.printJSON(r)
	}
	fmt.Fprintf(a.out, "%s  %s (%d), %d insns, engine %s", r.Program, r.Verdict, r.Ret, r.Insns, r.Engine)
	if r.MeanNS > 0 {
		fmt.Fprintf(a.out, ", %.1f ns a run", r.MeanNS)
	}
	fmt.Fprintln(a.out)
	for _, name := range r.CtxChanged {
		fmt.Fprintf(a.out, "%s: %v\n", name, r.Ctx[name])
	}
	if r.Changed {
		fmt.Fprintf(a.out, "packet changed, %d bytes:\n%s", len(data), hex.Dump(data))
	}
	if f.maps {
		return dumpMaps(a.out, v, "")
	}
	return nil
}

// hasPackets reports whether a program of obj is of a type that sees packets; name may be "" when there is just one.
func hasPackets(obj *object.Object, name string) bool {
	for _, p := range obj.Programs {
		if p.Name == name || name == "" {
			return p.Type.Row().Packet
		}
	}
	return false
}
