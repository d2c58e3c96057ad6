// Package pcaptest has capture files that lie or are rare, for the tests of all that reads captures.
package pcaptest

import (
	"bytes"
	"compress/gzip"
	_ "embed" // the files
	"encoding/hex"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/txtar"
)

const oddFile = "odd.txtar"

//go:embed odd.txtar
var odd []byte

// Case is a capture file and what is to be made of it. The head of odd.txtar says how they are written down.
type Case struct {
	Name    string
	File    []byte
	Want    string // a line for each packet, and "end" or "error: …"
	Libpcap string // why libpcap answers differently; "" when it does not
}

// Packets is how many packets there are.
func (c *Case) Packets() int { return strings.Count(c.Want, "\n") - 1 }

// Damage is the error behind the packets, "" when there is none.
func (c *Case) Damage() string {
	_, damage, _ := strings.Cut("\n"+c.Want, "\nerror: ")
	return strings.TrimSuffix(damage, "\n")
}

// Odd returns the cases.
func Odd(t testing.TB) []Case {
	t.Helper()
	var cases []Case
	for _, f := range txtar.Parse(odd).Files {
		name, kind := f.Name[:max(strings.LastIndexByte(f.Name, '.'), 0)], filepath.Ext(f.Name)
		data, err := f.Data, error(nil)
		switch kind {
		case ".hex":
			data, err = hex.DecodeString(strings.Join(strings.Fields(string(data)), ""))
		case ".patch":
			data, err = patched(cases, strings.Fields(string(data)))
		}
		switch c := len(cases) - 1; {
		case err != nil:
			t.Fatalf("%s: %v", f.Name, err)
		case kind == ".hex" || kind == ".patch":
			cases = append(cases, Case{Name: name, File: data})
		case c >= 0 && cases[c].Name == name && kind == ".want":
			cases[c].Want = string(data)
		case c >= 0 && cases[c].Name == name && kind == ".libpcap":
			cases[c].Libpcap = string(data)
		default:
			t.Fatalf("%s belongs to no case", f.Name)
		}
	}
	return cases
}

// Rewrite writes the file of the cases in dir with other expectations, by the names of the cases.
func Rewrite(t testing.TB, dir string, want map[string]string) {
	t.Helper()
	ar := txtar.Parse(odd)
	var files []txtar.File
	for _, f := range ar.Files {
		name, kind := strings.TrimSuffix(f.Name, filepath.Ext(f.Name)), filepath.Ext(f.Name)
		if kind == ".want" {
			continue
		}
		files = append(files, f)
		if kind != ".libpcap" {
			files = append(files, txtar.File{Name: name + ".want", Data: []byte(want[name])})
		}
	}
	ar.Files = files
	if err := os.WriteFile(filepath.Join(dir, oddFile), txtar.Format(ar), 0o644); err != nil {
		t.Fatal(err)
	}
}

// patched is the file of an earlier case after changes, one after the other: see there.
func patched(cases []Case, words []string) ([]byte, error) {
	at := slices.IndexFunc(cases, func(c Case) bool { return c.Name == words[0] })
	if at < 0 {
		return nil, fmt.Errorf("no case %q before", words[0])
	}
	b := bytes.Clone(cases[at].File)
	for _, w := range words[1:] {
		if pack, ok := Pack[w]; ok {
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

// Pack has functions that pack without compressing, so that it is known where what is.
var Pack = map[string]func([]byte) []byte{
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
