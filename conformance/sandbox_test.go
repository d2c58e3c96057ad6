package conformance_test

import (
	"bytes"
	"errors"
	"fmt"
	"testing"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/jit"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// unverified is what runs of a program that nobody verified left: results, packets and the whole guest memory.
type unverified struct {
	runs   []string
	memory []byte
}

// runUnverified links a program as one that was not verified and runs it on each packet, as machine code or not.
func runUnverified(p *prog.Program, machineCode bool, packets [][]byte) (*unverified, error) {
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Size: mem.MinSize}, Budget: 1 << 14, Seed: 1})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	l, err := m.Link(p)
	if err != nil {
		return nil, err
	}
	var e vm.Engine
	if machineCode {
		c, err := jit.New(m)
		if err != nil {
			return nil, err
		}
		defer c.Close()
		if e, err = c.Sandbox(m.CPU(0), l); err != nil {
			return nil, err
		}
	} else if e, err = vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{}); err != nil {
		return nil, err
	}
	buf, err := prog.NewBuffer(m.Space(), p.Type, 0)
	if err != nil {
		return nil, err
	}
	out := &unverified{}
	for _, packet := range packets {
		if err := buf.Set(packet, &prog.Input{Ifindex: 3}); err != nil {
			return nil, err
		}
		res, err := e.Run(buf.Ctx())
		text := fmt.Sprintf("%d instructions", res.Insns)
		var f *vm.Fault
		if errors.As(err, &f) {
			text += fmt.Sprintf(", %s at %d: %v", f.Kind, f.PC, f)
		} else {
			text += fmt.Sprintf(", r0 %#x", res.R0)
		}
		out.runs = append(out.runs, text)
	}
	all, _ := m.Space().Bytes(0, uint32(m.Space().Size()))
	out.memory = bytes.Clone(all)
	return out, nil
}

// TestSandbox runs programs that the verifier rejects as sandboxed machine code: whatever they do, the interpreter does too.
func TestSandbox(t *testing.T) {
	if !jit.Available() {
		t.Skip(jit.ErrUnsupported)
	}
	ran := 0
	for seed := *first; seed < *first+*count/12; seed++ {
		p := gen.Make(gen.FromSeed(seed), nil)
		if _, err := verifier.Verify(p.Program, verifier.Options{Profile: conformance.Profile()}); err == nil {
			continue
		}
		packets := conformance.Packets(seed)
		want, err := runUnverified(p.Program, false, packets)
		if err != nil {
			continue // no form of a program
		}
		got, err := runUnverified(p.Program, true, packets)
		if err != nil {
			t.Fatalf("seed %d: the interpreter takes it, the sandbox does not: %v\n%s", seed, err, p.Text)
		}
		ran++
		for i := range want.runs {
			if want.runs[i] != got.runs[i] {
				t.Fatalf("seed %d, run %d: interpreter: %s\nsandbox: %s\n%s", seed, i, want.runs[i], got.runs[i], p.Text)
			}
		}
		if !bytes.Equal(want.memory, got.memory) {
			t.Fatalf("seed %d: memory differs\n%s", seed, p.Text)
		}
	}
	t.Logf("%d rejected programs ran", ran)
	if *count >= 1200 && ran == 0 {
		t.Error("no program was rejected and had the form of one")
	}
}
