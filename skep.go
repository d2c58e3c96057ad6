// Package skep runs Linux eBPF programs outside the kernel: it loads an object, verifies its programs as the kernel would,
// and runs them on packets with an interpreter or machine code. No root, no cgo, no kernel.
//
//	vm, err := skep.Open("filter.bpf.o", skep.Options{})
//	if err != nil { … }
//	defer vm.Close()
//	res, err := vm.Run("filter", skep.Packet{Data: frame})
//	fmt.Println(res.Verdict) // XDP_DROP
//
// The packages below it (asm, object, verifier, vm, jit, maps, replay …) give every step on its own.
package skep

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/tracing"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// Names of the engines, for Options.Engine.
const (
	EngineAuto    = ""        // machine code where there is some, else the interpreter; checked with Unverified
	EngineInterp  = "interp"  // the interpreter
	EngineChecked = "checked" // the interpreter, which looks at every access
	EngineJIT     = "jit"     // machine code
)

// Options of Open and New. The zero value verifies for the newest kernel and takes the fastest engine.
type Options struct {
	Engine  string            // one of the Engine… names
	Profile *verifier.Profile // rules to verify by; nil is the newest kernel's
	// Unverified runs programs that the verifier rejects too. Unless Engine says otherwise that is in checked mode, which
	// stops at the first bad access; EngineJIT makes sandboxed machine code of them (jit.Compiler.Sandbox), which
	// cannot leave guest memory, nor can the plain interpreter.
	Unverified bool
	Load       object.Options // how to read the object
	Machine    vm.Config      // clock, seed, CPUs, sinks for trace and event output
	// Step is called ahead of every instruction that is executed, with the registers. Machine code cannot do that: the engine is an
	// interpreter.
	Step func(l *vm.Linked, pc int, regs *[asm.NumRegs]uint64)
}

// VM is an object made ready: verified programs, live maps and an engine for each program on one machine.
// It is not safe for concurrent use; make one for each goroutine.
type VM struct {
	obj      *object.Object
	opts     Options
	machine  *vm.Machine
	compiler *jit.Compiler
	programs map[string]*program
	order    []*program
	objects  []loaded
	filters  int     // made by Filter
	spare    *vm.CPU // that they run on; nil before the first
}

// loaded is an object of a VM: what its maps name is among its own programs.
type loaded struct {
	programs []*program
	maps     []*maps.Spec
}

// program is one program on its way from spec to engine.
type program struct {
	spec     *prog.Program
	verified *verifier.Verified
	rejected error      // why there is no verified
	err      error      // why it cannot run
	linked   *vm.Linked // nil when the compiler links it
	engine   vm.Engine
	chained  bool         // some Chain has it
	frame    *prog.Buffer // of runs; nil before the first
	ctx      uint32       // frame of an own type's ctx in guest memory; 0 before the first run

	hook    *tracing.Hook // of runs on events, and what it was made for; nil before the first
	hookFor EventOptions
}

// Open loads an object file and makes it ready.
func Open(file string, o Options) (*VM, error) {
	obj, err := object.LoadFile(file, o.Load)
	if err != nil {
		return nil, err
	}
	return New(obj, o)
}

// OpenBytes is Open for an object in memory; name is for messages.
func OpenBytes(elf []byte, name string, o Options) (*VM, error) {
	obj, err := object.Load(bytes.NewReader(elf), name, o.Load)
	if err != nil {
		return nil, err
	}
	return New(obj, o)
}

// New verifies every program of obj, makes its maps and links what was accepted. A program that is rejected, or a map that
// cannot be made, does not stop the others: Run of what needs it returns the error.
func New(obj *object.Object, o Options) (*VM, error) {
	if o.Unverified && o.Engine == EngineAuto {
		o.Engine = EngineChecked
	}
	if o.Step != nil && o.Engine == EngineAuto {
		o.Engine = EngineInterp
	}
	if o.Step != nil && o.Engine == EngineJIT {
		return nil, errors.New("machine code cannot be stepped through: want engine interp or checked")
	}
	o.Machine.Space.Shadow = o.Machine.Space.Shadow || o.Engine == EngineChecked
	machine, err := vm.NewMachine(o.Machine)
	if err != nil {
		return nil, err
	}
	v := &VM{obj: obj, opts: o, machine: machine, programs: map[string]*program{}}
	if err := v.prepare(); err != nil {
		machine.Close()
		return nil, err
	}
	return v, nil
}

// prepare picks the engine kind and takes every program as far as it goes.
func (v *VM) prepare() error {
	switch v.opts.Engine {
	case EngineAuto, EngineJIT:
		c, err := jit.New(v.machine)
		switch {
		case err == nil:
			v.compiler = c
		case v.opts.Engine == EngineJIT:
			return fmt.Errorf("engine jit: %w", err)
		}
	case EngineInterp, EngineChecked:
	default:
		return fmt.Errorf("unknown engine %q: want interp, checked or jit", v.opts.Engine)
	}
	programs := make([]*program, len(v.obj.Programs))
	for i, spec := range v.obj.Programs {
		programs[i] = &program{spec: spec}
		v.programs[spec.Name] = programs[i]
	}
	return v.ready(v.obj.Maps, programs)
}

// ready takes the programs of an object, which have their names, as far as they go.
func (v *VM) ready(specs []*maps.Spec, programs []*program) error {
	v.objects = append(v.objects, loaded{programs, specs})
	for _, spec := range specs {
		if spec.Broken != "" {
			continue // programs that use it are refused by name
		}
		_, _ = v.machine.AddMap(spec) // one that cannot be made concerns the programs that use it: their linking says why
	}
	for _, p := range programs {
		v.order = append(v.order, p)
		p.err = v.build(p)
	}
	of := make([]*prog.Program, len(programs))
	for i, p := range programs {
		of[i] = p.spec
	}
	return v.fill(of, specs)
}

// fill puts programs and maps of an object into its maps that name them. Those that were refused leave their place empty.
func (v *VM) fill(programs []*prog.Program, specs []*maps.Spec) error {
	specs = slices.Clone(specs)
	for _, p := range programs {
		specs = append(specs, p.Maps...)
	}
	err := v.machine.SetProgs(programs, specs)
	joined, ok := err.(interface{ Unwrap() []error })
	if !ok {
		return err
	}
	var rest []error
	for _, err := range joined.Unwrap() {
		var missing *vm.MissingError
		refused := func(p *prog.Program) bool { return p.Name == missing.Name }
		if !errors.As(err, &missing) || missing.What == "program" && !slices.ContainsFunc(programs, refused) {
			rest = append(rest, err)
		}
	}
	return errors.Join(rest...)
}

// build verifies p, links it and makes its engine. Each program is linked once, in the order of the object, so that program
// ids are the same on every machine.
func (v *VM) build(p *program) error {
	p.verified, p.rejected = verifier.Verify(p.spec, verifier.Options{Profile: v.opts.Profile, Tables: v.opts.Machine.Tables, Outside: true})
	if p.rejected != nil && !v.opts.Unverified {
		return p.rejected
	}
	if p.verified != nil {
		if err := p.verified.Runnable(); err != nil {
			return err
		}
	}
	var err error
	if v.compiler == nil || p.verified == nil {
		link := v.machine.Link
		if p.verified != nil {
			link = func(spec *prog.Program) (*vm.Linked, error) { return v.machine.LinkProved(spec, p.verified.Proof()) }
		}
		if p.linked, err = link(p.spec); err != nil {
			return err
		}
	}
	p.engine, err = v.engineOn(p, v.machine.CPU(0))
	return err
}

// engineOn makes an engine of p on a CPU of the machine.
func (v *VM) engineOn(p *program, cpu *vm.CPU) (vm.Engine, error) {
	switch {
	case v.compiler != nil && p.verified != nil:
		return v.compiler.Compile(cpu, p.verified)
	case v.compiler != nil:
		return v.compiler.Sandbox(cpu, p.linked)
	}
	return vm.NewInterpreter(cpu, p.linked, vm.InterpOptions{Checked: v.opts.Engine == EngineChecked, Trace: v.opts.Step})
}

// Add verifies a program and makes it ready beside those of the object. Its name must be new.
func (v *VM) Add(spec *prog.Program) (vm.Engine, error) {
	if v.programs[spec.Name] != nil {
		return nil, fmt.Errorf("there is a program %q already", spec.Name)
	}
	p := &program{spec: spec}
	v.programs[spec.Name] = p
	v.order = append(v.order, p)
	p.err = v.build(p)
	err := v.fill(append(slices.Clone(v.obj.Programs), spec), v.obj.Maps)
	if p.err == nil {
		p.err = err
	}
	return p.engine, p.err
}

// Close releases guest memory and machine code. Nothing of the VM may be used afterwards.
func (v *VM) Close() error {
	var err error
	if v.compiler != nil {
		err = v.compiler.Close()
	}
	return errors.Join(err, v.machine.Close())
}

// Machine gives the machine below, for what this package does not wrap.
func (v *VM) Machine() *vm.Machine { return v.machine }

// Object gives the loaded object.
func (v *VM) Object() *object.Object { return v.obj }

// Map returns the map of that name as the host sees it (vm.Machine.Host), or nil.
func (v *VM) Map(name string) maps.Map { return v.machine.Host(v.machine.Maps().ByName(name)) }

// Engine returns the engine of a program; the name may be "" when the object has just one program.
func (v *VM) Engine(name string) (vm.Engine, error) {
	p, err := v.program(name)
	if err != nil {
		return nil, err
	}
	return p.engine, nil
}

// Engines returns an engine of a program for each CPU of the machine (Options.Machine.CPUs); the first is that of Engine. Each may run while
// the others do, and the VM's own methods run on the first.
func (v *VM) Engines(name string) ([]vm.Engine, error) {
	p, err := v.program(name)
	if err != nil {
		return nil, err
	}
	if v.opts.Engine == EngineChecked && v.machine.NumCPUs() > 1 {
		return nil, errors.New("checked mode watches one CPU")
	}
	engines := []vm.Engine{p.engine}
	for cpu := 1; cpu < v.machine.NumCPUs(); cpu++ {
		e, err := v.engineOn(p, v.machine.CPU(cpu))
		if err != nil {
			return nil, err
		}
		engines = append(engines, e)
	}
	return engines, nil
}

// Ctx returns the guest address of the ctx of a program's last Run, 0 before the first: what Engine.Run takes.
func (v *VM) Ctx(name string) uint32 {
	p, err := v.find(name)
	if err != nil || p.frame == nil {
		return 0
	}
	return p.frame.Ctx()
}

// Verify returns the proof of a program, or why there is none.
func (v *VM) Verify(name string) (*verifier.Verified, error) {
	p, err := v.program(name)
	if err != nil {
		return nil, err
	}
	return p.verified, p.rejected
}

// NoProgramError says that the object has no program of that name, or several where none was named.
type NoProgramError struct {
	Name string
	Have []string
}

func (e *NoProgramError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("the object has %d programs, name one of %v", len(e.Have), e.Have)
	}
	return fmt.Sprintf("no program %q, the object has %v", e.Name, e.Have)
}

func (v *VM) program(name string) (*program, error) {
	p, err := v.find(name)
	if err != nil {
		return nil, err
	}
	return p, p.err
}

func (v *VM) find(name string) (*program, error) {
	if name == "" && len(v.order) == 1 {
		return v.order[0], nil
	}
	if p := v.programs[name]; p != nil {
		return p, nil
	}
	e := &NoProgramError{Name: name}
	for _, p := range v.order {
		e.Have = append(e.Have, p.spec.Name)
	}
	return nil, e
}

// Packet is what a program runs on.
type Packet struct {
	Data []byte // the frame, from the Ethernet header on
	prog.Input
	Ctx map[string]any // ctx fields by name, set after Input; see prog.WriteCtx, and prog.CtxFields for those of a struct
}

// Result is what a run left.
type Result struct {
	Ret     uint32 // R0 at exit, as the kernel reads it
	Verdict string // its name, such as XDP_PASS
	Insns   uint64 // instructions executed
	// Output is the packet afterwards. Its slices are in guest memory: valid until the program's next run.
	prog.Output
	Ctx map[string]any // the ctx fields afterwards, hidden ones too (prog.TypeRow); nil when Packet.Ctx was nil
	// CtxChanged are the names of those that are not as they were, sorted.
	CtxChanged []string
}

// MaxPacket is the longest packet that Run takes, in bytes.
const MaxPacket = 1 << 16

// setFrame puts a packet into the program's buffer: one as large as the kernel's, unless the packet needs more.
func (p *program) setFrame(space *mem.Space, in *Packet) error {
	if len(in.Data) > MaxPacket {
		return fmt.Errorf("packet of %d bytes, at most %d", len(in.Data), MaxPacket)
	}
	if t := p.spec.Type; len(in.Data) > 0 && !t.HasData() && t != prog.Syscall {
		return fmt.Errorf("programs of type %s are given no data, got %d bytes", t, len(in.Data))
	}
	if p.frame == nil || p.frame.MaxLen() < len(in.Data) {
		size := uint32(0)
		if p.frame != nil {
			size = MaxPacket + 1024
			p.frame.Free()
		}
		buffer, err := prog.NewBuffer(space, p.spec.Type, size)
		if err != nil {
			return err
		}
		if s, ok := prog.SectionOf(p.spec.Section); ok && s.Frags {
			buffer.TakeFrags()
		}
		buffer.UseTypes(p.spec.Types)
		if p.frame = buffer; buffer.MaxLen() < len(in.Data) {
			return p.setFrame(space, in)
		}
	}
	return p.frame.Set(in.Data, &in.Input)
}

// RunTimers lets the timers fire that programs have set for now (ns) or before, in the order of their times, and does the work that they
// have queued. It returns how many callbacks ran. A fault of one is a *vm.Fault.
func (v *VM) RunTimers(now uint64) (int, error) { return v.machine.CPU(0).RunTimers(now) }

// timersUntil lets time go on to that of a packet or event, or of the clock.
func (v *VM) timersUntil(now uint64) error {
	cpu := v.machine.CPU(0)
	if _, armed := cpu.NextTimer(); !armed {
		return nil
	}
	if v.opts.Machine.Clock != nil {
		now = v.opts.Machine.Clock()
	}
	_, err := cpu.RunTimers(now)
	return err
}

// RunCtx runs a program of an own type (see prog.NewType) once on a ctx, which is copied into guest memory and back; name may be ""
// when the object has just one program. A fault of the guest is a *vm.Fault.
func (v *VM) RunCtx(name string, ctx []byte) (Result, error) {
	p, err := v.program(name)
	if err != nil {
		return Result{}, err
	}
	row := p.spec.Row()
	if p.spec.Type != prog.Own || len(ctx) != row.CtxSize {
		return Result{}, fmt.Errorf("ctx of %d bytes for program %s of type %s: RunCtx takes %d bytes of an own type",
			len(ctx), p.spec.Name, row.Name, row.CtxSize)
	}
	space := v.machine.Space()
	if p.ctx == 0 {
		if p.ctx, err = space.Alloc(prog.FrameHeader+uint32(row.CtxSize), 64); err != nil {
			return Result{}, err
		}
	}
	frame, _ := space.Bytes(p.ctx, prog.FrameHeader+uint32(row.CtxSize))
	clear(frame[:prog.FrameHeader])
	copy(frame[prog.FrameHeader:], ctx)
	out, err := p.engine.Run(p.ctx + prog.FrameHeader)
	copy(ctx, frame[prog.FrameHeader:])
	return Result{Ret: uint32(out.R0), Insns: out.Insns, Verdict: row.Verdict(uint32(out.R0))}, err
}

// Run runs a program once; name may be "" when the object has just one program. A fault of the guest is a *vm.Fault.
// What has no packet gets a ctx of zeros, and what Packet.Ctx says; Packet.Data is a socket option's value, a message, or the ctx
// itself for a type that says so in docs/program-types.md. Tracing programs cannot be run so; see RunEvent. Timers that are
// set for the packet's time or before fire first.
func (v *VM) Run(name string, in Packet) (Result, error) {
	p, err := v.program(name)
	if err != nil {
		return Result{}, err
	}
	space := v.machine.Space()
	if err := p.setFrame(space, &in); err != nil {
		return Result{}, err
	}
	if err := v.timersUntil(in.Time); err != nil {
		return Result{}, err
	}
	ctx := p.frame.Ctx()
	sockets := v.machine.Sockets()
	if in.Ctx != nil {
		if err := prog.WriteCtx(space, ctx, p.spec.Type, in.Ctx, sockets); err != nil {
			return Result{}, err
		}
	}
	if err := p.frame.Ready(); err != nil {
		return Result{}, err
	}
	sockets.SetOwn(p.spec.Type, ctx)
	var before map[string]any
	if in.Ctx != nil {
		before = prog.ReadCtx(space, ctx, p.spec.Type, sockets)
	}
	out, err := p.engine.Run(ctx)
	res := Result{Ret: uint32(out.R0), Insns: out.Insns, Verdict: p.spec.Type.Verdict(uint32(out.R0))}
	if err != nil {
		return res, err
	}
	p.frame.Done(res.Ret)
	p.frame.Read(&res.Output)
	if in.Ctx != nil {
		res.Ctx = prog.ReadCtx(space, ctx, p.spec.Type, sockets)
		res.CtxChanged = changed(before, res.Ctx)
	}
	return res, nil
}

// changed are the names of the fields that differ.
func changed(before, after map[string]any) (names []string) {
	for name, v := range after {
		if !reflect.DeepEqual(before[name], v) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
