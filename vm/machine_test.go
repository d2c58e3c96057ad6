package vm_test

import (
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/vmtest"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

func TestNewMachineRefuses(t *testing.T) {
	for _, n := range []int{-1, vm.MaxCPUs + 1} {
		if _, err := vm.NewMachine(vm.Config{CPUs: n}); err == nil {
			t.Errorf("%d CPUs", n)
		}
	}
	m, other := newMachine(t, vm.Config{}), newMachine(t, vm.Config{})
	l, err := m.Link(parse(t, prog.XDP, "exit"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := vm.NewInterpreter(other.CPU(0), l, vm.InterpOptions{}); err == nil {
		t.Error("a program of another machine was taken")
	}
	if _, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Checked: true}); err == nil {
		t.Error("checked mode without a shadow")
	}
}

// TestCasesCoverEveryKind wants every instruction in the case files.
func TestCasesCoverEveryKind(t *testing.T) {
	cases, err := vmtest.Load("testdata")
	if err != nil {
		t.Fatal(err)
	}
	var seen [asm.NumKinds]bool
	for _, c := range cases {
		for _, p := range c.Programs {
			for _, in := range p.Insns {
				seen[asm.KindOf(in)] = true
			}
		}
	}
	for k := asm.Invalid + 1; k < asm.NumKinds; k++ {
		if !seen[k] {
			t.Errorf("no case has a %s", k)
		}
	}
}

func TestRandomNumbersRepeat(t *testing.T) {
	draw := func(seed uint64, cpu int) uint64 {
		e := newMachine(t, vm.Config{CPUs: 2, Seed: seed}).CPU(cpu).Env
		return uint64(e.Rand())<<32 | uint64(e.Rand())
	}
	if draw(7, 0) != draw(7, 0) {
		t.Error("the same seed gives other numbers")
	}
	if draw(7, 0) == draw(8, 0) || draw(7, 0) == draw(7, 1) {
		t.Error("seeds or CPUs share their numbers")
	}
}

func TestFaultText(t *testing.T) {
	x, buf := newRun(t, "r7 = 5\nr1 = 16\nr0 = *(u16 *)(r1 + 2)\nexit", vm.InterpOptions{Checked: true})
	res, err := x.Run(buf.Ctx())
	var f *vm.Fault
	if !errors.As(err, &f) {
		t.Fatalf("%v, %v", res, err)
	}
	if want := "pc 2: load of 2 bytes at 0x12 is outside what the program may touch (program main)"; !strings.HasPrefix(f.Error(), want) {
		t.Errorf("%q", f.Error())
	}
	if f.Regs[7] != 5 || res.Insns != 3 || !strings.Contains(f.Dump(), "r7  0x") {
		t.Errorf("%+v after %d:\n%s", f, res.Insns, f.Dump())
	}
}

func TestTrace(t *testing.T) {
	var pcs []int
	var r1 uint64
	x, buf := newRun(t, "r1 = 7\nr2 = 1 ll\ncall f\nexit\nf:\nr1 += 1\nexit", vm.InterpOptions{
		Trace: func(_ *vm.Linked, pc int, regs *[asm.NumRegs]uint64) { pcs, r1 = append(pcs, pc), regs[1] },
	})
	if _, err := x.Run(buf.Ctx()); err != nil {
		t.Fatal(err)
	}
	want := []int{0, 1, 3, 5, 6, 4}
	if len(pcs) != len(want) || r1 != 8 {
		t.Fatalf("%v, r1 = %d", pcs, r1)
	}
	for i := range want {
		if pcs[i] != want[i] {
			t.Fatalf("%v, want %v", pcs, want)
		}
	}
}

func TestRunBatch(t *testing.T) {
	const n = 4
	m := newMachine(t, vm.Config{})
	s := m.Space()
	// Frame 2's ctx has 0 as rx_queue_index, which makes the program recurse forever.
	l, err := m.Link(parse(t, prog.XDP, "main:\nr0 = *(u32 *)(r1 + 16)\nif r0 != 0 goto out\ncall main\nout:\nexit"))
	if err != nil {
		t.Fatal(err)
	}
	stride := prog.FrameStride(prog.XDP.Row().FrameSize())
	base, err := s.Alloc(n*stride, 64)
	if err != nil {
		t.Fatal(err)
	}
	first := base + prog.FrameHeader
	for i, queue := range []uint32{5, 6, 0, 7} {
		s.Store32(first+uint32(i)*stride+prog.XDPRxQueue, queue)
	}
	done, err := newInterpreter(t, m.CPU(0), l, vm.InterpOptions{}).RunBatch(first, stride, n)
	var f *vm.Fault
	if done != 2 || !errors.As(err, &f) || f.Kind != vm.CallDepth {
		t.Fatalf("%d runs, %v", done, err)
	}
	for i, want := range []uint64{5, 6, 0, 0} {
		frame := first + uint32(i)*stride
		ret, insns := s.Load64(frame-8), s.Load64(frame-16)
		if ret != want || (insns == 3) != (want != 0) {
			t.Errorf("frame %d: R0 %d after %d instructions", i, ret, insns)
		}
	}
}

// TestAtomicsAcrossCPUs adds to one counter from several CPUs at a time.
func TestAtomicsAcrossCPUs(t *testing.T) {
	const cpus, rounds = 4, 1000
	m := newMachine(t, vm.Config{CPUs: cpus})
	spec := &maps.Spec{Name: "sum", Type: maps.Array, KeySize: 4, ValueSize: 40, MaxEntries: 1, LockOff: -1, TimerOff: -1}
	p := parse(t, prog.XDP, `
		r6 = map[0][0]
		r7 = 1000
		r8 = 1
	loop:
		lock *(u64 *)(r6 + 0) += r8
		r1 = r8
		w1 = atomic_fetch_add((u32 *)(r6 + 8), w1)
		r1 = 1
		lock *(u64 *)(r6 + 16) ^= r1
	again:
		r0 = *(u64 *)(r6 + 24)
		r2 = r0
		r1 = r0
		r1 += 1
		r0 = cmpxchg_64(r6 + 24, r0, r1)
		if r0 != r2 goto again
		r7 += -1
		if r7 != 0 goto loop
		r0 = 0
		exit`)
	p.Maps = []*maps.Spec{spec}
	l, err := m.Link(p)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range cpus {
		x := newInterpreter(t, m.CPU(i), l, vm.InterpOptions{})
		wg.Go(func() {
			if _, err := x.Run(0); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	at := m.Maps().ByName("sum").LookupAddr(0, make([]byte, 4))
	for i, want := range []uint64{cpus * rounds, cpus * rounds, 0, cpus * rounds} {
		if got := m.Space().Load64(at + uint32(i)*8); got != want {
			t.Errorf("word %d is %d, want %d", i, got, want)
		}
	}
}
