package replay

import (
	"time"

	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// side is one engine and the guest memory that a replay has on its machine.
type side struct {
	engine vm.Engine
	space  *mem.Space
	maps   *maps.Table
	cpu    *vm.CPU // nil when no program sets timers
	chunk  uint32  // guest address of the load's chunk, or of a copy of its packets; 0 when they are copied to slots
	frames uint32  // ctx of the first frame
	stride uint32
	slots  uint32 // guest address of the slots; 0 when packets are in the chunk
	slot   uint32 // size of each
	large  uint32 // slot for a packet that is too long for the others, 0 until there is one
	owned  []uint32
	failed []error // by frame of the batch
	chain  *Chain  // the engine, when it is one
	timed  *detail // nil when nobody asks how long packets take
}

func newSide(t Target, o *Options, frames int, move bool, slot uint32) (s *side, err error) {
	typ := o.Type
	s = &side{engine: t.Engine, space: t.Machine.Space(), maps: t.Machine.Maps(), stride: prog.FrameStride(typ.Row().FrameSize())}
	s.failed = make([]error, frames)
	defer func() {
		if err != nil {
			s.free()
		}
	}()
	if s.frames, err = s.alloc(s.stride * uint32(frames)); err != nil {
		return nil, err
	}
	s.frames += prog.FrameHeader
	if s.chain, _ = t.Engine.(*Chain); s.chain != nil {
		if err = s.chain.begin(s, frames, o); err != nil {
			return nil, err
		}
	}
	if move {
		s.slot = slot
		s.slots, err = s.alloc(slot * uint32(frames))
	}
	return s, err
}

func (s *side) alloc(n uint32) (uint32, error) {
	addr, err := s.space.Alloc(n, 64)
	if err == nil {
		s.owned = append(s.owned, addr)
	}
	return addr, err
}

func (s *side) free() {
	if s.chain != nil {
		s.chain.side = nil
	}
	for _, addr := range s.owned {
		s.space.Free(addr)
	}
}

// run runs the engine over n frames and returns how many it ran. A fault counts for its frame only, unless stop is set.
func (s *side) run(n int, stop bool) (int, error) {
	clear(s.failed[:n])
	for at := 0; at < n; {
		done, err := s.batch(at, n)
		at += done
		if err == nil {
			continue
		}
		s.failed[at] = err
		at++
		if stop {
			return at, err
		}
	}
	return n, nil
}

// batch runs frames from at on, one of them when its time is wanted.
func (s *side) batch(at, n int) (int, error) {
	first := s.frames + uint32(at)*s.stride
	if s.timed == nil {
		return s.engine.RunBatch(first, s.stride, n-at)
	}
	start := time.Now()
	done, err := s.engine.RunBatch(first, s.stride, 1)
	took := time.Since(start)
	if s.chain != nil {
		took -= s.chain.looked()
	}
	s.timed.took(took)
	return done, err
}
