package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math/bits"
	"slices"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/conformance/gen"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
	"github.com/skepvm/skep/vm"
)

// Bench is a machine for one engine, on which programs run one after another: behind each it is put back to what it
// was at first, so that no program sees what another left. All benches of the same maps have the same guest addresses.
type Bench struct {
	engine  Engine
	machine *vm.Machine
	specs   []*maps.Spec
	buffers map[prog.Type]*prog.Buffer
	next    map[prog.Type]uint32 // id of gen.NextText's program
	progs   maps.Map             // the program array, nil when there is none
	clean   *vm.Snapshot
	trace   []string
}

// benchSpace is the guest memory of a bench in bytes: little, as all of it is compared.
const benchSpace = 1 << 20

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// NewBench makes a bench for programs whose maps are specs. budget is the most instructions of a run.
func NewBench(e Engine, specs []*maps.Spec, budget uint64) (*Bench, error) {
	b := &Bench{engine: e, specs: specs, buffers: map[prog.Type]*prog.Buffer{}, next: map[prog.Type]uint32{}}
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Shadow: e.Shadow, Size: benchSpace}, Budget: budget, Seed: 1,
		Trace: func(line string) { b.trace = append(b.trace, line) }})
	if err != nil {
		return nil, err
	}
	b.machine = m
	if err := b.furnish(); err != nil {
		return nil, errors.Join(err, m.Close())
	}
	b.clean = m.Snapshot()
	return b, nil
}

// NewBenches makes a bench for each engine.
func NewBenches(engines []Engine, specs []*maps.Spec, budget uint64) (benches []*Bench, err error) {
	for _, e := range engines {
		b, err := NewBench(e, specs, budget)
		if err != nil {
			CloseBenches(benches)
			return nil, fmt.Errorf("engine %s: %w", e.Name, err)
		}
		benches = append(benches, b)
	}
	return benches, nil
}

// CloseBenches closes them all.
func CloseBenches(benches []*Bench) (err error) {
	for _, b := range benches {
		err = errors.Join(err, b.Close())
	}
	return err
}

func (b *Bench) furnish() error {
	for _, s := range b.specs {
		m, err := b.machine.AddMap(s)
		if err != nil {
			return err
		}
		if s.Type == maps.ProgArray {
			b.progs = m
		}
	}
	for _, t := range gen.Types() {
		var err error
		if b.buffers[t], err = prog.NewBuffer(b.machine.Space(), t, 0); err != nil {
			return err
		}
		if b.progs == nil {
			continue
		}
		p, err := gen.ParseOver(t, gen.NextText, b.specs)
		if err != nil {
			return err
		}
		l, err := b.machine.Link(p)
		if err != nil {
			return err
		}
		b.next[t] = l.ID()
	}
	return nil
}

// Close gives the machine back.
func (b *Bench) Close() error { return b.machine.Close() }

// Name is the engine's.
func (b *Bench) Name() string { return b.engine.Name }

// Run runs a program over the bench's maps once for each packet; in is the same for all. v is the program's proof, nil
// when it has none. An error means that the engine did not come to be; faults are part of the outcome.
func (b *Bench) Run(p *prog.Program, v *verifier.Verified, packets [][]byte, in prog.Input) (out *Outcome, err error) {
	defer func() { err = errors.Join(err, b.reset(out)) }() // after a panic, too
	e, done, err := b.engine.Make(b.machine, p, v)
	if err != nil {
		return nil, err
	}
	out, err = b.runs(e, p, packets, in)
	return out, errors.Join(err, done())
}

// reset puts the machine back to what it was at first, and sums up in out what was different.
func (b *Bench) reset(out *Outcome) error {
	b.trace = nil
	return b.machine.Reset(b.clean, func(addr uint32, page []byte) {
		if out != nil {
			out.Memory = crc32.Update(bits.RotateLeft32(out.Memory, 1)^addr, castagnoli, page)
		}
	})
}

func (b *Bench) runs(e vm.Engine, p *prog.Program, packets [][]byte, in prog.Input) (*Outcome, error) {
	if err := b.setProgs(p.Type); err != nil {
		return nil, err
	}
	buf := b.buffers[p.Type]
	if buf == nil {
		return nil, fmt.Errorf("no packets for programs of type %s", p.Type)
	}
	out := &Outcome{}
	for i, packet := range packets {
		in.Number = uint64(i + 1)
		if err := buf.Set(packet, &in); err != nil {
			return nil, err
		}
		res, err := e.Run(buf.Ctx())
		run := Run{R0: res.R0, Insns: res.Insns}
		if err != nil {
			run.describe(err)
		}
		var after prog.Output
		if buf.Read(&after) {
			run.Data = bytes.Clone(after.Data)
		}
		out.Runs = append(out.Runs, run)
	}
	out.Trace = b.trace
	var err error
	out.Maps, err = dump(b.machine, b.specs)
	return out, err
}

// setProgs puts the program, the last that was linked, and the one of gen.NextText into the program array.
func (b *Bench) setProgs(t prog.Type) error {
	if b.progs == nil {
		return nil
	}
	all := b.machine.Programs()
	le := func(v uint32) []byte { return binary.LittleEndian.AppendUint32(nil, v) }
	return errors.Join(b.progs.HostUpdate(le(0), le(all[len(all)-1].ID()+1), 0),
		b.progs.HostUpdate(le(gen.Next), le(b.next[t]+1), 0))
}

// describe notes a fault.
func (r *Run) describe(err error) {
	var f *vm.Fault
	if !errors.As(err, &f) {
		r.Fault = "no fault: " + err.Error()
		return
	}
	r.Fault, r.Kind = f.Error(), f.Kind
}

// excused reports whether a run of an accepted program may end with a fault of that kind: without budget when it has loops
// that may_goto ends, or calls itself; at a helper that nobody wrote yet; and, Deviation: out of frames when functions
// tail-call programs that call functions. The kernel only bounds the stack of all of them.
func excused(p *prog.Program, kind vm.FaultKind) bool {
	has := func(is func(asm.Kind, asm.Insn) bool) bool {
		return slices.ContainsFunc(p.Insns, func(in asm.Insn) bool { return is(asm.KindOf(in), in) })
	}
	tail := has(func(k asm.Kind, in asm.Insn) bool { return k == asm.CallHelper && in.Imm == tailCallID })
	switch kind {
	case vm.BudgetExceeded:
		return tail || MayGoto(p)
	case vm.CallDepth:
		return tail && has(func(k asm.Kind, _ asm.Insn) bool { return k == asm.CallLocal })
	case vm.HelperError:
		return has(func(k asm.Kind, in asm.Insn) bool {
			row := helpers.ByID(in.Imm)
			return k == asm.CallHelper && row != nil && in.Imm != tailCallID && !row.Implemented()
		})
	}
	return false
}

const tailCallID = 12

func dump(m *vm.Machine, specs []*maps.Spec) (string, error) {
	var b bytes.Buffer
	for _, s := range specs {
		mp, err := m.AddMap(s)
		if err != nil {
			return "", err
		}
		for k, v := range mp.All() {
			fmt.Fprintf(&b, "%s[%x] = %x\n", s.Name, k, v)
		}
	}
	return b.String(), nil
}
