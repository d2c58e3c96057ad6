// Command replay measures how fast skep replays a large capture, beside reading it and nothing else, tcpdump and gopacket, which take turns
// with it; and programs on packets in memory. bench/kept has the list of what is run, bench/replay.json what should come out.
//
//	go run ./bench/replay -out bench/results     measure and keep the result as a file
//	go run ./bench/replay -keep -rounds 3 -only 'tool=read|work=drop'
//
// The capture is made by skep generate, 4 GB for the usual 5 million packets, and removed at the end unless it was there before or
// -keep is given. Each run is a process of its own, bound to one CPU or to two; its wall time, CPU time and peak memory are printed as a
// line in the format of `go test -bench`. Every run has to come to the counts that the others came to.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"syscall"
	"time"

	"github.com/skepvm/skep/bench/kept"
)

// config is what the flags say.
type config struct {
	packets, rounds int
	dir, root, bin  string
	out, only       string
	keep            bool
}

func main() {
	if work := os.Getenv(childEnv); work != "" {
		if err := child(work, os.Args[1:], os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, "replay:", err)
			os.Exit(1)
		}
		return
	}
	var c config
	flag.IntVar(&c.packets, "packets", 5_000_000, "packets of the capture")
	flag.IntVar(&c.rounds, "rounds", 5, "how often everything has its turn")
	flag.StringVar(&c.dir, "dir", os.TempDir(), "directory for the capture")
	flag.StringVar(&c.root, "C", ".", "root of the repository")
	flag.StringVar(&c.bin, "bin", "", "directory with the commands skep, plainread and gopacketread; default: they are built from the repository")
	flag.StringVar(&c.out, "out", "", "also write the lines to this file, or to one with a name of its own in this directory")
	flag.StringVar(&c.only, "only", "", "run only benchmarks whose name matches this regular expression")
	flag.BoolVar(&c.keep, "keep", false, "do not remove the capture at the end")
	flag.Parse()
	if flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "replay: want no arguments")
		os.Exit(2)
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, &c, os.Stdout, os.Stderr); err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

// run measures; lines and tables go to out, talk goes to talk.
func run(ctx context.Context, c *config, out, talk io.Writer) (err error) {
	only, err := regexp.Compile(c.only)
	switch {
	case err != nil:
		return fmt.Errorf("-only: %w", err)
	case c.packets < 1000 || c.rounds < 1:
		return errors.New("want 1000 packets or more, and 1 round or more")
	}
	tmp, err := os.MkdirTemp("", "skep-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(tmp)
	b := &bench{ctx: ctx, config: c, tmp: tmp, talk: talk, counts: map[string]string{}}
	if err := b.prepare(); err != nil {
		return err
	}
	defer b.removeCapture()
	list, err := b.contenders(only)
	if err != nil {
		return err
	}
	file := filepath.Join(tmp, "results.txt")
	if err := b.rounds(list, file, out); err != nil {
		return err
	}
	if err := b.tables(file, out); err != nil || c.out == "" {
		return err
	}
	return b.keepResult(file)
}

// bench is what all runs share.
type bench struct {
	*config
	ctx     context.Context
	tmp     string // removed at the end
	talk    io.Writer
	self    string // this executable
	bin     string // directory of the commands
	cpus    []int  // of the machine, that runs are bound to
	capture capture
	objects map[string]string // workload -> file
	matches int               // packets that match kept.Expr, says tcpdump; 0 when nobody was asked, -1 without tcpdump
	counts  map[string]string // work -> what runs of it counted
}

// rounds lets everything take turns, each round beginning with another one, and writes what was measured to a file and to out.
func (b *bench) rounds(list []contender, file string, out io.Writer) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	w := io.MultiWriter(f, out)
	b.header(w)
	start := time.Now()
	for round := range b.config.rounds {
		fmt.Fprintf(b.talk, "round %d of %d, after %v\n", round+1, b.config.rounds, time.Since(start).Round(time.Second))
		at := round * len(list) / b.config.rounds
		for _, c := range slices.Concat(list[at:], list[:at]) {
			if c.once && round > 0 {
				continue
			}
			lines, err := c.run()
			if err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
			if _, err := io.WriteString(w, lines); err != nil {
				return err
			}
		}
	}
	fmt.Fprintf(b.talk, "measured in %v\n", time.Since(start).Round(time.Second))
	return f.Close()
}

// tables prints what bench/figures makes of the result for the README.
func (b *bench) tables(file string, out io.Writer) error {
	r, err := kept.Read(file)
	if err != nil {
		return err
	}
	targets, err := kept.ReadReplayTargets(filepath.Join(b.root, "bench/replay.json"))
	if err != nil {
		return err
	}
	_, err = out.Write(append([]byte("\n"), kept.ReplayTables(r, targets)...))
	return err
}

// keepResult copies the lines to where -out says.
func (b *bench) keepResult(file string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	name := b.out
	if info, err := os.Stat(name); err == nil && info.IsDir() {
		name = filepath.Join(name, b.resultName())
	}
	if err := os.WriteFile(name, text, 0o644); err != nil {
		return err
	}
	fmt.Fprintln(b.talk, "kept as", name)
	return nil
}

// command is a process that ends with this one's context, in the root of the repository.
func (b *bench) command(name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(b.ctx, name, args...)
	cmd.Dir = b.root
	return cmd
}
