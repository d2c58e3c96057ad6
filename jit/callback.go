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

// Grant implements vm.Callbacks; machine code keeps no shadow.
func (e *engine) Grant(maps.Map, uint32, uint32) {}
