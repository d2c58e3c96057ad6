package replay

import (
	"bytes"
	"encoding/binary"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// stub is an engine in Go: a verdict by the length of the packet, nothing else.
type stub struct {
	space *mem.Space
	ret   uint64
	fail  func(number uint64) error
	touch func(space *mem.Space, ctx uint32)
}

func (s *stub) Name() string { return "stub" }

func (s *stub) Run(ctx uint32) (vm.Result, error) { return vm.Result{R0: s.ret, Insns: 2}, nil }

func (s *stub) RunBatch(first, stride uint32, n int) (int, error) {
	for i := range n {
		ctx := first + uint32(i)*stride
		if s.fail != nil {
			if err := s.fail(s.space.Load64(offset(ctx, prog.FrameNumber))); err != nil {
				return i, err
			}
		}
		if s.touch != nil {
			s.touch(s.space, ctx)
		}
		s.space.Store64(offset(ctx, prog.FrameRet), s.ret)
		s.space.Store64(offset(ctx, prog.FrameInsns), 2)
	}
	return n, nil
}

// smallSpace is a guest address space for tests that make many: a user-mode emulator keeps 24 MB for each of the usual size, also when it is closed.
func smallSpace(shadow bool) mem.Options { return mem.Options{Size: 64 << 20, Shadow: shadow} }

func stubTarget(t testing.TB, s *stub) Target {
	m, err := vm.NewMachine(vm.Config{Space: smallSpace(false)})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, m.Close()) })
	s.space = m.Space()
	return Target{Machine: m, Engine: s}
}

func TestOptionErrors(t *testing.T) {
	good := stubTarget(t, &stub{})
	in := bytes.NewReader(nil)
	for want, o := range map[string]Options{
		"replay: programs of type kprobe do not see packets":                                                     {Type: prog.Kprobe, Target: good, Input: in},
		"replay: no machine or no engine":                                                                        {Type: prog.XDP, Input: in},
		"replay: want one of files, an input and a source":                                                       {Type: prog.XDP, Target: good},
		"replay: only one capture can be followed, and once":                                                     {Type: prog.XDP, Target: good, Files: []string{"a", "b"}, Follow: true},
		"replay: standard input cannot be one of several captures: their first packets are looked at beforehand": {Type: prog.XDP, Target: good, Files: []string{"-", "b"}},
		"replay: two engines on one machine would change each other's maps":                                      {Type: prog.XDP, Target: good, Against: &good, Input: in},
		"replay: an input that cannot seek cannot be replayed 2 times":                                           {Type: prog.XDP, Target: good, Input: io.MultiReader(in), Loop: 2},
		"capture: offset 0: file ends within its header":                                                         {Type: prog.XDP, Target: good, Input: in},
		"/nonexistent/file: offset 0: cannot open: no such file or directory":                                    {Type: prog.XDP, Target: good, Files: []string{"/nonexistent/file"}},
		"replay: -1 passes": {Type: prog.XDP, Target: good, Input: in, Loop: -1},
	} {
		_, err := Run(o)
		require.EqualError(t, err, want)
	}
}

// TestDamagedCapture wants every whole packet run and counted before the error.
func TestDamagedCapture(t *testing.T) {
	file := traffic.Sample()
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: bytes.NewReader(file[:len(file)-3])})
	var damaged *CaptureError
	require.ErrorAs(t, err, &damaged)
	require.EqualValues(t, 499, rep.Packets+rep.Skipped["short"])
}

// TestTolerant: damage that is to be tolerated ends a capture, is told of, and is no error.
func TestTolerant(t *testing.T) {
	file := traffic.Sample()
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: bytes.NewReader(file[:len(file)-3]), Tolerant: true})
	require.NoError(t, err)
	require.EqualValues(t, 499, rep.Packets)
	require.Len(t, rep.Damage, 1)
	require.Contains(t, rep.Damage[0], "file ends within a record")
}

// TestFiles replays several captures, and a directory of them, as one.
func TestFiles(t *testing.T) {
	dir := t.TempDir()
	names := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	for i, name := range names {
		data := traffic.Sample()
		require.NoError(t, os.WriteFile(name, data[:len(data)-i], 0o644))
	}
	run := func(files ...string) (*Report, error) {
		return Run(Options{Type: prog.XDP, Target: target(t, assemble(t, prog.XDP, sshFilter), "interp"), Files: files, Loop: 2})
	}
	one, err := run(names[0])
	require.NoError(t, err)
	for _, files := range [][]string{names, {dir}} {
		rep, err := run(files...)
		require.ErrorContains(t, err, names[1]+": offset ")
		require.EqualValues(t, one.Packets-1, rep.Packets, "the first pass of both, but for the packet that is cut")
		require.Equal(t, "pcap", rep.Format)
		require.Zero(t, rep.ClockBack)
	}
	require.NoError(t, os.Remove(names[1]))
	rep, err := run(dir)
	require.NoError(t, err)
	rep.Elapsed = one.Elapsed
	require.Equal(t, one, rep)
}

// TestStop stops a replay in the middle; what was run until then is in the report.
func TestStop(t *testing.T) {
	stop := make(chan struct{})
	s := &stub{ret: 2}
	s.fail = func(n uint64) error {
		if n == 100 {
			close(stop)
		}
		return nil
	}
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, s), Input: bytes.NewReader(traffic.Sample()), Stop: stop})
	require.ErrorIs(t, err, ErrStopped)
	require.GreaterOrEqual(t, rep.Packets, uint64(100))
	require.Less(t, rep.Packets, uint64(200))
	require.EqualValues(t, rep.Packets, rep.Verdicts[0].Packets)
}

// TestFollow stops a replay that waits for more at the end of its capture.
func TestFollow(t *testing.T) {
	file := filepath.Join(t.TempDir(), "growing.pcap")
	require.NoError(t, os.WriteFile(file, traffic.Sample(), 0o644))
	stop := make(chan struct{})
	s := &stub{ret: 2}
	s.fail = func(n uint64) error {
		if n == 500 {
			close(stop)
		}
		return nil
	}
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, s), Files: []string{file}, Follow: true, Stop: stop})
	require.ErrorIs(t, err, ErrStopped)
	require.EqualValues(t, 500, rep.Packets)
}

// TestFromGopacket gives a replay its packets from gopacket's reader, and wants the report of our own.
func TestFromGopacket(t *testing.T) {
	run := func(o Options) *Report {
		o.Type, o.Target = prog.XDP, target(t, assemble(t, prog.XDP, sshFilter), "interp")
		rep, err := Run(o)
		require.NoError(t, err)
		rep.Elapsed = 0
		return rep
	}
	want := run(Options{Input: bytes.NewReader(traffic.Sample())})
	r, err := pcapgo.NewReader(bytes.NewReader(traffic.Sample()))
	require.NoError(t, err)
	got := run(Options{Source: FromGopacket(r, linktype.Type(r.LinkType()))})
	require.Equal(t, "none", got.Format)
	got.Format = want.Format
	require.Equal(t, want, got)
}

type badSource struct{ iface int }

func (badSource) Link() linktype.Type { return linktype.Ethernet }
func (s badSource) Next(p *Packet) error {
	*p = Packet{Data: make([]byte, maxPacket+1), Iface: s.iface}
	return nil
}

// TestOddSource: a source that gives what no capture could.
func TestOddSource(t *testing.T) {
	for _, iface := range []int{-1, maxSourceInterfaces} {
		_, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Source: badSource{iface}})
		require.ErrorContains(t, err, "of interface")
	}
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Source: badSource{3}, Limit: 10})
	require.NoError(t, err)
	require.EqualValues(t, 10, rep.Packets)
	require.EqualValues(t, 10, rep.Truncated, "what is above the longest packet was cut off")
}

func TestFaults(t *testing.T) {
	fault := &vm.Fault{Kind: vm.CallDepth, Prog: "p"}
	s := &stub{ret: 1, fail: func(n uint64) error {
		if n%10 == 3 || n == 1 || n == 500 {
			return fault
		}
		return nil
	}}
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, s), Input: bytes.NewReader(traffic.Sample())})
	require.NoError(t, err)
	require.EqualValues(t, 500, rep.Packets)
	require.EqualValues(t, 52, rep.Faults)
	require.EqualValues(t, 448, rep.Verdicts[0].Packets)
	require.Len(t, rep.FaultExamples, maxExamples)
	require.EqualValues(t, 1, rep.FaultExamples[0].Packet)
	require.Same(t, fault, rep.FaultExamples[0].Err)
}

// TestVersions: two versions of a program run side by side to the end; each packet that they treat differently is told of once.
func TestVersions(t *testing.T) {
	run := func(second string, stop error) (*Report, []string, error) {
		against := target(t, assemble(t, prog.XDP, second), "interp")
		var got []string
		rep, err := Run(Options{Type: prog.XDP, Target: target(t, assemble(t, prog.XDP, "r0 = 2\nexit"), "interp"), Against: &against,
			Input: bytes.NewReader(traffic.Sample()), Limit: 5, Difference: func(m *Mismatch) error {
				got = append(got, m.Error())
				return stop
			}})
		return rep, got, err
	}
	rep, got, err := run("r1 = 7\nr0 = 2\nexit", nil)
	require.NoError(t, err)
	require.Empty(t, got, "another number of instructions is no difference")
	require.Equal(t, "no difference", rep.Agreement())
	rep, got, err = run("r2 = *(u32 *)(r1 + 0)\n*(u8 *)(r2 + 1) = 77\nr0 = 2\nexit", nil)
	require.NoError(t, err)
	require.Len(t, got, 5)
	require.Contains(t, got[0], "packet 1: packet from byte 1 on differs")
	require.EqualValues(t, 5, rep.Differences)
	require.Equal(t, "different on 5 packets", rep.Agreement())
	_, got, err = run("r0 = 1\nexit", io.ErrClosedPipe)
	require.ErrorIs(t, err, io.ErrClosedPipe)
	require.Len(t, got, 1)
	require.Contains(t, got[0], "verdict differs: interp XDP_PASS, interp XDP_DROP")
}

// TestMismatch breaks one engine of two in every way that a comparison should see.
func TestMismatch(t *testing.T) {
	data := func(s *mem.Space, ctx uint32) uint32 { return s.Load32(ctx + prog.SKBData) }
	for _, c := range []struct {
		want string
		typ  prog.Type
		bad  stub
	}{
		{"packet 1: verdict differs: stub XDP_PASS, stub XDP_DROP", prog.XDP, stub{ret: 1}},
		{"packet 1: upper half of R0 differs: stub 0x2, stub 0x100000002", prog.XDP, stub{ret: 1<<32 | 2}},
		{"packet 1: fault differs: stub none, stub unexpected EOF", prog.XDP, stub{ret: 2, fail: func(uint64) error { return io.ErrUnexpectedEOF }}},
		{"packet 7: packet from byte 3 on differs", prog.SchedCLS, stub{ret: 2, touch: func(s *mem.Space, ctx uint32) {
			if s.Load64(offset(ctx, prog.FrameNumber)) == 7 {
				s.Store8(data(s, ctx)+3, 0xee)
			}
		}}},
		{"packet 1: mark differs: stub 0, stub 5", prog.SchedCLS, stub{ret: 2, touch: func(s *mem.Space, ctx uint32) { s.Store32(ctx+prog.SKBMark, 5) }}},
		{"packet 1: cb[4] differs: stub 0, stub 6", prog.SchedCLS, stub{ret: 2, touch: func(s *mem.Space, ctx uint32) { s.Store32(ctx+prog.SKBCB+16, 6) }}},
		{"packet 1: redirect target differs: stub 0, stub 9", prog.XDP, stub{ret: 2, touch: func(s *mem.Space, ctx uint32) { s.Store32(offset(ctx, prog.FrameRedirTo), 9) }}},
		{"packet 1: packet that the ctx describes differs: stub true, stub false", prog.SchedCLS, stub{ret: 2, touch: func(s *mem.Space, ctx uint32) { s.Store32(ctx+prog.SKBDataEnd, 0) }}},
	} {
		other := stubTarget(t, &c.bad)
		_, err := Run(Options{Type: c.typ, Target: stubTarget(t, &stub{ret: 2}), Against: &other, Input: bytes.NewReader(traffic.Sample())})
		var m *Mismatch
		require.ErrorAs(t, err, &m, c.want)
		require.True(t, strings.HasPrefix(err.Error(), c.want), "got %v, want %s", err, c.want)
	}
}

// TestMapMismatch has two machines whose maps differ at the end.
func TestMapMismatch(t *testing.T) {
	run := func(change func(a, b maps.Map)) error {
		a, b := stubTarget(t, &stub{ret: 2}), stubTarget(t, &stub{ret: 2})
		spec := maps.Spec{Name: "flows", Type: maps.Hash, KeySize: 4, ValueSize: 4, MaxEntries: 10, LockOff: -1, TimerOff: -1}
		specB := spec
		mapA, err := a.Machine.AddMap(&spec)
		require.NoError(t, err)
		mapB, err := b.Machine.AddMap(&specB)
		require.NoError(t, err)
		change(mapA, mapB)
		_, err = Run(Options{Type: prog.XDP, Target: a, Against: &b, Input: bytes.NewReader(traffic.Sample())})
		return err
	}
	put := func(m maps.Map, k, v uint32) {
		key, value := binary.LittleEndian.AppendUint32(nil, k), binary.LittleEndian.AppendUint32(nil, v)
		require.NoError(t, m.HostUpdate(key, value, 0))
	}
	require.NoError(t, run(func(a, b maps.Map) { put(a, 1, 2); put(a, 3, 4); put(b, 3, 4); put(b, 1, 2) }))
	require.EqualError(t, run(func(a, b maps.Map) { put(a, 1, 2); put(b, 1, 3) }),
		"at the end: map flows[01000000] differs: stub 02000000, stub 03000000")
	require.EqualError(t, run(func(a, b maps.Map) { put(a, 1, 2) }), "at the end: map flows, elements differs: stub 1, stub 0")
	require.EqualError(t, run(func(a, b maps.Map) { put(a, 1, 2); put(b, 2, 2) }),
		"at the end: map flows differs: stub has key 01000000, stub has key 02000000")
}

// generate writes a capture to a file of the test.
func generate(t testing.TB, s traffic.Spec) (string, *traffic.Manifest) {
	name := filepath.Join(t.TempDir(), "capture")
	f, err := os.Create(name)
	require.NoError(t, err)
	m, err := traffic.Generate(f, s)
	require.NoError(t, err)
	require.NoError(t, f.Close())
	return name, m
}

// sshFilter drops what tcpdump's filter "tcp dst port 22" matches.
const sshFilter = `
  r2 = *(u32 *)(r1 + 0)
  r3 = *(u32 *)(r1 + 4)
  r4 = r2
  r4 += 34
  if r4 > r3 goto pass
  r5 = *(u16 *)(r2 + 12)
  if r5 == 0xdd86 goto ipv6
  if r5 != 8 goto pass
  r5 = *(u8 *)(r2 + 23)
  if r5 != 6 goto pass
  r5 = *(u16 *)(r2 + 20)
  r5 &= 0xff1f
  if r5 != 0 goto pass
  r5 = *(u8 *)(r2 + 14)
  r5 &= 15
  r5 <<= 2
  r2 += r5
  r2 += 14
  goto tcp
ipv6:
  r4 = r2
  r4 += 54
  if r4 > r3 goto pass
  r5 = *(u8 *)(r2 + 20)
  if r5 != 6 goto pass
  r2 += 54
tcp:
  r4 = r2
  r4 += 4
  if r4 > r3 goto pass
  r5 = *(u16 *)(r2 + 2)
  if r5 != 0x1600 goto pass
  r0 = 1
  exit
pass:
  r0 = 2
  exit
`

// TestManifest runs a filter over generated traffic of every link: the manifest knows the answer.
func TestManifest(t *testing.T) {
	for _, link := range []string{"ether", "sll", "sll2", "raw", "null"} {
		for _, name := range engineNames() {
			file, m := generate(t, traffic.Spec{Packets: 5000, Seed: 11, Link: link})
			p := assemble(t, prog.XDP, sshFilter)
			rep, err := Run(Options{Type: prog.XDP, Target: target(t, p, name), Files: []string{file}})
			require.NoError(t, err)
			require.Equal(t, "XDP_DROP", rep.Verdicts[1].Name)
			require.EqualValues(t, m.Labels["tcp-dst-port-22"].Packets, rep.Verdicts[1].Packets, "%s on %s", link, name)
			skipped := uint64(0)
			for _, n := range rep.Skipped {
				skipped += n
			}
			require.EqualValues(t, m.Packets, rep.Packets+skipped)
		}
	}
}

// TestSplit writes a file for each verdict, whose packets add up to the capture's.
func TestSplit(t *testing.T) {
	file, m := generate(t, traffic.Spec{Packets: 3000, Seed: 5})
	dir := filepath.Join(t.TempDir(), "out")
	sink, err := NewSplit(dir, Output{Format: FormatPcap})
	require.NoError(t, err)
	_, err = Run(Options{Type: prog.XDP, Target: target(t, assemble(t, prog.XDP, sshFilter), "interp"), Files: []string{file}, Sinks: []Sink{sink}})
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	require.Equal(t, m.Labels["tcp-dst-port-22"].Packets, packetsIn(t, filepath.Join(dir, "drop.pcap")))
	require.Equal(t, m.Packets-m.Labels["tcp-dst-port-22"].Packets, packetsIn(t, filepath.Join(dir, "pass.pcap")))
}

func packetsIn(t *testing.T, name string) int {
	r, err := pcap.Open(name, nil)
	require.NoError(t, err)
	defer r.Close()
	recs, seen := make([]pcap.Record, 100), 0
	for {
		n, err := r.ReadBatch(recs)
		if err == io.EOF {
			return seen
		}
		require.NoError(t, err)
		seen += n
	}
}

func TestSplitName(t *testing.T) {
	for want, key := range map[string]splitKey{
		"pass": {verdict: "XDP_PASS"}, "shot": {verdict: "TC_ACT_SHOT"}, "ret-17": {verdict: "17"}, "ret--1": {verdict: "-1"},
		"redirect-if7": {verdict: "XDP_REDIRECT", redirect: 7}, "accept-64": {verdict: "ACCEPT 64"}, "fault": {verdict: "fault"},
	} {
		require.Equal(t, want, splitName(key))
	}
}

// TestPcapngSink has Wireshark show verdicts, interfaces and comments of an output file.
func TestPcapngSink(t *testing.T) {
	capture := captureOf(t, linktype.Ethernet, "1000 0200000000010200000000020800 03*46\n2000 020000000001020000000002080007*46\n3000/60/1 0200000000010200000000020800 00*46\n")
	p := assemble(t, prog.XDP, `
  r2 = *(u32 *)(r1 + 0)
  r3 = *(u32 *)(r1 + 4)
  r4 = r2
  r4 += 15
  if r4 > r3 goto out
  r1 = *(u8 *)(r2 + 14)
  if r1 == 0 goto out
  r2 = 0
  call bpf_redirect
  exit
out:
  r0 = 2
  exit
`)
	var out bytes.Buffer
	sink, err := NewWriter(&out, Output{})
	require.NoError(t, err)
	_, err = Run(Options{Type: prog.XDP, Target: target(t, p, "interp"), Input: bytes.NewReader(capture), Sinks: []Sink{sink},
		Ifindex: map[string]uint32{"wan": 44}})
	require.NoError(t, err)
	require.NoError(t, sink.Close())
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	name := filepath.Join(t.TempDir(), "out.pcapng")
	require.NoError(t, os.WriteFile(name, out.Bytes(), 0o644))
	text, err := exec.Command(tshark, "-r", name, "-T", "fields", "-E", "separator=,", "-e", "frame.verdict.ebpf_xdp",
		"-e", "frame.packet_id", "-e", "frame.interface_name", "-e", "frame.comment").Output()
	require.NoError(t, err)
	require.Equal(t, "4,1,if3,XDP_REDIRECT to interface 3\n4,2,if7,XDP_REDIRECT to interface 7\n2,3,wan,XDP_PASS\n", string(text))
}

// TestAllocations replays with an output and wants nothing allocated for a packet.
func TestAllocations(t *testing.T) {
	for _, c := range []struct {
		name string
		move bool
		typ  prog.Type
	}{{"in place", false, prog.XDP}, {"copied", true, prog.XDP}, {"tc", false, prog.SchedCLS}} {
		t.Run(c.name, func(t *testing.T) {
			file, _ := generate(t, traffic.Spec{Packets: 20_000})
			sink, err := NewWriter(io.Discard, Output{})
			require.NoError(t, err)
			run := func(limit uint64) uint64 {
				target := stubTarget(t, &stub{ret: 2})
				target.Move = c.move
				var before, after runtime.MemStats
				runtime.ReadMemStats(&before)
				_, err := Run(Options{Type: c.typ, Target: target, Files: []string{file}, Sinks: []Sink{sink}, Limit: limit, CountChanged: true})
				runtime.ReadMemStats(&after)
				require.NoError(t, err)
				return after.Mallocs - before.Mallocs
			}
			short := run(2000)
			require.Less(t, run(0), short+200, "20,000 packets against 2,000")
		})
	}
}

type failingSink struct{}

func (failingSink) Write(*Exit) error { return errFull }
func (failingSink) Close() error      { return nil }

func TestSinkFails(t *testing.T) {
	_, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{}), Input: bytes.NewReader(traffic.Sample()), Sinks: []Sink{failingSink{}}})
	require.ErrorIs(t, err, errFull)
}

// TestManyVerdicts returns a different value for every packet: the report stays small, and nothing is lost.
func TestManyVerdicts(t *testing.T) {
	s := &stub{}
	s.touch = func(space *mem.Space, ctx uint32) { s.ret = space.Load64(offset(ctx, prog.FrameNumber)) }
	file, _ := generate(t, traffic.Spec{Packets: 3000, Mix: traffic.Mix{Flows: 1}})
	rep, err := Run(Options{Type: prog.SocketFilter, Target: stubTarget(t, s), Files: []string{file}})
	require.NoError(t, err)
	sum := uint64(0)
	for _, v := range rep.Verdicts {
		sum += v.Packets
	}
	require.EqualValues(t, 3000, sum)
	require.LessOrEqual(t, len(rep.Verdicts), maxVerdicts+smallVerdicts+1)
	require.Equal(t, otherVerdicts, rep.Verdicts[len(rep.Verdicts)-1].Name)
}

func TestGuestMemoryGivenBack(t *testing.T) {
	target := stubTarget(t, &stub{ret: 2})
	before := target.Machine.Space().InUse()
	_, err := Run(Options{Type: prog.XDP, Target: target, Input: bytes.NewReader(traffic.Sample())})
	require.NoError(t, err)
	require.Equal(t, before, target.Machine.Space().InUse())
}
