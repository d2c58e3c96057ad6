package vm

import (
	"encoding/binary"

	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/maps"
)

// CPU is a virtual processor: an environment for helpers and a guest stack. Only one engine may run on it at a
// time.
type CPU struct {
	Env *helpers.Env
	// StackTop is the guest address one past the stack: R10 of frame 0. Frame i's is StackTop - i*FrameSize; the frames
	// are one block of MaxFrames*FrameSize bytes.
	StackTop uint32

	stack     []byte // the frames, the last one first
	machine   *Machine
	rng       splitMix // of Env.Rand, until somebody gives another
	tailCalls int      // successful tail calls of the current run
	key       [4]byte

	async   uint32 // guest memory of callbacks, see asyncSize; 0 before the first
	running *timer // whose callback runs
	engines map[engineKey]FunctionEngine
}

const stackSize = MaxFrames * FrameSize

func newCPU(m *Machine, number int) (*CPU, error) {
	base, err := m.space.Alloc(stackSize, 64)
	if err != nil {
		return nil, err
	}
	c := &CPU{StackTop: base + stackSize, machine: m, rng: splitMix{state: m.config.Seed ^ uint64(number)<<32}}
	c.stack, _ = m.space.Bytes(base, stackSize)
	c.Env = &helpers.Env{
		Space:   m.space,
		Maps:    m.table,
		CPU:     number,
		NumCPUs: m.config.CPUs,
		Clock:   m.config.Clock,
		Rand:    c.rng.next,
		Trace:   m.config.Trace,
		Event:   m.config.Event,
		Effect:  m.config.Effect,
		Counter: m.config.Counter,
		Router:  m.config.Router,
		Sockets: m.sockets,
	}
	return c, nil
}

// Machine returns the machine that the CPU belongs to.
func (c *CPU) Machine() *Machine { return c.machine }

// FrameTop returns R10 of frame i.
func (c *CPU) FrameTop(i int) uint32 { return c.StackTop - uint32(i)*FrameSize }

// ZeroFrame zeroes frame i.
func (c *CPU) ZeroFrame(i int) {
	top := stackSize - i*FrameSize
	clear(c.stack[top-FrameSize : top])
}

// Begin prepares a run of l on ctx: engines call it first.
func (c *CPU) Begin(l *Linked, ctx uint32) {
	c.Env.Begin()
	c.Env.Ctx = ctx
	c.Env.Type, c.Env.Attach = l.prog.Type, l.attach
	c.tailCalls = 0
}

// TailCall resolves a bpf_tail_call to entry index of the program array with that handle, and counts it. nil means
// that it fails: no such array, no program there, or too many in this run.
func (c *CPU) TailCall(handle, index uint32) *Linked {
	m := c.machine.table.Get(handle)
	if m == nil || m.Spec().Type != maps.ProgArray || c.tailCalls >= MaxTailCalls {
		return nil
	}
	binary.LittleEndian.PutUint32(c.key[:], index)
	addr := m.LookupAddr(c.Env.CPU, c.key[:])
	if addr == 0 {
		return nil
	}
	next := c.machine.Program(c.machine.space.Load32(addr) - 1)
	if next != nil {
		c.tailCalls++
	}
	return next
}

// splitMix is Vigna's SplitMix64: small, seedable, and good enough for bpf_get_prandom_u32.
type splitMix struct{ state uint64 }

func (s *splitMix) next() uint32 {
	s.state += 0x9e3779b97f4a7c15
	z := s.state
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return uint32((z ^ z>>31) >> 32)
}
