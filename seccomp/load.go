package seccomp

import (
	"bytes"
	"encoding/binary"
	"unicode/utf8"

	"github.com/skepvm/skep/cbpf"
)

// Load reads a filter, of whichever kind the bytes are: struct sock_filter as in memory, text in any of package cbpf's
// forms, or a container profile, which is compiled. name is for messages. Errors are *Error or *cbpf.Error.
func Load(name string, data []byte, o ProfileOptions) (*Filter, error) {
	switch {
	case isProfile(data):
		return loadProfile(name, data, o)
	case isText(data):
		src, err := cbpf.ParseSource(string(data))
		if err != nil {
			return nil, err
		}
		if err := src.Validate(cbpf.Seccomp); err != nil {
			return nil, err
		}
		return &Filter{Name: name, Program: src.Program, Source: src}, nil
	}
	return loadRaw(name, data)
}

// isText tells text from instructions, which have a zero byte in each: no class has an opcode above 255.
func isText(data []byte) bool { return bytes.IndexByte(data, 0) < 0 && utf8.Valid(data) }

// isProfile tells a profile from the array of C, which begins with a brace too, but has a number behind it.
func isProfile(data []byte) bool {
	rest, ok := bytes.CutPrefix(bytes.TrimLeft(data, " \t\r\n"), []byte("{"))
	rest = bytes.TrimLeft(rest, " \t\r\n")
	return ok && (len(rest) == 0 || rest[0] < '0' || rest[0] > '9')
}

func loadProfile(name string, data []byte, o ProfileOptions) (*Filter, error) {
	p, err := ParseProfile(data, o)
	if err != nil {
		return nil, err
	}
	prog, err := p.Compile()
	if err != nil {
		return nil, err
	}
	f, err := NewFilter(name, prog)
	if err != nil {
		return nil, err
	}
	f.Notes = p.Notes
	return f, nil
}

// loadRaw reads instructions in the byte order in which they make a filter, little-endian where none is.
func loadRaw(name string, data []byte) (*Filter, error) {
	prog, err := cbpf.Decode(data, binary.LittleEndian)
	if err != nil {
		return nil, err
	}
	f, err := NewFilter(name, prog)
	if err == nil {
		return f, nil
	}
	if prog, err2 := cbpf.Decode(data, binary.BigEndian); err2 == nil {
		if f, err2 := NewFilter(name, prog); err2 == nil {
			return f, nil
		}
	}
	return nil, err
}
