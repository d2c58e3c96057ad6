package pcap

import (
	"encoding/binary"
	"fmt"
	"math"
	"math/bits"

	"github.com/skepvm/skep/linktype"
)

// Magic numbers of pcap files, as a little-endian reader of a little-endian file sees them.
const (
	magicMicro     = 0xa1b2c3d4
	magicNano      = 0xa1b23c4d
	magicKuznetzov = 0xa1b2cd34 // patched Linux tcpdump of the 1990s: 8 more bytes in each record header
)

const (
	classicHeader = 24 // bytes of the file header
	// kuznetzovLink is what a Kuznetzov file's snapshot length leaves out, as libpcap has it: the Ethernet header.
	kuznetzovLink = 14
)

// lengthOrder says which of the two lengths of a record header comes first.
type lengthOrder uint8

const (
	capThenOrig  lengthOrder = iota
	origThenCap              // before version 2.3, and DG/UX's 543.0
	smallerIsCap             // 2.3: both were written
)

type classicState struct {
	header  int   // bytes of a record header: 16, or 24 with Kuznetzov's patch
	nsUnit  int64 // ns in a unit of the fraction: 1 or 1000
	lengths lengthOrder
	snap    uint32 // most bytes kept of a record
	link    linktype.Type
}

// startClassic reads the 24-byte file header.
func (r *Reader) startClassic() error {
	magic := binary.LittleEndian.Uint32(r.buf)
	c := &r.classic
	if !c.setMagic(magic) {
		r.swap = true
		if !c.setMagic(bits.ReverseBytes32(magic)) {
			return r.fail(0, fmt.Sprintf("not a capture file (starts with % x)", r.buf[:4]))
		}
	}
	if err := r.need(classicHeader); err != nil {
		return r.shortHeader(err)
	}
	h := r.buf[r.pos:]
	major, minor := r.u16(h[4:]), r.u16(h[6:])
	switch {
	case major == 2 && minor < 3, major == 543 && minor == 0:
		c.lengths = origThenCap
	case major == 2 && minor == 3:
		c.lengths = smallerIsCap
	case major == 2 && minor == 4:
	default:
		return r.fail(4, fmt.Sprintf("unsupported pcap version %d.%d", major, minor))
	}
	snap := r.u32(h[16:])
	c.snap = snap
	if snap == 0 || snap > math.MaxInt32 {
		c.snap = maxCaptureLen
	}
	if c.link = linktype.Of(r.u32(h[20:])); c.link == linktype.Ethernet && c.header > 16 {
		c.snap += kuznetzovLink
		snap = c.snap
	}
	r.ifaces = []Interface{{Link: c.link, SnapLen: snap, BigEndian: r.swap, Nano: c.nsUnit == 1}}
	r.pos += classicHeader
	return nil
}

func (c *classicState) setMagic(magic uint32) bool {
	c.header, c.nsUnit = 16, 1000
	switch magic {
	case magicMicro:
	case magicNano:
		c.nsUnit = 1
	case magicKuznetzov:
		c.header = 24
	default:
		return false
	}
	return true
}

// parseClassic takes whole records from the buffer.
func (r *Reader) parseClassic(recs []Record) (int, error) {
	c := &r.classic
	buf, pos, end := r.buf[:r.end], r.pos, r.end
	for n := range recs {
		r.pos = pos
		if end-pos < c.header {
			return n, errMore
		}
		h := buf[pos : pos+16 : pos+16]
		sec, frac := binary.LittleEndian.Uint32(h), binary.LittleEndian.Uint32(h[4:])
		capLen, orig := binary.LittleEndian.Uint32(h[8:]), binary.LittleEndian.Uint32(h[12:])
		if r.swap {
			sec, frac = bits.ReverseBytes32(sec), bits.ReverseBytes32(frac)
			capLen, orig = bits.ReverseBytes32(capLen), bits.ReverseBytes32(orig)
		}
		if c.lengths == origThenCap || c.lengths == smallerIsCap && capLen > orig {
			capLen, orig = orig, capLen
		}
		if capLen > maxCaptureLen {
			return n, r.fail(r.base+int64(pos), fmt.Sprintf("captured length %d is above the maximum of %d", capLen, maxCaptureLen))
		}
		keep := min(capLen, c.snap)
		if end-pos < c.header+int(keep) {
			return n, errMore
		}
		recs[n] = Record{
			TS:  int64(sec)*1e9 + int64(frac)*c.nsUnit,
			Off: uint32(pos + c.header), CapLen: keep, OrigLen: orig, Link: c.link,
		}
		pos += c.header + int(capLen)
		if pos > end { // the part above the snapshot length is not all here
			r.skip, r.skipFrom, r.pos = int64(pos-end), r.offset(), end
			return n + 1, nil
		}
	}
	r.pos = pos
	return len(recs), nil
}
