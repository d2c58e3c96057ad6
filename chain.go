package skep

import (
	"cmp"
	"fmt"
	"strings"

	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/replay"
)

// Link is a program's place in the chain that a replay runs; see replay.Chain.
type Link struct {
	Program string // name in the VM; may be "" when there is just one
	Hook    replay.Hook
	// Priority and Continue of an XDP program: nil and 0 are what its object says, or libxdp's defaults.
	Priority *uint32
	Continue uint32
	Ifindex  uint32 // egress: of this interface only; 0 is every one
	Classic  bool   // TC: a filter that classifies, see replay.ChainProgram
}

// AddObject makes the maps and programs of another object ready beside those of the VM, as New does. It returns the VM's names of the object's
// programs: the same ones, but FILE:NAME where there is a program of that name already. Maps with the name of one that is there already
// work, but Map does not find them.
func (v *VM) AddObject(obj *object.Object) (names map[string]string, err error) {
	names = map[string]string{}
	programs := make([]*program, len(obj.Programs))
	for i, spec := range obj.Programs {
		name := spec.Name
		if v.programs[name] != nil {
			name = obj.File + ":" + name
		}
		for n := 2; v.programs[name] != nil; n++ {
			name = fmt.Sprintf("%s:%s#%d", obj.File, spec.Name, n)
		}
		names[spec.Name] = name
		programs[i] = &program{spec: spec}
		v.programs[name] = programs[i]
	}
	return names, v.ready(obj.Maps, programs)
}

// Chain makes a chain of programs for each CPU of the machine (Options.Machine.CPUs). Programs of the sections xdp/devmap and xdp/cpumap
// need not be named: all that the VM has belong to it, and run where an element of a map says so.
func (v *VM) Chain(links []Link) ([]*replay.Chain, error) {
	list := make([][]replay.ChainProgram, v.machine.NumCPUs())
	add := func(l *Link, name string, p *program) error {
		if typ := p.spec.Type; typ != l.Hook.Type() && (l.Hook.Type() == prog.XDP || typ != prog.SchedACT) {
			return fmt.Errorf("program %s is of type %s: not for %s", name, typ, l.Hook)
		}
		if l.Classic && p.spec.Type == prog.SchedACT {
			return fmt.Errorf("program %s is of type %s: an action classifies nothing", name, p.spec.Type)
		}
		engines, err := v.Engines(name)
		if err != nil {
			return err
		}
		p.chained = true
		for cpu, e := range engines {
			c := replay.ChainProgram{Name: name, Hook: l.Hook, Engine: e, Ifindex: l.Ifindex, Classic: l.Classic,
				TCX: strings.HasPrefix(p.spec.Section, "tcx/") && !l.Classic}
			run := cmp.Or(p.spec.Run, &prog.RunConfig{Priority: prog.DefaultRunPriority, Continue: prog.DefaultRunContinue})
			c.Priority, c.Continue = run.Priority, cmp.Or(l.Continue, run.Continue)
			if l.Priority != nil {
				c.Priority = *l.Priority
			}
			if c.Element, err = v.ProgramHandle(name); err != nil {
				return err
			}
			list[cpu] = append(list[cpu], c)
		}
		return nil
	}
	for i := range links {
		p, err := v.program(links[i].Program)
		if err != nil {
			return nil, err
		}
		if err := add(&links[i], v.nameOf(p), p); err != nil {
			return nil, err
		}
	}
	for _, p := range v.order {
		hook, ok := elementHook(p.spec)
		if !ok || p.err != nil {
			continue
		}
		if err := add(&Link{Hook: hook}, v.nameOf(p), p); err != nil {
			return nil, err
		}
	}
	chains := make([]*replay.Chain, len(list))
	for cpu := range list {
		var err error
		if chains[cpu], err = replay.NewChain(list[cpu]); err != nil {
			return nil, err
		}
	}
	return chains, nil
}

// elementHooks are the hooks of programs that run on packets which a map's element redirects.
var elementHooks = map[prog.Attach]replay.Hook{prog.AttachXDPDevmap: replay.HookDevmap, prog.AttachXDPCpumap: replay.HookCpumap}

// elementHook is the hook of a program that only runs for a map's element, false for others.
func elementHook(p *prog.Program) (replay.Hook, bool) {
	s, ok := prog.SectionOf(p.Section)
	if !ok { // plain instructions
		return 0, false
	}
	hook, ok := elementHooks[s.Attach]
	return hook, ok
}

// nameOf is the VM's name of a program.
func (v *VM) nameOf(p *program) string {
	for name, q := range v.programs {
		if q == p {
			return name
		}
	}
	return p.spec.Name
}

// ProgramHandle is the word by which elements of maps name a program: devmaps, cpumaps and maps of programs.
func (v *VM) ProgramHandle(name string) (uint32, error) {
	p, err := v.program(name)
	if err != nil {
		return 0, err
	}
	for _, l := range v.machine.Programs() {
		if l.Prog() == p.spec {
			return l.ID() + 1, nil
		}
	}
	return 0, fmt.Errorf("program %s is not linked", name)
}

// ReplayChain is Replay with a chain of programs.
func (v *VM) ReplayChain(links []Link, o replay.Options) (*replay.Report, error) {
	chains, err := v.Chain(links)
	if err != nil {
		return nil, err
	}
	o.Type, o.Target = chains[0].Type(), replay.Target{Machine: v.machine, Engine: chains[0]}
	for _, c := range chains[1:] {
		o.Others = append(o.Others, c)
	}
	return replay.Run(o)
}

// ReplayChainBoth is ReplayBoth with a chain of programs: links are those of v, otherLinks, in the same order, those of other.
func (v *VM) ReplayChainBoth(other *VM, links, otherLinks []Link, o replay.Options) (*replay.Report, error) {
	chains, err := other.Chain(otherLinks)
	if err != nil {
		return nil, fmt.Errorf("engine to compare with: %w", err)
	}
	o.Against = &replay.Target{Machine: other.machine, Engine: chains[0]}
	return v.ReplayChain(links, o)
}
