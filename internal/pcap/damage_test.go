package pcap

import (
	"bytes"
	"encoding/binary"
	"flag"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcaptest"
)

// split parts what describe says into the packets and the end.
func split(text string) (packets []string, end string) {
	lines := strings.SplitAfter(strings.TrimSuffix(text, "\n"), "\n")
	return lines[:len(lines)-1], lines[len(lines)-1]
}

var atOffset = regexp.MustCompile(`offset (\d+)`)

// TestCutAnywhere cuts every file at every byte: what is whole is read, and the error says where the rest begins.
func TestCutAnywhere(t *testing.T) {
	cases := pcaptest.Odd(t)
	buf, piece := make([]byte, 64<<10), make([]byte, PieceBuffer)
	for _, c := range cases {
		packed := strings.HasPrefix(c.Name, "gzip") || strings.HasPrefix(c.Name, "zstd")
		whole, wholeEnd := split(c.Want)
		had := len(whole)
		begins := map[string]bool{} // offsets at which something was said to begin that was not all there
		if m := atOffset.FindStringSubmatch(wholeEnd); m != nil {
			begins[m[1]] = true
		}
		for n := len(c.File) - 1; n >= 0; n-- {
			text := describe(bytes.NewReader(c.File[:n]), buf, 10)
			got, end := split(text)
			require.LessOrEqual(t, len(got), had, "%s cut to %d", c.Name, n)
			require.Equal(t, whole[:len(got)], got, "%s cut to %d", c.Name, n)
			require.Equal(t, text, describePieces(bytes.NewReader(c.File[:n]), piece), "%s cut to %d, in pieces", c.Name, n)
			had = len(got)
			m := atOffset.FindStringSubmatch(end)
			switch {
			case end == wholeEnd: // the damage is before the cut; or, of an end, behind it is nothing that counts
			case end == "end":
				require.True(t, packed || begins[fmt.Sprint(n)], "%s cut to %d: nothing is missed", c.Name, n)
			default:
				require.NotNil(t, m, "%s cut to %d: %s", c.Name, n, end)
				begins[m[1]] = true
			}
		}
		require.Zero(t, had, "%s: packets of nothing", c.Name)
	}
}

var (
	damageSeed  = flag.Uint64("damageseed", 1, "first seed of TestDamagedTcpdump")
	damageCount = flag.Uint64("damaged", 60, "files of TestDamagedTcpdump")
)

// words are values that lengths, numbers and times may be damaged to.
var words = []uint32{0, 1, 2, 7, 8, 12, 16, 24, 28, 1 << 10, 1 << 18, 1<<18 + 1, 1 << 20, 1 << 24, 1<<24 + 4, 1<<31 - 1, 1 << 31, 1<<32 - 16, 1<<32 - 1}

// damage changes a file in one place.
func damage(rng *rand.Rand, file []byte) []byte {
	b := bytes.Clone(file)
	at := rng.IntN(len(b) - 3)
	order := []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian}[rng.IntN(2)]
	word := order.AppendUint32(nil, words[rng.IntN(len(words))])
	switch rng.IntN(6) {
	case 0:
		return b[:at]
	case 1:
		return append(b[:at], file[at+1+rng.IntN(3):]...)
	case 2:
		return append(append(b[:at&^3], word...), file[at&^3:]...)
	case 3:
		b[at] ^= 1 << rng.IntN(8)
	default:
		copy(b[at&^3:], word)
	}
	return b
}

// libpcapRefuses is what libpcap says of files that the reader reads on from there, as Wireshark does.
var libpcapRefuses = regexp.MustCompile(`unknown data link type` +
	`|the capture file has no Interface Description Blocks|an interface has a (type|snapshot length) \d+ different from` +
	`|invalid packet capture length \d+, bigger than snaplen of` + // of a pcapng file; of a pcap file both refuse
	`|the file has sections with different byte orders` +
	`|truncated dump file; tried to read \d+ captured bytes`) // of which those up to the snapshot length are there

// weRefuse is what the reader says of files that libpcap reads.
var weRefuse = regexp.MustCompile(`offset 0: block length \d+ at its start`) // libpcap does not look at the end of the first block

// TestDamagedTcpdump damages files at random: whatever libpcap still reads of them is read, and where it refuses the rest, so does the
// reader, but for the reasons above.
func TestDamagedTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	cases := pcaptest.Odd(t)
	name := filepath.Join(t.TempDir(), "damaged")
	for seed := *damageSeed; seed < *damageSeed+*damageCount; seed++ {
		rng := rand.New(rand.NewPCG(seed, 0))
		c := cases[rng.IntN(len(cases))]
		if c.Libpcap != "" || len(c.File) < 24 {
			continue
		}
		file := damage(rng, c.File)
		require.NoError(t, os.WriteFile(name, file, 0o644))
		var stderr strings.Builder
		cmd := exec.Command(tcpdump, "-r", name, "--nano", "-w", "-")
		cmd.Stderr = &stderr
		out, err := cmd.Output()
		theirs, _ := split(damageDigest(out))
		ours, end := split(damageDigest(file))
		switch {
		case weRefuse.MatchString(end):
		case !beginsWith(ours, theirs):
			t.Errorf("-damageseed %d, of %s: libpcap reads\n%sthe reader\n%s%s\n%x", seed, c.Name, theirs, ours, end, file)
		case libpcapRefuses.MatchString(stderr.String()):
		case len(theirs) != len(ours) || (err == nil) != (end == "end"):
			t.Errorf("-damageseed %d, of %s: libpcap ends after %d packets with\n%sthe reader after %d with %s\n%x", seed, c.Name, len(theirs),
				stderr.String(), len(ours), end, file)
		}
	}
}

// noTime stands for a time that does not fit 64 bits of ns.
const noTime = "no time"

// beginsWith reports whether the packets begin with some that libpcap reads.
func beginsWith(packets, theirs []string) bool {
	if len(packets) < len(theirs) {
		return false
	}
	for i, want := range theirs {
		if rest, ok := strings.CutPrefix(packets[i], noTime); ok {
			_, data, _ := strings.Cut(want, " ")
			want, packets[i] = data, strings.TrimPrefix(rest, " ")
		}
		if packets[i] != want {
			return false
		}
	}
	return true
}

// damageDigest is what both must agree on. tcpdump writes the low 32 bits of seconds and of fractions, so those of the ns are
// equal.
func damageDigest(file []byte) string {
	var out strings.Builder
	r, err := NewReader(bytes.NewReader(file), nil)
	for err == nil {
		recs := make([]Record, 10)
		var n int
		n, err = r.ReadBatch(recs)
		for _, rec := range recs[:n] {
			ts := fmt.Sprint(uint32(rec.TS))
			if rec.TS == math.MaxInt64 || rec.TS == math.MinInt64 {
				ts = noTime
			}
			fmt.Fprintf(&out, "%s %d/%d %x\n", ts, rec.CapLen, rec.OrigLen, r.Data(&rec))
		}
	}
	describeEnd(&out, err)
	return out.String()
}
