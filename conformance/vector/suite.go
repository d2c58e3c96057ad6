package vector

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/vm"
)

// Status is how a vector went on an engine.
type Status string

// The statuses.
const (
	Pass Status = "pass"
	Fail Status = "fail"
	Skip Status = "skip"
)

// Result is how a vector went on one engine.
type Result struct {
	Engine string `json:"engine"`
	Status Status `json:"status"`
	// Reason says why not, or for a vector that wants an error, what the error was.
	Reason string `json:"reason,omitempty"`
	Insns  uint64 `json:"insns"` // executed
}

// Suite runs vectors on engines and keeps count of what they executed. The zero value of its options is every engine of
// this machine, all instructions and DefaultBudget.
type Suite struct {
	Engines  []string
	CPU      asm.ISA // newest instructions to run
	Budget   uint64
	Coverage Coverage
}

// Files lists the vectors of paths: a file as it is, a directory with all *.data files below it, in order of their names.
func Files(paths []string) ([]string, error) {
	var all []string
	for _, path := range paths {
		var here []string
		err := filepath.WalkDir(path, func(name string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && (name == path || filepath.Ext(name) == ".data") {
				here = append(here, name)
			}
			return err
		})
		if err != nil {
			return nil, err
		}
		if len(here) == 0 {
			return nil, fmt.Errorf("%s: no *.data files there", path)
		}
		slices.Sort(here)
		all = append(all, here...)
	}
	return all, nil
}

// Run runs a vector on every engine of the suite. The checked engine runs it in any case: it tells bad accesses, which
// the others don't look for, and traces. What it executed counts when no engine failed.
func (s *Suite) Run(v *Vector) []Result {
	engines := s.Engines
	if engines == nil {
		engines = Engines()
	}
	results := make([]Result, len(engines))
	if need := v.Version(); s.CPU != 0 && need > s.CPU {
		for i, e := range engines {
			results[i] = Result{Engine: e, Status: Skip, Reason: fmt.Sprintf("needs instructions of %s", need)}
		}
		return results
	}
	path := newPath(v.Insns)
	checked := s.attempt(v, Checked, path.step)
	failed := false
	for i, e := range engines {
		a := checked
		if e != Checked {
			a = s.attempt(v, e, nil)
		}
		results[i] = v.judge(e, a, checked)
		failed = failed || results[i].Status == Fail
	}
	if !failed {
		s.Coverage.add(path)
	}
	return results
}

// attempt is a run that may not have come about.
type attempt struct {
	*Outcome
	err error
}

func (s *Suite) attempt(v *Vector, engine string, trace func(int)) attempt {
	p := NewProgram(filepath.Base(v.File), v.Insns)
	out, err := Execute(p, v.Mem, Options{Engine: engine, Budget: s.Budget, Trace: trace})
	return attempt{out, err}
}

// badAccess reports whether the checked engine found one.
func (a attempt) badAccess() bool {
	return a.err == nil && a.Fault != nil && a.Fault.Kind == vm.BadAccess
}

// judge compares a run with what the vector wants, then with the run of the checked engine.
func (v *Vector) judge(engine string, a, checked attempt) Result {
	res := Result{Engine: engine, Status: Fail}
	var refusal *vm.LinkError
	switch {
	case errors.As(a.err, &refusal):
		res.Reason = "refused: " + refusal.Error()
		if v.WantError {
			res.Status = Pass
		}
		return res
	case a.err != nil:
		res.Reason = a.err.Error()
		return res
	}
	res.Insns = a.Insns
	switch {
	case a.Fault != nil && !v.WantError:
		res.Reason = "fault: " + a.Fault.Error()
		return res
	case a.Fault == nil && v.WantError && engine != Checked && checked.badAccess():
		res.Status, res.Reason = Skip, "the error is a bad access, which only the checked engine looks for"
		return res
	case a.Fault == nil && v.WantError:
		res.Reason = fmt.Sprintf("r0 = %#x, want an error", a.R0)
		return res
	case a.Fault != nil:
		res.Reason = "fault: " + a.Fault.Error()
	case a.R0 != v.Result:
		res.Reason = fmt.Sprintf("r0 = %#x, want %#x", a.R0, v.Result)
		return res
	}
	if d := a.differs(checked); d != "" {
		res.Reason = "differs from the checked engine: " + d
		return res
	}
	res.Status = Pass
	return res
}

// differs says in what a run differs from the checked engine's. Where that found a bad access, they may differ.
func (a attempt) differs(checked attempt) string {
	if checked.badAccess() {
		return ""
	}
	if checked.err != nil {
		return fmt.Sprintf("it gives %v", checked.err)
	}
	switch x, y := a.Outcome, checked.Outcome; {
	case (x.Fault == nil) != (y.Fault == nil):
		return fmt.Sprintf("fault %v there", y.Fault)
	case x.Fault != nil && (x.Fault.Kind != y.Fault.Kind || x.Fault.PC != y.Fault.PC):
		return fmt.Sprintf("fault %v there", y.Fault)
	case x.Fault == nil && x.R0 != y.R0:
		return fmt.Sprintf("r0 = %#x, there %#x", x.R0, y.R0)
	case x.Insns != y.Insns:
		return fmt.Sprintf("%d instructions, there %d", x.Insns, y.Insns)
	case !bytes.Equal(x.Mem, y.Mem):
		return fmt.Sprintf("memory % x, there % x", x.Mem, y.Mem)
	}
	return ""
}
