package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// target is whose rules to verify by: a column of the matrix.
type target struct {
	name    string // as --kernel names it
	profile *verifier.Profile
}

// profileOf finds the rules of one name of --kernel.
func profileOf(name string) (*verifier.Profile, error) {
	switch name {
	case "newest":
		return verifier.Newest(), nil
	case "dag":
		return verifier.DAG(), nil
	case "unpriv", "unprivileged":
		return verifier.Unprivileged(), nil
	}
	v, err := kver.Parse(name)
	if err != nil {
		return nil, err
	}
	return verifier.Linux(int(v.Major), int(v.Minor)), nil
}

// targetsOf reads --kernel. Names for the same rules count once.
func targetsOf(kernels string) ([]target, error) {
	var all []target
	for _, name := range strings.Split(kernels, ",") {
		names := []string{strings.TrimSpace(name)}
		if names[0] == "lts" || names[0] == "all" {
			names = nil
			for _, k := range verifier.LongTerm {
				names = append(names, k.String())
			}
		}
		for _, name := range names {
			p, err := profileOf(name)
			if err != nil {
				return nil, fmt.Errorf("--kernel: %w; want newest, lts, dag, unpriv or a release", err)
			}
			if !slices.ContainsFunc(all, func(t target) bool { return t.profile.Name == p.Name }) {
				all = append(all, target{name, p})
			}
		}
	}
	return all, nil
}

// plan says which targets there are, and which of them decide whether a program is rejected.
type plan struct {
	targets []target
	demand  []bool // by target
	caps    prog.Caps
	types   *btf.Types // of the kernel; nil: not given
}

// planOf reads what --kernel demands. Without it several objects get a matrix of the releases, and the newest decides.
func planOf(f *verifyFlags, files int) (*plan, error) {
	kernels := f.kernel
	inform := kernels == "" && files > 1 && f.output == "text" && f.log == "0" && f.heat == 0
	switch {
	case inform:
		kernels = "lts"
	case kernels == "":
		kernels = "newest"
	}
	targets, err := targetsOf(kernels)
	if err != nil {
		return nil, err
	}
	p := &plan{targets: targets, demand: make([]bool, len(targets))}
	for i := range targets {
		p.demand[i] = !inform || i == len(targets)-1
	}
	if p.caps, err = prog.ParseCaps(f.caps); err != nil {
		return nil, fmt.Errorf("--caps: %w", err)
	}
	for i := range targets {
		targets[i].profile = targets[i].profile.With(p.caps)
	}
	p.types, err = f.load.kernelTypes()
	return p, err
}

// matrix says that there are several targets.
func (p *plan) matrix() bool { return len(p.targets) > 1 }

// verification is the work on all programs under all targets.
type verification struct {
	plan
	programs   []*prog.Program
	outcomes   []outcome // of the first program for every target, of the second …
	support    []support // of each program, where there is a matrix
	unreadable []unreadable
}

// unreadable is a file that is no object.
type unreadable struct {
	file string
	err  error
}

// outcome is what one kernel says of one program.
type outcome struct {
	Object   string  `json:"object"`
	Program  string  `json:"program"`
	Type     string  `json:"type"`
	Kernel   string  `json:"kernel"`
	Insns    int     `json:"insns"`
	Accepted bool    `json:"accepted"`
	TimeUS   float64 `json:"time_us"`
	verifier.Stats
	Heat  []heatLine `json:"Heat,omitempty"`
	Error *rejection `json:"error,omitempty"`
	Log   []string   `json:"log,omitempty"`

	prog    *prog.Program
	profile *verifier.Profile
	cause   *verifier.Error
}

// rejection is the JSON form of a verifier.Error.
type rejection struct {
	Code   string     `json:"code"`
	PC     int        `json:"pc"`
	Insn   string     `json:"insn,omitempty"`
	Kernel string     `json:"kernel"`
	Reason string     `json:"reason,omitempty"`
	File   string     `json:"file,omitempty"`
	Line   int        `json:"line,omitempty"`
	Column int        `json:"column,omitempty"`
	Source string     `json:"source,omitempty"`
	State  string     `json:"state,omitempty"`
	Causes []cause    `json:"causes,omitempty"`
	Path   []pathStep `json:"path,omitempty"`
	Hint   string     `json:"hint,omitempty"`
}

// cause is an instruction that a rejection goes back to.
type cause struct {
	PC     int    `json:"pc"`
	Text   string `json:"text"`
	File   string `json:"file,omitempty"`
	Line   int    `json:"line,omitempty"`
	Source string `json:"source,omitempty"`
}

type pathStep struct {
	PC    int    `json:"pc"`
	Taken bool   `json:"taken"`
	Insn  string `json:"insn"`
	Line  int    `json:"line,omitempty"`
	Why   string `json:"why,omitempty"`
}

// of returns the outcomes of program i, one a target.
func (v *verification) of(i int) []outcome {
	n := len(v.targets)
	return v.outcomes[i*n : (i+1)*n]
}

// rejectedPrograms counts the programs that a demanded kernel rejects.
func (v *verification) rejectedPrograms() (n int) {
	for i := range v.programs {
		for t, o := range v.of(i) {
			if v.demand[t] && !o.Accepted {
				n++
				break
			}
		}
	}
	return n
}

// runPlan loads the files and verifies their programs under every target of the plan, several at a time. The order of the
// result is that of the files, whatever is finished first.
func (a *app) runPlan(files []string, p *plan, f *verifyFlags) (*verification, error) {
	v := &verification{plan: *p}
	names, err := a.loadAll(v, files, f)
	if err != nil {
		return nil, err
	}
	v.outcomes = make([]outcome, len(v.programs)*len(v.targets))
	step, stop := a.verifyProgress(len(v.outcomes))
	parallel(len(v.outcomes), f.jobs, func(i int) {
		n := i / len(v.targets)
		v.outcomes[i] = verifyProgram(names[n], v.programs[n], v.targets[i%len(v.targets)], p.types, f)
		step()
	})
	stop()
	if p.matrix() {
		v.support = make([]support, len(v.programs))
		parallel(len(v.programs), f.jobs, func(i int) { v.support[i] = v.supportOf(i) })
	}
	return v, nil
}

// verifyProgress shows on stderr how many of n programs are verified, if that is a terminal and it takes long. step may be called
// by several goroutines.
func (a *app) verifyProgress(n int) (step, stop func()) {
	if !isTerminal(a.err) {
		return func() {}, func() {}
	}
	var done atomic.Int64
	start := time.Now()
	step = func() {
		if k := done.Add(1); time.Since(start) > time.Second {
			fmt.Fprintf(a.err, "\r\x1b[K%d of %d verified", k, n)
		}
	}
	return step, func() { fmt.Fprint(a.err, "\r\x1b[K") }
}

// loadAll fills in the programs and what could not be read, and returns the file of each program.
func (a *app) loadAll(v *verification, files []string, f *verifyFlags) (names []string, err error) {
	if _, err := f.load.options(); err != nil {
		return nil, err
	}
	if i := slices.Index(files, "-"); i >= 0 && slices.Contains(files[i+1:], "-") {
		return nil, errors.New("- is standard input, which can be read once")
	}
	objects := make([]*object.Object, len(files))
	errs := make([]error, len(files))
	parallel(len(files), f.jobs, func(i int) {
		objects[i], errs[i] = a.load(files[i], &f.load)
		if errs[i] == nil && len(objects[i].Programs) == 0 {
			errs[i] = fmt.Errorf("%s: no programs", files[i])
		}
	})
	for i, file := range files {
		if errs[i] != nil {
			v.unreadable = append(v.unreadable, unreadable{file, errs[i]})
			continue
		}
		for _, p := range objects[i].Programs {
			if f.program == "" || f.program == p.Name {
				names = append(names, file)
				v.programs = append(v.programs, p)
			}
		}
	}
	if len(v.programs) == 0 && len(v.unreadable) == 0 {
		return nil, fmt.Errorf("%s: no program %q", strings.Join(files, ", "), f.program)
	}
	return names, nil
}

// parallel calls do for 0 to n-1, jobs at a time.
func parallel(n, jobs int, do func(i int)) {
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(jobs, n) {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				do(i)
			}
		})
	}
	wg.Wait()
}

// maxLog is the most bytes of a log that are kept: those of a veristat or libbpf that were not told otherwise.
const maxLog = 16 << 20

// logTail keeps the end of a log.
type logTail struct {
	max, size, dropped int
	lines              []string
}

func (l *logTail) add(line string) {
	l.lines = append(l.lines, line)
	l.size += len(line)
	for l.size > l.max {
		l.size -= len(l.lines[0])
		l.lines = l.lines[1:]
		l.dropped++
	}
}

// text returns the lines, and first how many are not there.
func (l *logTail) text() []string {
	if l.dropped == 0 {
		return l.lines
	}
	return append([]string{fmt.Sprintf("… %d lines left out", l.dropped)}, l.lines...)
}

// verifyProgram verifies a program of the file under a target's rules. types are the kernel's, or nil.
func verifyProgram(file string, p *prog.Program, t target, types *btf.Types, f *verifyFlags) outcome {
	o := outcome{Object: file, Program: p.Name, Type: p.Type.String(), Kernel: t.name, Insns: len(p.Insns), prog: p, profile: t.profile}
	opts := verifier.Options{Profile: t.profile, BTF: types, LogLevel: logLevels[f.log], Heat: f.heat > 0}
	log := logTail{max: maxLog}
	if opts.LogLevel != 0 {
		opts.Log = log.add
	}
	start := time.Now()
	v, err := verifier.Verify(p, opts)
	o.TimeUS = float64(time.Since(start).Nanoseconds()) / 1e3
	if err == nil {
		o.Accepted, o.Stats = true, v.Stats()
	} else {
		o.cause = asRejection(err)
		o.Stats, o.Error = o.cause.Stats, rejectionOf(o.cause)
	}
	o.Log = log.text()
	if f.heat > 0 {
		o.Heat = heatOf(p, o.Stats.Heat, f.heat)
	}
	return o
}

func rejectionOf(e *verifier.Error) *rejection {
	r := &rejection{Code: string(e.Code), PC: e.PC, Kernel: e.Kernel, Reason: e.Reason, State: e.State, Hint: e.Hint}
	if e.PC >= 0 {
		r.Insn = asm.Format(e.Insn, nil)
	}
	if e.Line != nil {
		r.File, r.Line, r.Column, r.Source = e.Line.File, e.Line.Line, e.Line.Col, e.Line.Text
	}
	for _, c := range e.Causes {
		out := cause{PC: c.PC, Text: c.Text}
		if c.Line != nil {
			out.File, out.Line, out.Source = c.Line.File, c.Line.Line, c.Line.Text
		}
		r.Causes = append(r.Causes, out)
	}
	for _, s := range e.Path {
		step := pathStep{PC: s.PC, Taken: s.Taken, Insn: s.Text, Why: s.Why}
		if s.Line != nil {
			step.Line = s.Line.Line
		}
		r.Path = append(r.Path, step)
	}
	return r
}

// writeFile makes a file of what write writes.
func writeFile(name string, write func(io.Writer) error) error {
	out, err := os.Create(name)
	if err != nil {
		return err
	}
	return errors.Join(write(out), out.Close())
}
