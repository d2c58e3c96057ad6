package replay

import (
	"errors"
	"io"
	"io/fs"
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

// source is where the packets of a pass come from: *pcap.Reader, *pcap.Merger, or a Source. A goroutine that calls Claim, Load and Parse has one piece,
// as pcap.Piece says.
type source interface {
	Claim(*pcap.Piece)
	Load(*pcap.Piece)
	Parse(*pcap.Piece) error
	Format() pcap.Format
	Consumed() (n, of int64)
	Close() error
}

// openSource opens what the options name.
func (o *Options) openSource() (source, error) {
	switch {
	case o.Source != nil:
		return &feed{src: o.Source}, nil
	case o.Input != nil:
		return pcap.NewPieces(o.stoppable(o.Input))
	case o.Files[0] == "-":
		return pcap.NewPieces(o.stoppable(os.Stdin))
	case len(o.Files) > 1 || isKind(o.Files[0], fs.ModeDir):
		return pcap.OpenAll(o.Files, nil)
	case o.mayWait():
		return o.openWaiting(o.Files[0])
	}
	return pcap.OpenPieces(o.Files[0])
}

// mayWait reports whether reading may wait for whoever writes the capture. Then what has been read runs first: a replay that ends with it does not wait
// for more.
func (o *Options) mayWait() bool {
	switch {
	case o.Source != nil || o.Follow:
		return true
	case o.Input != nil:
		return !canSeek(o.Input)
	case o.Files[0] == "-":
		return !canSeek(os.Stdin)
	}
	return len(o.Files) == 1 && (isKind(o.Files[0], fs.ModeNamedPipe) || isKind(o.Files[0], fs.ModeDevice))
}

func isKind(name string, kind fs.FileMode) bool {
	info, err := os.Stat(name)
	return err == nil && info.Mode()&kind != 0
}

func canSeek(src io.Reader) bool {
	s, ok := src.(io.Seeker)
	if !ok {
		return false
	}
	_, err := s.Seek(0, io.SeekCurrent)
	return err == nil
}

// stoppable lets Stop end the reading of a pipe. A file that can seek needs no help.
func (o *Options) stoppable(src io.Reader) io.Reader {
	seeks := canSeek(src)
	if o.Follow {
		src = pcap.Follow(src, o.Stop)
	}
	if o.Stop == nil || seeks {
		return src
	}
	return pcap.Interruptible(src, o.Stop)
}

// waiting is a reader of a file that somebody writes.
type waiting struct {
	*pcap.Reader
	file *os.File
}

func (w waiting) Close() error { return errors.Join(w.Reader.Close(), w.file.Close()) }

func (o *Options) openWaiting(name string) (source, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, &CaptureError{File: name, Reason: "cannot open", Err: errors.Unwrap(err)}
	}
	r, err := pcap.NewPieces(o.stoppable(f))
	if err != nil {
		_ = f.Close() // err says more
		return nil, err
	}
	return waiting{r, f}, nil
}

// feed copies the packets of a Source into pieces.
type feed struct {
	src    Source
	ifaces []pcap.Interface
	held   bool // next is a packet that the last piece had no room for
	next   Packet
	err    error
}

// feedRecords is how many packets of a Source are a piece.
const feedRecords = maxBatch

func (f *feed) Claim(*pcap.Piece)       {}
func (f *feed) Load(*pcap.Piece)        {}
func (f *feed) Format() pcap.Format     { return pcap.None }
func (f *feed) Consumed() (n, of int64) { return 0, 0 }
func (f *feed) Close() error            { return nil }

func (f *feed) Parse(p *pcap.Piece) error {
	p.Recs = p.Recs[:0]
	for used := 0; len(p.Recs) < feedRecords && f.err == nil; {
		if !f.held {
			f.next = Packet{}
			if f.err = f.src.Next(&f.next); f.err != nil {
				break
			}
		}
		next := &f.next
		data := next.Data[:min(len(next.Data), maxPacket)]
		if f.held = used+len(data) > len(p.Buf); f.held {
			break
		}
		if f.err = f.interfaces(next.Iface); f.err != nil {
			break
		}
		copy(p.Buf[used:], data)
		rec := pcap.Record{TS: next.Time.UnixNano(), Off: uint32(used), CapLen: uint32(len(data)), OrigLen: uint32(next.OrigLen),
			Iface: uint32(next.Iface), Link: f.src.Link()}
		if next.OrigLen <= 0 {
			rec.OrigLen = uint32(len(next.Data))
		}
		p.Recs = append(p.Recs, rec)
		used += len(data)
	}
	p.Ifaces = f.ifaces
	if f.held {
		return nil
	}
	return f.err
}

// interfaces makes sure that there is an interface of that number.
func (f *feed) interfaces(n int) error {
	if n < 0 || n >= maxSourceInterfaces {
		return failure("the source gives a packet of interface %d, of at most %d", n, maxSourceInterfaces)
	}
	for len(f.ifaces) <= n {
		f.ifaces = append(f.ifaces, pcap.Interface{Link: f.src.Link(), Nano: true})
	}
	return nil
}

// maxSourceInterfaces bounds what a Source's interface numbers make us keep, as the capture reader's own limit does.
const maxSourceInterfaces = 1 << 16
