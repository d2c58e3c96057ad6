// Package oracle reads files of programs with a real kernel's answers: one JSON object a line, perhaps gzipped. Such files
// are data to compare with and no part of the project.
package oracle

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Case is a program and what kernels say of it. Fields that nothing here compares are left out.
type Case struct {
	ID                 int
	File, Name         string
	ProgTypeName       string `json:"prog_type_name"`
	ExpectedAttachType int    `json:"expected_attach_type"`
	Flags              int    // bit 1: load with BPF_F_STRICT_ALIGNMENT
	Insns              string // hex
	Fixups             []Fixup
	PacketCore         bool `json:"packet_core"`

	// Linux 6.18, loaded as root.
	Actual    string // ACCEPT or REJECT
	ErrLine   string `json:"err_line"`
	Processed int
	// The same without CAP_PERFMON.
	NoPerfmon struct {
		Actual    string
		ErrLine   string `json:"err_line"`
		Processed int
	}

	// What Linux 6.1 is meant to say with privileges, and without (UNDEF: the same).
	Expect       string
	ErrStr       string `json:"errstr"` // parts of the message in their order, between tabs
	ExpectUnpriv string `json:"expect_unpriv"`
	ErrUnpriv    string `json:"errstr_unpriv"`

	Static struct {
		HasBackEdge bool `json:"has_back_edge"`
	}
}

// Fixup says which instructions take the map of a kind.
type Fixup struct {
	Kind  string
	Insns []int
}

// Key identifies the case in reports.
func (c *Case) Key() string { return fmt.Sprintf("%d %s: %s", c.ID, c.File, c.Name) }

// Strict reports whether the case is loaded with BPF_F_STRICT_ALIGNMENT.
func (c *Case) Strict() bool { return c.Flags&2 != 0 }

// ReadFile reads the cases of a file.
func ReadFile(name string) ([]Case, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cases, err := Read(f)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return cases, nil
}

// Read reads cases, gzipped or not. An error names the line.
func Read(r io.Reader) ([]Case, error) {
	in := bufio.NewReader(r)
	if magic, _ := in.Peek(2); bytes.Equal(magic, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(in)
		if err != nil {
			return nil, err
		}
		in = bufio.NewReader(z)
	}
	var cases []Case
	for line := 1; ; line++ {
		text, err := in.ReadBytes('\n')
		if len(bytes.TrimSpace(text)) > 0 {
			var c Case
			if err := json.Unmarshal(text, &c); err != nil {
				return nil, fmt.Errorf("line %d: %w", line, err)
			}
			cases = append(cases, c)
		}
		if err == io.EOF {
			return cases, nil
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", line, err)
		}
	}
}

// Program makes the case loadable.
func (c *Case) Program() (*prog.Program, error) {
	raw, err := hex.DecodeString(c.Insns)
	if err != nil {
		return nil, fmt.Errorf("%s: insns: %w", c.Key(), err)
	}
	insns, err := asm.DecodeProgram(raw)
	if err != nil {
		return nil, fmt.Errorf("%s: insns: %w", c.Key(), err)
	}
	typ, ok := prog.TypeOf(c.ProgTypeName)
	if !ok {
		return nil, fmt.Errorf("%s: unknown program type %q", c.Key(), c.ProgTypeName)
	}
	p := &prog.Program{Name: c.Name, Type: typ, License: "GPL", Insns: insns, Section: section(typ, prog.Attach(c.ExpectedAttachType))}
	for _, f := range c.Fixups {
		for _, pc := range f.Insns {
			if pc < 0 || pc >= len(insns) {
				return nil, fmt.Errorf("%s: fixup of instruction %d of %d", c.Key(), pc, len(insns))
			}
			if err := useMap(p, &insns[pc], f.Kind); err != nil {
				return nil, fmt.Errorf("%s: %w", c.Key(), err)
			}
		}
	}
	return p, nil
}

// useMap makes an instruction load the map of a kind, or its value.
func useMap(p *prog.Program, in *asm.Insn, kind string) error {
	spec := mapOf(kind)
	if spec == nil {
		return fmt.Errorf("unknown map kind %q", kind)
	}
	at := 0
	for at < len(p.Maps) && p.Maps[at].Name != kind {
		at++
	}
	if at == len(p.Maps) {
		p.Maps = append(p.Maps, spec)
	}
	in.Imm = int32(at)
	switch in.Src {
	case asm.PseudoMapFD:
		in.Src = asm.PseudoMapIdx
	case asm.PseudoMapValue:
		in.Src = asm.PseudoMapIdxValue
	}
	return nil
}

// section finds a section name that means the attach type.
func section(t prog.Type, a prog.Attach) string {
	for _, s := range prog.Sections {
		if s.Type == t && s.Attach == a {
			return strings.TrimSuffix(s.Pattern, "+")
		}
	}
	return ""
}

// mapKinds are the maps that cases use.
var mapKinds = map[string]maps.Spec{
	"map_hash_8b":           {Type: maps.Hash, KeySize: 8, ValueSize: 8, MaxEntries: 1},
	"map_hash_16b":          {Type: maps.Hash, KeySize: 8, ValueSize: 16, MaxEntries: 1},
	"map_hash_48b":          {Type: maps.Hash, KeySize: 8, ValueSize: 48, MaxEntries: 1},
	"map_array_48b":         {Type: maps.Array, KeySize: 4, ValueSize: 48, MaxEntries: 1},
	"map_array_ro":          {Type: maps.Array, KeySize: 4, ValueSize: 48, MaxEntries: 1, Flags: maps.ReadOnlyProg},
	"map_array_wo":          {Type: maps.Array, KeySize: 4, ValueSize: 48, MaxEntries: 1, Flags: maps.WriteOnlyProg},
	"map_array_small":       {Type: maps.Array, KeySize: 4, ValueSize: 1, MaxEntries: 1},
	"map_prog1":             {Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 4},
	"map_prog2":             {Type: maps.ProgArray, KeySize: 4, ValueSize: 4, MaxEntries: 8},
	"map_in_map":            {Type: maps.ArrayOfMaps, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	"cgroup_storage":        {Type: maps.CgroupStorage, KeySize: 16, ValueSize: 64},
	"percpu_cgroup_storage": {Type: maps.PerCPUCgroupStorage, KeySize: 16, ValueSize: 64},
	"map_sockmap":           {Type: maps.SockMap, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	"map_sockhash":          {Type: maps.SockHash, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	"map_xskmap":            {Type: maps.XSKMap, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	"map_stacktrace":        {Type: maps.StackTrace, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	"map_event_output":      {Type: maps.PerfEventArray, KeySize: 4, ValueSize: 4, MaxEntries: 1},
	"map_reuseport_array":   {Type: maps.ReuseportSockArray, KeySize: 4, ValueSize: 8, MaxEntries: 1},
	"map_ringbuf":           {Type: maps.RingBuf, MaxEntries: 4096},
	"map_spin_lock":         {Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 1, LockOff: 4},
	"sk_storage_map":        {Type: maps.SKStorage, KeySize: 4, ValueSize: 8, Flags: maps.NoPrealloc, LockOff: 4},
	"map_timer":             {Type: maps.Array, KeySize: 4, ValueSize: 16, MaxEntries: 1, Value: &timerValue},
}

// timerValue is struct { struct bpf_timer t; }.
var timerValue = maps.Layout{Kind: maps.Struct, Name: "val", Size: 16,
	Fields: []maps.Field{{Name: "t", Type: &maps.Layout{Kind: maps.Struct, Name: "bpf_timer", Size: 16}}}}

// mapOf makes the map of a kind, nil when there is none.
func mapOf(kind string) *maps.Spec {
	name := kind
	if strings.HasPrefix(name, "prog") { // the files have both names
		name = "map_" + name
	}
	spec, ok := mapKinds[name]
	if !ok {
		return nil
	}
	spec.Name = kind
	if spec.Type == maps.ArrayOfMaps {
		spec.Inner = &maps.Spec{Name: "inner", Type: maps.Array, KeySize: 4, ValueSize: 4, MaxEntries: 1}
	}
	return &spec
}
