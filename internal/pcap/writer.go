package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"

	"github.com/skepvm/skep/linktype"
)

// VerdictType says whose number a verdict is: the first byte of epb_verdict.
type VerdictType uint8

// The verdict types of packets that an eBPF program judged.
const (
	VerdictTC  VerdictType = 1 // linux_ebpf_tc: a TC_ACT value
	VerdictXDP VerdictType = 2 // linux_ebpf_xdp: an xdp_action
)

// Packet is one packet to write. A pcap file keeps only time, data and original length.
type Packet struct {
	Data    []byte
	OrigLen uint32 // 0 is len(Data)
	TS      int64  // ns since 1970
	Iface   int    // what AddInterface returned; 0 in a pcap file

	Has         Fields // which of the following are written
	Flags       uint32 // epb_flags: 1 inbound, 2 outbound
	Queue       uint32
	ID          uint64
	VerdictType VerdictType
	Verdict     uint64

	Comment string // "" writes none; at most 65535 bytes
}

// WriterOptions says what file to write. The zero value is a little-endian pcap with microseconds, as tcpdump's.
type WriterOptions struct {
	Format    Format
	BigEndian bool
	Nano      bool          // pcap: nanoseconds; pcapng always has them
	SnapLen   uint32        // of the pcap header; 0 is 262144. Nothing is cut.
	Link      linktype.Type // of a pcap file
	App       string        // pcapng: who wrote the file
}

// Writer writes one capture. It buffers: Flush at the end.
type Writer struct {
	dst    io.Writer
	o      WriterOptions
	order  byteOrder
	buf    []byte
	ifaces int
	err    error // first failure of dst
}

type byteOrder interface {
	binary.ByteOrder
	binary.AppendByteOrder
}

const (
	writeBuffer   = 256 << 10
	directWrite   = 16 << 10       // packets from this size on are not copied to the buffer
	packetRoom    = 128            // all of an enhanced packet block but data and comment
	maxComment    = math.MaxUint16 // bytes
	maxPacketData = 1 << 30
)

// NewWriter writes the header of a capture to w. A pcapng file needs AddInterface before its first packet.
func NewWriter(w io.Writer, o WriterOptions) (*Writer, error) {
	wr := &Writer{dst: w, o: o, order: binary.LittleEndian, buf: make([]byte, 0, writeBuffer)}
	if o.BigEndian {
		wr.order = binary.BigEndian
	}
	if o.Format == PCAPNG {
		wr.sectionHeader()
	} else {
		wr.classicHeader()
	}
	return wr, nil
}

func (w *Writer) classicHeader() {
	magic, snap := uint32(magicMicro), w.o.SnapLen
	if w.o.Nano {
		magic = magicNano
	}
	if snap == 0 {
		snap = maxCaptureLen
	}
	w.buf = w.order.AppendUint32(w.buf, magic)
	w.buf = w.order.AppendUint16(w.buf, 2)
	w.buf = w.order.AppendUint16(w.buf, 4)
	w.buf = append(w.buf, 0, 0, 0, 0, 0, 0, 0, 0) // time zone and accuracy: always 0
	w.buf = w.order.AppendUint32(w.buf, snap)
	w.buf = w.order.AppendUint32(w.buf, uint32(w.o.Link))
	w.ifaces = 1
}

func (w *Writer) sectionHeader() {
	start := w.beginBlock(blockSection)
	w.buf = w.order.AppendUint32(w.buf, byteOrderMagic)
	w.buf = w.order.AppendUint16(w.buf, 1)
	w.buf = w.order.AppendUint16(w.buf, 0)
	w.buf = w.order.AppendUint64(w.buf, math.MaxUint64) // section length: unknown
	if w.o.App != "" {
		w.textOption(optUserAppl, w.o.App)
		w.buf = append(w.buf, 0, 0, 0, 0)
	}
	w.endBlock(start)
}

// AddInterface describes an interface and returns its number for Packet.Iface. Only pcapng has more than one.
func (w *Writer) AddInterface(i Interface) (int, error) {
	if w.o.Format != PCAPNG {
		return 0, fmt.Errorf("pcap: a pcap file has one interface")
	}
	if i.Link > math.MaxUint16 {
		return 0, fmt.Errorf("pcap: link type %d does not fit pcapng", i.Link)
	}
	if err := w.room(packetRoom + len(i.Name)); err != nil {
		return 0, err
	}
	start := w.beginBlock(blockInterface)
	w.buf = w.order.AppendUint16(w.buf, uint16(i.Link))
	w.buf = w.order.AppendUint16(w.buf, 0)
	w.buf = w.order.AppendUint32(w.buf, i.SnapLen)
	if i.Name != "" {
		w.textOption(optIfName, i.Name)
	}
	w.option(optTSResol, 1)
	w.buf = append(w.buf, 9, 0, 0, 0) // ns
	w.buf = append(w.buf, 0, 0, 0, 0)
	w.endBlock(start)
	w.ifaces++
	return w.ifaces - 1, nil
}

func (w *Writer) beginBlock(typ uint32) int {
	start := len(w.buf)
	w.buf = w.order.AppendUint32(w.buf, typ)
	w.buf = append(w.buf, 0, 0, 0, 0)
	return start
}

// endBlock writes the length at both ends.
func (w *Writer) endBlock(start int) {
	size := uint32(len(w.buf) - start + 4)
	w.order.PutUint32(w.buf[start+4:], size)
	w.buf = w.order.AppendUint32(w.buf, size)
}

func (w *Writer) option(code uint16, size int) {
	w.buf = w.order.AppendUint16(w.buf, code)
	w.buf = w.order.AppendUint16(w.buf, uint16(size))
}

// textOption writes a string option, padded; what is above 65535 bytes is cut.
func (w *Writer) textOption(code uint16, s string) {
	s = s[:min(len(s), maxComment)]
	w.option(code, len(s))
	w.buf = append(w.buf, s...)
	w.pad(len(s))
}

var zeros [4]byte

func (w *Writer) pad(n int) { w.buf = append(w.buf, zeros[:pad4(n)-n]...) }

// Write adds a packet. It keeps nothing of p.
func (w *Writer) Write(p *Packet) error {
	if len(p.Data) > maxPacketData {
		return fmt.Errorf("pcap: packet of %d bytes is too long to write", len(p.Data))
	}
	if uint(p.Iface) >= uint(w.ifaces) {
		return fmt.Errorf("pcap: packet of interface %d, the file has %d", p.Iface, w.ifaces)
	}
	if err := w.room(packetRoom + min(len(p.Data), directWrite) + len(p.Comment)); err != nil {
		return err
	}
	if w.o.Format == PCAPNG {
		return w.enhanced(p)
	}
	return w.record(p)
}

// record writes a packet of a pcap file.
func (w *Writer) record(p *Packet) error {
	sec, frac := p.TS/1e9, p.TS%1e9
	if p.TS < 0 || sec > math.MaxUint32 {
		return fmt.Errorf("pcap: time of %d ns does not fit a pcap file", p.TS)
	}
	if !w.o.Nano {
		frac /= 1000
	}
	h := w.grow(16)
	w.order.PutUint32(h, uint32(sec))
	w.order.PutUint32(h[4:], uint32(frac))
	w.order.PutUint32(h[8:], uint32(len(p.Data)))
	w.order.PutUint32(h[12:], p.wireLen())
	return w.data(p.Data)
}

// enhanced writes a packet of a pcapng file as an enhanced packet block.
func (w *Writer) enhanced(p *Packet) error {
	if p.TS < 0 {
		return fmt.Errorf("pcap: time of %d ns does not fit a pcapng file", p.TS)
	}
	opts := optionsSize(p)
	size := uint32(32 + pad4(len(p.Data)) + opts)
	h := w.grow(28)
	w.order.PutUint32(h, blockEnhanced)
	w.order.PutUint32(h[4:], size)
	w.order.PutUint32(h[8:], uint32(p.Iface))
	w.order.PutUint32(h[12:], uint32(uint64(p.TS)>>32))
	w.order.PutUint32(h[16:], uint32(p.TS))
	w.order.PutUint32(h[20:], uint32(len(p.Data)))
	w.order.PutUint32(h[24:], p.wireLen())
	if err := w.data(p.Data); err != nil {
		return err
	}
	w.pad(len(p.Data))
	if opts != 0 {
		w.packetOptions(p, opts)
	}
	w.order.PutUint32(w.grow(4), size)
	return nil
}

// optionsSize is the length in bytes of a packet's options with the end mark, 0 when it has none.
func optionsSize(p *Packet) int {
	n := 0
	if p.Has&HasFlags != 0 {
		n += 8
	}
	if p.Has&HasID != 0 {
		n += 12
	}
	if p.Has&HasQueue != 0 {
		n += 8
	}
	if p.Has&HasVerdict != 0 {
		n += 16
	}
	if p.Comment != "" {
		n += 4 + pad4(min(len(p.Comment), maxComment))
	}
	if n != 0 {
		n += 4
	}
	return n
}

// packetOptions writes the options of an enhanced packet block, size bytes with the end mark.
func (w *Writer) packetOptions(p *Packet, size int) {
	o, at := w.grow(size), 0
	put := func(code uint16, n int) []byte {
		w.order.PutUint16(o[at:], code)
		w.order.PutUint16(o[at+2:], uint16(n))
		v := o[at+4 : at+4+n]
		for i := n; i < pad4(n); i++ {
			o[at+4+i] = 0
		}
		at += 4 + pad4(n)
		return v
	}
	if p.Has&HasFlags != 0 {
		w.order.PutUint32(put(optFlags, 4), p.Flags)
	}
	if p.Has&HasID != 0 {
		w.order.PutUint64(put(optPacketID, 8), p.ID)
	}
	if p.Has&HasQueue != 0 {
		w.order.PutUint32(put(optQueue, 4), p.Queue)
	}
	if p.Has&HasVerdict != 0 {
		v := put(optVerdict, 9)
		v[0] = byte(p.VerdictType)
		w.order.PutUint64(v[1:], p.Verdict) // in the section's byte order: Wireshark reads it so
	}
	if p.Comment != "" {
		copy(put(optComment, min(len(p.Comment), maxComment)), p.Comment)
	}
	put(optEnd, 0)
}

func (p *Packet) wireLen() uint32 {
	if p.OrigLen == 0 {
		return uint32(len(p.Data))
	}
	return p.OrigLen
}

// grow adds n bytes to the buffer, where room has made room, and returns them.
func (w *Writer) grow(n int) []byte {
	at := len(w.buf)
	w.buf = w.buf[:at+n]
	return w.buf[at:]
}

// data adds packet bytes. Large packets go to the file at once.
func (w *Writer) data(b []byte) error {
	if len(b) <= directWrite {
		w.buf = append(w.buf, b...)
		return nil
	}
	if err := w.Flush(); err != nil {
		return err
	}
	w.hand(b)
	return w.err
}

// hand gives bytes to the file.
func (w *Writer) hand(b []byte) {
	n, err := w.dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite // a file that breaks io.Writer's rules
	}
	w.err = err
}

// room flushes unless n more bytes fit the buffer.
func (w *Writer) room(n int) error {
	if w.err != nil || cap(w.buf)-len(w.buf) >= n {
		return w.err
	}
	return w.Flush()
}

// Flush hands everything written so far to the file.
func (w *Writer) Flush() error {
	if w.err == nil && len(w.buf) > 0 {
		w.hand(w.buf)
		w.buf = w.buf[:0]
	}
	return w.err
}
