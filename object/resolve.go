package object

import (
	"debug/elf"
	"fmt"

	"github.com/cilium/ebpf/btf"

	"github.com/skepvm/skep/asm"
)

// resolve copies the function's instructions out of its section and notes what they refer to.
func (l *loader) resolve(fn *function) {
	fn.insns = append([]asm.Insn(nil), l.code[fn.sec][fn.start:fn.end]...)
	for pc := 0; pc < len(fn.insns); pc++ {
		in := &fn.insns[pc]
		sym := fn.sec.relocs[uint64(fn.start+pc)*asm.InsnSize]
		var r ref
		switch {
		case in.Op == opLdImm64 && pc+1 < len(fn.insns):
			r = l.resolveLoad(fn, pc, sym)
		case in.Op == opCall:
			r = l.resolveCall(fn, pc, sym)
		case sym != nil:
			r = broken("relocation of an instruction that is neither a call nor a 64-bit load (symbol %q)", sym.name)
		}
		if r != (ref{}) {
			r.pc = pc
			fn.refs = append(fn.refs, r)
		}
		if in.Op == opLdImm64 {
			pc++ // the second slot
		}
	}
}

func broken(format string, args ...any) ref {
	return ref{kind: refBroken, why: fmt.Sprintf(format, args...)}
}

// resolveLoad handles a 64-bit immediate load: of a constant, or of the address of what sym names.
func (l *loader) resolveLoad(fn *function, pc int, sym *symbol) ref {
	in := &fn.insns[pc]
	switch {
	case sym == nil:
		return l.plainLoad(fn, pc)
	case sym.section == nil:
		return l.externLoad(fn, pc, sym)
	}
	at := sym.value + uint64(int64(in.Imm)) // what is static is named by its section, and the distance is in Imm
	switch sec := sym.section; {
	case sec.btfMaps(), sec.legacyMaps():
		if m := l.mapAt[mapPlace{sec, at}]; m != nil {
			return ref{kind: refMap, m: m}
		}
		return broken("map at offset %#x of section %q has no definition", at, sec.name)
	case sec.dataKind():
		if m := l.mapAt[mapPlace{sec, 0}]; m != nil {
			return ref{kind: refValue, m: m, off: uint32(at)}
		}
		return broken("section %q is no map", sec.name)
	case sec.name == arenaSection:
		if l.arena != nil {
			return ref{kind: refValue, m: l.arena, off: uint32(at)}
		}
		return broken("variable %q is for an arena, and there is none, or more than one", sym.name)
	case sec.code():
		if target := l.functionAt[place{sec, int(at / asm.InsnSize)}]; target != nil && at%asm.InsnSize == 0 {
			return ref{kind: refFunc, fn: target}
		}
		return broken("address of code at offset %#x of section %q, where no function begins", at, sec.name)
	default:
		return broken("address of %q in section %q, which a program cannot have", sym.name, sec.name)
	}
}

// plainLoad handles a load without a relocation. Those that name a map or function by other means come from
// hand-written assembly and would mean something else here.
func (l *loader) plainLoad(fn *function, pc int) ref {
	switch in := fn.insns[pc]; in.Src {
	case asm.PseudoNone:
		return ref{}
	case asm.PseudoFunc:
		if target := l.functionAt[place{fn.sec, fn.start + pc + 1 + int(in.Imm)}]; target != nil {
			return ref{kind: refFunc, fn: target}
		}
		return broken("address of a function at instruction %d, where none begins", pc+1+int(in.Imm))
	default:
		return broken("64-bit load with source %d and no relocation", in.Src)
	}
}

// externLoad handles the address of something that the object does not define: a kernel configuration value, a kernel
// function or another kernel symbol. There is no kernel here, so a symbol's address is that of an absent one: 0 if it is
// weak. Of functions the profile knows whether they exist: their addresses are left to the verifier.
func (l *loader) externLoad(fn *function, pc int, sym *symbol) ref {
	if off, ok := l.kconfigAt[sym.name]; ok {
		return ref{kind: refValue, m: l.kconfig, off: off}
	}
	if l.kfuncs[sym.name] {
		return ref{kind: refKfuncAddr, kfunc: sym.name}
	}
	if sym.bind != elf.STB_WEAK {
		return broken("kernel symbol %q: there is no kernel to take it from", sym.name)
	}
	in, next := &fn.insns[pc], &fn.insns[pc+1]
	in.Src, in.Imm, next.Imm = asm.PseudoNone, 0, 0
	return ref{}
}

// resolveCall handles a call: of a helper, of a function in the file, of a kernel function.
func (l *loader) resolveCall(fn *function, pc int, sym *symbol) ref {
	in := fn.insns[pc]
	if sym == nil {
		switch in.Src {
		case asm.CallLocalFunc:
			target := l.functionAt[place{fn.sec, fn.start + pc + 1 + int(in.Imm)}]
			if target == nil {
				return broken("call of instruction %d, where no function begins", fn.start+pc+1+int(in.Imm))
			}
			return ref{kind: refCall, fn: target}
		case asm.CallKfuncID:
			return broken("call of kernel function %d by number: the number is of one kernel only", in.Imm)
		}
		return ref{}
	}
	if sym.section == nil {
		if l.kfuncs[sym.name] {
			return ref{kind: refKfunc, kfunc: sym.name}
		}
		return broken("function %q is called but not defined", sym.name)
	}
	slot := int64(sym.value/asm.InsnSize) + int64(in.Imm) + 1
	target := l.functionAt[place{sym.section, int(slot)}]
	if target == nil || sym.value%asm.InsnSize != 0 {
		return broken("call of %q at instruction %d of section %q, where no function begins", sym.name, slot, sym.section.name)
	}
	return ref{kind: refCall, fn: target}
}

// findKfuncs finds the undefined functions that are declared as the kernel's: those are in the section .ksyms, which
// exists in BTF alone. TypesByName is asked and not TypeByName, which refuses a section that has variables as well.
func (l *loader) findKfuncs() {
	if l.types == nil {
		return
	}
	var found []btf.Type
	err := guard(func() (err error) {
		found, err = l.types.TypesByName(".ksyms")
		return err
	})
	if err != nil {
		return
	}
	for _, t := range found {
		ds, ok := t.(*btf.Datasec)
		if !ok {
			continue
		}
		for _, v := range ds.Vars {
			if f, ok := v.Type.(*btf.Func); ok {
				l.kfuncs[f.Name] = true
			}
		}
	}
}
