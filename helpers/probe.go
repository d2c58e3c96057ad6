package helpers

import (
	"encoding/binary"
	"slices"

	"github.com/skepvm/skep/maps"
)

// Task is the current task: what a tracing program's helpers say of it. nil stands for the zero value.
type Task struct {
	PID, TGID, UID, GID uint32
	Comm                string // its first 15 bytes count
	Addr                uint64 // of its struct task_struct, as bpf_get_current_task gives it
	CgroupID            uint64
	NSDev               uint32 // the pid namespace: device and inode number; 0 is none
	NSIno               uint64
	NSPID, NSTGID       uint32   // the task's numbers in it
	Ancestors           []uint64 // ids of the control groups above that one, the nearest first
	Stack, UserStack    []uint64 // return addresses, the innermost first
}

// taskCommLen is the size of a task's name, its last byte zero (Linux: TASK_COMM_LEN).
const taskCommLen = 16

// Memory is what raw pointers point to, beyond what programs reach by safe ones: objects of a described machine. The zero value is
// empty. Objects are at addresses of that machine's choice, the kernel's or a user's, and their bytes in guest memory.
type Memory struct{ objects []object }

// object is [at, at+size) of the described machine, at addr in guest memory.
type object struct {
	at         uint64
	addr, size uint32
	user       bool
}

// Add places size bytes of guest memory at an address; user is whose: the kernel's or user space's. False when another object is there.
func (m *Memory) Add(at uint64, addr, size uint32, user bool) bool {
	i, found := m.search(at)
	if found || i < len(m.objects) && m.objects[i].at-at < uint64(size) {
		return false
	}
	m.objects = slices.Insert(m.objects, i, object{at, addr, size, user})
	return true
}

// search finds the object that holds an address, or where it would be inserted.
func (m *Memory) search(at uint64) (i int, found bool) {
	i, exact := slices.BinarySearchFunc(m.objects, at, func(o object, at uint64) int {
		switch {
		case o.at < at:
			return -1
		case o.at > at:
			return 1
		}
		return 0
	})
	if exact {
		return i, true
	}
	if i > 0 && at-m.objects[i-1].at < uint64(m.objects[i-1].size) {
		return i - 1, true
	}
	return i, false
}

// space says whose memory an access wants.
type memorySpace uint8

const (
	anySpace memorySpace = iota
	kernelSpace
	userSpace
)

// raw is the host's view of the bytes from at to the end of what is there, at most n; nil when nothing is.
func (e *Env) raw(at uint64, n uint32, whose memorySpace) []byte {
	if e.Memory != nil {
		if i, found := e.Memory.search(at); found {
			o := &e.Memory.objects[i]
			if whose == kernelSpace && o.user || whose == userSpace && !o.user {
				return nil
			}
			off := uint32(at - o.at)
			return e.bytes(o.addr+off, min(n, o.size-off))
		}
	}
	if whose == userSpace || at>>32 != 0 {
		return nil
	}
	size := e.Space.Allocated(uint32(at))
	return e.bytes(uint32(at), min(n, size))
}

// probeRead is bpf_probe_read and its kin: the destination is zeroed when the source is not there (Linux: bpf_probe_read_kernel_common).
func (e *Env) probeRead(r1, r2, r3 uint64, whose memorySpace) (uint64, error) {
	n := uint32(r2)
	dst, err := e.mem(1, r1, uint64(n))
	if err != nil {
		return 0, err
	}
	src := e.raw(r3, n, whose)
	if n > 0 && len(src) < int(n) {
		clear(dst)
		return missing(r3, whose).Ret(), nil
	}
	copy(dst, src)
	return 0, nil
}

// userEnd is where addresses begin that are the kernel's alone (Linux: TASK_SIZE_MAX and a page, on x86-64).
const userEnd = 1 << 47

// missing is the error for an address where nothing is: reads of the kernel's memory do not even try user space (Linux:
// copy_from_kernel_nofault_allowed).
func missing(at uint64, whose memorySpace) maps.Errno {
	if whose == kernelSpace && at < userEnd {
		return errRange
	}
	return errFault
}

// probeReadStr is bpf_probe_read_str and its kin: it returns the length with the zero at the end (Linux:
// strncpy_from_kernel_nofault).
func (e *Env) probeReadStr(r1, r2, r3 uint64, whose memorySpace) (uint64, error) {
	n := uint32(r2)
	dst, err := e.mem(1, r1, uint64(n))
	if err != nil || n == 0 {
		return 0, err
	}
	src := e.raw(r3, n, whose)
	end := slices.Index(src, 0)
	switch {
	case end >= 0:
		copy(dst, src[:end+1])
		return uint64(end) + 1, nil
	case len(src) < int(n):
		clear(dst)
		return missing(r3, whose).Ret(), nil
	}
	copy(dst, src)
	dst[n-1] = 0
	return uint64(n), nil
}

func probeRead(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeRead(r1, r2, r3, anySpace)
}

func probeReadStr(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeReadStr(r1, r2, r3, anySpace)
}

func probeReadKernel(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeRead(r1, r2, r3, kernelSpace)
}

func probeReadKernelStr(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeReadStr(r1, r2, r3, kernelSpace)
}

func probeReadUser(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeRead(r1, r2, r3, userSpace)
}

func probeReadUserStr(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	return e.probeReadStr(r1, r2, r3, userSpace)
}

// probeWriteUser: see Linux bpf_probe_write_user.
func probeWriteUser(e *Env, r1, r2, r3, _, _ uint64) (uint64, error) {
	src, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	dst := e.raw(r1, uint32(r3), userSpace)
	if len(dst) < len(src) {
		return errFault.Ret(), nil
	}
	copy(dst, src)
	return 0, nil
}

// task is the current one.
func (e *Env) task() *Task {
	if e.Task == nil {
		return &noTask
	}
	return e.Task
}

var noTask Task

func getCurrentPidTgid(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	t := e.task()
	return uint64(t.TGID)<<32 | uint64(t.PID), nil
}

func getCurrentUidGid(e *Env, _, _, _, _, _ uint64) (uint64, error) {
	t := e.task()
	return uint64(t.GID)<<32 | uint64(t.UID), nil
}

// getCurrentComm: see Linux bpf_get_current_comm. What is left of the buffer is zeroed.
func getCurrentComm(e *Env, r1, r2, _, _, _ uint64) (uint64, error) {
	buf, err := e.mem(1, r1, uint64(uint32(r2)))
	if err != nil || len(buf) == 0 {
		return 0, err
	}
	comm := e.task().Comm
	comm = comm[:min(len(comm), taskCommLen-1, len(buf)-1)]
	clear(buf[copy(buf, comm):])
	return 0, nil
}

func getCurrentTask(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.task().Addr, nil }

func getCurrentCgroupId(e *Env, _, _, _, _, _ uint64) (uint64, error) { return e.task().CgroupID, nil }

// Flags of bpf_get_stack and bpf_get_stackid.
const (
	stackSkip     = 0xff   // BPF_F_SKIP_FIELD_MASK
	stackUser     = 1 << 8 // BPF_F_USER_STACK
	stackFastCmp  = 1 << 9
	stackReuse    = 1 << 10
	stackMaxDepth = 127 // sysctl_perf_event_max_stack
)

// callTrace is the part of the current task's stack that flags ask for.
func (e *Env) callTrace(flags uint64) []uint64 {
	stack := e.task().Stack
	if flags&stackUser != 0 {
		stack = e.task().UserStack
	}
	stack = stack[:min(len(stack), stackMaxDepth)]
	return stack[min(len(stack), int(flags&stackSkip)):]
}

// getStack: see Linux bpf_get_stack. It returns how many bytes were written, whole addresses. Deviation: there are no build ids.
func getStack(e *Env, _, r2, r3, r4, _ uint64) (uint64, error) {
	buf, err := e.mem(2, r2, uint64(uint32(r3)))
	if err != nil {
		return 0, err
	}
	if r4&^uint64(stackSkip|stackUser) != 0 || len(buf)%8 != 0 {
		clear(buf)
		return maps.EINVAL.Ret(), nil
	}
	stack := e.callTrace(r4)
	if len(stack) == 0 {
		clear(buf)
		return errFault.Ret(), nil
	}
	n := 0
	for n < len(stack) && 8*n < len(buf) {
		binary.LittleEndian.PutUint64(buf[8*n:], stack[n])
		n++
	}
	clear(buf[8*n:])
	return uint64(8 * n), nil
}

// getStackid: see Linux bpf_get_stackid.
func getStackid(e *Env, _, r2, r3, _, _ uint64) (uint64, error) {
	m, err := e.mapArg(2, r2)
	if err != nil {
		return 0, err
	}
	traces, ok := m.(*maps.StackTraces)
	if !ok {
		return 0, &ArgError{2, r2, "is no map of stack traces"}
	}
	if r3&^uint64(stackSkip|stackUser|stackFastCmp|stackReuse) != 0 {
		return maps.EINVAL.Ret(), nil
	}
	stack := e.callTrace(r3)
	if len(stack) == 0 {
		return errFault.Ret(), nil
	}
	e.event = e.event[:0]
	for _, ip := range stack {
		e.event = binary.LittleEndian.AppendUint64(e.event, ip)
	}
	id, err := traces.Put(e.event, r3&stackReuse != 0, r3&stackFastCmp != 0)
	if err != nil {
		return ret(err)
	}
	return uint64(id), nil
}
