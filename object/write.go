package object

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/prog"
)

// WriteELF makes an ELF object of a program that refers to no map and no kernel function: its instructions in a section of that name,
// which says the program's type, a symbol for each function, and the licence. Loaders of the kernel's programs take it.
func WriteELF(p *prog.Program, section string) ([]byte, error) {
	if why := rawBroken(&prog.Program{Insns: p.Insns}); why != "" {
		return nil, &Error{p.Name, -1, why}
	}
	switch {
	case len(p.Insns) == 0:
		return nil, &Error{p.Name, -1, "no instructions"}
	case !writable(section) || !writable(p.Name):
		return nil, &Error{p.Name, -1, fmt.Sprintf("%q and %q are to be names of a section and a program", section, p.Name)}
	}
	const code, license = 1, 2 // numbers of the sections, after the null section
	names, symbolNames := newStrings(), newStrings()
	symbols := []elf.Sym64{{}}
	add := func(name string, info uint8, section uint16, value, size uint64) {
		symbols = append(symbols, elf.Sym64{Name: symbolNames.add(name), Info: info, Shndx: section, Value: value, Size: size})
	}
	locals := 1
	for _, global := range []bool{false, true} { // local symbols come first
		for _, f := range p.Funcs {
			bind := elf.STB_LOCAL
			if f.Global {
				bind = elf.STB_GLOBAL
			}
			name := f.Name
			if f.Start == 0 {
				name = p.Name // as loaders call the program
			}
			if f.Global == global {
				add(name, elf.ST_INFO(bind, elf.STT_FUNC), code, uint64(f.Start)*asm.InsnSize, uint64(f.End-f.Start)*asm.InsnSize)
			}
		}
		if !global {
			locals = len(symbols)
		}
	}
	text := append([]byte(p.License), 0)
	add("_license", elf.ST_INFO(elf.STB_GLOBAL, elf.STT_OBJECT), license, 0, uint64(len(text)))
	var table bytes.Buffer
	if err := binary.Write(&table, binary.LittleEndian, symbols); err != nil {
		return nil, fmt.Errorf("symbols: %w", err)
	}
	sections := []section64{
		{},
		{section, elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_EXECINSTR), Addralign: 8}, asm.EncodeProgram(p.Insns)},
		{"license", elf.Section64{Type: uint32(elf.SHT_PROGBITS), Flags: uint64(elf.SHF_ALLOC | elf.SHF_WRITE), Addralign: 1}, text},
		{".symtab", elf.Section64{Type: uint32(elf.SHT_SYMTAB), Link: 4, Info: uint32(locals), Entsize: elf.Sym64Size, Addralign: 8}, table.Bytes()},
		{".strtab", elf.Section64{Type: uint32(elf.SHT_STRTAB), Addralign: 1}, symbolNames.bytes},
		{".shstrtab", elf.Section64{Type: uint32(elf.SHT_STRTAB), Addralign: 1}, nil},
	}
	for i := range sections[1:] {
		sections[i+1].header.Name = names.add(sections[i+1].name)
	}
	sections[len(sections)-1].data = names.bytes
	return assemble(sections)
}

// writable says whether a string table can hold a name, and it is one.
func writable(name string) bool { return name != "" && !strings.Contains(name, "\x00") }

// section64 is a section to be written.
type section64 struct {
	name   string
	header elf.Section64
	data   []byte
}

// assemble puts the file together: header, contents, section headers.
func assemble(sections []section64) ([]byte, error) {
	const headerSize, sectionSize = 64, 64
	var body, out bytes.Buffer
	headers := make([]elf.Section64, len(sections))
	for i := range sections {
		s := &sections[i]
		for align := max(int(s.header.Addralign), 1); (headerSize+body.Len())%align != 0; {
			body.WriteByte(0)
		}
		headers[i] = s.header
		if i > 0 {
			headers[i].Off, headers[i].Size = uint64(headerSize+body.Len()), uint64(len(s.data))
		}
		body.Write(s.data)
	}
	for body.Len()%8 != 0 {
		body.WriteByte(0)
	}
	h := elf.Header64{Type: uint16(elf.ET_REL), Machine: uint16(elf.EM_BPF), Version: uint32(elf.EV_CURRENT), Shoff: uint64(headerSize + body.Len()),
		Ehsize: headerSize, Shentsize: sectionSize, Shnum: uint16(len(sections)), Shstrndx: uint16(len(sections) - 1)}
	copy(h.Ident[:], elf.ELFMAG)
	h.Ident[elf.EI_CLASS], h.Ident[elf.EI_DATA], h.Ident[elf.EI_VERSION] = byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)
	for _, part := range []any{h, body.Bytes(), headers} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			return nil, fmt.Errorf("object: %w", err)
		}
	}
	return out.Bytes(), nil
}

// stringTable is an ELF string table; offset 0 is the empty string.
type stringTable struct{ bytes []byte }

func newStrings() *stringTable { return &stringTable{[]byte{0}} }

func (t *stringTable) add(s string) uint32 {
	at := len(t.bytes)
	t.bytes = append(append(t.bytes, s...), 0)
	return uint32(at)
}
