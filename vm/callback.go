package vm

import (
	"errors"
	"math"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
)

// Error numbers that the helpers of this file return, negated.
const (
	errnoE2BIG   = 7
	errnoEBUSY   = 16
	errnoEINVAL  = 22
	errnoEDEADLK = 35
)

func negative(errno uint64) uint64 { return -errno }

// negativeInt is a C int, as kernel functions return it.
func negativeInt(errno uint64) uint64 { return uint64(uint32(-errno)) }

// Callbacks is what the helpers that call back into the program need of an engine in a run.
type Callbacks interface {
	// Function reports whether an instruction of the running program begins at slot.
	Function(slot uint64) bool
	// CallBack calls the local function at slot with args in R1 to R5, as the helper's call would, and returns its R0.
	CallBack(slot uint64, args [5]uint64) (uint64, *Fault)
	// Grant lets the next callback use an element: the key at a guest address, the value at another.
	Grant(m maps.Map, key, value uint32)
	// Deferred says how to call functions of the running program when it has ended.
	Deferred() Deferred
}

// engineHelper does a helper: R1 to R5 in, R0 out.
type engineHelper func(c *CPU, args [5]uint64, e Callbacks) (uint64, error)

// engineHelpers are the helpers and kernel functions whose rows have Engine set, but for the tail call.
var engineHelpers = map[string]engineHelper{
	"bpf_loop":                 (*CPU).loop,
	"bpf_for_each_map_elem":    (*CPU).forEachElem,
	"bpf_user_ringbuf_drain":   (*CPU).drain,
	"bpf_timer_init":           engineTimer((*CPU).timerInit),
	"bpf_timer_set_callback":   (*CPU).setCallback,
	"bpf_timer_start":          engineTimer((*CPU).timerStart),
	"bpf_timer_cancel":         engineTimer((*CPU).timerCancel),
	"bpf_throw":                throw,
	"bpf_wq_init":              engineTimer((*CPU).workInit),
	"bpf_wq_set_callback_impl": (*CPU).workSetCallback,
	"bpf_wq_start":             engineTimer((*CPU).workStart),
}

// EngineHelper does the helpers that engines have a part in: those that call back into the program, now or later. R1 to R5 in, R0
// out. The error is the *Fault of a callback, or says why the helper failed. The row has Engine set, and is not the tail call.
func (c *CPU) EngineHelper(row *helpers.Row, args [5]uint64, e Callbacks) (uint64, error) {
	if do := engineHelpers[row.Name]; do != nil {
		return do(c, args, e)
	}
	return 0, errNoPart
}

// errNoPart is for rows without Engine, which engines call themselves.
var errNoPart = errors.New("engines have no part in this helper")

// throw is bpf_throw(cookie): whatever functions are running end, and so does the program, with the cookie as its result.
func throw(_ *CPU, args [5]uint64, _ Callbacks) (uint64, error) {
	f := &Fault{Kind: Thrown}
	f.Regs[0] = args[0]
	return 0, f
}

// Catch is what a fault means at the end of a run: nil, with the result, when the program has thrown.
func (f *Fault) Catch(r0 *uint64) *Fault {
	if f == nil || f.Kind != Thrown {
		return f
	}
	*r0 = f.Regs[0]
	return nil
}

var errNoFunction = errors.New("callback is no instruction of the program")

// loop is bpf_loop(nr, callback, ctx, flags): R0 is the number of iterations done.
func (c *CPU) loop(args [5]uint64, e Callbacks) (uint64, error) {
	nr, fn, ctx, flags := uint32(args[0]), args[1], args[2], args[3]
	switch {
	case !e.Function(fn):
		return 0, errNoFunction
	case flags != 0:
		return negative(errnoEINVAL), nil
	case nr > MaxLoops: // 32 bits of it: the kernel has no call here any more but instructions (inline_bpf_loop)
		return uint64(uint32(negative(errnoE2BIG))), nil
	}
	for i := range nr {
		r0, f := e.CallBack(fn, [5]uint64{uint64(i), ctx})
		if f != nil {
			return 0, f
		}
		if r0 != 0 {
			return uint64(i) + 1, nil
		}
	}
	return uint64(nr), nil
}

// forEachElem is bpf_for_each_map_elem(map, callback, ctx, flags): R0 is the number of elements visited. The callback
// gets the map, a copy of the key, the value on this CPU, and ctx.
func (c *CPU) forEachElem(args [5]uint64, e Callbacks) (uint64, error) {
	handle, fn, ctx, flags := args[0], args[1], args[2], args[3]
	if !e.Function(fn) {
		return 0, errNoFunction
	}
	m := c.mapOf(handle)
	if m == nil || !iterable(m.Spec().Type) || flags != 0 {
		return negative(errnoEINVAL), nil
	}
	space := c.machine.space
	key, err := space.Alloc(max(m.Spec().KeySize, 1), 8)
	if err != nil {
		return 0, err
	}
	defer space.Free(key)
	view, _ := space.Bytes(key, m.Spec().KeySize)
	done := uint64(0)
	for _, k := range keysOf(m) {
		value := m.LookupAddr(c.Env.CPU, k)
		if value == 0 {
			continue // deleted by an earlier callback
		}
		copy(view, k)
		e.Grant(m, key, value)
		r0, f := e.CallBack(fn, [5]uint64{handle, uint64(key), uint64(value), ctx})
		if f != nil {
			return 0, f
		}
		done++
		if r0 != 0 {
			break
		}
	}
	return done, nil
}

// Limits of bpf_user_ringbuf_drain (Linux: BPF_MAX_USER_RINGBUF_SAMPLES, BPF_RB_NO_WAKEUP | BPF_RB_FORCE_WAKEUP).
const (
	maxDrained  = 128 << 10
	wakeupFlags = 3
)

// drain is bpf_user_ringbuf_drain(map, callback, ctx, flags): R0 is the number of samples that the callback got, as a dynptr
// each (Linux: bpf_user_ringbuf_drain).
func (c *CPU) drain(args [5]uint64, e Callbacks) (uint64, error) {
	handle, fn, ctx, flags := args[0], args[1], args[2], args[3]
	if !e.Function(fn) {
		return 0, errNoFunction
	}
	m, ok := c.mapOf(handle).(*maps.UserRing)
	if !ok || flags&^uint64(wakeupFlags) != 0 {
		return negative(errnoEINVAL), nil
	}
	done, ok := m.Drain()
	if !ok {
		return negative(errnoEBUSY), nil
	}
	defer done()
	dynptr, err := c.machine.space.Alloc(helpers.DynptrSize, 8)
	if err != nil {
		return 0, err
	}
	defer c.machine.space.Free(dynptr)
	given := uint64(0)
	for range maxDrained {
		sample, size, next, errno := m.Peek()
		switch errno {
		case 0:
		case maps.EAGAIN:
			continue
		case maps.ENODATA:
			return given, nil
		default:
			return errno.Ret(), nil
		}
		c.Env.LocalDynptr(dynptr, sample, size)
		r0, f := e.CallBack(fn, [5]uint64{uint64(dynptr), ctx})
		if f != nil {
			return 0, f
		}
		m.Release(next)
		given++
		if r0 != 0 {
			break
		}
	}
	return given, nil
}

// interpCallbacks is the interpreter as EngineHelper sees it.
type interpCallbacks Interpreter

// engineHelper does a helper that calls back.
func (x *Interpreter) engineHelper(row *helpers.Row) *Fault {
	r0, err := x.cpu.EngineHelper(row, [5]uint64(x.regs[1:6]), (*interpCallbacks)(x))
	if err != nil {
		if f, ok := err.(*Fault); ok {
			return f
		}
		f := x.fault(HelperError)
		f.Helper, f.Err = row.Name, err
		return f
	}
	x.regs[0] = r0
	return nil
}

func (x *interpCallbacks) Function(slot uint64) bool {
	_, ok := x.prog.at(slot)
	return ok
}

func (c *interpCallbacks) CallBack(slot uint64, args [5]uint64) (uint64, *Fault) {
	x := (*Interpreter)(c)
	entry, _ := x.prog.at(slot)
	copy(x.regs[1:], args[:])
	if f := x.enter(entry); f != nil {
		return 0, f
	}
	outer := x.base
	x.base = x.depth
	if f := x.resume(); f != nil {
		return 0, f
	}
	x.base = outer
	x.leave()
	return x.regs[0], nil
}

func (x *interpCallbacks) Grant(m maps.Map, key, value uint32) {
	if x.check != nil {
		x.check.grant(span{key, m.Spec().KeySize, false})
		x.check.grantElement(m, value)
	}
}

// Deferred implements Callbacks.
func (c *interpCallbacks) Deferred() Deferred {
	x := (*Interpreter)(c)
	l, o := x.prog, x.options
	return Deferred{Program: l, Engine: x.Name(), New: func(cpu *CPU) (FunctionEngine, error) {
		engine, err := NewInterpreter(cpu, l, o)
		if err != nil {
			return nil, err
		}
		return (*interpFunctions)(engine), nil
	}}
}

// interpFunctions is an interpreter that runs functions by themselves.
type interpFunctions Interpreter

// CallFunction implements FunctionEngine.
func (c *interpFunctions) CallFunction(slot uint64, args [5]uint64, budget uint64) (Result, error) {
	x := (*Interpreter)(c)
	entry, ok := x.entry.at(slot)
	if !ok {
		return Result{}, errNoFunction
	}
	x.budget = int64(min(budget, math.MaxInt64))
	x.start(entry)
	copy(x.regs[1:], args[:])
	if x.check != nil {
		x.check.beginFunction(x)
		defer x.check.end(x.cpu)
	}
	return x.result(x.resume().Catch(&x.regs[0]))
}

// Grant implements FunctionEngine.
func (c *interpFunctions) Grant(m maps.Map, key, value uint32) {
	(*interpCallbacks)(c).Grant(m, key, value)
}

// iterable reports whether a map type has map_for_each_callback in the kernel.
func iterable(t maps.Type) bool {
	switch t {
	case maps.Hash, maps.LRUHash, maps.PerCPUHash, maps.LRUPerCPUHash, maps.Array, maps.PerCPUArray:
		return true
	}
	return false
}

// keysOf lists the keys first, so that a callback may delete elements.
func keysOf(m maps.Map) [][]byte {
	keys := make([][]byte, 0, m.Len())
	for k, ok := m.Next(nil); ok && len(keys) < cap(keys); k, ok = m.Next(k) {
		keys = append(keys, append([]byte(nil), k...))
	}
	return keys
}
