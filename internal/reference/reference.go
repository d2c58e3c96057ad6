// Package reference is an engine that is slow and obvious: it steps through a linked program one slot at a time and knows
// nothing but package asm's semantics (Eval, Taken, …) and the contract of vm.Engine. It decodes nothing ahead, fuses
// nothing and shares no code with the interpreter, so what both agree on is worth something. Helpers are the Go
// implementations that every engine calls.
package reference

import (
	"errors"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Engine runs one program on one CPU.
type Engine struct {
	cpu   *vm.CPU
	entry *vm.Linked

	regs   [asm.NumRegs]uint64
	prog   *vm.Linked // that runs: not the entry after a tail call
	pc     int        // slot
	count  uint64     // instructions executed
	frames []frame    // activations, the running one last
	budget uint64
}

var _ vm.Engine = (*Engine)(nil)

// frame is an activation of a function.
type frame struct {
	caller *vm.Linked
	back   int       // slot where the caller continues
	saved  [4]uint64 // its R6 to R9
	loops  int       // may_gotos that this activation may still pass
}

// tailCallID is bpf_tail_call, which no helper's implementation can do.
const tailCallID = 12

// New makes an engine of l, verified or not, on c.
func New(c *vm.CPU, l *vm.Linked) *Engine { return &Engine{cpu: c, entry: l} }

// Name is "reference".
func (e *Engine) Name() string { return "reference" }

// Run implements vm.Engine.
func (e *Engine) Run(ctx uint32) (vm.Result, error) {
	e.cpu.Begin(e.entry, ctx)
	return e.run(0, [5]uint64{uint64(ctx)}, e.cpu.Machine().Budget())
}

// run runs the program from a slot on.
func (e *Engine) run(slot int, args [5]uint64, budget uint64) (vm.Result, error) {
	e.regs = [asm.NumRegs]uint64{10: uint64(e.cpu.FrameTop(0))}
	copy(e.regs[1:], args[:])
	e.prog, e.pc, e.count, e.budget = e.entry, slot, 0, budget
	e.frames = append(e.frames[:0], frame{loops: vm.MaxLoops})
	e.zero()
	f := e.until(0).Catch(&e.regs[0])
	res := vm.Result{R0: e.regs[0], Insns: e.count}
	if f != nil {
		return res, f
	}
	return res, nil
}

// RunBatch implements vm.Engine.
func (e *Engine) RunBatch(first, stride uint32, n int) (int, error) {
	for i := range n {
		ctx := first + uint32(i)*stride
		res, err := e.Run(ctx)
		if err != nil {
			return i, err
		}
		ret, insns := int32(prog.FrameRet), int32(prog.FrameInsns)
		e.space().store(ctx+uint32(ret), 8, res.R0)
		e.space().store(ctx+uint32(insns), 8, res.Insns)
	}
	return max(n, 0), nil
}

// until steps until there are only depth activations left.
func (e *Engine) until(depth int) *vm.Fault {
	for len(e.frames) > depth {
		if f := e.step(); f != nil {
			return f
		}
	}
	return nil
}

func (e *Engine) fault(kind vm.FaultKind) *vm.Fault {
	return &vm.Fault{Kind: kind, PC: e.pc, Prog: e.prog.Prog().Name, Regs: e.regs}
}

// spent reports whether the budget is, as it is looked at on jumps back and calls.
func (e *Engine) spent() bool { return e.count > e.budget }

// step runs the instruction at pc. When that faults, pc stays.
func (e *Engine) step() *vm.Fault {
	insns := e.prog.Insns()
	in := insns[e.pc]
	info := asm.KindOf(in).Info()
	next := e.pc + 1
	dst, src := &e.regs[in.Dst], e.regs[in.Src]
	e.count++
	if e.prog.ThroughArena(e.pc) {
		e.prog.Arena(e.pc, e.cpu.Env.Space, e.regs[:])
		e.pc = next
		return nil
	}
	switch info.Class {
	case asm.ClassALU:
		*dst = asm.Eval(info.ALU, info.Width, *dst, asm.Operand(in, src))
	case asm.ClassNeg:
		*dst = asm.EvalNeg(info.Width, *dst)
	case asm.ClassMovsx:
		*dst = asm.SignExtend(src, info.Size, info.Width)
	case asm.ClassSwap:
		*dst = asm.EvalSwap(info.Swap, info.Size, *dst)
	case asm.ClassAddrCast:
		*dst = uint64(uint32(src)) // both address spaces are the guest's
	case asm.ClassImm64:
		*dst = asm.Imm64(in, insns[next])
		next++
	case asm.ClassJump:
		return e.jump(in.Target(e.pc))
	case asm.ClassBranch:
		if asm.Taken(info.Cond, info.Width, *dst, asm.Operand(in, src)) {
			return e.jump(in.Target(e.pc))
		}
	case asm.ClassMayGoto:
		left := &e.frames[len(e.frames)-1].loops
		if *left == 0 {
			return e.jump(in.Target(e.pc))
		}
		*left--
	case asm.ClassAbs:
		return e.packet(int64(in.Imm), info.Size)
	case asm.ClassInd:
		return e.packet(int64(int32(src)+in.Imm), info.Size)
	case asm.ClassExit:
		e.exit()
		return nil
	case asm.ClassCall:
		return e.call(in)
	default:
		e.memory(info, in)
	}
	e.pc = next
	return nil
}

func (e *Engine) jump(target int) *vm.Fault {
	if target <= e.pc && e.spent() {
		return e.fault(vm.BudgetExceeded)
	}
	e.pc = target
	return nil
}

// enter starts an activation of the function at slot; its exit continues at slot back.
func (e *Engine) enter(slot, back int) *vm.Fault {
	if e.spent() {
		return e.fault(vm.BudgetExceeded)
	}
	if len(e.frames) == vm.MaxFrames {
		return e.fault(vm.CallDepth)
	}
	e.frames = append(e.frames, frame{e.prog, back, [4]uint64(e.regs[6:10]), vm.MaxLoops})
	e.regs[10] = uint64(e.cpu.FrameTop(len(e.frames) - 1))
	e.pc = slot
	e.zero()
	return nil
}

// zero clears the frame that the running program begins to use, if it is one of those that want it.
func (e *Engine) zero() {
	top := e.cpu.FrameTop(len(e.frames) - 1)
	for addr := top - vm.FrameSize; e.prog.ZeroesFrames() && addr < top; addr++ {
		e.space().store(addr, 1, 0)
	}
}

// exit ends the activation: the caller gets its registers back, all but R0 to R5.
func (e *Engine) exit() {
	last := len(e.frames) - 1
	f := e.frames[last]
	e.frames = e.frames[:last]
	if last == 0 {
		return
	}
	e.prog, e.pc = f.caller, f.back
	copy(e.regs[6:], f.saved[:])
	e.regs[10] = uint64(e.cpu.FrameTop(last - 1))
}

func (e *Engine) call(in asm.Insn) *vm.Fault {
	switch asm.KindOf(in) {
	case asm.CallLocal:
		return e.enter(in.Target(e.pc), e.pc+1)
	case asm.CallHelper:
		return e.helper(uint64(int64(in.Imm)))
	case asm.CallReg:
		r := in.Dst
		if r == asm.R0 {
			r = asm.Reg(in.Imm) // as older compilers have it
		}
		return e.helper(e.regs[r])
	}
	f := e.fault(vm.BadInsn)
	f.Err = e.prog.CannotRun(e.pc)
	return f
}

func (e *Engine) tailCall() *vm.Fault {
	next := e.cpu.TailCall(uint32(e.regs[2]), uint32(e.regs[3]))
	if next == nil {
		e.regs[0] = vm.TailCallFailed
		e.pc++
		return nil
	}
	if e.spent() {
		return e.fault(vm.BudgetExceeded)
	}
	e.prog, e.pc = next, 0
	e.regs[1] = uint64(uint32(e.regs[1]))
	e.frames[len(e.frames)-1].loops = vm.MaxLoops
	e.zero()
	return nil
}

func (e *Engine) helper(id uint64) *vm.Fault {
	if id == tailCallID {
		return e.tailCall()
	}
	row, err := e.cpu.Machine().Helper(id)
	if err != nil {
		f := e.fault(vm.HelperError)
		f.Err = err
		return f
	}
	r := &e.regs
	var r0 uint64
	if row.Fn != nil {
		r0, err = row.Fn(e.cpu.Env, r[1], r[2], r[3], r[4], r[5])
	} else {
		r0, err = e.cpu.EngineHelper(row, [5]uint64(r[1:6]), (*callbacks)(e))
	}
	var inner *vm.Fault
	if errors.As(err, &inner) {
		return inner
	}
	if err != nil {
		f := e.fault(vm.HelperError)
		f.Helper, f.Err = row.Name, err
		return f
	}
	r[0] = r0
	e.pc++
	return nil
}

// callbacks is the engine as helpers that call back see it.
type callbacks Engine

func (c *callbacks) Function(slot uint64) bool {
	insns := c.prog.Insns()
	for pc := 0; pc < len(insns); pc++ {
		if uint64(pc) == slot {
			return true
		}
		if asm.KindOf(insns[pc]) == asm.LdImm64 {
			pc++
		}
	}
	return false
}

func (c *callbacks) CallBack(slot uint64, args [5]uint64) (uint64, *vm.Fault) {
	e := (*Engine)(c)
	copy(e.regs[1:], args[:])
	depth := len(e.frames)
	if f := e.enter(int(slot), e.pc); f != nil {
		return 0, f
	}
	if f := e.until(depth); f != nil {
		return 0, f
	}
	return e.regs[0], nil
}

func (c *callbacks) Deferred() vm.Deferred {
	l := c.prog
	return vm.Deferred{Program: l, Engine: "reference", New: func(cpu *vm.CPU) (vm.FunctionEngine, error) {
		return (*callbacks)(New(cpu, l)), nil
	}}
}

// CallFunction implements vm.FunctionEngine.
func (c *callbacks) CallFunction(slot uint64, args [5]uint64, budget uint64) (vm.Result, error) {
	return (*Engine)(c).run(int(slot), args, budget)
}

// Grant does nothing: this engine does not check accesses.
func (*callbacks) Grant(maps.Map, uint32, uint32) {}
