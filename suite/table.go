package suite

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/skepvm/skep/helpers"
)

// Table is a file of cases for one object.
type Table struct {
	File    string
	Object  string // path of the object, beside the table
	State   string // path of a JSON file with what maps hold before every case, beside the table; "" is none
	Program string // "" when the object has just one
	Maps    map[string]yaml.Node
	Sockets []helpers.Socket // of every case's machine
	Cases   []Case

	stateAt *yaml.Node // where State is said
}

// Case is one test of a Table.
type Case struct {
	Name    string
	Line    int
	Program string // "" is the table's
	Packet  []byte // nil for programs that get none
	Ctx     map[string]any
	Maps    map[string]yaml.Node // elements to set before, by map
	Repeat  int                  // how often it runs; the last time counts
	After   time.Duration        // that goes by behind each run: timers fire
	Want    Want

	col int       // of Line
	ctx yaml.Node // where Ctx is said
}

// Want is what a case is to come to. What is not given may be anything.
type Want struct {
	Verdict string // by name, or a number
	Packet  []byte
	Same    bool // the packet is as it was
	Ctx     map[string]any
	Maps    map[string]yaml.Node // elements that are to be there, by map; null for one that is not
	Trace   []string             // lines that were printed

	ctx yaml.Node // where Ctx is said
}

// ctxAt is where a field of Ctx is said.
func (w *Want) ctxAt(name string) *yaml.Node { return fieldAt(&w.ctx, name) }

// fieldAt is where a field of a mapping is named: the mapping itself when it is not.
func fieldAt(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i]
		}
	}
	return n
}

// tableYAML is a Table as it is written.
type tableYAML struct {
	Object  string
	Program string
	State   yaml.Node
	Maps    map[string]yaml.Node
	Sockets yaml.Node
	Tests   []yaml.Node
}

type caseYAML struct {
	Name    string
	Program string
	Packet  yaml.Node
	Ctx     yaml.Node
	Maps    map[string]yaml.Node
	Repeat  int
	After   yaml.Node
	Want    struct {
		Verdict string
		Packet  yaml.Node
		Ctx     yaml.Node
		Maps    map[string]yaml.Node
		Trace   []string
	}
}

// Parse reads a table:
//
//	object: filter.bpf.o
//	program: filter                     # when there are several
//	state: filter.maps.json             # maps as --map-out writes them
//	maps: {limits: [{key: 0, value: 100}]}
//	sockets: [{proto: tcp, local: "0.0.0.0:80"}]                        # as helpers.ParseSockets has them
//	tests:
//	- name: ssh is dropped
//	  packet: [{eth: {}}, {ip: {src: 10.0.0.1}}, {tcp: {dport: 22}}]      # or {hex: 0102…}, or {pcap: file.pcap#3}; programs without
//	                                                                    # a packet have none
//	  ctx: {ingress_ifindex: 2}
//	  repeat: 3                                                         # runs it so often; 1 is the default
//	  after: 10ms                                                       # time that goes by behind each run: timers fire
//	  want:
//	    verdict: XDP_DROP
//	    packet: same                                                    # or as above
//	    maps: {dropped: [{key: 0, value: 1}]}
//
// The error is a *CaseError with the place.
func Parse(file string, text []byte) (*Table, error) {
	p := &parser{dir: filepath.Dir(file)}
	t, err := p.parse(text)
	var bad *CaseError
	if errors.As(err, &bad) {
		bad.File = file
		return nil, bad
	}
	if err != nil {
		return nil, &CaseError{File: file, Reason: cleanYAML(err)}
	}
	t.File = file
	t.Object = p.path(t.Object)
	return t, nil
}

// parser reads one table.
type parser struct {
	dir      string // of the table
	captures map[string]*capture
}

// path is that of a file that the table names.
func (p *parser) path(name string) string {
	if filepath.IsAbs(name) {
		return name
	}
	return filepath.Join(p.dir, name)
}

func (p *parser) parse(text []byte) (*Table, error) {
	var in tableYAML
	d := yaml.NewDecoder(bytes.NewReader(text))
	d.KnownFields(true)
	if err := d.Decode(&in); err != nil {
		return nil, yamlError(err)
	}
	if in.Object == "" {
		return nil, &CaseError{Line: 1, Col: 1, Reason: "no object: say which file is tested"}
	}
	t := &Table{Object: in.Object, Program: in.Program, Maps: in.Maps}
	if in.State.Kind != 0 {
		if in.State.Kind != yaml.ScalarNode || in.State.Value == "" {
			return nil, errorAt(&in.State, "want the path of a file with maps in JSON")
		}
		t.State, t.stateAt = p.path(in.State.Value), &in.State
	}
	if err := t.readSockets(&in.Sockets); err != nil {
		return nil, err
	}
	for i := range in.Tests {
		c, err := p.parseCase(&in.Tests[i])
		if err != nil {
			return nil, err
		}
		t.Cases = append(t.Cases, *c)
	}
	if len(t.Cases) == 0 {
		return nil, &CaseError{Line: 1, Col: 1, Reason: "no tests"}
	}
	return t, nil
}

// readSockets reads the sockets of a table.
func (t *Table) readSockets(n *yaml.Node) error {
	if n.Kind == 0 {
		return nil
	}
	var list []map[string]any
	if err := n.Decode(&list); err != nil {
		return errorAt(n, "want a list of sockets: {proto: tcp, local: \"0.0.0.0:80\"}")
	}
	text, err := json.Marshal(list)
	if err != nil {
		return errorAt(n, "%v", err)
	}
	if t.Sockets, err = helpers.ParseSockets(text); err != nil {
		return errorAt(n, "%v", err)
	}
	return nil
}

// yamlError puts the line that yaml names where it belongs.
func yamlError(err error) error {
	e := &CaseError{Reason: cleanYAML(err)}
	for _, part := range strings.Split(err.Error(), "\n") {
		if _, rest, ok := strings.Cut(part, "line "); ok {
			if _, err := fmt.Sscanf(rest, "%d", &e.Line); err == nil {
				e.Col = 1
				break
			}
		}
	}
	return e
}

func (p *parser) parseCase(n *yaml.Node) (*Case, error) {
	var in caseYAML
	if err := decodeNode(n, &in); err != nil {
		return nil, err
	}
	c := &Case{Name: in.Name, Line: n.Line, col: n.Column, Program: in.Program, ctx: in.Ctx, Maps: in.Maps, Repeat: max(in.Repeat, 1)}
	if c.Name == "" {
		return nil, errorAt(n, "a test without a name")
	}
	var err error
	if c.After, err = after(&in.After, c.Repeat); err != nil {
		return nil, err
	}
	if in.Packet.Kind != 0 {
		if c.Packet, err = p.parsePacket(&in.Packet); err != nil {
			return nil, err
		}
	}
	w := &c.Want
	w.Verdict, w.ctx, w.Maps, w.Trace = in.Want.Verdict, in.Want.Ctx, in.Want.Maps, in.Want.Trace
	for _, f := range []struct {
		from *yaml.Node
		to   *map[string]any
	}{{&c.ctx, &c.Ctx}, {&w.ctx, &w.Ctx}} {
		if f.from.Kind == 0 {
			continue
		}
		if err := f.from.Decode(f.to); err != nil {
			return nil, errorAt(f.from, "want fields of the ctx: %s", cleanYAML(err))
		}
	}
	switch want := &in.Want.Packet; {
	case want.Kind == 0:
	case want.Kind == yaml.ScalarNode && want.Value == "same":
		w.Same = true
	default:
		if w.Packet, err = p.parsePacket(want); err != nil {
			return nil, err
		}
	}
	if w.Verdict == "" && w.Packet == nil && !w.Same && w.Ctx == nil && w.Maps == nil && w.Trace == nil {
		return nil, errorAt(n, "test %q wants nothing: it could not fail", c.Name)
	}
	return c, nil
}

// after reads the time that goes by behind each of so many runs.
func after(n *yaml.Node, repeat int) (time.Duration, error) {
	if n.Kind == 0 {
		return 0, nil
	}
	d, err := time.ParseDuration(n.Value)
	if n.Kind != yaml.ScalarNode || err != nil || d <= 0 || int64(d) > math.MaxInt64/int64(repeat) {
		return 0, errorAt(n, "want a time above 0, as 10us, 5ms or 1m30s")
	}
	return d, nil
}

// decodeNode decodes a node whose own nodes keep their places. yaml cannot refuse unknown fields of a node, so they are looked
// for first.
func decodeNode(n *yaml.Node, into *caseYAML) error {
	known := map[string]string{"name": "", "program": "", "packet": "", "ctx": "", "maps": "", "repeat": "", "after": "", "want": "verdict packet ctx maps trace"}
	if n.Kind != yaml.MappingNode {
		return errorAt(n, "want a test with its fields")
	}
	for i := 0; i < len(n.Content); i += 2 {
		name := n.Content[i]
		inner, ok := known[name.Value]
		if !ok {
			return errorAt(name, "unknown field %q of a test", name.Value)
		}
		for j := 0; inner != "" && j < len(n.Content[i+1].Content); j += 2 {
			if f := n.Content[i+1].Content[j]; !listed(inner, f.Value) {
				return errorAt(f, "unknown field %q of %s", f.Value, name.Value)
			}
		}
	}
	if err := n.Decode(into); err != nil {
		return errorAt(n, "%s", cleanYAML(err))
	}
	return nil
}

func listed(list, word string) bool {
	for _, w := range strings.Fields(list) {
		if w == word {
			return true
		}
	}
	return false
}

// parsePacket reads layers, {hex: …} or {pcap: FILE#NUMBER}.
func (p *parser) parsePacket(n *yaml.Node) (b []byte, err error) {
	kind := ""
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		kind = n.Content[0].Value
	}
	switch {
	case n.Kind == yaml.SequenceNode:
		b, err = buildLayers(n)
	case kind == "hex":
		b, err = parseHex(n.Content[1])
	case kind == "pcap":
		b, err = p.frame(n.Content[1])
	default:
		return nil, errorAt(n, "want a list of layers, {hex: …} or {pcap: FILE#NUMBER}")
	}
	if err == nil && (len(b) == 0 || len(b) > maxPacket) {
		err = errorAt(n, "%d bytes: want 1 to %d", len(b), maxPacket)
	}
	return b, err
}

// ReadFile is Parse of a file.
func ReadFile(file string) (*Table, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	return Parse(file, text)
}
