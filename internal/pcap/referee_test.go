package pcap_test

import (
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
	"github.com/skepvm/skep/traffic"
)

// seen is a packet as a reader of captures gives it.
type seen struct {
	ts   int64 // ns; noTime when there is none
	wire int   // original length; -1 where the reader does not tell
	data [md5.Size]byte
	n    int // captured bytes
}

const noTime = math.MinInt64

func (s seen) String() string { return fmt.Sprintf("%d %d/%d %x", s.ts, s.n, s.wire, s.data[:4]) }

// ours reads a capture with the package.
func ours(t *testing.T, name string) (got []seen) {
	t.Helper()
	r, err := pcap.Open(name, nil)
	require.NoError(t, err)
	defer r.Close()
	for recs := make([]pcap.Record, 100); ; {
		n, err := r.ReadBatch(recs)
		for i := range recs[:n] {
			got = append(got, seen{recs[i].TS, int(recs[i].OrigLen), md5.Sum(r.Data(&recs[i])), int(recs[i].CapLen)})
		}
		if err == io.EOF {
			return got
		}
		require.NoError(t, err)
	}
}

// run runs a tool, or skips where there is none.
func run(t *testing.T, tool string, args ...string) []byte {
	t.Helper()
	path, err := exec.LookPath(tool)
	if err != nil {
		t.Skipf("no %s here", tool)
	}
	var stderr bytes.Buffer
	cmd := exec.Command(path, args...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	require.NoError(t, err, "%s %q: %s", tool, args, &stderr)
	return out
}

// tcpdumpWrites is what libpcap reads, as tcpdump writes it again. It is read by the plainest code.
func tcpdumpWrites(t *testing.T, name string) (got []seen) {
	t.Helper()
	file := run(t, "tcpdump", "-r", name, "--nano", "-w", "-")
	order := binary.ByteOrder(binary.LittleEndian)
	if file[0] == 0xa1 {
		order = binary.BigEndian
	}
	require.Equal(t, uint32(0xa1b23c4d), order.Uint32(file))
	for rest := file[24:]; len(rest) > 0; {
		n := int(order.Uint32(rest[8:]))
		got = append(got, seen{
			int64(order.Uint32(rest))*1e9 + int64(order.Uint32(rest[4:])), int(order.Uint32(rest[12:])), md5.Sum(rest[16 : 16+n]), n,
		})
		rest = rest[16+n:]
	}
	return got
}

var stamp = regexp.MustCompile(`^(\d+)\.(\d{9}) `)

// tcpdumpPrints is what tcpdump prints: times and bytes.
func tcpdumpPrints(t *testing.T, name string) (got []seen) {
	t.Helper()
	var data []byte
	end := func() {
		if n := len(got); n > 0 {
			got[n-1].data, got[n-1].n = md5.Sum(data), len(data)
		}
		data = data[:0]
	}
	for line := range strings.Lines(string(run(t, "tcpdump", "-r", name, "-tt", "--nano", "-xx", "-n"))) {
		if m := stamp.FindStringSubmatch(line); m != nil {
			end()
			got = append(got, seen{ts: number(t, m[1])*1e9 + number(t, m[2]), wire: -1})
			continue
		}
		_, text, ok := strings.Cut(line, ":  ")
		if !ok || !strings.HasPrefix(line, "\t0x") {
			continue // more of what it makes of the packet
		}
		if strings.HasPrefix(line, "\t0x0000:") {
			data = data[:0] // what came before was a part that it knows nothing of
		}
		b, err := hex.DecodeString(strings.Join(strings.Fields(text), ""))
		require.NoError(t, err, line)
		data = append(data, b...)
	}
	end()
	return got
}

func number(t *testing.T, s string) int64 {
	t.Helper()
	n, err := strconv.ParseInt(s, 10, 64)
	require.NoError(t, err)
	return n
}

// tsharkReads is what Wireshark reads. It has rows for custom blocks of pcapng, too: those are of no interface.
func tsharkReads(t *testing.T, name string, ng bool) (got []seen) {
	t.Helper()
	out := run(t, "tshark", "-r", name, "-o", "frame.generate_md5_hash:TRUE", "-T", "fields", "-E", "separator=,",
		"-e", "frame.interface_id", "-e", "frame.time_epoch", "-e", "frame.cap_len", "-e", "frame.len", "-e", "frame.md5_hash")
	for line := range strings.Lines(string(out)) {
		f := strings.Split(strings.TrimSpace(line), ",")
		require.Len(t, f, 5, line)
		if ng && f[0] == "" {
			continue
		}
		s := seen{ts: noTime, wire: int(number(t, f[3])), n: int(number(t, f[2]))}
		if sec, frac, ok := strings.Cut(f[1], "."); ok {
			s.ts = number(t, sec)*1e9 + number(t, frac)
		}
		sum, err := hex.DecodeString(f[4])
		require.NoError(t, err)
		if s.n > 0 { // it has no hash of nothing
			copy(s.data[:], sum)
		} else {
			s.data = md5.Sum(nil)
		}
		got = append(got, s)
	}
	return got
}

// same compares packet by packet.
func same(t *testing.T, want, got []seen, who string) {
	t.Helper()
	for i := range min(len(want), len(got)) {
		w, g := want[i], got[i]
		if g.wire < 0 {
			w.wire = -1
		}
		if g.ts == noTime {
			w.ts -= w.ts // our time of a packet without one is 0
			g.ts = 0
			require.Zero(t, want[i].ts, "packet %d has no time, says %s", i+1, who)
		}
		require.Equal(t, g, w, "packet %d (%s and ours)", i+1, who)
	}
	require.Equal(t, len(got), len(want), "packets of %s and ours", who)
}

// generated are specs of all kinds of files that can be generated: every format in both byte orders, with both units of
// time, whole and cut, on every link, but not everything with everything.
func generated() (specs []traffic.Spec) {
	mix := traffic.DefaultMix
	mix.Cut = 10
	for i, link := range traffic.Links() {
		for k, format := range traffic.Formats() {
			s := traffic.Spec{
				Packets: 150, Seed: uint64(1 + len(specs)), Link: link, Format: format, BigEndian: (i+k)%2 == 1,
				Nano: format == "pcap" && i%3 != 0, Snap: []int{0, 96, 14}[(i+2*k)%3],
			}
			if (i+k)%4 == 0 {
				s.Mix = mix
			}
			if link == "ether" {
				for v := range 8 {
					s.BigEndian, s.Nano, s.Snap = v&1 != 0, v&2 != 0 && format == "pcap", v>>2*60
					specs = append(specs, s)
				}
				continue
			}
			specs = append(specs, s)
		}
	}
	return specs
}

// generate writes a capture.
func generate(t *testing.T, s traffic.Spec) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), s.Format)
	var file bytes.Buffer
	m, err := traffic.Generate(&file, s)
	require.NoError(t, err)
	require.Equal(t, s.Packets, m.Packets)
	require.NoError(t, os.WriteFile(name, file.Bytes(), 0o644))
	return name
}

// TestTcpdumpAgrees: on all generated files tcpdump and the reader agree on packet count, bytes, lengths and times.
func TestTcpdumpAgrees(t *testing.T) {
	for i, s := range generated() {
		t.Run(fmt.Sprintf("%s,%s,big=%v,nano=%v,snap=%d", s.Link, s.Format, s.BigEndian, s.Nano, s.Snap), func(t *testing.T) {
			t.Parallel()
			name := generate(t, s)
			mine := ours(t, name)
			require.Len(t, mine, s.Packets)
			if s.Link == "raw" && s.Format == "pcapng-all" { // libpcap takes RAW of a second interface for another link type
				same(t, mine, tsharkReads(t, name, true), "tshark")
				return
			}
			same(t, mine, tcpdumpWrites(t, name), "tcpdump -w")
			if i%4 == 0 {
				same(t, mine, tcpdumpPrints(t, name), "tcpdump -xx")
			}
		})
	}
}

// TestTsharkAgrees has Wireshark read what libpcap does not: packed files, and sections of several byte orders and link types in one
// file.
func TestTsharkAgrees(t *testing.T) {
	files := map[string][]byte{}
	file := func(s traffic.Spec) []byte {
		s.Packets = 300
		b, err := os.ReadFile(generate(t, s))
		require.NoError(t, err)
		return b
	}
	for i, f := range traffic.Formats() {
		files[f] = file(traffic.Spec{Format: f, BigEndian: i%2 == 0, Seed: uint64(i)})
	}
	var all []byte
	for i, link := range traffic.Links() {
		all = append(all, file(traffic.Spec{Format: "pcapng-all", Link: link, BigEndian: i%2 == 0, Seed: uint64(i)})...)
	}
	files["pcapng-sections"] = all
	var z bytes.Buffer
	gz := gzip.NewWriter(&z)
	_, err := gz.Write(files["pcap"])
	require.NoError(t, err)
	require.NoError(t, gz.Close())
	files["pcap.gz"] = bytes.Clone(z.Bytes())
	z.Reset()
	zs, err := zstd.NewWriter(&z)
	require.NoError(t, err)
	_, err = zs.Write(all)
	require.NoError(t, err)
	require.NoError(t, zs.Close())
	files["pcapng.zst"] = z.Bytes()

	for kind, b := range files {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			name := filepath.Join(t.TempDir(), kind)
			require.NoError(t, os.WriteFile(name, b, 0o644))
			same(t, ours(t, name), tsharkReads(t, name, strings.Contains(kind, "ng")), "tshark")
		})
	}
}
