package pcap

import (
	"bytes"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/rogpeppe/go-internal/txtar"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

const oddFile = "testdata/odd.txtar"

type oddCase struct {
	name    string
	file    []byte
	want    string
	libpcap string
}

func oddCases(t testing.TB) ([]oddCase, *txtar.Archive) {
	ar, err := txtar.ParseFile(oddFile)
	if err != nil {
		t.Fatal(err)
	}
	var cases []oddCase
	for _, f := range ar.Files {
		name, kind, _ := strings.Cut(f.Name, ".hex")
		if kind == "" && name != f.Name {
			b, err := hex.DecodeString(strings.Join(strings.Fields(string(f.Data)), ""))
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			cases = append(cases, oddCase{name: name, file: b})
			continue
		}
		c := &cases[len(cases)-1]
		switch f.Name {
		case c.name + ".want":
			c.want = string(f.Data)
		case c.name + ".libpcap":
			c.libpcap = string(f.Data)
		default:
			t.Fatalf("%s belongs to no case", f.Name)
		}
	}
	return cases, ar
}

// describe reads a capture to its end and gives a line for each packet and one for the end.
func describe(src io.Reader, buf []byte, batch int) string {
	var out strings.Builder
	r, err := NewReader(src, buf)
	for err == nil {
		recs := make([]Record, batch)
		var n int
		n, err = r.ReadBatch(recs)
		for _, rec := range recs[:n] {
			fmt.Fprintf(&out, "%d if%d %d/%d %v", rec.TS, rec.Iface, rec.CapLen, rec.OrigLen, rec.Link)
			if name := r.Interfaces()[rec.Iface].Name; name != "" {
				fmt.Fprintf(&out, " name=%s", name)
			}
			if rec.Has&HasFlags != 0 {
				fmt.Fprintf(&out, " flags=%#x", rec.Flags)
			}
			if rec.Has&HasQueue != 0 {
				fmt.Fprintf(&out, " queue=%d", rec.Queue)
			}
			if rec.Has&HasID != 0 {
				fmt.Fprintf(&out, " id=%d", rec.ID)
			}
			fmt.Fprintf(&out, " %x\n", r.Data(&rec))
		}
	}
	var e *Error
	switch {
	case err == io.EOF:
		out.WriteString("end\n")
	case errors.As(err, &e):
		fmt.Fprintf(&out, "error: %v\n", e)
	default:
		fmt.Fprintf(&out, "error of the wrong type %T: %v\n", err, err)
	}
	return out.String()
}

func TestOdd(t *testing.T) {
	cases, ar := oddCases(t)
	got := map[string]string{}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			got[c.name] = describe(bytes.NewReader(c.file), nil, 100)
			if !*update && got[c.name] != c.want {
				t.Errorf("got\n%swant\n%s", got[c.name], c.want)
			}
			for _, batch := range []int{1, 2} {
				src := iotest.OneByteReader(bytes.NewReader(c.file))
				if g := describe(src, make([]byte, MinBuffer+100), batch); g != got[c.name] {
					t.Errorf("in batches of %d from one-byte reads\n%swant\n%s", batch, g, got[c.name])
				}
			}
		})
	}
	if !*update {
		return
	}
	var files []txtar.File
	for _, f := range ar.Files {
		if strings.HasSuffix(f.Name, ".want") {
			continue
		}
		files = append(files, f)
		if name, ok := strings.CutSuffix(f.Name, ".hex"); ok {
			files = append(files, txtar.File{Name: name + ".want", Data: []byte(got[name])})
		}
	}
	ar.Files = files
	if err := os.WriteFile(oddFile, txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

// TestOddTcpdump has libpcap read the same files, as tcpdump writes again what it reads.
func TestOddTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	cases, _ := oddCases(t)
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(name, c.file, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tcpdump, "-r", name, "--nano", "-w", "-").Output()
			theirs, ours := digest(bytes.NewReader(out)), digest(bytes.NewReader(c.file))
			refused := strings.Contains(c.want, "error:")
			if same := ours == theirs && refused == (err != nil); same != (c.libpcap == "") {
				t.Errorf("libpcap (error %v)\n%sours (refused %v)\n%s", err, theirs, refused, ours)
			}
		})
	}
}

// digest has a line for each packet, of what both readers must agree on.
func digest(src io.Reader) string {
	var out strings.Builder
	r, err := NewReader(src, nil)
	for err == nil {
		recs := make([]Record, 10)
		var n int
		n, err = r.ReadBatch(recs)
		for _, rec := range recs[:n] {
			fmt.Fprintf(&out, "%d %d/%d %x\n", rec.TS, rec.CapLen, rec.OrigLen, r.Data(&rec))
		}
	}
	return out.String()
}
