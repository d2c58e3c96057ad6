// Package examples holds the example programs as compiled objects, for tests and demonstrations. The sources are
// beside this file; build.sh compiles them.
package examples

import (
	"embed"
	"fmt"
	"io/fs"
	"strings"
)

const suffix = ".bpf.o"

//go:embed *.bpf.o
var objects embed.FS

// Names lists the examples in alphabetical order, without the suffix ".bpf.o".
func Names() []string {
	files, err := fs.Glob(objects, "*"+suffix)
	if err != nil {
		panic(err) // the pattern above is well-formed
	}
	for i := range files {
		files[i] = strings.TrimSuffix(files[i], suffix)
	}
	return files
}

// Open returns the ELF object of one of Names. The caller owns the bytes.
func Open(name string) ([]byte, error) {
	b, err := objects.ReadFile(name + suffix)
	if err != nil {
		return nil, fmt.Errorf("no example %q (there are %s)", name, strings.Join(Names(), ", "))
	}
	return b, nil
}
