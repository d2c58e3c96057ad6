package vm

import (
	"container/heap"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"sync"

	"github.com/skepvm/skep/helpers"
	skepmaps "github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// timers are the struct bpf_timer and struct bpf_wq of a machine that programs have initialised. The first word of such a struct
// holds its number here, never 0: when an element goes, its map zeroes the word, and the timer is gone with it. So what a program
// can know of a timer is in guest memory, and here is only what it waits for.
type timers struct {
	mu      sync.Mutex
	byID    map[uint32]*timer
	last    uint32 // number given last
	seq     uint64 // of the start made last
	armed   []timerHeap
	sweepAt int // numbers in byID when those of timers that are gone are looked for next
}

// timer is one of them.
type timer struct {
	id    uint32
	addr  uint32 // of the struct
	m     skepmaps.Map
	value uint32 // address of the element's value
	// then is what to call; nil when nothing was set, and after a cancellation.
	then *Deferred
	fn   uint64 // slot of the function in it

	cpu   int    // that it is armed on
	place int    // in that CPU's heap; -1 when it is not armed
	at    uint64 // ns
	seq   uint64
}

// timerHeap has the earliest timer first, and of two with the same time the one that was started first.
type timerHeap []*timer

func (h timerHeap) Len() int { return len(h) }
func (h timerHeap) Less(i, j int) bool {
	return h[i].at < h[j].at || h[i].at == h[j].at && h[i].seq < h[j].seq
}
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].place, h[j].place = i, j
}
func (h *timerHeap) Push(x any) {
	t := x.(*timer)
	t.place = len(*h)
	*h = append(*h, t)
}
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.place = -1
	return t
}

// Deferred says how to call functions of a program that ends before they are called.
type Deferred struct {
	Program *Linked
	Engine  string // name of the engine that New makes
	New     func(c *CPU) (FunctionEngine, error)
}

// FunctionEngine is an engine that runs functions of a program by themselves.
type FunctionEngine interface {
	// CallFunction runs the local function at slot as a run of its own, which may take that many instructions, with args in
	// R1 to R5. The CPU has begun it. The error is a *Fault.
	CallFunction(slot uint64, args [5]uint64, budget uint64) (Result, error)
	// Grant lets the next such run use an element: see Callbacks.
	Grant(m skepmaps.Map, key, value uint32)
}

// Flags of bpf_timer_start.
const (
	timerAbs = 1 << 0 // BPF_F_TIMER_ABS
	timerPin = 1 << 1 // BPF_F_TIMER_CPU_PIN: a timer always stays on the CPU that started it
)

// timerClocks are the clocks that bpf_timer_init takes: CLOCK_REALTIME, CLOCK_MONOTONIC, CLOCK_BOOTTIME. There is only one time here.
var timerClocks = map[uint64]bool{0: true, 1: true, 7: true}

// engineTimer makes an engine's helper of one that works on timers.
func engineTimer(fn func(c *CPU, args [5]uint64) (uint64, error)) engineHelper {
	return func(c *CPU, args [5]uint64, _ Callbacks) (uint64, error) { return fn(c, args) }
}

// timerInit: see Linux bpf_timer_init.
func (c *CPU) timerInit(args [5]uint64) (uint64, error) {
	if !timerClocks[args[2]] {
		return negative(errnoEINVAL), nil
	}
	return c.initTimer(args, btfTimer)
}

// workInit: see Linux bpf_wq_init.
func (c *CPU) workInit(args [5]uint64) (uint64, error) {
	if uint32(args[2]) != 0 {
		return negativeInt(errnoEINVAL), nil
	}
	r0, err := c.initTimer(args, btfWork)
	return uint64(uint32(r0)), err
}

// initTimer: see Linux __bpf_async_init.
func (c *CPU) initTimer(args [5]uint64, off func(*skepmaps.Spec) (int, bool)) (uint64, error) {
	addr, ts := uint32(args[0]), &c.machine.timers
	m := c.mapOf(args[1])
	if m == nil {
		return 0, errors.New("r2 is no map")
	}
	at, ok := off(m.Spec())
	value := addr - uint32(at)
	if _, _, found := skepmaps.ElementAt(m, value); !ok || !found {
		return 0, fmt.Errorf("r1 = %#x is no timer in a value of map %s", args[0], m.Spec().Name)
	}
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if ts.find(c, addr) != nil {
		return negative(errnoEBUSY), nil
	}
	ts.sweep(c)
	ts.last++
	if ts.last == 0 {
		ts.last++
	}
	t := &timer{id: ts.last, addr: addr, m: m, value: value, place: -1}
	ts.byID[t.id] = t
	c.machine.space.Store32(addr, t.id)
	return 0, nil
}

// find is the timer at an address, nil when there is none that was initialised and is not gone.
func (ts *timers) find(c *CPU, addr uint32) *timer {
	t := ts.byID[c.machine.space.Load32(addr)]
	if t == nil || t.addr != addr {
		return nil
	}
	return t
}

// sweep forgets timers that are gone, whenever there are twice as many as after the last time.
func (ts *timers) sweep(c *CPU) {
	if len(ts.byID) < ts.sweepAt {
		return
	}
	for id, t := range ts.byID {
		if ts.find(c, t.addr) != t {
			ts.disarm(t)
			delete(ts.byID, id)
		}
	}
	ts.sweepAt = max(2*len(ts.byID), 64)
}

// disarm takes a timer from its heap, and reports whether it was there.
func (ts *timers) disarm(t *timer) bool {
	if t.place < 0 {
		return false
	}
	heap.Remove(&ts.armed[t.cpu], t.place)
	return true
}

// arm starts a timer, anew when it was.
func (ts *timers) arm(c *CPU, t *timer, at uint64) {
	ts.disarm(t)
	for len(ts.armed) < len(c.machine.cpus) {
		ts.armed = append(ts.armed, nil)
	}
	ts.seq++
	t.at, t.seq, t.cpu = at, ts.seq, c.Env.CPU
	heap.Push(&ts.armed[t.cpu], t)
}

// setCallback: see Linux __bpf_async_set_callback.
func (c *CPU) setCallback(args [5]uint64, e Callbacks) (uint64, error) {
	if !e.Function(args[1]) {
		return 0, errNoFunction
	}
	ts := &c.machine.timers
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.find(c, uint32(args[0]))
	if t == nil {
		return negative(errnoEINVAL), nil
	}
	then := e.Deferred()
	t.then, t.fn = &then, args[1]
	return 0, nil
}

// workSetCallback: see Linux bpf_wq_set_callback_impl.
func (c *CPU) workSetCallback(args [5]uint64, e Callbacks) (uint64, error) {
	if uint32(args[2]) != 0 {
		return negativeInt(errnoEINVAL), nil
	}
	r0, err := c.setCallback(args, e)
	return uint64(uint32(r0)), err
}

// timerStart: see Linux bpf_timer_start, and hrtimer_start_range_ns: a time so far ahead that its sum with now is none never comes,
// and one that is past is now.
func (c *CPU) timerStart(args [5]uint64) (uint64, error) {
	nsecs, flags := args[1], args[2]
	if flags&^uint64(timerAbs|timerPin) != 0 {
		return negative(errnoEINVAL), nil
	}
	now := c.Env.Now()
	at := nsecs
	switch {
	case flags&timerAbs != 0:
		if int64(at) < int64(now) {
			at = now
		}
	case int64(nsecs) < 0 || int64(now+nsecs) < 0:
		at = math.MaxInt64
	default:
		at = now + nsecs
	}
	return c.startAt(args[0], at), nil
}

// workStart: see Linux bpf_wq_start. The work is done as soon as the program has ended.
func (c *CPU) workStart(args [5]uint64) (uint64, error) {
	if uint32(args[1]) != 0 {
		return negativeInt(errnoEINVAL), nil
	}
	return uint64(uint32(c.startAt(args[0], c.Env.Now()))), nil
}

func (c *CPU) startAt(addr, at uint64) uint64 {
	ts := &c.machine.timers
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.find(c, uint32(addr))
	if t == nil || t.then == nil {
		return negative(errnoEINVAL)
	}
	ts.arm(c, t, at)
	return 0
}

// timerCancel: see Linux bpf_timer_cancel. Deviation: it does not wait for a callback that runs on another CPU.
func (c *CPU) timerCancel(args [5]uint64) (uint64, error) {
	ts := &c.machine.timers
	ts.mu.Lock()
	defer ts.mu.Unlock()
	t := ts.find(c, uint32(args[0]))
	switch {
	case t == nil:
		return negative(errnoEINVAL), nil
	case t == c.running:
		return negative(errnoEDEADLK), nil
	}
	t.then = nil
	if ts.disarm(t) {
		return 1, nil
	}
	return 0, nil
}

// due takes the next timer that is to fire on c at now or before.
func (ts *timers) due(c *CPU, now uint64) (*timer, *Deferred, uint64) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if c.Env.CPU >= len(ts.armed) {
		return nil, nil, 0
	}
	for h := &ts.armed[c.Env.CPU]; len(*h) > 0 && (*h)[0].at <= now; {
		t := heap.Pop(h).(*timer)
		if ts.find(c, t.addr) == t {
			return t, t.then, t.fn
		}
		delete(ts.byID, t.id)
	}
	return nil, nil, 0
}

// NextTimer is the time in ns at which the next timer of the CPU fires; false when none is armed.
func (c *CPU) NextTimer() (at uint64, ok bool) {
	ts := &c.machine.timers
	ts.mu.Lock()
	defer ts.mu.Unlock()
	if c.Env.CPU >= len(ts.armed) {
		return 0, false
	}
	for h := &ts.armed[c.Env.CPU]; len(*h) > 0; heap.Pop(h) {
		if t := (*h)[0]; ts.find(c, t.addr) == t {
			return t.at, true
		}
	}
	return 0, false
}

// MaxTimerRuns is how many callbacks one RunTimers calls.
const MaxTimerRuns = 1 << 24

// RunTimers calls back for every timer of the CPU that is to fire at now (ns of the machine's clock) or before, in the order of
// their times, and for work that waits. Without Config.Clock each callback runs at the very time that its timer was set for: a
// callback that starts its timer again may run several times. ran counts the callbacks. The budget of a run is that of all of
// them together. No program may be running on the CPU.
//
// The error is the *Fault of a callback, or says that there were more than MaxTimerRuns; the other timers are then still set.
func (c *CPU) RunTimers(now uint64) (ran int, err error) {
	budget := c.machine.config.Budget
	for {
		t, then, fn := c.machine.timers.due(c, now)
		if t == nil {
			return ran, nil
		}
		if then == nil {
			continue
		}
		if ran == MaxTimerRuns {
			return ran, fmt.Errorf("timers of map %s fire more than %d times until %d ns", t.m.Spec().Name, MaxTimerRuns, now)
		}
		ran++
		insns, err := c.fire(t, then, fn, budget)
		if err != nil {
			return ran, err
		}
		budget -= min(insns, budget)
	}
}

// A CPU's block of guest memory for callbacks: a frame header with the time, room for what helpers would look for in a ctx, and the key of
// an element of an array.
const (
	asyncCtx  = prog.FrameHeader
	asyncKey  = asyncCtx + 256
	asyncSize = asyncKey + 8
)

// fire calls a timer's function: fn(map, key, value) (Linux: bpf_timer_cb, bpf_wq_work).
func (c *CPU) fire(t *timer, then *Deferred, fn, budget uint64) (insns uint64, err error) {
	engine, err := c.functionEngine(then)
	if err != nil {
		return 0, err
	}
	space := c.machine.space
	if c.async == 0 {
		if c.async, err = space.Alloc(asyncSize, 64); err != nil {
			return 0, err
		}
	}
	block, _ := space.Bytes(c.async, asyncSize)
	clear(block)
	key, keyAddr, ok := skepmaps.ElementAt(t.m, t.value)
	if !ok {
		return 0, nil
	}
	if keyAddr == 0 {
		keyAddr = c.async + asyncKey
		copy(block[asyncKey:], key)
	}
	ctx := c.async + asyncCtx
	c.Begin(then.Program, ctx)
	space.Store64(ctx+frameOffset(prog.FrameTime), t.at)
	c.running = t
	defer func() { c.running = nil }()
	engine.Grant(t.m, keyAddr, t.value)
	res, err := engine.CallFunction(fn, [5]uint64{uint64(t.m.Handle()), uint64(keyAddr), uint64(t.value)}, budget)
	return res.Insns, err
}

// functionEngine finds the CPU's engine for the functions of a program, or makes it.
func (c *CPU) functionEngine(d *Deferred) (FunctionEngine, error) {
	key := engineKey{d.Program, d.Engine}
	if e := c.engines[key]; e != nil {
		return e, nil
	}
	e, err := d.New(c)
	if err != nil {
		return nil, err
	}
	if c.engines == nil {
		c.engines = map[engineKey]FunctionEngine{}
	}
	c.engines[key] = e
	return e, nil
}

type engineKey struct {
	program *Linked
	engine  string
}

// UsesTimers reports whether a program linked so far may set a timer or queue work. All programs count, as any may be tail-called. When
// none does, time may go on in steps of any size without RunTimers.
func (m *Machine) UsesTimers() bool {
	return slices.ContainsFunc(m.Programs(), func(l *Linked) bool {
		return m.calls(l, func(row *helpers.Row) bool { return setsTimer[row.Name] })
	})
}

var setsTimer = map[string]bool{"bpf_timer_start": true, "bpf_wq_start": true}

// save copies what the timers wait for.
func (ts *timers) save() timers {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	return timers{byID: cloneTimers(ts.byID), last: ts.last, seq: ts.seq}
}

// restore makes the timers what they were when saved was made of them.
func (ts *timers) restore(saved *timers, cpus int) {
	ts.mu.Lock()
	defer ts.mu.Unlock()
	ts.byID, ts.last, ts.seq, ts.sweepAt = cloneTimers(saved.byID), saved.last, saved.seq, 0
	ts.armed = make([]timerHeap, cpus)
	for _, t := range ts.byID {
		if t.place >= 0 {
			heap.Push(&ts.armed[t.cpu], t)
		}
	}
}

func cloneTimers(byID map[uint32]*timer) map[uint32]*timer {
	out := maps.Clone(byID)
	for id, t := range out {
		c := *t
		out[id] = &c
	}
	if out == nil {
		out = map[uint32]*timer{}
	}
	return out
}

// btfTimer and btfWork are where a map's values have a timer or a work queue.
func btfTimer(s *skepmaps.Spec) (int, bool) { return s.Timer() }

func btfWork(s *skepmaps.Spec) (int, bool) { return s.Workqueue() }
