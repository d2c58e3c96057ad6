package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

type featureFlags struct{ progType, output string }

func (a *app) featuresCommand() *cobra.Command {
	var f featureFlags
	cmd := &cobra.Command{
		Use:   "features [NAME]",
		Short: "List helpers, kernel functions, map and program types: since when, for whom, and whether they run here",
		Long: `Features lists what the verifier knows and what engines have of it. Everything that is listed can be verified; what does not run
here is refused by name when a program that reaches it is made ready.

With a name, or part of one, only what has it, and for each helper the program types that may call it with the first kernel.`,
		Example: "  skep features\n  skep features fib_lookup\n  skep features --type xdp",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			name := ""
			if len(args) > 0 {
				name = args[0]
			}
			return a.features(name, &f)
		},
	}
	fl := cmd.Flags()
	fl.StringVar(&f.progType, "type", "", "only what programs of this type may use")
	fl.StringVarP(&f.output, "output", "o", "text", "text, json or markdown")
	return cmd
}

// feature is a row of the list.
type feature struct {
	Name  string   `json:"name"`
	Since string   `json:"since"`           // first kernel
	Runs  string   `json:"runs"`            // "yes", "no", or on what
	Types []string `json:"types,omitempty"` // program types that may use it, "xdp (5.18)" where later than Since
}

// featureSet is all of a kind.
type featureSet struct {
	Kind string    `json:"kind"`
	List []feature `json:"list"`
}

func (a *app) features(name string, f *featureFlags) error {
	only, err := typeFlag(f.progType)
	if err != nil {
		return err
	}
	sets := []featureSet{helperFeatures(only), kfuncFeatures(only), mapFeatures(), typeFeatures()}
	found := 0
	for i := range sets {
		sets[i].List = matching(sets[i].List, name)
		found += len(sets[i].List)
	}
	if found == 0 {
		return fmt.Errorf("nothing has %q in its name", name)
	}
	switch f.output {
	case "json":
		return a.printJSON(sets)
	case "markdown":
		writeFeatures(a.out, sets)
	case "text":
		a.printFeatures(sets, name != "")
	default:
		return fmt.Errorf("-o %s: want text, json or markdown", f.output)
	}
	return nil
}

// typeFlag reads --type; Unspec is any.
func typeFlag(name string) (prog.Type, error) {
	if name == "" {
		return prog.Unspec, nil
	}
	if t, ok := prog.TypeOf(name); ok {
		return t, nil
	}
	if t, ok := prog.TypeOfSection(name); ok {
		return t, nil
	}
	return prog.Unspec, fmt.Errorf("--type %s: no such program type", name)
}

func matching(list []feature, name string) []feature {
	out := list[:0]
	for _, f := range list {
		if strings.Contains(f.Name, name) {
			out = append(out, f)
		}
	}
	return out
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// orWhy is "yes", or "no" with the reason.
func orWhy(name string, runs bool) string {
	if runs {
		return "yes"
	}
	return "no: " + helpers.WhyNot(name)
}

func helperFeatures(only prog.Type) featureSet {
	set := featureSet{Kind: "Helpers"}
	for i := range helpers.Table {
		r := &helpers.Table[i]
		if r.Name == "" || only != prog.Unspec && !r.Types.Has(only) {
			continue
		}
		set.List = append(set.List, feature{r.Name, r.Since.String(), orWhy(r.Name, r.Implemented()),
			typesSince(r.Since, func(t prog.Type, k kver.Version) bool { return helpers.Allowed(r, t, k) })})
	}
	return set
}

// releases are those that a first kernel is looked for in.
var releases = func() (all []kver.Version) {
	for major, minors := range map[uint8]uint8{3: 19, 4: 20, 5: 19, 6: 18} {
		for minor := range minors + 1 {
			all = append(all, kver.V(major, minor))
		}
	}
	return all
}()

// typesSince lists the program types for which allowed says yes on some release, with the first where it is not since.
func typesSince(since kver.Version, allowed func(prog.Type, kver.Version) bool) (types []string) {
	for t := prog.SocketFilter; t < prog.NumTypes; t++ {
		first, ok := kver.Version{}, false
		for _, k := range releases {
			if allowed(t, k) && (!ok || !k.AtLeast(first)) {
				first, ok = k, true
			}
		}
		switch {
		case !ok || t == prog.Ext: // which may call what its target may
		case first == since:
			types = append(types, t.String())
		default:
			types = append(types, fmt.Sprintf("%s (%s)", t, first))
		}
	}
	return types
}

func kfuncFeatures(only prog.Type) featureSet {
	set := featureSet{Kind: "Kernel functions"}
	for _, k := range helpers.Kfuncs() {
		if only != prog.Unspec && !k.Types.Has(only) {
			continue
		}
		_, runs := helpers.KfuncID(k.Name)
		var types []string
		for t := prog.SocketFilter; t < prog.NumTypes; t++ {
			if k.Types.Has(t) {
				types = append(types, t.String())
			}
		}
		set.List = append(set.List, feature{k.Name, k.Since.String(), orWhy(k.Name, runs), types})
	}
	return set
}

func mapFeatures() featureSet {
	set := featureSet{Kind: "Map types"}
	for t := maps.Hash; t < maps.NumTypes; t++ {
		r := t.Row()
		set.List = append(set.List, feature{r.Short, r.Since.String(), yesNo(r.Implemented()), nil})
	}
	return set
}

// eventTypes are program types that run on simulated events.
var eventTypes = helpers.SetOf(prog.Kprobe, prog.Tracepoint, prog.RawTracepoint, prog.RawTracepointWritable, prog.PerfEvent)

func typeFeatures() featureSet {
	set := featureSet{Kind: "Program types"}
	for t := prog.SocketFilter; t < prog.NumTypes; t++ {
		r, runs := t.Row(), "no"
		switch {
		case r.Packet && r.Supported:
			runs = "on packets"
		case r.Supported:
			runs = "on a ctx"
		case eventTypes.Has(t):
			runs = "on events"
		}
		set.List = append(set.List, feature{r.Name, r.Since.String(), runs, nil})
	}
	return set
}

// printFeatures prints tables; all says with the program types.
func (a *app) printFeatures(sets []featureSet, all bool) {
	for i, s := range sets {
		if len(s.List) == 0 {
			continue
		}
		if i > 0 {
			fmt.Fprintln(a.out)
		}
		var t table
		head := []string{strings.ToUpper(s.Kind), "SINCE", "RUNS HERE"}
		if all {
			head = append(head, "PROGRAM TYPES")
		}
		t.add(head...)
		for _, f := range s.List {
			cells := []string{f.Name, f.Since, f.Runs}
			if all {
				cells = append(cells, strings.Join(f.Types, " "))
			}
			t.add(cells...)
		}
		t.print(a.out)
	}
	fmt.Fprintln(a.out, "\n"+summary(sets))
}

// summary counts what runs.
func summary(sets []featureSet) string {
	var parts []string
	for _, s := range sets {
		if len(s.List) == 0 {
			continue
		}
		n := 0
		for _, f := range s.List {
			if !strings.HasPrefix(f.Runs, "no") {
				n++
			}
		}
		parts = append(parts, fmt.Sprintf("%d of %d %s run", n, len(s.List), strings.ToLower(s.Kind)))
	}
	return strings.Join(parts, ", ") + "."
}

const featuresHead = `# Features

What the verifier knows, and what engines have of it. This page is made from the tables in helpers, maps and prog
(go test ./cmd/skep -run TestFeaturesDoc -update); ` + "`skep features`" + ` says the same. Helpers and map types that run are executed by programs that are
compared with the live kernel, or the reason why that cannot be is written down: [conformance.md](conformance.md).

Everything here can be verified. What does not run is refused by name when a program that reaches it is made ready. A kernel in
brackets is the first in which a program type may use a helper, where that is later than the helper's own. Program types are those of a kernel with
every option on.

`

func writeFeatures(w io.Writer, sets []featureSet) {
	io.WriteString(w, featuresHead+summary(sets)+"\n")
	for _, s := range sets {
		fmt.Fprintf(w, "\n## %s\n\n| name | since | runs here | program types |\n|---|---|---|---|\n", s.Kind)
		for _, f := range s.List {
			fmt.Fprintf(w, "| %s | %s | %s | %s |\n", f.Name, f.Since, f.Runs, strings.Join(f.Types, ", "))
		}
	}
}
