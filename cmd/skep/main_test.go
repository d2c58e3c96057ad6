package main

import (
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

var update = flag.Bool("update", false, "rewrite the outputs that scripts and the README expect")

func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){"skep": main})
}

// sshPacket is a TCP SYN to port 22 in hex.
const sshPacket = "020000000001020000000002 0800" +
	"4500002800010000 4006f6cb c0000201 c0000202" +
	"c0000016 00000001 00000000 5002ffff 00000000 000000000000"

// TestScripts runs testdata/script/*.txtar: each is a session with the command, its exit codes included.
func TestScripts(t *testing.T) {
	if err := exec.Command(os.Args[0], "-test.run", "^$").Run(); errors.Is(err, syscall.ENOEXEC) {
		t.Skip("this machine cannot start the command: it runs the tests under an emulator")
	}
	examples, err := filepath.Abs("../../examples")
	if err != nil {
		t.Fatal(err)
	}
	testscript.Run(t, testscript.Params{
		Dir:           "testdata/script",
		UpdateScripts: *update,
		Setup: func(env *testscript.Env) error {
			env.Setenv("EXAMPLES", examples)
			env.Setenv("VECTORS", filepath.Join(filepath.Dir(examples), "conformance", "testdata", "vectors"))
			env.Setenv("TIMERS", filepath.Join(filepath.Dir(examples), "conformance", "kernel", "testdata", "timers.o"))
			env.Setenv("OBJECTS", filepath.Join(filepath.Dir(examples), "object", "testdata"))
			env.Setenv("SSH", sshPacket)
			env.Setenv("NO_COLOR", "1")
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits,
			"cut":   cut,

			"interrupt": interrupt,
		},
	})
}

// exits N CMD ARGS… runs a command and checks its exit code; stdout and stderr are then there to look at.
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND ARGS…")
	}
	code := "0"
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		code = exitText(err)
	}
	if code != args[0] {
		ts.Fatalf("exit code %s, want %s", code, args[0])
	}
}

// cut FILE BYTES shortens a file.
func cut(ts *testscript.TestScript, _ bool, args []string) {
	var n int64
	for _, c := range args[1] {
		n = n*10 + int64(c-'0')
	}
	ts.Check(os.Truncate(ts.MkAbs(args[0]), n))
}

// interrupt FILE CMD ARGS… gives a command the file, which is longer than a pipe holds, as the beginning of its standard input, and
// then an interrupt. stdout is then there to look at.
func interrupt(ts *testscript.TestScript, _ bool, args []string) {
	path, err := exec.LookPath(args[1])
	ts.Check(err)
	file, err := os.ReadFile(ts.MkAbs(args[0]))
	ts.Check(err)
	cmd := exec.Command(path, args[2:]...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Stdout, cmd.Stderr = ts.Stdout(), ts.Stderr()
	in, err := cmd.StdinPipe()
	ts.Check(err)
	ts.Check(cmd.Start())
	_, err = in.Write(file)
	ts.Check(err)
	ts.Check(cmd.Process.Signal(os.Interrupt))
	if got := exitText(cmd.Wait()); got != "130" {
		ts.Fatalf("exit code %s, want 130", got)
	}
}

// exitText is the exit code of a command that failed, or the error when it did not even start.
func exitText(err error) string {
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return strconv.Itoa(exit.ExitCode())
	}
	return err.Error()
}
