// Package pcap reads and writes capture files, pcap and pcapng, without an allocation per packet.
//
// The reader puts the file, a chunk at a time, into a buffer that the caller may supply, and its records are places
// in that buffer: a packet that comes from read(2) straight into guest memory is never copied again. Odd files are
// treated as libpcap treats them: a pcap record longer than the snapshot length is cut to it, a captured length above the
// original length is accepted, version and block lengths are checked.
package pcap

import (
	"fmt"

	"github.com/skepvm/skep/linktype"
)

// The largest record that is kept whole (libpcap: MAXIMUM_SNAPLEN), and the buffer of a reader that was given none.
const (
	maxCaptureLen     = 262144
	defaultBufferSize = 1 << 20
)

// Format is a capture file format.
type Format uint8

// The formats.
const (
	PCAP Format = iota
	PCAPNG
	Mixed // of a Merger's files
	None  // packets that come from no file
)

func (f Format) String() string { return [...]string{"pcap", "pcapng", "pcap and pcapng", "none"}[f] }

// Interface is where packets of a capture came from. A pcap file has exactly one.
type Interface struct {
	Name    string // if_name of pcapng, else ""
	Link    linktype.Type
	SnapLen uint32 // bytes; 0 is no limit
	Section int    // number of the pcapng section, from 0
	// BigEndian says that the machine that captured is, as far as the file shows it.
	BigEndian bool
	Nano      bool // times are finer than microseconds

	nsPerUnit uint64 // ns in one timestamp unit, 0 when a unit is not a whole number of ns
	perSecond uint64 // timestamp units in a second
	offset    int64  // seconds to add to timestamps
}

// Record is one packet: where it is in the reader's buffer, and what the file says about it.
type Record struct {
	TS      int64  // ns since 1970; 0 when the file has no time (simple packet block)
	Off     uint32 // of the first captured byte in the buffer
	CapLen  uint32 // bytes in the buffer
	OrigLen uint32 // bytes on the wire, as the file says
	Iface   uint32 // index into Reader.Interfaces
	Link    linktype.Type
	Queue   uint32 // epb_queue, valid when HasQueue
	Flags   uint32 // epb_flags: bits 0 and 1 are the direction (1 inbound, 2 outbound)
	Has     Fields // which optional fields are there
	ID      uint64 // epb_packetid, valid when HasID
}

// Fields says which optional fields of a Record or a Packet are set.
type Fields uint8

// Values of Fields.
const (
	HasFlags Fields = 1 << iota
	HasQueue
	HasID
	HasVerdict
)

// Error says what is wrong with a capture file.
type Error struct {
	File   string // "" when unknown
	Offset int64  // of the offending record or block, in the decompressed file
	Reason string
	Err    error // cause, nil when the file itself is at fault
}

func (e *Error) Error() string {
	file := e.File
	if file == "" {
		file = "capture"
	}
	if e.Err != nil {
		return fmt.Sprintf("%s: offset %d: %s: %v", file, e.Offset, e.Reason, e.Err)
	}
	return fmt.Sprintf("%s: offset %d: %s", file, e.Offset, e.Reason)
}

func (e *Error) Unwrap() error { return e.Err }
