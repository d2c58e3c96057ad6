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

// everything is all that a reader gives: a line for each packet, and how it ended.
func everything(t *testing.T, file string, buf int, ahead bool) []string {
	r, err := Open(file, make([]byte, buf))
	if err != nil {
		return []string{err.Error()}
	}
	if ahead {
		r.ReadAhead()
	}
	var out []string
	recs := make([]Record, 7)
	for {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			h := fnv.New64()
			_, _ = h.Write(r.Data(&recs[i]))
			out = append(out, fmt.Sprint(recs[i].TS, recs[i].CapLen, recs[i].OrigLen, recs[i].Link, h.Sum64()))
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

// TestReadAhead compares readers that read ahead with others: packets small and larger than what fits between the
// halves of the buffer, files cut at any place, compressed or not, buffers of several sizes.
func TestReadAhead(t *testing.T) {
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
				for _, buf := range []int{minAhead, 300_001} {
					want := everything(t, file, buf, false)
					require.Equal(t, want, everything(t, file, buf, true), "capture %d.%d of %s, buffer of %d", i, kind, format, buf)
				}
			}
		}
	}
}

// TestReadAheadClose closes readers while a read may be under way.
func TestReadAheadClose(t *testing.T) {
	var plain bytes.Buffer
	w, err := NewWriter(&plain, WriterOptions{Link: 1})
	require.NoError(t, err)
	for range 5000 {
		require.NoError(t, w.Write(&Packet{Data: make([]byte, 500)}))
	}
	require.NoError(t, w.Flush())
	file := filepath.Join(t.TempDir(), "capture")
	require.NoError(t, os.WriteFile(file, plain.Bytes(), 0o644))
	buf := make([]byte, minAhead)
	recs := make([]Record, 64)
	for batches := range 40 {
		r, err := Open(file, buf)
		require.NoError(t, err)
		r.ReadAhead()
		for range batches {
			if _, err := r.ReadBatch(recs); err == io.EOF {
				break
			}
		}
		require.NoError(t, r.Close())
	}
}
