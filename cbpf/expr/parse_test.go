package expr

import (
	"errors"
	"flag"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files")

// TestParse reads testdata/parse.txt: an expression a line, and indented below it the same with every qualifier written
// and every doubt about precedence in parentheses, or `error BYTE: MESSAGE`, and the hint in a line of its own.
func TestParse(t *testing.T) {
	const file = "testdata/parse.txt"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	cases := 0
	for line := range strings.Lines(string(text)) {
		line = strings.TrimRight(line, "\n")
		if strings.HasPrefix(line, "\t") {
			continue
		}
		out.WriteString(line + "\n")
		if line == "" || line[0] == '#' {
			continue
		}
		cases++
		out.WriteString("\t" + strings.ReplaceAll(parsed(t, line), "\n", "\n\t") + "\n")
	}
	if *update {
		if err := os.WriteFile(file, []byte(out.String()), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if got := out.String(); got != string(text) && !*update {
		w, g := strings.Split(string(text), "\n"), strings.Split(got, "\n")
		for i := range w {
			if i >= len(g) || w[i] != g[i] {
				t.Fatalf("%s:%d: want %q\n got %q", file, i+1, w[i], g[min(i, len(g)-1)])
			}
		}
	}
	if cases < 50 {
		t.Errorf("only %d cases", cases)
	}
}

// parsed is what an expression's lines in the file are.
func parsed(t *testing.T, src string) string {
	n, err := Parse(src)
	var e *Error
	if errors.As(err, &e) {
		if e.Pos < 0 || e.Pos > e.End || e.End > len(src) {
			t.Errorf("%q: error at %d to %d", src, e.Pos, e.End)
		}
		text := strings.TrimPrefix(e.Error(), "filter, byte ")
		return "error " + text + "\n" + e.Caret()
	}
	if err != nil {
		t.Errorf("%q: an error without a position: %v", src, err)
	}
	again(t, src, n)
	return n.String()
}

// again parses what a node is printed as.
func again(t *testing.T, src string, n Node) {
	t.Helper()
	text := n.String()
	m, err := Parse(text)
	if err != nil || m.String() != text {
		t.Errorf("%q is printed as %q, which is %v, %v", src, text, m, err)
	}
}

func FuzzParse(f *testing.F) {
	text, err := os.ReadFile("testdata/parse.txt")
	if err != nil {
		f.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		f.Add(strings.TrimSpace(line))
	}
	f.Fuzz(func(t *testing.T, src string) {
		n, err := Parse(src)
		var e *Error
		switch {
		case errors.As(err, &e):
			if e.Pos < 0 || e.Pos > e.End || e.End > len(e.Src) {
				t.Fatalf("%q: error at %d to %d", src, e.Pos, e.End)
			}
			e.Caret()
		case err != nil:
			t.Fatalf("%q: %v", src, err)
		case n != nil:
			again(t, src, n)
		}
	})
}

// TestParseNesting is text that is nested deeper than is parsed, and long text that is not.
func TestParseNesting(t *testing.T) {
	for _, c := range []struct{ open, middle, close string }{
		{"(", "ip", ")"}, {"not ", "ip", ""}, {"(", "1", ") = 1"}, {"- ", "1", " = 1"}, {"ip[", "1", "] = 1"},
		{"port (", "80", ")"}, {"port 80 and (", "90", ")"}, {"1 + ", "1 = 1", ""}, {"1 % ", "1 = 1", ""},
	} {
		for _, n := range []int{maxNesting + 1, 100000} {
			src := strings.Repeat(c.open, n) + c.middle + strings.Repeat(c.close, n)
			if len(src) > maxLength {
				continue
			}
			_, err := Parse(src)
			var e *Error
			if err != nil && !errors.As(err, &e) || err == nil && c.open != "1 + " {
				t.Errorf("%s… %d times: %v", c.open, n, err)
			}
		}
	}
	if n, err := Parse("ip" + strings.Repeat(" or ip", 50000)); err != nil || len(n.String()) < 300000 {
		t.Errorf("a long list: %v", err)
	}
	for long, ok := range map[string]bool{":": false, "1:": false, "::1": false, "a": true, "1.": true, "f-": false, "0x": true, "\\": true, "!": false,
		"[": false, "1 ": false, "host ": false, "a:": false, "a b ": false} {
		if _, err := Parse("host " + strings.Repeat(long, (maxLength-10)/len(long))); (err == nil) != ok {
			t.Errorf("%q repeated: %v", long, err)
		}
	}
	if _, err := Parse(strings.Repeat(" ", maxLength+1)); err == nil {
		t.Error("text of any length is parsed")
	}
}

func TestServices(t *testing.T) {
	s, err := ParseServices(strings.NewReader("ssh 22/tcp # shell\nname 5/tcp alias\nname 5/udp\nodd 6/tcp\nodd 7/udp\nu 9/udp\nx 1/ddp\n\n"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		port uint32
		over Transport
		ok   bool
	}{{"ssh", 22, OverTCP, true}, {"name", 5, 0, true}, {"alias", 5, OverTCP, true}, {"odd", 6, OverTCP, true}, {"u", 9, OverUDP, true},
		{"80", 80, 0, true}, {"x", 0, 0, false}, {"SSH", 0, 0, false}} {
		if port, over, ok := s.Port(c.name); port != c.port || over != c.over || ok != c.ok {
			t.Errorf("%s: %d, %d, %v", c.name, port, over, ok)
		}
	}
	for _, bad := range []string{"ssh", "ssh 22", "ssh 70000/tcp", "ssh x/tcp"} {
		if _, err := ParseServices(strings.NewReader("ok 1/tcp\n" + bad)); bad != "ssh 22" && (err == nil || !strings.Contains(err.Error(), "line 2")) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if port, over, ok := BuiltinServices().Port("https"); port != 443 || over != 0 || !ok {
		t.Errorf("https: %d, %d, %v", port, over, ok)
	}
}
