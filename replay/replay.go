// Package replay runs a program over the packets of a capture and counts the verdicts.
//
// The capture is read a piece at a time straight into guest memory, and frames point into the piece; only programs
// that move or resize packets get each packet copied to a place with room around it. Nothing is allocated for a packet.
// Several goroutines read pieces; packets are run in the capture's order.
//
// Time is the capture's: bpf_ktime_get_ns gives the packet's timestamp, in ns since 1970, and never goes back.
// Timers that programs set fire between the packets, each at its time.
package replay

import (
	"errors"
	"fmt"
	"io"
	"slices"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// CaptureError says what is wrong with a capture file, and at which offset.
type CaptureError = pcap.Error

// Target is an engine with the machine that it runs on; it may be a *Chain of several programs.
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

// L2 says what link layer packets of captures have that come without one (raw IP, BSD loopback).
type L2 uint8

// Values of L2.
const (
	L2Fake L2 = iota // an Ethernet header with addresses of zeros
	L2None           // none: packets begin with the IP header, as those of devices such as tun and wg
)

// Truncated says what programs see of packets of which the capture has a part.
type Truncated uint8

// Values of Truncated.
const (
	TruncShort Truncated = iota // what was captured
	TruncPad                    // as many bytes as were on the wire, the missing ones zeros
	TruncSkip                   // nothing: such packets are passed over
)

// Options of Run. One of Files, Input and Source must be set, and Type and Target for there to be a program. Filters alone need Target.Machine only; without
// them, packets are counted and go to the Sinks.
//
// What it names (Source, Sinks, Difference, Progress) is each called by one goroutine at a time, which is not the caller's.
type Options struct {
	Type   prog.Type // of the program
	Target Target
	// Against runs every packet on a second engine, on a machine of its own made in the same way, too. Any difference
	// ends the run with a *Mismatch.
	Against *Target
	// Others are engines of the same program on other CPUs of Target's machine. Packets are then dealt out by flow, both directions
	// of one to one CPU, in order; sinks get them in the capture's order all the same. See Report.Shared.
	Others []vm.Engine
	// Difference makes Against another version of the program: it is called with the first difference of each packet on which the two leave
	// another verdict, packet or ctx, and the replay goes on. Instruction counts and maps may differ. Its error ends the replay.
	Difference func(*Mismatch) error
	// Differences is how many of the first differences of two versions the report keeps.
	Differences int

	// Files are captures, read as one in the order of time; a directory stands for the files in it, "-" alone for standard
	// input. Gzip and zstd are recognised.
	Files  []string
	Input  io.Reader // a capture; Loop needs it to be an io.Seeker
	Source Source    // packets of any other origin, once only
	Follow bool      // at the end of the one capture wait for more, until Stop
	// Tolerant makes damage the end of a capture: Report.Damage tells of it, and it is no error.
	Tolerant bool

	// Filters see each packet first. Those that none lets through do not reach the program. Without Target.Engine there
	// is no program: all packets count, and Sinks receive those that a filter lets through, or all when there is none, as they were captured.
	Filters []Filter

	Convert   Convert   // ConvertRaw for programs of type prog.Classic, whatever it says
	L2        L2        // what captures without a link layer get
	Truncated Truncated // what packets are that were captured in part
	KeepVLAN  bool      // leave the outer VLAN tag in packets for TC programs, which the kernel takes out
	// RxVLAN takes the outer VLAN tag out of packets for XDP programs and socket filters, too, as network devices do with the offload of that name:
	// bpf_xdp_metadata_rx_vlan_tag and the ctx of an skb have it.
	RxVLAN bool
	// Ifindex gives interfaces of a pcapng file numbers by name; else the n-th is n+1. Those of other captures have the name "".
	Ifindex map[string]uint32
	// Queues is how many receive queues the interfaces have: packets without one in their record go to the one that their hash says.
	// 0 is one queue that the device does not speak of: queue_mapping stays 0.
	Queues int

	// Pace lets packets come so many times as fast as they were captured, Rate so many a second; 0 for both is as fast as they are read.
	Pace, Rate float64

	Loop          int  // passes over the capture, 0 is 1; times go on from pass to pass
	LoopAddresses bool // each pass has other IP addresses, so that its flows are new: see readdress
	ResetMaps     bool // each pass begins with what the maps held at the beginning

	Limit        uint64 // packets to run at most; 0 is no limit
	StopOnFault  bool   // else a fault counts for its packet, and the run goes on
	CountChanged bool   // count the packets whose bytes the program changed
	// Detail measures every packet, at the cost of some 200 ns each, and 100 for each program of a Chain: Report.Detail.
	Detail bool

	After uint64 // ns that time goes on after the last packet, for timers that are set then

	Sinks []Sink // receive each packet as the program left it

	// Stop, when it is closed, ends the replay before the next batch of packets, with ErrStopped.
	Stop <-chan struct{}
	// Progress is called every few thousand packets; nil is fine.
	Progress func(Progress)
}

// Progress is how far a replay has come.
type Progress struct {
	Packets, Bytes uint64
	// Read of Size bytes of the captures have been read in this pass, as they are on disk; Size is 0 when nobody knows.
	Read, Size int64
}

// ErrStopped says that Options.Stop ended a replay.
var ErrStopped = errors.New("replay: stopped")

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
// begin. Errors are *Error for what cannot be done, *CaptureError for a capture that is damaged, ErrStopped, *Mismatch when two
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
	if r.shards != nil {
		r.collect()
	}
	r.report.finish(r)
	return &r.report, err
}

func (o *Options) check() error {
	if err := o.checkSees(); err != nil {
		return err
	}
	if o.Target.Engine == nil && (len(o.Filters) > 0 || o.Type == prog.Unspec) {
		o.Type = prog.Classic
	}
	if o.Type == prog.Classic {
		o.Convert = ConvertRaw
	}
	row := o.Type.Row()
	switch {
	case !row.Packet:
		return failure("programs of type %s do not see packets", o.Type)
	case len(o.Filters) > MaxFilters:
		return failure("%d filters, more than %d", len(o.Filters), MaxFilters)
	case o.Target.Engine == nil && (o.Against != nil || o.CountChanged || o.Detail):
		return failure("nothing can be compared or measured without a program")
	case o.Target.Engine == nil && o.Type != prog.Classic || o.Target.Machine == nil && !o.counts():
		return failure("no machine or no engine")
	case o.Against != nil && (o.Against.Machine == nil || o.Against.Engine == nil):
		return failure("no machine or no engine to compare with")
	case o.Against != nil && o.Against.Machine == o.Target.Machine:
		return failure("two engines on one machine would change each other's maps")
	case btoi(len(o.Files) > 0)+btoi(o.Input != nil)+btoi(o.Source != nil) != 1:
		return failure("want one of files, an input and a source")
	case len(o.Files) > 1 && slices.Contains(o.Files, "-"):
		return failure("standard input cannot be one of several captures: their first packets are looked at beforehand")
	case o.Follow && (len(o.Files) > 1 || o.Source != nil || o.Loop > 1):
		return failure("only one capture can be followed, and once")
	case len(o.Others) > 0 && (o.Against != nil || o.Target.Engine == nil):
		return failure("several CPUs are for one engine's program: not for a comparison, nor for filters alone")
	case !o.chainsFit():
		return failure("several programs: every engine must be a chain like the others, of type %s", o.Type)
	case len(o.Others) >= vm.MaxCPUs:
		return failure("%d CPUs: at most %d", len(o.Others)+1, vm.MaxCPUs)
	case o.Pace < 0 || o.Rate < 0 || o.Pace > 0 && o.Rate > 0:
		return failure("pace %v and rate %v: want one, above 0", o.Pace, o.Rate)
	case (o.Pace > 0 || o.Rate > 0) && len(o.Others) > 0:
		return failure("packets that come at a pace run on one CPU")
	case o.Loop < 0:
		return failure("%d passes", o.Loop)
	}
	if o.Loop <= 1 || len(o.Files) > 0 && o.Files[0] != "-" {
		return nil
	}
	if _, ok := o.Input.(io.Seeker); !ok {
		return failure("an input that cannot seek cannot be replayed %d times", o.Loop)
	}
	return nil
}

// chainsFit reports whether the engines are all single programs, or all chains that can be replayed.
func (o *Options) chainsFit() bool {
	c, isChain := o.Target.Engine.(*Chain)
	others := o.Others
	if o.Against != nil {
		others = append([]vm.Engine{o.Against.Engine}, others...)
	}
	for _, e := range others {
		other, ok := e.(*Chain)
		if ok != isChain || ok && (other == c || o.Difference == nil && len(other.links) != len(c.links) || other.Type() != c.Type()) {
			return false
		}
	}
	return !isChain || c.Type() == o.Type
}

func btoi(b bool) int {
	if b {
		return 1
	}
	return 0
}
