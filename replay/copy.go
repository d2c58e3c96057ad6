package replay

import (
	"fmt"
	"io"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// copySink writes packets as they are, with nothing said of them.
type copySink struct {
	dst    io.Writer
	ng     bool
	w      *pcap.Writer // nil before the first packet
	link   uint32
	ifaces map[ifaceKey]int
	p      pcap.Packet
}

// NewCopy returns a sink that writes a capture of nothing but the packets: pcapng with an interface for each that packets came by,
// or pcap, which has one link type, that of the first packet, and times in ns where the first packet's capture has. A
// pcap file without packets is of Ethernet. Close flushes; it does not close w.
func NewCopy(w io.Writer, ng bool) Sink { return &copySink{dst: w, ng: ng, ifaces: map[ifaceKey]int{}} }

func (s *copySink) start(link uint32, nano bool) (err error) {
	o := pcap.WriterOptions{Nano: nano, Link: linktype.Type(link), App: "skep"}
	if s.ng {
		o.Format = pcap.PCAPNG
	}
	s.link = link
	s.w, err = pcap.NewWriter(s.dst, o)
	return err
}

func (s *copySink) Write(x *Exit) error {
	if s.w == nil {
		if err := s.start(x.Link, x.Nano); err != nil {
			return err
		}
	}
	s.p = pcap.Packet{Data: x.Data, OrigLen: x.OrigLen, TS: max(x.TS, 0)}
	switch {
	case s.ng:
		key := ifaceKey{x.Ifindex, x.Link}
		iface, ok := s.ifaces[key]
		if !ok {
			var err error
			if iface, err = s.w.AddInterface(pcap.Interface{Name: x.IfName, Link: linktype.Type(x.Link)}); err != nil {
				return err
			}
			s.ifaces[key] = iface
		}
		s.p.Iface = iface
	case x.Link != s.link:
		return fmt.Errorf("packet %d is of link type %s and those before of %s: a pcap file has one, pcapng takes both", x.Number,
			linktype.Type(x.Link), linktype.Type(s.link))
	}
	return s.w.Write(&s.p)
}

func (s *copySink) Close() error {
	if s.w == nil {
		if err := s.start(uint32(linktype.Ethernet), false); err != nil {
			return err
		}
	}
	return s.w.Flush()
}
