package replay

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

// counterMap is what the programs of tests know as map[counts]: 256 counters.
func counterMap() *maps.Spec {
	return &maps.Spec{Name: "counts", Type: maps.Array, KeySize: 4, ValueSize: 8, MaxEntries: 256, LockOff: -1, TimerOff: -1}
}

func assemble(t testing.TB, typ prog.Type, src string) *prog.Program {
	p := &prog.Program{Name: "test", Type: typ, License: "GPL", Maps: []*maps.Spec{counterMap()}}
	parse(t, p, src)
	return p
}

// parse gives a program its instructions; they name its maps, helpers and kernel functions.
func parse(t testing.TB, p *prog.Program, src string) {
	var err error
	p.Insns, err = asm.Parse(src, asm.ParseOptions{
		Helpers: helpers.ID,
		Kfuncs: func(name string) (int32, bool) {
			p.Kfuncs = append(p.Kfuncs, prog.Kfunc{Name: name})
			return int32(len(p.Kfuncs) - 1), true
		},
		Maps: func(name string) (int32, bool) {
			i := slices.IndexFunc(p.Maps, func(s *maps.Spec) bool { return s.Name == name })
			return int32(i), i >= 0
		},
	})
	require.NoError(t, err, p.Name)
	p.Funcs = []prog.Func{{Name: p.Name, End: len(p.Insns)}}
}

// target makes a machine and an engine: interp, checked, or what engines has.
func target(t testing.TB, p *prog.Program, engine string) Target {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(engine == "checked"), Budget: 100_000})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	if build := engines[engine]; build != nil {
		e, err := build(m, p)
		require.NoError(t, err)
		return Target{Machine: m, Engine: e}
	}
	l, err := m.Link(p)
	require.NoError(t, err)
	e, err := vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Checked: engine == "checked"})
	require.NoError(t, err)
	return Target{Machine: m, Engine: e}
}

// engines has those of other packages, where the machine has them.
var engines = map[string]func(*vm.Machine, *prog.Program) (vm.Engine, error){}

// engineNames lists all that a test should run on.
func engineNames() []string {
	names := []string{"interp", "checked"}
	for name := range engines {
		names = append(names, name)
	}
	return names
}

var linkByName = map[string]linktype.Type{
	"ether": linktype.Ethernet, "sll": linktype.SLL, "sll2": linktype.SLL2, "raw": linktype.RawIP, "null": linktype.Null,
	"loop": linktype.Loop, "wifi": linktype.IEEE80211, "ppp": 9, "radiotap": linktype.Radiotap, "ppi": linktype.PPI, "prism": linktype.Prism, "ipv6": linktype.IPv6,
}

// replayCase is a txtar file of testdata.
type replayCase struct {
	typ      prog.Type
	options  Options
	capture  []byte
	program  string
	rejected bool // by the verifier: not for the JIT
}

func readCase(t *testing.T, ar *txtar.Archive) replayCase {
	c := replayCase{}
	var link linktype.Type = linktype.Ethernet
	var packets string
	for _, f := range ar.Files {
		text := string(f.Data)
		switch f.Name {
		case "options":
			for line := range strings.Lines(text) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				c.option(t, key, value, &link)
			}
		case "packets":
			packets = text
		case "program":
			c.program = text
		case "want":
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	c.capture = captureOf(t, link, packets)
	return c
}

func (c *replayCase) option(t *testing.T, key, value string, link *linktype.Type) {
	number := func() int {
		n, err := strconv.Atoi(value)
		require.NoError(t, err)
		return n
	}
	var ok bool
	switch key {
	case "type":
		c.typ, ok = prog.TypeOf(value)
		require.True(t, ok, value)
	case "link":
		*link, ok = linkByName[value]
		require.True(t, ok, value)
	case "convert":
		c.options.Convert, ok = map[string]Convert{"none": ConvertNone, "raw": ConvertRaw}[value]
		require.True(t, ok, value)
	case "keep-vlan":
		c.options.KeepVLAN = true
	case "truncated":
		c.options.Truncated, ok = map[string]Truncated{"skip": TruncSkip, "pad": TruncPad}[value]
		require.True(t, ok, value)
	case "l2":
		c.options.L2, ok = map[string]L2{"none": L2None}[value]
		require.True(t, ok, value)
	case "rxvlan":
		c.options.RxVLAN = true
	case "queues":
		c.options.Queues = number()
	case "loop-addresses":
		c.options.LoopAddresses = true
	case "reset-maps":
		c.options.ResetMaps = true
	case "stop-on-fault":
		c.options.StopOnFault = true
	case "rejected":
		c.rejected = true
	case "limit":
		c.options.Limit = uint64(number())
	case "loop":
		c.options.Loop = number()
	default:
		t.Fatalf("unknown option %q", key)
	}
}

// captureOf makes a pcapng file of lines "time-ns/wire-length/interface/queue/flags hex…": all but the time may be missing,
// and "…*n" in the hex is n times that byte.
func captureOf(t testing.TB, link linktype.Type, packets string) []byte {
	var out bytes.Buffer
	w, err := pcap.NewWriter(&out, pcap.WriterOptions{Format: pcap.PCAPNG})
	require.NoError(t, err)
	for _, name := range []string{"lan", "wan"} {
		_, err = w.AddInterface(pcap.Interface{Name: name, Link: link})
		require.NoError(t, err)
	}
	for line := range strings.Lines(packets) {
		words := strings.Fields(line)
		if len(words) == 0 || strings.HasPrefix(words[0], "#") {
			continue
		}
		var p pcap.Packet
		head := strings.Split(words[0], "/")
		for i, v := range head {
			n, err := strconv.ParseInt(v, 10, 64)
			require.NoError(t, err)
			switch i {
			case 0:
				p.TS = n
			case 1:
				p.OrigLen = uint32(n)
			case 2:
				p.Iface = int(n)
			case 3:
				p.Queue, p.Has = uint32(n), p.Has|pcap.HasQueue
			case 4:
				p.Flags, p.Has = uint32(n), p.Has|pcap.HasFlags
			}
		}
		for _, word := range words[1:] {
			b, times, repeat := strings.Cut(word, "*")
			n := 1
			if repeat {
				n, err = strconv.Atoi(times)
				require.NoError(t, err)
			}
			data, err := hex.DecodeString(b)
			require.NoError(t, err, line)
			p.Data = append(p.Data, bytes.Repeat(data, n)...)
		}
		require.NoError(t, w.Write(&p))
	}
	require.NoError(t, w.Flush())
	return out.Bytes()
}

// textSink notes every packet as a line.
type textSink struct{ b strings.Builder }

func (s *textSink) Write(x *Exit) error {
	fmt.Fprintf(&s.b, "%d at %d if%d(%s) %s", x.Number, x.TS, x.Ifindex, x.IfName, x.Verdict)
	if x.Redirect != 0 || x.RedirMap != "" {
		fmt.Fprintf(&s.b, " to if%d by %q", x.Redirect, x.RedirMap)
	}
	show := x.Data[:min(len(x.Data), 48)]
	fmt.Fprintf(&s.b, " link %d %d/%d %x", x.Link, len(x.Data), x.OrigLen, show)
	if len(show) < len(x.Data) {
		s.b.WriteString("…")
	}
	s.b.WriteString("\n")
	return nil
}

func (s *textSink) Close() error { return nil }

// outcome runs a case and describes all that came of it but the engines' names.
func (c replayCase) outcome(t *testing.T, engine, against string) string {
	var sink textSink
	return c.run(t, engine, against, &sink)
}

// run is outcome with a sink, or with none: then packets that ask for nothing take the short way (isPlain).
func (c replayCase) run(t *testing.T, engine, against string, sink *textSink) string {
	p := assemble(t, c.typ, c.program)
	o := c.options
	o.Type, o.Target, o.Input, o.Sinks, o.CountChanged = c.typ, target(t, p, engine), bytes.NewReader(c.capture), nil, true
	if sink != nil {
		o.Sinks = []Sink{sink}
	}
	if against != "" {
		other := target(t, assemble(t, c.typ, c.program), against)
		o.Against = &other
	}
	rep, err := Run(o)
	if rep == nil {
		return fmt.Sprintf("error: %v\n", err)
	}
	require.Equal(t, engine, rep.Engine)
	rep.Elapsed, rep.Engine, rep.Against = 0, "", ""
	var out strings.Builder
	j, jerr := json.Marshal(rep)
	require.NoError(t, jerr)
	text := strings.Replace(string(j), `,"engine":"","elapsed_ns":0`, "", 1)
	out.WriteString(text + "\n")
	if sink != nil {
		out.WriteString(sink.b.String())
	}
	if m := o.Target.Machine.Maps().ByName("counts"); m != nil {
		for k, v := range m.All() {
			if !bytes.Equal(v, make([]byte, 8)) {
				fmt.Fprintf(&out, "counts[%x] = %x\n", k, v)
			}
		}
	}
	if err != nil {
		fmt.Fprintf(&out, "error: %v\n", err)
	}
	return out.String()
}

// sinkLine is what textSink writes of a packet.
var sinkLine = regexp.MustCompile(`(?m)^\d+ at .*\n`)

// TestCases runs the txtar files of testdata on every engine, and on pairs of them.
func TestCases(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			ar, err := txtar.ParseFile(file)
			require.NoError(t, err)
			c := readCase(t, ar)
			want := ""
			if last := &ar.Files[len(ar.Files)-1]; last.Name == "want" {
				want = string(last.Data)
			}
			if *update {
				want = c.outcome(t, "interp", "")
				ar.Files = append(ar.Files[:3:3], txtar.File{Name: "want", Data: []byte(want)})
				require.NoError(t, os.WriteFile(file, txtar.Format(ar), 0o644))
			}
			for _, name := range engineNames() {
				if name == "jit" && c.rejected {
					continue
				}
				require.Equal(t, want, c.outcome(t, name, ""), name)
				require.Equal(t, sinkLine.ReplaceAllString(want, ""), c.run(t, name, "", nil), "%s, the short way", name)
				if name != "interp" {
					require.Equal(t, want, c.outcome(t, "interp", name), "interp against %s", name)
				}
			}
		})
	}
}

var errFull = errors.New("disk full")
