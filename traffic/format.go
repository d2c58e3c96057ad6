package traffic

import (
	"encoding/binary"
	"io"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// packetWriter writes the packets of a capture.
type packetWriter interface {
	Write(*pcap.Packet) error
	Flush() error
}

// format is a way in which captures are written down.
type format struct {
	name string
	nano bool // its times may be nanoseconds
	open func(w io.Writer, s *Spec, link linktype.Type) (packetWriter, error)
}

var formats = []format{
	{"pcap", true, current(pcap.PCAP)},
	{"pcapng", true, current(pcap.PCAPNG)},
	{"pcapng-all", true, openBlocks}, // every block and option, several sections and interfaces, all kinds of times
	{"pcap-2.2", false, old(oldFormat{magic: 0xa1b2c3d4, major: 2, minor: 2, swapped: always})},
	{"pcap-2.3", false, old(oldFormat{magic: 0xa1b2c3d4, major: 2, minor: 3, swapped: odd})},
	{"pcap-543.0", false, old(oldFormat{magic: 0xa1b2c3d4, major: 543, minor: 0, swapped: always})}, // DG/UX
	{"pcap-modified", false, old(oldFormat{magic: 0xa1b2cd34, major: 2, minor: 4, swapped: never, more: 8})},
}

// Formats returns the names that Spec.Format may have.
func Formats() []string {
	names := make([]string, len(formats))
	for i := range formats {
		names[i] = formats[i].name
	}
	return names
}

// formatOf finds a format by name.
func formatOf(name string) *format {
	for i := range formats {
		if formats[i].name == name {
			return &formats[i]
		}
	}
	return nil
}

// current opens files as they are written today.
func current(f pcap.Format) func(io.Writer, *Spec, linktype.Type) (packetWriter, error) {
	return func(w io.Writer, s *Spec, link linktype.Type) (packetWriter, error) {
		out, err := pcap.NewWriter(w, pcap.WriterOptions{
			Format: f, Nano: s.Nano, Link: link, SnapLen: uint32(s.Snap), App: "skep", BigEndian: s.BigEndian,
		})
		if err != nil || f != pcap.PCAPNG {
			return out, err
		}
		_, err = out.AddInterface(pcap.Interface{Name: "gen0", Link: link, SnapLen: uint32(s.Snap)})
		return out, err
	}
}

// order is what numbers are written in.
type order interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

func (s *Spec) order() order {
	if s.BigEndian {
		return binary.BigEndian
	}
	return binary.LittleEndian
}

// oldFormat is a kind of pcap file that programs wrote before version 2.4 or beside it.
type oldFormat struct {
	magic        uint32
	major, minor uint16
	swapped      func(n int) bool // the original length of packet n comes before the captured one
	more         int              // bytes behind the four words of a record header
}

func always(int) bool { return true }
func never(int) bool  { return false }
func odd(n int) bool  { return n&1 != 0 } // both were written in version 2.3; the smaller length is the captured one

// oldWriter writes such a file.
type oldWriter struct {
	oldFormat
	w     io.Writer
	order order
	buf   []byte
	n     int
}

func old(f oldFormat) func(io.Writer, *Spec, linktype.Type) (packetWriter, error) {
	return func(w io.Writer, s *Spec, link linktype.Type) (packetWriter, error) {
		o := &oldWriter{oldFormat: f, w: w, order: s.order()}
		snap := uint32(s.Snap)
		if snap == 0 {
			snap = 262144
		}
		o.word(f.magic)
		o.buf = o.order.AppendUint16(o.buf, f.major)
		o.buf = o.order.AppendUint16(o.buf, f.minor)
		o.word(0)
		o.word(0)
		o.word(snap)
		o.word(uint32(link))
		return o, nil
	}
}

func (o *oldWriter) word(v uint32) { o.buf = o.order.AppendUint32(o.buf, v) }

func (o *oldWriter) Write(p *pcap.Packet) error {
	first, second := uint32(len(p.Data)), p.OrigLen
	if o.swapped(o.n) {
		first, second = second, first
	}
	o.n++
	o.word(uint32(p.TS / 1e9))
	o.word(uint32(p.TS % 1e9 / 1000))
	o.word(first)
	o.word(second)
	if o.more != 0 { // interface index, protocol, packet type, padding
		o.word(1)
		o.buf = o.order.AppendUint16(o.buf, etherIPv4)
		o.buf = append(o.buf, 0, 0)
	}
	o.buf = append(o.buf, p.Data...)
	return o.Flush()
}

func (o *oldWriter) Flush() error {
	_, err := o.w.Write(o.buf)
	o.buf = o.buf[:0]
	return err
}
