package jit

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/vm"
)

var _ vm.Callbacks = (*engine)(nil)

// engineHelper does a helper that calls back into the program. What was charged for instructions behind the call is
// taken back meanwhile, so that callbacks see the fuel that there is.
func (e *engine) engineHelper(p *program, site *site, row *helpers.Row) *vm.Fault {
	r := &e.state.regs
	e.caller, e.site = p, site
	e.refund(site)
	r0, err := e.cpu.EngineHelper(row, [5]uint64(r[asm.R1:asm.R6]), e)
	if f, ok := err.(*vm.Fault); ok {
		return f
	}
	e.charge(site.over)
	if err != nil {
		return e.helperFault(p, site, row, err)
	}
	r[asm.R0] = r0
	return nil
}

// charge spends fuel for n instructions.
func (e *engine) charge(n int32) { e.state.fuel -= int64(n) }

// Function implements vm.Callbacks.
func (e *engine) Function(slot uint64) bool {
	return slot < uint64(len(e.caller.slots)) && e.caller.slots[slot] >= 0
}

// CallBack implements vm.Callbacks: it enters machine code again, on the private stack below the frames that are there.
func (e *engine) CallBack(slot uint64, args [5]uint64) (uint64, *vm.Fault) {
	s := e.state
	p, site := e.caller, e.site
	copy(s.regs[asm.R1:], args[:])
	if e.budget < e.spent() {
		return 0, e.callFault(vm.BudgetExceeded)
	}
	if uint32(s.regs[asm.R10]) <= s.lastFrame {
		return 0, e.callFault(vm.CallDepth)
	}
	saved := [5]uint64(s.regs[asm.R6:])
	resume, nativeSP := s.resume, s.nativeSP
	s.regs[asm.R10] -= vm.FrameSize
	s.loops[e.frame()] = 0
	e.zeroFrame(p)
	s.resume = uint64(p.at(int(p.slots[slot])))
	if !p.leader[slot] { // only an unverified program can name such a function
		e.charge(blockRest(p.kinds, p.leader, int(slot)))
	}
	enter(s, p.at(p.stubs.callback))
	if f := e.drive(); f != nil {
		return 0, f
	}
	copy(s.regs[asm.R6:], saved[:])
	s.resume, s.nativeSP = resume, nativeSP
	e.caller, e.site = p, site
	return s.regs[asm.R0], nil
}

// callFault is a fault at the call that the callbacks come from, whose refund has been made.
func (e *engine) callFault(kind vm.FaultKind) *vm.Fault {
	f := e.fault(kind, e.caller, e.site)
	e.charge(e.site.over)
	return f
}

// Deferred implements vm.Callbacks.
func (e *engine) Deferred() vm.Deferred {
	c, l := e.compiler, e.caller.linked
	return vm.Deferred{Program: l, Engine: e.Name(), New: func(cpu *vm.CPU) (vm.FunctionEngine, error) { return c.engine(cpu, l) }}
}

// CallFunction implements vm.FunctionEngine: it enters machine code as a callback does, with nothing around it.
//
//go:noinline
func (e *engine) CallFunction(slot uint64, args [5]uint64, budget uint64) (vm.Result, error) {
	s, p := e.state, e.program
	e.budget = int64(min(budget, 1<<63-1))
	e.most = min(slice, e.budget)
	e.slice = e.most
	s.ctx, s.left, e.left, e.refueled = e.cpu.Env.Ctx, 0, 0, 0
	s.fuel, s.frameFuel = e.slice, e.slice
	s.nativeSP = e.stack
	s.regs = [asm.NumRegs]uint64{asm.R10: uint64(s.stackTop)}
	copy(s.regs[asm.R1:], args[:])
	s.loops[0] = 0
	e.zeroFrame(p)
	s.resume = uint64(p.at(int(p.slots[slot])))
	if !p.leader[slot] {
		e.charge(blockRest(p.kinds, p.leader, int(slot)))
	}
	enter(s, p.at(p.stubs.callback))
	f := e.drive().Catch(&s.regs[asm.R0])
	res := vm.Result{R0: s.regs[asm.R0], Insns: uint64(e.spent())}
	if f != nil {
		return res, f
	}
	return res, nil
}

// Grant implements vm.Callbacks; machine code keeps no shadow.
func (e *engine) Grant(maps.Map, uint32, uint32) {}
