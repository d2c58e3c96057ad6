package traffic

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"math"
	"math/bits"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// Blocks of pcapng (draft-ietf-opsawg-pcapng section 4).
const (
	blockSection    = 0x0a0d0d0a
	blockInterface  = 1
	blockObsolete   = 2
	blockSimple     = 3
	blockNames      = 4
	blockStatistics = 5
	blockEnhanced   = 6
	blockSecrets    = 10
	blockCustom     = 0x00000bad
	blockLocal      = 0x80000001 // nobody's: a reader skips it
)

// Options that any block may have, and lengths of a section.
const (
	optEnd         = 0
	optComment     = 1
	optCustom      = 2988
	exampleNumber  = 32473 // IANA's enterprise number for examples (RFC 5612)
	sectionPackets = 60
)

// clocks are the interfaces of a section: how each one counts time.
var clocks = []struct {
	name   string
	resol  int   // if_tsresol; -1 leaves it out: microseconds
	offset int64 // if_tsoffset, seconds; 0 leaves it out
}{
	{"default", -1, 0},
	{"micro", 6, 0},
	{"nano", 9, 0},
	{"second", 0, 0},
	{"milli", 3, 0},
	{"ticks", 7, 0}, // of 100 ns
	{"pico", 12, 1767225600},
	{"binary10", 0x80 | 10, 0},
	{"binary20", 0x80 | 20, 0},
	{"binary30", 0x80 | 30, 0},
	{"late", 9, 1700000000},
	{"early", 6, -86400},
}

// blockWriter writes a pcapng file with everything that the format has. Sections come one after the other, all with the
// interfaces of clocks; packets go to the interfaces and kinds of blocks in turn.
type blockWriter struct {
	w        io.Writer
	order    order
	link     linktype.Type
	snap     uint32
	rng      rng
	section  []byte // its blocks so far, without the header
	packets  int    // in the section
	sections int
}

func openBlocks(w io.Writer, s *Spec, link linktype.Type) (packetWriter, error) {
	b := &blockWriter{w: w, order: s.order(), link: link, snap: uint32(s.Snap), rng: rng(s.Seed)}
	b.interfaces()
	return b, nil
}

func (b *blockWriter) u16(v uint16) { b.section = b.order.AppendUint16(b.section, v) }
func (b *blockWriter) u32(v uint32) { b.section = b.order.AppendUint32(b.section, v) }
func (b *blockWriter) u64(v uint64) { b.section = b.order.AppendUint64(b.section, v) }

// block writes one: its length goes before and behind what body writes.
func (b *blockWriter) block(typ uint32, body func()) {
	start := len(b.section)
	b.u32(typ)
	b.u32(0)
	body()
	size := uint32(len(b.section) - start + 4)
	b.order.PutUint32(b.section[start+4:], size)
	b.u32(size)
}

// bytes writes v and what fills it up to words.
func (b *blockWriter) bytes(v []byte) {
	b.section = append(b.section, v...)
	b.section = append(b.section, make([]byte, -len(v)&3)...)
}

func (b *blockWriter) option(code uint16, v []byte) {
	b.u16(code)
	b.u16(uint16(len(v)))
	b.bytes(v)
}

func (b *blockWriter) words(code uint16, v ...uint32) {
	b.u16(code)
	b.u16(uint16(4 * len(v)))
	for _, w := range v {
		b.u32(w)
	}
}

// custom is a custom option with a text.
func (b *blockWriter) custom(text string) {
	b.option(optCustom, append(b.order.AppendUint32(nil, exampleNumber), text...))
}

// end writes the mark behind options, which may be missing.
func (b *blockWriter) end() {
	if b.rng.percent(80) {
		b.u32(optEnd)
	}
}

// interfaces begins a section.
func (b *blockWriter) interfaces() {
	for i, c := range clocks {
		b.block(blockInterface, func() {
			b.u16(uint16(b.link))
			b.u16(0)
			b.u32(b.snap)
			b.option(2, []byte(c.name))
			b.option(3, []byte("times: "+c.name))
			b.option(4, []byte{192, 0, 2, byte(i), 255, 255, 255, 0})
			b.option(6, []byte{2, 0, 0, 0, 0, byte(i)})
			b.option(8, b.order.AppendUint64(nil, 1e9))
			if c.resol >= 0 {
				b.option(9, []byte{byte(c.resol)})
			}
			b.option(11, []byte("\x00ip or ip6"))
			if c.offset != 0 {
				b.option(14, b.order.AppendUint64(nil, uint64(c.offset)))
			}
			b.custom(c.name)
			b.end()
		})
	}
}

// perSecond is how many units of time an interface counts in a second.
func perSecond(resol int) uint64 {
	switch {
	case resol < 0:
		return 1e6
	case resol&0x80 != 0:
		return 1 << (resol & 0x7f)
	}
	return uint64(math.Pow10(resol))
}

// units is the time of a packet as an interface counts it.
func units(clock int, ts int64) uint64 {
	c := &clocks[clock]
	per := perSecond(c.resol)
	hi, lo := bits.Mul64(uint64(ts%1e9), per)
	part, _ := bits.Div64(hi, lo, 1e9)
	return uint64(ts/1e9-c.offset)*per + part
}

func (b *blockWriter) Write(p *pcap.Packet) error {
	if b.packets == sectionPackets {
		if err := b.Flush(); err != nil {
			return err
		}
		b.interfaces()
	}
	b.between(p.TS)
	clock := b.packets % len(clocks)
	b.packets++
	switch kind := b.rng.n(10); {
	case kind < 2 && (len(p.Data) == int(p.OrigLen) || len(p.Data) == int(b.snap)):
		b.block(blockSimple, func() {
			b.u32(p.OrigLen)
			b.bytes(p.Data)
		})
	case kind < 4:
		b.block(blockObsolete, func() {
			b.u16(uint16(clock))
			b.u16(0xffff) // drops: unknown
			b.packet(clock, p)
			if kind == 3 {
				b.words(2, 1)
				b.end()
			}
		})
	default:
		b.block(blockEnhanced, func() {
			b.u32(uint32(clock))
			b.packet(clock, p)
			b.packetOptions(p)
		})
	}
	return nil
}

// packet writes what enhanced and obsolete blocks have in common.
func (b *blockWriter) packet(clock int, p *pcap.Packet) {
	t := units(clock, p.TS)
	b.u32(uint32(t >> 32))
	b.u32(uint32(t))
	b.u32(uint32(len(p.Data)))
	b.u32(p.OrigLen)
	b.bytes(p.Data)
}

// packetOptions writes some of the options of an enhanced packet block.
func (b *blockWriter) packetOptions(p *pcap.Packet) {
	n, which := uint32(b.packets), b.rng.next()
	for i, write := range []func(){
		func() { b.option(optComment, []byte("packet of "+clocks[n%uint32(len(clocks))].name)) },
		func() { b.words(2, n&3) },
		func() { b.option(3, binary.BigEndian.AppendUint32([]byte{2}, crc32.ChecksumIEEE(p.Data))) },
		func() { b.option(4, b.order.AppendUint64(nil, uint64(n))) },
		func() { b.option(5, b.order.AppendUint64(nil, uint64(n)<<32)) },
		func() { b.words(6, n%8) },
		func() { b.option(7, b.order.AppendUint64([]byte{2}, 2)) },
		func() { b.custom("text") },
	} {
		if which>>i&1 != 0 {
			write()
		}
	}
	if which&0xff != 0 {
		b.end()
	}
}

// between writes, now and then, blocks that are no packets.
func (b *blockWriter) between(ts int64) {
	switch b.rng.n(20) {
	case 0:
		b.block(blockNames, func() {
			b.u16(1) // IPv4 address and name
			b.u16(17)
			b.bytes([]byte("\xc0\x00\x02\x01host.example\x00"))
			b.u32(0)
		})
	case 1:
		b.block(blockStatistics, func() {
			b.u32(2)
			t := units(2, ts)
			b.u32(uint32(t >> 32))
			b.u32(uint32(t))
			b.option(4, b.order.AppendUint64(nil, uint64(b.packets)))
			b.end()
		})
	case 2:
		b.block(blockLocal, func() { b.bytes(make([]byte, b.rng.n(100))) })
	case 3:
		b.block(blockCustom, func() {
			b.u32(exampleNumber)
			b.bytes([]byte("custom data"))
		})
	case 4:
		b.block(blockSecrets, func() {
			b.u32(0x544c534b) // a TLS key log
			text := "# no keys\n"
			b.u32(uint32(len(text)))
			b.bytes([]byte(text))
		})
	}
}

// Flush ends the section and writes it. Every other one says how long it is.
func (b *blockWriter) Flush() error {
	if len(b.section) == 0 {
		return nil
	}
	blocks := b.section
	b.section = nil
	length := uint64(math.MaxUint64)
	if b.sections&1 != 0 {
		length = uint64(len(blocks))
	}
	b.block(blockSection, func() {
		b.u32(0x1a2b3c4d)
		b.u16(1)
		b.u16(0)
		b.u64(length)
		b.option(optComment, []byte("section"))
		b.option(2, []byte("no hardware"))
		b.option(3, []byte("no system"))
		b.option(4, []byte("skep"))
		b.end()
	})
	_, err := b.w.Write(append(b.section, blocks...))
	b.section, b.packets = b.section[:0], 0
	b.sections++
	return err
}
