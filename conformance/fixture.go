package conformance

import (
	"fmt"
	"io/fs"
	"os"
	"strconv"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// Fixture is a program with what must be said of it. Files are lists of them; a line "=== name" begins one, lines
// "key: value" follow, and after "---" comes the program over gen.Maps. Lines that begin with # in front of "---" are
// comments. The keys:
//
//	type: xdp           program type
//	caps: bpf           the loader's capabilities; all when it is left out
//	verdict: accept     or the code of the rejection, "E_…"
//	kernel: accept      or part of the live kernel's words, or "gives up"; when it is left out, the kernel agrees
//	r0: 2               result on every packet
//	packets: 77         seed of the packets; 1 when it is left out
//
// A program that is rejected runs on every engine all the same, unverified: they must agree.
type Fixture struct {
	Name    string
	Type    prog.Type
	Caps    prog.Caps
	Verdict string
	Kernel  string // "accept", words, "gives up", "" (agrees)
	R0      string
	Packets uint64 // seed; 0 is 1
	Text    string
}

// String is the fixture as a file has it.
func (f *Fixture) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "=== %s\ntype: %s\n", f.Name, f.Type)
	if f.Caps != prog.AllCaps {
		fmt.Fprintf(&b, "caps: %s\n", f.Caps)
	}
	fmt.Fprintf(&b, "verdict: %s\n", f.Verdict)
	if f.Kernel != "" {
		fmt.Fprintf(&b, "kernel: %s\n", f.Kernel)
	}
	if f.R0 != "" {
		fmt.Fprintf(&b, "r0: %s\n", f.R0)
	}
	if f.Packets > 1 {
		fmt.Fprintf(&b, "packets: %d\n", f.Packets)
	}
	return b.String() + "---\n" + strings.TrimRight(f.Text, "\n") + "\n"
}

// Fixtures reads every *.txt file of a directory.
func Fixtures(dir string) ([]*Fixture, error) { return fixturesIn(os.DirFS(dir), "*.txt") }

func fixturesIn(files fs.FS, pattern string) ([]*Fixture, error) {
	names, err := fs.Glob(files, pattern)
	if err != nil {
		return nil, err
	}
	var all []*Fixture
	for _, name := range names {
		text, err := fs.ReadFile(files, name)
		if err != nil {
			return nil, err
		}
		more, err := parseFixtures(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		all = append(all, more...)
	}
	return all, nil
}

func parseFixtures(text string) ([]*Fixture, error) {
	var all []*Fixture
	for _, part := range strings.Split("\n"+text, "\n=== ")[1:] {
		head, code, ok := strings.Cut(part, "\n---\n")
		if !ok {
			return nil, fmt.Errorf("%q has no program", part)
		}
		name, keys, _ := strings.Cut(head, "\n")
		f := &Fixture{Name: name, Caps: prog.AllCaps, Text: code}
		for _, line := range strings.Split(keys, "\n") {
			if line == "" || line[0] == '#' {
				continue
			}
			if err := f.set(line); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		}
		if f.Type == prog.Unspec || f.Verdict == "" {
			return nil, fmt.Errorf("%s: type and verdict are needed", name)
		}
		all = append(all, f)
	}
	return all, nil
}

func (f *Fixture) set(line string) error {
	key, value, _ := strings.Cut(line, ": ")
	switch key {
	case "type":
		var ok bool
		if f.Type, ok = prog.TypeOf(value); !ok {
			return fmt.Errorf("no program type %s", value)
		}
	case "caps":
		var err error
		if f.Caps, err = prog.ParseCaps(value); err != nil {
			return err
		}
	case "verdict":
		f.Verdict = value
	case "kernel":
		f.Kernel = value
	case "r0":
		f.R0 = value
	case "packets":
		var err error
		if f.Packets, err = strconv.ParseUint(value, 0, 64); err != nil {
			return fmt.Errorf("packets: %w", err)
		}
	default:
		return fmt.Errorf("no key %q", key)
	}
	return nil
}

// Program assembles the fixture.
func (f *Fixture) Program() (*prog.Program, error) { return gen.Parse(f.Type, f.Text) }

// Accepted reports whether the fixture must pass the verifier.
func (f *Fixture) Accepted() bool { return f.Verdict == "accept" }

// KernelAccepts reports whether the kernel must take the fixture.
func (f *Fixture) KernelAccepts() bool {
	return f.Kernel == "accept" || f.Kernel == "" && f.Accepted()
}

// Check verifies the fixture and, when it passes, runs it on every engine. "" is success.
func (f *Fixture) Check() string {
	p, err := f.Program()
	if err != nil {
		return err.Error()
	}
	v, err := verifier.Verify(p, verifier.Options{Profile: verifier.Newest().With(f.Caps), Outside: true})
	if verdict := Verdict(err); verdict != f.Verdict {
		return fmt.Sprintf("verdict %s, want %s: %v", verdict, f.Verdict, err)
	}
	packets := Packets(max(f.Packets, 1))
	if err != nil {
		return checkUnverified(p, packets)
	}
	problem, out := CheckEngines(v, packets)
	if problem != "" || f.R0 == "" {
		return problem
	}
	for i, r := range out.Runs {
		if got := fmt.Sprint(int32(r.R0)); got != f.R0 {
			return fmt.Sprintf("run %d: r0 is %s, want %s\n%s", i, got, f.R0, asm.FormatProgram(p.Insns))
		}
	}
	return ""
}

// checkUnverified is CompareUnverified on new benches of every engine.
func checkUnverified(p *prog.Program, packets [][]byte) string {
	benches, err := NewBenches(All(), p.Maps, SmallBudget)
	if err != nil {
		return err.Error()
	}
	defer CloseBenches(benches)
	problem, _ := CompareUnverified(benches, p, packets)
	return problem
}

// Verdict is what Verify's error says: "accept", or the code of the rejection.
func Verdict(err error) string {
	if err == nil {
		return "accept"
	}
	if e, ok := err.(*verifier.Error); ok {
		return string(e.Code)
	}
	return err.Error()
}
