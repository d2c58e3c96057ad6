package skep

import (
	"github.com/skepvm/skep/tracing"
)

// EventOptions say where events come from. The zero value is an x86-64 machine with nothing in memory.
type EventOptions struct {
	Arch   *tracing.Arch   // whose registers; nil is tracing.X86
	Format *tracing.Format // of a tracepoint's context
	Image  *tracing.Image  // what pointers in events lead to: see VM.Image
}

// Image returns an empty image of memory for the machine's events.
func (v *VM) Image() *tracing.Image { return tracing.NewImage(v.machine.Space()) }

// RunEvent runs a program on an event: a program of type kprobe, tracepoint, raw_tracepoint or perf_event; name may be "" when the
// object has just one program. A fault of the guest is a *vm.Fault.
func (v *VM) RunEvent(name string, ev *tracing.Event, o EventOptions) (Result, error) {
	p, err := v.program(name)
	if err != nil {
		return Result{}, err
	}
	if o.Arch == nil {
		o.Arch = tracing.X86
	}
	if o.Image == nil {
		o.Image = v.Image()
	}
	if p.hook == nil || p.hookFor != o {
		if p.hook != nil {
			p.hook.Free()
		}
		if p.hook, err = tracing.NewHook(v.machine.Space(), p.spec.Type, o.Arch, o.Format); err != nil {
			return Result{}, err
		}
		p.hookFor = o
	}
	if err := p.hook.Set(v.machine.CPU(0).Env, ev, o.Image); err != nil {
		return Result{}, err
	}
	if err := v.timersUntil(ev.NS); err != nil {
		return Result{}, err
	}
	out, err := p.engine.Run(p.hook.Ctx())
	return Result{Ret: uint32(out.R0), Insns: out.Insns, Verdict: p.spec.Type.Verdict(uint32(out.R0))}, err
}
