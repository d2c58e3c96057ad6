package gen

import "math/rand/v2"

// Source makes the generator's choices: numbers in [0, n). The same source gives the same program.
type Source interface{ IntN(n int) int }

// FromSeed is a source that never ends.
func FromSeed(seed uint64) Source { return rand.New(rand.NewPCG(seed, 0x736b6570)) }

// FromBytes is a source that a fuzzer can steer: a choice takes one byte, or two when n is above 256. When the bytes
// are used up, they begin again, changed a little, so that short inputs make whole programs.
func FromBytes(b []byte) Source { return &byteSource{b: b} }

type byteSource struct {
	b      []byte
	i      int
	rounds byte
}

func (s *byteSource) next() int {
	if len(s.b) == 0 {
		return 0
	}
	if s.i == len(s.b) {
		s.i = 0
		s.rounds += 31
	}
	v := s.b[s.i] + s.rounds
	s.i++
	return int(v)
}

func (s *byteSource) IntN(n int) int {
	v := s.next()
	if n > 256 {
		v = v<<8 | s.next()
	}
	return v % n
}
