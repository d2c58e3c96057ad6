package replay

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/mem"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/traffic"
	"github.com/skepvm/skep/vm"
)

// collectCopies keeps a copy of every packet, before and after.
type collectCopies struct {
	exits []Exit
}

func (c *collectCopies) WantsEntry() bool { return true }

func (c *collectCopies) Write(x *Exit) error {
	e := *x
	e.Data, e.Entry = bytes.Clone(x.Data), bytes.Clone(x.Entry)
	c.exits = append(c.exits, e)
	return nil
}

func (c *collectCopies) Close() error { return nil }

// fullFile takes so many bytes and no more.
type fullFile struct {
	left   int
	closed int
}

func (f *fullFile) Write(b []byte) (int, error) {
	n := min(len(b), f.left)
	f.left -= n
	if n < len(b) {
		return n, errFull
	}
	return n, nil
}

func (f *fullFile) Close() error { f.closed++; return nil }

// TestOutputFull: wherever a file ends, the replay ends with the reason, its report is of all that was run, and closing says the reason again.
func TestOutputFull(t *testing.T) {
	file, _ := generate(t, traffic.Spec{Packets: 3000, SizeMin: 64, SizeMax: 1500})
	for _, cpus := range []int{1, 3} {
		for _, o := range []Output{{}, {Format: FormatPcap}, {Copies: CopyBoth}} {
			for _, room := range []int{0, 1, 100, 300_000, 1_000_000, 1 << 30} {
				t.Run(fmt.Sprintf("cpus=%d,%v,%v,%d", cpus, o.Format, o.Copies, room), func(t *testing.T) {
					f := &fullFile{left: room}
					o.Create = func(string) (io.WriteCloser, error) { return f, nil }
					sink, err := NewFile("x", o)
					require.NoError(t, err)
					target := stubTarget(t, &stub{ret: 2})
					options := Options{Type: prog.XDP, Target: target, Files: []string{file}, Sinks: []Sink{sink}, CountChanged: true}
					for range cpus - 1 {
						options.Others = append(options.Others, &stub{space: target.Machine.Space(), ret: 2})
					}
					rep, err := Run(options)
					require.NotNil(t, rep)
					require.Equal(t, rep.Packets, rep.Verdicts[0].Packets)
					cerr := sink.Close()
					require.Equal(t, 1, f.closed)
					if room == 1<<30 {
						require.NoError(t, errors.Join(err, cerr))
						require.EqualValues(t, 3000, rep.Packets)
						return
					}
					require.ErrorIs(t, cerr, errFull)
					require.ErrorIs(t, err, errFull)
					require.Regexp(t, `^replay: output: packet \d+: disk full$`, err.Error())
				})
			}
		}
	}
}

// TestOutputFault: what ran before a fault that ends the replay is written, on several CPUs, too.
func TestOutputFault(t *testing.T) {
	for _, cpus := range []int{1, 2} {
		var all collectCopies
		s := &stub{ret: 2, fail: func(n uint64) error {
			if n == 400 {
				return &vm.Fault{Kind: vm.CallDepth, Prog: "p"}
			}
			return nil
		}}
		o := Options{Type: prog.XDP, Target: stubTarget(t, s), Input: bytes.NewReader(traffic.Sample()), Sinks: []Sink{&all}, StopOnFault: true}
		if cpus == 2 {
			o.Others = []vm.Engine{&stub{space: o.Target.Machine.Space(), ret: 2, fail: s.fail}}
		}
		rep, err := Run(o)
		var fault *vm.Fault
		require.ErrorAs(t, err, &fault)
		require.EqualValues(t, 1, rep.Faults)
		require.EqualValues(t, rep.Packets, len(all.exits))
		last := 0
		for i := range all.exits {
			if all.exits[i].Fault != nil {
				last = int(all.exits[i].Number)
			}
		}
		require.Equal(t, 400, last)
	}
}

// TestOutputNotMade: a file that cannot be made fails once, with its name.
func TestOutputNotMade(t *testing.T) {
	tries := 0
	sink, err := NewFile("x", Output{Create: func(name string) (io.WriteCloser, error) { tries++; return nil, errFull }})
	require.NoError(t, err)
	rep, err := Run(Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: bytes.NewReader(traffic.Sample()), Sinks: []Sink{sink}})
	require.NotNil(t, rep)
	require.ErrorIs(t, err, errFull)
	require.ErrorIs(t, sink.Close(), errFull)
	require.Equal(t, 1, tries)

	_, err = NewWriter(io.Discard, Output{Format: FormatPcap, Copies: CopyBoth})
	require.ErrorContains(t, err, "two copies")
	_, err = NewSplit(t.TempDir(), Output{Format: FormatPcap, Copies: CopyBoth})
	require.ErrorContains(t, err, "two copies")
	file := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(file, nil, 0o666))
	_, err = NewSplit(file, Output{})
	require.ErrorContains(t, err, file)
}

// TestEntries: a packet at entry is what it is at exit when the program leaves it alone, whatever hook and link, and what it was when it does not.
func TestEntries(t *testing.T) {
	for _, typ := range []prog.Type{prog.XDP, prog.SchedCLS, prog.SocketFilter, prog.LWTIn} {
		for _, link := range []string{"ether", "sll2", "raw", "null"} {
			for _, move := range []bool{false, true} {
				t.Run(fmt.Sprintf("%v,%s,%v", typ, link, move), func(t *testing.T) {
					file, _ := generate(t, traffic.Spec{Packets: 400, Link: link, Mix: mixed(traffic.Mix{VLAN: 30, QinQ: 10, Cut: 20})})
					run := func(touch func(*mem.Space, uint32)) []Exit {
						var all collectCopies
						target := stubTarget(t, &stub{ret: 2, touch: touch})
						target.Move = move
						_, err := Run(Options{Type: typ, Target: target, Files: []string{file}, Sinks: []Sink{&all}})
						require.NoError(t, err)
						require.Greater(t, len(all.exits), 300)
						return all.exits
					}
					plain := run(nil)
					for _, x := range plain {
						require.Equal(t, x.Data, x.Entry)
						require.Equal(t, x.OrigLen, x.EntryLen)
					}
					touched := run(func(s *mem.Space, ctx uint32) {
						var out prog.Output
						if prog.ReadFrame(s, ctx, typ, &out) && len(out.Data) > 0 {
							out.Data[len(out.Data)-1] ^= 0xff
						}
					})
					require.Len(t, touched, len(plain))
					for i, x := range touched {
						require.Equal(t, plain[i].Entry, x.Entry)
						require.Equal(t, len(x.Data) == 0, bytes.Equal(x.Entry, x.Data))
					}
				})
			}
		}
	}
}

// told is a file that tells how much was written.
type told struct {
	bytes.Buffer
	sizes chan int
}

func (f *told) Write(b []byte) (int, error) {
	n, err := f.Buffer.Write(b)
	f.sizes <- f.Len()
	return n, err
}

// TestOutputOfPipe: what came by a pipe is in the output before the replay waits for more.
func TestOutputOfPipe(t *testing.T) {
	for _, cpus := range []int{1, 2} {
		in, feed := io.Pipe()
		out := &told{sizes: make(chan int, 100)}
		sink, err := NewWriter(out, Output{Format: FormatPcap})
		require.NoError(t, err)
		o := Options{Type: prog.XDP, Target: stubTarget(t, &stub{ret: 2}), Input: in, Sinks: []Sink{sink}}
		if cpus == 2 {
			o.Others = []vm.Engine{&stub{space: o.Target.Machine.Space(), ret: 2}}
		}
		done := make(chan error)
		go func() {
			_, err := Run(o)
			done <- err
		}()
		file := traffic.Sample()
		first := 24 + 16 + int(file[24+8]) // the header and a packet
		_, err = feed.Write(file[:first])
		require.NoError(t, err)
		select {
		case n := <-out.sizes:
			require.Equal(t, first, n)
		case <-time.After(30 * time.Second):
			t.Fatal("nothing comes before the end")
		}
		require.NoError(t, feed.Close())
		require.NoError(t, <-done)
	}
}

// mixed is the default mix with some shares changed.
func mixed(m traffic.Mix) traffic.Mix {
	d := traffic.DefaultMix
	d.VLAN, d.QinQ, d.Cut = m.VLAN, m.QinQ, m.Cut
	return d
}

// TestOutputTargets: a program that redirects every packet elsewhere gets a file that can be read, and not one file for each.
func TestOutputTargets(t *testing.T) {
	const packets = 3 * maxTargets
	dir := t.TempDir()
	var out bytes.Buffer
	all, err := NewWriter(&out, Output{})
	require.NoError(t, err)
	split, err := NewSplit(dir, Output{Format: FormatPcap})
	require.NoError(t, err)
	x := Exit{Type: prog.XDP, Data: make([]byte, 60), Ret: 4, Verdict: "XDP_REDIRECT", Link: uint32(linktype.Ethernet), Ifindex: 1}
	for n := range packets {
		x.Number, x.Redirect = uint64(n+1), uint32(n+1)
		require.NoError(t, all.Write(&x))
		require.NoError(t, split.Write(&x))
	}
	require.NoError(t, errors.Join(all.Close(), split.Close()))
	r, err := pcap.NewReader(&out, nil)
	require.NoError(t, err)
	last, read := pcap.Record{}, 0
	for recs := make([]pcap.Record, 100); err == nil; {
		var n int
		if n, err = r.ReadBatch(recs); n > 0 {
			last = recs[n-1]
		}
		read += n
	}
	require.Equal(t, io.EOF, err)
	require.Equal(t, packets, read)
	require.Len(t, r.Interfaces(), maxTargets+1)
	require.Equal(t, "other", r.Interfaces()[last.Iface].Name)
	files, err := os.ReadDir(dir)
	require.NoError(t, err)
	require.Len(t, files, maxFiles+1)
	require.Equal(t, packets-maxFiles, packetsIn(t, filepath.Join(dir, "other.pcap")))
}

// TestOutputSteady: a longer replay with outputs of every form allocates no more than a shorter one, but for buffers that grow to what a piece needs.
func TestOutputSteady(t *testing.T) {
	file, _ := generate(t, traffic.Spec{Packets: 40_000})
	for _, cpus := range []int{1, 2} {
		run := func(loop int) uint64 {
			var sinks []Sink
			for _, o := range []Output{{}, {Copies: CopyBoth}, {Format: FormatPcap}} {
				o.Create = func(string) (io.WriteCloser, error) { return &fullFile{left: math.MaxInt}, nil }
				sink, err := NewFile("", o)
				require.NoError(t, err)
				sinks = append(sinks, sink)
			}
			target := stubTarget(t, &stub{ret: 2})
			options := Options{Type: prog.XDP, Target: target, Files: []string{file}, Sinks: sinks, Loop: loop, CountChanged: true}
			if cpus == 2 {
				options.Others = []vm.Engine{&stub{space: target.Machine.Space(), ret: 2}}
			}
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			rep, err := Run(options)
			runtime.ReadMemStats(&after)
			require.NoError(t, err)
			require.EqualValues(t, 40_000*loop, rep.Packets)
			return after.Mallocs - before.Mallocs
		}
		run(1)
		require.Less(t, run(4), run(1)+3000, "120,000 packets more on %d CPUs, each written four times", cpus)
	}
}

// TestOutputAllocations: no form of output allocates for a packet once it has seen a verdict.
func TestOutputAllocations(t *testing.T) {
	data := make([]byte, 300)
	discard := func(string) (io.WriteCloser, error) { return &fullFile{left: math.MaxInt}, nil }
	for _, o := range []Output{{}, {Copies: CopyBoth}, {Copies: CopyEntry}, {Bare: true}, {Format: FormatPcap}} {
		o.Create = discard
		file, err := NewFile("x", o)
		require.NoError(t, err)
		split, err := NewSplit(t.TempDir(), o)
		require.NoError(t, err)
		for _, sink := range []Sink{file, split} {
			exits := []Exit{
				{Type: prog.XDP, Data: data, Ret: 2, Verdict: "XDP_PASS", Link: uint32(linktype.Ethernet), Ifindex: 1, IfName: "lan"},
				{Type: prog.XDP, Data: data, Ret: 4, Verdict: "XDP_REDIRECT", Redirect: 7, RedirMap: "devices", Program: "lb", Link: uint32(linktype.Ethernet)},
			}
			n := 0
			require.Zero(t, testing.AllocsPerRun(5000, func() {
				x := &exits[n%2]
				n++
				x.Number, x.TS, x.Entry = uint64(n), int64(n)*1000, data
				if err := sink.Write(x); err != nil {
					t.Error(err)
				}
			}), "%+v", o)
			require.NoError(t, sink.Close())
		}
	}
}
