package object

import (
	"cmp"
	"debug/elf"
	"slices"
	"strconv"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/btf"
)

// function is a function of the file, before programs are put together from them.
type function struct {
	name   string
	sec    *section
	start  int // slot in the section
	end    int
	global bool   // visible, and known to BTF: the kernel checks it on its own
	typ    btf.ID // 0 when BTF does not know it
	entry  bool   // a program begins here
	insns  []asm.Insn
	refs   []ref // by ascending pc
}

// ref is something outside the function that one of its instructions refers to.
type ref struct {
	pc    int // slot in the function
	kind  refKind
	fn    *function // refCall, refFunc
	m     *mapDef   // refMap, refValue
	off   uint32    // refValue: offset in the value
	kfunc string    // refKfunc, refKfuncAddr
	why   string    // refBroken
}

type refKind uint8

const (
	refCall      refKind = iota // call of a function
	refFunc                     // address of a function
	refMap                      // a map
	refValue                    // address in the only value of a map
	refKfunc                    // call of a kernel function
	refKfuncAddr                // address of a kernel function, which only says whether there is one
	refBroken                   // cannot be resolved; why says so
)

// splitFunctions finds the functions of a code section.
//
// LLVM before 8 marked no symbol as a function and wrote no sizes: there, every visible symbol is one, and it ends where
// the next begins. Local symbols without a type are labels of jumps.
func (l *loader) splitFunctions(s *section) error {
	if s.size%asm.InsnSize != 0 {
		return damaged(s.offset, "section %q has %d bytes, not a multiple of %d", s.name, s.size, asm.InsnSize)
	}
	syms := functionSymbols(s)
	total := int(s.size / asm.InsnSize)
	starts := l.functionStarts(s, syms)
	for i, sym := range starts {
		if sym.value%asm.InsnSize != 0 || sym.size%asm.InsnSize != 0 {
			return damaged(sym.offset, "function %q is not at whole instructions: offset %#x, %d bytes", sym.name, sym.value, sym.size)
		}
		fn := &function{name: sym.name, sec: s, start: int(sym.value / asm.InsnSize), end: total}
		if i+1 < len(starts) {
			fn.end = int(starts[i+1].value / asm.InsnSize)
		}
		if sym.size > 0 {
			fn.end = min(fn.end, fn.start+int(sym.size/asm.InsnSize))
		}
		fn.typ = l.funcInfo[place{s, fn.start}]
		fn.global = sym.global() && fn.typ != 0
		fn.entry = s.name != ".text" && sym.bind != elf.STB_LOCAL
		if fn.start == fn.end {
			continue
		}
		l.functions = append(l.functions, fn)
		l.functionAt[place{s, fn.start}] = fn
	}
	return nil
}

// place is a slot of a code section.
type place struct {
	sec  *section
	slot int
}

func functionSymbols(s *section) []*symbol {
	var typed, untyped []*symbol
	for _, sym := range s.symbols {
		switch {
		case sym.typ == elf.STT_FUNC:
			typed = append(typed, sym)
		case sym.typ == elf.STT_NOTYPE && sym.bind != elf.STB_LOCAL:
			untyped = append(untyped, sym)
		}
	}
	if typed == nil {
		return untyped
	}
	return typed
}

// functionStarts sorts the symbols by place, one for each place, and adds a nameless function where only a relative
// call says that one is: static functions of old objects have no symbol.
func (l *loader) functionStarts(s *section, syms []*symbol) []*symbol {
	have := make(map[uint64]bool)
	for _, sym := range syms {
		have[sym.value] = true
	}
	insns := l.code[s]
	for pc := range insns {
		in := insns[pc]
		if in.Op != opCall || in.Src != asm.CallLocalFunc || in.Imm == -1 || s.relocs[uint64(pc)*asm.InsnSize] != nil {
			continue
		}
		if at := int64(pc) + 1 + int64(in.Imm); at >= 0 && at < int64(len(insns)) && !have[uint64(at)*asm.InsnSize] {
			off := uint64(at) * asm.InsnSize
			have[off] = true
			syms = append(syms, &symbol{name: "sub_" + strconv.FormatInt(at, 10), value: off, section: s, offset: s.offset + off})
		}
	}
	slices.SortStableFunc(syms, func(a, b *symbol) int {
		return cmp.Or(cmp.Compare(a.value, b.value), cmp.Compare(b.bind, a.bind))
	})
	return slices.CompactFunc(syms, func(a, b *symbol) bool { return a.value == b.value })
}
