package pcap

import (
	"bytes"
	"compress/gzip"
	"fmt"
	"hash/fnv"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"
)

// line is what a reader says of a packet.
func line(rec *Record, data []byte) string {
	h := fnv.New64()
	_, _ = h.Write(data)
	return fmt.Sprint(rec.TS, rec.CapLen, rec.OrigLen, rec.Link, rec.Iface, h.Sum64())
}

// inBatches is all that a reader gives: a line for each packet, and how it ended.
func inBatches(t *testing.T, file string) []string {
	r, err := Open(file, nil)
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	recs := make([]Record, 7)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			out = append(out, line(&recs[i], r.Data(&recs[i])))
		}
		if err != nil {
			out = append(out, err.Error())
			break
		}
	}
	n, _ := r.Consumed()
	require.NoError(t, r.Close())
	return append(out, fmt.Sprint(n))
}

// inPieces is the same of a capture that is read in pieces, by one goroutine that has so many of them under way. Each piece's packets are looked at, and
// overwritten, before the next one is parsed.
func inPieces(t *testing.T, open func() (*Reader, error), flying int) []string {
	r, err := open()
	if err != nil {
		return []string{err.Error()}
	}
	var out []string
	ring := make([]Piece, flying)
	for i := range ring {
		ring[i].Buf = make([]byte, PieceBuffer)
		r.Claim(&ring[i])
	}
	for i := 0; ; i = (i + 1) % flying {
		p := &ring[i]
		r.Load(p)
		err := r.Parse(p)
		for i := range p.Recs {
			rec := &p.Recs[i]
			data := p.Buf[rec.Off : rec.Off+rec.CapLen]
			out = append(out, line(rec, data))
			clear(data)
		}
		if err != nil {
			out = append(out, err.Error())
			require.Equal(t, err, r.Parse(p), "the error stays")
			require.Empty(t, p.Recs)
			break
		}
		r.Claim(p)
	}
	n, _ := r.Consumed()
	require.NoError(t, r.Close())
	return append(out, fmt.Sprint(n))
}

// TestPieces compares what is read in pieces with what is read in batches: packets small and longer than half a piece, files cut at any
// place, compressed or not, and sources that give a little at a time.
func TestPieces(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 5))
	for i, longest := range []int{1500, 20_000, 200_000} {
		for _, format := range []Format{PCAP, PCAPNG} {
			var plain, packed bytes.Buffer
			w, err := NewWriter(&plain, WriterOptions{Format: format, Link: 1})
			require.NoError(t, err)
			if format == PCAPNG {
				_, err = w.AddInterface(Interface{Link: 1})
				require.NoError(t, err)
			}
			data := make([]byte, longest)
			for n := range data {
				data[n] = byte(r.Uint32())
			}
			for plain.Len() < 1<<20 {
				size := r.IntN(longest >> r.IntN(6))
				require.NoError(t, w.Write(&Packet{Data: data[:size], TS: int64(plain.Len()) * 1000}))
				require.NoError(t, w.Flush())
			}
			z := gzip.NewWriter(&packed)
			_, err = z.Write(plain.Bytes())
			require.NoError(t, err)
			require.NoError(t, z.Close())
			for kind, b := range [][]byte{plain.Bytes(), plain.Bytes()[:plain.Len()-1-r.IntN(1<<19)], packed.Bytes(), packed.Bytes()[:packed.Len()/2]} {
				file := filepath.Join(t.TempDir(), "capture")
				require.NoError(t, os.WriteFile(file, b, 0o644))
				want := inBatches(t, file)
				for _, flying := range []int{1, 3} {
					got := inPieces(t, func() (*Reader, error) { return OpenPieces(file) }, flying)
					require.Equal(t, want[:len(want)-1], got[:len(got)-1], "capture %d.%d of %s, %d at once", i, kind, format, flying)
				}
				got := inPieces(t, func() (*Reader, error) { return NewPieces(&dribble{left: b, r: r}) }, 2)
				require.Len(t, got, len(want))
				require.Equal(t, want[:len(want)-2], got[:len(got)-2], "capture %d.%d of %s, read by and by", i, kind, format)
			}
		}
	}
}

// dribble gives a random part of what is asked for.
type dribble struct {
	left []byte
	r    *rand.Rand

	ended bool
}

func (d *dribble) Read(b []byte) (int, error) {
	if len(d.left) == 0 {
		if d.ended {
			panic("read once more after the end")
		}
		d.ended = true
		return 0, io.EOF
	}
	n := copy(b[:min(len(b), 1+d.r.IntN(100_000))], d.left)
	d.left = d.left[n:]
	return n, nil
}
