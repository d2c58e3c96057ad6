package cbpf

import (
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/skepvm/skep/cbpf/expr"
	"github.com/skepvm/skep/linktype"
)

// A filterCase is an expression of testdata/compile with what must become of it.
//
// The files hold an expression a line, and indented below it what it gives: the unoptimised code, an instruction as
// `op jt jf k` and a semicolon after it, or `error BYTE: MESSAGE`. A line `libpcap: …` says that libpcap is known to do
// otherwise, and why that is not followed; blank lines and # are comments. The file's name is the link type.
type filterCase struct {
	comment []string // lines before
	expr    string
	want    string
	differs string
}

func readFilterCases(t *testing.T, file string) (cases []filterCase, tail []string) {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var comment []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		rest, indented := strings.CutPrefix(line, "\t")
		switch {
		case line == "" || line[0] == '#':
			comment = append(comment, line)
		case !indented:
			cases = append(cases, filterCase{comment: comment, expr: line})
			comment = nil
		case strings.HasPrefix(rest, "libpcap: "):
			cases[len(cases)-1].differs = rest
		default:
			cases[len(cases)-1].want = rest
		}
	}
	return cases, comment
}

func linkOfFile(t *testing.T, file string) linktype.Type {
	t.Helper()
	link, ok := linktype.Parse(strings.TrimSuffix(filepath.Base(file), ".txt"))
	if !ok {
		t.Fatalf("%s is not called after a link type", file)
	}
	return link
}

func codeText(p Program) string {
	parts := make([]string, len(p))
	for i, in := range p {
		parts[i] = fmt.Sprintf("%d %d %d %d", in.Op, in.Jt, in.Jf, in.K)
	}
	return strings.Join(parts, "; ")
}

// live says if a golden file is about captures on Linux's interfaces.
func live(file string) bool { return strings.Contains(file, "/live/") }

func compiled(src, file string, link linktype.Type) string {
	p, err := CompileOptions{NoOptimize: true, LinuxExt: live(file)}.Compile(src, link)
	var e *expr.Error
	switch {
	case errors.As(err, &e):
		return fmt.Sprintf("error %d: %s", e.Pos, e.Msg)
	case err != nil:
		return "untyped error: " + err.Error()
	}
	return codeText(p)
}

func filterFiles(t *testing.T) []string {
	t.Helper()
	files, _ := filepath.Glob("testdata/compile/*.txt")
	more, _ := filepath.Glob("testdata/compile/live/*.txt")
	if len(files) < 15 || len(more) == 0 {
		t.Fatalf("found only %v, %v", files, more)
	}
	return append(files, more...)
}

func TestCompile(t *testing.T) {
	files := filterFiles(t)
	for _, file := range files {
		link := linkOfFile(t, file)
		cases, tail := readFilterCases(t, file)
		var out strings.Builder
		for _, c := range cases {
			got := compiled(c.expr, file, link)
			if got != c.want && !*update {
				t.Errorf("%s: %s\n got %s\nwant %s", file, c.expr, got, c.want)
			}
			for _, l := range append(c.comment, c.expr, "\t"+got) {
				out.WriteString(l + "\n")
			}
			if c.differs != "" {
				out.WriteString("\t" + c.differs + "\n")
			}
		}
		for _, l := range tail {
			out.WriteString(l + "\n")
		}
		if *update {
			if err := os.WriteFile(file, []byte(out.String()), 0o666); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// tcpdumpCode is the unoptimised program of libpcap, or its error.
func tcpdumpCode(t *testing.T, src string, flags ...string) (code string, refused string) {
	t.Helper()
	var stderr strings.Builder
	cmd := exec.Command("tcpdump", append(flags, "-O", "-ddd", "--", src)...)
	cmd.Stderr = &stderr
	text, err := cmd.Output()
	if err != nil {
		return "", strings.TrimSpace(stderr.String())
	}
	lines := strings.Fields(strings.ReplaceAll(strings.TrimSpace(string(text)), " ", ","))
	return strings.ReplaceAll(strings.Join(lines[1:], "; "), ",", " "), ""
}

// TestCompileAsLibpcap compares the golden files with the tcpdump of the machine: the unoptimised code is libpcap's,
// instruction for instruction, and what one refuses the other refuses too. It is a sample, with -full all.
func TestCompileAsLibpcap(t *testing.T) {
	if _, err := exec.LookPath("tcpdump"); err != nil {
		t.Skip("no tcpdump here")
	}
	compared, n, step := 0, 0, 7
	if *full {
		step = 1
	}
	for _, file := range filterFiles(t) {
		link := linkOfFile(t, file)
		input := []string{"-i", "lo"}
		if !live(file) {
			input = []string{"-r", emptyCapture(t, link)}
		} else if _, refused := tcpdumpCode(t, "ip", input...); refused != "" {
			t.Logf("%s is left out, it needs root: %s", file, refused)
			continue
		}
		cases, _ := readFilterCases(t, file)
		for _, c := range cases {
			if n++; n%step != 0 {
				continue
			}
			code, refused := tcpdumpCode(t, c.expr, input...)
			isError := strings.HasPrefix(c.want, "error ")
			same := code == c.want || refused != "" && isError
			if same == (c.differs != "") {
				t.Errorf("%s: %s\n ours    %s\n libpcap %s%s\n noted   %s", file, c.expr, c.want, code, refused, strconv.Quote(c.differs))
			}
			compared++
		}
	}
	t.Logf("%d expressions compared", compared)
}

// emptyCapture writes a capture file without packets.
func emptyCapture(t *testing.T, link linktype.Type) string {
	name := filepath.Join(t.TempDir(), "empty.pcap")
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = binary.LittleEndian.AppendUint32(head, 4<<16|2)
	for _, w := range []uint32{0, 0, DefaultSnapLen, uint32(link)} {
		head = binary.LittleEndian.AppendUint32(head, w)
	}
	if err := os.WriteFile(name, head, 0o666); err != nil {
		t.Fatal(err)
	}
	return name
}

// TestUnknownLink is a link type that no filter can be compiled for.
func TestUnknownLink(t *testing.T) {
	_, err := Compile("ip", 7)
	var e *expr.Error
	if !errors.As(err, &e) || !strings.Contains(e.Msg, "LINKTYPE_7") {
		t.Errorf("%v", err)
	}
}

// TestCompileLong is an expression that needs more instructions than there may be, and one with more tests than are
// ever generated.
func TestCompileLong(t *testing.T) {
	for _, c := range []struct {
		begin, more string
		n           int
		early       bool // it is noticed while code is generated, with the place
	}{
		{"port 1", " or 2", 100, false}, {"port 1", " or 2", 10000, true}, {"len = 1", " + 1", 1000, false},
		{"len = 1", " + 1", 200000, true}, {"len = 1", " + tcp[0]", 10000, true},
	} {
		_, err := CompileOptions{NoOptimize: true}.Compile(c.begin+strings.Repeat(c.more, c.n), linktype.Ethernet)
		var e *expr.Error
		if !errors.As(err, &e) || !strings.Contains(e.Msg, "4096") || (e.Pos > 0) != c.early {
			t.Errorf("%s and %d times %s: %v", c.begin, c.n, c.more, err)
		}
	}
}
