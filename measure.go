package skep

import (
	"fmt"
	"slices"
	"time"

	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
)

// Measurement is how fast an engine ran a program over a set of packets. Times are ns a packet, without setting up the frames;
// Min is of the fastest round, Median of the middle one.
type Measurement struct {
	Engine  string  `json:"engine"`
	Packets int     `json:"packets"` // in each round
	Rounds  int     `json:"rounds"`
	Insns   float64 `json:"insns"`     // executed for a packet, on average
	Single  Spread  `json:"single_ns"` // one call of the engine for each packet
	Batch   Spread  `json:"batch_ns"`  // one call for all of them
}

// Spread is the fastest and the middle of several rounds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
}

// Measure runs a program over packets again and again, rounds times, and says how long a packet takes. Each round starts
// from fresh packets; maps keep what earlier rounds left.
func (v *VM) Measure(name string, packets [][]byte, rounds int) (Measurement, error) {
	p, err := v.program(name)
	if err != nil {
		return Measurement{}, err
	}
	if len(packets) == 0 || rounds < 1 {
		return Measurement{}, fmt.Errorf("measuring needs packets and rounds, got %d and %d", len(packets), rounds)
	}
	b, err := newBench(v.machine.Space(), p, packets)
	if err != nil {
		return Measurement{}, err
	}
	defer b.free()
	m := Measurement{Engine: p.engine.Name(), Packets: len(packets), Rounds: rounds}
	m.Single, err = b.spread(rounds, func() error {
		for i := range packets {
			if _, err := p.engine.Run(b.ctx(i)); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return m, err
	}
	m.Batch, err = b.spread(rounds, func() error {
		_, err := p.engine.RunBatch(b.ctx(0), b.stride, len(packets))
		return err
	})
	for i := range packets {
		m.Insns += float64(b.space.Load64(b.at(i, prog.FrameInsns))) / float64(len(packets))
	}
	return m, err
}

// bench is a row of frames, each with a packet buffer of its own.
type bench struct {
	space   *mem.Space
	typ     prog.Type
	packets [][]byte
	first   uint32 // ctx of frame 0
	stride  uint32
	buffers []uint32
}

// Room around a measured packet, bytes.
const (
	benchHead = prog.XDPHeadroom
	benchTail = 256
)

func newBench(space *mem.Space, p *program, packets [][]byte) (*bench, error) {
	row := p.spec.Type.Row()
	if !row.Packet {
		return nil, fmt.Errorf("program type %s has no packets", p.spec.Type)
	}
	b := &bench{space: space, typ: p.spec.Type, packets: packets, stride: prog.FrameStride(row.CtxSize)}
	area, err := space.Alloc(b.stride*uint32(len(packets)), 64)
	if err != nil {
		return nil, err
	}
	b.first = area + prog.FrameHeader
	for i, packet := range packets {
		addr, err := space.Alloc(uint32(len(packet))+benchHead+benchTail, 64)
		if err != nil {
			b.free()
			return nil, err
		}
		b.buffers = append(b.buffers, addr)
		space.Allow(b.ctx(i), uint32(row.CtxSize), true)
		space.Allow(addr+benchHead, uint32(len(packet)), true)
	}
	return b, nil
}

func (b *bench) ctx(i int) uint32           { return b.first + uint32(i)*b.stride }
func (b *bench) at(i int, off int32) uint32 { return b.ctx(i) + uint32(off) }

func (b *bench) free() {
	for _, addr := range b.buffers {
		b.space.Free(addr)
	}
	b.space.Free(b.first - prog.FrameHeader)
}

// reset puts the packets back as they were.
func (b *bench) reset() {
	for i, packet := range b.packets {
		addr := b.buffers[i]
		data := addr + benchHead
		if dst, ok := b.space.Bytes(data, uint32(len(packet))); ok {
			copy(dst, packet)
		}
		in := prog.Input{Number: uint64(i + 1), Ifindex: 1, Time: uint64(i) * 1000}
		prog.SetFrame(b.space, b.ctx(i), b.typ, addr+prog.XDPFrameSize, data, data+uint32(len(packet)),
			data+uint32(len(packet))+benchTail, &in)
	}
}

// spread times run, a run over all packets, rounds times.
func (b *bench) spread(rounds int, run func() error) (Spread, error) {
	times := make([]float64, rounds)
	for i := range times {
		b.reset()
		start := time.Now()
		if err := run(); err != nil {
			return Spread{}, err
		}
		times[i] = float64(time.Since(start).Nanoseconds()) / float64(len(b.packets))
	}
	slices.Sort(times)
	return Spread{Min: times[0], Median: times[rounds/2]}, nil
}
