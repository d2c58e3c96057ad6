package replay

import (
	"errors"
	"io"
	"os"
	"time"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
)

// Packet is a packet of a Source.
type Packet struct {
	Data    []byte    // as captured; read before the next call only
	Time    time.Time // of the capture
	OrigLen int       // bytes on the wire; 0 stands for all that was captured
	Iface   int       // index of the interface, from 0
}

// Source gives the packets of a replay when they are in no capture file.
type Source interface {
	// Link is the link type of all packets.
	Link() linktype.Type
	// Next fills in the next packet. At the end it returns io.EOF.
	Next(*Packet) error
}

// captureInfo is what a gopacket.CaptureInfo consists of, whichever module it comes from.
type captureInfo interface {
	~struct {
		Timestamp      time.Time
		CaptureLength  int
		Length         int
		InterfaceIndex int
		AncillaryData  []interface{}
	}
}

// packetDataSource is a gopacket.PacketDataSource.
type packetDataSource[CI captureInfo] interface {
	ReadPacketData() (data []byte, ci CI, err error)
}

// FromGopacket makes a Source of a gopacket.PacketDataSource, of github.com/google/gopacket or its fork
// github.com/gopacket/gopacket; link is what its packets begin with, the number of its LinkType().
func FromGopacket[CI captureInfo](src packetDataSource[CI], link linktype.Type) Source {
	return &gopacketSource[CI]{src, link}
}

type gopacketSource[CI captureInfo] struct {
	src  packetDataSource[CI]
	link linktype.Type
}

func (g *gopacketSource[CI]) Link() linktype.Type { return g.link }

func (g *gopacketSource[CI]) Next(p *Packet) error {
	data, ci, err := g.src.ReadPacketData()
	info := struct {
		Timestamp      time.Time
		CaptureLength  int
		Length         int
		InterfaceIndex int
		AncillaryData  []interface{}
	}(ci)
	*p = Packet{Data: data, Time: info.Timestamp, OrigLen: info.Length, Iface: info.InterfaceIndex}
	return err
}

// source is where the packets of a pass come from: *pcap.Reader, *pcap.Merger, or a Source.
type source interface {
	ReadBatch([]pcap.Record) (int, error) // packets in the chunk that openSource was given
	SetBuffer([]byte)                     // another chunk for the next batch
	Interfaces() []pcap.Interface
	Format() pcap.Format
	Consumed() (n, of int64)
	Close() error
}

// openSource opens what the options name; packets will lie in buf.
func (o *Options) openSource(buf []byte) (source, error) {
	switch {
	case o.Source != nil:
		return &feed{src: o.Source, buf: buf}, nil
	case o.Input != nil:
		return pcap.NewReader(o.stoppable(o.Input), buf)
	case o.Files[0] == "-":
		return pcap.NewReader(o.stoppable(os.Stdin), buf)
	case o.Follow:
		return openFollowed(o.Files[0], o.Stop, buf)
	case len(o.Files) == 1:
		if info, err := os.Stat(o.Files[0]); err != nil || !info.IsDir() {
			if len(o.Others) > 0 {
				return pcap.Open(o.Files[0], buf) // the workers are what goes on while the reader reads
			}
			return openAhead(o.Files[0], buf)
		}
	}
	return pcap.OpenAll(o.Files, buf)
}

func openAhead(name string, buf []byte) (source, error) {
	r, err := pcap.Open(name, buf)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(name); err == nil && info.Mode().IsRegular() {
		r.ReadAhead()
	}
	return r, nil
}

// stoppable lets Stop end the reading of a pipe. A file that can seek needs no help.
func (o *Options) stoppable(src io.Reader) io.Reader {
	if o.Follow {
		src = pcap.Follow(src, o.Stop)
	}
	if o.Stop == nil {
		return src
	}
	if s, ok := src.(io.Seeker); ok {
		if _, err := s.Seek(0, io.SeekCurrent); err == nil {
			return src
		}
	}
	return pcap.Interruptible(src, o.Stop)
}

// followed is a reader of a file that grows.
type followed struct {
	*pcap.Reader
	file *os.File
}

func (f followed) Close() error { return errors.Join(f.Reader.Close(), f.file.Close()) }

func openFollowed(name string, stop <-chan struct{}, buf []byte) (source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &CaptureError{File: name, Reason: "cannot open", Err: errors.Unwrap(err)}
	}
	r, err := pcap.NewReader(pcap.Follow(f, stop), buf)
	if err != nil {
		_ = f.Close() // err says more
		return nil, err
	}
	return followed{r, f}, nil
}

// feed copies the packets of a Source into the chunk.
type feed struct {
	src    Source
	buf    []byte
	ifaces []pcap.Interface
	held   bool // next is a packet that the last batch had no room for
	next   Packet
	err    error
}

func (f *feed) Interfaces() []pcap.Interface { return f.ifaces }
func (f *feed) SetBuffer(buf []byte)         { f.buf = buf }
func (f *feed) Format() pcap.Format          { return pcap.None }
func (f *feed) Consumed() (n, of int64)      { return 0, 0 }
func (f *feed) Close() error                 { return nil }

func (f *feed) ReadBatch(recs []pcap.Record) (n int, err error) {
	used := 0
	for n < len(recs) && f.err == nil {
		if !f.held {
			f.next = Packet{}
			if f.err = f.src.Next(&f.next); f.err != nil {
				break
			}
		}
		p := &f.next
		data := p.Data[:min(len(p.Data), maxPacket)]
		if f.held = used+len(data) > len(f.buf); f.held {
			break
		}
		if f.err = f.interfaces(p.Iface); f.err != nil {
			break
		}
		copy(f.buf[used:], data)
		recs[n] = pcap.Record{TS: p.Time.UnixNano(), Off: uint32(used), CapLen: uint32(len(data)), OrigLen: uint32(p.OrigLen),
			Iface: uint32(p.Iface), Link: f.src.Link()}
		if p.OrigLen <= 0 {
			recs[n].OrigLen = uint32(len(p.Data))
		}
		used += len(data)
		n++
	}
	if n > 0 {
		return n, nil
	}
	return 0, f.err
}

// interfaces makes sure that there is an interface of that number.
func (f *feed) interfaces(n int) error {
	if n < 0 || n >= maxSourceInterfaces {
		return failure("the source gives a packet of interface %d, of at most %d", n, maxSourceInterfaces)
	}
	for len(f.ifaces) <= n {
		f.ifaces = append(f.ifaces, pcap.Interface{Link: f.src.Link()})
	}
	return nil
}

// maxSourceInterfaces bounds what a Source's interface numbers make us keep, as the capture reader's own limit does.
const maxSourceInterfaces = 1 << 16
