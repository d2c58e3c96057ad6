// Command native compiles the workloads' C sources for this machine, runs them over the packets that skep bench runs its engines over, and
// prints what they take in the format of `go test -bench`: what machine code that never was eBPF would take.
//
//	go run ./bench/native [-rounds 200] [-workload NAME]
//
// It needs clang-19 (or what CLANG names) on Linux, and says so and does nothing without.
package main

import (
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"

	"github.com/skepvm/skep/bench/workloads"
)

func main() {
	rounds := flag.Int("rounds", 200, "how often")
	only := flag.String("workload", "", "only this workload")
	root := flag.String("C", ".", "root of the repository")
	flag.Parse()
	clang, err := compiler()
	if err != nil {
		fmt.Fprintln(os.Stderr, "native: skipped:", err)
		return
	}
	if err := run(os.Stdout, clang, *root, *only, *rounds); err != nil {
		fmt.Fprintln(os.Stderr, "native:", err)
		os.Exit(1)
	}
}

// compiler returns the path of clang.
func compiler() (string, error) {
	name := os.Getenv("CLANG")
	if name == "" {
		name = "clang-19"
	}
	if runtime.GOOS != "linux" {
		return "", fmt.Errorf("the harness is for Linux")
	}
	return exec.LookPath(name)
}

func run(out io.Writer, clang, root, only string, rounds int) error {
	dir, err := os.MkdirTemp("", "skep-native")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	list := workloads.All
	if only != "" {
		w, err := workloads.ByName(only)
		if err != nil {
			return err
		}
		list = []*workloads.Workload{w}
	}
	fmt.Fprintf(out, "goos: %s\ngoarch: %s\npkg: github.com/skepvm/skep/bench/workloads\n", runtime.GOOS, runtime.GOARCH)
	b, err := newBench(dir, root, clang)
	if err != nil {
		return err
	}
	for _, w := range list {
		r, err := b.run(w, rounds)
		if err != nil {
			return fmt.Errorf("%s: %w", w.Name, err)
		}
		fmt.Fprintf(out, "BenchmarkWorkload/name=%s/engine=native/call=batch\t%d\t%.3f ns/op\t%.3f median-ns\t%.3f max-ns\n",
			w.Name, rounds, r.min, r.median, r.max)
	}
	return nil
}

// bench compiles and runs workloads in a directory of its own.
type bench struct{ dir, root, clang, harness string }

// newBench compiles the harness.
func newBench(dir, root, clang string) (*bench, error) {
	b := &bench{dir, root, clang, filepath.Join(dir, "harness.o")}
	return b, b.compile("-c", b.source("harness.c"), "-o", b.harness)
}

func (b *bench) source(name string) string { return filepath.Join(b.root, "bench", "native", name) }

func (b *bench) compile(args ...string) error {
	args = append([]string{"-O2"}, args...)
	if out, err := exec.Command(b.clang, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w\n%s", b.clang, strings.Join(args, " "), err, out)
	}
	return nil
}

// result is what the harness printed.
type result struct {
	min, median, max float64
	verdicts         [5]uint64 // how often each XDP verdict came
}

func (b *bench) run(w *workloads.Workload, rounds int) (*result, error) {
	program, packets := filepath.Join(b.dir, w.Name), filepath.Join(b.dir, w.Name+".packets")
	// The harness calls its program workload: this one is renamed.
	err := b.compile("-Wno-int-to-void-pointer-cast", "-D"+w.Func+"=workload", "-include", b.source("native.h"), filepath.Join(b.root, w.Source()),
		b.harness, "-o", program)
	if err != nil {
		return nil, err
	}
	if err := writePackets(packets, w); err != nil {
		return nil, err
	}
	text, err := exec.Command(program, packets, strconv.Itoa(rounds)).Output()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return nil, fmt.Errorf("harness: %w: %s", err, exit.Stderr)
	} else if err != nil {
		return nil, err
	}
	r := &result{}
	v := &r.verdicts
	_, err = fmt.Sscan(string(text), &r.min, &r.median, &r.max, &v[0], &v[1], &v[2], &v[3], &v[4])
	return r, err
}

// writePackets writes the packets as harness.c reads them.
func writePackets(file string, w *workloads.Workload) error {
	packets, err := w.Packets()
	if err != nil {
		return err
	}
	out := binary.NativeEndian.AppendUint32(nil, uint32(len(packets)))
	out = binary.NativeEndian.AppendUint32(out, uint32(w.Round))
	for _, p := range packets {
		out = append(binary.NativeEndian.AppendUint32(out, uint32(len(p))), p...)
	}
	return os.WriteFile(file, out, 0o644)
}
