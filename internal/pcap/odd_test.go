package pcap

import (
	"bytes"
	"compress/gzip"
	"encoding/hex"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
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
		switch {
		case strings.HasSuffix(f.Name, ".hex"):
			b, err := hex.DecodeString(strings.Join(strings.Fields(string(f.Data)), ""))
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			cases = append(cases, oddCase{name: strings.TrimSuffix(f.Name, ".hex"), file: b})
			continue
		case strings.HasSuffix(f.Name, ".patch"):
			b, err := patched(cases, strings.Fields(string(f.Data)))
			if err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			cases = append(cases, oddCase{name: strings.TrimSuffix(f.Name, ".patch"), file: b})
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

// patched is the file of an earlier case after changes, one after the other: see the head of odd.txtar.
func patched(cases []oddCase, words []string) ([]byte, error) {
	at := slices.IndexFunc(cases, func(c oddCase) bool { return c.name == words[0] })
	if at < 0 {
		return nil, fmt.Errorf("no case %q before", words[0])
	}
	b := bytes.Clone(cases[at].file)
	for _, w := range words[1:] {
		if pack, ok := packers[w]; ok {
			b = pack(b)
			continue
		}
		i := strings.IndexAny(w, "=+-")
		if i < 0 {
			return nil, fmt.Errorf("no change: %q", w)
		}
		off, err := strconv.Atoi(w[:i])
		if w[:i] == "end" {
			off, err = len(b), nil
		}
		arg, herr := hex.DecodeString(w[i+1:])
		n, nerr := strconv.Atoi(w[i+1:])
		switch op := w[i]; {
		case err != nil, op != '-' && herr != nil, op == '-' && nerr != nil, off > len(b), op == '=' && off+len(arg) > len(b):
			return nil, fmt.Errorf("no change: %q", w)
		case op == '=':
			copy(b[off:], arg)
		case op == '+':
			b = slices.Insert(b, off, arg...)
		default:
			b = slices.Delete(b, off, min(off+n, len(b)))
		}
	}
	return b, nil
}

// packers pack without compressing, so that it is known where what is.
var packers = map[string]func([]byte) []byte{
	"gzip": func(b []byte) []byte { // header of 10 bytes, 5 of a block, sum and length
		var z bytes.Buffer
		w, _ := gzip.NewWriterLevel(&z, gzip.NoCompression)
		_, _ = w.Write(b)
		_ = w.Close()
		return z.Bytes()
	},
	"zstd": func(b []byte) []byte { // header of 6 bytes, 3 of a raw block (RFC 8878 section 3.1.1)
		n := len(b)<<3 | 1
		return append([]byte{0x28, 0xb5, 0x2f, 0xfd, 0, 0x58, byte(n), byte(n >> 8), byte(n >> 16)}, b...)
	},
}

// describe reads a capture to its end and gives a line for each packet and one for the end.
func describe(src io.Reader, buf []byte, batch int) string {
	var out strings.Builder
	r, err := NewReader(src, buf)
	for err == nil {
		recs := make([]Record, batch)
		var n int
		n, err = r.ReadBatch(recs)
		for i := range recs[:n] {
			describeRecord(&out, &recs[i], r.Interfaces(), r.Data(&recs[i]))
		}
	}
	describeEnd(&out, err)
	return out.String()
}

// describePieces is describe by a reader in pieces, of PieceBuffer bytes.
func describePieces(src io.Reader, piece []byte) string {
	var out strings.Builder
	p := Piece{Buf: piece}
	r, err := NewPieces(src)
	for err == nil {
		r.Claim(&p)
		r.Load(&p)
		err = r.Parse(&p)
		for i := range p.Recs {
			describeRecord(&out, &p.Recs[i], p.Ifaces, p.Buf[p.Recs[i].Off:][:p.Recs[i].CapLen])
		}
	}
	describeEnd(&out, err)
	return out.String()
}

func describeRecord(out io.Writer, rec *Record, ifaces []Interface, data []byte) {
	fmt.Fprintf(out, "%d if%d %d/%d %v", rec.TS, rec.Iface, rec.CapLen, rec.OrigLen, rec.Link)
	if name := ifaces[rec.Iface].Name; name != "" {
		fmt.Fprintf(out, " name=%s", name)
	}
	if rec.Has&HasFlags != 0 {
		fmt.Fprintf(out, " flags=%#x", rec.Flags)
	}
	if rec.Has&HasQueue != 0 {
		fmt.Fprintf(out, " queue=%d", rec.Queue)
	}
	if rec.Has&HasID != 0 {
		fmt.Fprintf(out, " id=%d", rec.ID)
	}
	fmt.Fprintf(out, " %x\n", data)
}

func describeEnd(out io.Writer, err error) {
	var e *Error
	switch {
	case err == io.EOF:
		fmt.Fprintln(out, "end")
	case errors.As(err, &e):
		fmt.Fprintf(out, "error: %v\n", e)
	default:
		fmt.Fprintf(out, "error of the wrong type %T: %v\n", err, err)
	}
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
			for _, src := range []io.Reader{bytes.NewReader(c.file), iotest.OneByteReader(bytes.NewReader(c.file))} {
				if g := describePieces(src, make([]byte, PieceBuffer)); g != got[c.name] {
					t.Errorf("in pieces\n%swant\n%s", g, got[c.name])
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
		name, ok := strings.CutSuffix(f.Name, ".hex")
		if !ok {
			name, ok = strings.CutSuffix(f.Name, ".patch")
		}
		if ok {
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
