package main

import (
	"bytes"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// loadFlags are the flags of every command that reads an object.
type loadFlags struct {
	progType, btf string
}

func (f *loadFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.progType, "type", "", "program type where the section name says nothing: xdp, tc, socket_filter …")
	fl.StringVar(&f.btf, "btf", "", "type information (BTF, raw or ELF) to relocate CO-RE accesses against; default: the object's own")
}

func (f *loadFlags) options() (object.Options, error) {
	o := object.Options{BTFPath: f.btf}
	if f.progType == "" {
		return o, nil
	}
	t, ok := prog.TypeOf(f.progType)
	if !ok {
		t, ok = prog.TypeOfSection(f.progType)
	}
	if !ok {
		return o, fmt.Errorf("--type %s: no such program type", f.progType)
	}
	o.Type = t
	return o, nil
}

// load reads an object from a file, or from standard input for "-".
func (a *app) load(file string, f *loadFlags) (*object.Object, error) {
	o, err := f.options()
	if err != nil {
		return nil, err
	}
	if file != "-" {
		return object.LoadFile(file, o)
	}
	elf, err := io.ReadAll(a.in)
	if err != nil {
		return nil, fmt.Errorf("standard input: %w", err)
	}
	return object.Load(bytes.NewReader(elf), "<stdin>", o)
}

// packetFlags say which bytes a program runs on.
type packetFlags struct{ file, hex string }

func (f *packetFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.file, "data", "", "file with the packet's bytes; - is standard input")
	fl.StringVar(&f.hex, "hex", "", "the packet's bytes in hex; spaces and colons are ignored")
}

func (f *packetFlags) read(in io.Reader) ([]byte, error) {
	switch {
	case f.file != "" && f.hex != "":
		return nil, fmt.Errorf("--data and --hex exclude each other")
	case f.file == "-":
		return io.ReadAll(io.LimitReader(in, skep.MaxPacket+1))
	case f.file != "":
		return os.ReadFile(f.file)
	case f.hex != "":
		return parseHex(f.hex)
	}
	return nil, fmt.Errorf("no packet: give --data FILE or --hex BYTES")
}

// parseHex reads hex digits, ignoring white space and colons. An error says at which character.
func parseHex(s string) ([]byte, error) {
	digits := make([]byte, 0, len(s))
	for i, r := range s {
		switch {
		case r == ':' || unicode.IsSpace(r):
		case strings.ContainsRune("0123456789abcdefABCDEF", r):
			digits = append(digits, byte(r))
		default:
			return nil, fmt.Errorf("--hex: character %d: %q is no hex digit", i+1, r)
		}
	}
	if len(digits)%2 != 0 {
		return nil, fmt.Errorf("--hex: character %d: odd number of hex digits", len(s))
	}
	out := make([]byte, len(digits)/2)
	_, err := hex.Decode(out, digits)
	return out, err
}
