package cbpf

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/skepvm/skep/internal/pcap"
)

// outcome is what libpcap makes of a filter on a link type.
type outcome struct {
	err   string  // why it refuses the filter; "" when it doesn't
	code  Program // what tcpdump -ddd prints
	plain Program // what tcpdump -O -ddd prints, nil when it gives the same verdict on every packet of the referee
}

// tcpdump finds the command.
func tcpdump(t testing.TB) string {
	name, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	return name
}

// ask has tcpdump compile a filter for the link type of a capture file.
func ask(t testing.TB, tcpdump, capture, filter string, flags ...string) (Program, string) {
	cmd := exec.Command(tcpdump, append(flags, "-r", capture, "-ddd", "--", filter)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		var exit *exec.ExitError
		require.True(t, errors.As(err, &exit), "%v", err)
		text := strings.TrimSpace(stderr.String())
		_, text, _ = strings.Cut(text[strings.LastIndexByte(text, '\n')+1:], "tcpdump: ")
		require.NotEmpty(t, text, "%q on %s: %s", filter, capture, stderr.String())
		return nil, text
	}
	p, err := numbersProgram(strings.Split(strings.TrimSpace(stdout.String()), "\n"))
	require.NoError(t, err, filter)
	return p, ""
}

// selects returns which packets of a capture of n packets tcpdump itself selects.
func selects(t testing.TB, tcpdump, capture, filter string, n int) []bool {
	out, err := exec.Command(tcpdump, "-r", capture, "-w", "-", "--", filter).Output()
	require.NoError(t, err, filter)
	r, err := pcap.NewReader(bytes.NewReader(out), make([]byte, 1<<20))
	require.NoError(t, err)
	is := make([]bool, n)
	recs := make([]pcap.Record, 64)
	for {
		got, err := r.ReadBatch(recs)
		if err == io.EOF {
			return is
		}
		require.NoError(t, err)
		for _, rec := range recs[:got] {
			is[(rec.TS-refStart)/1000] = true
		}
	}
}

// numbersProgram reads the lines of -ddd: a count and four numbers for each instruction.
func numbersProgram(lines []string) (Program, error) {
	var p Program
	for _, line := range lines[1:] {
		var in Insn
		if _, err := fmt.Sscan(line, &in.Op, &in.Jt, &in.Jf, &in.K); err != nil {
			return nil, fmt.Errorf("%q: %w", line, err)
		}
		p = append(p, in)
	}
	if lines[0] != strconv.Itoa(len(p)) {
		return nil, fmt.Errorf("%d instructions, not %s", len(p), lines[0])
	}
	return p, nil
}

// appendNumbers is the reverse, on one line, with commas for newlines.
func appendNumbers(b []byte, p Program) []byte {
	b = strconv.AppendInt(b, int64(len(p)), 10)
	for _, in := range p {
		b = fmt.Appendf(b, ",%d %d %d %d", in.Op, in.Jt, in.Jf, in.K)
	}
	return b
}

// refRun runs a program by libpcap's rules (bpf_filter), backward jumps among them. It shares no code with what it judges.
func refRun(p Program, pkt []byte, wire uint32) uint32 {
	var a, x uint32
	var m [16]uint32
	for pc := 0; ; pc++ {
		in := p[pc]
		k := in.K
		off, load := uint64(k), false
		switch in.Op & 0xe7 {
		case 0x20, 0x21:
			load = true
		case 0x40:
			off, load = off+uint64(x), true
		case 0xa1:
			load = true
		}
		var v uint32
		if load {
			n := uint64([]int{4, 2, 1, 4}[in.Op>>3&3])
			if off+n > uint64(len(pkt)) {
				return 0
			}
			var word [4]byte
			copy(word[4-n:], pkt[off:off+n])
			v = binary.BigEndian.Uint32(word[:])
		}
		switch in.Op {
		case 0x20, 0x28, 0x30, 0x40, 0x48, 0x50:
			a = v
		case 0xb1:
			x = v & 15 * 4
		case 0x00:
			a = k
		case 0x01:
			x = k
		case 0x80:
			a = wire
		case 0x81:
			x = wire
		case 0x60:
			a = m[k]
		case 0x61:
			x = m[k]
		case 0x02:
			m[k] = a
		case 0x03:
			m[k] = x
		case 0x07:
			x = a
		case 0x87:
			a = x
		case 0x06:
			return k
		case 0x16:
			return a
		case 0x05:
			pc += int(int32(k))
		default:
			if in.Op&8 != 0 {
				k = x
			}
			if in.Op&7 == 5 {
				pc += int(refJump(in, a, k))
				continue
			}
			if op := in.Op & 0xf0; (op == 0x30 || op == 0x90) && k == 0 {
				return 0
			}
			a = refALU(in.Op&0xf0, a, k)
		}
	}
}

func refJump(in Insn, a, k uint32) uint8 {
	is := a&k != 0
	switch in.Op & 0xf0 {
	case 0x10:
		is = a == k
	case 0x20:
		is = a > k
	case 0x30:
		is = a >= k
	}
	if is {
		return in.Jt
	}
	return in.Jf
}

func refALU(op uint16, a, k uint32) uint32 {
	switch op {
	case 0x00:
		return a + k
	case 0x10:
		return a - k
	case 0x20:
		return a * k
	case 0x30:
		return a / k
	case 0x40:
		return a | k
	case 0x50:
		return a & k
	case 0x60:
		return a << k
	case 0x70:
		return a >> k
	case 0x80:
		return -a
	case 0x90:
		return a % k
	case 0xa0:
		return a ^ k
	}
	panic(fmt.Sprintf("operation %#x", op))
}

// readFilters reads testdata/filters.data.
func readFilters(t testing.TB) []string {
	text, err := os.ReadFile("testdata/filters.data")
	require.NoError(t, err)
	var all []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if line != "" && line[0] != '#' && !strings.HasPrefix(line, "==") {
			all = append(all, line)
		}
	}
	require.Equal(t, len(all), len(slices.Compact(slices.Sorted(slices.Values(all)))), "a filter is there twice")
	return all
}

const libpcapFile = "testdata/libpcap.gz"

// answers is libpcap's outcome for each filter and the name of each link type.
type answers map[string]map[string]outcome

// readAnswers reads libpcapFile: a line "> filter", then lines of the links that have one outcome in common, a colon, and
// "! error" or instructions, and perhaps those of -O after a bar.
func readAnswers(t testing.TB) answers {
	f, err := os.Open(libpcapFile)
	require.NoError(t, err)
	defer f.Close()
	z, err := gzip.NewReader(f)
	require.NoError(t, err)
	all, filter := answers{}, ""
	in := bufio.NewScanner(z)
	in.Buffer(nil, 1<<20)
	for in.Scan() {
		line := in.Text()
		if name, ok := strings.CutPrefix(line, "> "); ok {
			filter, all[name] = name, map[string]outcome{}
			continue
		}
		links, text, ok := strings.Cut(line, ": ")
		require.True(t, ok, line)
		var o outcome
		if o.err, ok = strings.CutPrefix(text, "! "); !ok {
			o.err = ""
			code, plain, both := strings.Cut(text, "|")
			o.code, err = numbersProgram(strings.Split(code, ","))
			require.NoError(t, err, line)
			if both {
				o.plain, err = numbersProgram(strings.Split(plain, ","))
				require.NoError(t, err, line)
			}
		}
		for link := range strings.FieldsSeq(links) {
			all[filter][link] = o
		}
	}
	require.NoError(t, in.Err())
	return all
}

func writeAnswers(t testing.TB, filters []string, all answers) {
	var out bytes.Buffer
	z, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	require.NoError(t, err)
	for _, filter := range filters {
		fmt.Fprintf(z, "> %s\n", filter)
		same := map[string][]string{}
		for _, link := range slices.Sorted(maps.Keys(all[filter])) {
			o := all[filter][link]
			text := "! " + o.err
			if o.err == "" {
				b := appendNumbers(nil, o.code)
				if o.plain != nil {
					b = appendNumbers(append(b, '|'), o.plain)
				}
				text = string(b)
			}
			same[text] = append(same[text], link)
		}
		for _, text := range slices.Sorted(maps.Keys(same)) {
			fmt.Fprintf(z, "%s: %s\n", strings.Join(same[text], " "), text)
		}
	}
	require.NoError(t, z.Close())
	require.NoError(t, os.WriteFile(libpcapFile, out.Bytes(), 0o644))
}

// askAll asks tcpdump about every filter and link type.
func askAll(t testing.TB, filters []string) answers {
	command, all := tcpdump(t), answers{}
	for _, f := range filters {
		all[f] = map[string]outcome{}
	}
	for _, l := range refLinks() {
		packets := packetsOf(t, l)
		capture := writeCapture(t, l, nil)
		for _, f := range filters {
			var o outcome
			if o.code, o.err = ask(t, command, capture, f); o.err == "" {
				o.plain = plainWhereDifferent(t, command, capture, f, o.code, packets)
			}
			all[f][l.name] = o
		}
	}
	return all
}

// plainWhereDifferent returns libpcap's unoptimised code if it decides otherwise about one of the packets.
func plainWhereDifferent(t testing.TB, command, capture, filter string, code Program, packets []refPacket) Program {
	plain, refused := ask(t, command, capture, filter, "-O")
	if refused != "" {
		return nil
	}
	for _, p := range append(packets[:len(packets):len(packets)], boundaries(code, packets)...) {
		if (refRun(code, p.data, p.wire) == 0) != (refRun(plain, p.data, p.wire) == 0) {
			return plain
		}
	}
	return nil
}
