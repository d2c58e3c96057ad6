package pcap

import (
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/linktype"
)

// stamped is a packet as the tests of merging know it: when, and which.
type stamped struct {
	ts   int64
	data string
}

// drain reads to the end.
func drain(t testing.TB, m *Merger, batch int) (got []stamped, err error) {
	t.Helper()
	recs := make([]Record, batch)
	for {
		n, err := m.ReadBatch(recs)
		for i := range recs[:n] {
			got = append(got, stamped{recs[i].TS, string(m.Data(&recs[i]))})
		}
		if err == io.EOF {
			return got, nil
		}
		if err != nil {
			return got, err
		}
		require.Positive(t, n)
	}
}

// TestMerge reads random captures as one and compares with a stable sort of all packets.
func TestMerge(t *testing.T) {
	for seed := range uint64(60) {
		rng := rand.New(rand.NewPCG(seed, 0))
		dir := t.TempDir()
		var names []string
		var want []stamped
		for file := range 1 + rng.IntN(6) {
			o, ifaces := WriterOptions{Nano: true, Link: linktype.Ethernet}, []Interface(nil)
			if file%2 == 1 {
				o, ifaces = WriterOptions{Format: PCAPNG}, []Interface{{Name: "eth0", Link: linktype.Ethernet}}
			}
			var ps []Packet
			ts := int64(rng.IntN(3)) * 400
			for i := range rng.IntN(200) {
				ts += int64(rng.IntN(20))
				data := fmt.Sprintf("file %d packet %d", file, i)
				ps = append(ps, Packet{TS: ts, Data: []byte(data)})
				want = append(want, stamped{ts, data})
			}
			name := filepath.Join(dir, fmt.Sprint(file))
			require.NoError(t, os.WriteFile(name, write(t, o, ifaces, ps), 0o644))
			names = append(names, name)
		}
		slices.SortStableFunc(want, func(a, b stamped) int { return int(a.ts - b.ts) })
		m, err := OpenAll(names, nil)
		require.NoError(t, err)
		got, err := drain(t, m, 1+rng.IntN(100))
		require.NoError(t, err)
		require.Equal(t, want, got, "seed %d", seed)
		n, of := m.Consumed()
		require.Equal(t, of, n)
		require.NoError(t, m.Close())
	}
}

// TestMergeDirectory reads a directory of files that follow each other, never with more than two open.
func TestMergeDirectory(t *testing.T) {
	dir := t.TempDir()
	const files = 40
	for i := range files { // the names run against the times
		ps := []Packet{{TS: int64(files-i) * 1000, Data: []byte{byte(i)}}, {TS: int64(files-i)*1000 + 500, Data: []byte{byte(i)}}}
		file := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, ps)
		require.NoError(t, os.WriteFile(filepath.Join(dir, fmt.Sprintf("%03d.pcap", i)), file, 0o644))
	}
	require.NoError(t, os.WriteFile(filepath.Join(dir, "none.pcap"), write(t, WriterOptions{Link: linktype.Ethernet}, nil, nil), 0o644))
	m, err := OpenAll([]string{dir}, nil)
	require.NoError(t, err)
	var rec [1]Record
	for i := range 2 * files {
		_, err := m.ReadBatch(rec[:])
		require.NoError(t, err)
		require.Equal(t, byte(files-1-i/2), m.Data(&rec[0])[0])
		open := 0
		for _, l := range m.lanes {
			if l.r != nil {
				open++
			}
		}
		require.LessOrEqual(t, open, 2)
	}
	_, err = m.ReadBatch(rec[:])
	require.Equal(t, io.EOF, err)
	require.Len(t, m.Interfaces(), 1)
	require.Equal(t, PCAP, m.Format())
	require.LessOrEqual(t, len(m.spare), 3)
}

func TestMergeInterfaces(t *testing.T) {
	dir := t.TempDir()
	put := func(name string, ifaces []Interface, ps ...Packet) string {
		name = filepath.Join(dir, name)
		require.NoError(t, os.WriteFile(name, write(t, WriterOptions{Format: PCAPNG}, ifaces, ps), 0o644))
		return name
	}
	two := []Interface{{Link: linktype.Ethernet}, {Link: linktype.Ethernet}}
	a := put("a", two, Packet{TS: 1, Iface: 0, Data: []byte("a0")}, Packet{TS: 3, Iface: 1, Data: []byte("a1")})
	b := put("b", two, Packet{TS: 2, Iface: 1, Data: []byte("b1")})
	c := put("c", []Interface{{Name: "wlan0", Link: linktype.IEEE80211}}, Packet{TS: 4, Data: []byte("c")})
	m, err := OpenAll([]string{a, b, c}, nil)
	require.NoError(t, err)
	var recs [8]Record
	n, err := m.ReadBatch(recs[:])
	require.NoError(t, err)
	var got []string
	for i := range recs[:n] {
		got = append(got, fmt.Sprintf("%s on %d", m.Data(&recs[i]), recs[i].Iface))
	}
	require.Equal(t, PCAPNG, m.Format())
	require.Equal(t, []string{"a0 on 0", "b1 on 1", "a1 on 1", "c on 2"}, got)
}

// TestMergeDamaged: what is good of a damaged file is read, and all of the others.
func TestMergeDamaged(t *testing.T) {
	dir := t.TempDir()
	good := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, []Packet{{TS: 1, Data: []byte("g1")}, {TS: 9, Data: []byte("g9")}})
	bad := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, []Packet{{TS: 2, Data: []byte("b2")}, {TS: 3, Data: []byte("b3")}})
	names := []string{filepath.Join(dir, "bad"), filepath.Join(dir, "good")}
	require.NoError(t, os.WriteFile(names[0], bad[:len(bad)-1], 0o644))
	require.NoError(t, os.WriteFile(names[1], good, 0o644))
	m, err := OpenAll(names, nil)
	require.NoError(t, err)
	got, err := drain(t, m, 10)
	require.Equal(t, []stamped{{1, "g1"}, {2, "b2"}, {9, "g9"}}, got)
	var e *Error
	require.ErrorAs(t, err, &e)
	require.Equal(t, names[0]+": offset 42: file ends within a record", err.Error())

	_, err = OpenAll([]string{names[1], filepath.Join(dir, "missing")}, nil)
	require.ErrorIs(t, err, os.ErrNotExist)
	for _, none := range [][]byte{[]byte("not a capture"), bad[:41], nil} {
		require.NoError(t, os.WriteFile(names[0], none, 0o644))
		m, err = OpenAll(names, nil)
		require.NoError(t, err)
		got, err = drain(t, m, 10)
		require.Equal(t, []stamped{{1, "g1"}, {9, "g9"}}, got, "a file without a packet keeps the others from nothing")
		require.ErrorAs(t, err, &e)
		require.Equal(t, names[0], e.File)
	}
	_, err = OpenAll(names, make([]byte, MinBuffer))
	require.ErrorContains(t, err, "below the minimum")
}

// TestMergeLongBlock: a block is as long in one of several files as it may be in a single one.
func TestMergeLongBlock(t *testing.T) {
	dir := t.TempDir()
	var options []byte // 13 comments
	for range 13 {
		options = append(append(options, 1, 0, 0xfc, 0xff), make([]byte, 0xfffc)...)
	}
	size := uint32(36 + len(options) + 4) // a block with 4 bytes of data, options and their end
	file := write(t, WriterOptions{Format: PCAPNG}, []Interface{{Link: linktype.Ethernet}}, []Packet{{TS: 1, Data: []byte("abcd")}})
	long := binary.LittleEndian.AppendUint32(append(append(bytes.Clone(file[:len(file)-4]), options...), 0, 0, 0, 0), size)
	at := len(file) - 36
	binary.LittleEndian.PutUint32(long[at+4:], size)
	binary.LittleEndian.PutUint32(long[len(long)-4:], size)
	require.EqualValues(t, len(long)-at, size)
	names := []string{filepath.Join(dir, "a"), filepath.Join(dir, "b")}
	require.NoError(t, os.WriteFile(names[0], long, 0o644))
	require.NoError(t, os.WriteFile(names[1], file, 0o644))
	m, err := OpenAll(names, nil)
	require.NoError(t, err)
	got, err := drain(t, m, 3)
	require.NoError(t, err)
	require.Equal(t, []stamped{{1, "abcd"}, {1, "abcd"}}, got)
}

func TestCompressed(t *testing.T) {
	ps := somePackets(2000)
	plain := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, ps)
	pack := map[string]func(io.Writer) io.WriteCloser{
		"gzip": func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
		"zstd": func(w io.Writer) io.WriteCloser {
			z, err := zstd.NewWriter(w)
			require.NoError(t, err)
			return z
		},
	}
	for name, f := range pack {
		var packed bytes.Buffer
		w := f(&packed)
		_, err := w.Write(plain)
		require.NoError(t, err)
		require.NoError(t, w.Close())
		checkRead(t, bytes.NewReader(packed.Bytes()), nil, ps, 1)

		cut := packed.Bytes()[:packed.Len()/2]
		r, err := NewReader(bytes.NewReader(cut), nil)
		n := 0
		for recs := make([]Record, 100); err == nil; {
			var got int
			got, err = r.ReadBatch(recs)
			n += got
		}
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, name)
		require.Greater(t, n, 100, "%s: what came before the end is lost", name)
		require.NoError(t, r.Close())
		_, err = NewReader(bytes.NewReader(packed.Bytes()[:5]), nil)
		var e *Error
		require.ErrorAs(t, err, &e, name)
	}
}

// TestFollow reads a capture while it is being written, in pieces that end anywhere.
func TestFollow(t *testing.T) {
	name := filepath.Join(t.TempDir(), "growing.pcap")
	out, err := os.Create(name)
	require.NoError(t, err)
	defer out.Close()
	ps := somePackets(20)
	file := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, ps)
	in, err := os.Open(name)
	require.NoError(t, err)
	defer in.Close()
	stop := make(chan struct{})
	go func() {
		for len(file) > 0 {
			n, _ := out.Write(file[:min(len(file), 97)])
			file = file[n:]
		}
	}()
	r, err := NewReader(Follow(in, stop), nil)
	require.NoError(t, err)
	recs, got := make([]Record, 7), 0
	for {
		n, err := r.ReadBatch(recs)
		if err == io.EOF {
			break
		}
		require.NoError(t, err)
		for i := range recs[:n] {
			require.Equal(t, string(ps[got].Data), string(r.Data(&recs[i])))
			got++
		}
		if got == len(ps) {
			close(stop)
		}
	}
	require.Len(t, ps, got)
}

// TestInterruptible: everything comes through, and a source that waits for ever does not keep anybody waiting.
func TestInterruptible(t *testing.T) {
	ps := somePackets(3000)
	file := write(t, WriterOptions{Nano: true, Link: linktype.Ethernet}, nil, ps)
	checkRead(t, Interruptible(&stepReader{file, 1000}, make(chan struct{})), nil, ps, 1)
	checkRead(t, Interruptible(bytes.NewReader(file), nil), nil, ps, 1)

	src, dst := io.Pipe()
	stop := make(chan struct{})
	r := Interruptible(src, stop)
	go func() { _, _ = dst.Write([]byte("abc")) }()
	got := make([]byte, 3)
	_, err := io.ReadFull(r, got)
	require.NoError(t, err)
	require.Equal(t, "abc", string(got))
	time.AfterFunc(10*time.Millisecond, func() { close(stop) })
	_, err = r.Read(got)
	require.Equal(t, io.EOF, err)
	require.NoError(t, src.Close())

	_, err = io.ReadAll(Interruptible(failingReader{bytes.NewReader(file)}, nil))
	require.ErrorIs(t, err, errDisk)
}
