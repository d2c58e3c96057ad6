package verifier

// step is one executed instruction of a path. A path is a linked list, newest first, so that paths share their
// beginnings and copying one costs nothing.
type step struct {
	prev  uint32 // index of the step before, 0 none
	pc    uint32
	stack uint32 // stack slot that the instruction spilled to or filled from: stackStep; srcIsStack, dstIsStack
	links uint32 // index of the set of scalars that the branch narrowed together, 0 none
}

// Flags of a branch in step.stack: an operand points to the stack, so it is no number that could matter.
const (
	srcIsStack = 1 << 29
	dstIsStack = 1 << 30
)

// stackStep packs a frame and a slot, not 0.
func stackStep(frame uint8, slot int) uint32 { return 1<<31 | uint32(frame)<<8 | uint32(slot) }

func (s *step) slot() (frame uint8, slot int, ok bool) {
	return uint8(s.stack >> 8), int(s.stack & 0xff), s.stack>>31 != 0
}

const stepChunk = 512

// steps is a slab of steps in chunks, so that growing moves nothing. Index 0 is not used.
type steps struct {
	chunks []*[stepChunk]step
	n      uint32
}

func (s *steps) at(i uint32) *step { return &s.chunks[i/stepChunk][i%stepChunk] }

func (s *steps) add(prev uint32, pc int) uint32 {
	s.n++
	if int(s.n/stepChunk) >= len(s.chunks) {
		s.chunks = append(s.chunks, new([stepChunk]step))
	}
	*s.at(s.n) = step{prev: prev, pc: uint32(pc)}
	return s.n
}
