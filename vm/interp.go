package vm

import (
	"fmt"
	"math"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// InterpOptions of NewInterpreter. The zero value is the plain, fast interpreter.
type InterpOptions struct {
	// Checked finds every access outside what the program may touch. It needs a machine with a shadow. The shadow is
	// the machine's, so only one checked run at a time.
	Checked bool
	// CtxSize is the size of the ctx for checked mode when the program type doesn't fix it (prog.TypeRow.CtxSize is 0).
	CtxSize uint32
	// Trace is called ahead of every instruction with the program that it is of, its slot and the registers, valid during the call.
	Trace func(l *Linked, pc int, regs *[asm.NumRegs]uint64)
}

// Interpreter is the Engine that reads instructions one by one. It takes any linked program: what was not verified
// still cannot leave guest memory, and stops when the budget is spent.
type Interpreter struct {
	// regs are the registers. 16 of them, so that an index &15 needs no check.
	regs  [16]uint64
	pc    int   // where dispatch starts and continues, in prog.code
	fuel  int64 // budget left, when dispatch does not hold it
	depth int   // of the running activation, from 0
	base  int   // depth of the activation whose exit ends dispatch
	prog  *Linked
	space *mem.Space

	frames    [MaxFrames]frame
	loops     [MaxFrames]uint32 // may_gotos left to each activation
	entry     *Linked
	cpu       *CPU
	env       *helpers.Env
	budget    int64
	check     *checker // nil unless Checked
	hookFault *Fault
	trace     func(l *Linked, pc int, regs *[asm.NumRegs]uint64)
	options   InterpOptions
}

// frame is what a local call saves.
type frame struct {
	prog  *Linked // of the caller
	pc    int     // where it continues
	saved [4]uint64
}

// NewInterpreter makes an interpreter of l on c. l must be of c's machine.
func NewInterpreter(c *CPU, l *Linked, o InterpOptions) (*Interpreter, error) {
	if c.machine.Program(l.id) != l {
		return nil, fmt.Errorf("program %s is linked on another machine", l.prog.Name)
	}
	x := &Interpreter{
		entry: l.decoded(), cpu: c, env: c.Env, space: c.machine.space, trace: o.Trace, options: o,
		budget: int64(min(c.machine.config.Budget, math.MaxInt64)),
	}
	if o.Checked {
		if !x.space.Shadowed() {
			return nil, errNoShadow
		}
		x.check = newChecker(x.space, l.prog.Row(), o.CtxSize)
	}
	return x, nil
}

// Name is "checked" for a checked interpreter, "interp" otherwise.
func (x *Interpreter) Name() string {
	if x.check != nil {
		return "checked"
	}
	return "interp"
}

// Run implements Engine. It allocates nothing unless the program faults.
func (x *Interpreter) Run(ctx uint32) (Result, error) {
	return x.result(x.run(ctx))
}

// result is how a run ended, with f or without a fault.
func (x *Interpreter) result(f *Fault) (Result, error) {
	res := Result{R0: x.regs[0], Insns: uint64(x.budget - x.fuel)}
	if f != nil {
		return res, f
	}
	return res, nil
}

// RunBatch implements Engine.
func (x *Interpreter) RunBatch(first, stride uint32, n int) (int, error) {
	ctx := first
	for i := range n {
		if f := x.run(ctx); f != nil {
			return i, f
		}
		x.space.Store64(ctx+frameOffset(prog.FrameRet), x.regs[0])
		x.space.Store64(ctx+frameOffset(prog.FrameInsns), uint64(x.budget-x.fuel))
		ctx += stride
	}
	return n, nil
}

// frameOffset makes a distance from the ctx an address increment.
func frameOffset(off int32) uint32 { return uint32(off) }

func (x *Interpreter) run(ctx uint32) *Fault {
	x.cpu.Begin(x.entry, ctx)
	x.start(0)
	x.regs[1] = uint64(ctx)
	if x.check != nil {
		x.check.begin(x)
		f := dispatch[hooked](x)
		x.check.end(x.cpu)
		return f.Catch(&x.regs[0])
	}
	return x.resume().Catch(&x.regs[0])
}

// start makes ready for a run from code[entry] on.
func (x *Interpreter) start(entry int) {
	x.regs = [16]uint64{10: uint64(x.cpu.StackTop)}
	x.prog, x.pc, x.fuel, x.depth, x.base = x.entry, entry, x.budget, 0, 0
	x.loops[0] = MaxLoops
	if x.entry.zero {
		x.cpu.ZeroFrame(0)
	}
}

// resume runs dispatch in the mode that the options ask for.
func (x *Interpreter) resume() *Fault {
	if x.check != nil || x.trace != nil || x.entry.cover != nil {
		return dispatch[hooked](x)
	}
	return dispatch[plain](x)
}

// before is the hook of the hooked mode, ahead of x.prog.code[i]. It reports whether to go on; if not, the reason is in
// x.hookFault.
func (x *Interpreter) before(in *insn, i int) bool {
	if x.trace != nil {
		x.trace(x.prog, int(x.prog.slots[i]), (*[asm.NumRegs]uint64)(x.regs[:asm.NumRegs]))
	}
	if x.prog.cover != nil {
		x.count(int(x.prog.slots[i]))
	}
	if x.check == nil || x.mayAccess(in) {
		return true
	}
	x.pc = i + 1
	x.hookFault = x.badInsnAccess(in)
	return false
}

// fault makes a Fault at the instruction before x.pc.
func (x *Interpreter) fault(kind FaultKind) *Fault {
	f := &Fault{Kind: kind, PC: int(x.prog.slots[x.pc-1]), Prog: x.prog.prog.Name}
	copy(f.Regs[:], x.regs[:])
	return f
}

// cannotRun is the fault of an instruction that dispatch has no arm for.
func (x *Interpreter) cannotRun() *Fault {
	f := x.fault(BadInsn)
	f.Err = x.prog.CannotRun(f.PC)
	return f
}

// CannotRun says what no engine can run about the instruction at slot pc: the Err of a BadInsn fault there.
func (l *Linked) CannotRun(pc int) error {
	in := l.insns[pc]
	if asm.KindOf(in) != asm.CallKfunc {
		return fmt.Errorf("%s is not implemented", asm.KindOf(in))
	}
	name := fmt.Sprintf("BTF id %d", in.Imm)
	if k, ok := l.prog.Kfunc(in.Imm); ok {
		name = k.Name
	}
	return fmt.Errorf("kernel function %s is not implemented", name)
}

// enter starts the activation of a local function at code[target]; its exit continues at x.pc.
func (x *Interpreter) enter(target int) *Fault {
	if x.fuel < 0 {
		return x.fault(BudgetExceeded)
	}
	if x.depth+1 >= MaxFrames {
		return x.fault(CallDepth)
	}
	f := &x.frames[x.depth]
	f.prog, f.pc = x.prog, x.pc
	copy(f.saved[:], x.regs[6:10])
	x.depth++
	x.loops[x.depth] = MaxLoops
	x.regs[10] = uint64(x.cpu.FrameTop(x.depth))
	x.pc = target
	if x.prog.zero {
		x.cpu.ZeroFrame(x.depth)
	}
	if x.check != nil {
		x.check.allowFrame(x.cpu, x.depth)
	}
	return nil
}

// leave undoes enter. R0-R5 stay.
func (x *Interpreter) leave() {
	if x.check != nil {
		x.check.forbidFrame(x.cpu, x.depth)
	}
	x.depth--
	f := &x.frames[x.depth]
	x.prog, x.pc = f.prog, f.pc
	copy(x.regs[6:10], f.saved[:])
	x.regs[10] = uint64(x.cpu.FrameTop(x.depth))
}

// mayGoto falls through as long as the activation has loops left.
func (x *Interpreter) mayGoto(in *insn) *Fault {
	if left := &x.loops[x.depth]; *left > 0 {
		*left--
		return nil
	}
	if in.off < 0 && x.fuel < 0 {
		return x.fault(BudgetExceeded)
	}
	x.pc += int(in.off)
	return nil
}

// TailCallFailed is R0 after a tail call that fails. (The kernel leaves whatever was there.)
const TailCallFailed = math.MaxUint64

// tailCall does helper 12.
func (x *Interpreter) tailCall() *Fault {
	if x.check != nil {
		if f := x.checkArgs(helpers.ByID(tailCallID)); f != nil {
			return f
		}
	}
	next := x.cpu.TailCall(uint32(x.regs[2]), uint32(x.regs[3]))
	if next == nil {
		x.regs[0] = TailCallFailed
		return nil
	}
	if x.fuel < 0 {
		return x.fault(BudgetExceeded)
	}
	x.prog, x.pc = next.decoded(), 0
	x.regs[1] = uint64(uint32(x.regs[1])) // a guest address, whoever calls
	x.loops[x.depth] = MaxLoops
	if next.zero {
		x.cpu.ZeroFrame(x.depth)
	}
	if x.check != nil {
		x.check.allowData(next)
	}
	return nil
}

// callReg calls the helper whose id a register holds.
func (x *Interpreter) callReg(in *insn) *Fault {
	id := x.regs[in.dst&15]
	if id == tailCallID {
		return x.tailCall()
	}
	return x.callHelper(id)
}

// Helper finds the helper that a call names by an id: the immediate of a CallHelper, sign-extended, or the whole
// register of a CallReg. The error of a helper that there is not is the Err of a HelperError fault.
func (m *Machine) Helper(id uint64) (*helpers.Row, error) {
	if row := m.config.Tables.Callable(int32(id)); row != nil && id>>32 == 0 {
		return row, nil
	}
	return nil, fmt.Errorf("no helper %d", int64(id))
}

// callHelper runs the helper with that id.
func (x *Interpreter) callHelper(id uint64) *Fault {
	row, err := x.cpu.machine.Helper(id)
	if err != nil {
		f := x.fault(HelperError)
		f.Err = err
		return f
	}
	if x.check != nil {
		if f := x.checkArgs(row); f != nil {
			return f
		}
	}
	r := &x.regs
	args := [5]uint64(r[1:6])
	if row.Fn == nil {
		return x.engineHelper(row)
	}
	r0, err := row.Fn(x.env, args[0], args[1], args[2], args[3], args[4])
	if err != nil {
		f := x.fault(HelperError)
		f.Helper, f.Err = row.Name, err
		return f
	}
	r[0] = r0
	if x.check != nil {
		x.check.afterHelper(x, row, args)
	}
	return nil
}
