package skep

import (
	"fmt"

	"github.com/skepvm/skep/replay"
)

// Replay runs a program over a capture and counts the verdicts; name may be "" when the object has just one program. Of o,
// File or Input says what to read; Type and Target are set here.
func (v *VM) Replay(name string, o replay.Options) (*replay.Report, error) {
	p, err := v.program(name)
	if err != nil {
		return nil, err
	}
	o.Type, o.Target = p.spec.Type, v.target(p)
	return replay.Run(o)
}

// ReplayBoth is Replay on two VMs at once, of two engines for the same object: each packet runs on both, and the first difference in
// verdict, packet, ctx or instruction count ends the run with a *replay.Mismatch; so does a difference between their maps at the end. With
// o.Difference they are of two versions of the object, and otherName is the program of the second.
func (v *VM) ReplayBoth(other *VM, name, otherName string, o replay.Options) (*replay.Report, error) {
	p, err := other.program(otherName)
	if err != nil {
		return nil, fmt.Errorf("engine to compare with: %w", err)
	}
	against := other.target(p)
	o.Against = &against
	return v.Replay(name, o)
}

func (v *VM) target(p *program) replay.Target {
	return replay.Target{Machine: v.machine, Engine: p.engine}
}
