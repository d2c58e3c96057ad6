package pcap

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcaptest"
)

// script gives the choices of a fuzz target, from its input. It never ends: after the input come zeros.
type script struct{ b []byte }

func (s *script) byte() int {
	if len(s.b) == 0 {
		return 0
	}
	v := s.b[0]
	s.b = s.b[1:]
	return int(v)
}

// below gives a number from 0 to n-1.
func (s *script) below(n int) int { return (s.byte()<<8 | s.byte()) % n }

// capture makes a file of a few packets, damaged or not. Times go in any direction.
func (s *script) capture(t *testing.T, most int) []byte {
	o, ifaces := WriterOptions{Link: 1, Nano: s.byte()&1 != 0, BigEndian: s.byte()&1 != 0}, []Interface(nil)
	if s.byte()&1 != 0 {
		o.Format = PCAPNG
		for i := range 1 + s.below(3) {
			ifaces = append(ifaces, Interface{Name: []string{"", "eth0", "eth1"}[s.below(3)], Link: 1, SnapLen: uint32(i)})
		}
	}
	ps := make([]Packet, s.below(12))
	ts := int64(s.byte()) * 1000
	for i := range ps {
		ts = max(ts+int64(int8(s.byte()))*1000, 0)
		size := s.byte()
		if size == 255 {
			size = s.below(most)
		}
		ps[i] = Packet{TS: ts, Data: bytes.Repeat([]byte{byte(s.byte())}, size), Iface: s.below(max(len(ifaces), 1))}
	}
	file := write(t, o, ifaces, ps)
	switch at := s.below(len(file)); s.byte() % 4 {
	case 0:
		file[at] ^= byte(s.byte())
	case 1:
		return file[:at]
	}
	return file
}

// FuzzMerger merges files and compares with a stable sort of what single readers give: a packet's place is that of the latest time in its file so
// far, as a file's own order stays.
func FuzzMerger(f *testing.F) {
	f.Add([]byte{3, 1, 0, 1, 2, 5, 5, 10, 20, 1, 2, 250, 30, 1, 7}, uint8(3))
	f.Add(bytes.Repeat([]byte{1, 2, 3, 255, 200, 100, 7}, 30), uint8(1))
	f.Fuzz(func(t *testing.T, choices []byte, batch uint8) {
		s, dir := &script{choices}, t.TempDir()
		var names, ends []string
		var want []merged
		for file := range 1 + s.below(4) {
			name := filepath.Join(dir, fmt.Sprint(file))
			require.NoError(t, os.WriteFile(name, s.capture(t, 100_000), 0o644))
			names = append(names, name)
			packets, err := single(name)
			want = append(want, packets...)
			if err != io.EOF {
				ends = append(ends, err.Error())
			}
		}
		m, err := OpenAll(names, make([]byte, maxCaptureLen))
		require.NoError(t, err)
		slices.SortStableFunc(want, func(a, b merged) int { return int(a.latest - b.latest) })
		var got []string
		for recs := make([]Record, 1+int(batch)%70); err == nil; {
			var n int
			n, err = m.ReadBatch(recs)
			for i := range recs[:n] {
				got = append(got, packetText(&recs[i], m.Interfaces(), m.Data(&recs[i])))
			}
		}
		require.Len(t, got, len(want))
		for i := range want {
			require.Equal(t, want[i].text, got[i], "packet %d", i)
		}
		if err != io.EOF {
			said := strings.Split(err.Error(), "\n")
			slices.Sort(said)
			slices.Sort(ends)
			require.Equal(t, ends, said)
		} else {
			require.Empty(t, ends)
		}
		taken, all := m.Consumed()
		require.LessOrEqual(t, taken, all)
		require.NoError(t, m.Close())
	})
}

// merged is a packet of one of several files.
type merged struct {
	latest int64 // time of it and those before it in the file
	text   string
}

func packetText(rec *Record, ifaces []Interface, data []byte) string {
	i := ifaces[rec.Iface]
	return fmt.Sprintf("%d %d/%d %v %q %v %x", rec.TS, rec.CapLen, rec.OrigLen, rec.Link, i.Name, i.BigEndian, data)
}

// single reads one file of several.
func single(name string) (all []merged, err error) {
	r, err := Open(name, make([]byte, pieceRoom))
	if err != nil {
		return nil, err
	}
	defer r.Close()
	for recs := make([]Record, 5); err == nil; {
		var n int
		n, err = r.ReadBatch(recs)
		for i := range recs[:n] {
			latest := recs[i].TS
			if len(all) > 0 {
				latest = max(latest, all[len(all)-1].latest)
			}
			all = append(all, merged{latest, packetText(&recs[i], r.Interfaces(), r.Data(&recs[i]))})
		}
	}
	return all, err
}

// growing is a file that somebody writes: it ends again and again, and each time there is more later.
type growing struct {
	left    []byte
	s       script
	stop    chan struct{}
	stopped bool
}

func (g *growing) Read(b []byte) (int, error) {
	if len(g.left) == 0 {
		if !g.stopped {
			g.stopped = true
			close(g.stop)
		}
		return 0, io.EOF
	}
	if g.s.byte()&3 == 1 {
		return 0, []error{nil, io.EOF}[g.s.byte()&1]
	}
	n := copy(b[:min(len(b), 1+g.s.below(300))], g.left)
	g.left = g.left[n:]
	return n, []error{nil, io.EOF}[g.s.byte()&1]
}

// FuzzFollow follows a file that grows in pieces, and compares with the whole file.
func FuzzFollow(f *testing.F) {
	cases := pcaptest.Odd(f)
	for i, c := range cases {
		f.Add(c.File, []byte{byte(i), 1, 1, 5, 0, 7, 1, 1, 0, byte(i)}, i%2 == 0)
	}
	buf := make([]byte, 600)
	f.Fuzz(func(t *testing.T, file, pieces []byte, interruptible bool) {
		if bytes.HasPrefix(file, compressions[0].magic) {
			return // a few bytes of gzip can stand for gigabytes
		}
		stop := make(chan struct{})
		var src io.Reader = &follower{src: &growing{left: file, s: script{pieces}, stop: stop}, stop: stop}
		if interruptible {
			src = Interruptible(src, nil)
		}
		got := describe(src, buf, 3)
		require.Equal(t, describe(bytes.NewReader(file), buf, 5), got)
	})
}

// FuzzPieces reads a capture in pieces, several of them loaded at once, from a file and from a source that gives a little at a time and may fail anywhere,
// and compares with a plain reader.
func FuzzPieces(f *testing.F) {
	f.Add([]byte{0, 0, 1, 8, 255, 250, 255, 255, 3}, uint16(9), uint8(3))
	f.Add(bytes.Repeat([]byte{1, 1, 1, 255, 200, 100, 7, 255}, 20), uint16(700), uint8(0))
	f.Fuzz(func(t *testing.T, choices []byte, repeat uint16, flying uint8) {
		s := &script{choices}
		file := s.capture(t, 200_000)
		if len(file) > classicHeader { // long enough for several pieces
			body := file[classicHeader:]
			for range min(int(repeat), 1<<20/len(body)) {
				file = append(file, body...)
			}
		}
		want := describe(bytes.NewReader(file), nil, 50)
		name := filepath.Join(t.TempDir(), "capture")
		require.NoError(t, os.WriteFile(name, file, 0o644))
		got := inPiecesAtOnce(t, name, 1+int(flying)%4)
		require.Equal(t, want, strings.ReplaceAll(got, name, "capture"))

		at := s.below(len(file) + 1)
		short := &failing{left: file[:at], s: *s}
		got = describePieces(short, make([]byte, PieceBuffer))
		whole := &failing{left: file[:at], whole: true}
		require.Equal(t, describe(whole, nil, 50), got, "the source fails behind %d bytes", at)
	})
}

// failing is a source that gives as much as it likes, and fails in the end.
type failing struct {
	left  []byte
	s     script
	whole bool
}

func (g *failing) Read(b []byte) (int, error) {
	if len(g.left) == 0 {
		return 0, errDisk
	}
	n := len(b)
	if !g.whole {
		n = min(n, g.s.below(200)*g.s.byte())
		if n == 0 && len(g.s.b) == 0 {
			n = len(b) // the choices are used up
		}
	}
	n = copy(b[:n], g.left)
	g.left = g.left[n:]
	if len(g.left) == 0 && g.s.byte()&1 != 0 {
		return n, errDisk
	}
	return n, nil
}

// inPiecesAtOnce is describe of a file whose pieces are loaded by several goroutines.
func inPiecesAtOnce(t *testing.T, name string, flying int) string {
	var out strings.Builder
	r, err := OpenPieces(name)
	if err == nil {
		ring := make([]Piece, flying)
		for i := range ring {
			ring[i].Buf = make([]byte, PieceBuffer)
		}
		for err == nil {
			var wg sync.WaitGroup
			for i := range ring {
				r.Claim(&ring[i])
				wg.Go(func() { r.Load(&ring[i]) })
			}
			wg.Wait()
			for i := range ring {
				p := &ring[i]
				if err = r.Parse(p); err != nil && len(p.Recs) == 0 {
					break
				}
				for k := range p.Recs {
					describeRecord(&out, &p.Recs[k], p.Ifaces, p.Buf[p.Recs[k].Off:][:p.Recs[k].CapLen])
				}
				if err != nil {
					break
				}
			}
		}
		require.NoError(t, r.Close())
	}
	var e *Error
	require.True(t, err == io.EOF || errors.As(err, &e), "%v", err)
	describeEnd(&out, err)
	return out.String()
}

// FuzzPacked damages a packed capture: it is read the same whatever reads it, to where the damage shows.
func FuzzPacked(f *testing.F) {
	cases := pcaptest.Odd(f)
	for i, c := range cases {
		if i%5 == 0 {
			f.Add(c.File, uint16(i), uint8(i), i%2 == 0)
		}
	}
	buf, piece := make([]byte, pieceRoom), make([]byte, PieceBuffer)
	f.Fuzz(func(t *testing.T, file []byte, at uint16, flip uint8, zstd bool) {
		pack := pcaptest.Pack["gzip"]
		if zstd {
			pack = pcaptest.Pack["zstd"]
		}
		packed := pack(file[:min(len(file), 1000)]) // nothing that is this short can stand for much
		if i := int(at) % (len(packed) + 1); flip == 0 {
			packed = packed[:i]
		} else if i < len(packed) {
			packed[i] ^= flip
		}
		whole := describe(bytes.NewReader(packed), buf, 5)
		require.Equal(t, whole, describe(&stepReader{packed, 1 + int(flip)%50}, buf, 3))
		require.Equal(t, whole, describePieces(bytes.NewReader(packed), piece))
	})
}
