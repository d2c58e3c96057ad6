package fuzz

import (
	"errors"
	"fmt"
	"net"
	"strings"

	"github.com/skepvm/skep/conformance"
	"github.com/skepvm/skep/conformance/kernel"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/verifier"
)

// referee asks the live kernel. It loads and test-runs programs, and attaches none.
type referee struct {
	maps  *kernel.MapSet
	bench *conformance.Bench
	input prog.Input
}

func newReferee(specs []*maps.Spec) (*referee, error) {
	if err := kernel.Available(); err != nil {
		return nil, err
	}
	lo, err := net.InterfaceByName("lo") // packets of test runs come in by it
	if err != nil {
		return nil, err
	}
	engines, err := conformance.Named("interp")
	if err != nil {
		return nil, err
	}
	r := &referee{input: prog.Input{Ifindex: uint32(lo.Index)}}
	if r.maps, err = kernel.NewMaps(specs); err != nil {
		return nil, err
	}
	if r.bench, err = conformance.NewBench(engines[0], specs, conformance.Budget); err != nil {
		r.maps.Close()
		return nil, err
	}
	return r, nil
}

func (r *referee) close() {
	r.maps.Close()
	r.bench.Close()
}

// ask compares our verdict (v or refusal) and the program's runs with the kernel's. "" is success: to refuse what the
// kernel takes is an error if strict says so.
func (r *referee) ask(c *candidate, v *verifier.Verified, refusal error, n *KernelCounts, strict bool) string {
	var why *verifier.Error
	if errors.As(refusal, &why) && why.Code == verifier.TooComplex || c.Traces {
		return "" // it would take the kernel seconds; and its trace is not ours to write to
	}
	n.Asked++
	load := kernel.LoadProgram
	if v == nil {
		load = kernel.TryProgram // its words are of no interest
	}
	loaded, err := load(c.Program.Program, r.maps)
	if err == nil {
		defer loaded.Close()
	}
	switch {
	case v == nil && err == nil:
		n.refused(why.Code, 1)
		if strict && why.Reason != verifier.DeadReason && why.Code != verifier.NeedsBTF {
			return fmt.Sprintf("refused with %s, and the kernel accepts: %s", why.Code, why.Kernel)
		}
	case v == nil:
		n.Neither++
	case err == nil:
		n.Both++
		return r.runs(c, v, loaded, n)
	case strings.HasPrefix(err.Error(), "BPF program is too large. Processed"), strings.Contains(err.Error(), "jumps is too complex"):
		n.GaveUp++ // where states meet is a matter of heuristics, not of rules
	default:
		return "accepted, and the kernel says: " + err.Error()
	}
	return ""
}

func (r *referee) runs(c *candidate, v *verifier.Verified, loaded *kernel.Program, n *KernelCounts) string {
	p := v.Program()
	// Test runs of socket filters begin at another header.
	if c.Local || p.Type == prog.SocketFilter || conformance.MayGoto(p) || !conformance.Definite(p) {
		return ""
	}
	for _, packet := range conformance.Packets(c.packets) {
		if len(packet) < 54 {
			continue // the kernel refuses headers that are cut
		}
		if err := r.maps.Reset(p.Maps); err != nil {
			return "kernel: maps: " + err.Error()
		}
		want, err := loaded.Run(packet)
		if err != nil {
			return "kernel: run: " + err.Error()
		}
		got, err := r.bench.Run(p, v, [][]byte{packet}, r.input)
		if err != nil {
			return "engine interp: " + err.Error()
		}
		n.Compared++
		switch g := got.Runs[0]; {
		case g.Fault != "":
			return "accepted, and yet: " + g.Fault
		case uint32(g.R0) != want.Ret:
			return fmt.Sprintf("the kernel's r0 differs: %#x, here %#x", want.Ret, uint32(g.R0))
		case string(g.Data) != string(want.Data):
			return fmt.Sprintf("the kernel's packet differs:\n%x, here\n%x", want.Data, g.Data)
		}
	}
	return ""
}
