package verifier

import (
	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/kver"
	"github.com/skepvm/skep/maps"
	"github.com/skepvm/skep/prog"
)

// checkArena checks the load of an arena, or of an address in it (kernel: __add_used_map, arena_map_direct_value_addr). That a
// program loads another one besides is refused.
func (v *verifier) checkArena(pc int, in asm.Insn) *Error {
	m := v.prog.Maps[in.Imm]
	switch {
	case v.arenaMap >= 0 && v.prog.Maps[v.arenaMap] != m:
		return v.failAt(pc, MapMisuse, "Only one arena per program")
	case !v.profile.PointerLeaks || !v.profile.Capable:
		return v.failAt(pc, NotPrivileged, "CAP_BPF and CAP_PERFMON are required to use arena")
	}
	v.arenaMap = int(in.Imm)
	if in.Src == asm.PseudoMapIdx {
		return nil
	}
	off := uint32(v.prog.Insns[pc+1].Imm)
	switch {
	case off >= maxVarOff:
		return v.failAt(pc, MapValueBounds, "direct value offset of %d is not allowed", off)
	case uint64(off) > uint64(m.MaxEntries)*arenaPage:
		return v.failAt(pc, MapValueBounds, "invalid access to map value pointer, value_size=%d off=%d", m.ValueSize, off)
	}
	return nil
}

const arenaPage = 4096

// stepCast casts between the address spaces of the program, 0, and of the arena, 1 (kernel: check_alu_op).
func (v *verifier) stepCast(in *insn) *Error {
	if v.arenaMap < 0 {
		return v.fail(MapMisuse, "addr_space_cast insn can only be used in a program that has an associated arena")
	}
	if err := v.readReg(in.src); err != nil {
		return err
	}
	dst := &v.regs()[in.dst]
	if in.imm == castToKernel {
		*dst = ptrReg(ptrArena)
	} else {
		*dst = unknownReg()
	}
	return nil
}

// The immediates of casts: the address space that they lead to in the upper half, where they come from in the lower.
const (
	castToKernel = 1
	castToUser   = 1 << 16
)

// adjustArena is dst op= src where one of them is a pointer to the arena: any arithmetic is allowed, and works on 32 bits (kernel:
// adjust_reg_min_max_vals).
func (v *verifier) adjustArena(in *insn, dst, src *reg) (done bool, err *Error) {
	arena := dst.typ == ptrArena || src.typ == ptrArena
	was := in.memTyp
	switch {
	case arena:
		if dst.typ != ptrArena {
			*dst = *src
		}
		in.memTyp = ptrArena
	case was == notInit:
		in.memTyp = scalar
	}
	// The kernel makes a 32-bit operation of it on all paths, and believes on the others that it has 64.
	if in.width == 64 && was != notInit && (was == ptrArena) != arena {
		return false, v.fail(Unsupported, "arithmetic of 64 bits on a pointer to the arena and, on another path, on something else")
	}
	return arena, nil
}

// sameArena is samePointer for atomics, which the kernel only looks at so since 6.19: before, it lets one access the arena as if it were
// other memory.
func (v *verifier) sameArena(in *insn, t regType) *Error {
	if t == ptrArena || in.memTyp == ptrArena {
		return v.samePointer(in, t)
	}
	in.memTyp = t
	return nil
}

// arenaAtomic reports whether the current instruction may be an atomic on an arena (kernel: bpf_jit_supports_insn; x86-64's loops around
// compare-and-exchange have no place for a fault).
func (v *verifier) arenaAtomic() bool {
	in := &v.insns[v.pc]
	if !v.profile.Kernel.AtLeast(arenaAtomics) {
		return false
	}
	if in.class != asm.ClassAtomic || !in.fetch {
		return true
	}
	op := asm.AtomicOp(in.op)
	return op != asm.AtomicAnd && op != asm.AtomicOr && op != asm.AtomicXor
}

// The kernels that brought atomics on arenas, and loads from them that extend the sign.
var (
	arenaAtomics = kver.V(6, 10)
	arenaSigned  = kver.V(6, 18)
)

// checkArenaLoads refuses loads that the kernel cannot rewrite (kernel: convert_ctx_accesses).
func (v *verifier) checkArenaLoads() *Error {
	if v.profile.Kernel.AtLeast(arenaSigned) {
		return nil
	}
	for pc := range v.insns {
		if in := &v.insns[pc]; in.memTyp == ptrArena && in.class == asm.ClassLoad && in.signed {
			return v.failAt(pc, MemType, "sign extending loads from arena are not supported yet")
		}
	}
	return nil
}

// arenaProof is what engines must know of the instructions that go through an arena.
func (v *verifier) arenaProof() prog.ArenaUse {
	var use prog.ArenaUse
	if v.arenaMap < 0 { // or the program was refused, before there were instructions
		return use
	}
	casts := v.prog.Maps[v.arenaMap].Flags&maps.NoUserConv == 0
	for pc := range v.insns {
		in := &v.insns[pc]
		switch {
		case in.class == asm.ClassAddrCast && in.imm == castToUser && casts:
			use.Through = append(use.Through, pc)
		case in.memTyp != ptrArena:
		case in.class != asm.ClassALU:
			use.Through = append(use.Through, pc)
		case in.width == 64:
			use.Narrow = append(use.Narrow, pc)
		}
	}
	return use
}
