package kernel

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf"
	"github.com/cilium/ebpf/asm"
	"github.com/cilium/ebpf/rlimit"

	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// Verdict is what the kernel's verifier says of a program.
type Verdict struct {
	Accepted bool
	Words    string   // last line of the log that says why not
	Log      []string // all of it
	Stats
}

// Stats are the counts at the end of a log.
type Stats struct {
	Processed, MaxStatesPerInsn, States, PeakStates int
	Stack                                           string // bytes of each function, "8+0"; "" when the log level has none
}

// Verify is VerifySome for all programs.
func Verify(elf []byte, level uint32) (map[string]*Verdict, error) {
	return VerifySome(elf, level, func(string) bool { return true })
}

// VerifySome loads each program of an object that wanted picks by itself and unloads it again; level is log_level of
// BPF_PROG_LOAD, not 0. What keeps a program from reaching the verifier is an error.
func VerifySome(elf []byte, level uint32, wanted func(name string) bool) (map[string]*Verdict, error) {
	if err := rlimit.RemoveMemlock(); err != nil {
		return nil, err
	}
	spec, err := ebpf.LoadCollectionSpecFromReader(bytes.NewReader(elf))
	if err != nil {
		return nil, err
	}
	names := slices.Sorted(maps.Keys(spec.Programs))
	shared := spec.Copy()
	shared.Programs = nil
	for _, m := range shared.Maps {
		if m.Type == ebpf.ProgramArray {
			m.Contents = nil
		}
	}
	coll, err := ebpf.NewCollection(shared)
	if err != nil {
		return nil, err
	}
	defer coll.Close()
	out := map[string]*Verdict{}
	obj, err := object.LoadBytes(elf, "", object.Options{})
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if !wanted(name) {
			continue
		}
		one := shared.Copy()
		p := spec.Programs[name].Copy()
		p.Instructions = inOrder(p.Instructions, obj.Program(name))
		one.Programs = map[string]*ebpf.ProgramSpec{name: p}
		v, err := verify(one, coll.Maps, level)
		if err != nil {
			return nil, fmt.Errorf("program %s: %w", name, err)
		}
		out[name] = v
	}
	return out, nil
}

// inOrder puts the functions of a program in the order in which we, and libbpf, have them.
func inOrder(insns asm.Instructions, p *prog.Program) asm.Instructions {
	if p == nil {
		return insns
	}
	funcs := map[string]asm.Instructions{}
	name := ""
	for _, in := range insns {
		if s := in.Symbol(); s != "" {
			name = s
		}
		funcs[name] = append(funcs[name], in)
	}
	var out asm.Instructions
	for _, f := range p.Funcs {
		out = append(out, funcs[f.Name]...)
	}
	if len(out) != len(insns) {
		return insns
	}
	return out
}

func verify(spec *ebpf.CollectionSpec, shared map[string]*ebpf.Map, level uint32) (*Verdict, error) {
	used := map[string]*ebpf.Map{}
	for name := range spec.Maps {
		used[name] = shared[name]
	}
	coll, err := ebpf.NewCollectionWithOptions(spec, ebpf.CollectionOptions{MapReplacements: used,
		Programs: ebpf.ProgramOptions{LogLevel: ebpf.LogLevel(level), LogSizeStart: 1 << 24}})
	var refusal *ebpf.VerifierError
	switch {
	case errors.As(err, &refusal):
		return ReadLog(refusal.Log, false)
	case err != nil:
		return nil, err
	}
	defer coll.Close()
	for _, p := range coll.Programs {
		return ReadLog(strings.Split(strings.TrimSuffix(p.VerifierLog, "\n"), "\n"), true)
	}
	return nil, ErrNoProgram
}

// ReadLog finds the words and the counts in a log.
func ReadLog(log []string, accepted bool) (*Verdict, error) {
	v := &Verdict{Accepted: accepted, Log: log}
	counted := false
	for _, line := range log {
		if s, ok := strings.CutPrefix(line, "stack depth "); ok {
			v.Stack = s
		}
		if n, _ := fmt.Sscanf(line, "processed %d insns (limit 1000000) max_states_per_insn %d total_states %d peak_states %d",
			&v.Processed, &v.MaxStatesPerInsn, &v.States, &v.PeakStates); n == 4 {
			counted = true
		}
	}
	if !counted {
		return nil, fmt.Errorf("a log without counts: %s", strconv.Quote(strings.Join(log, "\n")))
	}
	if !accepted {
		v.Words = lastWords(log, errors.New(""))
	}
	return v, nil
}

// lastWords are the last line of a log that says why.
func lastWords(log []string, err error) string {
	for i := len(log) - 1; i >= 0; i-- {
		l := strings.TrimSpace(log[i])
		if l == "" || strings.HasPrefix(l, "processed ") || strings.HasPrefix(l, "stack depth") ||
			strings.HasPrefix(l, "verification time") || strings.HasPrefix(l, "cur state:") || strings.HasPrefix(l, "old state:") ||
			strings.HasPrefix(l, "; ") {
			continue
		}
		return l
	}
	return err.Error()
}
