package main

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"sort"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/tracing"
)

// eventFlags say on which events a tracing program runs.
type eventFlags struct{ regs, events, format, arch, memory string }

func (f *eventFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.regs, "regs", "", "one event by its registers: di=0x1f,si=@path; arg1, arg2 … and ret name them by the calling convention")
	fl.StringVar(&f.events, "events", "", "file with events, a JSON object a line; - is standard input")
	fl.StringVar(&f.format, "format", "", "format file of the tracepoint, from tracefs: names the fields of events")
	fl.StringVar(&f.arch, "arch", "x86_64", "whose registers: x86_64 or arm64")
	fl.StringVar(&f.memory, "mem", "", "file with the memory that pointers lead to, a JSON object of named objects")
}

func (f *eventFlags) given() bool { return f.regs != "" || f.events != "" }

// load reads the events.
func (f *eventFlags) load(a *app) ([]*tracing.Event, error) {
	if f.regs != "" {
		regs, err := tracing.ParseRegs(f.regs)
		if err != nil {
			return nil, fmt.Errorf("--%w", err)
		}
		return []*tracing.Event{{Regs: regs}}, nil
	}
	in := a.in
	if f.events != "-" {
		file, err := os.Open(f.events)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		in = file
	}
	var all []*tracing.Event
	for ev, err := range tracing.Events(in) {
		if err != nil {
			return nil, fmt.Errorf("%s: %w", f.events, err)
		}
		all = append(all, ev)
	}
	return all, nil
}

// options makes what events need on a machine.
func (f *eventFlags) options(v *skep.VM, in *file, load loadFlags) (o skep.EventOptions, err error) {
	var ok bool
	if o.Arch, ok = tracing.ArchOf(f.arch); !ok {
		return o, fmt.Errorf("--arch %s: want x86_64 or arm64", f.arch)
	}
	if f.format != "" {
		text, err := os.ReadFile(f.format)
		if err != nil {
			return o, err
		}
		if o.Format, err = tracing.ParseFormat(string(text)); err != nil {
			return o, fmt.Errorf("%s: %w", f.format, err)
		}
	}
	o.Image = v.Image()
	if f.memory == "" {
		return o, nil
	}
	text, err := os.ReadFile(f.memory)
	if err != nil {
		return o, err
	}
	types, err := in.types(&load)
	if err != nil {
		return o, err
	}
	if err := o.Image.AddJSON(text, types); err != nil {
		return o, fmt.Errorf("%s: %w", f.memory, err)
	}
	return o, nil
}

// types are those that structures in memory are laid out by: of --btf, else the object's own; nil when there are none.
func (f *file) types(flags *loadFlags) (*btf.Types, error) {
	data, name := f.data, f.name
	if flags.btf != "" {
		var err error
		if data, err = os.ReadFile(flags.btf); err != nil {
			return nil, err
		}
		name = flags.btf
	} else if !f.isELF() {
		return nil, nil
	}
	types, err := btf.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return types, nil
}

// eventReport is what runs on events print with -o json.
type eventReport struct {
	Program string         `json:"program"`
	Engine  string         `json:"engine"`
	Events  int            `json:"events"`
	Returns map[string]int `json:"returns"` // how often each value was returned
	Insns   uint64         `json:"insns"`
}

func (a *app) runEvents(in *file, engines []string, f *runFlags) error {
	events, err := f.events.load(a)
	if err != nil {
		return err
	}
	var reports []*eventReport
	for i, engine := range engines {
		r, err := a.eventsOn(in, engine, events, f, i == len(engines)-1)
		if err != nil {
			return err
		}
		reports = append(reports, r)
	}
	if len(reports) == 2 {
		x, y := *reports[0], *reports[1]
		x.Engine = y.Engine
		if !reflect.DeepEqual(x, y) {
			return &rejected{fmt.Sprintf("the engines disagree: %+v on %s, %+v on %s", x, reports[0].Engine, y, reports[1].Engine)}
		}
	}
	return nil
}

// eventsOn runs every event on one engine; the last engine's maps are printed.
func (a *app) eventsOn(in *file, engine string, events []*tracing.Event, f *runFlags, last bool) (*eventReport, error) {
	obj, err := in.load(&f.load)
	if err != nil {
		return nil, err
	}
	opts := skep.Options{Engine: engine, Unverified: f.unverified}
	opts.Machine.Trace = func(line string) {
		if last {
			fmt.Fprintln(a.out, strings.TrimRight(line, "\n"))
		}
	}
	opts.Machine.Effect = func(f helpers.Effect) {
		if last {
			a.printEffect(f)
		}
	}
	v, err := skep.New(obj, opts)
	if err != nil {
		return nil, err
	}
	defer v.Close()
	if err := f.state.load(v); err != nil {
		return nil, err
	}
	eng, err := v.Engine(f.program)
	if err != nil {
		return nil, a.explainFailure(err)
	}
	o, err := f.events.options(v, in, f.load)
	if err != nil {
		return nil, err
	}
	r := &eventReport{Program: f.name(obj), Engine: eng.Name(), Events: len(events), Returns: map[string]int{}}
	for _, ev := range events {
		for range f.repeat {
			res, err := v.RunEvent(f.program, ev, o)
			var bad *tracing.EventError
			if errors.As(err, &bad) && f.events.events != "" {
				err = fmt.Errorf("%s: %w", f.events.events, err)
			}
			if err != nil {
				return nil, err
			}
			r.Returns[fmt.Sprint(int32(res.Ret))]++
			r.Insns += res.Insns
		}
	}
	return r, errors.Join(a.printEvents(v, r, f, last), f.state.save(v))
}

func (a *app) printEvents(v *skep.VM, r *eventReport, f *runFlags, last bool) error {
	if f.output == "json" {
		return a.printJSON(r)
	}
	var returns []string
	for value, n := range r.Returns {
		returns = append(returns, fmt.Sprintf("%s (%d times)", value, n))
	}
	sort.Strings(returns)
	fmt.Fprintf(a.out, "%s  %d events, returned %s, %d insns, engine %s\n", r.Program, r.Events, strings.Join(returns, ", "), r.Insns, r.Engine)
	if f.maps && last {
		return dumpMaps(a.out, v, "")
	}
	return nil
}
