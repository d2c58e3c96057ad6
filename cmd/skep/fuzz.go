package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/fuzz"
	"github.com/skepvm/skep/conformance/gen"
)

type fuzzFlags struct {
	time                time.Duration
	count, seed         uint64
	level, save, output string
	engines             []string
	kernel, strict      bool
	arm64               bool
	workers             int
	digests             bool
	timed, counted      bool // the flag was given
	seeded              bool
}

func (a *app) fuzzCommand() *cobra.Command {
	var f fuzzFlags
	cmd := &cobra.Command{
		Use:   "fuzz",
		Short: "Generate programs and compare every engine, and the live kernel, on them",
		Long: `Fuzz makes programs from seeds and holds the engines, the verifier and, with --kernel, the live kernel against each other:
  bytes     bytes that may be a program, or not: nothing panics or hangs
  insns     legal instructions in any order, mostly not verifiable: every engine does the same with them, faults included
  programs  programs with a grammar (packets, maps, loops, calls, callbacks, tail calls): what the verifier accepts never
            faults, and result, packet, maps, memory, instruction count and printed lines are the same on every engine
  mutants   compiled programs, fixtures and grammatical programs with a few changes: the same

The engines are a slow reference made of nothing but the instructions' definitions, checked mode, the interpreter, and machine code.
--kernel loads the grammatical programs and the mutants into the kernel (bpf(2), as root; nothing is attached), compares the
verdicts and test runs the grammatical ones that both accept; with --strict it is a disagreement, too, when skep refuses what
the kernel accepts. --arm64 does the same seeds with arm64 machine code under qemu-aarch64-static, and compares.

What disagrees is made as small as possible and, with --save, written as a fixture: move it to conformance/testdata and it is
a test. The same seed gives the same program, so the line that is printed finds it again. Ctrl-C ends with the summary.

Exit code 1 when anything disagrees.`,
		Example: "  skep fuzz --time 1m\n  skep fuzz --count 100000 --seed 1 --level programs --save found\n  skep fuzz --seed 4711 --count 1 --level programs",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.timed, f.counted, f.seeded = cmd.Flags().Changed("time"), cmd.Flags().Changed("count"), cmd.Flags().Changed("seed")
			return a.fuzz(&f)
		},
	}
	fl := cmd.Flags()
	fl.DurationVar(&f.time, "time", 30*time.Second, "stop after that time; without limit when only --count is given")
	fl.Uint64Var(&f.count, "count", 0, "stop after so many programs of each level")
	fl.Uint64Var(&f.seed, "seed", 0, "of the first program; taken from the clock when it is not given")
	fl.StringVar(&f.level, "level", "all", "bytes, insns, programs, mutants or all")
	fl.StringSliceVar(&f.engines, "engines", nil, "engines to compare: "+strings.Join(conformance.Engines(), ",")+" (default all)")
	fl.BoolVar(&f.kernel, "kernel", false, "ask the live kernel, too")
	fl.BoolVar(&f.strict, "strict", false, "with --kernel: report also what only the kernel accepts")
	fl.BoolVar(&f.arm64, "arm64", false, "compare with arm64 under qemu-aarch64-static; needs go and skep's source in this directory, and --count")
	fl.StringVar(&f.save, "save", "", "directory for fixtures of what is found")
	fl.StringVarP(&f.output, "output", "o", "text", "text or json")
	fl.IntVar(&f.workers, "workers", 0, "programs at a time (default one for each processor)")
	fl.BoolVar(&f.digests, "digests", false, "print a digest of what each program did, and no summary")
	cmd.MarkFlagsMutuallyExclusive("arm64", "digests")
	return cmd
}

// options are the library's.
func (f *fuzzFlags) options() (o fuzz.Options, err error) {
	if err := checkOutput(f.output); err != nil {
		return o, err
	}
	if f.counted && f.count == 0 || f.timed && f.time <= 0 || f.workers < 0 {
		return o, errors.New("--count, --time and --workers must be above zero")
	}
	if f.arm64 && !f.counted {
		return o, errors.New("--arm64 needs --count: both sides do the same programs")
	}
	if f.strict && !f.kernel {
		return o, errors.New("--strict needs --kernel")
	}
	o = fuzz.Options{Seed: f.seed, Count: f.count, Kernel: f.kernel, Strict: f.strict, Save: f.save, Workers: f.workers}
	if f.timed || !f.counted {
		o.Time = f.time
	}
	if !f.seeded {
		o.Seed = uint64(time.Now().UnixNano())
	}
	if o.Levels, err = fuzz.Levels(f.level); err != nil {
		return o, err
	}
	o.Command = "skep fuzz"
	if len(f.engines) > 0 {
		if o.Engines, err = conformance.Named(f.engines...); err != nil {
			return o, err
		}
		o.Command += " --engines " + strings.Join(f.engines, ",")
	}
	if f.kernel {
		o.Command += " --kernel"
	}
	if f.strict {
		o.Command += " --strict"
	}
	if f.arm64 {
		o.Command += " --arm64"
	}
	return o, nil
}

func (a *app) fuzz(f *fuzzFlags) error {
	o, err := f.options()
	if err != nil {
		return err
	}
	debug.SetGCPercent(400) // programs are small and soon gone
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if f.digests {
		o.Digest = func(l fuzz.Level, seed, digest uint64) { fmt.Fprintln(a.out, fuzz.DigestLine(l, seed, digest)) }
	}
	if isTerminal(a.err) {
		o.Progress = func(n uint64, elapsed time.Duration) {
			fmt.Fprintf(a.err, "\r\x1b[K%d programs, %.0f/s", n, float64(n)/elapsed.Seconds())
		}
		defer fmt.Fprint(a.err, "\r\x1b[K")
	}
	var r *fuzz.Report
	var compared uint64
	if f.arm64 {
		r, compared, err = fuzzARM64(ctx, f, o)
	} else {
		r, err = fuzz.Run(ctx, o)
	}
	if err != nil && !errors.Is(err, fuzz.ErrHang) {
		return err
	}
	if !f.digests {
		if err := a.printFuzz(r, compared, f); err != nil {
			return err
		}
	}
	if len(r.Findings) > 0 {
		return &rejected{fmt.Sprintf("%d of %d programs show a disagreement", len(r.Findings), r.Programs())}
	}
	return nil
}

// fuzzARM64 builds skep for arm64 and lets it do the same programs.
func fuzzARM64(ctx context.Context, f *fuzzFlags, o fuzz.Options) (*fuzz.Report, uint64, error) {
	dir, err := os.MkdirTemp("", "skep-fuzz")
	if err != nil {
		return nil, 0, err
	}
	defer os.RemoveAll(dir)
	exe := filepath.Join(dir, "skep-arm64")
	build := exec.CommandContext(ctx, "go", "build", "-o", exe, "github.com/skepvm/skep/cmd/skep")
	build.Env = append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, 0, fmt.Errorf("go build for arm64: %w\n%s", err, out)
	}
	argv := []string{"qemu-aarch64-static", exe, "fuzz", "--digests", "--seed", strconv.FormatUint(o.Seed, 10),
		"--count", strconv.FormatUint(o.Count, 10), "--level", f.level, "--workers", strconv.Itoa(f.workers)}
	if f.save != "" {
		argv = append(argv, "--save", filepath.Join(f.save, "arm64"))
	}
	if len(f.engines) > 0 {
		argv = append(argv, "--engines", strings.Join(f.engines, ","))
	}
	return fuzz.RunPeer(ctx, o, argv)
}

// fuzzJSON is the report as -o json prints it.
type fuzzJSON struct {
	Seed     uint64                  `json:"seed"`
	Seconds  float64                 `json:"seconds"`
	Engines  []string                `json:"engines"`
	Levels   map[string]*fuzz.Counts `json:"levels"`
	Kernel   *fuzz.KernelCounts      `json:"kernel,omitempty"`
	ARM64    *uint64                 `json:"arm64_compared,omitempty"`
	Findings []*fuzz.Finding         `json:"findings"`
}

func (a *app) printFuzz(r *fuzz.Report, compared uint64, f *fuzzFlags) error {
	if f.output == "json" {
		j := fuzzJSON{Seed: r.Seed, Seconds: r.Elapsed.Seconds(), Engines: r.Engines, Levels: map[string]*fuzz.Counts{}, Findings: r.Findings}
		for l, c := range r.Levels {
			j.Levels[l.String()] = c
		}
		if f.kernel {
			j.Kernel = &r.Kernel
		}
		if f.arm64 {
			j.ARM64 = &compared
		}
		if j.Findings == nil {
			j.Findings = []*fuzz.Finding{}
		}
		return a.printJSON(j)
	}
	for _, found := range r.Findings {
		printFinding(a.out, found)
	}
	fmt.Fprintf(a.out, "engines %s; seed %d; %.1f s, %.0f programs/s\n", strings.Join(r.Engines, " "), r.Seed, r.Elapsed.Seconds(),
		float64(r.Programs())/r.Elapsed.Seconds())
	fmt.Fprintf(a.out, "%-9s %10s %10s %10s %11s %15s  kinds    forms    flows\n", "level", "programs", "accepted", "unverified", "runs", "instructions")
	levels := make([]fuzz.Level, 0, len(r.Levels))
	for l := range r.Levels {
		levels = append(levels, l)
	}
	slices.Sort(levels)
	for _, l := range levels {
		c := r.Levels[l]
		fmt.Fprintf(a.out, "%-9s %10d %10d %10d %11d %15d  %d/%d  %d/%d  %d/%d\n", l, c.Programs, c.Accepted, c.Linked, c.Runs, c.Insns,
			c.Kinds, fuzz.AllKinds(), c.Forms, fuzz.AllForms(), c.Flows, gen.NumFlows)
	}
	if f.kernel {
		k := &r.Kernel
		fmt.Fprintf(a.out, "kernel: asked about %d: both accept %d, neither %d, only the kernel %d, it gave up on %d; %d runs compared\n",
			k.Asked, k.Both, k.Neither, k.OnlyIt, k.GaveUp, k.Compared)
		for _, code := range slices.Sorted(maps.Keys(k.Codes)) {
			fmt.Fprintf(a.out, "only the kernel accepts: %6d %s\n", k.Codes[code], code)
		}
	}
	if f.arm64 {
		fmt.Fprintf(a.out, "arm64: %d programs compared\n", compared)
	}
	fmt.Fprintf(a.out, "%d disagreements\n", len(r.Findings))
	return nil
}

func printFinding(w io.Writer, f *fuzz.Finding) {
	fmt.Fprintf(w, "DISAGREE  %s, seed %d: %s\n", f.Level, f.Seed, f.Problem)
	if f.Text != "" {
		fmt.Fprintf(w, "%s\n", strings.TrimRight(f.Text, "\n"))
	}
	if f.File != "" {
		fmt.Fprintf(w, "saved     %s\n", f.File)
	}
	fmt.Fprintf(w, "again     %s\n\n", f.Reproduce)
}
