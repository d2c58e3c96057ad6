package jit

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// side is a machine for one of two engines that are to agree. Both sides are made the same way and so have the same
// guest addresses.
type side struct {
	m      *vm.Machine
	c      *Compiler
	buf    *prog.Buffer
	play   uint32
	frames uint32 // ctx of the first of a few frames for batches
	// verified links the second program as if the verifier had accepted it.
	verified bool
	last     []*vm.Linked // the programs that link linked last
}

const (
	diffBudget  = 3000
	batchFrames = 3
	batchStride = 256
)

func newSide(t testing.TB, size uint64, cover bool) *side {
	m, err := vm.NewMachine(vm.Config{Space: mem.Options{Size: size}, CPUs: 2, Budget: diffBudget, Cover: cover})
	require.NoError(t, err)
	s := &side{m: m}
	s.play, err = m.Space().Alloc(memLen, 64)
	require.NoError(t, err)
	s.buf, err = prog.NewBuffer(m.Space(), prog.SchedCLS, 0)
	require.NoError(t, err)
	block, err := m.Space().Alloc(batchFrames*batchStride+prog.FrameHeader, 64)
	require.NoError(t, err)
	s.frames = block + prog.FrameHeader
	t.Cleanup(func() { m.Close() })
	return s
}

// mapSpecs are fresh specs: a machine makes a map once for each *Spec.
func mapSpecs() []*maps.Spec {
	spec := func(name string, t maps.Type, value, entries uint32) *maps.Spec {
		return &maps.Spec{Name: name, Type: t, KeySize: 4, ValueSize: value, MaxEntries: entries, LockOff: -1, TimerOff: -1}
	}
	progs := spec("progs", maps.ProgArray, 4, 3)
	for i, name := range []string{"first", "second"} {
		progs.Contents = append(progs.Contents, maps.Entry{Key: binary.LittleEndian.AppendUint32(nil, uint32(i)), ProgName: name})
	}
	return []*maps.Spec{
		spec("small", maps.Array, 8, 4),
		spec("wide", maps.Array, 24, 5),
		spec("percpu", maps.PerCPUArray, 16, 4),
		spec("hash", maps.Hash, 8, 4),
		progs,
	}
}

func (s *side) link(t testing.TB, programs [2][]asm.Insn, specs []*maps.Spec) *vm.Linked {
	s.last = s.last[:0]
	for i, insns := range programs {
		p := testProgram([]string{"first", "second"}[i], insns)
		p.Maps = specs
		link := s.m.Link
		if i == 1 && s.verified {
			link = s.m.LinkVerified
		}
		l, err := link(p)
		require.NoError(t, err, asm.FormatProgram(insns))
		s.last = append(s.last, l)
	}
	require.NoError(t, s.m.SetProgs(nil, nil))
	return s.last[0]
}

// outcome is all that is compared.
type outcome struct {
	res   vm.Result
	fault string
	done  int
	mem   []byte
}

const compared = 512 << 10 // bytes of guest memory from its start: stacks, packets, maps

func (s *side) outcome(res vm.Result, done int, err error) outcome {
	o := outcome{res: res, done: done}
	var f *vm.Fault
	if errors.As(err, &f) {
		o.res.R0 = 0 // means nothing
		o.fault = fmt.Sprintf("%v at %d in %s: %s: %v\n%s", f.Kind, f.PC, f.Prog, f.Helper, f.Err, f.Dump())
	}
	o.mem, _ = s.m.Space().Bytes(0, compared)
	return o
}

func (s *side) run(t testing.TB, e vm.Engine, batch bool, packet []byte) outcome {
	if !batch {
		require.NoError(t, s.buf.Set(packet, &prog.Input{}))
		res, err := e.Run(s.buf.Ctx())
		return s.outcome(res, 0, err)
	}
	done, err := e.RunBatch(s.frames, batchStride, batchFrames)
	return s.outcome(vm.Result{}, done, err)
}

// differ runs programs of one seed on both sides and describes the first difference, "" when there is none.
type differ struct {
	t      testing.TB
	a, b   *side
	kinds  [asm.NumKinds]int
	faults map[string]int
	cover  bool // the next machines count executions; the counters are memory that is compared
}

func newDiffer(t testing.TB, size uint64) *differ {
	d := &differ{t: t, faults: map[string]int{}}
	d.fresh(size)
	return d
}

func (d *differ) fresh(size uint64) {
	d.a, d.b = newSide(d.t, size, d.cover), newSide(d.t, size, d.cover)
	d.cover = !d.cover
	var err error
	d.b.c, err = New(d.b.m)
	require.NoError(d.t, err)
	d.t.Cleanup(func() { d.b.c.Close() })
}

func (d *differ) seed(seed uint64) string {
	r := rand.New(rand.NewPCG(seed, 7))
	g := &generator{r: r, kinds: &d.kinds, mem: d.a.play, ctx: d.a.buf.Ctx(), maps: 5}
	d.a.verified, d.b.verified = seed%3 == 0, seed%3 == 0
	programs := [2][]asm.Insn{g.make(20 + r.IntN(100)), g.make(20 + r.IntN(30))}
	return d.compare(programs, r.IntN(4) == 0, 1+r.Int64N(500), r.IntN(2) == 0)
}

func (d *differ) compare(programs [2][]asm.Insn, batch bool, slice int64, plain bool) string {
	x, err := vm.NewInterpreter(d.a.m.CPU(1), d.a.link(d.t, programs, mapSpecs()), vm.InterpOptions{})
	require.NoError(d.t, err)
	d.b.c.processor = host
	d.b.c.stretch = stretchSlots
	if slice%2 == 0 {
		d.b.c.stretch = 3
	}
	if plain {
		d.b.c.processor = Processor{Arch: host.Arch}
	}
	e, err := d.b.c.engine(d.b.m.CPU(1), d.b.link(d.t, programs, mapSpecs()))
	require.NoError(d.t, err, asm.FormatProgram(programs[0]))
	e.slice = min(slice, e.budget)
	e.most = e.slice
	packet := make([]byte, 64)
	for i := range packet {
		packet[i] = byte(i * 7)
	}
	counted := uint64(0)
	for run := range 2 {
		want := d.a.run(d.t, x, batch, packet)
		got := d.b.run(d.t, e, batch, packet)
		if diff := want.diff(got); diff != "" {
			return fmt.Sprintf("run %d, batch %v, slice %d: %s\n%s\n----\n%s", run, batch, slice, diff,
				asm.FormatProgram(programs[0]), asm.FormatProgram(programs[1]))
		}
		kind := want.fault
		if i := bytes.IndexByte([]byte(kind), ' '); i > 0 {
			kind = kind[:i]
		}
		d.faults[kind]++
		counted += want.res.Insns
		if batch || want.fault != "" {
			counted = math.MaxUint64 / 2 // nobody knows
		}
	}
	if got, counts := d.b.executed(); counts && counted < math.MaxUint64/2 && got != counted {
		return fmt.Sprintf("counters say %d instructions, the engine %d", got, counted)
	}
	return ""
}

// executed adds up the counters of the two programs that were linked last.
func (s *side) executed() (sum uint64, counts bool) {
	for _, l := range s.last {
		n := s.m.Executed(l)
		if n == nil {
			return 0, false
		}
		for pc := 0; pc < len(n); pc += width(asm.KindOf(l.Insns()[pc])) {
			sum += n[pc]
		}
	}
	return sum, true
}

func (want outcome) diff(got outcome) string {
	switch {
	case want.fault != got.fault:
		return fmt.Sprintf("fault: want %s\ngot %s", want.fault, got.fault)
	case want.res != got.res:
		return fmt.Sprintf("result: want %+v, got %+v", want.res, got.res)
	case want.done != got.done:
		return fmt.Sprintf("done: want %d, got %d", want.done, got.done)
	case !bytes.Equal(want.mem, got.mem):
		for i := range want.mem {
			if want.mem[i] != got.mem[i] {
				return fmt.Sprintf("memory from %#x: want % x, got % x", i, want.mem[i:i+8], got.mem[i:i+8])
			}
		}
	}
	return ""
}

// TestDifferential lets random programs run on both engines.
func TestDifferential(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	for _, size := range []uint64{0, 1 << 24} {
		n := uint64(1500)
		if testing.Short() {
			n = 200
		}
		d := newDiffer(t, size)
		for seed := range n {
			if seed%100 == 99 {
				d.fresh(size)
			}
			if diff := d.seed(seed); diff != "" {
				t.Fatalf("space of %d, seed %d: %s", size, seed, diff)
			}
		}
		for _, k := range generatedKinds() {
			require.NotZero(t, d.kinds[k], "no %s was generated", k)
		}
		t.Logf("faults: %v", d.faults)
	}
}

// FuzzDifferential goes on from there.
func FuzzDifferential(f *testing.F) {
	if !Available() {
		f.Skip(ErrUnsupported)
	}
	f.Add(uint64(1))
	f.Fuzz(func(t *testing.T, seed uint64) {
		if diff := newDiffer(t, 0).seed(seed); diff != "" {
			t.Fatal(diff)
		}
	})
}

// TestMayGotoRunsOut: every activation has its own count of may_gotos, also that of a callback and that of a program
// that took another's place.
func TestMayGotoRunsOut(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	first := parse(t, `
		r6 = r1
		r1 = 2
		r2 = func f
		r4 = 0
		call 181
	again:
		may_goto done
		goto again
	done:
		r1 = r6
		r2 = map[4]
		r3 = 1
		call 12
		exit
	f:
		may_goto out
		r7 += 1
		goto f
	out:
		r0 = 0
		exit
	`)
	second := parse(t, "again:\nmay_goto out\nr0 += 1\ngoto again\nout:\nexit")
	var results []vm.Result
	for _, jit := range []bool{false, true} {
		m, err := vm.NewMachine(vm.Config{})
		require.NoError(t, err)
		defer m.Close()
		s := &side{m: m}
		l := s.link(t, [2][]asm.Insn{first, second}, mapSpecs())
		var e vm.Engine
		if jit {
			c, err := New(m)
			require.NoError(t, err)
			defer c.Close()
			e, err = c.engine(m.CPU(0), l)
			require.NoError(t, err)
		} else if e, err = vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{}); err != nil {
			t.Fatal(err)
		}
		res, err := e.Run(0)
		require.NoError(t, err)
		results = append(results, res)
	}
	require.Equal(t, results[0], results[1])
	require.Greater(t, results[0].Insns, uint64(4*2*vm.MaxLoops))
}
