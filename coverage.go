package skep

import "github.com/skepvm/skep/cover"

// Coverage says what was executed until now, on a VM whose machine counts (Options.Machine.Cover); else the profile is empty. It has the
// programs that ran and those that a program array gives them to tail-call, or all when none ran.
func (v *VM) Coverage() *cover.Profile {
	var all, some cover.Profile
	targets := map[string]bool{}
	for _, spec := range v.obj.Maps {
		for _, e := range spec.Contents {
			targets[e.ProgName] = true
		}
	}
	for _, l := range v.machine.Programs() {
		counts := v.machine.Executed(l)
		if counts == nil {
			continue
		}
		p := cover.Program{Prog: l.Prog(), Counts: counts}
		all.Programs = append(all.Programs, p)
		if p.Executed() > 0 || targets[l.Prog().Name] {
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
