package object

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/asm"
	skepbtf "github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/maps"
)

// Opcodes that relocations apply to.
const (
	opCall    = 0x85
	opLdImm64 = 0x18
)

// loader holds what is known of a file while it is read.
type loader struct {
	name string
	opts Options
	elf  *elfFile
	out  *Object

	types *btf.Spec      // nil when the object has no BTF
	byID  *skepbtf.Types // the same
	ext   *btf.ExtInfos  // nil when it has no .BTF.ext

	code       map[*section][]asm.Insn // with CO-RE applied
	functions  []*function             // in the order of the file
	functionAt map[place]*function
	funcInfo   map[place]skepbtf.ID // functions that BTF knows

	maps       []*mapDef
	mapAt      map[mapPlace]*mapDef
	mapByID    map[uint32]*mapDef
	arena      *mapDef           // whose variables section arenaSection has; nil without
	kconfig    *mapDef           // nil when the object has none
	kconfigAt  map[string]uint32 // offsets of its variables
	kfuncs     map[string]bool
	weak       map[string]bool // undefined symbols that are weak
	referenced map[*section]bool
	layouts    layouts
}

// mapPlace is an offset in a section of maps; 0 in a data section.
type mapPlace struct {
	sec *section
	off uint64
}

// mapDef is a map of the file and where it is defined.
type mapDef struct {
	spec *maps.Spec
	sec  *section // nil for .kconfig
	off  uint64   // in sec; 0 for data sections
	// iproute2's numbers, 0 for none: what sections named "ID/KEY" refer to, and the id of the inner map.
	id, innerID uint32
}

// build makes the object of the file's bytes.
func build(data []byte, name string, opts Options) (*Object, error) {
	f, err := parseELF(data)
	if err != nil {
		return nil, err
	}
	l := &loader{
		name: name, opts: opts, elf: f, out: &Object{File: name},
		code: make(map[*section][]asm.Insn), functionAt: make(map[place]*function), funcInfo: make(map[place]skepbtf.ID),
		mapAt: make(map[mapPlace]*mapDef), mapByID: make(map[uint32]*mapDef), kconfigAt: make(map[string]uint32),
		kfuncs: make(map[string]bool), weak: make(map[string]bool), referenced: make(map[*section]bool),
	}
	if err := l.load(); err != nil {
		return nil, err
	}
	return l.out, nil
}

func (l *loader) load() error {
	if s := l.sectionNamed("license"); s != nil {
		l.out.License = string(bytes.TrimRight(s.data, "\x00"))
	}
	if err := l.readBTF(); err != nil {
		return err
	}
	l.findKfuncs()
	l.indexSymbols()
	for _, s := range l.elf.sections {
		if s.code() {
			insns, err := asm.DecodeProgram(s.data[:s.size&^(asm.InsnSize-1)])
			if err != nil {
				return damaged(s.offset, "section %q: %v", s.name, err)
			}
			l.code[s] = insns
		}
	}
	if err := l.relocateTypes(); err != nil {
		return err
	}
	if err := l.readMaps(); err != nil {
		return err
	}
	for _, s := range l.elf.sections {
		if s.code() {
			if err := l.splitFunctions(s); err != nil {
				return err
			}
		}
	}
	for _, fn := range l.functions {
		l.resolve(fn)
	}
	l.fillMaps()
	return l.link()
}

func (l *loader) readBTF() error {
	s := l.sectionNamed(".BTF")
	if s == nil {
		return nil
	}
	var err error
	if l.byID, err = skepbtf.Parse(s.data); err != nil {
		return damaged(s.offset, "type information cannot be read: %v", err)
	}
	err = guard(func() (err error) {
		l.types, l.ext, err = btf.LoadSpecAndExtInfosFromReader(bytes.NewReader(l.elf.data))
		return err
	})
	if err != nil {
		return damaged(l.sectionOffset(".BTF"), "type information cannot be read: %v", err)
	}
	for _, s := range l.elf.sections {
		if s.code() {
			funcs, _, _ := l.ext.Section(s.name)
			for _, f := range funcs {
				l.funcInfo[place{s, int(f.Offset)}] = l.typeID(f.Func)
			}
		}
	}
	return nil
}

func (l *loader) sectionNamed(name string) *section {
	for _, s := range l.elf.sections {
		if s.name == name {
			return s
		}
	}
	return nil
}

// sectionOffset is where a section is in the file, 0 when there is none of the name.
func (l *loader) sectionOffset(name string) uint64 {
	if s := l.sectionNamed(name); s != nil {
		return s.offset
	}
	return 0
}

func (l *loader) warn(format string, args ...any) {
	l.out.Warnings = append(l.out.Warnings, fmt.Sprintf(format, args...))
}

// typeNamed finds a type of the object's BTF by name.
func typeNamed[T btf.Type](l *loader, name string) (T, bool) {
	var t T
	if l.types == nil {
		return t, false
	}
	err := guard(func() error { return l.types.TypeByName(name, &t) })
	return t, err == nil
}

// typeID is the number of a type of the object's BTF, 0 when it has none.
func (l *loader) typeID(t btf.Type) skepbtf.ID {
	var id btf.TypeID
	err := guard(func() (err error) {
		id, err = l.types.TypeID(t)
		return err
	})
	if err != nil || int(id) >= l.byID.Len() {
		return 0
	}
	return skepbtf.ID(id)
}

// sizeof is the size of a type in bytes.
func sizeof(t btf.Type) (uint32, error) {
	var size int
	err := guard(func() (err error) {
		size, err = btf.Sizeof(t)
		return err
	})
	if err == nil && (size < 0 || size > MaxData) {
		err = fmt.Errorf("%d bytes are too many", size)
	}
	return uint32(size), err
}

// guard runs f, which enters cilium/ebpf, and makes an error of a panic there: its reader of BTF is not proof against
// every hostile file.
func guard(f func() error) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%v", r)
		}
	}()
	return f()
}

// targetTypes loads the BTF that CO-RE relocations are resolved against.
func (l *loader) targetTypes() (*btf.Spec, error) {
	r, name := l.opts.BTF, "the given BTF"
	if r == nil && l.opts.BTFPath != "" {
		f, err := os.Open(l.opts.BTFPath)
		if err != nil {
			return nil, &Error{Offset: -1, Reason: err.Error()}
		}
		defer f.Close()
		r, name = f, l.opts.BTFPath
	}
	if r == nil {
		return l.types, nil
	}
	var spec *btf.Spec
	err := guard(func() (err error) {
		spec, err = btf.LoadSpecFromReader(r)
		return err
	})
	if err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, &Error{Offset: -1, Reason: fmt.Sprintf("%s cannot be read: %v", name, err)}
	}
	return spec, nil
}

// indexSymbols notes which symbols are weak and which sections code refers to.
func (l *loader) indexSymbols() {
	for _, sym := range l.elf.symbols {
		if sym.shndx == elf.SHN_UNDEF && sym.bind == elf.STB_WEAK {
			l.weak[sym.name] = true
		}
	}
	for _, s := range l.elf.sections {
		for _, sym := range s.relocs {
			l.referenced[sym.section] = true
		}
	}
}

func (l *loader) addMap(m *mapDef) {
	l.maps = append(l.maps, m)
	if m.sec != nil {
		l.mapAt[mapPlace{m.sec, m.off}] = m
	}
}

// cleanPath drops what -fdebug-compilation-dir=. leaves before a file's name.
func cleanPath(p string) string { return strings.TrimPrefix(p, "./") }
