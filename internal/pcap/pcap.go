// Package pcap reads and writes capture files, pcap and pcapng, without an allocation per packet.
//
// The reader puts the file, a chunk at a time, into a buffer that the caller may supply, and its records are places
// in that buffer: a packet that comes from read(2) straight into guest memory is never copied again. Odd files are
// treated as libpcap treats them: a record longer than the snapshot length is cut to it, a captured length above the
// original length is accepted, version and block lengths are checked.
package pcap

import "fmt"

// LinkType is a link-layer header type (https://www.tcpdump.org/linktypes.html).
type LinkType uint32

// The link types that a replay can do something with.
const (
	LinkNull          LinkType = 0
	LinkEthernet      LinkType = 1
	LinkRawBSD        LinkType = 12 // DLT_RAW of most systems, found in files of old libpcaps
	LinkRaw           LinkType = 101
	LinkLoop          LinkType = 108
	LinkSLL           LinkType = 113
	LinkIEEE80211     LinkType = 105
	LinkRadiotap      LinkType = 127
	LinkIPv4          LinkType = 228
	LinkIPv6          LinkType = 229
	LinkSLL2          LinkType = 276
	linkMask          uint32   = 0x03ffffff // the rest of the field says how long the FCS is
	maxCaptureLen              = 262144     // libpcap: MAXIMUM_SNAPLEN
	defaultBufferSize          = 1 << 20
)

var linkNames = map[LinkType]string{
	LinkNull: "NULL", LinkEthernet: "EN10MB", LinkRawBSD: "RAW", LinkRaw: "RAW", LinkLoop: "LOOP", LinkSLL: "LINUX_SLL",
	LinkIEEE80211: "IEEE802_11", LinkRadiotap: "IEEE802_11_RADIO", LinkIPv4: "IPV4", LinkIPv6: "IPV6", LinkSLL2: "LINUX_SLL2",
}

// String gives tcpdump's name of the link type, or its number.
func (l LinkType) String() string {
	if s, ok := linkNames[l]; ok {
		return s
	}
	return fmt.Sprintf("LINKTYPE_%d", uint32(l))
}

// Format is a capture file format.
type Format uint8

// The formats.
const (
	PCAP Format = iota
	PCAPNG
)

func (f Format) String() string {
	if f == PCAPNG {
		return "pcapng"
	}
	return "pcap"
}

// Interface is where packets of a capture came from. A pcap file has exactly one.
type Interface struct {
	Name    string // if_name of pcapng, else ""
	Link    LinkType
	SnapLen uint32 // bytes; 0 is no limit
	Section int    // number of the pcapng section, from 0

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
	Link    LinkType
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
