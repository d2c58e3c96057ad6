package jit

import (
	"io"
	"runtime"
	"runtime/debug"
	"runtime/pprof"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// mixed uses all ways in and out of machine code: helpers, local calls, callbacks, yields.
const mixed = `
	r6 = 300
	r7 = 0
loop:
	call f
	r7 += r0
	call 5
	r6 += -1
	if r6 != 0 goto loop
	r1 = 20
	r2 = func back
	r3 = 0
	r4 = 0
	call 181
	r7 += r0
	r0 = r7
	exit
f:
	call 8
	r0 = 7
	exit
back:
	call 5
	r0 = 0
	exit
`

// TestUnderCollection runs machine code on several goroutines while others collect garbage, grow stacks and look at
// all stacks, signals of the profiler come a thousand times a second, and each allocation may start a collection: what a Go
// runtime does to code that it doesn't know.
func TestUnderCollection(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	const workers = 4
	defer debug.SetGCPercent(debug.SetGCPercent(1))
	runtime.SetCPUProfileRate(1000) // StartCPUProfile complains, and keeps the rate
	if err := pprof.StartCPUProfile(io.Discard); err == nil {
		defer pprof.StopCPUProfile()
	} else {
		t.Log(err) // the whole test runs under -cpuprofile
	}
	m, err := vm.NewMachine(vm.Config{CPUs: workers, Clock: func() uint64 { return uint64(grow(20)) }})
	require.NoError(t, err)
	defer m.Close()
	l, err := m.Link(&prog.Program{Name: "mixed", Type: prog.XDP, Insns: parse(t, mixed)})
	require.NoError(t, err)
	c, err := New(m)
	require.NoError(t, err)
	defer c.Close()
	const frames = 3
	first, stride := xdpFrames(t, m, workers*frames)
	x, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{})
	require.NoError(t, err)
	want, err := x.Run(0)
	require.NoError(t, err)

	var stop atomic.Bool
	var wg sync.WaitGroup
	var runs atomic.Int64
	for i := range workers {
		e, err := c.engine(m.CPU(i), l)
		require.NoError(t, err)
		e.slice = int64(100 + 997*i)
		e.most = e.slice
		wg.Go(func() {
			for !stop.Load() {
				got, err := e.Run(0)
				if err != nil || got != want {
					t.Errorf("got %+v, %v, want %+v", got, err, want)
					return
				}
				runs.Add(1)
				if done, err := e.RunBatch(first+uint32(i)*frames*stride, stride, frames); done != frames {
					t.Errorf("batch: %d done, %v", done, err)
					return
				}
			}
		})
	}
	wg.Go(func() {
		buf := make([]byte, 1<<20)
		for !stop.Load() {
			runtime.GC()
			runtime.Stack(buf, true)
		}
	})
	time.Sleep(1500 * time.Millisecond)
	stop.Store(true)
	wg.Wait()
	t.Logf("%d runs", runs.Load())
	require.NotZero(t, runs.Load())
}

// grow uses stack and heap.
//
//go:noinline
func grow(n int) int {
	var pad [256]byte
	if n == 0 {
		return len(make([]byte, 100)) - 100 + int(pad[0])
	}
	return grow(n-1) + int(pad[n])
}

// TestYields: an endless program gives way to the collector, and ends when its budget does.
func TestYields(t *testing.T) {
	if !Available() {
		t.Skip(ErrUnsupported)
	}
	m, err := vm.NewMachine(vm.Config{Budget: 200_000_000})
	require.NoError(t, err)
	defer m.Close()
	l, err := m.Link(&prog.Program{Name: "endless", Type: prog.XDP, Insns: parse(t, "here:\ngoto here")})
	require.NoError(t, err)
	c, err := New(m)
	require.NoError(t, err)
	defer c.Close()
	e, err := c.engine(m.CPU(0), l)
	require.NoError(t, err)
	done := make(chan error)
	var res vm.Result
	go func() {
		var err error
		res, err = e.Run(0)
		done <- err
	}()
	collections := 0
	for {
		select {
		case err := <-done:
			var f *vm.Fault
			require.ErrorAs(t, err, &f)
			require.Equal(t, vm.BudgetExceeded, f.Kind)
			require.Equal(t, 0, f.PC)
			require.EqualValues(t, 200_000_001, res.Insns)
			require.NotZero(t, collections, "no collection got through")
			return
		default:
			runtime.GC()
			collections++
		}
	}
}
