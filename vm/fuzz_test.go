package vm_test

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/reference"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// bench is a small machine to try programs on; its state is the same ahead of every run.
type bench struct {
	t     testing.TB
	m     *vm.Machine
	buf   *prog.Buffer
	clean *mem.Snapshot
	specs []*maps.Spec
}

const fuzzBudget = 2000

func newBench(t testing.TB, specs ...*maps.Spec) *bench {
	t.Helper()
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Size: mem.MinSize, Shadow: true}, Budget: fuzzBudget})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.Close() })
	for _, s := range specs {
		if _, err := m.AddMap(s); err != nil {
			t.Fatal(err)
		}
	}
	buf, err := prog.NewBuffer(m.Space(), prog.SchedCLS, 0)
	if err != nil {
		t.Fatal(err)
	}
	m.CPU(0).Env.Rand = func() uint32 { return 0x9e3779b9 } // the same in each run
	return &bench{t: t, m: m, buf: buf, specs: specs, clean: m.Space().Snapshot()}
}

// outcome is all that a run may change.
type outcome struct {
	res    vm.Result
	kind   vm.FaultKind
	pc     int
	memory []byte // stack
}

func (b *bench) prepare() {
	b.t.Helper()
	all, _ := b.m.Space().Bytes(0, uint32(b.m.Space().Size()))
	clear(all)                                 // a snapshot does not know of what wild stores left outside of allocations,
	b.m.Space().Store64(b.m.Space().Mask(), 0) // nor of those that began in the last bytes
	if err := b.m.Space().Restore(b.clean); err != nil {
		b.t.Fatal(err)
	}
	if err := b.buf.Set([]byte("a packet of thirty-two bytes ..."), &prog.Input{}); err != nil {
		b.t.Fatal(err)
	}
}

func (b *bench) stack() []byte {
	const size = vm.MaxFrames * vm.FrameSize
	view, _ := b.m.Space().Bytes(b.m.CPU(0).StackTop-size, size)
	return bytes.Clone(view)
}

func (b *bench) run(l *vm.Linked, o vm.InterpOptions) outcome {
	b.t.Helper()
	return b.engine(newInterpreter(b.t, b.m.CPU(0), l, o))
}

func (b *bench) engine(e vm.Engine) outcome {
	b.t.Helper()
	b.prepare()
	res, err := e.Run(b.buf.Ctx())
	out := outcome{res: res, memory: b.stack()}
	var f *vm.Fault
	if errors.As(err, &f) {
		out.kind, out.pc, out.res.R0 = f.Kind, f.PC, 0
	}
	return out
}

func (b *bench) link(insns []asm.Insn) (*vm.Linked, error) {
	return b.m.Link(&prog.Program{Name: "fuzz", Type: prog.SchedCLS, Insns: insns, Maps: b.specs})
}

func (o *outcome) same(p *outcome) bool {
	return o.res == p.res && o.kind == p.kind && o.pc == p.pc && bytes.Equal(o.memory, p.memory)
}

// compare runs a program on everything that can run it.
func (b *bench) compare(l *vm.Linked) {
	b.t.Helper()
	want := b.engine(reference.New(b.m.CPU(0), l))
	if got := b.run(l, vm.InterpOptions{}); !got.same(&want) {
		b.t.Fatalf("interpreter: %+v %s at %d\nreference: %+v %s at %d\n%s", got.res, got.kind, got.pc, want.res, want.kind, want.pc, listing(l))
	}
	got := b.run(l, vm.InterpOptions{Checked: true})
	if got.kind != vm.BadAccess && !(got.kind == vm.HelperError && callsByRegister(l)) && !got.same(&want) {
		b.t.Fatalf("checked: %+v %s at %d\nreference: %+v %s at %d\n%s", got.res, got.kind, got.pc, want.res, want.kind, want.pc, listing(l))
	}
}

// callsByRegister reports whether l may call helpers, whose arguments checked mode looks at.
func callsByRegister(l *vm.Linked) bool {
	return slices.ContainsFunc(l.Insns(), func(in asm.Insn) bool { return asm.KindOf(in) == asm.CallReg })
}

func listing(l *vm.Linked) string {
	var b bytes.Buffer
	for pc, in := range l.Insns() {
		fmt.Fprintf(&b, "%d: %s\n", pc, asm.Format(in, nil))
	}
	return b.String()
}

// TestRandomPrograms compares the interpreter, checked mode and the reference on generated programs.
func TestRandomPrograms(t *testing.T) {
	b := newBench(t)
	g := &generator{rng: rand.New(rand.NewPCG(1, 2))}
	for range 3000 {
		l, err := b.link(g.program(1 + g.rng.IntN(60)))
		if err != nil {
			t.Fatalf("generated program: %v", err)
		}
		b.compare(l)
	}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if g.kinds[k] == 0 && k != asm.CallHelper {
			t.Errorf("no %s among the generated programs", k)
		}
	}
}

func hostileMaps() []*maps.Spec {
	return []*maps.Spec{
		{Name: "array", Type: maps.Array, KeySize: 4, ValueSize: 16, MaxEntries: 4, LockOff: -1, TimerOff: -1},
		{Name: "hash", Type: maps.Hash, KeySize: 8, ValueSize: 8, MaxEntries: 8, LockOff: -1, TimerOff: -1},
		{Name: "progs", Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 4, LockOff: -1, TimerOff: -1},
		{Name: "percpu", Type: maps.PerCPUArray, KeySize: 4, ValueSize: 8, MaxEntries: 2, LockOff: -1, TimerOff: -1},
	}
}

// hostile runs programs with helper calls and maps; all that is asked for is that the host survives.
func (b *bench) hostile(l *vm.Linked) {
	b.run(l, vm.InterpOptions{})
	b.run(l, vm.InterpOptions{Checked: true})
}

func TestHostilePrograms(t *testing.T) {
	b := newBench(t, hostileMaps()...)
	g := &generator{rng: rand.New(rand.NewPCG(3, 4)), helpers: true, maps: len(b.specs)}
	for range 2000 {
		l, err := b.link(g.program(1 + g.rng.IntN(60)))
		if err != nil {
			t.Fatalf("generated program: %v", err)
		}
		b.hostile(l)
	}
}

func FuzzGenerated(f *testing.F) {
	f.Add(uint64(1), uint64(2), uint8(30), false)
	f.Add(uint64(3), uint64(4), uint8(60), true)
	f.Fuzz(func(t *testing.T, seed1, seed2 uint64, n uint8, helpers bool) {
		var specs []*maps.Spec
		if helpers {
			specs = hostileMaps()
		}
		b := newBench(t, specs...)
		g := &generator{rng: rand.New(rand.NewPCG(seed1, seed2)), helpers: helpers, maps: len(specs)}
		l, err := b.link(g.program(int(n)))
		if err != nil {
			t.Fatal(err)
		}
		if helpers {
			b.hostile(l)
		} else {
			b.compare(l)
		}
	})
}

// FuzzBytes links and runs whatever bytes make a program.
func FuzzBytes(f *testing.F) {
	f.Add([]byte{0xb7, 0, 0, 0, 1, 0, 0, 0, 0x95, 0, 0, 0, 0, 0, 0, 0})
	for _, src := range []string{chain, filter} {
		insns, err := asm.Parse(src, asm.ParseOptions{})
		if err != nil {
			f.Fatal(err)
		}
		f.Add(asm.EncodeProgram(insns))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		insns, err := asm.DecodeProgram(data)
		if err != nil {
			return
		}
		b := newBench(t, hostileMaps()...)
		l, err := b.link(insns)
		if err != nil {
			var bad *vm.LinkError
			if !errors.As(err, &bad) {
				t.Fatalf("%T: %v", err, err)
			}
			return
		}
		b.hostile(l)
	})
}
