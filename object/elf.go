package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"strings"
)

// The ELF container is read by hand, not with debug/elf: every error can then say where in the file it is, and hostile
// files meet no panics. Only what BPF uses is understood: 64 bits, little-endian, relocatable.

var (
	elfMagic = []byte(elf.ELFMAG)
	le       = binary.LittleEndian
)

// Sizes of ELF64 structures in bytes.
const (
	ehdrSize = 64
	shdrSize = 64
	symSize  = 24
	relSize  = 16
)

type elfFile struct {
	data     []byte
	sections []*section
	symbols  []*symbol // by number in the file; symbols[0] is the null symbol
}

type section struct {
	index   int
	name    string
	typ     elf.SectionType
	flags   elf.SectionFlag
	offset  uint64
	size    uint64
	link    uint32
	info    uint32
	entsize uint64
	data    []byte // nil for NOBITS
	symbols []*symbol
	relocs  map[uint64]*symbol // by offset in the section
}

func (s *section) code() bool {
	return s.typ == elf.SHT_PROGBITS && s.flags&elf.SHF_EXECINSTR != 0 && s.size > 0
}

// dataKind reports whether the section holds global variables.
func (s *section) dataKind() bool {
	if s.typ != elf.SHT_PROGBITS && s.typ != elf.SHT_NOBITS || s.size == 0 {
		return false
	}
	for _, base := range []string{".data", ".rodata", ".bss"} {
		if s.name == base || strings.HasPrefix(s.name, base+".") {
			return true
		}
	}
	return false
}

func (s *section) btfMaps() bool { return s.name == ".maps" }

// legacyMaps: the section "maps" of arrays of struct bpf_map_def; iproute2 and others put a suffix behind.
func (s *section) legacyMaps() bool { return s.name == "maps" || strings.HasPrefix(s.name, "maps/") }

type symbol struct {
	name    string
	value   uint64
	size    uint64
	bind    elf.SymBind
	typ     elf.SymType
	vis     elf.SymVis
	shndx   elf.SectionIndex
	section *section // nil for undefined and special ones
	offset  uint64   // of the entry in the file
}

// global reports whether other functions and user space see the symbol: libbpf treats hidden ones as static.
func (s *symbol) global() bool {
	return s.bind != elf.STB_LOCAL && s.vis != elf.STV_HIDDEN && s.vis != elf.STV_INTERNAL
}

// parseELF reads the tables of the file. It allocates in proportion to the file's size.
func parseELF(data []byte) (*elfFile, error) {
	f := &elfFile{data: data}
	if err := f.checkHeader(); err != nil {
		return nil, err
	}
	if err := f.readSections(); err != nil {
		return nil, err
	}
	if err := f.readSymbols(); err != nil {
		return nil, err
	}
	for _, s := range f.sections {
		if s.typ == elf.SHT_REL || s.typ == elf.SHT_RELA {
			if err := f.readRelocs(s); err != nil {
				return nil, err
			}
		}
	}
	return f, nil
}

func (f *elfFile) checkHeader() error {
	d := f.data
	switch {
	case !bytes.HasPrefix(d, elfMagic):
		return damaged(0, "not an ELF file: it does not begin with 7f 45 4c 46")
	case len(d) < ehdrSize:
		return damaged(uint64(len(d)), "the ELF header is cut short")
	case elf.Class(d[elf.EI_CLASS]) != elf.ELFCLASS64:
		return damaged(elf.EI_CLASS, "not a 64-bit ELF file, as BPF objects are")
	case elf.Data(d[elf.EI_DATA]) == elf.ELFDATA2MSB:
		return damaged(elf.EI_DATA, "big-endian object: compile with -target bpfel")
	case elf.Data(d[elf.EI_DATA]) != elf.ELFDATA2LSB:
		return damaged(elf.EI_DATA, "unknown byte order %d", d[elf.EI_DATA])
	}
	// LLVM before 3.9 left the machine at EM_NONE.
	if m := elf.Machine(le.Uint16(d[18:])); m != elf.EM_BPF && m != elf.EM_NONE {
		return damaged(18, "compiled for %v, not for BPF: use clang -target bpf", m)
	}
	return nil
}

func (f *elfFile) readSections() error {
	d := f.data
	shoff, entsize := le.Uint64(d[40:]), uint64(le.Uint16(d[58:]))
	num, names := uint64(le.Uint16(d[60:])), uint64(le.Uint16(d[62:]))
	if num == 0 {
		return damaged(60, "the file has no sections")
	}
	if entsize != shdrSize {
		return damaged(58, "section headers of %d bytes, expected %d", entsize, shdrSize)
	}
	if _, ok := f.slice(shoff, num*shdrSize); !ok {
		return damaged(40, "the table of %d section headers at %#x leaves the file of %d bytes", num, shoff, len(d))
	}
	for i := uint64(0); i < num; i++ {
		at := shoff + i*shdrSize
		h := d[at:]
		s := &section{
			index: int(i), typ: elf.SectionType(le.Uint32(h[4:])), flags: elf.SectionFlag(le.Uint64(h[8:])),
			offset: le.Uint64(h[24:]), size: le.Uint64(h[32:]), link: le.Uint32(h[40:]), info: le.Uint32(h[44:]),
			entsize: le.Uint64(h[56:]),
		}
		f.sections = append(f.sections, s)
		if s.typ == elf.SHT_NOBITS || s.typ == elf.SHT_NULL {
			continue
		}
		var ok bool
		if s.data, ok = f.slice(s.offset, s.size); !ok {
			return damaged(at, "section %d of %d bytes at %#x leaves the file of %d bytes", i, s.size, s.offset, len(d))
		}
	}
	return f.nameSections(shoff, names)
}

func (f *elfFile) nameSections(shoff, names uint64) error {
	if names >= uint64(len(f.sections)) {
		return damaged(62, "section names in section %d of %d", names, len(f.sections))
	}
	for i, s := range f.sections {
		at := shoff + uint64(i)*shdrSize
		name, ok := str(f.sections[names].data, le.Uint32(f.data[at:]))
		if !ok {
			return damaged(at, "the name of section %d lies outside the name table", i)
		}
		s.name = name
		if s.flags&elf.SHF_COMPRESSED != 0 && !strings.HasPrefix(name, ".debug") {
			return damaged(at, "section %q is compressed", name)
		}
	}
	return nil
}

// slice returns size bytes at off when the file has them.
func (f *elfFile) slice(off, size uint64) ([]byte, bool) {
	n := uint64(len(f.data))
	if off > n || size > n-off {
		return nil, false
	}
	return f.data[off : off+size : off+size], true
}

// str reads a NUL-terminated string of a string table.
func str(table []byte, off uint32) (string, bool) {
	if uint64(off) >= uint64(len(table)) {
		return "", off == 0
	}
	end := bytes.IndexByte(table[off:], 0)
	if end < 0 {
		return "", false
	}
	return string(table[off:][:end]), true
}

func (f *elfFile) readSymbols() error {
	var table *section
	for _, s := range f.sections {
		if s.typ == elf.SHT_SYMTAB {
			table = s
			break
		}
	}
	if table == nil {
		return damaged(0, "no symbol table: the object was stripped")
	}
	if int(table.link) >= len(f.sections) {
		return damaged(table.offset, "the symbol table names section %d of %d for its strings", table.link, len(f.sections))
	}
	strs := f.sections[table.link].data
	for off := uint64(0); off+symSize <= uint64(len(table.data)); off += symSize {
		e, at := table.data[off:], table.offset+off
		name, ok := str(strs, le.Uint32(e))
		if !ok {
			return damaged(at, "the name of symbol %d lies outside the string table", off/symSize)
		}
		sym := &symbol{
			name: name, bind: elf.ST_BIND(e[4]), typ: elf.ST_TYPE(e[4]), vis: elf.ST_VISIBILITY(e[5]),
			shndx: elf.SectionIndex(le.Uint16(e[6:])), value: le.Uint64(e[8:]), size: le.Uint64(e[16:]), offset: at,
		}
		if err := f.place(sym); err != nil {
			return err
		}
		f.symbols = append(f.symbols, sym)
	}
	return nil
}

// place ties a symbol to its section and checks that it lies within.
func (f *elfFile) place(sym *symbol) error {
	if sym.shndx == elf.SHN_UNDEF || sym.shndx >= elf.SHN_LORESERVE {
		return nil
	}
	if int(sym.shndx) >= len(f.sections) {
		return damaged(sym.offset, "symbol %q is in section %d of %d", sym.name, sym.shndx, len(f.sections))
	}
	s := f.sections[sym.shndx]
	if sym.value > s.size || sym.size > s.size-sym.value {
		return damaged(sym.offset, "symbol %q: bytes %#x to %#x leave section %q of %#x bytes",
			sym.name, sym.value, sym.value+sym.size, s.name, s.size)
	}
	sym.section = s
	if sym.typ != elf.STT_SECTION && sym.typ != elf.STT_FILE && sym.name != "" {
		s.symbols = append(s.symbols, sym)
	}
	return nil
}

func (f *elfFile) readRelocs(s *section) error {
	if int(s.info) >= len(f.sections) {
		return damaged(s.offset, "section %q relocates section %d of %d", s.name, s.info, len(f.sections))
	}
	target := f.sections[s.info]
	if !target.code() && !target.btfMaps() {
		return nil // debug information, and data whose pointers nobody resolves
	}
	if s.typ == elf.SHT_RELA || s.entsize != relSize {
		return damaged(s.offset, "section %q has relocations of %d bytes, expected %d", s.name, s.entsize, relSize)
	}
	if target.relocs == nil {
		target.relocs = make(map[uint64]*symbol)
	}
	for off := uint64(0); off+relSize <= uint64(len(s.data)); off += relSize {
		where, info := le.Uint64(s.data[off:]), le.Uint64(s.data[off+8:])
		if n := info >> 32; n >= uint64(len(f.symbols)) {
			return damaged(s.offset+off, "relocation for symbol %d of %d", n, len(f.symbols))
		}
		if where >= target.size {
			return damaged(s.offset+off, "relocation at %#x leaves section %q of %#x bytes", where, target.name, target.size)
		}
		target.relocs[where] = f.symbols[info>>32]
	}
	return nil
}
