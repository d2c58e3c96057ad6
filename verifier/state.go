package verifier

import "slices"

// byteKind says what one byte of stack holds. (Linux: enum bpf_stack_slot_type.)
type byteKind uint8

const (
	stackInvalid byteKind = iota // never written
	stackSpill                   // part of a spilled register
	stackMisc                    // some scalar
	stackZero                    // zero
	stackDynptr                  // part of a dynptr
	stackIter                    // part of an open-coded iterator
	stackIRQ                     // state of interrupts
	numByteKinds
)

const (
	slotSize   = 8
	maxSlots   = 64 // 512 bytes
	stackBytes = maxSlots * slotSize
	maxFrames  = 8
)

// slot is 8 bytes of stack. bytes[0] has the lowest address. A register is spilled at the slot's start: bytes[0:n] are
// stackSpill and reg is what the n low bytes came from.
type slot struct {
	bytes [slotSize]byteKind
	reg   reg
}

// spilled reports whether the slot holds a register, or its low bytes.
func (s *slot) spilled() bool { return s.bytes[0] == stackSpill }

// spilledScalar reports whether that register is a scalar.
func (s *slot) spilledScalar() bool { return s.bytes[0] == stackSpill && s.reg.typ == scalar }

// spillSize counts the spilled bytes.
func (s *slot) spillSize() int {
	n := 0
	for n < slotSize && s.bytes[n] == stackSpill {
		n++
	}
	return n
}

// fill makes all bytes of one kind.
func (s *slot) fill(k byteKind) {
	for i := range s.bytes {
		s.bytes[i] = k
	}
}

// holds reports whether some byte is of the kind, filled whether all are.
func (s *slot) holds(k byteKind) bool  { return slices.Contains(s.bytes[:], k) }
func (s *slot) filled(k byteKind) bool { return s.bytes == [slotSize]byteKind{k, k, k, k, k, k, k, k} }

// scrub makes plain data of what was spilled, and of an object.
func (s *slot) scrub() {
	special := s.spilled() || s.bytes[0] > stackZero
	for i, k := range s.bytes {
		if special && k != stackInvalid { // also zeros beside a register, as in the kernel
			s.bytes[i] = stackMisc
		}
	}
	s.reg = reg{}
}

// frame is the activation of one function. (Linux: struct bpf_func_state.)
type frame struct {
	stack    []slot // stack[i] is [fp-8*(i+1), fp-8*i); only what was touched. First, as the collector looks no further
	regs     [11]reg
	callsite int32 // pc of the call
	fn       int32 // function number
	callback bool  // called by a helper
	async    int32 // called later, by the kernel, as so many callbacks set each other; 0 when it isn't
	calls    int32 // how often the helper at the current call of this frame called back
	// retMin and retMax bound what a callback must return.
	retMin, retMax int32
}

// copyFrom makes f equal to o, keeping f's own stack memory.
func (f *frame) copyFrom(o *frame) {
	stack := append(f.stack[:0], o.stack...)
	*f = *o
	f.stack = stack
}

// slotOf is the slot that holds the byte at off (below 0).
func slotOf(off int) int { return (-off - 1) / slotSize }

// grow makes sure that the frame has stack down to off, which is at least -512.
func (f *frame) grow(off int) {
	for n := slotOf(off) + 1; len(f.stack) < n; {
		f.stack = append(f.stack, slot{})
	}
}

// byteAt is the kind of the byte at off.
func (f *frame) byteAt(off int) *byteKind {
	return &f.stack[slotOf(off)].bytes[uint(off)%slotSize]
}

// ref is something that was acquired and must be released.
type ref struct {
	id  uint32
	pc  int32 // that acquired it
	irq bool  // saved state of interrupts, which is no leak but ends a region
}

// state is the machine at one point of one path. (Linux: struct bpf_verifier_state.)
type state struct {
	frames [maxFrames]*frame
	depth  int // index of the running frame
	pc     int // of a kept state

	refs    []ref
	lock    uint32 // id of the map value whose spin lock is held; 0 none
	lockMap int32  // its map
	region

	parent   *state // the kept state before this one on the path
	branches int    // paths from here that are not finished

	hist, histBase uint32 // last step of this state, and last step of its parent
	entries        int    // steps since its parent that the kernel's history of a path has
	length         int    // instructions on the path up to here
	lengthBase     int    // … up to its parent
	mayGotoDepth   int32  // how often a may_goto fell through
	returned       bool   // a callback has just returned to the helper call that called it
	sleepable      bool   // the function may sleep although the program must not: it is called for a work queue
	speculative    bool   // a mispredicted branch led here (see spectre.go)
	unrolled       int32  // how often a helper has called back

	// Of a kept state: how often it ended a path and how often not, and whether all its scalars are marked precise.
	hits, misses int
	allPrecise   bool
	cleaned      bool  // what nobody will read is gone
	evicted      bool  // no path is compared with it any more, but it lies on one
	differs      int32 // where a later state differed from it last, plus 1: see equal

	bytes int  // that its frames take
	thin  bool // its frames are gone: see thinOut
}

// top is the running frame.
func (s *state) top() *frame { return s.frames[s.depth] }

// eachReg calls f for every register and spilled register of every frame.
func (s *state) eachReg(f func(*reg)) {
	for _, fr := range s.frames[:s.depth+1] {
		for i := range fr.regs[:10] {
			f(&fr.regs[i])
		}
		for i := range fr.stack {
			if fr.stack[i].spilled() {
				f(&fr.stack[i].reg)
			}
		}
	}
}

// releaseRef forgets a reference; false when it is not held.
func (s *state) releaseRef(id uint32) bool {
	for i := range s.refs {
		if s.refs[i].id == id {
			s.refs = append(s.refs[:i], s.refs[i+1:]...)
			return true
		}
	}
	return false
}
