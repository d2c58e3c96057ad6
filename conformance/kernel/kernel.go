// Package kernel asks the live Linux kernel: it loads objects and test-runs their programs (BPF_PROG_TEST_RUN), and
// never attaches one to anything. The kernel is the judge of what is right, so its answers are what the engines are compared with.
package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"
)

// Collection is an object loaded into the kernel. Close it.
type Collection struct{ coll *ebpf.Collection }

// Result is what a test run left.
type Result struct {
	Ret  uint32 // the program's return value
	Data []byte // the packet afterwards
}

// Available says whether this process may load programs; the error says why not.
func Available() error {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type:         ebpf.SocketFilter,
		Instructions: asm.Instructions{asm.Mov.Imm(asm.R0, 0), asm.Return()},
	})
	if err != nil {
		return fmt.Errorf("bpf(2): %w", err)
	}
	learnProbes()
	return prog.Close()
}

// learnProbes makes cilium/ebpf see that the kernel has bpf_probe_read_kernel. It looks once, and when that is while a test has
// given up its capabilities, it puts bpf_probe_read in the place of the helper from then on.
var learnProbes = sync.OnceFunc(func() {
	prog, err := ebpf.NewProgram(&ebpf.ProgramSpec{
		Type: ebpf.Kprobe,
		Instructions: asm.Instructions{asm.Mov.Reg(asm.R1, asm.R10), asm.Add.Imm(asm.R1, -8), asm.Mov.Imm(asm.R2, 8),
			asm.Mov.Imm(asm.R3, 0), asm.FnProbeReadKernel.Call(), asm.Return()},
		License: "GPL",
	})
	if err == nil {
		prog.Close()
	}
})

// Load loads every program of an ELF object into the kernel. A rejection is the kernel's verifier error.
func Load(elf []byte) (*Collection, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(elf))
	if err != nil {
		return nil, err
	}
	coll, err := ebpf.NewCollection(spec)
	if err != nil {
		return nil, err
	}
	return &Collection{coll}, nil
}

// Close unloads the programs and maps.
func (c *Collection) Close() { c.coll.Close() }

// ErrNoProgram is returned for a name that the object does not have.
var ErrNoProgram = errors.New("no such program in the kernel's collection")

// headroom for what a program may add to a packet, in bytes.
const headroom = 512

// tailroom is for what a program may add to a packet by CtxRun, in bytes: as much as there can be.
const tailroom = 1 << 16

// Runs says whether the kernel's test run takes a packet of that length and shows all of it to a program: a whole
// Ethernet header, and at most what fits into one page.
func Runs(packet []byte) bool { return len(packet) >= 14 && len(packet) < 3000 }

// Run test-runs a program once on a packet.
func (c *Collection) Run(name string, data []byte) (Result, error) {
	prog := c.coll.Programs[name]
	if prog == nil {
		return Result{}, fmt.Errorf("%w: %s", ErrNoProgram, name)
	}
	out := make([]byte, len(data)+headroom)
	opts := ebpf.RunOptions{Data: data, DataOut: out}
	ret, err := prog.Run(&opts)
	return Result{Ret: ret, Data: opts.DataOut}, err
}

// Bench test-runs a program repeat times on one packet and returns the kernel's own mean time of a run. The kernel
// runs all repetitions on the same packet, cache-hot, and its figure contains what its loop costs: 4 to 20 ns.
func (c *Collection) Bench(name string, data []byte, repeat uint32) (time.Duration, error) {
	prog := c.coll.Programs[name]
	if prog == nil {
		return 0, fmt.Errorf("%w: %s", ErrNoProgram, name)
	}
	_, mean, err := prog.Benchmark(data, int(repeat), nil)
	return mean, err
}

// Update sets an element of a map.
func (c *Collection) Update(name string, key, value []byte) error {
	m := c.coll.Maps[name]
	if m == nil {
		return fmt.Errorf("no map %s", name)
	}
	return m.Put(key, value)
}

// Lookup returns an element of a map that is not per-CPU.
func (c *Collection) Lookup(name string, key []byte) ([]byte, error) {
	m := c.coll.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	return m.LookupBytes(key)
}

// CtxRun is Run with a ctx, which may be as long as the kernel takes; the ctx afterwards has the same length.
func (c *Collection) CtxRun(name string, data, ctx []byte) (res Result, after []byte, err error) {
	prog := c.coll.Programs[name]
	if prog == nil {
		return Result{}, nil, fmt.Errorf("%w: %s", ErrNoProgram, name)
	}
	after = make([]byte, len(ctx))
	opts := ebpf.RunOptions{Data: data, DataOut: make([]byte, len(data)+tailroom), Context: ctx, ContextOut: after}
	ret, err := prog.Run(&opts)
	return Result{Ret: ret, Data: opts.DataOut}, after, err
}

// Contents returns the elements of a map by key. Of values per CPU it is the one of cpu.
func (c *Collection) Contents(name string, cpu int) (map[string]string, error) {
	m := c.coll.Maps[name]
	if m == nil {
		return nil, fmt.Errorf("no map %s", name)
	}
	out := map[string]string{}
	var key, value []byte
	var values [][]byte
	it := m.Iterate()
	switch m.Type() {
	case ebpf.PerCPUHash, ebpf.PerCPUArray, ebpf.LRUCPUHash, ebpf.PerCPUCGroupStorage:
		for it.Next(&key, &values) {
			out[string(key)] = string(values[cpu])
		}
	default:
		for it.Next(&key, &value) {
			out[string(key)] = string(value)
		}
	}
	return out, it.Err()
}
