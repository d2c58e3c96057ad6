package cbpf

import (
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// CompileOptions change what Compile makes of an expression. The zero value is what `tcpdump -r FILE EXPR` does on a
// little-endian machine.
type CompileOptions struct {
	SnapLen    uint32 // what the filter returns for a packet that matches; 0: DefaultSnapLen
	NoOptimize bool   // leave the code as it is generated (tcpdump -O)
	Netmask    uint32 // of the network that was captured on, for `ip broadcast`

	// BigEndian says that the capture file was written by a big-endian machine: linktype.Null has the address family
	// in its byte order.
	BigEndian bool

	// LinuxExt compiles for a live capture on Linux: `vlan` looks at the tag that the kernel has taken off a frame first,
	// `inbound`, `outbound` and `ifindex` ask the kernel. Only what knows the kernel's extensions can run the program.
	LinuxExt bool

	// Services names the ports and Hosts the machines; nil Services are the built-in ones, nil Hosts refuses names, so
	// that a filter doesn't depend on the network.
	Services *expr.Services
	Hosts    func(name string) ([]netip.Addr, error)

	// ChainLength bounds how many extension headers `protochain` looks behind: classic BPF has no loops. 0 is
	// DefaultChainLength. A packet with more headers doesn't match.
	ChainLength int
}

// DefaultSnapLen is tcpdump's.
const DefaultSnapLen = 262144

// Compile compiles an expression of pcap-filter(7) for packets of a link type. An empty expression matches all packets.
// What can't be compiled gives an *expr.Error with the place, never a filter that means something else.
//
// The program's verdict on a packet is that of libpcap's unoptimised program, also for packets that are cut short: a
// load beyond the packet's end rejects it, so the order of the loads is part of the meaning.
func Compile(src string, link linktype.Type) (Program, error) {
	return CompileOptions{}.Compile(src, link)
}

// Compile is the function Compile, with options.
func (opts CompileOptions) Compile(src string, link linktype.Type) (Program, error) {
	gen := gens.Get().(*gen)
	defer gens.Put(gen)
	g, err := gen.graph(src, link, opts)
	if err != nil {
		return nil, err
	}
	if !opts.NoOptimize {
		if why := g.optimise(); why != "" {
			return nil, &expr.Error{Src: src, End: len(src), Msg: why}
		}
	}
	p, err := g.linearize()
	var long *layoutError
	if errors.As(err, &long) {
		return nil, &expr.Error{Src: src, End: len(src), Msg: long.Error()}
	}
	return p, err
}

// gens are generators whose memory is used again.
var gens = sync.Pool{New: func() any { return new(gen) }}

// graph makes the graph of an expression. It is the generator's, until the next one.
func (g *gen) graph(src string, link linktype.Type, opts CompileOptions) (out *graph, err error) {
	root, err := expr.Parse(src)
	if err != nil {
		return nil, err
	}
	if !g.begin(src, link, opts) {
		return nil, &expr.Error{Src: src, Msg: fmt.Sprintf("filters can't be compiled for link type %v", link)}
	}
	defer func() {
		if r := recover(); r != nil {
			e, ok := r.(*expr.Error)
			if !ok {
				panic(r)
			}
			out, err = nil, e
		}
	}()
	return g.finish(root), nil
}
