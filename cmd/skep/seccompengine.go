package main

import (
	"fmt"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/seccomp"
)

// seccompEngines run filters that were converted to eBPF, to compare with what the classic interpreter says.
type seccompEngines []*seccompEngine

type seccompEngine struct {
	name string
	vm   *skep.VM
	ctx  uint32 // guest address of the record
}

// newSeccompEngines makes the engines that a flag asks for: none, one, or all that this machine has.
func newSeccompEngines(s seccomp.Stack, flag string) (list seccompEngines, err error) {
	names := []string{flag}
	switch flag {
	case "":
		return nil, nil
	case "all", "both":
		names = []string{skep.EngineInterp, skep.EngineChecked}
		if jit.Available() {
			names = append(names, skep.EngineJIT)
		}
	}
	for _, name := range names {
		e, err := newSeccompEngine(s, name)
		if err != nil {
			list.close()
			return nil, fmt.Errorf("--engine %s: %w", flag, err)
		}
		list = append(list, e)
	}
	return list, nil
}

func newSeccompEngine(s seccomp.Stack, engine string) (*seccompEngine, error) {
	obj := &object.Object{License: "GPL"}
	for i, f := range s {
		p, err := f.EBPF(filterName(i))
		if err != nil {
			return nil, err
		}
		obj.Programs = append(obj.Programs, p)
	}
	v, err := skep.New(obj, skep.Options{Engine: engine})
	if err != nil {
		return nil, err
	}
	addr, err := v.Machine().Space().Alloc(prog.FrameHeader+seccomp.DataSize, 64)
	if err != nil {
		v.Close()
		return nil, err
	}
	return &seccompEngine{name: engine, vm: v, ctx: addr + prog.FrameHeader}, nil
}

// filterName is the program of the i-th filter.
func filterName(i int) string { return fmt.Sprintf("filter%d", i) }

func (list seccompEngines) close() {
	for _, e := range list {
		_ = e.vm.Close() // nothing is left in it
	}
}

func (list seccompEngines) names() (out []string) {
	for _, e := range list {
		out = append(out, e.name)
	}
	return out
}

// compare runs every filter that the verdict comes from, and says what differs.
func (list seccompEngines) compare(ev *seccomp.Event, v *seccomp.Verdict) error {
	for _, e := range list {
		record, _ := e.vm.Machine().Space().Bytes(e.ctx, seccomp.DataSize)
		ev.Data.Bytes(record, ev.Data.Big())
		for _, step := range v.Steps {
			engine, err := e.vm.Engine(filterName(step.Filter))
			if err != nil {
				return err
			}
			res, err := engine.Run(e.ctx)
			if err != nil {
				return err
			}
			if got := seccomp.Return(res.R0); got != step.Return {
				return fmt.Errorf("filter %d: %s (%#x) on %s, %s (%#x) by the classic interpreter", step.Filter, got, uint32(got), e.name, step.Return, uint32(step.Return))
			}
		}
	}
	return nil
}
