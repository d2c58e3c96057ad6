package pcap

import (
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/bits"

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
	// Behind lets another goroutine hand full buffers to the file while packets go into a second one. A failure comes that much later.
	Behind bool
}

// Writer writes one capture. It buffers: Flush at the end.
type Writer struct {
	dst    io.Writer
	o      WriterOptions
	swap   bool // the file is big-endian
	buf    []byte
	ifaces int
	err    error // first failure of dst

	lastKey optionsKey // of the packet before
	opts    []byte     // its options

	spare   []byte // with Behind: the other buffer
	pending bool   // it is being written
	done    chan error
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
	wr := &Writer{dst: w, o: o, swap: o.BigEndian, buf: make([]byte, 0, writeBuffer)}
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
	w.add32(magic)
	w.add16(2)
	w.add16(4)
	w.buf = append(w.buf, 0, 0, 0, 0, 0, 0, 0, 0) // time zone and accuracy: always 0
	w.add32(snap)
	w.add32(uint32(w.o.Link))
	w.ifaces = 1
}

func (w *Writer) sectionHeader() {
	start := w.beginBlock(blockSection)
	w.add32(byteOrderMagic)
	w.add16(1)
	w.add16(0)
	w.add64(math.MaxUint64) // section length: unknown
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
	w.add16(uint16(i.Link))
	w.add16(0)
	w.add32(i.SnapLen)
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
	w.add32(typ)
	w.buf = append(w.buf, 0, 0, 0, 0)
	return start
}

// endBlock writes the length at both ends.
func (w *Writer) endBlock(start int) {
	size := uint32(len(w.buf) - start + 4)
	w.put32(w.buf[start+4:], size)
	w.add32(size)
}

func (w *Writer) option(code uint16, size int) {
	w.add16(code)
	w.add16(uint16(size))
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
	w.put32(h, uint32(sec))
	w.put32(h[4:], uint32(frac))
	w.put32(h[8:], uint32(len(p.Data)))
	w.put32(h[12:], p.wireLen())
	return w.data(p.Data)
}

// enhanced writes a packet of a pcapng file as an enhanced packet block.
func (w *Writer) enhanced(p *Packet) error {
	if p.TS < 0 {
		return fmt.Errorf("pcap: time of %d ns does not fit a pcapng file", p.TS)
	}
	opts := w.options(p)
	size := uint32(32 + pad4(len(p.Data)) + len(opts))
	h := w.grow(28)
	w.put32(h, blockEnhanced)
	w.put32(h[4:], size)
	w.put32(h[8:], uint32(p.Iface))
	w.put32(h[12:], uint32(uint64(p.TS)>>32))
	w.put32(h[16:], uint32(p.TS))
	w.put32(h[20:], uint32(len(p.Data)))
	w.put32(h[24:], p.wireLen())
	if err := w.data(p.Data); err != nil {
		return err
	}
	w.pad(len(p.Data))
	w.buf = append(w.buf, opts...)
	w.put32(w.grow(4), size)
	return nil
}

// optionsKey is all that decides on a packet's options but its id.
type optionsKey struct {
	has          Fields
	verdictType  VerdictType
	flags, queue uint32
	verdict      uint64
	comment      string
}

// options are a packet's with the end mark, nothing when it has none. Mostly they are those of the packet before with another id.
func (w *Writer) options(p *Packet) []byte {
	if key := (optionsKey{p.Has, p.VerdictType, p.Flags, p.Queue, p.Verdict, p.Comment}); key != w.lastKey {
		w.lastKey, w.opts = key, w.makeOptions(w.opts[:0], p)
	}
	if p.Has&HasID != 0 {
		w.put64(w.opts[4:], p.ID) // it is the first
	}
	return w.opts
}

func (w *Writer) makeOptions(b []byte, p *Packet) []byte {
	order := binary.AppendByteOrder(binary.LittleEndian)
	if w.swap {
		order = binary.BigEndian
	}
	head := func(code, n int) {
		b = order.AppendUint16(b, uint16(code))
		b = order.AppendUint16(b, uint16(n))
	}
	if p.Has&HasID != 0 {
		head(optPacketID, 8)
		b = order.AppendUint64(b, p.ID)
	}
	if p.Has&HasFlags != 0 {
		head(optFlags, 4)
		b = order.AppendUint32(b, p.Flags)
	}
	if p.Has&HasQueue != 0 {
		head(optQueue, 4)
		b = order.AppendUint32(b, p.Queue)
	}
	if p.Has&HasVerdict != 0 {
		head(optVerdict, 9)
		b = append(b, byte(p.VerdictType))
		b = order.AppendUint64(b, p.Verdict) // in the section's byte order: Wireshark reads it so
		b = append(b, 0, 0, 0)
	}
	if n := min(len(p.Comment), maxComment); n > 0 {
		head(optComment, n)
		b = append(b, p.Comment[:n]...)
		b = append(b, zeros[:pad4(n)-n]...)
	}
	if len(b) > 0 {
		head(optEnd, 0)
	}
	return b
}

// put16, put32 and put64 write a number in the file's byte order.
func (w *Writer) put16(b []byte, v uint16) {
	if w.swap {
		v = bits.ReverseBytes16(v)
	}
	binary.LittleEndian.PutUint16(b, v)
}

func (w *Writer) put32(b []byte, v uint32) {
	if w.swap {
		v = bits.ReverseBytes32(v)
	}
	binary.LittleEndian.PutUint32(b, v)
}

func (w *Writer) put64(b []byte, v uint64) {
	if w.swap {
		v = bits.ReverseBytes64(v)
	}
	binary.LittleEndian.PutUint64(b, v)
}

// add16, add32 and add64 do the same behind what is in the buffer.
func (w *Writer) add16(v uint16) { w.put16(w.grow(2), v) }
func (w *Writer) add32(v uint32) { w.put32(w.grow(4), v) }
func (w *Writer) add64(v uint64) { w.put64(w.grow(8), v) }

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
	w.err = w.hand(b)
	return w.err
}

// hand gives bytes to the file.
func (w *Writer) hand(b []byte) error {
	n, err := w.dst.Write(b)
	if err == nil && n < len(b) {
		err = io.ErrShortWrite // a file that breaks io.Writer's rules
	}
	return err
}

// room makes sure that n more bytes fit the buffer.
func (w *Writer) room(n int) error {
	switch {
	case w.err != nil || cap(w.buf)-len(w.buf) >= n:
		return w.err
	case w.o.Behind:
		return w.behind()
	}
	return w.Flush()
}

// behind lets another goroutine write the buffer, and goes on with the one that was written before.
func (w *Writer) behind() error {
	if err := w.wait(); err != nil {
		return err
	}
	if w.done == nil {
		w.done, w.spare = make(chan error, 1), make([]byte, 0, writeBuffer)
	}
	w.pending = true
	go func(b []byte) { w.done <- w.hand(b) }(w.buf)
	w.buf, w.spare = w.spare[:0], w.buf
	return nil
}

// wait waits until nothing is being written.
func (w *Writer) wait() error {
	if w.pending {
		w.pending, w.err = false, <-w.done
	}
	return w.err
}

// Flush hands everything written so far to the file.
func (w *Writer) Flush() error {
	if err := w.wait(); err == nil && len(w.buf) > 0 {
		w.err = w.hand(w.buf)
		w.buf = w.buf[:0]
	}
	return w.err
}
