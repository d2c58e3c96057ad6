package conformance

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
)

// Datapath is one of the larger example programs with the traffic that it is judged by: the sample capture and the edge packets
// of examples/datapath through every program, and what a peer would answer to what comes out.
type Datapath struct {
	Name     string
	programs []string // that the traffic goes through, in order
	// answer gives what is to run next because of what a step left, nil when nothing is.
	answer func(s Step, out []byte, ret uint32) []Step
	// level makes answers of two machines alike that may differ: it blanks what comes from secrets and clocks. It reports
	// whether what it blanked was in order. nil when there is nothing like that.
	level func(s Step, out []byte) bool

	referee bool // an object of conformance/referee

	// Listener is an address of IPv4 on which a socket of TCP listens; programs that have a map "target" look for it.
	Listener netip.AddrPort
}

// Step is one run: a program over a packet.
type Step struct {
	Program string
	Data    []byte
}

// Moment is what a step left.
type Moment struct {
	Ret  uint32
	Data []byte
	SKB  [7]uint32 // for programs on sk_buffs: mark, priority and cb
}

// Player runs a datapath's programs: skep's, or the kernel's.
type Player interface {
	// Run runs a program once. refused says that the machine takes no such packet.
	Run(s Step) (m Moment, refused bool, err error)
}

// Datapaths are all of them, by name.
func Datapaths() []*Datapath {
	return []*Datapath{
		{Name: "balancer", programs: []string{"balancer"}},
		{Name: "nat", programs: []string{"nat_out", "nat_in"}, answer: natAnswer},
		{Name: "policy", programs: []string{"policy"}, answer: policyAnswer},
		{Name: "synproxy", programs: []string{"synproxy"}, answer: synAnswer, level: levelSYN},
		{Name: "tunnel6", programs: []string{"encap", "decap", "xdp_encap", "xdp_gateway"}, answer: tunnelAnswer},
	}
}

// Object is the compiled object.
func (d *Datapath) Object() ([]byte, error) {
	if d.referee {
		return referee.ReadFile("referee/" + d.Name + ".bpf.o")
	}
	return examples.Datapath(d.Name + ".bpf.o")
}

// Fill sets the maps.
func (d *Datapath) Fill(find func(name string) maps.Map) error {
	if d.referee {
		return d.fillTarget(find("target"))
	}
	text, err := examples.Datapath(d.Name + ".maps.json")
	if err != nil {
		return err
	}
	return maps.LoadJSON(bytes.NewReader(text), find)
}

// DatapathPackets are the frames of the sample and the edges that are at least an Ethernet header and at most what the kernel's test run
// takes.
func DatapathPackets() ([][]byte, error) {
	edges, err := examples.Datapath("edges.pcap")
	if err != nil {
		return nil, err
	}
	var all [][]byte
	for _, capture := range [][]byte{traffic.Sample(), edges} {
		frames, err := framesOf(capture)
		if err != nil {
			return nil, err
		}
		all = append(all, frames...)
	}
	return all, nil
}

func framesOf(capture []byte) (all [][]byte, err error) {
	r, err := pcap.NewReader(bytes.NewReader(capture), nil)
	if err != nil {
		return nil, err
	}
	recs := make([]pcap.Record, 64)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			if data := r.Data(&recs[i]); len(data) >= 14 && len(data) < 3000 {
				all = append(all, bytes.Clone(data))
			}
		}
		if errors.Is(err, io.EOF) || err == nil && n == 0 {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
	}
}

// Play runs the traffic through machines side by side and shows see what every step left on each of them. Answers are made for each
// machine of what it sent itself. A step that a machine refuses is left out.
func (d *Datapath) Play(machines []Player, see func(s Step, left []Moment) error) error {
	packets, err := d.packets()
	if err != nil {
		return err
	}
	for _, packet := range packets {
		for _, program := range d.programs {
			steps := make([]Step, len(machines))
			for i := range steps {
				steps[i] = Step{program, packet}
			}
			if err := d.play(machines, steps, see, 3); err != nil {
				return err
			}
		}
	}
	return nil
}

// play runs one step and the answers to it, up to depth of them in a row.
func (d *Datapath) play(machines []Player, steps []Step, see func(s Step, left []Moment) error, depth int) error {
	left := make([]Moment, len(machines))
	answers := make([][]Step, len(machines))
	for i, m := range machines {
		moment, refused, err := m.Run(steps[i])
		if refused || err != nil {
			return err
		}
		if d.answer != nil && depth > 0 {
			answers[i] = d.answer(steps[i], moment.Data, moment.Ret)
		}
		if d.level != nil {
			moment.Data = bytes.Clone(moment.Data)
			if !d.level(steps[i], moment.Data) {
				return fmt.Errorf("machine %d, %s: a wrong checksum or number in\n%x\nfor\n%x", i, steps[i].Program, moment.Data, steps[i].Data)
			}
		}
		left[i] = moment
	}
	if err := see(steps[0], left); err != nil {
		return err
	}
	for n := range answers[0] {
		next := make([]Step, len(machines))
		for i := range next {
			if n >= len(answers[i]) {
				return fmt.Errorf("machine %d answers %x less often than the first", i, steps[i].Data)
			}
			next[i] = answers[i][n]
		}
		if err := d.play(machines, next, see, depth-1); err != nil {
			return err
		}
	}
	return nil
}

// Ours is skep as a Player.
type Ours struct{ VM *skep.VM }

// OpenDatapath makes d ready, its maps filled.
func OpenDatapath(d *Datapath, o skep.Options) (*Ours, error) {
	elf, err := d.Object()
	if err != nil {
		return nil, err
	}
	if d.Listener.IsValid() {
		o.Machine.Sockets = append(o.Machine.Sockets, helpers.Socket{Proto: helpers.ProtoTCP, Local: d.Listener})
	}
	v, err := skep.OpenBytes(elf, d.Name, o)
	if err != nil {
		return nil, err
	}
	if err := d.Fill(v.Map); err != nil {
		return nil, errors.Join(err, v.Close())
	}
	return &Ours{v}, nil
}

// Run runs a step on skep.
func (o *Ours) Run(s Step) (m Moment, refused bool, err error) {
	p := skep.Packet{Data: s.Data}
	p.Ifindex = 1 // the loopback: what the kernel's test run has
	typ := o.typeOf(s.Program)
	skb := typ != prog.XDP
	if typ == prog.CgroupSKB { // runs in the IP layer
		p.Protocol, p.Data = etherType(s.Data), s.Data[offIP:]
	}
	if skb {
		p.Mark, p.Priority = SKBMark, SKBPriority
	}
	res, err := o.VM.Run(s.Program, p)
	if err != nil {
		return m, false, fmt.Errorf("%s over\n%x: %w", s.Program, s.Data, err)
	}
	m = Moment{Ret: res.Ret, Data: slices.Concat(res.Meta, res.Data)} // as the kernel gives an XDP packet back
	if skb {
		m.SKB = [7]uint32{res.Mark, res.Priority}
		copy(m.SKB[2:], res.CB[:])
	}
	return m, false, nil
}

func (o *Ours) typeOf(program string) prog.Type {
	for _, p := range o.VM.Object().Programs {
		if p.Name == program {
			return p.Type
		}
	}
	return prog.Unspec
}

// What sk_buffs have at first.
const (
	SKBMark     = 7
	SKBPriority = 3
)

const (
	offType = 12
	offIP   = 14
)

func etherType(p []byte) uint16 {
	if len(p) < offIP {
		return 0
	}
	return binary.BigEndian.Uint16(p[offType:])
}

// plain4 and plain6 tell whole IPv4 packets without options, and IPv6 packets, with at least n bytes behind the header.
func plain4(p []byte, n int) bool {
	return etherType(p) == 0x0800 && len(p) >= offIP+20+n && p[offIP] == 0x45 && p[offIP+6]&0x3f == 0 && p[offIP+7] == 0
}
func plain6(p []byte, n int) bool { return etherType(p) == 0x86dd && len(p) >= offIP+40+n }

func swap(b []byte, i, j, n int) {
	for k := range n {
		b[i+k], b[j+k] = b[j+k], b[i+k]
	}
}

// turned is a packet back to its sender: addresses and ports swapped. nil when it has no ports that can be seen.
func turned(p []byte) []byte {
	b := bytes.Clone(p)
	switch {
	case plain4(b, 8) && (b[23] == 6 || b[23] == 17):
		swap(b, offIP+12, offIP+16, 4)
		swap(b, offIP+20, offIP+22, 2)
	case plain6(b, 8) && (b[20] == 6 || b[20] == 17):
		swap(b, offIP+8, offIP+24, 16)
		swap(b, offIP+40, offIP+42, 2)
	default:
		return nil
	}
	swap(b, 0, 6, 6)
	return b
}

// natAnswer sends a reply to what went out, and now and then an error that quotes it.
func natAnswer(s Step, out []byte, ret uint32) []Step {
	if s.Program != "nat_out" || ret != 0 || bytes.Equal(s.Data, out) {
		return nil
	}
	var steps []Step
	if plain4(out, 8) && out[23] == 1 {
		b := bytes.Clone(out)
		swap(b, offIP+12, offIP+16, 4)
		b[34] = 0 // an echo's reply: its type was 8
		binary.BigEndian.PutUint16(b[36:], addOnes(binary.BigEndian.Uint16(b[36:]), 8<<8))
		steps = append(steps, Step{"nat_in", b})
	} else if b := turned(out); b != nil {
		stranger := bytes.Clone(b)
		stranger[offIP+20] ^= 0x10 // from another port
		seal(stranger)
		steps = append(steps, Step{"nat_in", b}, Step{"nat_in", stranger})
	}
	if len(out)%3 == 0 && plain4(out, 8) {
		steps = append(steps, Step{"nat_in", icmpError4(out, [4]byte{203, 0, 113, 254}, 3, 1)})
	}
	return steps
}

// addOnes is the ones' complement sum.
func addOnes(a, b uint16) uint16 {
	sum := uint32(a) + uint32(b)
	return uint16(sum + sum>>16)
}

// policyAnswer replies to what was let through.
func policyAnswer(s Step, out []byte, ret uint32) []Step {
	if b := turned(out); b != nil && ret == 0 && len(out)%2 == 0 {
		return []Step{{"policy", b}}
	}
	return nil
}

// tunnelAnswer takes out again what was put into the tunnel: as it is, marked by congestion, or from somebody who is no peer.
func tunnelAnswer(s Step, out []byte, ret uint32) []Step {
	next := map[string]string{"encap": "decap", "xdp_encap": "xdp_gateway"}[s.Program]
	if next == "" || !plain6(out, 20) || bytes.Equal(s.Data, out) || out[20] != 4 && out[20] != 41 {
		return nil
	}
	b := bytes.Clone(out)
	swap(b, offIP+8, offIP+24, 16)
	marked := bytes.Clone(b)
	marked[offIP+1] |= 0x30 // CE
	steps := []Step{{next, b}, {next, marked}}
	if len(out)%4 == 0 {
		stranger := bytes.Clone(b)
		stranger[offIP+8+15] ^= 0x40
		broken := bytes.Clone(b)
		broken[offIP+40] ^= 0xf0 // another version of IP
		steps = append(steps, Step{next, stranger}, Step{next, broken}, Step{next, b[:offIP+40+6]})
	}
	return steps
}

// synAnswer acknowledges a SYN and ACK: as a client would, and then goes on; with a wrong number; from another port.
func synAnswer(_ Step, out []byte, ret uint32) []Step {
	l4, ok := tcpAt(out)
	if !ok || ret != 3 || out[l4+13] != 0x12 {
		return nil
	}
	segment := func(change func(tcp []byte)) Step {
		b := turned(out)
		tcp := b[l4:]
		copy(tcp[4:], out[l4+8:l4+12])
		binary.BigEndian.PutUint32(tcp[8:], binary.BigEndian.Uint32(out[l4+4:])+1)
		tcp[13], tcp[14] = 0x10, 0x10
		echo(tcp, out[l4:])
		change(tcp)
		b = b[:l4+int(tcp[12]>>4)*4]
		seal(b)
		return Step{"synproxy", b}
	}
	steps := []Step{
		segment(func(tcp []byte) { tcp[8] ^= 0x40 }),
		segment(func(tcp []byte) { tcp[1] ^= 1 }),
		segment(func([]byte) {}),
		segment(func(tcp []byte) { tcp[13] = 0x18 }),
		segment(func(tcp []byte) { tcp[13] = 0x11 }),
	}
	if out[l4-1]%2 == 0 { // the client's address: some stay
		steps = append(steps, segment(func(tcp []byte) { tcp[13] = 4 }), segment(func(tcp []byte) { tcp[13] = 0x14 }))
	}
	return steps
}

// echo makes options of an ACK: the timestamps of a SYN and ACK, or none.
func echo(tcp, syn []byte) {
	options := syn[20 : int(syn[12]>>4)*4]
	tcp[12] = 5 << 4
	if len(options) < 16 || options[6] != 8 {
		return
	}
	tcp[12] = 8 << 4
	copy(tcp[20:], []byte{1, 1, 8, 10})
	copy(tcp[24:], []byte{0, 0, 0, 9})
	copy(tcp[28:], options[8:12])
}

// tcpAt is the offset of a whole TCP header.
func tcpAt(p []byte) (int, bool) {
	l4 := 0
	switch {
	case plain4(p, 20) && p[23] == 6:
		l4 = offIP + 20
	case plain6(p, 20) && p[20] == 6:
		l4 = offIP + 40
	default:
		return 0, false
	}
	n := int(p[l4+12]>>4) * 4
	return l4, n >= 20 && len(p) >= l4+n
}

// levelSYN blanks what comes of the cookie: the sequence number, timestamp and checksum of a SYN and ACK, and the number that a RST
// took from what it answers.
func levelSYN(s Step, out []byte) bool {
	l4, ok := tcpAt(out)
	switch {
	case !ok:
		return true
	case bytes.Equal(s.Data, out): // passed on, with a cookie when it is an answer
		clear(out[l4+4:])
		return true
	}
	if !sealed(out) || out[l4+13] == 4 && !bytes.Equal(out[l4+4:l4+8], s.Data[l4+8:l4+12]) {
		return false
	}
	clear(out[l4+4 : l4+8])
	clear(out[l4+16 : l4+18])
	if n := int(out[l4+12]>>4) * 4; n >= 36 && out[l4+26] == 8 {
		clear(out[l4+28 : l4+31])
		out[l4+31] &= 63 // what was agreed stays
	}
	return true
}
