package verifier

import (
	"fmt"

	"github.com/skepvm/skep/asm"
)

// What the kernel's disassembly calls operations (kernel: bpf/disasm.c).
var (
	logALU = [...]string{
		asm.Add: "+=", asm.Sub: "-=", asm.Mul: "*=", asm.Div: "/=", asm.SDiv: "s/=", asm.Or: "|=", asm.And: "&=",
		asm.Lsh: "<<=", asm.Rsh: ">>=", asm.Mod: "%=", asm.SMod: "s%=", asm.Xor: "^=", asm.Mov: "=", asm.Arsh: "s>>=",
	}
	logCond = [...]string{
		asm.Jeq: "==", asm.Jgt: ">", asm.Jge: ">=", asm.Jset: "&", asm.Jne: "!=", asm.Jsgt: "s>", asm.Jsge: "s>=",
		asm.Jlt: "<", asm.Jle: "<=", asm.Jslt: "s<", asm.Jsle: "s<=",
	}
	logAtomic = [...]string{asm.AtomicAdd: "+=", asm.AtomicOr: "|=", asm.AtomicAnd: "&=", asm.AtomicXor: "^="}
	logFetch  = [...]string{asm.AtomicAdd: "add", asm.AtomicOr: "or", asm.AtomicAnd: "and", asm.AtomicXor: "xor"}
	logSwap   = [...]string{asm.ToLE: "le", asm.ToBE: "be", asm.Bswap: "bswap"}
)

// wide reports whether the instruction at pc has two slots.
func (v *verifier) wide(pc int) bool { return v.insns[pc].kind == asm.LdImm64 }

// appendInsn appends the instruction at pc as the kernel's log has it (kernel: print_bpf_insn). It differs from what
// assemblers read in spaces and jumps. Addresses in the kernel are 0, which is what loaders without CAP_PERFMON see.
func (v *verifier) appendInsn(b []byte, pc int) []byte {
	raw, in := v.prog.Insns[pc], &v.insns[pc]
	b = fmt.Appendf(b, "(%02x) ", raw.Op)
	w := byte('r')
	if in.width == 32 {
		w = 'w'
	}
	mem := fmt.Sprintf("u%d", 8*in.size)
	if in.signed {
		mem = fmt.Sprintf("s%d", 8*in.size)
	}
	wide := ""
	if in.size == 8 {
		wide = "64"
	}
	switch in.class {
	case asm.ClassALU:
		b = fmt.Appendf(b, "%c%d %s ", w, raw.Dst, logALU[in.op])
		if in.useSrc {
			return fmt.Appendf(b, "%c%d", w, raw.Src)
		}
		return fmt.Appendf(b, "%d", raw.Imm)
	case asm.ClassMovsx:
		return fmt.Appendf(b, "%c%d = (s%d)%c%d", w, raw.Dst, 8*in.size, w, raw.Src)
	case asm.ClassNeg:
		return fmt.Appendf(b, "%c%d = -%c%d", w, raw.Dst, w, raw.Dst)
	case asm.ClassSwap:
		return fmt.Appendf(b, "r%d = %s%d r%d", raw.Dst, logSwap[in.op], 8*in.size, raw.Dst)
	case asm.ClassAddrCast:
		return fmt.Appendf(b, "r%d = addr_space_cast(r%d, %d, %d)", raw.Dst, raw.Src, uint32(raw.Imm)>>16, uint16(raw.Imm))
	case asm.ClassLoad:
		return fmt.Appendf(b, "r%d = *(%s *)(r%d %+d)", raw.Dst, mem, raw.Src, raw.Off)
	case asm.ClassStore:
		b = fmt.Appendf(b, "*(%s *)(r%d %+d) = ", mem, raw.Dst, raw.Off)
		if in.useSrc {
			return fmt.Appendf(b, "r%d", raw.Src)
		}
		return fmt.Appendf(b, "%d", raw.Imm)
	case asm.ClassLoadAcq:
		return fmt.Appendf(b, "r%d = load_acquire((%s *)(r%d %+d))", raw.Dst, mem, raw.Src, raw.Off)
	case asm.ClassStoreRel:
		return fmt.Appendf(b, "store_release((%s *)(r%d %+d), r%d)", mem, raw.Dst, raw.Off, raw.Src)
	case asm.ClassAtomic:
		switch op := asm.AtomicOp(in.op); {
		case op == asm.AtomicCmpxchg:
			return fmt.Appendf(b, "r0 = atomic%s_cmpxchg((%s *)(r%d %+d), r0, r%d)", wide, mem, raw.Dst, raw.Off, raw.Src)
		case op == asm.AtomicXchg:
			return fmt.Appendf(b, "r%d = atomic%s_xchg((%s *)(r%d %+d), r%d)", raw.Src, wide, mem, raw.Dst, raw.Off, raw.Src)
		case in.fetch:
			return fmt.Appendf(b, "r%d = atomic%s_fetch_%s((%s *)(r%d %+d), r%d)",
				raw.Src, wide, logFetch[op], mem, raw.Dst, raw.Off, raw.Src)
		default:
			return fmt.Appendf(b, "lock *(%s *)(r%d %+d) %s r%d", mem, raw.Dst, raw.Off, logAtomic[op], raw.Src)
		}
	case asm.ClassAbs:
		return fmt.Appendf(b, "r0 = *(%s *)skb[%d]", mem, raw.Imm)
	case asm.ClassInd:
		return fmt.Appendf(b, "r0 = *(%s *)skb[r%d + %d]", mem, raw.Src, raw.Imm)
	case asm.ClassImm64:
		imm := in.imm
		switch raw.Src {
		case asm.PseudoNone, asm.PseudoFunc:
		default:
			imm = 0
		}
		return fmt.Appendf(b, "r%d = %#x", raw.Dst, imm)
	}
	return v.appendJump(b, pc, w)
}

// appendJump is appendInsn for calls and jumps.
func (v *verifier) appendJump(b []byte, pc int, w byte) []byte {
	raw, in := v.prog.Insns[pc], &v.insns[pc]
	switch in.class {
	case asm.ClassCall:
		switch in.kind {
		case asm.CallLocal:
			return fmt.Appendf(b, "call pc%+d", raw.Imm)
		case asm.CallKfunc:
			return fmt.Appendf(b, "call %s#%d", v.kfuncName(in), raw.Imm)
		}
		name := "unknown"
		if r := v.tables.ByID(raw.Imm); r != nil {
			name = r.Name
		}
		return fmt.Appendf(b, "call %s#%d", name, raw.Imm)
	case asm.ClassJump:
		if in.kind == asm.Ja32 {
			return fmt.Appendf(b, "gotol pc%+d", raw.Imm)
		}
		return fmt.Appendf(b, "goto pc%+d", raw.Off)
	case asm.ClassMayGoto:
		return fmt.Appendf(b, "may_goto pc%+d", raw.Off)
	case asm.ClassExit:
		return append(b, "exit"...)
	case asm.ClassBranch:
		b = fmt.Appendf(b, "if %c%d %s ", w, raw.Dst, logCond[in.op])
		if in.useSrc {
			return fmt.Appendf(b, "%c%d goto pc%+d", w, raw.Src, raw.Off)
		}
		return fmt.Appendf(b, "%#x goto pc%+d", uint32(raw.Imm), raw.Off)
	}
	return append(b, asm.Format(raw, nil)...)
}
