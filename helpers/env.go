package helpers

import (
	"time"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Env is all that a helper may see and touch during a run: one virtual CPU's view of the machine. Nothing in it
// comes from the host unless its maker put it there, so runs are reproducible.
type Env struct {
	Space   *mem.Space
	Maps    *maps.Table // handle -> map
	CPU     int         // number of this virtual CPU
	NumCPUs int
	Type    prog.Type   // of the running program
	Attach  prog.Attach // where that is attached, as far as its section says
	Ctx     uint32      // guest address of the running program's ctx; frame header before it

	// Clock gives monotonic ns. nil means packet time: FrameTime of the ctx.
	Clock func() uint64
	// TAI gives bpf_ktime_get_tai_ns; nil means the same as the clock.
	TAI func() uint64
	// Rand gives bpf_get_prandom_u32's values; deterministic by default.
	Rand func() uint32
	// LockWait is how long bpf_spin_lock waits for a lock that another CPU has, before it counts as lost; 0 is a second.
	LockWait time.Duration
	// Trace receives each line of bpf_trace_printk; nil drops them.
	Trace func(line string)
	// Event receives what bpf_perf_event_output sends; the data is only valid during the call. nil drops it.
	Event func(m maps.Map, cpu int, data []byte)

	// Router answers bpf_fib_lookup and bpf_check_mtu. nil answers BPF_FIB_LKUP_RET_NOT_FWDED, and knows no interface.
	Router Router
	// Cgroup is the id of the control group that programs are attached to, for those that are attached to one.
	Cgroup uint64
	// Task is the current task; nil is one of zeros.
	Task *Task
	// Memory is what raw pointers of tracing programs point to; nil is nothing.
	Memory *Memory
	// Sockets are the host's; nil is none.
	Sockets *Sockets
	// Clone receives the copies that bpf_clone_redirect sends; the data is only valid during the call. nil drops them.
	Clone func(ifindex uint32, flags uint64, data []byte)
	// Clones counts the calls of bpf_clone_redirect that sent a copy.
	Clones uint64

	// Effect receives what programs ask for that has no other place; nil drops it.
	Effect func(Effect)
	// Counter is the performance counter in an element of a perf event array; nil knows none.
	Counter func(m maps.Map, index uint32) (Counter, bool)
	// FuncIP and Cookie are what bpf_get_func_ip and bpf_get_attach_cookie say of the hook.
	FuncIP, Cookie uint64

	// TailCall is set by bpf_tail_call when it succeeds: the engine continues at that program. 0 is none, else id+1.
	TailCall uint32

	lock    uint32            // guest address of the spin lock that the program has taken
	scratch [16]byte          // keys of helpers that take them in a register
	event   []byte            // a sample being put together
	line    []byte            // text being put together
	bits    map[uint32][]byte // of iterators over several words, see iterBitsNew
	tunnel  tunnel            // what bpf_skb_set_tunnel_key said of the packet
}

// Func is a helper's implementation: r1..r5 in, R0 out. Guest addresses in them are not to be trusted: access goes
// through Space, which cannot leave guest memory. A non-nil error stops the guest with a fault (never a host panic).
type Func func(e *Env, r1, r2, r3, r4, r5 uint64) (uint64, error)
