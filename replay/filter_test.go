package replay

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/cbpf"
	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// filterExpressions are for every link type.
var filterExpressions = []string{"tcp dst port 22", "udp port 53 or icmp", "ip6", "not ip", "greater 500", "less 80 and udp", "vlan 100", ""}

// expressionFilters compiles expressions on an engine; those that a link type has no packets for reject all.
func expressionFilters(m *vm.Machine, make func(*vm.Machine, *prog.Program) (vm.Engine, error), list ...string) []Filter {
	var out []Filter
	for _, text := range list {
		out = append(out, Filter{Name: fmt.Sprintf("%q", text), Compile: func(link linktype.Type, big bool) (vm.Engine, error) {
			p, err := compileFor(text, link, big)
			if err != nil {
				return nil, err
			}
			spec, err := p.EBPF(cbpf.EBPFOptions{Name: fmt.Sprintf("f%x_%d_%t", text, link, big)})
			if err != nil {
				return nil, err
			}
			return make(m, spec)
		}})
	}
	return out
}

func compileFor(text string, link linktype.Type, big bool) (cbpf.Program, error) {
	p, err := cbpf.CompileOptions{BigEndian: big}.Compile(text, link)
	if err != nil {
		return cbpf.Program{{Op: cbpf.ClassRet | cbpf.RetK}}, nil // vlan where there are none
	}
	return p, err
}

// filterEngines are all that filters run on.
func filterEngines() map[string]func(*vm.Machine, *prog.Program) (vm.Engine, error) {
	all := maps.Clone(engines)
	for name, checked := range map[string]bool{"interp": false, "checked": true} {
		all[name] = func(m *vm.Machine, p *prog.Program) (vm.Engine, error) {
			l, err := m.LinkVerified(p)
			if err != nil {
				return nil, err
			}
			return vm.NewInterpreter(m.CPU(0), l, vm.InterpOptions{Checked: checked})
		}
	}
	return all
}

// collect is a sink that keeps what it gets.
type collect struct{ got []Exit }

func (c *collect) Write(x *Exit) error {
	y := *x
	y.Data = bytes.Clone(x.Data)
	c.got = append(c.got, y)
	return nil
}

func (c *collect) Close() error { return nil }

// captured are the packets of a capture as the reader gives them, with what the filters say of each by the classic interpreter.
func captured(t *testing.T, file []byte, big bool, list []string) (out []Exit, matched []uint64) {
	r, err := pcap.NewReader(bytes.NewReader(file), nil)
	require.NoError(t, err)
	recs := make([]pcap.Record, 1)
	for {
		n, err := r.ReadBatch(recs)
		if err != nil || n == 0 {
			return out, matched
		}
		rec := &recs[0]
		data := bytes.Clone(r.Data(rec))
		bits := uint64(0)
		for i, text := range list {
			p, err := compileFor(text, rec.Link, big)
			require.NoError(t, err)
			if p.Run(cbpf.Packet{Data: data, WireLen: rec.OrigLen}) != 0 {
				bits |= 1 << i
			}
		}
		out = append(out, Exit{Number: uint64(len(out) + 1), TS: rec.TS, Data: data, OrigLen: rec.OrigLen, Link: uint32(rec.Link)})
		matched = append(matched, bits)
	}
}

// TestFilters filters captures of every link type on every engine, and compares each packet with the classic interpreter.
func TestFilters(t *testing.T) {
	kinds := 0
	for _, link := range traffic.Links() {
		for _, s := range []traffic.Spec{{}, {Format: "pcapng", Snap: 60}, {BigEndian: true, Nano: true}} {
			s.Link, s.Packets, s.Mix = link, 150, traffic.DefaultMix
			s.Mix.Rare, s.Mix.Cut = 100, 3
			var file bytes.Buffer
			_, err := traffic.Generate(&file, s)
			require.NoError(t, err)
			want, matched := captured(t, file.Bytes(), s.BigEndian, filterExpressions)
			require.Len(t, want, s.Packets)
			for name, make := range filterEngines() {
				m, err := vm.NewMachine(vm.Config{Space: smallSpace(name == "checked")})
				require.NoError(t, err)
				sink, one := &collect{}, &collect{}
				list := filterExpressions[:len(filterExpressions)-1]
				filters := expressionFilters(m, make, list...)
				filters[0].Sink = one
				rep, err := Run(Options{Target: Target{Machine: m}, Filters: filters, Input: bytes.NewReader(file.Bytes()), Sinks: []Sink{sink}})
				require.NoError(t, err, "%s on %s", link, name)
				require.EqualValues(t, s.Packets, rep.Packets)
				require.EqualValues(t, s.Packets, rep.Seen)
				require.Equal(t, name, rep.Engine)
				i := 0
				for n := range want {
					bits := matched[n] &^ (1 << len(list))
					if bits == 0 {
						continue
					}
					require.Less(t, i, len(sink.got))
					x := sink.got[i]
					require.Equal(t, want[n], Exit{Number: x.Number, TS: x.TS, Data: x.Data, OrigLen: x.OrigLen, Link: x.Link}, "%s on %s", link, name)
					i++
				}
				require.Len(t, sink.got, i)
				for f := range list {
					n := uint64(0)
					for _, bits := range matched {
						n += bits >> f & 1
					}
					require.Equal(t, n, rep.Filters[f].Packets, "%s on %s: %s", link, name, list[f])
					if n > 0 {
						kinds++
					}
				}
				require.Len(t, one.got, int(rep.Filters[0].Packets))
				require.NoError(t, m.Close())
			}
		}
	}
	require.Greater(t, kinds, 150)
}

// TestFilterBeforeProgram runs programs behind filters: they get what matches, with its number in the capture, whether packets lie in
// the chunk, are converted or are copied.
func TestFilterBeforeProgram(t *testing.T) {
	list := []string{"tcp", "udp port 53"}
	for _, link := range []string{"ether", "raw", "sll2"} {
		var file bytes.Buffer
		_, err := traffic.Generate(&file, traffic.Spec{Link: link, Packets: 500})
		require.NoError(t, err)
		want, matched := captured(t, file.Bytes(), false, list)
		var numbers []uint64
		for i := range want {
			if matched[i] != 0 && len(want[i].Data) >= 14 {
				numbers = append(numbers, want[i].Number)
			}
		}
		require.Greater(t, len(numbers), 100)
		for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS} {
			for _, move := range []bool{false, true} {
				for _, sinks := range [][]Sink{nil, {&collect{}}} {
					var seen []uint64
					s := &stub{ret: 2}
					s.fail = func(number uint64) error { seen = append(seen, number); return nil }
					target := stubTarget(t, s)
					target.Move = move
					rep, err := Run(Options{Type: typ, Target: target, Input: bytes.NewReader(file.Bytes()), Sinks: sinks,
						Filters: expressionFilters(target.Machine, filterEngines()["interp"], list...)})
					require.NoError(t, err)
					require.EqualValues(t, 500, rep.Seen)
					require.EqualValues(t, len(seen), rep.Packets)
					for _, n := range seen {
						require.NotZero(t, matched[n-1])
					}
					require.Equal(t, len(numbers), len(seen)+int(sum(rep.Skipped)), "%s %s move %t", link, typ, move)
					if sinks != nil {
						require.Len(t, sinks[0].(*collect).got, len(seen))
					}
				}
			}
		}
	}
}

func sum(c Counts) (n uint64) {
	for _, v := range c {
		n += v
	}
	return n
}

// TestFilterLinks filters a capture whose interfaces are of two link types, each by a filter for its own.
func TestFilterLinks(t *testing.T) {
	var file bytes.Buffer
	w, err := pcap.NewWriter(&file, pcap.WriterOptions{Format: pcap.PCAPNG})
	require.NoError(t, err)
	ether, err := w.AddInterface(pcap.Interface{Name: "eth0", Link: linktype.Ethernet})
	require.NoError(t, err)
	raw, err := w.AddInterface(pcap.Interface{Name: "tun0", Link: linktype.RawIP})
	require.NoError(t, err)
	ip := []byte{0x45, 0, 0, 20, 0, 0, 0, 0, 64, 17, 0, 0, 192, 0, 2, 1, 192, 0, 2, 2}
	frame := append(make([]byte, 12), append([]byte{8, 0}, ip...)...)
	for range 100 {
		require.NoError(t, w.Write(&pcap.Packet{Data: frame, Iface: ether}))
		require.NoError(t, w.Write(&pcap.Packet{Data: ip, Iface: raw}))
		require.NoError(t, w.Write(&pcap.Packet{Data: frame, Iface: raw})) // no IP there
	}
	require.NoError(t, w.Flush())
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
	require.NoError(t, err)
	defer m.Close()
	var ng, classic bytes.Buffer
	sink, err := NewWriter(&ng, Output{Bare: true})
	require.NoError(t, err)
	o := Options{Target: Target{Machine: m}, Filters: expressionFilters(m, filterEngines()["interp"], "udp"), Input: bytes.NewReader(file.Bytes()), Sinks: []Sink{sink}}
	rep, err := Run(o)
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	require.EqualValues(t, 200, rep.Filters[0].Packets)
	copied, _ := captured(t, ng.Bytes(), false, nil)
	require.Len(t, copied, 200)
	require.EqualValues(t, linktype.RawIP, copied[1].Link)
	sink, err = NewWriter(&classic, Output{Format: FormatPcap})
	require.NoError(t, err)
	o.Sinks, o.Input = []Sink{sink}, bytes.NewReader(file.Bytes())
	_, err = Run(o)
	require.ErrorContains(t, err, "packet 2: link type RAW, and EN10MB of the packets before")
}

// TestCopy copies captures of one interface: all bytes are the same but for what a file says of itself.
func TestCopy(t *testing.T) {
	for _, nano := range []bool{false, true} {
		var file, out bytes.Buffer
		_, err := traffic.Generate(&file, traffic.Spec{Packets: 200, Nano: nano, Link: "sll"})
		require.NoError(t, err)
		m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
		require.NoError(t, err)
		sink, err := NewWriter(&out, Output{Format: FormatPcap})
		require.NoError(t, err)
		_, err = Run(Options{Target: Target{Machine: m}, Filters: expressionFilters(m, filterEngines()["interp"], ""), Input: bytes.NewReader(file.Bytes()), Sinks: []Sink{sink}})
		require.NoError(t, err)
		require.NoError(t, sink.Close())
		require.Equal(t, file.Bytes(), out.Bytes())
		require.NoError(t, m.Close())
	}
	var out bytes.Buffer
	sink, err := NewWriter(&out, Output{Format: FormatPcap})
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	require.Len(t, out.Bytes(), 24)
}

func TestFilterErrors(t *testing.T) {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
	require.NoError(t, err)
	defer m.Close()
	in := bytes.NewReader(traffic.Sample())
	_, err = Run(Options{Target: Target{Machine: m}, Filters: make([]Filter, MaxFilters+1), Input: in})
	require.EqualError(t, err, "replay: 65 filters, more than 64")
	_, err = Run(Options{Target: Target{Machine: m}, Filters: make([]Filter, 1), Detail: true, Input: in})
	require.EqualError(t, err, "replay: nothing can be compared or measured without a program")
	_, err = Run(Options{Filters: make([]Filter, 1), Input: in})
	require.EqualError(t, err, "replay: no machine or no engine")
	no := errors.New("no such filter")
	_, err = Run(Options{Target: Target{Machine: m}, Input: in,
		Filters: []Filter{{Name: "bad", Compile: func(linktype.Type, bool) (vm.Engine, error) { return nil, no }}}})
	require.ErrorIs(t, err, no)
	require.ErrorContains(t, err, "filter bad for link type EN10MB")
	bad := &stub{ret: 1, fail: func(uint64) error { return no }}
	stubTarget(t, bad)
	_, err = Run(Options{Target: Target{Machine: m}, Input: bytes.NewReader(traffic.Sample()),
		Filters: []Filter{{Name: "faulty", Compile: func(linktype.Type, bool) (vm.Engine, error) { return bad, nil }}}})
	require.ErrorIs(t, err, no)
}

// TestFilterLimit stops after so many packets that the program ran on, or that the filters saw where there is none.
func TestFilterLimit(t *testing.T) {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
	require.NoError(t, err)
	defer m.Close()
	rep, err := Run(Options{Target: Target{Machine: m}, Limit: 70, Filters: expressionFilters(m, filterEngines()["interp"], "tcp"), Input: bytes.NewReader(traffic.Sample())})
	require.NoError(t, err)
	require.EqualValues(t, 70, rep.Packets)
	target := stubTarget(t, &stub{ret: 2})
	rep, err = Run(Options{Type: prog.XDP, Target: target, Limit: 70, Filters: expressionFilters(target.Machine, filterEngines()["interp"], "tcp"), Input: bytes.NewReader(traffic.Sample())})
	require.NoError(t, err)
	require.EqualValues(t, 70, rep.Packets)
	require.Greater(t, rep.Seen, rep.Packets)
	require.True(t, slices.ContainsFunc(rep.Filters, func(f FilterCount) bool { return f.Packets == 70 }))
}

// TestClassicProgram runs filters as programs: they see what was captured, of whatever link type and length.
func TestClassicProgram(t *testing.T) {
	for _, link := range []string{"ether", "sll2", "raw", "wlan"} {
		var file bytes.Buffer
		_, err := traffic.Generate(&file, traffic.Spec{Link: link, Packets: 300, Snap: 40})
		require.NoError(t, err)
		typ, ok := traffic.LinkType(link)
		require.True(t, ok)
		_, matched := captured(t, file.Bytes(), false, []string{"ip6"})
		n := uint64(0)
		for _, bits := range matched {
			n += bits
		}
		require.NotZero(t, n)
		p, err := compileFor("ip6", typ, false)
		require.NoError(t, err)
		spec, err := p.EBPF(cbpf.EBPFOptions{})
		require.NoError(t, err)
		for name, build := range filterEngines() {
			m, err := vm.NewMachine(vm.Config{Space: smallSpace(name == "checked")})
			require.NoError(t, err)
			engine, err := build(m, spec)
			require.NoError(t, err)
			rep, err := Run(Options{Type: prog.Classic, Target: Target{Machine: m, Engine: engine}, Input: bytes.NewReader(file.Bytes())})
			require.NoError(t, err)
			require.EqualValues(t, 300, rep.Packets, link)
			accepted := slices.IndexFunc(rep.Verdicts, func(v Verdict) bool { return v.Name == "ACCEPT 262144" })
			require.GreaterOrEqual(t, accepted, 0)
			require.Equal(t, n, rep.Verdicts[accepted].Packets, "%s on %s", link, name)
			require.NoError(t, m.Close())
		}
	}
}
