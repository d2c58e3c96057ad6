package pcap

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math/bits"
	"os"
	"sync/atomic"
)

// MinBuffer is the smallest buffer that NewReader takes. A record must fit the buffer; 1 MiB is never too small for
// what libpcap writes.
const MinBuffer = 256

// Reader reads the packets of one capture.
type Reader struct {
	src      io.Reader // raw, or a decompressor behind it
	raw      counter
	size     int64 // of the file, 0 when unknown
	name     string
	closer   io.Closer
	unpacker io.Closer

	buf      []byte
	limit    int   // longest record or block, bytes
	pos, end int   // unparsed bytes are buf[pos:end]
	base     int64 // offset in the file of buf[0]
	skip     int64 // bytes to drop before the next record
	skipFrom int64 // offset in the file of the record that they end
	eof      bool
	srcErr   error // what the source failed with
	err      error // what ReadBatch and Parse return from now on

	// Of a capture that is read in pieces.
	file    *os.File // whose parts are read at once; nil when the source is read one piece after the other
	claimed int64    // offset of the file's next piece
	ended   bool     // the source gave its last piece
	began   bool     // a piece has been claimed
	rest    []byte   // what the last piece that was parsed left

	format Format
	swap   bool // the file is big-endian
	ifaces []Interface
	parse  func(r *Reader, recs []Record) (int, error)

	classic classicState
	ng      ngState
}

// errMore says that the buffer ends before the record does.
var errMore = errors.New("incomplete record")

// Open opens a capture file; "-" is standard input. Gzip and zstd are recognised. buf is as in NewReader.
func Open(name string, buf []byte) (*Reader, error) {
	if buf == nil {
		buf = make([]byte, defaultBufferSize)
	}
	return open(name, buf, len(buf))
}

func open(name string, buf []byte, limit int) (*Reader, error) {
	if name == "-" {
		return newReader(os.Stdin, buf, limit)
	}
	f, err := os.Open(name)
	if err != nil {
		return nil, &Error{File: name, Reason: "cannot open", Err: errors.Unwrap(err)}
	}
	r, err := newReader(f, buf, limit)
	if err != nil {
		_ = f.Close() // err says more
		return nil, err
	}
	r.closer = f
	if info, err := f.Stat(); err == nil && info.Mode().IsRegular() {
		r.size = info.Size()
	}
	return r, nil
}

// NewReader reads the file header of a capture. Packets will lie in buf, nil being a buffer of 1 MiB of its own.
// Errors are *Error.
func NewReader(src io.Reader, buf []byte) (*Reader, error) {
	if buf == nil {
		buf = make([]byte, defaultBufferSize)
	}
	return newReader(src, buf, len(buf))
}

func newReader(src io.Reader, buf []byte, limit int) (*Reader, error) {
	r := &Reader{raw: counter{src: src}, buf: buf, limit: limit, name: nameOf(src)}
	r.src = &r.raw
	if err := r.start(); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Reader) start() error {
	if len(r.buf) < MinBuffer {
		return r.fail(0, fmt.Sprintf("buffer of %d bytes is below the minimum of %d", len(r.buf), MinBuffer))
	}
	if err := r.need(4); err != nil {
		return r.shortHeader(err)
	}
	if err := r.unpack(); err != nil {
		return err
	}
	if binary.LittleEndian.Uint32(r.buf) == blockSection {
		r.format, r.parse = PCAPNG, (*Reader).parseNG
		return r.startNG()
	}
	r.format, r.parse = PCAP, (*Reader).parseClassic
	return r.startClassic()
}

// Close closes the file that Open opened, and gives up what decompression needed.
func (r *Reader) Close() error {
	if r.unpacker != nil {
		_ = r.unpacker.Close() // what it could say was said by reading
	}
	if r.closer == nil {
		return nil
	}
	return r.closer.Close()
}

// Consumed returns how many bytes the reader has taken from the file and how many the file has, both of them compressed
// ones when it is compressed; of is 0 when the source is no file that Open opened.
func (r *Reader) Consumed() (n, of int64) { return r.raw.n.Load(), r.size }

// counter counts what passes.
type counter struct {
	src io.Reader
	n   atomic.Int64
}

func (c *counter) Read(b []byte) (int, error) {
	n, err := c.src.Read(b)
	c.n.Add(int64(max(n, 0))) // the reader itself looks into an impossible count
	return n, err
}

// Format returns the file's format.
func (r *Reader) Format() Format { return r.format }

// Interfaces returns the interfaces met so far, over all sections. Record.Iface is an index into it.
func (r *Reader) Interfaces() []Interface { return r.ifaces }

// Buffer returns the buffer that Record.Off refers to.
func (r *Reader) Buffer() []byte { return r.buf }

// Data returns the captured bytes of a record of the last batch: a view, not a copy.
func (r *Reader) Data(rec *Record) []byte {
	end := rec.Off + rec.CapLen
	return r.buf[rec.Off:end:end]
}

// ReadBatch fills recs with the next packets and returns how many there are, at least one when the error is nil.
// They are valid until the next call. At the end of the file the error is io.EOF; a damaged file gives *Error after all
// records before the damage were delivered. The error stays.
func (r *Reader) ReadBatch(recs []Record) (int, error) {
	if len(recs) == 0 {
		return 0, nil
	}
	for r.err == nil {
		if r.skip > 0 && !r.drop() {
			break
		}
		n, err := r.parse(r, recs)
		if err != nil && err != errMore {
			r.err = err
		}
		if n > 0 {
			return n, nil
		}
		if err == errMore && r.skip == 0 {
			r.refill()
		}
	}
	return 0, r.err
}

// refill makes room, reads once, and sets r.err when the source has nothing more.
func (r *Reader) refill() {
	if r.eof {
		r.err = r.noMore()
		return
	}
	if r.pos == 0 && r.end == len(r.buf) && len(r.buf) < r.limit {
		r.buf = append(make([]byte, 0, r.limit), r.buf...)[:r.limit]
	}
	if r.pos == 0 && r.end == len(r.buf) {
		r.err = r.fail(r.offset(), fmt.Sprintf("record does not fit the buffer of %d bytes", len(r.buf)))
		return
	}
	r.more()
}

// more gets more bytes behind the unparsed ones.
func (r *Reader) more() {
	r.compact()
	r.fill()
}

// compact moves the unparsed bytes to the front.
func (r *Reader) compact() {
	if r.pos == 0 {
		return
	}
	copy(r.buf, r.buf[r.pos:r.end])
	r.base += int64(r.pos)
	r.end -= r.pos
	r.pos = 0
}

// fill reads once. A source that never gives anything counts as failed.
func (r *Reader) fill() {
	n, err := readSome(r.src, r.buf[r.end:], false)
	r.end += n
	r.note(err)
}

// note keeps what the source ended with.
func (r *Reader) note(err error) {
	if err == nil {
		return
	}
	r.eof = true
	if err != io.EOF {
		r.srcErr = err
	}
}

// drop passes over r.skip bytes. It reports false, with r.err set, when the file ends first.
func (r *Reader) drop() bool {
	for {
		n := min(r.skip, int64(r.end-r.pos))
		r.pos += int(n)
		r.skip -= n
		if r.skip == 0 {
			return true
		}
		if r.eof {
			r.err = r.noMore()
			return false
		}
		r.more()
	}
}

// need reads until n bytes are unparsed. Only for headers; n must be below MinBuffer.
func (r *Reader) need(n int) error {
	for r.end-r.pos < n {
		if r.eof {
			return errMore
		}
		r.more()
	}
	return nil
}

// shortHeader names the reason for a file that ends in its header.
func (r *Reader) shortHeader(err error) error {
	if r.srcErr != nil {
		return &Error{File: r.name, Offset: r.base + int64(r.end), Reason: "read failed", Err: r.srcErr}
	}
	if err == errMore {
		return r.fail(r.base+int64(r.end), "file ends within its header")
	}
	return err
}

// maxIdle is how often a source may give nothing before it counts as failed.
const maxIdle = 100

// readOnce is one Read, which it does not trust.
func readOnce(src io.Reader, b []byte) (int, error) {
	n, err := src.Read(b)
	if n < 0 || n > len(b) {
		return 0, errors.New("source returned an impossible count")
	}
	return n, err
}

func (r *Reader) offset() int64 { return r.base + int64(r.pos) }

func (r *Reader) fail(off int64, reason string) error {
	return &Error{File: r.name, Offset: off, Reason: reason}
}

// u32 reads a 32-bit field in the file's byte order.
func (r *Reader) u32(b []byte) uint32 {
	v := binary.LittleEndian.Uint32(b)
	if r.swap {
		v = bits.ReverseBytes32(v)
	}
	return v
}

func (r *Reader) u16(b []byte) uint16 {
	v := binary.LittleEndian.Uint16(b)
	if r.swap {
		v = bits.ReverseBytes16(v)
	}
	return v
}
