package pcap

import (
	"bytes"
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

	"github.com/skepvm/skep/internal/pcaptest"
)

var update = flag.Bool("update", false, "rewrite the expectations in testdata")

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
	cases := pcaptest.Odd(t)
	got := map[string]string{}
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			got[c.Name] = describe(bytes.NewReader(c.File), nil, 100)
			if !*update && got[c.Name] != c.Want {
				t.Errorf("got\n%swant\n%s", got[c.Name], c.Want)
			}
			for _, batch := range []int{1, 2} {
				src := iotest.OneByteReader(bytes.NewReader(c.File))
				if g := describe(src, make([]byte, MinBuffer+100), batch); g != got[c.Name] {
					t.Errorf("in batches of %d from one-byte reads\n%swant\n%s", batch, g, got[c.Name])
				}
			}
			for _, src := range []io.Reader{bytes.NewReader(c.File), iotest.OneByteReader(bytes.NewReader(c.File))} {
				if g := describePieces(src, make([]byte, PieceBuffer)); g != got[c.Name] {
					t.Errorf("in pieces\n%swant\n%s", g, got[c.Name])
				}
			}
		})
	}
	if *update {
		pcaptest.Rewrite(t, "../pcaptest", got)
	}
}

// TestOddTcpdump has libpcap read the same files, as tcpdump writes again what it reads.
func TestOddTcpdump(t *testing.T) {
	tcpdump, err := exec.LookPath("tcpdump")
	if err != nil {
		t.Skip("no tcpdump here")
	}
	cases := pcaptest.Odd(t)
	for _, c := range cases {
		t.Run(c.Name, func(t *testing.T) {
			name := filepath.Join(t.TempDir(), "in")
			if err := os.WriteFile(name, c.File, 0o644); err != nil {
				t.Fatal(err)
			}
			out, err := exec.Command(tcpdump, "-r", name, "--nano", "-w", "-").Output()
			theirs, ours := digest(bytes.NewReader(out)), digest(bytes.NewReader(c.File))
			refused := strings.Contains(c.Want, "error:")
			if same := ours == theirs && refused == (err != nil); same != (c.Libpcap == "") {
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
