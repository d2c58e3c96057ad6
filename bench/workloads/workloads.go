// Package workloads is the set of programs that skep's speed is measured with: compiled objects and the packets that
// they run on. The C sources are beside this file, or among the examples; build.sh compiles them, and bench/native
// compiles the same sources for the host.
package workloads

import (
	"embed"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"

	"github.com/skepvm/skep/examples"
	"github.com/skepvm/skep/traffic"
)

// Workload is a program of one object and what it runs on.
type Workload struct {
	Name  string // of the object; the program has the name of Func
	Func  string
	About string
	// Example says that the object and its source are an example's, not this package's.
	Example bool
	Round   int // packets of a round of measuring; more than that are taken in turns
	packets func() ([][]byte, error)
}

// All is the set, from the cheapest run on. It is not to be written to.
var All = []*Workload{
	{"constant", "constant", "return a constant", false, 1000, mixed(1000)},
	{"drop", "drop", "drop after a look at the EtherType", false, 1000, mixed(1000)},
	{"block_ssh_xdp", "block_ssh", "filter TCP to port 22", true, 1000, mixed(1000)},
	{"tx_bounce", "tx_bounce", "bounce with swapped MAC addresses", true, 1000, mixed(1000)},
	{"udp_rewrite", "udp_rewrite", "answer UDP, checksums updated", true, 1000, udp},
	{"array_count", "array_count", "count by IP protocol in an array", false, 1000, mixed(1000)},
	{"hash_count", "hash_count", "count 10,000 sources in a hash map", false, 1000, sources},
	{"alu", "alu", "544 ALU64 instructions in 4 chains", false, 64, mixed(64)},
	{"helpers", "helpers", "100 calls of a cheap helper", false, 64, mixed(64)},
	{"xorshift", "xorshift", "1000 steps of xorshift64*", false, 8, mixed(8)},
	{"xorshift4", "xorshift4", "1000 steps of 4 xorshift64*", false, 8, mixed(8)},
}

// ByName returns the workload of that name.
func ByName(name string) (*Workload, error) {
	var names []string
	for _, w := range All {
		if w.Name == name {
			return w, nil
		}
		names = append(names, w.Name)
	}
	return nil, fmt.Errorf("no workload %q (there are %s)", name, strings.Join(names, ", "))
}

//go:embed *.bpf.o
var objects embed.FS

// Object returns the compiled object. The caller owns the bytes.
func (w *Workload) Object() ([]byte, error) {
	if w.Example {
		return examples.Open(w.Name)
	}
	return objects.ReadFile(w.Name + ".bpf.o")
}

// Source is the path of the C source, from the root of the repository.
func (w *Workload) Source() string {
	if w.Example {
		return "examples/" + w.Name + ".bpf.c"
	}
	return "bench/workloads/" + w.Name + ".bpf.c"
}

// Packets returns the frames that the program runs over, the same ones each time: a multiple of Round.
func (w *Workload) Packets() ([][]byte, error) { return w.packets() }

func generate(s traffic.Spec) ([][]byte, error) {
	g, err := traffic.New(s)
	if err != nil {
		return nil, err
	}
	all := make([][]byte, s.Packets)
	for i := range all {
		frame, _ := g.Next()
		all[i] = append([]byte(nil), frame...)
	}
	return all, nil
}

// mixed is n packets of all kinds of traffic.
func mixed(n int) func() ([][]byte, error) {
	return func() ([][]byte, error) { return generate(traffic.Spec{Packets: n, Seed: 1}) }
}

// udp is UDP over IPv4 without options: what the program rewrites.
func udp() ([][]byte, error) {
	all, err := generate(traffic.Spec{Packets: 1100, Seed: 1, Mix: traffic.Mix{Flows: 1}})
	all = slices.DeleteFunc(all, func(p []byte) bool { return p[14] != 0x45 })
	return all[:min(len(all), 1000)], err
}

// sources is small packets, each from an address of its own (in 198.18.0.0/15, RFC 2544).
func sources() ([][]byte, error) {
	all, err := generate(traffic.Spec{Packets: 10_000, Seed: 1, SizeMin: 64, SizeMax: 64, Mix: traffic.Mix{Flows: 1}})
	for i, p := range all {
		binary.BigEndian.PutUint32(p[26:], 198<<24|18<<16|uint32(i))
	}
	return all, err
}
