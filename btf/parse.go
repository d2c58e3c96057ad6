package btf

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"fmt"
	"strings"
)

// Error says why bytes are no BTF.
type Error struct {
	Offset int // in the BTF, of what is wrong
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("btf: offset %#x: %s", e.Offset, e.Reason) }

const (
	magic = 0xeb9f
	// MaxSize is the size of the largest BTF that is read, in bytes.
	MaxSize = 256 << 20
)

var le = binary.LittleEndian

// parser reads the types of one BTF.
type parser struct {
	data    []byte // the section of types
	base    int    // where it begins
	strs    string
	off     int
	types   []Type
	members []Member
}

// Parse reads BTF: raw, as in /sys/kernel/btf/vmlinux, or of the section .BTF of an ELF file. Errors are *Error.
func Parse(data []byte) (*Types, error) {
	if bytes.HasPrefix(data, []byte(elf.ELFMAG)) {
		section, err := fromELF(data)
		if err != nil {
			return nil, &Error{0, err.Error()}
		}
		data = section
	}
	p, err := newParser(data)
	if err != nil {
		return nil, err
	}
	for p.off < len(p.data) {
		if err := p.readType(); err != nil {
			return nil, err
		}
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	return newTypes(p.types, p.members), nil
}

func fromELF(data []byte) (section []byte, err error) {
	defer func() {
		if r := recover(); r != nil { // debug/elf promises nothing for hostile files
			err = fmt.Errorf("%v", r)
		}
	}()
	f, err := elf.NewFile(bytes.NewReader(data))
	if err != nil {
		return nil, err
	}
	s := f.Section(".BTF")
	if s == nil || s.Type == elf.SHT_NOBITS {
		return nil, fmt.Errorf("the ELF file has no section .BTF")
	}
	return s.Data()
}

// newParser reads the header:
//
//	magic:u16 version:u8 flags:u8 hdr_len:u32 type_off:u32 type_len:u32 str_off:u32 str_len:u32
func newParser(data []byte) (*parser, error) {
	const header = 24
	if len(data) < header || le.Uint16(data) != magic {
		return nil, &Error{0, "no little-endian BTF header"}
	}
	if len(data) > MaxSize {
		return nil, &Error{MaxSize, fmt.Sprintf("more than %d MiB", MaxSize>>20)}
	}
	word := func(at int) uint64 { return uint64(le.Uint32(data[at:])) }
	hdr, typeOff, typeLen, strOff, strLen := word(4), word(8), word(12), word(16), word(20)
	size := uint64(len(data))
	switch {
	case data[2] != 1:
		return nil, &Error{2, fmt.Sprintf("version %d is not known", data[2])}
	case hdr < header || hdr+typeOff+typeLen > size || typeOff%4 != 0 || hdr%4 != 0:
		return nil, &Error{4, "the types are not within the file"}
	case hdr+strOff+strLen > size || strLen == 0:
		return nil, &Error{16, "the strings are not within the file"}
	}
	strs := data[hdr+strOff:][:strLen]
	if strs[0] != 0 || strs[strLen-1] != 0 {
		return nil, &Error{int(hdr + strOff), "the strings do not begin and end with NUL"}
	}
	return &parser{
		data: data[hdr+typeOff:][:typeLen], base: int(hdr + typeOff), strs: string(strs),
		types: make([]Type, 1, 1+typeLen/20), members: make([]Member, 0, typeLen/20),
	}, nil
}

func (p *parser) fail(format string, args ...any) error {
	return &Error{p.base + p.off, fmt.Sprintf(format, args...)}
}

// words takes n words; nil when there are no more so many.
func (p *parser) words(n int) []byte {
	if n > (len(p.data)-p.off)/4 {
		return nil
	}
	b := p.data[p.off:][:4*n]
	p.off += 4 * n
	return b
}

func (p *parser) name(off uint32) (string, error) {
	if uint64(off) >= uint64(len(p.strs)) {
		return "", p.fail("name at %#x is not within the strings", off)
	}
	s := p.strs[off:]
	return s[:strings.IndexByte(s, 0)], nil
}

// memberWords is how many words each member of a kind has.
var memberWords = [numKinds]int{Struct: 3, Union: 3, Enum: 2, Enum64: 3, FuncProto: 2, Datasec: 3}

// readType reads a type: name_off:u32 info:u32 size_or_type:u32, and what its kind adds.
func (p *parser) readType() error {
	head := p.words(3)
	if head == nil {
		return p.fail("a type is cut off")
	}
	info := le.Uint32(head[4:])
	kind, n := Kind(info>>24&0x1f), int(info&0xffff)
	if kind == Void || kind >= numKinds {
		return p.fail("kind %d is not known", kind)
	}
	ty := Type{Kind: kind, Flag: info>>31 != 0, first: len(p.members)}
	var err error
	if ty.Name, err = p.name(le.Uint32(head)); err != nil {
		return err
	}
	word := le.Uint32(head[8:])
	switch kind {
	case Int, Struct, Union, Enum, Enum64, Datasec, Float:
		ty.Size = word
	default:
		ty.Ref = ID(word)
	}
	switch kind {
	case Int:
		if p.words(1) == nil {
			return p.fail("a type is cut off")
		}
	case Array: // type:u32 index_type:u32 nelems:u32
		b := p.words(3)
		if b == nil {
			return p.fail("a type is cut off")
		}
		ty.Ref, ty.Size = ID(le.Uint32(b)), le.Uint32(b[8:])
	case Var, DeclTag:
		b := p.words(1)
		if b == nil {
			return p.fail("a type is cut off")
		}
		if kind == Var {
			ty.Size = le.Uint32(b)
		} else {
			ty.Component = int(int32(le.Uint32(b)))
		}
	case Func:
		ty.Size, n = uint32(n), 0
	}
	if w := memberWords[kind]; w > 0 {
		b := p.words(n * w)
		if b == nil {
			return p.fail("a type is cut off")
		}
		if err := p.readMembers(&ty, b, w); err != nil {
			return err
		}
	}
	ty.count = len(p.members) - ty.first
	p.types = append(p.types, ty)
	return nil
}

// readMembers reads members of w words each. Values of enums are left out.
func (p *parser) readMembers(ty *Type, b []byte, w int) error {
	if ty.Kind == Enum || ty.Kind == Enum64 {
		return nil
	}
	for ; len(b) > 0; b = b[4*w:] {
		m := Member{}
		if ty.Kind == Datasec { // type:u32 offset:u32 size:u32
			m.Type, m.Off = ID(le.Uint32(b)), le.Uint32(b[4:])*8
			p.members = append(p.members, m)
			continue
		}
		var err error
		if m.Name, err = p.name(le.Uint32(b)); err != nil {
			return err
		}
		m.Type = ID(le.Uint32(b[4:]))
		if ty.Struct() {
			m.Off = le.Uint32(b[8:])
			if ty.Flag {
				m.Off, m.Bits = m.Off&0xffffff, m.Off>>24
			}
		}
		p.members = append(p.members, m)
	}
	return nil
}

// check makes sure that ids are in range, and that what the walks of this package follow ends.
func (p *parser) check() error {
	for i := range p.types {
		if id := p.types[i].Ref; id < 0 || int(id) >= len(p.types) {
			return &Error{p.base, fmt.Sprintf("type %d refers to type %d, which does not exist", i, uint32(id))}
		}
	}
	for _, m := range p.members {
		if m.Type < 0 || int(m.Type) >= len(p.types) {
			return &Error{p.base, fmt.Sprintf("member %s is of type %d, which does not exist", m.Name, uint32(m.Type))}
		}
	}
	return nil
}
