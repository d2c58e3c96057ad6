package suite

import (
	"encoding/hex"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/jit"
)

const examples = "../examples"

// run is a table's results, a line each: status, name, message.
func run(t *testing.T, text string) []string {
	t.Helper()
	table, err := Parse(filepath.Join(examples, "table.yaml"), []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	if err := table.Run(Options{}, func(r Result) {
		lines = append(lines, strings.TrimSpace(string(r.Status)+" "+r.Name+": "+r.Message))
	}); err != nil {
		t.Fatal(err)
	}
	return lines
}

// cases is a table with cases of every sort, good and bad.
const cases = `
object: tracing/packet_count.bpf.o
maps: {packets: [{key: {src: 1, dst: 2}, value: 5}]}
tests:
- name: counts
  packet: [{eth: {}}, {ip: {src: 1.0.0.0, dst: 2.0.0.0}}]
  want: {verdict: XDP_PASS, packet: same, maps: {packets: [{key: {src: 1, dst: 2}, value: 6}, {key: {src: 2}, value: null}]}}
- name: three times, over another start
  packet: [{eth: {}}, {ip: {src: 1.0.0.0, dst: 2.0.0.0}}]
  maps: {packets: [{key: {src: 1, dst: 2}, value: 10}]}
  repeat: 3
  want: {verdict: "2", maps: {packets: [{key: {src: 1, dst: 2}, value: 13}]}}
- name: wrong in every way
  packet: {hex: "0102"}
  want: {verdict: XDP_DROP, packet: {hex: "01ff"}, ctx: {rx_queue_index: 3}, maps: {packets: [{key: {src: 1, dst: 2}, value: 7},
    {key: {src: 9}, value: 1}, {key: {src: 1, dst: 2}, value: null}]}, trace: [hello]}
- name: a map that is not there
  packet: {hex: "00"}
  want: {maps: {nonesuch: []}}
- name: a ctx field that is not there
  packet: {hex: "00"}
  ctx: {mark: 1}
  want: {verdict: "2"}
- name: a ctx field that cannot be read
  packet: {hex: "00"}
  want: {ctx: {nonesuch: 1}}
- name: a key with a wrong field
  packet: {hex: "00"}
  maps: {packets: [{key: {sorc: 1}, value: 1}]}
  want: {verdict: "2"}
- name: an element with a wrong field
  packet: {hex: "00"}
  want: {maps: {packets: [{key: 0, val: 1}]}}
- name: a value that is too large
  packet: {hex: "00"}
  want: {maps:
    {packets: [      {key: {src: 1}, value: 18446744073709551616}]}}
- name: a frame of a capture
  packet: {pcap: datapath/edges.pcap#3}
  want: {verdict: XDP_PASS, packet: {pcap: "datapath/edges.pcap#3"}, maps: {packets: [{key: {src: 0x60200c0, dst: 0x37100cb}, value: 1}]}}
- name: without a packet
  want: {verdict: "2"}
`

func TestTable(t *testing.T) {
	got := run(t, cases)
	want := []string{
		"pass counts:",
		"pass three times, over another start:",
		"fail wrong in every way: verdict XDP_PASS (2), want XDP_DROP\npacket differs from byte 1 on\n got 0102\nwant 01ff\n" +
			"ctx rx_queue_index is 0, want 3\n" +
			"map packets: key map[dst:2 src:1] has value 0500000000000000, want 0700000000000000 (7)\n" +
			"map packets: key map[src:9]: map \"packets\": lookup: no such element (ENOENT)\n" +
			"map packets: key map[dst:2 src:1] is there, and should not be\n" +
			"printed [], want [\"hello\"]",
		"error a map that is not there: ../examples/table.yaml:19:27: the object has no map \"nonesuch\"",
		"error a ctx field that is not there: ../examples/table.yaml:22:9: ctx field \"mark\" of xdp_md: there is no such field",
		"error a ctx field that cannot be read: ../examples/table.yaml:26:16: there is no ctx field \"nonesuch\" that can be read",
		"error a key with a wrong field: ../examples/table.yaml:29:20: map packets: key.sorc: there is no such field in pair",
		"error an element with a wrong field: ../examples/table.yaml:33:36: unknown field \"val\" of an element",
		"error a value that is too large: ../examples/table.yaml:37:22: map packets: value: 1.8446744073709552e+19 is no integer; write big ones as strings",
		"pass a frame of a capture:",
		"error without a packet: ../examples/table.yaml:41:3: no packet: give layers, {hex: …} or {pcap: FILE#NUMBER}",
	}
	for i := range max(len(got), len(want)) {
		g, w := "", ""
		if i < len(got) {
			g = got[i]
		}
		if i < len(want) {
			w = want[i]
		}
		if g != w {
			t.Errorf("case %d\n got %s\nwant %s", i, g, w)
		}
	}
}

// TestFiles: every case of the tables in testdata passes, on every engine.
func TestFiles(t *testing.T) {
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	engines := []string{skep.EngineInterp, skep.EngineChecked}
	if jit.Available() {
		engines = append(engines, skep.EngineJIT)
	}
	for _, file := range files {
		for _, engine := range engines {
			table, err := ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			err = table.Run(Options{Machine: skep.Options{Engine: engine}}, func(r Result) {
				if r.Status != Pass {
					t.Errorf("%s:%d: %s (%s): %s %s", r.File, r.Line, r.Name, engine, r.Status, r.Message)
				}
			})
			if err != nil {
				t.Fatal(err)
			}
		}
	}
}

func TestBadTables(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "t.yaml: EOF",
		"tests: []":                        "t.yaml:1:1: no object: say which file is tested",
		"object: x.o":                      "t.yaml:1:1: no tests",
		"object: x\nsockets: 5":            "t.yaml:2:10: want a list of sockets: {proto: tcp, local: \"0.0.0.0:80\"}",
		"object: x\nsockets: [{proto: x}]": `t.yaml:2:10: socket 0: proto: "x": want tcp or udp`,
		"object: x\nfoo: 1":                "t.yaml:2:1: field foo not found in type suite.tableYAML",
		"object: x\ntests:\n- name: a\n  packet: {hex: 00}":                                                     `t.yaml:3:3: test "a" wants nothing: it could not fail`,
		"object: x\ntests:\n- packet: {hex: 00}\n  want: {verdict: A}":                                          "t.yaml:3:3: a test without a name",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, wants: 1}":                                           `t.yaml:3:32: unknown field "wants" of a test`,
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, want: {verdct: 1}}":                                  `t.yaml:3:39: unknown field "verdct" of want`,
		"object: x\ntests:\n- {name: a, packet: {hex: 0}, want: {verdict: A}}":                                  `t.yaml:3:27: "0": not pairs of hex digits`,
		"object: x\ntests:\n- {name: a, packet: {hex: \"\"}, want: {verdict: A}}":                               "t.yaml:3:21: 0 bytes: want 1 to 65536",
		"object: x\ntests:\n- {name: a, packet: 3, want: {verdict: A}}":                                         "t.yaml:3:21: want a list of layers, {hex: …} or {pcap: FILE#NUMBER}",
		"object: x\ntests:\n- {name: a, packet: [{sctp: {}}], want: {verdict: A}}":                              `t.yaml:3:22: unknown layer "sctp": want eth, vlan, ip, ip6, tcp, udp, icmp, icmp6 or payload`,
		"object: x\ntests:\n- {name: a, packet: [{udp: {port: 3}}], want: {verdict: A}}":                        "t.yaml:3:28: field port not found in type struct { Sport uint16; Dport uint16 }",
		"object: x\ntests:\n- {name: a, packet: [{eth: {}}, {udp: {dport: 3}}], want: {verdict: A}}":            "t.yaml:3:21: TCP/IP layer 4 checksum cannot be computed without network layer... call SetNetworkLayerForChecksum to set which layer to use",
		"object: x\ntests:\n- {name: a, packet: [{ip: {src: \"::1\"}}], want: {verdict: A}}":                    `t.yaml:3:27: "::1" is no address of 4 bytes`,
		"object: x\ntests:\n- {name: a, packet: [{tcp: {flags: XS}}], want: {verdict: A}}":                      `t.yaml:3:28: flags "XS": want letters of FSRPAUEC`,
		"object: x\ntests:\n- {name: a, packet: [{eth: {src: here}}], want: {verdict: A}}":                      `t.yaml:3:28: "here" is no Ethernet address`,
		"object: x\ntests:\n- {name: a, packet: [{payload: {zeros: 99999}}], want: {verdict: A}}":               "t.yaml:3:32: 99999 zeros: want 0 to 65536",
		"object: x\ntests:\n- {name: a, packet: {pcap: none.pcap#1}, want: {verdict: A}}":                       "t.yaml:3:28: open none.pcap: no such file or directory",
		"object: x\ntests:\n- {name: a, packet: {pcap: suite_test.go}, want: {verdict: A}}":                     `t.yaml:3:28: "suite_test.go": want the path of a capture and a frame's number from 1: file.pcap#3`,
		"object: x\ntests:\n- {name: a, packet: {pcap: suite_test.go#0}, want: {verdict: A}}":                   `t.yaml:3:28: "suite_test.go#0": want the path of a capture and a frame's number from 1: file.pcap#3`,
		"object: x\ntests:\n- {name: a, packet: {pcap: /dev/zero#1}, want: {verdict: A}}":                       "t.yaml:3:28: /dev/zero: want a file of at most 268435456 bytes",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, want: {packet: {pcap: ../traffic/sample.pcap#501}}}": "t.yaml:3:54: ../traffic/sample.pcap has 500 frames, not 501",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, ctx: 3, want: {verdict: A}}":                         "t.yaml:3:37: want fields of the ctx: cannot unmarshal !!int `3` into map[string]interface {}",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, after: soon, want: {verdict: A}}":                    "t.yaml:3:39: want a time above 0, as 10us, 5ms or 1m30s",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, after: -1s, want: {verdict: A}}":                     "t.yaml:3:39: want a time above 0, as 10us, 5ms or 1m30s",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, repeat: 9999, after: 2000000h, want: {verdict: A}}":  "t.yaml:3:53: want a time above 0, as 10us, 5ms or 1m30s",
		"object: x\ntests:\n- {name: a, packet: {hex: 00}, after: [1s], want: {verdict: A}}":                    "t.yaml:3:39: want a time above 0, as 10us, 5ms or 1m30s",
		"object: x\nstate: [a]\ntests:\n- {name: a, packet: {hex: 00}, want: {verdict: A}}":                     "t.yaml:2:8: want the path of a file with maps in JSON",
	} {
		_, err := Parse("t.yaml", []byte(text))
		var bad *CaseError
		if !errors.As(err, &bad) || bad.Error() != want {
			t.Errorf("%s\n got %v\nwant %s", text, err, want)
		}
	}
}

// TestBadState: a state that cannot be used stops the table before its first case.
func TestBadState(t *testing.T) {
	dir := t.TempDir()
	object, err := filepath.Abs(filepath.Join(examples, "tracing", "packet_count.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	bad := filepath.Join(dir, "bad.json")
	if err := os.WriteFile(bad, []byte(`{"name": "packets", "elements": [{"key": {"source": 1}, "value": 1}]}`), 0o644); err != nil {
		t.Fatal(err)
	}
	for state, want := range map[string]string{
		"none.json": "t.yaml:2:8: open " + filepath.Join(dir, "none.json") + ": no such file or directory",
		"bad.json":  "t.yaml:2:8: " + bad + ": offset 69: map packets: element 0: key.source: there is no such field in pair",
	} {
		text := "object: " + object + "\nstate: " + state + "\ntests:\n- {name: a, packet: {hex: 00}, want: {verdict: A}}"
		table, err := Parse(filepath.Join(dir, "t.yaml"), []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		err = table.Run(Options{}, func(r Result) { t.Errorf("%v ran", r) })
		if err == nil || err.Error() != filepath.Join(dir, want) && err.Error() != dir+"/"+want {
			t.Errorf("got %v\nwant %s", err, want)
		}
	}
}

func TestLayers(t *testing.T) {
	for text, want := range map[string]string{
		"[{eth: {src: 02:00:00:00:00:0a}}, {vlan: {id: 100, priority: 3}}, {ip: {ttl: 1, df: true}}, {udp: {dport: 53}}, {payload: \"01 02\"}]": "020000000002" +
			"02000000000a" + "8100" + "6064" + "0800" + "4500001e00004000011165cd0a0000010a000002" + "04000035000ae6a0" + "0102",
		"[{ip6: {}}, {icmp6: {}}]":                       "60000000" + "00043a40" + "20010db8000000000000000000000001" + "20010db8000000000000000000000002" + "8000244c",
		"[{eth: {type: 0x88cc}}, {payload: {zeros: 3}}]": "020000000002" + "020000000001" + "88cc" + "000000",
	} {
		var n yaml.Node
		if err := yaml.Unmarshal([]byte(text), &n); err != nil {
			t.Fatal(err)
		}
		got, err := (&parser{}).parsePacket(n.Content[0])
		if err != nil {
			t.Errorf("%s: %v", text, err)
			continue
		}
		if g := hex.EncodeToString(got); g != want {
			t.Errorf("%s\n got %s\nwant %s", text, g, want)
		}
	}
}

func TestRunObject(t *testing.T) {
	file := filepath.Join(examples, "tested", "ttl.bpf.o")
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	results := func(o Options) string {
		var s []string
		if err := RunObject(file, data, o, func(r Result) { s = append(s, r.Name+" "+string(r.Status)) }); err != nil {
			t.Fatal(err)
		}
		return strings.Join(s, ", ")
	}
	if got := results(Options{}); got != "one hop less pass, expired pass" {
		t.Error(got)
	}
	if got := results(Options{Only: "hop", Reset: []string{"expired"}}); got != "one hop less pass" {
		t.Error(got)
	}
	if err := RunObject(file, data, Options{Reset: []string{"nonesuch"}}, nil); err == nil || !strings.Contains(err.Error(), `no map "nonesuch"`) {
		t.Error(err)
	}
	plain, err := os.ReadFile(filepath.Join(examples, "drop_all.bpf.o"))
	if err != nil {
		t.Fatal(err)
	}
	if err := RunObject("drop_all", plain, Options{}, nil); !errors.Is(err, errNoTests) {
		t.Error(err)
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile(filepath.Join(examples, "tested", "block_ssh.yaml"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	f.Add([]byte("object: x\nmaps: {m: [{key: 1, value: 2}]}\ntests:\n- {name: a, packet: {hex: 00}, repeat: 2, want: {maps: {m: []}, packet: same}}"))
	f.Fuzz(func(t *testing.T, text []byte) {
		var bad *CaseError
		if _, err := Parse("t.yaml", text); err != nil && !errors.As(err, &bad) {
			t.Fatal(err)
		}
	})
}
