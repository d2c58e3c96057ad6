// Command vectors writes the conformance vectors that come in families: every operation of RFC 9669 with many operands.
//
//	go run ./internal/tools/vectors [DIR]
//
// It knows the project's packages as little as their authors' mistakes: opcodes are written down once more, and results
// are computed with math/big or on bytes. Each file has its program as text and as numbers, made independently.
package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := "conformance/testdata/vectors"
	if len(os.Args) > 1 {
		dir = os.Args[1]
	}
	if err := write(dir); err != nil {
		fmt.Fprintln(os.Stderr, "vectors:", err)
		os.Exit(1)
	}
}

// file is a vector. One with words and no program must be refused or fault.
type file struct {
	name    string // path below the vectors' folder, without extension
	comment string
	text    string
	words   []uint64
	mem     []byte
	result  int
	plain   bool   // the result is no number of cases
	err     string // words of the error that it must give
}

// header marks the files that are made here, so that others may stand beside them.
const header = "# Made by internal/tools/vectors: "

// newFile finishes p. The result is the number of its cases.
func newFile(name, comment string, p *program, mem []byte) file {
	text, words := p.finish()
	return file{name: name, comment: comment, text: text, words: words, mem: mem, result: p.cases}
}

func (f *file) String() string {
	var b strings.Builder
	b.WriteString(header + f.comment + "\n")
	if f.text != "" {
		if f.err == "" && !f.plain {
			b.WriteString("# The result is the number of cases that came out right.\n")
		}
		b.WriteString("-- asm\n" + f.text)
	}
	b.WriteString("-- raw\n")
	for _, w := range f.words {
		fmt.Fprintf(&b, "0x%016x\n", w)
	}
	if len(f.mem) > 0 {
		b.WriteString("-- mem\n")
		for line := range slices.Chunk(f.mem, 16) {
			fmt.Fprintf(&b, "% x\n", line)
		}
	}
	if f.err != "" {
		fmt.Fprintf(&b, "-- error\n%s\n", f.err)
	} else {
		fmt.Fprintf(&b, "-- result\n%#x\n", f.result)
	}
	return b.String()
}

// files makes every vector.
func files() []file {
	return slices.Concat(arithmeticVectors(), unaryVectors(), branchVectors(), memoryVectors(), atomicVectors(), immediateLoads(),
		packetLoads(), castVectors(), sequenceVectors(), errorVectors())
}

// write replaces the made files below dir.
func write(dir string) error {
	old, err := made(dir)
	if err != nil {
		return err
	}
	for name := range old {
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, f := range files() {
		name := filepath.Join(dir, f.name+".data")
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(name, []byte(f.String()), 0o644); err != nil {
			return err
		}
	}
	return nil
}

// made reads the made files below dir, by their path there.
func made(dir string) (map[string]string, error) {
	found := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(name) != ".data" {
			return err
		}
		text, err := os.ReadFile(name)
		if err == nil && strings.HasPrefix(string(text), header) {
			name, err = filepath.Rel(dir, name)
			found[filepath.ToSlash(name)] = string(text)
		}
		return err
	})
	if os.IsNotExist(err) {
		return found, nil
	}
	return found, err
}
