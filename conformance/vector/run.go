package vector

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// DefaultBudget is the number of instructions that a run may take when Options.Budget is 0: enough for a may_goto to
// end its loop.
const DefaultBudget = 1 << 26

// clock is what bpf_ktime_get_ns gives, the same to every engine.
const clock = 1_000_000_000

// Outcome is what a run left.
type Outcome struct {
	R0    uint64
	Insns uint64
	Mem   []byte    // the memory afterwards
	Fault *vm.Fault // nil when the program came to its end; PC is that of the program as it was given
}

// Options of Execute.
type Options struct {
	Engine string // one of Engines()
	Budget uint64 // instructions; 0 is DefaultBudget
	// Trace is called ahead of every instruction, with its slot. Only the interpreters have it.
	Trace func(pc int)
}

// NewProgram makes a program of plain instructions.
func NewProgram(name string, insns []asm.Insn) *prog.Program {
	return &prog.Program{Name: name, License: "GPL", Insns: insns, Funcs: []prog.Func{{Name: name, End: len(insns)}}}
}

// Execute runs p on data, which lies in guest memory: R1 is its address, or 0 when it is empty, R2 its length. A
// program with packet loads has it as its packet. Each run has a machine of its own. An error that is no fault of
// the program, such as a *vm.LinkError, says why it was not run.
func Execute(p *prog.Program, data []byte, o Options) (*Outcome, error) {
	newEngine, ok := makers[o.Engine]
	if !ok {
		return nil, fmt.Errorf("no engine %q on this machine", o.Engine)
	}
	if o.Budget == 0 {
		o.Budget = DefaultBudget
	}
	checked := o.Engine == Checked
	m, err := vm.NewMachine(vm.Config{
		Space: mem.Options{Shadow: checked, Size: 1 << 26}, Budget: o.Budget, Seed: 1, Clock: func() uint64 { return clock },
	})
	if err != nil {
		return nil, err
	}
	defer m.Close()
	s, err := newSetting(m, p, data)
	if err != nil {
		return nil, err
	}
	e, done, err := newEngine(m.CPU(0), &s, o.Trace)
	if err != nil {
		return nil, err
	}
	defer done()
	res, err := e.Run(s.ctx)
	return s.outcome(res, err)
}

// setting is a program with its memory, ready to run.
type setting struct {
	linked *vm.Linked
	ctx    uint32
	view   []byte // guest memory that holds the data
	// What was put in front of the program, to give R1 and R2 their values.
	slots, insns int
}

func newSetting(m *vm.Machine, p *prog.Program, data []byte) (setting, error) {
	q := *p
	q.Type = prog.Unspec
	if loadsPackets(p.Insns) {
		q.Type = prog.SchedCLS
	}
	if _, err := m.Link(&q); err != nil { // as it is: what comes in front must not be a target of its jumps
		return setting{}, err
	}
	var s setting
	var addr uint32
	var err error
	if q.Type == prog.SchedCLS {
		addr, err = s.setPacket(m.Space(), data)
	} else {
		addr, err = s.setMemory(m.Space(), data)
	}
	if err != nil {
		return s, err
	}
	var front []asm.Insn
	if uint64(s.ctx) != uint64(addr) {
		front = append(front, loadImm(asm.R1, addr)...)
		s.insns++
	}
	if len(data) > 0 {
		front = append(front, loadImm(asm.R2, uint32(len(data)))...)
		s.insns++
	}
	s.slots = len(front)
	shift(&q, front)
	s.linked, err = m.Link(&q)
	return s, err
}

// loadsPackets reports whether a program has packet loads, which need an __sk_buff.
func loadsPackets(insns []asm.Insn) bool {
	for pc := 0; pc < len(insns); pc++ {
		switch k := asm.KindOf(insns[pc]); k.Info().Class {
		case asm.ClassAbs, asm.ClassInd:
			return true
		case asm.ClassImm64:
			pc++
		}
	}
	return false
}

// setMemory puts data into guest memory, as the ctx of the program.
func (s *setting) setMemory(space *mem.Space, data []byte) (uint32, error) {
	if len(data) == 0 {
		return 0, nil
	}
	base, err := space.Alloc(prog.FrameHeader+uint32(len(data)), 64) // helpers look at the header
	if err != nil {
		return 0, err
	}
	s.ctx = base + prog.FrameHeader
	return s.ctx, s.fill(space, s.ctx, data)
}

// setPacket puts data into a packet, and makes a ctx for it.
func (s *setting) setPacket(space *mem.Space, data []byte) (uint32, error) {
	buf, err := prog.NewBuffer(space, prog.SchedCLS, 0)
	if err != nil {
		return 0, err
	}
	if err := buf.Set(data, &prog.Input{}); err != nil {
		return 0, err
	}
	s.ctx = buf.Ctx()
	if len(data) == 0 {
		return 0, nil
	}
	addr := space.Load32(s.ctx + prog.SKBData)
	return addr, s.fill(space, addr, data)
}

func (s *setting) fill(space *mem.Space, addr uint32, data []byte) error {
	var ok bool
	if s.view, ok = space.Bytes(addr, uint32(len(data))); !ok {
		return fmt.Errorf("memory of %d bytes does not fit", len(data))
	}
	copy(s.view, data)
	return nil
}

func loadImm(r asm.Reg, v uint32) []asm.Insn {
	lo := asm.LdImm64.Example()
	lo.Dst, lo.Imm = r, int32(v)
	return []asm.Insn{lo, {}}
}

// shift puts instructions in front of p, which is a copy.
func shift(p *prog.Program, front []asm.Insn) {
	n := len(front)
	p.Insns = append(front[:n:n], p.Insns...)
	funcs := make([]prog.Func, len(p.Funcs))
	for i, f := range p.Funcs {
		f.End += n
		if i > 0 {
			f.Start += n
		}
		funcs[i] = f
	}
	lines := make([]prog.Line, len(p.Lines))
	for i, l := range p.Lines {
		l.PC += n
		lines[i] = l
	}
	p.Funcs, p.Lines = funcs, lines
}

func (s *setting) outcome(res vm.Result, err error) (*Outcome, error) {
	out := &Outcome{R0: res.R0, Insns: res.Insns - uint64(s.insns), Mem: bytes.Clone(s.view)}
	if err == nil {
		return out, nil
	}
	if !errors.As(err, &out.Fault) {
		return nil, err
	}
	f := *out.Fault
	f.PC -= s.slots
	out.Fault = &f
	return out, nil
}
