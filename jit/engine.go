package jit

import (
	"runtime"
	"time"
	"unsafe"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

const (
	// slice is the most fuel that Go gives at a time: some 10-100 microseconds. Machine code cannot be preempted, so it is
	// also how long a collection may have to wait for it. Where instructions take longer, as those do that are the first
	// to touch a page of guest memory, Go gives less: see pace.
	slice = 50_000

	// leastSlice is the least that pace goes down to.
	leastSlice = 64

	// longVisit is how long machine code may take for a slice before Go gives less the next time.
	longVisit = 500 * time.Microsecond

	// nativeStack is the size of the private stack: a call needs at most 48 bytes, an exit 16, and there are at most
	// vm.MaxFrames of them. With the state block it fills a page.
	nativeStack = (4096 - int(unsafe.Sizeof(state{}))) &^ 63

	// frameCost is fuel for each frame of a batch beside its instructions, as those of a short program are the least of the work.
	frameCost = 64

	// maxBatch is how many frames machine code is sent off with at a time.
	maxBatch = 1 << 30

	// notBegun is no value of state.left.
	notBegun = ^uint32(0)
)

// engine runs a program's machine code on one CPU.
type engine struct {
	compiler *Compiler
	cpu      *vm.CPU
	program  *program
	state    *state
	stack    uint64        // address where the private stack begins; it grows down
	budget   int64         // instructions of a run
	slice    int64         // fuel to give at a time: at most budget
	most     int64         // what slice may grow to
	refueled time.Duration // when Go last gave fuel in this run, since epoch; 0 when it has not yet

	current *program // whose site was the last
	left    uint32   // state.left when the CPU last began a run

	// The helper call that callbacks come from.
	caller *program
	site   *site
}

var _ vm.Engine = (*engine)(nil)

// block is the memory that machine code of an engine has to itself. It is on Go's heap, whose objects never move, and
// has no pointers in it.
type block struct {
	stack [nativeStack]byte // grows down
	state state
}

func newEngine(c *Compiler, cpu *vm.CPU, p *program) *engine {
	budget := int64(min(c.machine.Budget(), 1<<63-1))
	e := &engine{
		compiler: c, cpu: cpu, program: p, current: p,
		state:  &new(block).state,
		budget: budget,
		slice:  min(slice, budget),
		most:   min(slice, budget),
	}
	s := e.state
	e.stack = uint64(uintptr(unsafe.Pointer(s)))
	s.base = uint64(uintptr(c.machine.Space().Base()))
	s.stackTop = cpu.StackTop
	s.lastFrame = cpu.FrameTop(vm.MaxFrames - 1)
	s.cpu = uint32(cpu.Env.CPU)
	return e
}

// Name is "jit".
func (e *engine) Name() string { return "jit" }

// Run runs the program once. It must not be inlined: its prologue is where the scheduler gets in between runs.
//
//go:noinline
func (e *engine) Run(ctx uint32) (vm.Result, error) {
	s := e.state
	s.ctx, s.left, e.left, e.refueled = ctx, 0, notBegun, 0
	s.fuel, s.frameFuel = e.slice, e.slice
	s.nativeSP = e.stack
	enter(s, e.program.ways.run)
	if s.site != siteDone {
		if f := e.drive(); f != nil {
			f = f.Catch(&s.regs[asm.R0])
			res := vm.Result{R0: s.regs[asm.R0], Insns: uint64(e.spent())}
			if f != nil {
				return res, f
			}
			return res, nil
		}
	}
	runtime.KeepAlive(e) // and so the code that ran
	return vm.Result{R0: s.regs[asm.R0], Insns: uint64(s.frameFuel - s.fuel)}, nil
}

// RunBatch runs the program on n frames.
//
//go:noinline
func (e *engine) RunBatch(first, stride uint32, n int) (int, error) {
	s := e.state
	s.ctx, s.stride, e.refueled = first, stride, 0
	for done := 0; done < n; {
		count := min(n-done, maxBatch)
		s.left, e.left = uint32(count), notBegun
		s.fuel = e.slice
		s.nativeSP = e.stack
		enter(s, e.program.ways.batch)
		f := e.drive()
		if f == nil {
			done += count
			continue
		}
		done += count - int(s.left)
		if f = f.Catch(&s.regs[asm.R0]); f != nil {
			return done, f
		}
		e.endFrame()
		done++
	}
	return max(n, 0), nil
}

// endFrame does for a frame of a batch whose program has thrown what machine code does at the end of the others.
func (e *engine) endFrame() {
	s := e.state
	space := e.cpu.Env.Space
	insns, ret := int32(prog.FrameInsns), int32(prog.FrameRet)
	space.Store64(s.ctx+uint32(insns), uint64(e.spent()))
	space.Store64(s.ctx+uint32(ret), s.regs[asm.R0])
	s.ctx += s.stride
}

// drive serves machine code until it is done or faults. Helpers that only compute are called from here.
func (e *engine) drive() *vm.Fault {
	s := e.state
	for s.site != siteDone {
		p := e.current
		if s.code != p.id {
			p = e.compiler.byID(s.code)
			e.current = p
		}
		exit := &p.exits[s.site]
		s.resume = uint64(exit.resume)
		if s.left != e.left { // the run's first exit, or machine code went on to another frame of the batch
			e.left = s.left
			e.cpu.Begin(e.program.linked, s.ctx)
		}
		if exit.fn != nil {
			r := &s.regs
			r0, err := exit.fn(e.cpu.Env, r[asm.R1], r[asm.R2], r[asm.R3], r[asm.R4], r[asm.R5])
			if err != nil {
				site := &p.sites[s.site]
				return e.helperFault(p, site, e.compiler.machine.Tables().Callable(p.insns[site.pc].Imm), err)
			}
			r[asm.R0] = r0
		} else if f := e.serve(p, &p.sites[s.site]); f != nil {
			return f
		}
		enter(s, p.ways.resume)
	}
	runtime.KeepAlive(e)
	return nil
}

// serve does what machine code left for. As Run, it is a place where the scheduler gets in.
//
//go:noinline
func (e *engine) serve(p *program, site *site) *vm.Fault {
	switch site.kind {
	case exitYield:
		e.timeVisit()
		return e.refuel(p, site)
	case exitPause:
		e.timeVisit()
		e.addFuel(max(0, min(e.slice, e.budget-e.spent())-e.state.fuel))
		return nil
	case exitBatch:
		e.timeVisit()
		e.state.fuel = e.slice
		return nil
	case exitHelper, exitCallReg:
		return e.helper(p, site)
	case exitPacket:
		return e.packet(p, site)
	case exitArena:
		p.linked.Arena(int(site.pc), e.cpu.Env.Space, e.state.regs[:])
		return nil
	case exitAtomic:
		e.atomic(p.insns[site.pc])
		return nil
	case exitDepth:
		return e.fault(vm.CallDepth, p, site)
	}
	f := e.fault(vm.BadInsn, p, site)
	f.Err = p.linked.CannotRun(int(site.pc))
	return f
}

// timeVisit measures how long the last fuel lasted, but for the first of a run: a short run should not pay for a clock.
func (e *engine) timeVisit() {
	now := time.Since(epoch)
	if e.refueled != 0 {
		e.pace(now - e.refueled)
	}
	e.refueled = now
}

var epoch = time.Now()

// pace sets the next slice, after one that took so long.
func (e *engine) pace(took time.Duration) {
	switch {
	case took > longVisit:
		e.slice = max(e.slice*int64(longVisit/2)/int64(took), min(leastSlice, e.most))
	case took < longVisit/4 && e.slice < e.most:
		e.slice = min(2*e.slice, e.most)
	}
}

// spent is the number of instructions that the run has executed.
func (e *engine) spent() int64 { return e.state.frameFuel - e.state.fuel }

// refuel gives another slice, or faults when the budget is spent.
func (e *engine) refuel(p *program, site *site) *vm.Fault {
	left := e.budget - e.spent()
	if left < 0 {
		return e.fault(vm.BudgetExceeded, p, site)
	}
	e.addFuel(min(e.slice, left) - e.state.fuel)
	return nil
}

// addFuel keeps the count of the run right.
func (e *engine) addFuel(n int64) {
	e.state.fuel += n
	e.state.frameFuel += n
}

// refund takes back what was charged for instructions behind the site, which will not run.
func (e *engine) refund(site *site) { e.state.fuel += int64(site.over) }

// fault ends the run at the site.
func (e *engine) fault(kind vm.FaultKind, p *program, site *site) *vm.Fault {
	e.refund(site)
	return &vm.Fault{Kind: kind, PC: int(site.pc), Prog: p.linked.Prog().Name, Regs: e.state.regs}
}

// helper calls the helper of the site.
func (e *engine) helper(p *program, site *site) *vm.Fault {
	r := &e.state.regs
	row, err := e.called(p, site)
	switch {
	case err != nil:
		return e.helperFault(p, site, nil, err)
	case row.ID == tailCallID:
		return e.tailCall(p, site)
	case row.Fn == nil:
		return e.engineHelper(p, site, row)
	}
	r0, err := row.Fn(e.cpu.Env, r[asm.R1], r[asm.R2], r[asm.R3], r[asm.R4], r[asm.R5])
	if err != nil {
		return e.helperFault(p, site, row, err)
	}
	r[asm.R0] = r0
	return nil
}

// called is the helper that is called at the site.
func (e *engine) called(p *program, site *site) (*helpers.Row, error) {
	in := p.insns[site.pc]
	if site.kind == exitCallReg {
		return e.compiler.machine.Helper(e.state.regs[in.Callee()])
	}
	return e.compiler.machine.Helper(uint64(int64(in.Imm)))
}

// helperFault is a fault of the helper with that row; there is none when row is nil.
func (e *engine) helperFault(p *program, site *site, row *helpers.Row, err error) *vm.Fault {
	f := e.fault(vm.HelperError, p, site)
	f.Err = err
	if row != nil {
		f.Helper = row.Name
	}
	return f
}

// tailCall continues at the start of another program, in the frame of the running function and with its return address.
func (e *engine) tailCall(p *program, site *site) *vm.Fault {
	s := e.state
	next := e.cpu.TailCall(uint32(s.regs[asm.R2]), uint32(s.regs[asm.R3]))
	if next == nil {
		s.regs[asm.R0] = vm.TailCallFailed
		return nil
	}
	if e.budget < e.spent()-int64(site.over) {
		return e.fault(vm.BudgetExceeded, p, site)
	}
	to := e.current
	if to.linked != next {
		var err error
		if to, err = e.compiler.program(next); err != nil {
			return e.helperFault(p, site, helpers.ByID(tailCallID), err)
		}
	}
	e.refund(site)
	s.loops[e.frame()] = 0
	s.regs[asm.R1] = uint64(uint32(s.regs[asm.R1]))
	e.zeroFrame(to)
	s.resume = uint64(to.at(int(to.slots[0])))
	return nil
}

// frame is the number of the running activation.
func (e *engine) frame() uint32 {
	return (e.state.stackTop - uint32(e.state.regs[asm.R10])) / vm.FrameSize % vm.MaxFrames
}

// zeroFrame zeroes the running frame if p is one that wants it.
func (e *engine) zeroFrame(p *program) {
	if p.linked.ZeroesFrames() {
		e.cpu.ZeroFrame(int(e.frame()))
	}
}

// packet does a classic packet load. Out of bounds, the function exits.
func (e *engine) packet(p *program, site *site) *vm.Fault {
	in := p.insns[site.pc]
	off := in.Imm
	info := asm.KindOf(in).Info()
	if info.Class == asm.ClassInd {
		off += int32(e.state.regs[in.Src])
	}
	v, ok := e.cpu.LoadPacket(off, info.Size)
	e.state.regs[asm.R0] = v
	if !ok {
		e.refund(site)
		e.state.resume = uint64(p.at(p.stubs.ret))
	}
	return nil
}

// atomic does an atomic on memory that is not aligned, as plain loads and stores: what the interpreter makes of it.
func (e *engine) atomic(in asm.Insn) {
	r := &e.state.regs
	info := asm.KindOf(in).Info()
	addr := uint32(r[in.Dst] + uint64(in.Off))
	space := e.cpu.Env.Space
	old := uint64(space.Load32(addr))
	if info.Size == 8 {
		old = space.Load64(addr)
	}
	next, store := asm.EvalAtomic(info.Atomic, info.Size, old, r[in.Src], r[asm.R0])
	switch {
	case !store:
	case info.Size == 8:
		space.Store64(addr, next)
	default:
		space.Store32(addr, uint32(next))
	}
	switch {
	case info.Atomic == asm.AtomicCmpxchg:
		r[asm.R0] = old
	case info.Fetch:
		r[in.Src] = old
	}
}
