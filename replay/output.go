package replay

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// Format is what a capture is written as.
type Format uint8

// The formats to write.
const (
	FormatPcapng Format = iota
	FormatPcap          // one link type; bytes, lengths and times only, in ns where the capture has them finer than microseconds
)

// Copies says which copies of a packet are written.
type Copies uint8

// Values of Copies.
const (
	CopyExit  Copies = iota // the packet as the program left it
	CopyEntry               // the packet as the program got it
	CopyBoth                // the one and the other behind it, with the same packet id
)

// Output says how packets are written. The zero value is pcapng with the packets as the program left them.
//
// A packet of a pcapng file has its number in the capture as packet id, direction and queue. A copy at exit has the verdict, and as comment the
// verdict's name, where a redirect sends the packet, the program of a Chain that decided, or what a fault says. XDP_TX goes out by the
// interface that the packet came in by, a redirect by the one that it names: that is the interface of the copy. A copy at entry is
// inbound, without verdict and comment.
type Output struct {
	Format Format
	Copies Copies
	Bare   bool // pcapng: interfaces and packets, with nothing said of them
	// Create makes a file; nil is os.Create.
	Create func(name string) (io.WriteCloser, error)
}

func (o *Output) check() error {
	if o.Format == FormatPcap && o.Copies == CopyBoth {
		return failure("a pcap file cannot tell a packet's two copies apart, pcapng can")
	}
	if o.Create == nil {
		o.Create = func(name string) (io.WriteCloser, error) { return os.Create(name) }
	}
	return nil
}

// NewWriter returns a sink that writes to w. Close flushes; it does not close w.
func NewWriter(w io.Writer, o Output) (Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &stream{o: o, dst: w}, nil
}

// NewFile returns a sink that writes a file, which it makes when the first packet comes, or at Close when none came.
func NewFile(name string, o Output) (Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &stream{o: o, name: name}, nil
}

// stream writes packets to one capture.
type stream struct {
	o      Output
	name   string    // of the file to make
	dst    io.Writer // nil as long as it is not made
	file   io.Closer // nil when dst is not ours
	w      *pcap.Writer
	err    error  // what the start failed with
	link   uint32 // of a pcap file
	ifaces map[ifaceKey]int
	notes  map[noteKey]string
	last   ifaceKey // of the packet before, when there was one
	iface  int      // its number in the file
	p      pcap.Packet
}

type ifaceKey struct{ ifindex, link uint32 }

type noteKey struct {
	verdict, mapName, program string
	redirect                  uint32
}

// start begins the file as its first packet wants it, once.
func (s *stream) start(link uint32, nano bool) error {
	if s.w != nil || s.err != nil {
		return s.err
	}
	if s.dst == nil {
		f, err := s.o.Create(s.name)
		if err != nil {
			s.err = err
			return err
		}
		s.dst, s.file = f, f
	}
	o := pcap.WriterOptions{Nano: nano, Link: linktype.Type(link), App: "skep", Behind: s.file != nil}
	if s.o.Format == FormatPcapng {
		o.Format = pcap.PCAPNG
	}
	s.link, s.ifaces, s.notes = link, map[ifaceKey]int{}, map[noteKey]string{}
	s.w, s.err = pcap.NewWriter(s.dst, o)
	return s.err
}

// WantsEntry implements EntrySink.
func (s *stream) WantsEntry() bool { return s.o.Copies != CopyExit }

// Write implements Sink.
func (s *stream) Write(x *Exit) error {
	err := s.start(x.Link, x.Nano)
	if err != nil {
		return err
	}
	if s.o.Copies != CopyExit && x.Copy == 0 {
		err = s.entry(x)
	}
	if s.o.Copies != CopyEntry && err == nil {
		err = s.exit(x)
	}
	if err != nil {
		return fmt.Errorf("packet %d: %w", x.Number, err)
	}
	return nil
}

// Directions in epb_flags.
const (
	flagInbound  = 1
	flagOutbound = 2
)

// entry writes a packet as the program got it.
func (s *stream) entry(x *Exit) error {
	s.packet(x, x.Entry, x.EntryLen, flagInbound)
	return s.put(x, x.Ifindex, x.IfName)
}

// exit writes a packet as the program left it.
func (s *stream) exit(x *Exit) error {
	s.packet(x, x.Data, x.OrigLen, flagInbound)
	if s.o.Format == FormatPcap || s.o.Bare {
		return s.put(x, x.Ifindex, x.IfName)
	}
	s.p.Comment = s.note(x)
	if x.Fault == nil {
		s.p.VerdictType, s.p.Verdict = verdict(x)
	}
	if s.p.VerdictType != 0 {
		s.p.Has |= pcap.HasVerdict
	}
	if x.Redirect != 0 && !x.RedirIn || x.Verdict == "XDP_TX" {
		s.p.Flags = flagOutbound
	}
	if x.Redirect != 0 {
		return s.put(x, x.Redirect, x.RedirName)
	}
	return s.put(x, x.Ifindex, x.IfName)
}

// packet sets what both copies have.
func (s *stream) packet(x *Exit, data []byte, wire, flags uint32) {
	p := &s.p
	p.Data, p.OrigLen, p.TS = data, wire, max(x.TS, 0)
	p.Has, p.VerdictType, p.Comment = 0, 0, ""
	if !s.o.Bare {
		p.Has, p.Flags, p.ID, p.Queue = pcap.HasFlags|pcap.HasID|pcap.HasQueue, flags, x.Number, x.RxQueue
	}
}

// put writes the packet on an interface.
func (s *stream) put(x *Exit, ifindex uint32, name string) error {
	if s.o.Format == FormatPcap {
		if x.Link != s.link {
			return fmt.Errorf("link type %s, and %s of the packets before: a pcap file has one, pcapng takes both", linktype.Type(x.Link),
				linktype.Type(s.link))
		}
		return s.w.Write(&s.p)
	}
	if key := (ifaceKey{ifindex, x.Link}); key != s.last || len(s.ifaces) == 0 {
		if err := s.setInterface(key, name); err != nil {
			return err
		}
	}
	s.p.Iface = s.iface
	return s.w.Write(&s.p)
}

// maxTargets bounds the interfaces and comments that a program can bring about by redirects: what goes elsewhere shares one interface.
const maxTargets = 1 << 12

// setInterface makes another interface the one of packets.
func (s *stream) setInterface(key ifaceKey, name string) error {
	iface, ok := s.ifaces[key]
	if !ok && len(s.ifaces) >= maxTargets {
		key.ifindex, name = 0, otherVerdicts // Linux has no interface 0
		iface, ok = s.ifaces[key]
	}
	if !ok {
		if name == "" && !s.o.Bare {
			name = fmt.Sprintf("if%d", key.ifindex)
		}
		var err error
		if iface, err = s.w.AddInterface(pcap.Interface{Name: name, Link: linktype.Type(key.link)}); err != nil {
			return err
		}
		s.ifaces[key] = iface
	}
	s.last, s.iface = key, iface
	return nil
}

// verdict is a packet's as pcapng numbers them; type 0 when it has no number for those of the program's type.
func verdict(x *Exit) (pcap.VerdictType, uint64) {
	switch x.Type {
	case prog.XDP:
		return pcap.VerdictXDP, uint64(x.Ret)
	case prog.SchedCLS, prog.SchedACT:
		return pcap.VerdictTC, uint64(int32(x.Ret)) // TC_ACT_UNSPEC is -1
	}
	return 0, 0
}

// note is the comment of a packet.
func (s *stream) note(x *Exit) string {
	if x.Fault != nil {
		return x.Fault.Error()
	}
	if x.Redirect == 0 && x.RedirMap == "" && x.Program == "" {
		return x.Verdict
	}
	key := noteKey{x.Verdict, x.RedirMap, x.Program, x.Redirect}
	text, ok := s.notes[key]
	if !ok {
		text = noteText(x)
		if len(s.notes) < maxTargets {
			s.notes[key] = text
		}
	}
	return text
}

func noteText(x *Exit) string {
	text := x.Verdict
	if x.Redirect != 0 {
		text += fmt.Sprintf(" to interface %d", x.Redirect)
	}
	if x.RedirMap != "" {
		text += " by map " + x.RedirMap
	}
	if x.Program != "" {
		text += " (" + x.Program + ")"
	}
	return text
}

// Flush implements FlushSink.
func (s *stream) Flush() error {
	if s.w == nil {
		return s.err
	}
	return s.w.Flush()
}

// Close implements Sink. A file without packets is of Ethernet.
func (s *stream) Close() error {
	if err := s.start(uint32(linktype.Ethernet), false); err != nil {
		return err
	}
	err := s.w.Flush()
	if s.file != nil {
		err = cmp.Or(err, s.file.Close())
		s.file = nil
	}
	return err
}

// maxFiles bounds the files of a split: verdicts beyond it share one.
const maxFiles = 64

// splitSink writes a file for each verdict.
type splitSink struct {
	dir   string
	o     Output
	files map[splitKey]*stream
	names map[string]splitFile
}

type splitKey struct {
	typ            prog.Type
	verdict        string
	redirect, link uint32
}

type splitFile struct {
	*stream
	filter string // whose packets are in it, when it is of a filter
}

// NewSplit returns a sink that writes a file for each verdict into a directory, which it makes: pass.pcap, drop.pcap, redirect-if7.pcap,
// fault.pcap…, or .pcapng. A packet's copy at entry is in the file of its verdict. Close closes the files.
func NewSplit(dir string, o Output) (Sink, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	return &splitSink{dir: dir, o: o, files: map[splitKey]*stream{}, names: map[string]splitFile{}}, nil
}

// WantsEntry implements EntrySink.
func (s *splitSink) WantsEntry() bool { return s.o.Copies != CopyExit }

// Write implements Sink.
func (s *splitSink) Write(x *Exit) error {
	key := splitKey{x.Type, x.Verdict, x.Redirect, x.Link}
	f := s.files[key]
	if f == nil {
		f = s.open(key)
		if len(s.files) < maxTargets {
			s.files[key] = f
		}
	}
	return f.Write(x)
}

// open makes the file of a verdict, or finds the one for the rest.
func (s *splitSink) open(key splitKey) *stream {
	base, suffix, ext, filter := splitName(key), "", ".pcapng", ""
	if key.typ == prog.Classic {
		filter = key.verdict
	}
	if s.o.Format == FormatPcap {
		ext = ".pcap"
		if key.link != uint32(linktype.Ethernet) {
			suffix = fmt.Sprintf("-link%d", key.link)
		}
	}
	if _, ok := s.names[base+suffix]; !ok && len(s.names) >= maxFiles {
		base, filter = otherVerdicts, ""
	}
	base += suffix
	name := base
	for n := 2; s.names[name].filter != filter && s.names[name].stream != nil; n++ {
		name = base + "-" + strconv.Itoa(n) // filters with names that are alike
	}
	f, ok := s.names[name]
	if !ok {
		f = splitFile{&stream{o: s.o, name: filepath.Join(s.dir, name+ext)}, filter}
		s.names[name] = f
	}
	return f.stream
}

// maxSplitName bounds the length of a file's name: a filter may be long.
const maxSplitName = 100

// splitName makes "pass" of XDP_PASS, "shot" of TC_ACT_SHOT, "ret-5" of 5, "accept-64" of "ACCEPT 64".
func splitName(key splitKey) string {
	name := key.verdict
	for _, prefix := range []string{"XDP_", "TC_ACT_", "BPF_"} {
		name = strings.TrimPrefix(name, prefix)
	}
	if strings.Trim(name, "-0123456789") == "" {
		name = "ret-" + name
	}
	name = strings.Map(func(c rune) rune {
		if c <= ' ' || strings.ContainsRune(`/\:*?"<>|`, c) { // which no name of a file may have everywhere
			return '-'
		}
		return c
	}, strings.ToLower(name))
	name = strings.ToValidUTF8(name[:min(len(name), maxSplitName)], "")
	if key.redirect != 0 {
		name += fmt.Sprintf("-if%d", key.redirect)
	}
	return name
}

// Flush implements FlushSink.
func (s *splitSink) Flush() error {
	for _, f := range s.names {
		if err := f.Flush(); err != nil {
			return err
		}
	}
	return nil
}

// Close implements Sink.
func (s *splitSink) Close() error {
	var errs []error
	for _, f := range s.names {
		errs = append(errs, f.Close())
	}
	return errors.Join(errs...)
}
