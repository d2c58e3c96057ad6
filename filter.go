package skep

import (
	"fmt"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/replay"
	"github.com/skepvm/skep/vm"
)

// Filter makes a filter for replays on v of an expression of tcpdump's filter language, pcap-filter(7). It is compiled for each link type
// of a capture when the first packet of one comes; what is no expression is an *expr.Error at once. The name is for the report.
//
// A VM of an empty object.Object has no program, and replay.Run with its machine as the target lets packets go through filters alone.
func (v *VM) Filter(name, expression string, opts cbpf.CompileOptions) (replay.Filter, error) {
	if _, err := expr.Parse(expression); err != nil {
		return replay.Filter{}, err
	}
	if v.spare == nil { // filters run while the packets before run on every other CPU
		spare, err := v.machine.Spare()
		if err != nil {
			return replay.Filter{}, err
		}
		v.spare = spare
	}
	v.filters++
	number := v.filters
	compile := func(link linktype.Type, bigEndian bool) (vm.Engine, error) {
		opts.BigEndian = bigEndian
		p, err := opts.Compile(expression, link)
		if err != nil {
			return nil, err
		}
		spec, err := p.EBPF(cbpf.EBPFOptions{Name: fmt.Sprintf("filter%d_link%d_%t", number, link, bigEndian)})
		if err != nil {
			return nil, err
		}
		if _, err := v.Add(spec); err != nil {
			return nil, err
		}
		return v.engineOn(v.programs[spec.Name], v.spare)
	}
	return replay.Filter{Name: name, Compile: compile}, nil
}
