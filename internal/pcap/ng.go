package pcap

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/skepvm/skep/linktype"
)

// Block types (draft-ietf-opsawg-pcapng).
const (
	blockSection   = 0x0a0d0d0a
	blockInterface = 1
	blockPacket    = 2 // obsolete
	blockSimple    = 3
	blockEnhanced  = 6
)

// Option codes.
const (
	optEnd      = 0
	optComment  = 1
	optFlags    = 2 // epb_flags
	optPacketID = 5 // epb_packetid
	optQueue    = 6 // epb_queue
	optVerdict  = 7 // epb_verdict
	optIfName   = 2
	optTSResol  = 9
	optTSOffset = 14
	optUserAppl = 4
)

const (
	byteOrderMagic = 0x1a2b3c4d
	maxInterfaces  = 1 << 16
	blockOverhead  = 12 // type and the two lengths
	sectionHeader  = 28 // without options
)

type ngState struct {
	first   int // index in ifaces of the section's first interface
	section int // number of the section, from 0
}

// blockKind says how to read a block with packets, and how long its fixed part is.
type blockKind struct {
	fixed int // bytes between the block header and the data
	parse func(r *Reader, b []byte, rec *Record) string
}

func packetBlock(typ uint32) (blockKind, bool) {
	switch typ {
	case blockEnhanced:
		return blockKind{20, (*Reader).enhanced}, true
	case blockSimple:
		return blockKind{4, (*Reader).simple}, true
	case blockPacket:
		return blockKind{20, (*Reader).obsolete}, true
	}
	return blockKind{}, false
}

func (r *Reader) startNG() error {
	r.ng.section = -1
	if err := r.need(sectionHeader); err != nil {
		return r.shortHeader(err)
	}
	if err := r.section(r.buf[r.pos:r.end]); err != errMore {
		return err
	}
	return nil // its options are not all here: ReadBatch comes back to it
}

// parseNG takes whole blocks from the buffer. Blocks without packets are dealt with or skipped on the way.
func (r *Reader) parseNG(recs []Record) (int, error) {
	n := 0
	for n < len(recs) {
		b := r.buf[r.pos:r.end]
		if len(b) < blockOverhead {
			return n, errMore
		}
		typ := r.u32(b)
		if typ == blockSection { // reads the same in both byte orders
			if err := r.section(b); err != nil || r.skip > 0 {
				return n, err
			}
			continue
		}
		size := r.u32(b[4:])
		if size < blockOverhead || size%4 != 0 {
			return n, r.fail(r.offset(), fmt.Sprintf("block length %d is not a multiple of 4 above 8", size))
		}
		kind, packets := packetBlock(typ)
		if !packets && typ != blockInterface && uint64(size) > uint64(r.limit) {
			r.skip, r.skipFrom = int64(size), r.offset()
			return n, nil
		}
		if err := r.whole(b, size); err != nil {
			return n, err
		}
		body := b[8 : size-4 : size-4]
		var reason string
		switch {
		case packets && len(body) < kind.fixed:
			reason = fmt.Sprintf("block length %d is too short for its type", size)
		case packets:
			if reason = kind.parse(r, body, &recs[n]); reason == "" {
				n++
			}
		case typ == blockInterface:
			reason = r.addInterface(body)
		}
		if reason != "" {
			return n, r.fail(r.offset(), reason)
		}
		r.pos += int(size)
	}
	return n, nil
}

// whole checks that b holds a block of size bytes, which ends with its length.
func (r *Reader) whole(b []byte, size uint32) error {
	if uint64(len(b)) < uint64(size) {
		if uint64(size) > uint64(r.limit) {
			return r.fail(r.offset(), fmt.Sprintf("block of %d bytes does not fit the buffer of %d", size, r.limit))
		}
		return errMore
	}
	if end := r.u32(b[size-4:]); end != size {
		return r.fail(r.offset(), fmt.Sprintf("block length %d at its start, %d at its end", size, end))
	}
	return nil
}

// section reads a section header block, which sets the byte order and drops the interfaces.
func (r *Reader) section(b []byte) error {
	if len(b) < sectionHeader {
		return errMore
	}
	magic := binary.LittleEndian.Uint32(b[8:])
	switch {
	case magic == byteOrderMagic:
		r.swap = false
	case bits.ReverseBytes32(magic) == byteOrderMagic:
		r.swap = true
	default:
		return r.fail(r.offset()+8, fmt.Sprintf("section has a bad byte-order magic %#08x", magic))
	}
	size, major, minor := r.u32(b[4:]), r.u16(b[12:]), r.u16(b[14:])
	if size < sectionHeader || size%4 != 0 {
		return r.fail(r.offset(), fmt.Sprintf("section header length %d is not a multiple of 4 above 24", size))
	}
	if major != 1 || minor != 0 && minor != 2 {
		return r.fail(r.offset()+12, fmt.Sprintf("unsupported pcapng version %d.%d", major, minor))
	}
	if uint64(size) > uint64(r.limit) {
		r.skip, r.skipFrom = int64(size), r.offset()
	} else {
		if err := r.whole(b, size); err != nil {
			return err
		}
		r.pos += int(size)
	}
	r.ng.first = len(r.ifaces)
	r.ng.section++
	return nil
}

// addInterface reads an interface description block; the answer is what is wrong with it.
func (r *Reader) addInterface(b []byte) string {
	if len(b) < 8 {
		return "interface block is too short"
	}
	if len(r.ifaces) >= maxInterfaces {
		return fmt.Sprintf("more than %d interfaces", maxInterfaces)
	}
	i := Interface{
		Link: linktype.Type(r.u16(b)), SnapLen: r.u32(b[4:]), Section: r.ng.section,
		nsPerUnit: 1000, perSecond: 1e6,
	}
	reason := r.options(b[8:], func(code uint16, v []byte) string {
		switch code {
		case optIfName:
			i.Name = string(v)
		case optTSResol:
			if len(v) != 1 {
				return "if_tsresol is not one byte"
			}
			return i.setResolution(v[0])
		case optTSOffset:
			if len(v) != 8 {
				return "if_tsoffset is not eight bytes"
			}
			i.offset = int64(r.u64(v))
		}
		return ""
	})
	if i.BigEndian, i.Nano = r.swap, i.perSecond > 1e6; reason == "" {
		r.ifaces = append(r.ifaces, i)
	}
	return reason
}

// setResolution reads if_tsresol: the top bit says a power of 2, else of 10.
func (i *Interface) setResolution(v uint8) string {
	exp := v & 0x7f
	if v&0x80 != 0 {
		if exp > 63 {
			return fmt.Sprintf("time resolution of 2^-%d s is too fine", exp)
		}
		i.perSecond = 1 << exp
	} else {
		if exp > 19 {
			return fmt.Sprintf("time resolution of 10^-%d s is too fine", exp)
		}
		i.perSecond = 1
		for range exp {
			i.perSecond *= 10
		}
	}
	i.nsPerUnit = 0
	if 1e9%i.perSecond == 0 {
		i.nsPerUnit = 1e9 / i.perSecond
	}
	return ""
}

// time converts a timestamp to ns since 1970, and saturates in the year 2262.
func (i *Interface) time(units uint64) int64 {
	if i.nsPerUnit != 0 && i.offset == 0 {
		if hi, ns := bits.Mul64(units, i.nsPerUnit); hi == 0 && ns <= math.MaxInt64 {
			return int64(ns)
		}
		return math.MaxInt64
	}
	sec, frac := units/i.perSecond, units%i.perSecond
	hi, lo := bits.Mul64(frac, 1e9)
	ns, _ := bits.Div64(hi, lo, i.perSecond) // frac < perSecond, so the quotient is below 1e9
	const limit = math.MaxInt64 / 1_000_000_000
	if sec > limit {
		return math.MaxInt64
	}
	switch s := int64(sec) + i.offset; {
	case i.offset > limit || s >= limit:
		return math.MaxInt64
	case i.offset < -limit || s <= -limit:
		return math.MinInt64
	default:
		return s*1e9 + int64(ns)
	}
}

// options calls f for each option until the end. f's answer is what is wrong.
func (r *Reader) options(b []byte, f func(code uint16, v []byte) string) string {
	for len(b) >= 4 {
		code, n := r.u16(b), int(r.u16(b[2:]))
		if code == optEnd && n != 0 {
			return fmt.Sprintf("end of options with a length of %d", n)
		}
		if code == optEnd {
			return ""
		}
		if len(b) < 4+n {
			return "option is longer than its block"
		}
		if reason := f(code, b[4:4+n]); reason != "" {
			return reason
		}
		b = b[min(len(b), 4+pad4(n)):]
	}
	return ""
}

// iface finds an interface of the current section.
func (r *Reader) iface(id uint32) (*Interface, uint32) {
	if n := uint64(r.ng.first) + uint64(id); n < uint64(len(r.ifaces)) {
		return &r.ifaces[n], uint32(n)
	}
	return nil, 0
}

// place fills what all packet blocks have in common. fixed bytes of b come before the data. A packet that is longer than the interface's
// snapshot length is whole, as in Wireshark; libpcap refuses it.
func (r *Reader) place(b []byte, fixed int, i *Interface, capLen uint32, rec *Record) string {
	if capLen > maxCaptureLen {
		return fmt.Sprintf("captured length %d is above the maximum of %d", capLen, maxCaptureLen)
	}
	if int(capLen) > len(b)-fixed {
		return fmt.Sprintf("captured length %d is above the block's %d bytes", capLen, len(b)-fixed)
	}
	rec.Off, rec.CapLen, rec.Link = uint32(r.pos+8+fixed), capLen, i.Link
	return ""
}

// enhanced reads an enhanced packet block: interface, time in two halves, captured and original length, data, options.
func (r *Reader) enhanced(b []byte, rec *Record) string {
	i, n := r.iface(r.u32(b))
	if i == nil {
		return fmt.Sprintf("packet of interface %d, which the section does not describe", r.u32(b))
	}
	capLen := r.u32(b[12:])
	*rec = Record{TS: i.time(uint64(r.u32(b[4:]))<<32 | uint64(r.u32(b[8:]))), OrigLen: r.u32(b[16:]), Iface: n}
	if reason := r.place(b, 20, i, capLen, rec); reason != "" {
		return reason
	}
	if rest := b[min(len(b), 20+pad4(int(capLen))):]; len(rest) >= 4 {
		r.packetOptions(rest, rec)
	}
	return ""
}

// packetOptions reads flags, queue and packet id. A damaged list ends there: the packet itself is fine.
func (r *Reader) packetOptions(b []byte, rec *Record) {
	for len(b) >= 4 {
		code, n := r.u16(b), int(r.u16(b[2:]))
		if code == optEnd || len(b) < 4+n {
			return
		}
		switch v := b[4 : 4+n]; {
		case code == optFlags && n == 4:
			rec.Flags = r.u32(v)
			rec.Has |= HasFlags
		case code == optQueue && n == 4:
			rec.Queue = r.u32(v)
			rec.Has |= HasQueue
		case code == optPacketID && n == 8:
			rec.ID = r.u64(v)
			rec.Has |= HasID
		}
		b = b[min(len(b), 4+pad4(n)):]
	}
}

// simple reads a simple packet block: no time, interface 0, the captured length follows from the original one.
func (r *Reader) simple(b []byte, rec *Record) string {
	i, n := r.iface(0)
	if i == nil {
		return "simple packet in a section without interfaces"
	}
	orig := r.u32(b)
	capLen := orig
	if i.SnapLen != 0 {
		capLen = min(capLen, i.SnapLen)
	}
	*rec = Record{OrigLen: orig, Iface: n}
	return r.place(b, 4, i, capLen, rec)
}

// obsolete reads a packet block: as the enhanced one, with a drop count beside a 16-bit interface.
func (r *Reader) obsolete(b []byte, rec *Record) string {
	i, n := r.iface(uint32(r.u16(b)))
	if i == nil {
		return fmt.Sprintf("packet of interface %d, which the section does not describe", r.u16(b))
	}
	*rec = Record{TS: i.time(uint64(r.u32(b[4:]))<<32 | uint64(r.u32(b[8:]))), OrigLen: r.u32(b[16:]), Iface: n}
	return r.place(b, 20, i, r.u32(b[12:]), rec)
}

func (r *Reader) u64(b []byte) uint64 {
	v := binary.LittleEndian.Uint64(b)
	if r.swap {
		v = bits.ReverseBytes64(v)
	}
	return v
}

func pad4(n int) int { return (n + 3) &^ 3 }
