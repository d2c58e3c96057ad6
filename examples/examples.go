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

//go:embed datapath/*.bpf.o datapath/*.maps.json datapath/edges.pcap
var datapath embed.FS

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

// Datapath returns a file of the larger programs in datapath: NAME.bpf.o, the maps that it needs as NAME.maps.json (see
// maps.LoadJSON), or edges.pcap, the packets that are hard to get right. The caller owns the bytes.
func Datapath(file string) ([]byte, error) { return datapath.ReadFile("datapath/" + file) }

// Datapaths lists the larger programs in alphabetical order, without suffix.
func Datapaths() []string {
	files, err := fs.Glob(datapath, "datapath/*"+suffix)
	if err != nil {
		panic(err) // the pattern above is well-formed
	}
	for i := range files {
		files[i] = strings.TrimSuffix(strings.TrimPrefix(files[i], "datapath/"), suffix)
	}
	return files
}
