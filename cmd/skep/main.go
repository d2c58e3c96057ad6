// Command skep verifies, runs, replays and benchmarks Linux eBPF programs outside the kernel.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/vm"
)

func main() {
	os.Exit(run(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// Exit codes, as `skep help exit-codes` prints them.
const (
	exitOK       = 0 // yes
	exitRejected = 1 // a program was rejected, or a comparison failed
	exitUsage    = 2 // wrong usage, input that cannot be read, or output that cannot be written
	exitFault    = 3 // the guest faulted

	exitInterrupted = 130 // Ctrl-C, as shells have it
)

// app is what commands share: where they read and write.
type app struct {
	in       io.Reader
	out, err io.Writer
}

// rejected is an answer of "no" that has been printed already; the process exits with 1.
type rejected struct{ why string }

func (r *rejected) Error() string { return r.why }

// run is main without the process, for tests.
func run(args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	a := &app{in: stdin, out: stdout, err: stderr}
	root := a.rootCommand()
	root.SetArgs(args)
	root.SetIn(stdin)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.Execute()
	if err == nil {
		return exitOK
	}
	a.report(err)
	return exitCode(err)
}

// report says on stderr why the command failed: one line, and the registers when the guest faulted.
func (a *app) report(err error) {
	fmt.Fprintf(a.err, "skep: %v\n", err)
	var fault *vm.Fault
	if errors.As(err, &fault) {
		fmt.Fprint(a.err, fault.Dump())
	}
}

// exitCode maps an error to the process's exit code. What is not a rejection or a fault is usage or unreadable input.
func exitCode(err error) int {
	var no *rejected
	var fault *vm.Fault
	switch {
	case errors.As(err, &no):
		return exitRejected
	case asRejection(err) != nil:
		return exitRejected
	case errors.As(err, &fault):
		return exitFault
	case errors.Is(err, replay.ErrStopped):
		return exitInterrupted
	}
	return exitUsage
}

func (a *app) rootCommand() *cobra.Command {
	root := &cobra.Command{
		Use:   "skep",
		Short: "Linux eBPF programs outside the kernel: verify, replay, bench",
		Long: `skep runs Linux eBPF programs outside the kernel, without root, cgo or a VM.

Three jobs:
  verify   will this object load, and if not: which line, why, what to change
  replay   run an XDP, TC or socket program over a capture and see verdicts, changed packets, maps
  bench    interpreter against machine code, and against the live kernel where there is one

Start with "skep demo".`,
		SilenceUsage:  true,
		SilenceErrors: true,
	}
	root.AddCommand(
		a.demoCommand(), a.verifyCommand(), a.runCommand(), a.testCommand(), a.replayCommand(), a.benchCommand(),
		a.asmCommand(), a.disasmCommand(), a.jitCommand(), a.mapsCommand(), a.generateCommand(), a.explainCommand(),
		a.filterCommand(), a.seccompCommand(), a.conformanceCommand(), a.fuzzCommand(), a.featuresCommand(), a.versionCommand(),
		exitCodesTopic(),
	)
	return root
}

// exitCodesTopic is a help page and no command.
func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "What the exit codes mean",
		Long: `Exit codes:
  0  yes: accepted, done
  1  a program was rejected, or a comparison failed
  2  wrong usage, input that cannot be read, or output that cannot be written
  3  the guest faulted
130  stopped by Ctrl-C; what was done until then is reported`,
	}
}

// checkOutput says what is wrong with the value of an -o flag.
func checkOutput(o string) error {
	if o != "text" && o != "json" {
		return fmt.Errorf("-o %s: want text or json", o)
	}
	return nil
}

func (a *app) printJSON(v any) error {
	enc := json.NewEncoder(a.out)
	enc.SetIndent("", "  ")
	return enc.Encode(v)
}

// isTerminal reports whether w is one, where progress may be drawn.
func isTerminal(w io.Writer) bool {
	file, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
