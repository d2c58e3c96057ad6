package cbpf

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/linktype"
	"github.com/skepvm/skep/traffic"
)

// refLink is a link type that the referee compiles for.
type refLink struct {
	name string // of traffic.Spec.Link, or null-be
	typ  linktype.Type
	big  bool // the capture is of a big-endian machine
}

// refLinks returns all link types that traffic makes captures of, and null once more in the other byte order.
func refLinks() []refLink {
	var all []refLink
	for _, name := range traffic.Links() {
		typ, _ := traffic.LinkType(name)
		all = append(all, refLink{name, typ, false})
	}
	return append(all, refLink{"null-be", linktype.Null, true})
}

// refPacket is a packet of a capture.
type refPacket struct {
	data []byte
	wire uint32
}

// generate returns the packets that s makes, as a reader of captures sees them.
func generate(t testing.TB, s traffic.Spec) []refPacket {
	var file bytes.Buffer
	_, err := traffic.Generate(&file, s)
	require.NoError(t, err)
	return readCapture(t, &file)
}

// readCapture reads a capture whose packets bear their numbers in their times when writeCapture wrote it.
func readCapture(t testing.TB, file io.Reader) []refPacket {
	r, err := pcap.NewReader(file, make([]byte, 1<<20))
	require.NoError(t, err)
	var all []refPacket
	recs := make([]pcap.Record, 64)
	for {
		n, err := r.ReadBatch(recs)
		if err == io.EOF {
			return all
		}
		require.NoError(t, err)
		for i := range recs[:n] {
			all = append(all, refPacket{bytes.Clone(r.Data(&recs[i])), recs[i].OrigLen})
		}
	}
}

// packetsOf returns the packets that filters for l are compared on: healthy traffic, malformed traffic, one of everything that
// filters have a word for, some of it captured short, and a dozen packets captured to every length there is.
func packetsOf(t testing.TB, l refLink) []refPacket {
	spec := traffic.Spec{Link: l.name, BigEndian: l.big, Flows: 16, Packets: 250, Seed: 61, SizeMin: 64, SizeMax: 300}
	if l.big {
		spec.Link = "null"
	}
	all := generate(t, spec)
	spec.Packets, spec.Seed, spec.Mix = 700, 62, traffic.Mix{Rare: 1}
	rare := generate(t, spec)
	all = append(all, rare...)
	spec.Packets, spec.Seed, spec.Mix.Cut = 150, 63, 100
	all = append(all, generate(t, spec)...)
	header := 0
	switch l.typ {
	case linktype.Prism:
		header = 144
	case linktype.IEEE80211AVS:
		header = 64
	}
	for i := 0; i < len(rare); i += len(rare) / 12 {
		p := rare[i]
		for n := range min(len(p.data), header+100) {
			if n < 8 || n > header-8 { // in the middle of such a long header all lengths are alike
				all = append(all, refPacket{p.data[:n], p.wire})
			}
		}
	}
	return all
}

const refStart = 1767225600 * 1_000_000_000 // ns since 1970

// writeCapture writes the n-th packet with time refStart + n µs.
func writeCapture(t testing.TB, l refLink, all []refPacket) string {
	name := filepath.Join(t.TempDir(), l.name)
	f, err := os.Create(name)
	require.NoError(t, err)
	o := pcap.WriterOptions{Link: l.typ, BigEndian: l.big}
	switch l.typ % 3 { // every format comes with some of the link types
	case 0:
		o.Nano = true
	case 2:
		o.Format = pcap.PCAPNG
	}
	w, err := pcap.NewWriter(f, o)
	require.NoError(t, err)
	if o.Format == pcap.PCAPNG {
		_, err = w.AddInterface(pcap.Interface{Link: l.typ})
		require.NoError(t, err)
	}
	for i, p := range all {
		require.NoError(t, w.Write(&pcap.Packet{Data: p.data, OrigLen: p.wire, TS: refStart + int64(i)*1000}))
	}
	require.NoError(t, w.Flush())
	require.NoError(t, f.Close())
	return name
}

// boundaries returns packets that come to the jumps of a filter with exactly the number that is compared with, one less, and
// one more: copies of some that come there, with those numbers in the place of what was loaded.
func boundaries(p Program, packets []refPacket) (made []refPacket) {
	left := 0
	for _, in := range p {
		if in.Op&7 == ClassJmp && in.Op&SrcX == 0 && in.Op != ClassJmp|JmpJa {
			left++
		}
	}
	done := make([]bool, len(p))
	for _, pkt := range packets {
		if left == 0 {
			break
		}
		if len(pkt.data) < int(pkt.wire) || len(pkt.data) == 0 {
			continue
		}
		at, size, mask := -1, 0, uint32(0)
		p.Trace(Pcap, Packet{Data: pkt.data, WireLen: pkt.wire}, func(s Step) {
			in := p[s.PC]
			switch {
			case in.Op&0xe7 == ClassLd|ModeAbs:
				at, size, mask = int(in.K), in.size(), 1<<32-1
			case in.Op&0xe7 == ClassLd|ModeInd:
				at, size, mask = int(in.K)+int(s.X), in.size(), 1<<32-1
			case in.Op == ClassAlu|AluAnd:
				mask &= in.K
			case in.Op&7 == ClassJmp && in.Op&SrcX == 0 && in.Op != ClassJmp|JmpJa:
				if !done[s.PC] && at >= 0 {
					done[s.PC] = true
					left--
					made = patched(made, pkt, at, size, mask, in.K)
				}
			case in.Op&7 <= ClassLdx && in.Op&7 == ClassLd || in.Op&7 == ClassAlu || in.Op == ClassMisc|MiscTxa:
				at = -1 // A is something else
			}
		})
	}
	return made
}

// patched appends three copies of a packet, with k - 1, k and k + 1 in the bits of mask.
func patched(made []refPacket, pkt refPacket, at, size int, mask, k uint32) []refPacket {
	if at+size > len(pkt.data) {
		return made
	}
	for v := k - 1; v != k+2; v++ {
		data, bits := bytes.Clone(pkt.data), v&mask
		for i := range size {
			shift := 8 * (size - 1 - i)
			data[at+i] = data[at+i]&^byte(mask>>shift) | byte(bits>>shift)
		}
		made = append(made, refPacket{data, pkt.wire})
	}
	return made
}
