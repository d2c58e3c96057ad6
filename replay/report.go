package replay

import (
	"cmp"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
)

// Report is what a replay found. It is made for JSON.
type Report struct {
	Packets  uint64        `json:"packets"`           // run through the program
	Bytes    uint64        `json:"bytes"`             // of those, as captured and converted
	Seen     uint64        `json:"seen,omitempty"`    // packets that the filters saw
	Filters  []FilterCount `json:"filters,omitempty"` // of Options.Filters, in their order
	Verdicts []Verdict     `json:"verdicts"`
	// Programs are those of a Chain in the order in which packets come to them; Verdicts then says of each packet's last
	// verdict whose it was.
	Programs  []ProgramReport `json:"programs,omitempty"`
	Redirects []Redirect      `json:"redirects,omitempty"`
	Changed   uint64          `json:"changed,omitempty"` // packets whose bytes the program changed, when asked to count them

	Timers uint64 `json:"timers,omitempty"` // callbacks of timers that ran

	Faults        uint64         `json:"faults,omitempty"` // packets that the program did not come to an end with
	FaultExamples []FaultExample `json:"fault_examples,omitempty"`
	// AbortedExamples are the first packets that ended with XDP_ABORTED; Verdicts has their number.
	AbortedExamples []AbortedExample `json:"aborted_examples,omitempty"`

	Truncated uint64 `json:"truncated,omitempty"`   // packets of which the capture has a part
	Padded    uint64 `json:"padded,omitempty"`      // of those, packets that zeros were added to
	VLAN      uint64 `json:"vlan_taken,omitempty"`  // packets whose VLAN tag went to vlan_tci
	ClockBack uint64 `json:"clock_backs,omitempty"` // packets older than one before them
	Links     Counts `json:"links,omitzero"`        // packets by link type, when no program or filter looks at them
	Converted Counts `json:"converted,omitzero"`    // packets made Ethernet, by link type
	Skipped   Counts `json:"skipped,omitzero"`      // packets that no program would get, by reason
	Insns     uint64 `json:"instructions"`          // executed
	FirstNS   int64  `json:"first_ns,omitempty"`    // time of the first packet
	LastNS    int64  `json:"last_ns,omitempty"`     // time of the last packet
	Format    string `json:"format"`                // of the capture
	Engine    string `json:"engine"`
	Against   string `json:"against,omitempty"`
	// Differences are packets on which two versions of the program differ.
	Differences uint64 `json:"differences,omitempty"`
	// DifferenceExamples are the first of them, where Options.Differences asks for some.
	DifferenceExamples []Difference `json:"difference_examples,omitempty"`

	CPUs int `json:"cpus,omitempty"` // that packets were dealt out to, when there were several
	// Shared are the maps through which packets of different flows can have an influence on each other: on several CPUs, when they do so is
	// not the same in every run. Without any, the result is that of any other run on so many CPUs.
	Shared []string `json:"shared_maps,omitempty"`

	Detail *Detail  `json:"detail,omitempty"` // when asked for
	Damage []string `json:"damage,omitempty"` // where captures end early, when that was tolerated

	// Maps are what maps hold afterwards, as maps.DumpJSON writes it. A replay leaves it to its caller to put them here.
	Maps []json.RawMessage `json:"maps,omitempty"`

	Elapsed time.Duration `json:"elapsed_ns"`
}

// Agreement says in words how the second engine or version compared.
func (rep *Report) Agreement() string {
	if rep.Differences > 0 {
		return fmt.Sprintf("different on %d packets", rep.Differences)
	}
	return "no difference"
}

// Counts is a number of packets by name.
type Counts map[string]uint64

// Verdict is how many packets got a return value.
type Verdict struct {
	Program string `json:"program,omitempty"` // of a Chain
	Hook    string `json:"hook,omitempty"`    // where it ran
	Name    string `json:"name"`
	Value   int32  `json:"value"`
	Packets uint64 `json:"packets"`
	Bytes   uint64 `json:"bytes"`
}

// ProgramReport is what one program of a Chain did: the verdicts that it returned, whatever became of the packets.
type ProgramReport struct {
	Name     string    `json:"name"`
	Hook     string    `json:"hook"`
	Packets  uint64    `json:"packets"` // that it was run on
	Verdicts []Verdict `json:"verdicts"`
	Faults   uint64    `json:"faults,omitempty"` // packets that it did not come to an end with

	*Measures // of its runs; nil without Options.Detail
}

// Redirect is how many packets were redirected to a place.
type Redirect struct {
	Ifindex uint32 `json:"ifindex,omitempty"` // of an interface; 0 when it is the value of another map
	Map     string `json:"map,omitempty"`     // through which map
	Value   uint32 `json:"value,omitempty"`   // of that map, when it does not hold interfaces
	Packets uint64 `json:"packets"`
}

// FaultExample is one of the first faults, of a Chain one of the first of a program.
type FaultExample struct {
	Packet  uint64 `json:"packet"`            // number, from 1
	Program string `json:"program,omitempty"` // of a Chain
	Hook    string `json:"hook,omitempty"`    // where it ran
	Error   string `json:"error"`
	Err     error  `json:"-"` // the *vm.Fault
}

// AbortedExample is one of the first packets with XDP_ABORTED, of a Chain one of the first of a program.
type AbortedExample struct {
	Packet  uint64 `json:"packet"`            // number, from 1
	Program string `json:"program,omitempty"` // of a Chain: whose verdict it is
	Hook    string `json:"hook,omitempty"`    // where it ran
}

// Difference says what two versions of a program do differently on a packet.
type Difference struct {
	Packet uint64 `json:"packet"` // number, from 1
	What   string `json:"what"`   // verdict, packet from byte 7 on, mark…
	Here   string `json:"here"`   // what the first version says
	There  string `json:"there"`  // … and the other one
}

// PerSecond is the number of packets a second, 0 when no time went by.
func (rep *Report) PerSecond() float64 {
	if rep.Elapsed <= 0 {
		return 0
	}
	return float64(rep.Packets) / rep.Elapsed.Seconds()
}

// MarshalJSON adds PerSecond, as packets_per_second.
func (rep *Report) MarshalJSON() ([]byte, error) {
	type fields Report
	return json.Marshal(struct {
		*fields
		PerSecond float64 `json:"packets_per_second,omitempty"`
	}{(*fields)(rep), rep.PerSecond()})
}

// smallVerdicts are counted in an array, others in a map.
const smallVerdicts = 16

// maxVerdicts bounds the map: a broken program may return anything.
const maxVerdicts = 1000

// otherVerdicts is the name of the rest.
const otherVerdicts = "other"

type count struct{ packets, bytes uint64 }

// tally counts verdicts and redirects.
type tally struct {
	small     [smallVerdicts]count
	large     map[uint32]*count
	rest      count
	redirects map[prog.Redirect]uint64
}

func (t *tally) verdict(ret uint32, n uint64) {
	c := &t.rest
	if ret < smallVerdicts {
		c = &t.small[ret]
	} else if known := t.large[ret]; known != nil {
		c = known
	} else if len(t.large) < maxVerdicts {
		c = new(count)
		t.large[ret] = c
	}
	c.packets++
	c.bytes += n
}

func newTally() tally {
	return tally{large: map[uint32]*count{}, redirects: map[prog.Redirect]uint64{}}
}

// add adds the counts of another tally.
func (t *tally) add(o *tally) {
	for i, c := range o.small {
		t.small[i].packets += c.packets
		t.small[i].bytes += c.bytes
	}
	t.rest.packets += o.rest.packets
	t.rest.bytes += o.rest.bytes
	for ret, c := range o.large {
		sum := t.large[ret]
		if sum == nil {
			sum = new(count)
			t.large[ret] = sum
		}
		sum.packets += c.packets
		sum.bytes += c.bytes
	}
	for to, n := range o.redirects {
		t.redirects[to] += n
	}
}

func (t *tally) redirect(to prog.Redirect) {
	to.Key = 0 // the map's value says where the packet goes
	if _, known := t.redirects[to]; known || len(t.redirects) < maxVerdicts {
		t.redirects[to]++
	}
}

// list is the verdicts that were counted, by the names that nameOf gives them, the most frequent first.
func (t *tally) list(nameOf func(ret uint32) string) []Verdict {
	list := []Verdict{}
	add := func(ret uint32, c count) {
		if c.packets > 0 {
			list = append(list, Verdict{Name: nameOf(ret), Value: int32(ret), Packets: c.packets, Bytes: c.bytes})
		}
	}
	for ret, c := range t.small {
		add(uint32(ret), c)
	}
	for ret, c := range t.large {
		add(ret, *c)
	}
	slices.SortFunc(list, func(a, b Verdict) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Value, b.Value))
	})
	if t.rest.packets > 0 {
		list = append(list, Verdict{Name: otherVerdicts, Packets: t.rest.packets, Bytes: t.rest.bytes})
	}
	return list
}

// finish makes the lists of a report, most frequent first.
func (rep *Report) finish(r *runner) {
	t := &r.tally
	if r.detail != nil {
		rep.Detail = r.detail.report(r.typ)
	}
	if c := r.chain(); c != nil {
		c.report(rep)
	} else {
		rep.Verdicts = t.list(r.o.Type.Verdict)
	}
	for to, n := range t.redirects {
		red := Redirect{Packets: n}
		red.Ifindex, red.Map = r.target(to)
		if red.Ifindex == 0 {
			red.Value = to.To
		}
		rep.Redirects = append(rep.Redirects, red)
	}
	slices.SortFunc(rep.Redirects, func(a, b Redirect) int {
		return cmp.Or(cmp.Compare(b.Packets, a.Packets), cmp.Compare(a.Ifindex, b.Ifindex), cmp.Compare(a.Map, b.Map),
			cmp.Compare(a.Value, b.Value))
	})
	for link, n := range r.links {
		rep.Links = with(rep.Links, link.String(), n)
	}
	for link, n := range r.converted {
		rep.Converted = with(rep.Converted, linktype.Type(link).String(), n)
	}
	for why, n := range r.skipped {
		rep.Skipped = with(rep.Skipped, skipNames[why], n)
	}
}

func with(c Counts, name string, n uint64) Counts {
	if n == 0 {
		return c
	}
	if c == nil {
		c = Counts{}
	}
	c[name] += n
	return c
}
