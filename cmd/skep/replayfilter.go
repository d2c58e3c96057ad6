package main

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/vm"
)

// captureFilterFlags are filter expressions that packets of a capture must match.
type captureFilterFlags struct {
	list    []string
	compile compileFlags
}

func (f *captureFilterFlags) add(fl *pflag.FlagSet) {
	fl.StringArrayVar(&f.list, "filter", nil, "tcpdump expression that packets must match, or NAME=EXPRESSION; may be repeated: each is counted, one match is enough")
	fl.StringVar(&f.compile.services, "services", "", "file of port names for filters, in the form of /etc/services")
}

// namedFilter is what may stand before = in --filter: no word that begins a comparison of the language.
var namedFilter = regexp.MustCompile(`^([A-Za-z_][A-Za-z0-9_.-]*)=([^=].*)$`)

// namedExpr is one --filter.
type namedExpr struct{ name, text string }

func (f *captureFilterFlags) parse() (out []namedExpr, err error) {
	seen := map[string]bool{}
	for _, s := range f.list {
		e := namedExpr{s, s}
		if m := namedFilter.FindStringSubmatch(s); m != nil && m[1] != "len" {
			e = namedExpr{m[1], m[2]}
		}
		if seen[e.name] {
			return nil, fmt.Errorf("--filter: two filters are named %q", e.name)
		}
		seen[e.name] = true
		out = append(out, e)
	}
	return out, nil
}

// filters makes the replay's filters on a VM. An expression that is none is an error at once.
func (f *captureFilterFlags) filters(a *app, v *skep.VM) ([]replay.Filter, error) {
	list, err := f.parse()
	if err != nil {
		return nil, err
	}
	f.compile.snapLen = cbpf.DefaultSnapLen
	o, err := f.compile.options()
	if err != nil {
		return nil, err
	}
	var out []replay.Filter
	for _, e := range list {
		filter, err := v.Filter(e.name, e.text, o)
		if err != nil {
			return nil, a.explainFilter(err)
		}
		compile := filter.Compile
		filter.Compile = func(link linktype.Type, bigEndian bool) (vm.Engine, error) {
			e, err := compile(link, bigEndian)
			return e, a.explainFilter(err)
		}
		out = append(out, filter)
	}
	return out, nil
}

// isProgram tells a program's file from a capture.
func isProgram(path string) bool {
	f, err := os.Open(path)
	if err != nil {
		return false
	}
	defer f.Close()
	head, err := io.ReadAll(io.LimitReader(f, 1<<16))
	return err == nil && (bytes.HasPrefix(head, []byte(elf.ELFMAG)) || isClassic(head))
}

// isCapture tells what is read as captures from a program's file.
func isCapture(path string) bool {
	if info, err := os.Stat(path); path == "-" || err == nil && !info.Mode().IsRegular() {
		return true
	}
	r, err := pcap.Open(path, nil)
	if err != nil {
		return false
	}
	_ = r.Close() // nothing was written
	return true
}

// replayFilters replays captures through filters only, or through nothing.
func (a *app) replayFilters(captures []string, f *replayFlags) (err error) {
	output, err := findReplayOutput(f.output)
	if err != nil {
		return err
	}
	if f.engine == "both" {
		return errors.New("--engine both compares runs of a program; filters alone run on one engine")
	}
	v, err := skep.New(&object.Object{}, skep.Options{Engine: f.engine})
	if err != nil {
		return err
	}
	defer v.Close()
	o := replay.Options{}
	if o.Filters, err = f.filter.filters(a, v); err != nil {
		return err
	}
	out, err := f.out.open(a, captures, true)
	if err != nil {
		return err
	}
	if out.write != nil {
		o.Sinks = []replay.Sink{out.write}
	}
	for i := range o.Filters {
		o.Filters[i].Sink = out.split
	}
	a = f.out.report(a)
	if err := a.replayOptions(&o, captures, &f.sessionFlags); err != nil {
		return err
	}
	stop, release := a.interrupted()
	defer release()
	o.Stop = stop
	o.Target = replay.Target{Machine: v.Machine()}
	report, err := replay.Run(o)
	err = out.close(report, err)
	if report != nil {
		page := &replay.Page{Title: "filters", Capture: strings.Join(captures, ", ")}
		if len(o.Filters) == 0 {
			page.Title = "captures"
		}
		if perr := output.print(a, report, page); err == nil {
			err = perr
		}
	}
	return err
}
