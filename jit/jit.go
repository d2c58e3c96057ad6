// Package jit compiles verified programs to x86-64 and arm64 machine code, which means exactly what vm's interpreter means.
//
// Machine code reaches guest memory only: every address is cut to 32 bits and masked to the space, unless the
// instructions before it alone show that it cannot leave (see ranges.go), whatever the verifier proved. It spends fuel for each basic block and comes back to Go when that runs out, so that neither
// the scheduler nor the collector ever waits long for it. Helpers are called by leaving machine code and coming back.
package jit

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/internal/execmem"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// ErrUnsupported says that there is no machine code for this architecture or system; the interpreter runs everywhere.
var ErrUnsupported = errors.New("no just-in-time compiler for this system")

// Available reports whether New works here.
func Available() bool { return host.Arch != "" }

// Compiler makes engines of programs for one machine, and keeps their code. It may be used from several goroutines.
type Compiler struct {
	machine   *vm.Machine
	processor Processor
	stretch   uint8

	mu       sync.RWMutex // guards what follows
	verified map[*verifier.Verified]*program
	programs map[uint32]*program // by id on the machine
}

// program is compiled code in executable memory.
type program struct {
	*code
	id     uint32
	linked *vm.Linked
	pages  *execmem.Code
	base   uintptr // address of the code
	ways   struct{ run, batch, resume uintptr }
	exits  []exit // by site
}

// exit is what Go needs to know first when machine code leaves at a site.
type exit struct {
	fn     helpers.Func // the helper called there when that is all there is to it
	resume uintptr
}

// at is the address of an offset in the code.
func (p *program) at(off int) uintptr { return p.base + uintptr(off) }

func newProgram(t *helpers.Tables, l *vm.Linked, c *code, pages *execmem.Code) *program {
	p := &program{code: c, id: l.ID(), linked: l, pages: pages, base: pages.Entry()}
	p.ways.run, p.ways.batch, p.ways.resume = p.at(c.stubs.run), p.at(c.stubs.batch), p.at(c.stubs.resume)
	p.exits = make([]exit, len(c.sites))
	for i, s := range c.sites {
		p.exits[i].resume = p.at(int(s.resume))
		if s.kind != exitHelper {
			continue
		}
		if row := t.Callable(c.insns[s.pc].Imm); row != nil {
			p.exits[i].fn = row.Fn
		}
	}
	runtime.AddCleanup(p, func(c *execmem.Code) { _ = c.Free() }, pages) // for compilers that nobody closes
	return p
}

// stretchSlots is the logarithm of 4096: at most as many slots, some 10 microseconds of most instructions, run
// without a look at the fuel.
const stretchSlots = 12

// New makes a compiler for m. It fails with ErrUnsupported where there is no machine code.
func New(m *vm.Machine) (*Compiler, error) {
	if !Available() {
		return nil, ErrUnsupported
	}
	return &Compiler{
		machine:   m,
		processor: host,
		stretch:   stretchSlots,
		verified:  map[*verifier.Verified]*program{},
		programs:  map[uint32]*program{},
	}, nil
}

// Close gives the memory of all code back. No engine of this compiler may run any more. Without a Close the collector
// does it, when the compiler and its engines are gone.
func (c *Compiler) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, p := range c.programs {
		errs = append(errs, p.pages.Free())
	}
	clear(c.programs)
	clear(c.verified)
	return errors.Join(errs...)
}

// Compile links v's program on the compiler's machine and makes an engine that runs it on cpu, which must be one of
// that machine. Compiling the same Verified again, for another CPU, reuses the code. Programs that it tail-calls are
// compiled when they are first called.
func (c *Compiler) Compile(cpu *vm.CPU, v *verifier.Verified) (vm.Engine, error) {
	if cpu.Machine() != c.machine {
		return nil, errOtherMachine
	}
	c.mu.Lock()
	p := c.verified[v]
	c.mu.Unlock()
	if p == nil {
		if v.Tables() != c.machine.Tables() {
			return nil, errOtherTables
		}
		if err := v.Runnable(); err != nil {
			return nil, err
		}
		l, err := c.machine.LinkProved(v.Program(), v.Proof())
		if err != nil {
			return nil, err
		}
		if p, err = c.program(l); err != nil {
			return nil, err
		}
		c.mu.Lock()
		c.verified[v] = p
		c.mu.Unlock()
	}
	return newEngine(c, cpu, p), nil
}

// Sandbox makes an engine that runs l, a program that nobody has verified, on cpu. Both must be of the compiler's
// machine. Whatever l does,
//
//   - it reads and writes guest memory only: each address is cut to 32 bits and masked to the space, and no instruction
//     changes R10;
//   - it jumps only to its own instructions, which vm.Link has checked, calls only its own functions, at most
//     vm.MaxFrames deep, and leaves for Go in every other case: no address in guest memory is ever jumped to;
//   - it stops: each backward jump, call and tail call looks at the fuel, and the run ends with vm.BudgetExceeded
//     when the machine's budget is spent; meanwhile no collection waits longer for it than for verified programs;
//   - it sees no registers of an earlier run and, as long as it stays within its frame, none of its stack:
//     registers and frames begin zeroed (vm.Engine, "Frames");
//   - division has no traps, and atomics at addresses that are not aligned are done in Go.
//
// It is not kept from guest memory that is none of its business: other programs' map values, or bytes around the packet.
// That takes the verifier, or an interpreter in checked mode, which finds the very instruction. Result, fault, memory and
// instruction count are the interpreter's. Programs that l tail-calls run under the same guarantees.
func (c *Compiler) Sandbox(cpu *vm.CPU, l *vm.Linked) (vm.Engine, error) {
	if c.machine.Program(l.ID()) != l {
		return nil, fmt.Errorf("jit: program %s is linked on another machine than the compiler's", l.Prog().Name)
	}
	return c.engine(cpu, l)
}

func (c *Compiler) engine(cpu *vm.CPU, l *vm.Linked) (*engine, error) {
	if cpu.Machine() != c.machine {
		return nil, errOtherMachine
	}
	p, err := c.program(l)
	if err != nil {
		return nil, err
	}
	return newEngine(c, cpu, p), nil
}

var errOtherTables = errors.New("jit: the program was verified with other helpers than the machine has")

var errOtherMachine = errors.New("jit: the CPU belongs to another machine than the compiler")

// program returns the code of l, compiling it the first time.
func (c *Compiler) program(l *vm.Linked) (*program, error) {
	if p := c.byID(l.ID()); p != nil {
		return p, nil
	}
	code, err := compile(l.Insns(), c.target(l))
	if err != nil {
		return nil, err
	}
	pages, err := execmem.Load(code.bytes)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if p := c.programs[l.ID()]; p != nil { // another goroutine was faster
		return p, pages.Free()
	}
	p := newProgram(c.machine.Tables(), l, code, pages)
	c.programs[l.ID()] = p
	return p, nil
}

func (c *Compiler) byID(id uint32) *program {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.programs[id]
}

func (c *Compiler) target(l *vm.Linked) target {
	t := target{Processor: c.processor, id: l.ID(), mask: c.machine.Space().Mask(), zero: l.ZeroesFrames(),
		verified: l.Verified(), stretch: c.stretch, tables: c.machine.Tables(), array: c.arrayMap, hash: c.hashMap,
		arena: l.ThroughArena}
	if _, counts := l.CoverAt(0); counts {
		t.covered = l
	}
	return t
}

// arrayMap describes the map with that handle when lookups in it can be inlined.
func (c *Compiler) arrayMap(handle uint32) (arrayMap, bool) {
	m := c.machine.Maps().Get(handle)
	if m == nil {
		return arrayMap{}, false
	}
	spec := m.Spec()
	if spec.Type != maps.Array && spec.Type != maps.PerCPUArray {
		return arrayMap{}, false
	}
	// Addresses come from the map itself, not from its header, which a guest can write to.
	var key [4]byte
	data := m.LookupAddr(0, key[:])
	a := arrayMap{data: data, stride: (spec.ValueSize + 7) &^ 7, entries: spec.MaxEntries}
	if spec.Type == maps.PerCPUArray && c.machine.NumCPUs() > 1 {
		a.cpuStride = m.LookupAddr(1, key[:]) - data
	}
	return a, data != 0
}

// hashMap describes the map with that handle when machine code can look keys up in it.
func (c *Compiler) hashMap(handle uint32) (hashMap, bool) {
	m := c.machine.Maps().Get(handle)
	if m == nil {
		return hashMap{}, false
	}
	layout, ok := maps.LayoutOfHash(m)
	if !ok {
		return hashMap{}, false
	}
	if c.machine.NumCPUs() == 1 {
		layout.CPUStride = 0
	}
	return hashMap{layout, handle, m.Spec().KeySize}, true
}
