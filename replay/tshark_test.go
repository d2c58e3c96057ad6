package replay

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// tsharkFields is what Wireshark is asked for, in the order of a row's text.
var tsharkFields = []string{"frame.time_epoch", "frame.len", "frame.cap_len", "frame.md5_hash", "frame.interface_name", "frame.packet_id",
	"frame.interface_queue", "frame.packet_flags_direction", "frame.verdict.ebpf_xdp", "frame.verdict.ebpf_tc", "frame.comment"}

// tshark reads a capture and returns its packets as rows of tsharkFields, which it dissects no further.
func tshark(t *testing.T, capture []byte) []string {
	path, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	name := filepath.Join(t.TempDir(), "read")
	require.NoError(t, os.WriteFile(name, capture, 0o666))
	args := []string{"-r", name, "-n", "-o", "frame.generate_md5_hash:TRUE", "-T", "fields", "-E", "occurrence=f", "-E", "separator=|", "-e", "frame.number"}
	for _, f := range tsharkFields {
		args = append(args, "-e", f)
	}
	for _, p := range []string{"eth", "raw", "sll", "null", "ppp", "wlan", "radiotap", "ip", "ipv6"} {
		args = append(args, "--disable-protocol", p)
	}
	cmd := exec.Command(path, args...)
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	require.NoError(t, err, complaint.String())
	var rows []string
	for line := range strings.Lines(string(out)) {
		number, row, _ := strings.Cut(strings.TrimRight(line, "\n"), "|")
		rows = append(rows, row)
		require.Equal(t, strconv.Itoa(len(rows)), number)
	}
	return rows
}

// row is a packet as tshark is to show it.
type row struct {
	ts               int64
	wire             uint32
	data             []byte
	iface            string
	id, queue        string
	direction        uint32 // 0 when the file does not say
	xdp, tc, comment string
}

func (r *row) String() string {
	direction := ""
	if r.direction != 0 {
		direction = fmt.Sprintf("0x%08x", r.direction)
	}
	sum := md5.Sum(r.data)
	return strings.Join([]string{fmt.Sprintf("%d.%09d", r.ts/1e9, r.ts%1e9), strconv.Itoa(int(r.wire)), strconv.Itoa(len(r.data)),
		hex.EncodeToString(sum[:]), r.iface, r.id, r.queue, direction, r.xdp, r.tc, r.comment}, "|")
}

// entryRow is the copy of a packet at entry.
func entryRow(x *Exit) row {
	r := row{ts: x.TS, wire: x.EntryLen, data: x.Entry, iface: x.IfName, id: strconv.Itoa(int(x.Number)), queue: strconv.Itoa(int(x.RxQueue)), direction: 1}
	if r.iface == "" {
		r.iface = fmt.Sprintf("if%d", x.Ifindex)
	}
	return r
}

// exitRow is the copy of a packet at exit.
func exitRow(x *Exit) row {
	r := entryRow(x)
	r.wire, r.data = x.OrigLen, x.Data
	switch {
	case x.Fault != nil:
		r.comment = x.Fault.Error()
		return r
	case x.Type == prog.XDP:
		r.xdp = strconv.Itoa(int(x.Ret))
	case x.Type == prog.SchedCLS:
		r.tc = strconv.Itoa(int(int32(x.Ret)))
	}
	r.comment = x.Verdict
	if x.Verdict == "XDP_TX" || x.Redirect != 0 && !x.RedirIn {
		r.direction = 2
	}
	if x.Redirect != 0 {
		if r.iface = x.RedirName; r.iface == "" {
			r.iface = fmt.Sprintf("if%d", x.Redirect)
		}
		r.comment += fmt.Sprintf(" to interface %d", x.Redirect)
	}
	if x.RedirMap != "" {
		r.comment += " by map " + x.RedirMap
	}
	if x.Program != "" {
		r.comment += " (" + x.Program + ")"
	}
	return r
}

// rowsOf are the packets of an output. A pcap file has only a part of what is said of each.
func rowsOf(exits []Exit, o Output, nano bool) (rows []string) {
	add := func(r row) {
		if o.Format == FormatPcap {
			r = row{ts: r.ts, wire: r.wire, data: r.data}
			if !nano {
				r.ts -= r.ts % 1000
			}
		}
		rows = append(rows, r.String())
	}
	for i := range exits {
		if o.Copies != CopyExit && exits[i].Copy == 0 {
			add(entryRow(&exits[i]))
		}
		if o.Copies != CopyEntry {
			add(exitRow(&exits[i]))
		}
	}
	return rows
}

// writtenCapture makes the capture of a line "link format times order most-captured". The link "several" is three interfaces, two of Ethernet and
// one of raw IP, with queues.
func writtenCapture(t *testing.T, line string) (capture []byte, nano bool) {
	w := strings.Fields(line)
	require.Len(t, w, 5, line)
	snap, err := strconv.Atoi(w[4])
	require.NoError(t, err)
	spec := traffic.Spec{Packets: 120, Link: w[0], Format: w[1], Nano: w[2] == "ns", BigEndian: w[3] == "big", Snap: snap, Mix: mixed(traffic.Mix{VLAN: 20, QinQ: 10, Cut: 10})}
	nano = spec.Nano || spec.Format == "pcapng"
	var out bytes.Buffer
	if w[0] != "several" {
		_, err = traffic.Generate(&out, spec)
		require.NoError(t, err)
		return out.Bytes(), nano
	}
	spec.Link = "ether"
	g, err := traffic.New(spec)
	require.NoError(t, err)
	file, err := pcap.NewWriter(&out, pcap.WriterOptions{Format: pcap.PCAPNG, BigEndian: spec.BigEndian})
	require.NoError(t, err)
	for i, link := range []linktype.Type{linktype.Ethernet, linktype.Ethernet, linktype.RawIP} {
		_, err := file.AddInterface(pcap.Interface{Name: []string{"lan", "wan", "tun"}[i], Link: link})
		require.NoError(t, err)
	}
	for i := range spec.Packets {
		data, ts := g.Next()
		p := pcap.Packet{Data: data, OrigLen: uint32(len(data) + i%2*100), TS: ts, Iface: i % 2, Has: pcap.HasQueue, Queue: uint32(i % 5)}
		if len(data) >= etherLen+20 && data[12] == 8 && data[13] == 0 && i%4 == 0 {
			p.Data, p.OrigLen, p.Iface = data[etherLen:], 0, 2
		}
		require.NoError(t, file.Write(&p))
	}
	require.NoError(t, file.Flush())
	return out.Bytes(), nano
}

// written is a file of testdata/written.
type written struct {
	typ      prog.Type
	engine   string
	sees     Options // what the program sees of packets
	program  string
	captures []string
}

func readWritten(t *testing.T, file string) *written {
	ar, err := txtar.ParseFile(file)
	require.NoError(t, err)
	w := &written{engine: "interp"}
	for _, f := range ar.Files {
		switch f.Name {
		case "options":
			for line := range strings.Lines(string(f.Data)) {
				key, value, _ := strings.Cut(strings.TrimSpace(line), " ")
				switch key {
				case "type":
					var ok bool
					w.typ, ok = prog.TypeOf(value)
					require.True(t, ok, value)
				case "engine":
					w.engine = value
				case "rxvlan":
					w.sees.RxVLAN = true
				case "pad":
					w.sees.Truncated = TruncPad
				default:
					t.Fatalf("unknown option %q", key)
				}
			}
		case "captures":
			w.captures = slices.Collect(strings.Lines(string(f.Data)))
		case "program":
			w.program = string(f.Data)
		default:
			t.Fatalf("unknown part %q", f.Name)
		}
	}
	return w
}

// options are those of a replay on so many CPUs.
func (w *written) options(t *testing.T, cpus int) Options {
	p := assemble(t, w.typ, w.program)
	o := w.sees
	o.Type = w.typ
	if cpus == 1 {
		o.Target = target(t, p, w.engine)
		return o
	}
	m, err := vm.NewMachine(vm.Config{CPUs: cpus, Space: smallSpace(w.engine == "checked")})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	l, err := m.Link(p)
	require.NoError(t, err)
	engines := make([]vm.Engine, cpus)
	for i := range engines {
		engines[i], err = vm.NewInterpreter(m.CPU(i), l, vm.InterpOptions{})
		require.NoError(t, err)
	}
	o.Target, o.Others = Target{Machine: m, Engine: engines[0]}, engines[1:]
	return o
}

// outputOf replays a capture into an output and returns what was written and the packets that left.
func outputOf(t *testing.T, o Options, capture []byte, form Output) ([]byte, []Exit) {
	var out bytes.Buffer
	sink, err := NewWriter(&out, form)
	require.NoError(t, err)
	exits := leave(t, o, capture, sink)
	return out.Bytes(), exits
}

// leave replays a capture into a sink and returns the packets that left.
func leave(t *testing.T, o Options, capture []byte, sink Sink) []Exit {
	var all collectCopies
	o.Input, o.Sinks = bytes.NewReader(capture), []Sink{sink, &all}
	_, err := Run(o)
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	for i := range all.exits {
		x := &all.exits[i]
		require.Equal(t, len(x.Data)-len(x.Entry), int(x.OrigLen)-int(x.EntryLen), "packet %d: both lengths change by the same", x.Number)
	}
	return all.exits
}

// sameRows names the first packet that differs.
func sameRows(t *testing.T, want, got []string) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		require.Equal(t, want[i], got[i], "packet %d of %s", i+1, strings.Join(tsharkFields, "|"))
	}
	require.Len(t, got, len(want))
}

// withoutNames are rows without interfaces: tshark 4.0 gives those of a file's second section the names of the first's.
func withoutNames(rows []string) []string {
	at := slices.Index(tsharkFields, "frame.interface_name")
	var out []string
	for _, r := range rows {
		out = append(out, strings.Join(slices.Delete(strings.Split(r, "|"), at, at+1), "|"))
	}
	return out
}

// TestTshark: Wireshark reads every output as what left the program, for captures of all kinds.
func TestTshark(t *testing.T) {
	files, err := filepath.Glob("testdata/written/*.txtar")
	require.NoError(t, err)
	require.NotEmpty(t, files)
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			w := readWritten(t, file)
			var all sections
			for n, line := range w.captures {
				capture, nano := writtenCapture(t, line)
				out, exits := outputOf(t, w.options(t, 1), capture, Output{Copies: CopyBoth})
				require.Greater(t, len(exits), 60)
				want := rowsOf(exits, Output{Copies: CopyBoth}, nano)
				if n == 0 || strings.HasPrefix(line, "several") {
					sameRows(t, want, tshark(t, out))
				} else {
					all.add(out, want)
				}
				if w.engine == "interp" {
					again, _ := outputOf(t, w.options(t, 3), capture, Output{Copies: CopyBoth})
					require.True(t, bytes.Equal(out, again), "another file from several CPUs")
				}
				for _, o := range []Output{{}, {Copies: CopyEntry}} {
					out, exits := outputOf(t, w.options(t, 1), capture, o)
					all.add(out, rowsOf(exits, o, nano))
				}
				if n == 0 {
					o := Output{Format: FormatPcap}
					out, exits := outputOf(t, w.options(t, 1), capture, o)
					sameRows(t, rowsOf(exits, o, nano), tshark(t, out))
					w.split(t, capture, &all)
				}
			}
			sameRows(t, withoutNames(all.want), withoutNames(tshark(t, all.file)))
		})
	}
}

// TestTsharkChains: the same for chains, whose comments say which program decided.
func TestTsharkChains(t *testing.T) {
	files, err := filepath.Glob("testdata/chain/*.txtar")
	require.NoError(t, err)
	var all sections
	for _, file := range files {
		c := chainFile(t, strings.TrimSuffix(filepath.Base(file), ".txtar"))
		o := c.options
		if o.Target, err = c.target(t, "interp"); err != nil {
			continue // a chain that is refused
		}
		o.Type = o.Target.Engine.(*Chain).Type()
		out, exits := outputOf(t, o, c.capture, Output{Copies: CopyBoth})
		all.add(out, rowsOf(exits, Output{Copies: CopyBoth}, true))
	}
	require.Greater(t, len(all.want), 20)
	sameRows(t, withoutNames(all.want), withoutNames(tshark(t, all.file)))
}

// TestTsharkCopies: what a filter lets through is read as the capture is, in both formats; and so is what a program gets at entry.
func TestTsharkCopies(t *testing.T) {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
	require.NoError(t, err)
	defer func() { require.NoError(t, m.Close()) }()
	all := Options{Target: Target{Machine: m}, Filters: expressionFilters(m, filterEngines()["interp"], "")}
	var in, out []byte
	for i, link := range append(traffic.Links(), "several") {
		capture, _ := writtenCapture(t, fmt.Sprintf("%s pcapng ns %s %d", link, []string{"little", "big"}[i%2], i%3*50))
		copied, _ := outputOf(t, all, capture, Output{Bare: true})
		in, out = append(in, capture...), append(out, copied...)
		if link == "several" {
			want := tshark(t, capture)
			for k := range want { // queues, which a copy has not
				words := strings.Split(want[k], "|")
				words[slices.Index(tsharkFields, "frame.interface_queue")] = ""
				want[k] = strings.Join(words, "|")
			}
			sameRows(t, want, tshark(t, copied))
			in = in[:len(in)-len(capture)]
			out = out[:len(out)-len(copied)]
		}
	}
	sameRows(t, withoutNames(tshark(t, in)), withoutNames(tshark(t, out)))
	for _, line := range []string{"ether pcap us big 100", "wlan pcap ns little 0"} {
		capture, _ := writtenCapture(t, line)
		copied, _ := outputOf(t, all, capture, Output{Format: FormatPcap, Bare: true})
		want := tshark(t, capture)
		sameRows(t, want, tshark(t, copied))
		if strings.HasPrefix(line, "ether") {
			_, exits := outputOf(t, Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2})}, capture, Output{})
			for i := range exits {
				x := &exits[i]
				r := row{ts: x.TS, wire: x.EntryLen, data: x.Entry}
				require.Equal(t, want[x.Number-1], r.String())
			}
		}
	}
}

// sections are pcapng files one behind the other, which is a file of several sections, and what is to be read there.
type sections struct {
	file []byte
	want []string
}

func (s *sections) add(file []byte, want []string) {
	s.file, s.want = append(s.file, file...), append(s.want, want...)
}

// checkPcap has tshark read a capture's pcap output.
func (w *written) checkPcap(t *testing.T, capture []byte, nano bool) {
	o := Output{Format: FormatPcap}
	var out bytes.Buffer
	sink, err := NewWriter(&out, o)
	require.NoError(t, err)
	exits := leave(t, w.options(t, 1), capture, sink)
	sameRows(t, rowsOf(exits, o, nano), tshark(t, out.Bytes()))
}

// split adds the files of a capture's verdicts.
func (w *written) split(t *testing.T, capture []byte, all *sections) {
	dir, o := t.TempDir(), Output{Copies: CopyBoth}
	sink, err := NewSplit(dir, o)
	require.NoError(t, err)
	of := map[string][]Exit{}
	for _, x := range leave(t, w.options(t, 1), capture, sink) {
		name := splitName(splitKey{verdict: x.Verdict, redirect: x.Redirect}) + ".pcapng"
		of[name] = append(of[name], x)
	}
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, len(of))
	for _, f := range files {
		data, err := os.ReadFile(filepath.Join(dir, f.Name()))
		require.NoError(t, err)
		all.add(data, rowsOf(of[f.Name()], o, true))
	}
}
