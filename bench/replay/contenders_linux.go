package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/bench/kept"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/replay"
)

// contender is something that has a turn in each round.
type contender struct {
	name string                 // of its benchmark
	run  func() (string, error) // does it once and returns lines of results
	once bool                   // the first round is enough
}

// contenders are all that this machine can run.
func (b *bench) contenders(only *regexp.Regexp) (list []contender, err error) {
	for i := range kept.Runs {
		r := &kept.Runs[i]
		for _, engine := range enginesOf(r) {
			for _, cpus := range r.CPUs {
				if name := r.Name(engine, cpus); cpus <= len(b.cpus) && only.MatchString(name) && b.have(r.Tool) {
					list = append(list, contender{name: name, run: func() (string, error) { return b.replay(r, engine, cpus) }})
				}
			}
		}
	}
	for _, work := range []string{childMemory, childAllocs} {
		if only.MatchString(work) {
			list = append(list, contender{name: work, once: work == childAllocs, run: func() (string, error) {
				out, _, err := b.measure(b.child(work), 1)
				return string(out), err
			}})
		}
	}
	if len(list) == 0 {
		return nil, fmt.Errorf("-only %s: no benchmark has such a name", only)
	}
	return list, nil
}

// enginesOf returns the engines that a run is measured on.
func enginesOf(r *kept.Run) []string {
	switch {
	case r.Tool != "skep" || r.Work == kept.None:
		return []string{kept.None}
	case jit.Available():
		return []string{"interp", "jit"}
	}
	return []string{"interp"}
}

// have says whether there is such a tool, and tells when not.
func (b *bench) have(tool string) bool {
	if tool != "tcpdump" {
		return true
	}
	_, err := exec.LookPath(tool)
	if err != nil {
		fmt.Fprintln(b.talk, "left out:", err)
	}
	return err == nil
}

// replay runs a tool over the capture once.
func (b *bench) replay(r *kept.Run, engine string, cpus int) (string, error) {
	out, u, err := b.measure(b.tool(r, engine, cpus), cpus)
	if err != nil {
		return "", err
	}
	if err := b.check(r, out); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s\t1\t%.4f s-wall\t%.4f s-cpu\t%.1f MB-peak\t%.2f cpu-ns/packet\n", r.Name(engine, cpus),
		u.wall.Seconds(), u.cpu.Seconds(), float64(u.peak)/1e6, float64(u.cpu.Nanoseconds())/float64(b.packets)), nil
}

// tool returns the process of a run.
func (b *bench) tool(r *kept.Run, engine string, cpus int) *exec.Cmd {
	switch r.Tool {
	case "tcpdump":
		args := []string{"-r", b.capture.file, "-w", "/dev/null"}
		if r.Work == "expr" {
			args = append(args, kept.Expr)
		}
		return b.command("tcpdump", args...)
	case "skep":
		return b.command(filepath.Join(b.bin, "skep"), b.skepArgs(r, engine, cpus)...)
	case "gopacket":
		return b.command(filepath.Join(b.bin, "gopacketread"), b.capture.file)
	}
	return b.command(filepath.Join(b.bin, "plainread"), b.capture.file, strconv.Itoa(cpus))
}

func (b *bench) skepArgs(r *kept.Run, engine string, cpus int) []string {
	args := []string{"replay", "-o", "json"}
	if r.Dealt {
		args = append(args, "--cpus", strconv.Itoa(cpus))
	}
	switch r.Work {
	case kept.None:
	case "expr":
		args = append(args, "--engine", engine, "--filter", kept.Expr)
	default:
		args = append(args, "--engine", engine, b.objects[r.Work])
	}
	return append(args, b.capture.file)
}

// check compares what a run says that it counted with what is known, and with what other runs of the same work said.
func (b *bench) check(r *kept.Run, out []byte) error {
	said := ""
	switch r.Tool {
	case "tcpdump":
		return nil // says nothing
	case "read":
		if got := strings.TrimSpace(string(out)); got != fmt.Sprint(b.capture.size) {
			return fmt.Errorf("read %q of %d bytes", got, b.capture.size)
		}
		return nil
	case "gopacket":
		if said = strings.TrimSpace(string(out)); said != strconv.Itoa(b.packets) {
			return fmt.Errorf("read %q of %d packets", said, b.packets)
		}
	case "skep":
		var rep replay.Report
		if err := json.Unmarshal(out, &rep); err != nil {
			return err
		}
		if want := b.expected(); r.Work == "expr" && want >= 0 && rep.Filters[0].Packets != uint64(want) {
			return fmt.Errorf("%d packets match, not %d", rep.Filters[0].Packets, want)
		}
		if rep.Packets != uint64(b.packets) || rep.Faults != 0 {
			return fmt.Errorf("ran %d of %d packets, %d faults", rep.Packets, b.packets, rep.Faults)
		}
		said = fmt.Sprint(rep.Filters, rep.Verdicts, rep.Changed)
	}
	key := r.Tool + " " + r.Work
	if was, ok := b.counts[key]; ok && was != said {
		return fmt.Errorf("counted %s, and another time %s", said, was)
	}
	b.counts[key] = said
	return nil
}

// expected returns how many packets match kept.Expr, or -1 where there is no tcpdump that counts them (since 4.99).
func (b *bench) expected() int {
	if b.matches == 0 {
		b.matches = -1
		out, err := b.command("tcpdump", "-r", b.capture.file, "--count", kept.Expr).Output()
		if n, serr := strconv.Atoi(string(bytes.TrimSuffix(out, []byte(" packets\n")))); err == nil && serr == nil {
			b.matches = n
		}
	}
	return b.matches
}

// child is this executable, measuring something itself.
func (b *bench) child(work string) *exec.Cmd {
	cmd := b.command(b.self, b.capture.file, strconv.Itoa(b.packets))
	cmd.Env = append(os.Environ(), childEnv+"="+work)
	return cmd
}

// usage is what a process took.
type usage struct {
	wall, cpu time.Duration
	peak      int64 // bytes of memory
}

// measure runs a process on the last CPUs of the machine, which is where the fewest interrupts come, and returns its output.
func (b *bench) measure(cmd *exec.Cmd, cpus int) ([]byte, usage, error) {
	out, err := os.CreateTemp(b.tmp, "out")
	if err != nil {
		return nil, usage{}, err
	}
	defer os.Remove(out.Name())
	defer out.Close()
	var stderr strings.Builder
	cmd.Stdout, cmd.Stderr = out, &stderr
	start := time.Now()
	if err := startOn(cmd, b.cpus[len(b.cpus)-cpus:], b.cpus); err != nil {
		return nil, usage{}, err
	}
	err = cmd.Wait()
	u := usage{wall: time.Since(start)}
	if err != nil {
		return nil, u, fmt.Errorf("%w: %s", err, stderr.String())
	}
	ru := cmd.ProcessState.SysUsage().(*syscall.Rusage)
	u.cpu, u.peak = cmd.ProcessState.UserTime()+cmd.ProcessState.SystemTime(), int64(ru.Maxrss)<<10
	text, err := os.ReadFile(out.Name())
	return text, u, err
}

// startOn starts a process bound to CPUs: it inherits those of the thread that makes it, which has all before and after.
func startOn(cmd *exec.Cmd, cpus, all []int) (err error) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	if err := bind(cpus); err != nil {
		return err
	}
	err = cmd.Start()
	if berr := bind(all); err == nil {
		err = berr
	}
	return err
}

// bind binds the calling thread to CPUs.
func bind(cpus []int) error {
	var set unix.CPUSet
	for _, c := range cpus {
		set.Set(c)
	}
	return unix.SchedSetaffinity(0, &set)
}

// allowedCPUs are those that this process may run on.
func allowedCPUs() (list []int, err error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return nil, err
	}
	for c := range len(set) * 64 {
		if set.IsSet(c) {
			list = append(list, c)
		}
	}
	return slices.Clip(list), nil
}
