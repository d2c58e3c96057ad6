package traffic

import (
	"bytes"
	_ "embed" // the sample
	"encoding/binary"
	"fmt"
	"io"
	"math/bits"

	"github.com/skepvm/skep/internal/pcap"
)

const (
	startNS  = 1767225600 * 1_000_000_000 // 2026-01-01 00:00:00 UTC
	poolSize = 1 << 16                    // bytes of payload to copy from
)

// SampleSpec is what Sample was made from: go test ./traffic -run Sample -update
var SampleSpec = Spec{Packets: 500, Seed: 1, Flows: 24}

//go:embed sample.pcap
var sample []byte

// Sample returns a small capture (500 packets of Ethernet) with some of everything.
func Sample() []byte { return bytes.Clone(sample) }

// rng is splitmix64: small, and the same everywhere.
type rng uint64

func (r *rng) next() uint64 {
	*r += 0x9e3779b97f4a7c15
	z := uint64(*r)
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// n gives a number below n.
func (r *rng) n(n int) int { return int(r.next() >> 32 * uint64(n) >> 32) }

func (r *rng) percent(p int) bool { return r.n(100) < p }

// need says what a link must be able to carry.
type need uint8

const (
	needsIP need = iota // IPv4 or IPv6, as the link likes
	needsIPv4
	needsEther // any EtherType
)

// kind is a row of the mix: how often it comes and who makes it.
type kind struct {
	name  string
	needs need
	share func(*Mix) int
	make  func(*Generator) label
}

var kinds = []kind{
	{"flows", needsIP, func(m *Mix) int { return m.Flows }, (*Generator).flowPacket},
	{"tunnels", needsIPv4, func(m *Mix) int { return m.Tunnels }, (*Generator).tunnel},
	{"icmp", needsIP, func(m *Mix) int { return m.ICMP }, (*Generator).icmp},
	{"arp", needsEther, func(m *Mix) int { return m.ARP }, (*Generator).arp},
	{"fragments", needsIPv4, func(m *Mix) int { return m.Fragments }, (*Generator).fragment},
	{"protocols", needsIPv4, func(m *Mix) int { return m.Protocols }, (*Generator).protocol},
	{"mpls", needsEther, func(m *Mix) int { return m.MPLS }, (*Generator).mpls},
	{"malformed", needsIPv4, func(m *Mix) int { return m.Malformed }, (*Generator).malformed},
	{"rare", needsIP, func(m *Mix) int { return m.Rare }, (*Generator).rare},
}

// Generator makes packets one at a time.
type Generator struct {
	spec  Spec
	rng   rng
	link  link
	b     []byte // the packet being built, from its Ethernet header
	out   []byte // the same for another link
	pool  []byte
	now   int64
	made  int
	bytes int64
	total int      // of the shares that the link can carry
	zipf  []uint64 // running sum of the flows' weights
	flows []flow
	begun int
	sizes []Size
	count [64]Count
}

// New returns a generator of s.Packets packets.
func New(s Spec) (*Generator, error) {
	if err := s.check(); err != nil {
		return nil, err
	}
	s = s.withDefaults()
	link := links[s.Link]
	if link.only != 0 {
		s.Mix.IPv6 = 100 * (link.only / 6)
	}
	g := &Generator{
		spec: s, rng: rng(s.Seed), link: link, now: startNS,
		b: make([]byte, 0, 1<<14), out: make([]byte, 0, 1<<14), pool: make([]byte, poolSize),
		zipf: make([]uint64, s.Flows), flows: make([]flow, s.Flows), sizes: s.sizes(),
	}
	for i := 0; i < poolSize; i += 8 {
		binary.LittleEndian.PutUint64(g.pool[i:], g.rng.next())
	}
	sum := uint64(0)
	for i := range g.zipf {
		sum += 1 << 32 / uint64(i+1)
		g.zipf[i] = sum
	}
	for i := range g.flows {
		g.begin(&g.flows[i])
	}
	for _, k := range kinds {
		if g.link.can(&k) {
			g.total += k.share(&s.Mix)
		}
	}
	return g, nil
}

// Link returns the number of the link type (LINKTYPE_…) that frames have.
func (g *Generator) Link() uint32 { return uint32(g.link.typ) }

// Next returns the next frame, whole, and its time in ns since 1970. The frame is valid until the next call. The end is
// a nil frame.
func (g *Generator) Next() ([]byte, int64) {
	if g.made == g.spec.Packets {
		return nil, 0
	}
	g.made++
	g.b = g.b[:0]
	set := g.pick().make(g)
	frame := g.b
	if g.link.relink != nil {
		g.out = g.link.relink(g, g.out[:0], g.b)
		frame = g.out
	}
	for l := uint64(set); l != 0; l &= l - 1 {
		c := &g.count[bits.TrailingZeros64(l)]
		c.Packets++
		c.Bytes += int64(len(frame))
	}
	g.bytes += int64(len(frame))
	g.now += int64(g.rng.next() % uint64(2*g.spec.GapNS))
	return frame, g.now
}

// pick draws a kind of packet.
func (g *Generator) pick() *kind {
	at := g.rng.n(g.total)
	for i := range kinds {
		k := &kinds[i]
		if !g.link.can(k) {
			continue
		}
		if at -= k.share(&g.spec.Mix); at < 0 {
			return k
		}
	}
	panic("traffic: shares do not add up")
}

// Manifest says what was generated so far.
func (g *Generator) Manifest() *Manifest {
	m := &Manifest{
		Spec: g.spec, Packets: g.made, Bytes: g.bytes, Flows: g.begun, FirstNS: startNS, LastNS: g.now,
		Labels: map[string]Count{},
	}
	for i, name := range labelNames {
		if g.count[i].Packets > 0 {
			m.Labels[name] = g.count[i]
		}
	}
	return m
}

// Generate writes the capture that s describes.
func Generate(w io.Writer, s Spec) (*Manifest, error) {
	g, err := New(s)
	if err != nil {
		return nil, err
	}
	s = g.spec
	out, err := formatOf(s.Format).open(w, &s, g.link.typ)
	if err != nil {
		return nil, err
	}
	var p pcap.Packet
	for frame, ts := g.Next(); frame != nil; frame, ts = g.Next() {
		p = pcap.Packet{Data: frame, OrigLen: uint32(len(frame)), TS: ts}
		if s.Snap > 0 && len(frame) > s.Snap {
			p.Data = frame[:s.Snap]
		}
		if s.Mix.Cut > 0 && g.rng.percent(s.Mix.Cut) {
			p.Data = p.Data[:g.rng.n(1+min(len(p.Data), 127))]
		}
		if err := out.Write(&p); err != nil {
			return nil, fmt.Errorf("traffic: packet %d: %w", g.made, err)
		}
	}
	if err := out.Flush(); err != nil {
		return nil, err
	}
	return g.Manifest(), nil
}
