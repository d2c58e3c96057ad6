package skep

import (
	"github.com/skepvm/skep/cover"
	"github.com/skepvm/skep/prog"
)

// Coverage says what was executed until now, on a VM whose machine counts (Options.Machine.Cover); else the profile is empty. It has the
// programs that ran, those that a program array gives them to tail-call and those of chains, or all when none ran.
func (v *VM) Coverage() *cover.Profile {
	var all, some cover.Profile
	targets := v.tailCalled()
	for _, l := range v.machine.Programs() {
		counts := v.machine.Executed(l)
		if counts == nil {
			continue
		}
		p := cover.Program{Prog: l.Prog(), Counts: counts}
		all.Programs = append(all.Programs, p)
		if p.Executed() > 0 || targets[l.Prog()] {
			some.Programs = append(some.Programs, p)
		}
	}
	for _, p := range some.Programs {
		if p.Executed() > 0 {
			return &some
		}
	}
	return &all
}

// tailCalled are the programs that maps of their own object hold, and those that were put into a chain.
func (v *VM) tailCalled() map[*prog.Program]bool {
	out := map[*prog.Program]bool{}
	for _, p := range v.order {
		out[p.spec] = p.chained
	}
	for _, o := range v.objects {
		named := map[string]bool{}
		for _, m := range o.maps {
			for _, e := range m.Contents {
				named[e.ProgName] = true
			}
		}
		for _, p := range o.programs {
			out[p.spec] = out[p.spec] || named[p.spec.Name]
		}
	}
	return out
}
