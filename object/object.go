// Package object reads compiled BPF programs: ELF objects as clang makes them, and plain files of instructions. The
// result is data only, the same on every machine: it needs no kernel and leaves running to others.
//
// The ELF container, relocations and map definitions are read here; BTF and the arithmetic of CO-RE are cilium/ebpf's.
// Reading goes on past what skep cannot use: a map or program with a trouble of its own is still in the result, and
// its field Broken says what and why. Only a file that is no BPF object, or a damaged one, fails as a whole.
package object

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// Limits on input: what is beyond them is refused before anything is allocated for it.
const (
	// MaxFile is the size of the largest file that is read, in bytes.
	MaxFile = 32 << 20
	// MaxData is the size of the largest data section, in bytes.
	MaxData = 64 << 20
	// MaxInsns is the number of slots in the largest program (kernel: BPF_COMPLEXITY_LIMIT_INSNS).
	MaxInsns = 1_000_000
	// MaxTotalInsns bounds all programs of an object together, as each has its own copy of the functions it calls.
	MaxTotalInsns = 8_000_000
)

// Options of Load. The zero value is good for most objects.
type Options struct {
	// Type is the type of programs whose section name says none.
	Type prog.Type
	// Types are own program types: programs of sections NAME and NAME/… are of the type of that name.
	Types []*prog.TypeRow
	// BTF are the types that CO-RE relocations are resolved against: raw BTF as in /sys/kernel/btf/vmlinux, or an ELF
	// file with a section .BTF. Without it, or BTFPath, the object's own types are taken.
	BTF io.ReaderAt
	// BTFPath names the file to read BTF from when BTF is nil.
	BTFPath string
	// Kernel is the value of LINUX_KERNEL_VERSION; the zero value is 6.18.
	Kernel kver.Version
	// Kconfig gives values of "extern … __kconfig" variables by name (CONFIG_HZ: "250"), in the syntax of a kernel's
	// .config: y, n, m, numbers, strings in double quotes. It goes before the built-in values.
	Kconfig map[string]string
	// Helpers gives the id of a helper that assembler text calls by name; nil knows none.
	Helpers func(name string) (id int32, ok bool)
}

// Object is what a file contains.
type Object struct {
	// File is the name it was loaded under.
	File string
	// License is the content of the section "license".
	License string
	// Programs are in the order of the file.
	Programs []*prog.Program
	// Maps are in the order of the file: defined maps, then data sections. Programs refer to the same values.
	Maps []*maps.Spec
	// Warnings are remarks on what was read but may not be as intended, one line each.
	Warnings []string
}

// Program returns the program of a name, nil when there is none.
func (o *Object) Program(name string) *prog.Program {
	for _, p := range o.Programs {
		if p.Name == name {
			return p
		}
	}
	return nil
}

// Map returns the map of a name, nil when there is none.
func (o *Object) Map(name string) *maps.Spec {
	for _, m := range o.Maps {
		if m.Name == name {
			return m
		}
	}
	return nil
}

// Error says why a file could not be read.
type Error struct {
	File   string
	Offset int64 // in the file, of what is wrong; -1 when no one place is
	Reason string
}

func (e *Error) Error() string {
	if e.Offset < 0 {
		return e.File + ": " + e.Reason
	}
	return fmt.Sprintf("%s: offset %#x: %s", e.File, e.Offset, e.Reason)
}

// LoadFile loads the file at path with LoadBytes. Errors are those of LoadBytes, or what the operating system says.
func LoadFile(path string, opts Options) (*Object, error) {
	data, err := ReadFile(path)
	if err != nil {
		return nil, err
	}
	return LoadBytes(data, filepath.Base(path), opts)
}

// ReadFile returns the bytes of a file that is no larger than MaxFile.
func ReadFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return readAll(f, filepath.Base(path))
}

// LoadBytes loads what data holds: an ELF object, assembler text (see LoadAsm), or plain instructions as bytes or in
// hexadecimal (see LoadRaw); name stands for it in messages.
func LoadBytes(data []byte, name string, opts Options) (*Object, error) {
	switch {
	case bytes.HasPrefix(data, elfMagic):
		return loadELF(data, name, opts)
	case len(data) <= MaxFile && isText(data) && !isHex(data, name):
		return LoadAsm(data, name, opts)
	}
	return LoadRaw(data, name, opts)
}

// Load reads the ELF object in r; name stands for it in messages. Errors are *Error.
func Load(r io.ReaderAt, name string, opts Options) (*Object, error) {
	data, err := readAll(io.NewSectionReader(r, 0, MaxFile+1), name)
	if err != nil {
		return nil, err
	}
	return loadELF(data, name, opts)
}

// readAll reads at most MaxFile bytes.
func readAll(r io.Reader, name string) ([]byte, error) {
	data, err := io.ReadAll(io.LimitReader(r, MaxFile+1))
	switch {
	case err != nil:
		return nil, &Error{name, int64(len(data)), err.Error()}
	case len(data) > MaxFile:
		return nil, &Error{name, MaxFile, fmt.Sprintf("the file has more than %d MiB", MaxFile>>20)}
	}
	return data, nil
}

func loadELF(data []byte, name string, opts Options) (*Object, error) {
	o, err := build(data, name, opts)
	if err != nil {
		var e *Error
		if !errors.As(err, &e) {
			e = &Error{Offset: -1, Reason: err.Error()}
		}
		e.File = name
		return nil, e
	}
	return o, nil
}

// damaged makes an Error of a place in the file; loadELF adds the file's name.
func damaged(offset uint64, format string, args ...any) error {
	return &Error{Offset: int64(offset), Reason: fmt.Sprintf(format, args...)}
}
