package verifier

import (
	"bufio"
	"compress/gzip"
	"encoding/hex"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"sort"
	"strings"
	"testing"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

var update = flag.Bool("update", false, "rewrite golden files")

// oracleCase is a program with a real kernel's answer. The file is not part of the project: see DESIGN.
type oracleCase struct {
	ID                 int
	File, Name         string
	ProgTypeName       string `json:"prog_type_name"`
	ExpectedAttachType int    `json:"expected_attach_type"`
	Flags              int
	Insns              string
	Fixups             []struct {
		Kind  string
		Insns []int
	}
	Actual     string
	Expect     string // what 6.1 is meant to say
	ErrLine    string `json:"err_line"`
	Processed  int
	PacketCore bool `json:"packet_core"`
	Static     struct {
		HasBackEdge bool `json:"has_back_edge"`
	}
}

func (c *oracleCase) key() string { return fmt.Sprintf("%d %s: %s", c.ID, c.File, c.Name) }

// program makes the case loadable.
func (c *oracleCase) program(t *testing.T) *prog.Program {
	t.Helper()
	raw, err := hex.DecodeString(c.Insns)
	if err != nil {
		t.Fatal(err)
	}
	insns, err := asm.DecodeProgram(raw)
	if err != nil {
		t.Fatal(err)
	}
	typ, ok := prog.TypeOf(c.ProgTypeName)
	if !ok {
		t.Fatalf("program type %q", c.ProgTypeName)
	}
	p := &prog.Program{Name: c.Name, Type: typ, License: "GPL", Insns: insns, Section: sectionFor(typ, prog.Attach(c.ExpectedAttachType))}
	for _, f := range c.Fixups {
		for _, pc := range f.Insns {
			spec := oracleMap(f.Kind)
			if spec == nil {
				t.Fatalf("map kind %q", f.Kind)
			}
			p.Insns[pc].Imm = int32(len(p.Maps))
			for i, m := range p.Maps {
				if m.Name == spec.Name {
					p.Insns[pc].Imm = int32(i)
				}
			}
			if int(p.Insns[pc].Imm) == len(p.Maps) {
				p.Maps = append(p.Maps, spec)
			}
			switch p.Insns[pc].Src {
			case asm.PseudoMapFD:
				p.Insns[pc].Src = asm.PseudoMapIdx
			case asm.PseudoMapValue:
				p.Insns[pc].Src = asm.PseudoMapIdxValue
			}
		}
	}
	return p
}

// sectionFor finds a section name that means the attach type.
func sectionFor(t prog.Type, a prog.Attach) string {
	for _, s := range prog.Sections {
		if s.Type == t && s.Attach == a {
			return strings.TrimSuffix(s.Pattern, "+")
		}
	}
	return ""
}

// oracleMap makes the map of a kind that the cases use.
func oracleMap(kind string) *maps.Spec {
	m := func(t maps.Type, key, value, n uint32) *maps.Spec {
		return &maps.Spec{Name: kind, Type: t, KeySize: key, ValueSize: value, MaxEntries: n, LockOff: -1, TimerOff: -1}
	}
	flagged := func(s *maps.Spec, flags uint32) *maps.Spec { s.Flags |= flags; return s }
	switch kind {
	case "map_hash_8b":
		return m(maps.Hash, 8, 8, 1)
	case "map_hash_48b":
		return m(maps.Hash, 8, 48, 1)
	case "map_hash_16b":
		return m(maps.Hash, 8, 16, 1)
	case "map_array_48b":
		return m(maps.Array, 4, 48, 1)
	case "map_array_ro":
		return flagged(m(maps.Array, 4, 48, 1), maps.ReadOnlyProg)
	case "map_array_wo":
		return flagged(m(maps.Array, 4, 48, 1), maps.WriteOnlyProg)
	case "map_array_small":
		return m(maps.Array, 4, 1, 1)
	case "prog1", "map_prog1":
		return m(maps.ProgArray, 4, 4, 4)
	case "prog2", "map_prog2":
		return m(maps.ProgArray, 4, 4, 8)
	case "map_in_map":
		s := m(maps.ArrayOfMaps, 4, 4, 1)
		s.Inner = m(maps.Array, 4, 4, 1)
		return s
	case "cgroup_storage":
		return m(maps.CgroupStorage, 16, 64, 0)
	case "percpu_cgroup_storage":
		return m(maps.PerCPUCgroupStorage, 16, 64, 0)
	case "map_sockmap":
		return m(maps.SockMap, 4, 4, 1)
	case "map_sockhash":
		return m(maps.SockHash, 4, 4, 1)
	case "map_xskmap":
		return m(maps.XSKMap, 4, 4, 1)
	case "map_stacktrace":
		return m(maps.StackTrace, 4, 8, 1)
	case "map_event_output":
		return m(maps.PerfEventArray, 4, 4, 1)
	case "map_reuseport_array":
		return m(maps.ReuseportSockArray, 4, 8, 1)
	case "map_ringbuf":
		return m(maps.RingBuf, 0, 0, 4096)
	}
	return nil
}

// oracleCases reads the cases; the test is skipped when they are not there.
func oracleCases(t *testing.T) []oracleCase {
	t.Helper()
	dir := os.Getenv("SKEP_ORACLE")
	if dir == "" {
		dir = filepath.Join("..", "..", "shared", "oracle")
	}
	f, err := os.Open(filepath.Join(dir, "verifier_cases.jsonl.gz"))
	if err != nil {
		t.Skipf("no kernel answers to compare with: %v", err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	var cases []oracleCase
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var c oracleCase
		if err := json.Unmarshal(lines.Bytes(), &c); err != nil {
			t.Fatal(err)
		}
		cases = append(cases, c)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return cases
}

var golden = filepath.Join("testdata", "disagreements.txt")

func knownDisagreements() map[string]bool {
	known := map[string]bool{}
	if b, err := os.ReadFile(golden); err == nil {
		for _, l := range strings.Split(string(b), "\n") {
			if l != "" && !strings.HasPrefix(l, "#") {
				known[l] = true
			}
		}
	}
	return known
}

// TestOracle compares verdicts with those of a real Linux 6.18. testdata/disagreements.txt lists the cases that differ:
// a case that is not listed fails the test, and so does a listed one that agrees, so that the list only gets shorter.
// Packet programs that the kernel rejects and we accept are not excused at all.
func TestOracle(t *testing.T) {
	cases := oracleCases(t)
	known := knownDisagreements()
	var found []string
	var total, agree, packet, packetAgree, rejected, words int
	for i := range cases {
		c := &cases[i]
		profile := Newest()
		profile.StrictAlign = c.Flags&2 != 0
		_, err := Verify(c.program(t), Options{Profile: profile})
		got := "ACCEPT"
		if err != nil {
			got = "REJECT"
		}
		total++
		if c.PacketCore {
			packet++
		}
		if got == c.Actual {
			agree++
			if c.PacketCore {
				packetAgree++
			}
			if err != nil {
				rejected++
				if sameWords(err.(*Error), c.ErrLine) {
					words++
				} else if testing.Verbose() {
					t.Logf("WORDS %s\n  kernel: %s\n  skep:   %s", c.key(), c.ErrLine, err)
				}
			}
			continue
		}
		kind := "false reject"
		if got == "ACCEPT" {
			kind = "false accept"
			if c.PacketCore {
				t.Errorf("FALSE ACCEPT in packet core: %s (kernel: %s)", c.key(), c.ErrLine)
			}
		}
		line := kind + "\t" + c.key()
		found = append(found, line)
		if testing.Verbose() {
			t.Logf("%s\n  kernel: %s\n  skep:   %v", line, c.ErrLine, err)
		}
		if !known[line] && !*update {
			t.Errorf("new disagreement: %s\n  kernel: %s %s\n  skep:   %v", line, c.Actual, c.ErrLine, err)
		}
		delete(known, line)
	}
	t.Logf("verdicts: %d of %d, packet core %d of %d; messages: %d of %d rejections", agree, total, packetAgree, packet, words, rejected)
	if *update {
		sort.Strings(found)
		text := "# Cases of the kernel oracle with another verdict than Linux 6.18. This list may only get shorter.\n" +
			strings.Join(found, "\n") + "\n"
		if err := os.WriteFile(golden, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	for l := range known {
		t.Errorf("agrees now, take it off the list: %s", l)
	}
}

// TestOracle61 compares verdicts with what the cases' authors say of Linux 6.1, where they say something.
func TestOracle61(t *testing.T) {
	for _, c := range oracleCases(t) {
		profile := Linux(6, 1)
		profile.StrictAlign = c.Flags&2 != 0
		_, err := Verify(c.program(t), Options{Profile: profile})
		want, ok := map[string]bool{"ACCEPT": true, "VERBOSE_ACCEPT": true, "REJECT": false}[c.Expect]
		if ok && want != (err == nil) {
			t.Errorf("%s: kernel 6.1: %s, skep: %v", c.key(), c.Expect, err)
		}
	}
}

// TestOracleDAG checks that the DAG profile accepts no program with a back edge, and nothing that Newest refuses.
func TestOracleDAG(t *testing.T) {
	for _, c := range oracleCases(t) {
		dag, newest := DAG(), Newest()
		dag.StrictAlign, newest.StrictAlign = c.Flags&2 != 0, c.Flags&2 != 0
		_, err := Verify(c.program(t), Options{Profile: dag})
		_, errNewest := Verify(c.program(t), Options{Profile: newest})
		if err == nil && (c.Static.HasBackEdge || errNewest != nil) {
			t.Errorf("%s: DAG accepts it; back edge %v, newest: %v", c.key(), c.Static.HasBackEdge, errNewest)
		}
	}
}

// sameWords reports whether the kernel's line is among ours.
func sameWords(e *Error, line string) bool {
	for _, l := range strings.Split(e.Kernel, "\n") {
		if strings.TrimSpace(l) == strings.TrimSpace(line) {
			return true
		}
	}
	return false
}
