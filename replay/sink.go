package replay

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// Exit is a packet as the program left it.
type Exit struct {
	Type     prog.Type // of the program
	Program  string    // of a Chain: whose verdict it is
	Number   uint64    // in the capture, from 1
	TS       int64     // ns since 1970
	Data     []byte    // valid during the call only
	OrigLen  uint32    // length on the wire, changed as the program changed the packet's
	Link     uint32    // LINKTYPE_… number
	Ifindex  uint32    // interface that the packet came in by
	IfName   string    // "" when the capture does not say
	RxQueue  uint32
	Ret      uint32
	Verdict  string // name of Ret, "fault" when the program faulted
	Redirect uint32 // ifindex that a redirect sends the packet to, 0 when none
	RedirMap string // map that the redirect went through, "" when none
	Fault    error
	Nano     bool // the capture's times are finer than microseconds
}

// Sink receives packets as programs leave them.
type Sink interface {
	Write(x *Exit) error
	// Close ends the output. Run does not call it.
	Close() error
}

// faultVerdict is the verdict of packets that the program faulted on.
const faultVerdict = "fault"

// deliver hands a packet to a sink.
func (r *runner) deliver(sink Sink, i int, ctx uint32, p *packet, ret uint32, fault error) error {
	s, typ := r.sides[0].space, r.typ
	var end *chainEnd
	if c := r.sides[0].chain; c != nil {
		end = &c.ends[i]
		ctx, typ = end.ctx, end.typ
	}
	x := &r.exit
	*x = Exit{
		Type: typ, Number: p.in.Number, TS: int64(p.in.Time), Ifindex: p.in.Ifindex, IfName: p.iface.Name,
		RxQueue: p.in.RxQueue, Ret: ret, Link: r.exitLink(p), Fault: fault,
	}
	if prog.ReadFrame(s, ctx, typ, &r.out) {
		x.Data = r.out.Data
	}
	wire := int64(p.wire) + int64(len(x.Data)) - int64(p.n)
	if (r.isSKB || end != nil && typ != prog.XDP) && !r.l3 {
		x.Data = r.putVLAN(ctx, x.Data)
		if len(x.Data) > len(r.out.Data) {
			wire += vlanLen
		}
	}
	x.OrigLen = uint32(max(wire, 0))
	if end != nil {
		x.Program, x.Redirect = end.decided.Name, end.to
	}
	if fault != nil {
		x.Ret, x.Verdict = 0, faultVerdict
		return sink.Write(x)
	}
	x.Verdict = r.verdictName(typ, ret)
	if redir := redirectVerdict(typ); ret == redir && redir != 0 {
		x.Redirect, x.RedirMap = r.target(r.out.Redirect)
	}
	return sink.Write(x)
}

type nameKey uint64 // program type and return value

// verdictName is Type.Verdict without an allocation for the usual values.
func (r *runner) verdictName(typ prog.Type, ret uint32) string {
	key := nameKey(typ)<<32 | nameKey(ret)
	if name, ok := r.names[key]; ok {
		return name
	}
	name := typ.Verdict(ret)
	if len(r.names) < maxVerdicts {
		r.names[key] = name
	}
	return name
}

// exitLink is the link type of packets as they leave the program.
func (r *runner) exitLink(p *packet) uint32 {
	switch {
	case r.o.Convert == ConvertRaw:
		return uint32(p.link)
	case r.l3:
		return uint32(linktype.RawIP)
	}
	return uint32(linktype.Ethernet)
}

// putVLAN puts the tag that the ctx has back into the packet, as a capture at the interface would show it.
func (r *runner) putVLAN(ctx uint32, data []byte) []byte {
	s := r.sides[0].space
	if s.Load32(ctx+prog.SKBVlanPresent) == 0 || len(data) < etherLen {
		return data
	}
	proto, tci := uint16(s.Load32(ctx+prog.SKBVlanProto)), uint16(s.Load32(ctx+prog.SKBVlanTCI))
	b := append(r.scratch[:0], data[:12]...)
	b = binary.LittleEndian.AppendUint16(b, proto) // it is in network order already
	b = binary.BigEndian.AppendUint16(b, tci)
	b = append(b, data[12:]...)
	r.scratch = b
	return b
}

// pcapngSink writes all packets to one file.
type pcapngSink struct {
	w      *pcap.Writer
	ifaces map[ifaceKey]int
	notes  map[noteKey]string
	p      pcap.Packet
}

type ifaceKey struct{ ifindex, link uint32 }

type noteKey struct {
	verdict, mapName, program string
	redirect                  uint32
}

// NewPcapng returns a sink that writes a pcapng file: every packet with the program's verdict, the packet's number, direction
// and queue as options, and a comment with the verdict's name. Redirected packets are on the interface that they
// are sent to. Close flushes; it does not close w.
func NewPcapng(w io.Writer) (Sink, error) {
	out, err := pcap.NewWriter(w, pcap.WriterOptions{Format: pcap.PCAPNG, App: "skep"})
	if err != nil {
		return nil, err
	}
	return &pcapngSink{w: out, ifaces: map[ifaceKey]int{}, notes: map[noteKey]string{}}, nil
}

// Directions in epb_flags.
const (
	flagInbound  = 1
	flagOutbound = 2
)

func (s *pcapngSink) Write(x *Exit) error {
	key, name, flags := ifaceKey{x.Ifindex, x.Link}, x.IfName, uint32(flagInbound)
	switch {
	case x.Redirect != 0:
		key.ifindex, name, flags = x.Redirect, "", flagOutbound
	case x.Verdict == "XDP_TX":
		flags = flagOutbound
	}
	iface, ok := s.ifaces[key]
	if !ok {
		if name == "" {
			name = fmt.Sprintf("if%d", key.ifindex)
		}
		var err error
		if iface, err = s.w.AddInterface(pcap.Interface{Name: name, Link: linktype.Type(key.link)}); err != nil {
			return err
		}
		s.ifaces[key] = iface
	}
	s.p = pcap.Packet{
		Data: x.Data, OrigLen: x.OrigLen, TS: max(x.TS, 0), Iface: iface, Has: pcap.HasFlags | pcap.HasID | pcap.HasQueue,
		Flags: flags, ID: x.Number, Queue: x.RxQueue, Verdict: uint64(x.Ret), Comment: s.note(x),
	}
	if x.Fault == nil {
		switch x.Type {
		case prog.XDP:
			s.p.Has, s.p.VerdictType = s.p.Has|pcap.HasVerdict, pcap.VerdictXDP
		case prog.SchedCLS, prog.SchedACT:
			s.p.Has, s.p.VerdictType = s.p.Has|pcap.HasVerdict, pcap.VerdictTC
		}
	}
	return s.w.Write(&s.p)
}

// note is the comment of a packet.
func (s *pcapngSink) note(x *Exit) string {
	if x.Fault != nil {
		return x.Fault.Error()
	}
	if x.Redirect == 0 && x.RedirMap == "" && x.Program == "" {
		return x.Verdict
	}
	key := noteKey{x.Verdict, x.RedirMap, x.Program, x.Redirect}
	text, ok := s.notes[key]
	if !ok {
		text = x.Verdict
		if x.Redirect != 0 {
			text += fmt.Sprintf(" to interface %d", x.Redirect)
		}
		if x.RedirMap != "" {
			text += " by map " + x.RedirMap
		}
		if x.Program != "" {
			text += " (" + x.Program + ")"
		}
		s.notes[key] = text
	}
	return text
}

func (s *pcapngSink) Close() error { return s.w.Flush() }

// maxFiles bounds the files of a split: verdicts beyond it share one.
const maxFiles = 64

// splitSink writes a file for each verdict.
type splitSink struct {
	dir   string
	files map[splitKey]*splitFile
	names map[string]*splitFile
	p     pcap.Packet
}

type splitKey struct {
	verdict        string
	redirect, link uint32
}

type splitFile struct {
	f *os.File
	w *pcap.Writer
}

// NewSplit returns a sink that writes one pcap file with ns times for each verdict into a directory, which it makes:
// pass.pcap, drop.pcap, redirect-if7.pcap, fault.pcap… Close closes the files.
func NewSplit(dir string) (Sink, error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return &splitSink{dir: dir, files: map[splitKey]*splitFile{}, names: map[string]*splitFile{}}, nil
}

func (s *splitSink) Write(x *Exit) error {
	key := splitKey{x.Verdict, x.Redirect, x.Link}
	f := s.files[key]
	if f == nil {
		var err error
		if f, err = s.open(key); err != nil {
			return err
		}
		s.files[key] = f
	}
	s.p = pcap.Packet{Data: x.Data, OrigLen: x.OrigLen, TS: max(x.TS, 0)}
	return f.w.Write(&s.p)
}

// open makes the file of a verdict, or finds the one for the rest.
func (s *splitSink) open(key splitKey) (*splitFile, error) {
	name := splitName(key)
	if len(s.names) >= maxFiles {
		name = otherVerdicts
	}
	if key.link != uint32(linktype.Ethernet) {
		name += fmt.Sprintf("-link%d", key.link)
	}
	if f := s.names[name]; f != nil {
		return f, nil
	}
	f, err := os.Create(filepath.Join(s.dir, name+".pcap"))
	if err != nil {
		return nil, err
	}
	w, err := pcap.NewWriter(f, pcap.WriterOptions{Nano: true, Link: linktype.Type(key.link)})
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	s.names[name] = &splitFile{f, w}
	return s.names[name], nil
}

// splitName makes "pass" of XDP_PASS, "shot" of TC_ACT_SHOT, "ret-5" of 5, "accept-64" of "ACCEPT 64".
func splitName(key splitKey) string {
	name := key.verdict
	for _, prefix := range []string{"XDP_", "TC_ACT_", "BPF_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	if strings.Trim(name, "-0123456789") == "" {
		name = "ret-" + name
	}
	name = strings.ReplaceAll(strings.ToLower(name), " ", "-")
	if key.redirect != 0 {
		name += fmt.Sprintf("-if%d", key.redirect)
	}
	return name
}

func (s *splitSink) Close() error {
	var errs []error
	for _, f := range s.names {
		errs = append(errs, f.w.Flush(), f.f.Close())
	}
	return errors.Join(errs...)
}
