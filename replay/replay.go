// Package replay runs a program over the packets of a capture and counts the verdicts.
//
// The capture is read a chunk at a time straight into guest memory, and frames point into the chunk; only programs
// that move or resize packets get each packet copied to a place with room around it. Nothing is allocated for a packet.
//
// Time is the capture's: bpf_ktime_get_ns gives the packet's timestamp, in ns since 1970, and never goes back.
// Timers that programs set fire between the packets, each at its time.
package replay

import (
	"fmt"
	"io"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// CaptureError says what is wrong with a capture file, and at which offset.
type CaptureError = pcap.Error

// Target is an engine with the machine that it runs on.
type Target struct {
	Machine *vm.Machine
	Engine  vm.Engine
	CPU     int // virtual CPU of the engine: its timers fire as the packets' time goes on
	// Move says that the program may move or resize packets. It is found out for programs that Machine.Link has seen.
	Move bool
}

// Convert says what to do with captures that are not of Ethernet.
type Convert uint8

// Values of Convert.
const (
	ConvertAuto Convert = iota // make Ethernet of Linux cooked, raw IP and BSD loopback packets; refuse other links
	ConvertNone                // refuse everything but Ethernet
	ConvertRaw                 // run the program on the bytes as they are, whatever they are
)

// Options of Run. Type, Target and one of File and Input must be set.
type Options struct {
	Type   prog.Type // of the program
	Target Target
	// Against runs every packet on a second engine, on a machine of its own made in the same way, too. Any difference
	// ends the run with a *Mismatch.
	Against *Target

	File  string    // capture to read; "-" is standard input; gzip is recognised
	Input io.Reader // instead of File; Loop needs it to be an io.Seeker

	Convert       Convert
	KeepVLAN      bool // leave the outer VLAN tag in packets for TC programs, which the kernel takes out
	SkipTruncated bool // pass over packets that were captured in part
	// Ifindex gives interfaces of a pcapng file numbers by name; else the n-th is n+1.
	Ifindex map[string]uint32

	Loop         int    // passes over the capture, 0 is 1; times go on from pass to pass
	Limit        uint64 // packets to run at most; 0 is no limit
	StopOnFault  bool   // else a fault counts for its packet, and the run goes on
	CountChanged bool   // count the packets whose bytes the program changed

	After uint64 // ns that time goes on after the last packet, for timers that are set then

	Sinks []Sink // receive each packet as the program left it

	// Progress is called every few thousand packets with the packets and captured bytes so far; nil is fine.
	Progress func(packets, bytes uint64)
}

// maxExamples is how many faults a Report keeps.
const maxExamples = 5

// Error says that a replay cannot be done as asked.
type Error struct {
	Reason string
	Err    error // cause, may be nil
}

func (e *Error) Error() string {
	if e.Err != nil {
		return "replay: " + e.Reason + ": " + e.Err.Error()
	}
	return "replay: " + e.Reason
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

func failure(format string, args ...any) error { return &Error{Reason: fmt.Sprintf(format, args...)} }

// Run replays a capture. The Report is what was done until the end or the error, and nil only when nothing could
// begin. Errors are *Error for what cannot be done, *CaptureError for a capture that is damaged, *Mismatch when two
// engines disagree, *vm.Fault when Options.StopOnFault is set, and what a sink fails with.
func Run(o Options) (*Report, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	r, err := newRunner(&o)
	if err != nil {
		return nil, err
	}
	defer r.free()
	err = r.run()
	r.report.finish(r)
	return &r.report, err
}

func (o *Options) check() error {
	row := o.Type.Row()
	switch {
	case !row.Packet:
		return failure("programs of type %s do not see packets", o.Type)
	case o.Target.Machine == nil || o.Target.Engine == nil:
		return failure("no machine or no engine")
	case o.Against != nil && (o.Against.Machine == nil || o.Against.Engine == nil):
		return failure("no machine or no engine to compare with")
	case o.Against != nil && o.Against.Machine == o.Target.Machine:
		return failure("two engines on one machine would change each other's maps")
	case (o.File == "") == (o.Input == nil):
		return failure("want either a file or an input")
	case o.Loop < 0:
		return failure("%d passes", o.Loop)
	}
	if _, ok := o.Input.(io.Seeker); o.Loop > 1 && (o.Input != nil && !ok || o.File == "-") {
		return failure("an input that cannot seek cannot be replayed %d times", o.Loop)
	}
	return nil
}
