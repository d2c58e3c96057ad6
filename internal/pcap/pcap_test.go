package pcap

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/google/gopacket"
	"github.com/google/gopacket/layers"
	"github.com/google/gopacket/pcapgo"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcaptest"
	"github.com/skepvm/skep/linktype"
)

// somePackets makes n packets of pseudo-random sizes and times.
func somePackets(n int) []Packet {
	rng := rand.New(rand.NewPCG(1, 2))
	ps := make([]Packet, n)
	ts := int64(1_700_000_000_000_000_000)
	for i := range ps {
		data := make([]byte, rng.IntN(1500))
		if i%97 == 5 {
			data = make([]byte, 20_000+rng.IntN(40_000))
		}
		for k := range data {
			data[k] = byte(rng.Uint32())
		}
		ts += rng.Int64N(1_000_000)
		ps[i] = Packet{Data: data, OrigLen: uint32(len(data) + i%3), TS: ts}
	}
	return ps
}

func (p *Packet) info() gopacket.CaptureInfo {
	return gopacket.CaptureInfo{Timestamp: time.Unix(0, p.TS), CaptureLength: len(p.Data), Length: int(p.wireLen())}
}

func write(t testing.TB, o WriterOptions, ifaces []Interface, ps []Packet) []byte {
	var out bytes.Buffer
	w, err := NewWriter(&out, o)
	require.NoError(t, err)
	for n, i := range ifaces {
		got, err := w.AddInterface(i)
		require.NoError(t, err)
		require.Equal(t, n, got)
	}
	for i := range ps {
		require.NoError(t, w.Write(&ps[i]))
	}
	require.NoError(t, w.Flush())
	return out.Bytes()
}

// checkRead reads file and compares with what was written; unit is the file's time resolution in ns.
func checkRead(t *testing.T, file io.Reader, buf []byte, ps []Packet, unit int64) {
	r, err := NewReader(file, buf)
	require.NoError(t, err)
	recs := make([]Record, 7)
	for at := 0; ; {
		n, err := r.ReadBatch(recs)
		if err == io.EOF {
			require.Equal(t, len(ps), at)
			return
		}
		require.NoError(t, err)
		for _, rec := range recs[:n] {
			p := ps[at]
			at++
			require.Equal(t, p.TS/unit*unit, rec.TS)
			require.True(t, bytes.Equal(p.Data, r.Data(&rec)), "packet %d", at)
			require.Equal(t, p.wireLen(), rec.OrigLen)
			require.EqualValues(t, p.Iface, rec.Iface)
			require.Equal(t, p.Has&^HasVerdict, rec.Has)
			if p.Has&HasQueue != 0 {
				require.Equal(t, p.Queue, rec.Queue)
			}
			if p.Has&HasFlags != 0 {
				require.Equal(t, p.Flags, rec.Flags)
			}
			if p.Has&HasID != 0 {
				require.Equal(t, p.ID, rec.ID)
			}
		}
	}
}

func TestRoundtrip(t *testing.T) {
	for _, o := range []WriterOptions{
		{Link: linktype.Ethernet},
		{Link: linktype.Ethernet, Nano: true},
		{Link: linktype.Ethernet, BigEndian: true},
		{Link: linktype.SLL2, BigEndian: true, Nano: true},
		{Format: PCAPNG, App: "test"},
		{Format: PCAPNG, BigEndian: true},
		{Format: PCAPNG, Behind: true},
		{Link: linktype.Ethernet, Nano: true, Behind: true},
	} {
		t.Run(fmt.Sprintf("%v,big=%v,nano=%v,behind=%v", o.Format, o.BigEndian, o.Nano, o.Behind), func(t *testing.T) {
			ps := somePackets(500)
			unit, ifaces := int64(1000), []Interface(nil)
			if o.Nano || o.Format == PCAPNG {
				unit = 1
			}
			if o.Format == PCAPNG {
				ifaces = []Interface{{Name: "eth0", Link: linktype.Ethernet}, {Name: "lan", Link: linktype.SLL2}}
				for i := range ps {
					ps[i].Iface = i % 2
					ps[i].Has = Fields(i % 16)
					ps[i].Queue, ps[i].Flags, ps[i].ID = uint32(i), uint32(i%4), uint64(i)<<33
					ps[i].VerdictType, ps[i].Verdict = VerdictXDP, uint64(i)
					ps[i].Comment = strings.Repeat("x", i%11)
				}
			}
			file := write(t, o, ifaces, ps)
			checkRead(t, bytes.NewReader(file), nil, ps, unit)
			checkRead(t, bytes.NewReader(file), make([]byte, 70_000), ps, unit)
			var z bytes.Buffer
			zw := gzip.NewWriter(&z)
			_, err := zw.Write(file)
			require.NoError(t, err)
			require.NoError(t, zw.Close())
			checkRead(t, &z, nil, ps, unit)
		})
	}
}

// TestReferee compares with another implementation in both directions.
func TestReferee(t *testing.T) {
	ps := somePackets(300)
	for i := range ps { // the referee refuses what libpcap accepts
		ps[i].OrigLen = max(ps[i].OrigLen, uint32(len(ps[i].Data)))
	}
	check := func(t *testing.T, src interface {
		ReadPacketData() ([]byte, gopacket.CaptureInfo, error)
	}) {
		for i, p := range ps {
			data, info, err := src.ReadPacketData()
			require.NoError(t, err)
			require.True(t, bytes.Equal(p.Data, data), "packet %d", i)
			require.EqualValues(t, p.wireLen(), info.Length)
			require.Equal(t, p.TS, info.Timestamp.UnixNano())
		}
		_, _, err := src.ReadPacketData()
		require.Equal(t, io.EOF, err)
	}
	t.Run("they read our pcap", func(t *testing.T) {
		r, err := pcapgo.NewReader(bytes.NewReader(write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, ps)))
		require.NoError(t, err)
		require.Equal(t, layers.LinkTypeEthernet, r.LinkType())
		check(t, r)
	})
	t.Run("they read our pcapng", func(t *testing.T) {
		for i := range ps {
			ps[i].Has, ps[i].Comment = HasFlags|HasVerdict, "comment"
		}
		r, err := pcapgo.NewNgReader(bytes.NewReader(write(t, WriterOptions{Format: PCAPNG, App: "a"},
			[]Interface{{Link: linktype.Ethernet, Name: "x"}}, ps)), pcapgo.DefaultNgReaderOptions)
		require.NoError(t, err)
		check(t, r)
		for i := range ps {
			ps[i].Has, ps[i].Comment = 0, ""
		}
	})
	t.Run("we read their pcap", func(t *testing.T) {
		var out bytes.Buffer
		w := pcapgo.NewWriterNanos(&out)
		require.NoError(t, w.WriteFileHeader(262144, layers.LinkTypeEthernet))
		for _, p := range ps {
			require.NoError(t, w.WritePacket(p.info(), p.Data))
		}
		checkRead(t, &out, nil, ps, 1)
	})
	t.Run("we read their pcapng", func(t *testing.T) {
		var out bytes.Buffer
		w, err := pcapgo.NewNgWriter(&out, layers.LinkTypeEthernet)
		require.NoError(t, err)
		for _, p := range ps {
			require.NoError(t, w.WritePacket(p.info(), p.Data))
		}
		require.NoError(t, w.Flush())
		checkRead(t, &out, nil, ps, 1)
	})
}

// TestTshark has Wireshark show the options that we write.
func TestTshark(t *testing.T) {
	tshark, err := exec.LookPath("tshark")
	if err != nil {
		t.Skip("no tshark here")
	}
	for _, big := range []bool{false, true} {
		ps := somePackets(3)
		for i := range ps {
			ps[i].Has, ps[i].VerdictType = HasFlags|HasQueue|HasID|HasVerdict, VerdictXDP
			ps[i].Flags, ps[i].Queue, ps[i].ID, ps[i].Verdict = 2, uint32(i+5), uint64(i+70), uint64(i+1)
			ps[i].Comment = "note " + strings.Repeat("y", i)
		}
		name := filepath.Join(t.TempDir(), "v.pcapng")
		file := write(t, WriterOptions{Format: PCAPNG, BigEndian: big}, []Interface{{Link: linktype.Ethernet, Name: "eth7"}}, ps)
		require.NoError(t, os.WriteFile(name, file, 0o644))
		out, err := exec.Command(tshark, "-r", name, "-T", "fields", "-E", "separator=,", "-e", "frame.verdict.ebpf_xdp",
			"-e", "frame.interface_queue", "-e", "frame.packet_id", "-e", "frame.interface_name", "-e", "frame.comment",
			"-e", "frame.packet_flags_direction").Output()
		require.NoError(t, err)
		want := "1,5,70,eth7,note ,2\n2,6,71,eth7,note y,2\n3,7,72,eth7,note yy,2\n"
		require.Equal(t, want, strings.ReplaceAll(string(out), "0x00000002", "2"), "big-endian %v", big)
	}
}

// FuzzWriter writes packets of any kind, and reads back what was not refused.
func FuzzWriter(f *testing.F) {
	f.Add(uint8(0), uint8(15), int64(1e18), uint64(7), "note", []byte("packet"), uint32(9))
	f.Add(uint8(3), uint8(9), int64(-1), uint64(1)<<63, strings.Repeat("z", 70_000), make([]byte, directWrite+1), uint32(0))
	f.Add(uint8(6), uint8(2), int64(1)<<62, uint64(0), "", []byte{}, uint32(1)<<31)
	f.Fuzz(func(t *testing.T, kind, has uint8, ts int64, id uint64, note string, data []byte, wire uint32) {
		o := WriterOptions{Format: Format(kind & 1), BigEndian: kind&2 != 0, Nano: kind&4 != 0, Behind: kind&8 != 0, Link: linktype.Ethernet, App: note}
		var out bytes.Buffer
		w, err := NewWriter(&out, o)
		require.NoError(t, err)
		if o.Format == PCAPNG {
			_, err = w.AddInterface(Interface{Name: note, Link: linktype.Ethernet})
			require.NoError(t, err)
		}
		p := Packet{Data: data[:min(len(data), maxCaptureLen)], OrigLen: wire, TS: ts, Has: Fields(has % 16), Flags: uint32(id), Queue: uint32(id >> 32), ID: id,
			VerdictType: VerdictTC, Verdict: id, Comment: note}
		var ps []Packet
		for range 3 {
			if err := w.Write(&p); err == nil {
				ps = append(ps, p)
			}
		}
		require.NoError(t, w.Flush())
		unit := int64(1000)
		if o.Nano || o.Format == PCAPNG {
			unit = 1
		}
		if o.Format == PCAP {
			for i := range ps {
				ps[i].Has = 0
			}
		}
		checkRead(t, &out, nil, ps, unit)
	})
}

func TestWriterRefuses(t *testing.T) {
	w, err := NewWriter(io.Discard, WriterOptions{Link: linktype.Ethernet})
	require.NoError(t, err)
	_, err = w.AddInterface(Interface{})
	require.Error(t, err)
	require.ErrorContains(t, w.Write(&Packet{Iface: 1}), "interface 1")
	require.ErrorContains(t, w.Write(&Packet{TS: -1}), "time of -1 ns")
	require.ErrorContains(t, w.Write(&Packet{TS: 1 << 62}), "does not fit")
	ng, err := NewWriter(io.Discard, WriterOptions{Format: PCAPNG})
	require.NoError(t, err)
	require.ErrorContains(t, ng.Write(&Packet{}), "interface 0")
	_, err = ng.AddInterface(Interface{Link: 1 << 20})
	require.Error(t, err)
}

// TestLongComment writes more options than fit the buffer beside a packet.
func TestLongComment(t *testing.T) {
	ps := somePackets(20)
	for i := range ps {
		ps[i].Comment = strings.Repeat("z", 100_000)
	}
	checkRead(t, bytes.NewReader(write(t, WriterOptions{Format: PCAPNG}, []Interface{{Link: linktype.Ethernet}}, ps)), nil, ps, 1)
}

type failingReader struct{ after io.Reader }

var errDisk = errors.New("disk on fire")

func (f failingReader) Read(b []byte) (int, error) {
	n, err := f.after.Read(b)
	if err == io.EOF {
		err = errDisk
	}
	return n, err
}

func TestSourceFails(t *testing.T) {
	file := write(t, WriterOptions{Link: linktype.Ethernet}, nil, somePackets(10))
	for _, cut := range []int{0, 10, 24, 100, len(file)} {
		r, err := NewReader(failingReader{bytes.NewReader(file[:cut])}, nil)
		for err == nil {
			_, err = r.ReadBatch(make([]Record, 3))
		}
		var e *Error
		require.ErrorAs(t, err, &e)
		require.ErrorIs(t, err, errDisk)
		require.EqualValues(t, cut, e.Offset)
	}
}

type stuckReader struct{}

func (stuckReader) Read([]byte) (int, error) { return 0, nil }

func TestSourceStuck(t *testing.T) {
	_, err := NewReader(stuckReader{}, nil)
	require.ErrorIs(t, err, io.ErrNoProgress)
}

func TestBuffer(t *testing.T) {
	_, err := NewReader(bytes.NewReader(nil), make([]byte, MinBuffer-1))
	require.ErrorContains(t, err, "below the minimum")
	ps := []Packet{{Data: make([]byte, 100)}, {Data: make([]byte, 1000)}}
	r, err := NewReader(bytes.NewReader(write(t, WriterOptions{Link: linktype.Ethernet}, nil, ps)), make([]byte, MinBuffer))
	require.NoError(t, err)
	recs := make([]Record, 5)
	n, err := r.ReadBatch(recs)
	require.NoError(t, err)
	require.Equal(t, 1, n)
	_, err = r.ReadBatch(recs)
	require.EqualError(t, err, "capture: offset 140: record does not fit the buffer of 256 bytes")
}

func TestOpen(t *testing.T) {
	_, err := Open(filepath.Join(t.TempDir(), "none"), nil)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.ErrorIs(t, err, os.ErrNotExist)
	name := filepath.Join(t.TempDir(), "bad")
	require.NoError(t, os.WriteFile(name, []byte("not one"), 0o644))
	_, err = Open(name, nil)
	require.EqualError(t, err, name+": offset 0: not a capture file (starts with 6e 6f 74 20)")
}

// repeat gives the same packets again and again: a large capture without its memory.
type repeat struct {
	header, body []byte
	at, left     int // left: bodies still to give
}

func (r *repeat) Read(b []byte) (int, error) {
	if len(r.header) > 0 {
		n := copy(b, r.header)
		r.header = r.header[n:]
		return n, nil
	}
	n := 0
	for n < len(b) && r.left > 0 {
		k := copy(b[n:], r.body[r.at:])
		n, r.at = n+k, r.at+k
		if r.at == len(r.body) {
			r.at, r.left = 0, r.left-1
		}
	}
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func bigCapture(t testing.TB, o WriterOptions, copies int) (*repeat, int) {
	var ifaces []Interface
	if o.Format == PCAPNG {
		ifaces = []Interface{{Link: linktype.Ethernet}}
	}
	head := len(write(t, o, ifaces, nil))
	rng := rand.New(rand.NewPCG(3, 4))
	ps := make([]Packet, 1000)
	for i := range ps {
		ps[i] = Packet{Data: make([]byte, 60+rng.IntN(416)), TS: int64(i) * 1e6} // 268 bytes on average
	}
	file := write(t, o, ifaces, ps)
	return &repeat{header: file[:head], body: file[head:], left: copies}, copies * len(ps)
}

func TestAllocations(t *testing.T) {
	for _, f := range []Format{PCAP, PCAPNG} {
		src, packets := bigCapture(t, WriterOptions{Format: f, Link: linktype.Ethernet}, 100)
		r, err := NewReader(src, nil)
		require.NoError(t, err)
		w, err := NewWriter(io.Discard, WriterOptions{Format: f, Link: linktype.Ethernet})
		require.NoError(t, err)
		if f == PCAPNG {
			_, err = w.AddInterface(Interface{Link: linktype.Ethernet})
			require.NoError(t, err)
		}
		recs := make([]Record, 256)
		var p Packet
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		seen := 0
		for {
			n, err := r.ReadBatch(recs)
			if err != nil {
				break
			}
			for i := range recs[:n] {
				p = Packet{Data: r.Data(&recs[i]), TS: recs[i].TS, Has: HasVerdict | HasFlags, Comment: "XDP_PASS"}
				if err := w.Write(&p); err != nil {
					t.Fatal(err)
				}
			}
			seen += n
		}
		runtime.ReadMemStats(&after)
		require.Equal(t, packets, seen)
		require.Less(t, after.Mallocs-before.Mallocs, uint64(100), "%d packets of %v", packets, f)
	}
}

// TestChunks reads files of many chunks by name with buffers of several sizes, whole and damaged.
func TestChunks(t *testing.T) {
	for _, o := range []WriterOptions{{Link: linktype.Ethernet}, {Format: PCAPNG, BigEndian: true}} {
		src, _ := bigCapture(t, o, 10)
		file, err := io.ReadAll(src)
		require.NoError(t, err)
		var z bytes.Buffer
		zw, err := gzip.NewWriterLevel(&z, gzip.BestSpeed)
		require.NoError(t, err)
		_, err = zw.Write(file)
		require.NoError(t, err)
		require.NoError(t, zw.Close())
		damaged := bytes.Clone(file)
		copy(damaged[len(file)-500_000:], bytes.Repeat([]byte{0xff}, 2000))
		for i, f := range [][]byte{file, file[:len(file)-7], file[:1<<20], file[:800_000], damaged, z.Bytes(), z.Bytes()[:z.Len()/2]} {
			name := filepath.Join(t.TempDir(), "capture")
			require.NoError(t, os.WriteFile(name, f, 0o644))
			for _, size := range []int{2 << 20, 768 << 10, 300_000 + 2222} {
				want := readSums(NewReader(bytes.NewReader(f), nil))
				got := readSums(Open(name, make([]byte, size)))
				require.Equal(t, want, strings.ReplaceAll(got, name, "capture"), "%v file %d, buffer %d", o.Format, i, size)
			}
		}
	}
}

// readSums reads to the end: a checksum of all packets, and how the file ends.
func readSums(r *Reader, err error) string {
	sum, packets := crc32.NewIEEE(), 0
	recs := make([]Record, 300)
	for err == nil {
		var n int
		n, err = r.ReadBatch(recs)
		for i := range recs[:n] {
			fmt.Fprintf(sum, "%d %d %x", recs[i].TS, recs[i].OrigLen, r.Data(&recs[i]))
		}
		packets += n
	}
	if r != nil {
		_ = r.Close()
	}
	return fmt.Sprintf("%d packets, sum %08x, %v", packets, sum.Sum32(), err)
}

// FuzzReader reads anything: no panic, no endless loop, every record within the buffer, and the same answer however
// the source cuts the file.
func FuzzReader(f *testing.F) {
	cases := pcaptest.Odd(f)
	for _, c := range cases {
		f.Add(c.File, uint8(1))
	}
	f.Fuzz(func(t *testing.T, file []byte, step uint8) {
		if len(file) > 1 && file[0] == 0x1f && file[1] == 0x8b {
			return // a few bytes of gzip can stand for gigabytes
		}
		whole := describe(bytes.NewReader(file), make([]byte, 600), 5)
		parts := describe(&stepReader{file, int(step)%50 + 1}, make([]byte, 600), 3)
		if whole != parts {
			t.Errorf("at once\n%sin steps of %d\n%s", whole, int(step)%50+1, parts)
		}
	})
}

type stepReader struct {
	b []byte
	n int
}

func (s *stepReader) Read(b []byte) (int, error) {
	n := copy(b[:min(len(b), s.n)], s.b)
	s.b = s.b[n:]
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

func BenchmarkRead(b *testing.B) {
	for _, o := range []WriterOptions{{Link: linktype.Ethernet}, {Link: linktype.Ethernet, BigEndian: true}, {Format: PCAPNG}} {
		name := o.Format.String()
		if o.BigEndian {
			name += "-big"
		}
		b.Run(name, func(b *testing.B) {
			src, packets := bigCapture(b, o, 400)
			file := filepath.Join(b.TempDir(), "capture")
			out, err := os.Create(file)
			require.NoError(b, err)
			size, err := io.Copy(out, src)
			require.NoError(b, err)
			require.NoError(b, out.Close())
			recs := make([]Record, 512)
			b.SetBytes(size)
			for b.Loop() {
				r, err := Open(file, nil)
				require.NoError(b, err)
				seen := 0
				for {
					n, err := r.ReadBatch(recs)
					if err != nil {
						break
					}
					seen += n
				}
				require.Equal(b, packets, seen)
				require.NoError(b, r.Close())
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/float64(packets), "ns/packet")
		})
	}
}

func BenchmarkWrite(b *testing.B) {
	for _, c := range []struct {
		name string
		o    WriterOptions
		has  Fields
		note string
	}{
		{"pcap", WriterOptions{Link: linktype.Ethernet}, 0, ""},
		{"pcapng", WriterOptions{Format: PCAPNG}, 0, ""},
		{"pcapng-verdict", WriterOptions{Format: PCAPNG}, HasVerdict | HasFlags | HasID | HasQueue, "XDP_PASS"},
	} {
		b.Run(c.name, func(b *testing.B) {
			w, err := NewWriter(io.Discard, c.o)
			require.NoError(b, err)
			if c.o.Format == PCAPNG {
				_, err = w.AddInterface(Interface{Link: linktype.Ethernet})
				require.NoError(b, err)
			}
			p := Packet{Data: make([]byte, 268), TS: 1e18, Has: c.has, Comment: c.note, VerdictType: VerdictXDP}
			for b.Loop() {
				if err := w.Write(&p); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func TestTimeConversion(t *testing.T) {
	for _, c := range []struct {
		resol  uint8
		offset int64
		units  uint64
		want   int64
	}{
		{6, 0, 1, 1000},
		{9, 0, 1, 1},
		{0, 0, 7, 7e9},
		{6, 0, 1 << 63, 1<<63 - 1},
		{9, 0, 1<<64 - 1, 1<<63 - 1},
		{9, 5, 1, 5e9 + 1},
		{9, 1 << 62, 1, 1<<63 - 1},
		{9, -1 << 62, 1, -1 << 63},
		{0x80 | 63, 0, 1<<63 + 1<<62, 15e8},
		{19, 0, 1e19, 1e9},
	} {
		i := Interface{offset: c.offset}
		require.Empty(t, i.setResolution(c.resol))
		require.Equal(t, c.want, i.time(c.units), "%+v", c)
	}
}
