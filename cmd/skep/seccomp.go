package main

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/skepvm/skep/seccomp"
)

func (a *app) seccompCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "seccomp",
		Short: "Judge system calls by seccomp filters, and compile container profiles",
		Long: `Seccomp does what the kernel does with a process's seccomp filters: checks them, runs all of them on a system call, and makes one
verdict of their answers.

A FILTER is a file with instructions as in memory (struct sock_filter), text (tcpdump -d, -dd, -ddd, the comma form, bpf_asm), or
a container profile in JSON (OCI or Docker), which is compiled. Several filters are given in the order in which the process
installed them.`,
	}
	cmd.AddCommand(a.seccompRunCommand(), a.seccompTableCommand(), a.seccompCompileCommand())
	return cmd
}

// profileFlags say for whom a profile is meant.
type profileFlags struct {
	arch   string
	caps   []string
	kernel string
}

func (f *profileFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.arch, "arch", "x86_64", "architecture: of profiles the native one, of events that name none, of tables")
	fl.StringSliceVar(&f.caps, "caps", nil, "capabilities of the process, for a profile's includes and excludes: CAP_SYS_ADMIN,…")
	fl.StringVar(&f.kernel, "kernel", "", "kernel version, for a profile's minKernel; default: one that has everything")
}

func (f *profileFlags) options() (o seccomp.ProfileOptions, err error) {
	if o.Arch, err = seccomp.ArchOf(f.arch); err != nil {
		return o, fmt.Errorf("--arch: %w", err)
	}
	for _, c := range f.caps {
		c = strings.ToUpper(c)
		if !strings.HasPrefix(c, "CAP_") {
			c = "CAP_" + c
		}
		if _, ok := o.Arch.Constant(c); !ok {
			return o, fmt.Errorf("--caps: unknown capability %q", c)
		}
		o.Caps = append(o.Caps, c)
	}
	if f.kernel != "" {
		if o.Kernel, err = seccomp.ParseRelease(f.kernel); err != nil {
			return o, fmt.Errorf("--kernel: %w", err)
		}
	}
	return o, nil
}

// loadFilters reads filters and installs them one after another; notes go to stderr.
func (a *app) loadFilters(paths []string, o seccomp.ProfileOptions) (seccomp.Stack, error) {
	var s seccomp.Stack
	for _, path := range paths {
		f, err := a.loadFilter(path, o)
		if err != nil {
			return nil, err
		}
		if err := s.Add(f); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func (a *app) loadFilter(path string, o seccomp.ProfileOptions) (*seccomp.Filter, error) {
	in, err := a.read(path)
	if err != nil {
		return nil, err
	}
	f, err := seccomp.Load(in.name, in.data, o)
	if err != nil {
		return nil, placed(in.name, err)
	}
	for _, note := range f.Notes {
		fmt.Fprintf(a.err, "%s: note: %s\n", in.name, note)
	}
	return f, nil
}

// placed puts the file's name before an error, so that name, line and column are one word.
func placed(name string, err error) error {
	if text := err.Error(); text != "" && text[0] >= '0' && text[0] <= '9' {
		return fmt.Errorf("%s:%w", name, err)
	}
	return fmt.Errorf("%s: %w", name, err)
}

type seccompRunFlags struct {
	profileFlags
	syscalls, output, engine string
	tolerant, path, quiet    bool
}

func (a *app) seccompRunCommand() *cobra.Command {
	var f seccompRunFlags
	cmd := &cobra.Command{
		Use:   "run FILTER… --syscalls EVENTS",
		Short: "Say what becomes of each system call of a list",
		Long: `Run judges the system calls of EVENTS, one a line, by the filters. A line is a JSON object,
  {"arch":"x86_64","nr":"openat","args":["0xffffff9c",0,"O_RDONLY"],"ip":0}
of which all but nr may be missing, or what strace prints. strace shows what pointers lead to and not where they point: such arguments
count as 0, and a verdict that a filter made by looking at one is marked.

Of several filters all run; the most restrictive action wins, and of equal ones that of the filter installed last.`,
		Example: "  strace -f -o calls.txt ls; skep seccomp run profile.json --syscalls calls.txt\n  skep seccomp run a.bpf b.bpf --syscalls events.jsonl --path --engine both",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.seccompRun(args, &f) },
	}
	fl := cmd.Flags()
	f.add(fl)
	fl.StringVar(&f.syscalls, "syscalls", "", "file with system calls, JSON lines or strace's; - is standard input")
	fl.BoolVar(&f.tolerant, "tolerant", false, "pass over lines that cannot be read, and say so")
	fl.BoolVar(&f.path, "path", false, "print the instructions that each filter executed")
	fl.BoolVarP(&f.quiet, "quiet", "q", false, "print the counts only")
	fl.StringVar(&f.engine, "engine", "", "run the filters converted to eBPF as well: interp, checked, jit, or all; any difference fails")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

// verdictReport is what -o json says of a call.
type verdictReport struct {
	Line    int           `json:"line"`
	Arch    string        `json:"arch"`
	Syscall string        `json:"syscall"`
	NR      int32         `json:"nr"`
	Action  string        `json:"action"`
	Data    uint16        `json:"data"`
	Errno   string        `json:"errno,omitempty"`
	Filter  string        `json:"filter,omitempty"`
	Exempt  bool          `json:"exempt,omitempty"`
	Insns   int           `json:"insns"`
	Guessed []int         `json:"guessed_args,omitempty"` // looked at, and not in the input
	Filters []filterSteps `json:"filters"`
	verdict seccomp.Verdict
}

type filterSteps struct {
	Filter string `json:"filter"`
	Return string `json:"return"`
	Value  uint32 `json:"value"`
	Path   []int  `json:"path"`
}

// seccompReport is all that -o json prints.
type seccompReport struct {
	Filters []filterReport   `json:"filters"`
	Calls   []*verdictReport `json:"calls"`
	Counts  map[string]int   `json:"counts"`
	Skipped int              `json:"lines_skipped,omitempty"`
}

type filterReport struct {
	Name   string   `json:"name"`
	Insns  int      `json:"insns"`
	Kernel int      `json:"kernel_insns"` // eBPF, what the kernel's limit counts
	Notes  []string `json:"notes,omitempty"`
}

func filterReports(s seccomp.Stack) (out []filterReport) {
	for _, f := range s {
		out = append(out, filterReport{f.Name, len(f.Program), f.KernelLen(), f.Notes})
	}
	return out
}

func (a *app) seccompRun(paths []string, f *seccompRunFlags) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	if f.syscalls == "" {
		return errors.New("no system calls: give --syscalls FILE")
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	s, err := a.loadFilters(paths, o)
	if err != nil {
		return err
	}
	engines, err := newSeccompEngines(s, f.engine)
	if err != nil {
		return err
	}
	defer engines.close()
	in, err := a.openInput(f.syscalls)
	if err != nil {
		return err
	}
	defer in.Close()
	report := seccompReport{Filters: filterReports(s), Counts: map[string]int{}}
	events := seccomp.NewEventReader(in, seccomp.EventOptions{Arch: o.Arch, Tolerant: f.tolerant, Skipped: func(e *seccomp.Error) {
		report.Skipped++
		fmt.Fprintf(a.err, "%s: passed over\n", placed(filepath.Base(f.syscalls), e))
	}})
	for {
		ev, err := events.Next()
		if err == io.EOF {
			break
		}
		if err != nil {
			return placed(filepath.Base(f.syscalls), err)
		}
		r := judgeEvent(s, ev)
		if err := engines.compare(ev, &r.verdict); err != nil {
			return &rejected{fmt.Sprintf("line %d: the engines disagree: %v", ev.Line, err)}
		}
		report.Counts[r.verdict.Return.String()]++
		if f.output == "json" {
			report.Calls = append(report.Calls, r)
		} else if !f.quiet {
			printVerdict(a.out, s, r, f.path)
		}
	}
	if f.output == "json" {
		return a.printJSON(&report)
	}
	printVerdictCounts(a.out, &report, engines.names())
	return nil
}

// openInput opens a file, or standard input for "-".
func (a *app) openInput(path string) (io.ReadCloser, error) {
	if path == "-" {
		return io.NopCloser(a.in), nil
	}
	return os.Open(path)
}

func judgeEvent(s seccomp.Stack, ev *seccomp.Event) *verdictReport {
	v := s.Run(&ev.Data)
	r := &verdictReport{Line: ev.Line, Arch: ev.Arch.Name, Syscall: ev.Name, NR: ev.Data.NR, Action: v.Return.Action().String(), Data: v.Return.Data(),
		Exempt: v.Exempt, Guessed: seccomp.Args(v.Looked & ev.Pointers), verdict: v}
	if v.Return.Action() == seccomp.Errno {
		r.Errno = seccomp.ErrnoName(r.Data)
	}
	if v.By >= 0 {
		r.Filter = s[v.By].Name
	}
	for _, step := range v.Steps {
		r.Insns += len(step.Path)
		r.Filters = append(r.Filters, filterSteps{s[step.Filter].Name, step.Return.String(), uint32(step.Return), step.Path})
	}
	return r
}

func printVerdict(w io.Writer, s seccomp.Stack, r *verdictReport, path bool) {
	text := fmt.Sprintf("%6d  %-20s %-20s", r.Line, r.Syscall, r.verdict.Return)
	switch {
	case r.Exempt:
		text += "  not filtered"
	case r.Filter != "" && len(s) > 1:
		text += "  by " + r.Filter
	}
	if len(r.Guessed) > 0 {
		text += "  depends on what is not shown: argument " + strings.Trim(fmt.Sprint(r.Guessed), "[]")
	}
	fmt.Fprintln(w, strings.TrimRight(text, " "))
	if !path {
		return
	}
	for _, step := range r.Filters {
		fmt.Fprintf(w, "        %s: %s by %s\n", step.Filter, step.Return, strings.Trim(fmt.Sprint(step.Path), "[]"))
	}
}

func printVerdictCounts(w io.Writer, r *seccompReport, engines []string) {
	total := 0
	for _, n := range r.Counts {
		total += n
	}
	for _, f := range r.Filters {
		fmt.Fprintf(w, "%s: %d instructions, %d in the kernel\n", f.Name, f.Insns, f.Kernel)
	}
	fmt.Fprintf(w, "%d system calls", total)
	if len(engines) > 0 {
		fmt.Fprintf(w, ", the same on %s", strings.Join(engines, ", "))
	}
	fmt.Fprintln(w)
	for _, name := range slices.Sorted(maps.Keys(r.Counts)) {
		fmt.Fprintf(w, "  %-20s%8d\n", name, r.Counts[name])
	}
	if r.Skipped > 0 {
		fmt.Fprintf(w, "  lines passed over:  %8d\n", r.Skipped)
	}
}

type seccompTableFlags struct {
	profileFlags
	output string
	only   []string
	all    bool
}

func (a *app) seccompTableCommand() *cobra.Command {
	var f seccompTableFlags
	cmd := &cobra.Command{
		Use:   "table FILTER…",
		Short: "Say what becomes of every system call of an architecture",
		Long: `Table judges every system call of an architecture by the filters. Where they look at nothing but its number, the answer holds for
every such call. Where a filter looks at arguments, each comparison that it makes is tried both ways, and what was found is printed with
arguments that get it; "tried" marks calls for which that was the same answer every time. There may be others: it is a search and no proof.

"always" marks calls that the kernel remembers as allowed whatever their arguments, and does not run the filters for (its action
cache).`,
		Example: "  skep seccomp table profile.json --arch aarch64",
		Args:    cobra.MinimumNArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.seccompTable(args, &f) },
	}
	fl := cmd.Flags()
	f.add(fl)
	fl.BoolVar(&f.all, "all", false, "numbers that are no call, too")
	fl.StringSliceVar(&f.only, "only", nil, "these calls only: read,openat,…")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	return cmd
}

// tableReport is what -o json says of a call.
type tableReport struct {
	NR      int32          `json:"nr"`
	Syscall string         `json:"syscall,omitempty"`
	Always  bool           `json:"always_allowed"`
	Certain bool           `json:"certain"` // the answer holds whatever the arguments; else there may be others
	Answers []answerReport `json:"answers"`
}

type answerReport struct {
	Return string   `json:"return"`
	Filter string   `json:"filter,omitempty"`
	Args   []string `json:"args,omitempty"` // arguments that get it, where it depends on them
}

func (a *app) seccompTable(paths []string, f *seccompTableFlags) error {
	if err := checkOutput(f.output); err != nil {
		return err
	}
	o, err := f.options()
	if err != nil {
		return err
	}
	s, err := a.loadFilters(paths, o)
	if err != nil {
		return err
	}
	for _, name := range f.only {
		if _, ok := o.Arch.Number(name); !ok {
			return fmt.Errorf("--only: %s has no system call %q", o.Arch.Name, name)
		}
	}
	var rows []tableReport
	for _, row := range s.Table(o.Arch) {
		if row.Name == "" && !f.all || len(f.only) > 0 && !slices.Contains(f.only, row.Name) {
			continue
		}
		r := tableReport{NR: row.NR, Syscall: row.Name, Always: row.Always, Certain: row.Certain}
		for _, answer := range row.Answers {
			r.Answers = append(r.Answers, reportAnswer(s, answer, len(row.Answers) > 1))
		}
		rows = append(rows, r)
	}
	if f.output == "json" {
		return a.printJSON(rows)
	}
	a.printTable(rows, o.Arch)
	return nil
}

func reportAnswer(s seccomp.Stack, answer seccomp.Answer, depends bool) answerReport {
	r := answerReport{Return: answer.Return.String()}
	if answer.By >= 0 && len(s) > 1 {
		r.Filter = s[answer.By].Name
	}
	if depends {
		for _, i := range seccomp.Args(answer.Looked) {
			r.Args = append(r.Args, fmt.Sprintf("args[%d]=%#x", i, answer.Args[i]))
		}
	}
	return r
}

func (a *app) printTable(rows []tableReport, arch *seccomp.Arch) {
	counts, tried := map[string]int{}, 0
	for _, r := range rows {
		kind := r.Answers[0].Return
		if len(r.Answers) > 1 {
			kind = "by arguments"
		}
		counts[kind]++
		note := ""
		switch {
		case r.Always:
			note = "  always"
		case len(r.Answers) == 1 && !r.Certain:
			note = "  tried"
			tried++
		}
		name := r.Syscall
		if name == "" {
			name = "-"
		}
		fmt.Fprintf(a.out, "%6d  %-28s %s%s\n", r.NR, name, answerText(r.Answers[0]), note)
		for _, answer := range r.Answers[1:] {
			fmt.Fprintf(a.out, "%6s  %-28s %s\n", "", "", answerText(answer))
		}
	}
	fmt.Fprintf(a.out, "%s, %d calls\n", arch.Name, len(rows))
	for _, kind := range slices.Sorted(maps.Keys(counts)) {
		fmt.Fprintf(a.out, "  %-20s%8d\n", kind, counts[kind])
	}
	if tried > 0 {
		fmt.Fprintf(a.out, "  tried, not proven: %8d\n", tried)
	}
}

func answerText(r answerReport) string {
	text := r.Return
	if r.Filter != "" {
		text += " by " + r.Filter
	}
	if len(r.Args) > 0 {
		text += " with " + strings.Join(r.Args, " ")
	}
	return text
}

type seccompCompileFlags struct {
	profileFlags
	form classicFlags
	file string
}

func (a *app) seccompCompileCommand() *cobra.Command {
	var f seccompCompileFlags
	cmd := &cobra.Command{
		Use:   "compile PROFILE",
		Short: "Make a filter of a container profile",
		Long: `Compile makes a filter of a container profile in JSON (OCI's linux.seccomp, or Docker's form) and prints its instructions, or writes
them with -o as the kernel takes them. It reads any other filter as well, and so changes one form into another.

Entries are understood as libseccomp and runc do: one without arguments answers for its system call whatever others say; one whose
action is the default's counts for nothing; unknown names are passed over with a note.`,
		Example: "  skep seccomp compile profile.json --asm\n  skep seccomp compile profile.json -o filter.bpf",
		Args:    cobra.ExactArgs(1),
		RunE:    func(_ *cobra.Command, args []string) error { return a.seccompCompile(args[0], &f) },
	}
	fl := cmd.Flags()
	f.profileFlags.add(fl)
	f.form.add(fl)
	fl.StringVarP(&f.file, "output", "o", "", "file for the instructions as in memory (struct sock_filter), in the architecture's byte order")
	return cmd
}

func (a *app) seccompCompile(path string, f *seccompCompileFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	filter, err := a.loadFilter(path, o)
	if err != nil {
		return err
	}
	if f.file != "" {
		var order binary.AppendByteOrder = binary.LittleEndian
		if o.Arch.Big {
			order = binary.BigEndian
		}
		return os.WriteFile(f.file, filter.Program.Append(nil, order), 0o644)
	}
	converted, err := filter.EBPF("seccomp")
	if err != nil {
		return err
	}
	nameLines(converted, filter.Name)
	return a.printClassic(filter.Program, converted, &f.form)
}
