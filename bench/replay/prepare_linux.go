package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/skepvm/skep/bench/workloads"
	"github.com/skepvm/skep/traffic"
)

// sizes are the lengths of data frames in the capture: with the short ones that open, acknowledge and close connections, 810 bytes a packet.
const sizes = "64-1500:3,1500:1"

// capture is the file that is replayed.
type capture struct {
	file   string
	size   int64
	remove bool // at the end
	traffic.Manifest
}

// prepare makes whatever runs need: skep, the objects, the capture.
func (b *bench) prepare() (err error) {
	if b.self, err = os.Executable(); err != nil {
		return err
	}
	if b.root, err = filepath.Abs(b.root); err != nil {
		return err
	}
	if b.cpus, err = allowedCPUs(); err != nil {
		return err
	}
	if b.bin, err = filepath.Abs(cmp.Or(b.config.bin, b.tmp)); err != nil {
		return err
	}
	if b.config.bin == "" {
		build := b.command("go", "build", "-o", b.bin, "./cmd/skep", "./bench/replay/plainread", "./bench/replay/gopacketread")
		if out, err := build.CombinedOutput(); err != nil {
			return fmt.Errorf("go build: %w: %s", err, out)
		}
	}
	if err := b.writeObjects(); err != nil {
		return err
	}
	return b.makeCapture()
}

// writeObjects makes files of the workloads' objects.
func (b *bench) writeObjects() error {
	b.objects = map[string]string{}
	for _, w := range workloads.All {
		elf, err := w.Object()
		if err != nil {
			return err
		}
		b.objects[w.Name] = filepath.Join(b.tmp, w.Name+".bpf.o")
		if err := os.WriteFile(b.objects[w.Name], elf, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// makeCapture generates the capture, unless one is there that was finished: then its manifest is beside it.
func (b *bench) makeCapture() error {
	dir, err := filepath.Abs(b.dir)
	if err != nil {
		return err
	}
	c := &b.capture
	c.file = filepath.Join(dir, fmt.Sprintf("skep-bench-%d.pcap", b.packets))
	if text, err := os.ReadFile(c.manifest()); err == nil && json.Unmarshal(text, &c.Manifest) == nil && c.Packets == b.packets {
		if info, err := os.Stat(c.file); err == nil {
			c.size = info.Size()
			return nil
		}
	}
	c.remove = !b.keep
	start := time.Now()
	cmd := b.command(filepath.Join(b.bin, "skep"), "generate", "-w", c.file, "--packets", fmt.Sprint(b.packets), "--sizes", sizes, "--manifest", c.manifest()+".new")
	if out, err := cmd.CombinedOutput(); err != nil {
		c.remove = true
		return errors.Join(fmt.Errorf("skep generate: %w: %s", err, out), b.removeCapture())
	}
	if err := b.finishCapture(); err != nil {
		return errors.Join(err, b.removeCapture())
	}
	fmt.Fprintf(b.talk, "%s: %d packets, %d bytes, made in %v\n", c.file, c.Packets, c.size, time.Since(start).Round(time.Millisecond))
	return nil
}

// finishCapture waits until the capture is on the disk, so that writing it does not go on beside what is measured, and then gives the
// manifest its name.
func (b *bench) finishCapture() error {
	c := &b.capture
	f, err := os.Open(c.file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		return err
	}
	c.size = info.Size()
	text, err := os.ReadFile(c.manifest() + ".new")
	if err != nil {
		return err
	}
	if err := json.Unmarshal(text, &c.Manifest); err != nil {
		return err
	}
	return os.Rename(c.manifest()+".new", c.manifest())
}

func (c *capture) manifest() string { return c.file + ".json" }

func (b *bench) removeCapture() error {
	c := &b.capture
	if !c.remove {
		return nil
	}
	_ = os.Remove(c.manifest() + ".new")
	_ = os.Remove(c.manifest())
	return os.Remove(c.file)
}

// header says what was measured where.
func (b *bench) header(w io.Writer) {
	fmt.Fprintf(w, "goos: %s\ngoarch: %s\npkg: github.com/skepvm/skep/bench/replay\n", runtime.GOOS, runtime.GOARCH)
	fmt.Fprintf(w, "cpu: %s\ncpus: %d\nkernel: %s\n", cpuModel(), runtime.NumCPU(), kernelRelease())
	fmt.Fprintf(w, "date: %s\ncommit: %s\ntools: %s\n", time.Now().UTC().Format("2006-01-02 15:04"), b.commit(), b.tools())
	fmt.Fprintf(w, "capture: %.3g million packets, %.3g GB\npackets: %d\nrounds: %d\n", float64(b.packets)/1e6, float64(b.capture.size)/1e9, b.packets, b.config.rounds)
}

// resultName is that of a result's file.
func (b *bench) resultName() string {
	cpu := regexp.MustCompile(`[^A-Za-z0-9]+`).ReplaceAllString(cpuModel(), "_")
	return fmt.Sprintf("replay-%s-%s-%s.txt", time.Now().UTC().Format("2006-01-02-1504"), b.commit(), strings.Trim(cpu, "_"))
}

func cpuModel() string {
	f, err := os.Open("/proc/cpuinfo")
	if err != nil {
		return runtime.GOARCH
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if key, value, _ := strings.Cut(s.Text(), ":"); strings.TrimSpace(key) == "model name" {
			return strings.TrimSpace(value)
		}
	}
	return runtime.GOARCH
}

func kernelRelease() string {
	var u unix.Utsname
	if unix.Uname(&u) != nil {
		return "unknown"
	}
	return unix.ByteSliceToString(u.Release[:])
}

// commit is that of the repository; "+changes" says that files differ from it.
func (b *bench) commit() string {
	out, err := b.command("git", "describe", "--always", "--exclude", "*", "--dirty=+changes").Output()
	if err != nil {
		return "unknown"
	}
	return strings.TrimSpace(string(out))
}

// tools has the versions of what skep is compared with.
func (b *bench) tools() string {
	list := []string{runtime.Version()}
	if out, err := b.command("go", "list", "-m", "github.com/google/gopacket").Output(); err == nil {
		list = append(list, strings.TrimPrefix(strings.TrimSpace(string(out)), "github.com/google/"))
	}
	out, _ := b.command("tcpdump", "--version").CombinedOutput()
	if line, _, _ := strings.Cut(string(out), "\n"); strings.HasPrefix(line, "tcpdump ") {
		list = append(list, strings.Replace(line, " version", "", 1))
	}
	return strings.Join(list, ", ")
}
