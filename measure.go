package skep

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// Measurement is how fast an engine ran a program over a set of packets. Times are ns a packet, without setting up the frames.
type Measurement struct {
	Engine  string  `json:"engine"`
	Packets int     `json:"packets"` // in each round
	Rounds  int     `json:"rounds"`
	Insns   float64 `json:"insns"`     // executed for a packet, on average
	Single  Spread  `json:"single_ns"` // one call of the engine for each packet
	Batch   Spread  `json:"batch_ns"`  // one call for all of them
}

// Spread is the fastest, the middle and the slowest of several rounds.
type Spread struct {
	Min    float64 `json:"min"`
	Median float64 `json:"median"`
	Max    float64 `json:"max"`
}

// SpreadOf sorts times, of which there must be one at least, and returns their spread.
func SpreadOf(times []float64) Spread {
	slices.Sort(times)
	n := len(times)
	return Spread{Min: times[0], Median: times[n/2], Max: times[n-1]}
}

// Measure runs a program over packets again and again, rounds times, and says how long a packet takes. Each round starts
// from fresh packets; maps keep what earlier rounds left.
func (v *VM) Measure(name string, packets [][]byte, rounds int) (Measurement, error) {
	if rounds < 1 {
		return Measurement{}, fmt.Errorf("measuring needs rounds, got %d", rounds)
	}
	meter, err := v.NewMeter(name, packets)
	if err != nil {
		return Measurement{}, err
	}
	defer meter.Close()
	m := Measurement{Engine: meter.engine.Name(), Packets: len(packets), Rounds: rounds}
	single, batch := make([]float64, rounds), make([]float64, rounds)
	for i := range rounds {
		if single[i], err = meter.Single(); err != nil {
			return m, err
		}
		if batch[i], err = meter.Batch(); err != nil {
			return m, err
		}
	}
	m.Single, m.Batch, m.Insns = SpreadOf(single), SpreadOf(batch), meter.Insns()
	return m, nil
}

// Meter times a program over packets a round at a time, so that several engines can take turns.
type Meter struct {
	engine vm.Engine
	frames *bench
}

// NewMeter readies the frames of a program's packets; name may be "" when the object has just one program.
func (v *VM) NewMeter(name string, packets [][]byte) (*Meter, error) {
	p, err := v.program(name)
	if err != nil {
		return nil, err
	}
	if len(packets) == 0 {
		return nil, errors.New("measuring needs packets")
	}
	frames, err := newBench(v.machine.Space(), p, packets)
	if err != nil {
		return nil, err
	}
	return &Meter{engine: p.engine, frames: frames}, nil
}

// Close gives the frames back.
func (m *Meter) Close() { m.frames.free() }

// Single runs the program on each packet, as it was at first, with one call of the engine each, and returns the ns that
// one took.
func (m *Meter) Single() (float64, error) {
	return m.round(func() error {
		for i := range m.frames.packets {
			if _, err := m.engine.Run(m.frames.ctx(i)); err != nil {
				return err
			}
		}
		return nil
	})
}

// Batch is Single with one call of the engine for all packets.
func (m *Meter) Batch() (float64, error) {
	return m.round(func() error {
		_, err := m.engine.RunBatch(m.frames.ctx(0), m.frames.stride, len(m.frames.packets))
		return err
	})
}

// Insns returns the instructions that a packet took in the last Batch, on average.
func (m *Meter) Insns() (sum float64) {
	for i := range m.frames.packets {
		sum += float64(m.frames.space.Load64(m.frames.at(i, prog.FrameInsns)))
	}
	return sum / float64(len(m.frames.packets))
}

func (m *Meter) round(run func() error) (float64, error) {
	m.frames.reset()
	start := time.Now()
	err := run()
	return float64(time.Since(start).Nanoseconds()) / float64(len(m.frames.packets)), err
}

// bench is a row of frames, each with a packet buffer of its own.
type bench struct {
	space   *mem.Space
	typ     prog.Type
	packets [][]byte
	first   uint32 // ctx of frame 0
	stride  uint32
	area    uint32   // holds all buffers
	buffers []uint32 // of the packets
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
	b := &bench{space: space, typ: p.spec.Type, packets: packets, stride: prog.FrameStride(row.FrameSize())}
	frames, err := space.Alloc(b.stride*uint32(len(packets)), 64)
	if err != nil {
		return nil, err
	}
	b.first = frames + prog.FrameHeader
	size := uint32(0)
	for _, packet := range packets { // side by side, so that they spread over the sets of a cache
		b.buffers = append(b.buffers, size)
		size += (uint32(len(packet)) + benchHead + benchTail + 63) &^ 63
	}
	if b.area, err = space.Alloc(size, 64); err != nil {
		space.Free(frames)
		return nil, err
	}
	for i, packet := range packets {
		b.buffers[i] += b.area
		space.Allow(b.ctx(i), uint32(row.CtxSize), true)
		space.Allow(b.buffers[i]+benchHead, uint32(len(packet)), true)
	}
	return b, nil
}

func (b *bench) ctx(i int) uint32           { return b.first + uint32(i)*b.stride }
func (b *bench) at(i int, off int32) uint32 { return b.ctx(i) + uint32(off) }

func (b *bench) free() {
	b.space.Free(b.area)
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
