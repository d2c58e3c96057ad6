package object

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/asm"
	skepbtf "github.com/skepvm/skep/btf"
	"github.com/skepvm/skep/maps"
)

// Fields of the legacy "struct bpf_map_def", and of iproute2's longer "struct bpf_elf_map", by 4-byte word.
const (
	legacyType = iota
	legacyKeySize
	legacyValueSize
	legacyMaxEntries
	legacyFlags
	legacyID      // iproute2 from here on
	legacyPinning // 0 is none
	legacyInnerID
	legacyInnerIndex
	legacyWords
)

// maxMembers is more than the members that a map's definition can have, each once.
const maxMembers = 16

// pinByName is the value of LIBBPF_PIN_BY_NAME.
const pinByName = 1

// readMaps makes the specs of all maps that the file defines. Their initial contents come later, see fillMaps.
func (l *loader) readMaps() error {
	for _, s := range l.elf.sections {
		switch {
		case s.btfMaps():
			l.readBTFMaps(s)
		case s.legacyMaps():
			l.readLegacyMaps(s)
		}
	}
	for _, s := range l.elf.sections {
		if s.dataKind() {
			if err := l.readData(s); err != nil {
				return err
			}
		}
	}
	l.readKconfig()
	if s := l.sectionNamed(arenaSection); s != nil {
		l.readArena(s)
	}
	for _, m := range l.maps {
		m.spec.Broken = cmp.Or(m.spec.Broken, unusable(m.spec))
		l.out.Maps = append(l.out.Maps, m.spec)
	}
	return nil
}

// unusable says what keeps a map from being made, whatever the kernel.
func unusable(s *maps.Spec) string {
	switch {
	case s.Type == maps.Unspec || s.Type >= maps.NumTypes:
		return fmt.Sprintf("map type %d does not exist", uint32(s.Type))
	case s.Type == maps.StructOps:
		return "struct_ops needs a kernel whose operations it implements"
	case ofMaps(s.Type) && s.Inner == nil:
		return "a map of maps whose inner map is not described"
	case s.Inner != nil && s.Inner.Broken != "":
		return "inner map: " + s.Inner.Broken
	}
	return ""
}

func ofMaps(t maps.Type) bool { return t == maps.ArrayOfMaps || t == maps.HashOfMaps }

// mapSymbols returns the symbols of a section of maps by place, one for each place.
func mapSymbols(s *section) []*symbol {
	syms := slices.Clone(s.symbols)
	slices.SortStableFunc(syms, func(a, b *symbol) int { return cmp.Compare(a.value, b.value) })
	return slices.CompactFunc(syms, func(a, b *symbol) bool { return a.value == b.value })
}

func newSpec(name string) *maps.Spec { return &maps.Spec{Name: name, LockOff: -1, TimerOff: -1} }

// readLegacyMaps reads the section "maps", where each symbol is a structure of numbers. LLVM before 8 wrote no sizes
// of symbols: a map then ends where the next begins.
func (l *loader) readLegacyMaps(s *section) {
	syms := mapSymbols(s)
	for i, sym := range syms {
		end := uint64(len(s.data))
		if i+1 < len(syms) {
			end = syms[i+1].value
		}
		if sym.size > 0 {
			end = min(end, sym.value+sym.size)
		}
		spec := newSpec(sym.name)
		m := &mapDef{spec: spec, sec: s, off: sym.value}
		l.addMap(m)
		var w [legacyWords]uint32
		n := 0
		for off := sym.value; n < legacyWords && off+4 <= end && end <= uint64(len(s.data)); off += 4 {
			w[n] = le.Uint32(s.data[off:])
			n++
		}
		if n <= legacyMaxEntries {
			spec.Broken = fmt.Sprintf("its definition of %d bytes is too short", n*4)
			continue
		}
		spec.Type, spec.KeySize, spec.ValueSize = maps.Type(w[legacyType]), w[legacyKeySize], w[legacyValueSize]
		spec.MaxEntries, spec.Flags = w[legacyMaxEntries], w[legacyFlags]
		if n == legacyWords {
			m.id, m.innerID, spec.Pinned = w[legacyID], w[legacyInnerID], w[legacyPinning] != 0
			l.mapByID[m.id] = m
		}
	}
	for _, outer := range l.maps { // iproute2's maps of maps name the inner one by its id
		inner := l.mapByID[outer.innerID]
		if outer.sec == s && ofMaps(outer.spec.Type) && outer.innerID != 0 && inner != nil && !ofMaps(inner.spec.Type) {
			outer.spec.Inner = inner.spec
		}
	}
}

// readBTFMaps reads the section ".maps", where the type of each variable says everything.
func (l *loader) readBTFMaps(s *section) {
	vars := make(map[string]*btf.Var)
	if ds, ok := typeNamed[*btf.Datasec](l, s.name); ok {
		for _, v := range ds.Vars {
			if v, ok := v.Type.(*btf.Var); ok {
				vars[v.Name] = v
			}
		}
	}
	for _, sym := range mapSymbols(s) {
		spec := newSpec(sym.name)
		l.addMap(&mapDef{spec: spec, sec: s, off: sym.value})
		v := vars[sym.name]
		if v == nil {
			spec.Broken = "its definition has no type information (compile with -g)"
			continue
		}
		def, ok := btf.As[*btf.Struct](v.Type)
		if !ok {
			spec.Broken = fmt.Sprintf("its definition is no struct but %T", v.Type)
			continue
		}
		if err := l.describe(spec, def, false); err != nil {
			spec.Broken = err.Error()
		}
	}
}

// numbers are the members of a map definition that hold a number (libbpf: __uint, __ulong).
var numbers = map[string]func(s *maps.Spec, n uint64){
	"type":        func(s *maps.Spec, n uint64) { s.Type = maps.Type(n) },
	"key_size":    func(s *maps.Spec, n uint64) { s.KeySize = uint32(n) },
	"value_size":  func(s *maps.Spec, n uint64) { s.ValueSize = uint32(n) },
	"max_entries": func(s *maps.Spec, n uint64) { s.MaxEntries = uint32(n) },
	"map_flags":   func(s *maps.Spec, n uint64) { s.Flags = uint32(n) },
	"numa_node":   func(s *maps.Spec, n uint64) { s.NUMANode = uint32(n) },
	"pinning":     func(s *maps.Spec, n uint64) { s.Pinned = n == pinByName },
	"map_extra":   func(s *maps.Spec, n uint64) { s.Extra = n },
}

// describe fills a spec from the type of its definition.
func (l *loader) describe(spec *maps.Spec, def *btf.Struct, inner bool) error {
	if len(def.Members) > maxMembers {
		return fmt.Errorf("its definition has %d members", len(def.Members))
	}
	for _, m := range def.Members {
		if set := numbers[m.Name]; set != nil {
			n, ok := number(m.Type)
			if !ok {
				return fmt.Errorf("member %q of its definition holds no number", m.Name)
			}
			set(spec, n)
			continue
		}
		var err error
		switch m.Name {
		case "key":
			var t btf.Type
			if t, spec.KeySize, err = pointee(m); err == nil {
				spec.Key = l.layouts.describe(t, 0).layout
			}
		case "value":
			var t btf.Type
			if t, spec.ValueSize, err = pointee(m); err == nil {
				spec.Value = l.layouts.describe(t, 0).layout
				spec.ValueType = l.typeID(t)
				err = l.fields(spec, nil)
			}
		case "values":
			if inner {
				return errors.New("maps of maps of maps do not exist")
			}
			err = l.describeValues(spec, m)
		default:
			err = fmt.Errorf("its definition has an unknown member %q", m.Name)
		}
		if err != nil {
			return err
		}
	}
	switch spec.Type {
	case maps.RingBuf, maps.UserRingBuf, maps.Arena: // types are allowed, but for people alone
		spec.KeySize, spec.ValueSize = 0, 0
	case maps.PerfEventArray:
		spec.KeySize, spec.ValueSize = cmp.Or(spec.KeySize, 4), cmp.Or(spec.ValueSize, 4)
	}
	return nil
}

// number reads a number that a member's type encodes: the length of an array, or the only value of an enum.
func number(t btf.Type) (uint64, bool) {
	if p, ok := btf.As[*btf.Pointer](t); ok {
		a, ok := btf.As[*btf.Array](p.Target)
		if !ok {
			return 0, false
		}
		return uint64(a.Nelems), true
	}
	if e, ok := btf.As[*btf.Enum](t); ok && len(e.Values) == 1 {
		return e.Values[0].Value, true
	}
	return 0, false
}

// pointee is the type that the pointer m points to, and its size in bytes.
func pointee(m btf.Member) (btf.Type, uint32, error) {
	p, ok := btf.As[*btf.Pointer](m.Type)
	if !ok {
		return nil, 0, fmt.Errorf("member %q of its definition is no pointer", m.Name)
	}
	size, err := sizeof(p.Target)
	if err != nil {
		return nil, 0, fmt.Errorf("the %s has no size: %v", m.Name, err)
	}
	return p.Target, size, nil
}

// describeValues handles the member "values", an array of pointers to programs or to maps.
func (l *loader) describeValues(spec *maps.Spec, m btf.Member) error {
	spec.ValueSize = 4
	a, ok := btf.As[*btf.Array](m.Type)
	if !ok {
		return errors.New(`member "values" of its definition is no array`)
	}
	p, ok := btf.As[*btf.Pointer](a.Type)
	if !ok {
		return errors.New(`member "values" of its definition holds no pointers`)
	}
	if _, ok := btf.As[*btf.FuncProto](p.Target); ok && spec.Type == maps.ProgArray {
		return nil
	}
	def, ok := btf.As[*btf.Struct](p.Target)
	if !ok || !ofMaps(spec.Type) {
		return fmt.Errorf(`member "values" of its definition does not suit map type %d`, spec.Type)
	}
	spec.Inner = newSpec(spec.Name + ".inner")
	if err := l.describe(spec.Inner, def, true); err != nil {
		spec.Inner.Broken = err.Error()
		return nil
	}
	spec.Inner.Broken = unusable(spec.Inner)
	return nil
}

// fields finds what the kernel looks after itself in the values of a map: in their type, or in the variables of a section.
func (l *loader) fields(spec *maps.Spec, vars []btf.VarSecinfo) (err error) {
	spec.Types = l.byID
	if spec.ValueType != 0 {
		spec.Fields, err = skepbtf.Fields(l.byID, l.byID.Resolve(spec.ValueType), skepbtf.MapFields)
	} else {
		var members []skepbtf.Member
		for _, v := range vars {
			members = append(members, skepbtf.Member{Type: l.typeID(v.Type), Off: v.Offset * 8})
		}
		spec.Fields, err = skepbtf.VarFields(l.byID, members, skepbtf.MapFields)
	}
	if err != nil {
		return fmt.Errorf("its values cannot be: %w", err)
	}
	for _, f := range spec.Fields {
		switch f.Kind {
		case skepbtf.SpinLock:
			spec.LockOff = int(f.Off)
		case skepbtf.Timer:
			spec.TimerOff = int(f.Off)
		}
	}
	return nil
}

// readData makes a map of a section of global variables: one value, which is the section.
func (l *loader) readData(s *section) error {
	used := slices.ContainsFunc(s.symbols, func(sym *symbol) bool { return !strings.HasPrefix(sym.name, ".") })
	if !used && !l.referenced[s] { // string constants that were inlined, and the like
		return nil
	}
	if s.size > MaxData {
		return damaged(s.offset, "section %q has %d bytes, more than %d MiB", s.name, s.size, MaxData>>20)
	}
	spec := newSpec(s.name)
	spec.Type, spec.KeySize, spec.ValueSize, spec.MaxEntries = maps.Array, 4, uint32(s.size), 1
	spec.DataSection = true
	if strings.HasPrefix(s.name, ".rodata") {
		spec.Frozen, spec.Flags = true, maps.ReadOnlyProg
	}
	if s.data != nil {
		spec.Contents = []maps.Entry{{Key: make([]byte, 4), Value: slices.Clone(s.data)}}
	}
	if ds, ok := typeNamed[*btf.Datasec](l, s.name); ok {
		l.layouts.section(spec, ds)
		if err := l.fields(spec, ds.Vars); err != nil {
			spec.Broken = err.Error()
		}
	}
	l.addMap(&mapDef{spec: spec, sec: s})
	return nil
}

// arenaSection is where variables of the arena's address space are (libbpf: ARENA_SEC).
const arenaSection = ".addr_space.1"

// readArena makes a section of variables what the object's arena, if it has one, begins with.
func (l *loader) readArena(s *section) {
	for _, m := range l.maps {
		switch {
		case m.spec.Type != maps.Arena:
		case l.arena != nil:
			l.arena = nil
			return
		default:
			l.arena = m
		}
	}
	if l.arena == nil {
		return
	}
	spec := l.arena.spec
	if s.size > uint64(spec.MaxEntries)*arenaPage {
		spec.Broken = fmt.Sprintf("section %q has %d bytes, more than the arena", s.name, s.size)
		return
	}
	spec.Contents = []maps.Entry{{Value: slices.Clone(s.data)}}
}

// arenaPage is the size of an arena's pages in bytes.
const arenaPage = 4096

// fillMaps sets the initial contents of program arrays and maps of maps: by relocations of their definitions, and by
// the section names that iproute2 invented: the program in section "ID/KEY" goes to slot KEY of the map with that id.
func (l *loader) fillMaps() {
	for _, s := range l.elf.sections {
		if s.btfMaps() {
			l.fillFromRelocs(s)
		}
	}
	for _, fn := range l.functions {
		id, slot, ok := strings.Cut(fn.sec.name, "/")
		idNum, err1 := strconv.ParseUint(id, 0, 32)
		slotNum, err2 := strconv.ParseUint(slot, 0, 32)
		if !ok || err1 != nil || err2 != nil {
			continue
		}
		if m := l.mapByID[uint32(idNum)]; m != nil && idNum != 0 && m.spec.Type == maps.ProgArray {
			m.spec.Contents = append(m.spec.Contents, maps.Entry{Key: key32(slotNum), ProgName: fn.name})
		}
	}
}

func key32(n uint64) []byte { return le.AppendUint32(nil, uint32(n)) }

func (l *loader) fillFromRelocs(s *section) {
	defs := slices.DeleteFunc(slices.Clone(l.maps), func(m *mapDef) bool { return m.sec != s })
	for i, m := range defs {
		end := s.size
		if i+1 < len(defs) {
			end = defs[i+1].off
		}
		first := m.off + l.valuesOffset(m.spec.Name)
		for off := first; off+8 <= end && off+8 <= uint64(len(s.data)); off += 8 {
			sym := s.relocs[off]
			if sym == nil || sym.section == nil {
				continue
			}
			e := maps.Entry{Key: key32((off - first) / 8)}
			at := sym.value + le.Uint64(s.data[off:])
			if fn := l.functionAt[place{sym.section, int(at / asm.InsnSize)}]; fn != nil && fn.entry {
				e.ProgName = fn.name
			} else if inner := l.mapAt[mapPlace{sym.section, at}]; inner != nil {
				e.MapName = inner.spec.Name
			} else {
				l.warn("map %s: slot %d names %q, which is neither a program nor a map", m.spec.Name, (off-first)/8, sym.name)
				continue
			}
			m.spec.Contents = append(m.spec.Contents, e)
		}
	}
}

// valuesOffset is the offset of the member "values" in the definition of a map.
func (l *loader) valuesOffset(name string) uint64 {
	if v, ok := typeNamed[*btf.Var](l, name); ok {
		if def, ok := btf.As[*btf.Struct](v.Type); ok {
			for _, m := range def.Members {
				if m.Name == "values" {
					return uint64(m.Offset.Bytes())
				}
			}
		}
	}
	return 0
}
