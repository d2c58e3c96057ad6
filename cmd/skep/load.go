package main

import (
	"bytes"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"unicode"

	"github.com/spf13/pflag"

	"github.com/skepvm/skep"
	"github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/object"
	"github.com/skepvm/skep/prog"
)

// loadFlags are the flags of every command that reads an object.
type loadFlags struct {
	progType, btf string
}

func (f *loadFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.progType, "type", "", "program type where no section name says it, as in plain instructions: xdp, tc, socket_filter …")
	fl.StringVar(&f.btf, "btf", "", "type information (BTF, raw or ELF) to relocate CO-RE accesses against; default: the object's own")
}

func (f *loadFlags) options() (object.Options, error) {
	o := object.Options{BTFPath: f.btf, Helpers: helpers.ID}
	if f.btf != "" { // objects without relocations would not look for it
		if _, err := os.Stat(f.btf); err != nil {
			return o, fmt.Errorf("--btf: %w", err)
		}
	}
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

// kernelTypes are the types in the file that --btf names; nil without it.
func (f *loadFlags) kernelTypes() (*btf.Types, error) {
	if f.btf == "" {
		return nil, nil
	}
	data, err := os.ReadFile(f.btf)
	if err != nil {
		return nil, err
	}
	types, err := btf.Parse(data)
	if err != nil {
		return nil, fmt.Errorf("--btf %s: %w", f.btf, err)
	}
	return types, nil
}

// file is what an object is loaded from, as often as there are engines to try it on.
type file struct {
	name string
	data []byte
}

// stdinName stands for standard input in messages.
const stdinName = "<stdin>"

// read reads a file, or standard input for "-".
func (a *app) read(path string) (*file, error) {
	if path == "-" {
		data, err := io.ReadAll(io.LimitReader(a.in, object.MaxFile+1))
		if err != nil {
			return nil, fmt.Errorf("standard input: %w", err)
		}
		return &file{stdinName, data}, nil
	}
	data, err := object.ReadFile(path)
	return &file{filepath.Base(path), data}, err
}

// load makes an object of the file, whose programs have a type.
func (f *file) load(flags *loadFlags) (*object.Object, error) {
	obj, err := f.loadUntyped(flags)
	if err == nil && flags.progType == "" && !f.isELF() && !isClassic(f.data) {
		return nil, fmt.Errorf("%s: plain instructions say no program type: give --type", f.name)
	}
	return obj, err
}

// loadUntyped makes an object of the file. Plain instructions have no type without --type.
func (f *file) loadUntyped(flags *loadFlags) (*object.Object, error) {
	o, err := flags.options()
	if err != nil {
		return nil, err
	}
	if isClassic(f.data) {
		return classicObject(f.name, f.data, o.Type)
	}
	return object.LoadBytes(f.data, f.name, o)
}

func (f *file) isELF() bool { return bytes.HasPrefix(f.data, []byte(elf.ELFMAG)) }

// load reads a file and makes an object of it.
func (a *app) load(path string, flags *loadFlags) (*object.Object, error) {
	f, err := a.read(path)
	if err != nil {
		return nil, err
	}
	return f.load(flags)
}

// packetFlags say which bytes a program runs on.
type packetFlags struct{ file, hex string }

func (f *packetFlags) add(fl *pflag.FlagSet) {
	fl.StringVar(&f.file, "data", "", "file with the packet's bytes; - is standard input")
	fl.StringVar(&f.hex, "hex", "", "the packet's bytes in hex; spaces and colons are ignored")
}

var errNoPacket = errors.New("no packet: give --data FILE or --hex BYTES")

// read is the packet, errNoPacket when none is given.
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
	return nil, errNoPacket
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
