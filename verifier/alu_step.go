package verifier

import (
	"math"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/maps"
)

// aluSigns are the operators as the kernel prints them: without a sign for the signed ones.
var aluSigns = [...]string{
	asm.Add: "+=", asm.Sub: "-=", asm.Mul: "*=", asm.Div: "/=", asm.SDiv: "/=", asm.Or: "|=", asm.And: "&=",
	asm.Lsh: "<<=", asm.Rsh: ">>=", asm.Mod: "%=", asm.SMod: "%=", asm.Xor: "^=", asm.Mov: "=", asm.Arsh: "s>>=",
}

// stepALU is check_alu_op of the kernel.
func (v *verifier) stepALU(in *insn) *Error {
	err := v.doALU(in)
	v.regs()[in.dst].check()
	return err
}

func (v *verifier) doALU(in *insn) *Error {
	if in.useSrc || in.class == asm.ClassMovsx {
		if err := v.readReg(in.src); err != nil {
			return err
		}
	}
	op := asm.ALUOp(in.op)
	if in.class == asm.ClassMovsx || in.class == asm.ClassALU && op == asm.Mov {
		return v.stepMov(in)
	}
	if err := v.readReg(in.dst); err != nil {
		return err
	}
	dst := &v.regs()[in.dst]
	switch in.class {
	case asm.ClassNeg, asm.ClassSwap:
		return v.stepUnary(in, dst)
	}
	if !in.useSrc {
		switch op {
		case asm.Div, asm.Mod, asm.SDiv, asm.SMod:
			if in.imm == 0 {
				return v.fail(DivByZero, "div by zero")
			}
		case asm.Lsh, asm.Rsh, asm.Arsh:
			if in.imm >= uint64(in.width) {
				return v.fail(BadShift, "invalid shift %d", int32(in.imm))
			}
		}
	}
	return v.adjust(in, op, dst)
}

func (v *verifier) stepUnary(in *insn, dst *reg) *Error {
	if v.leaks(dst) {
		return v.fail(PointerArith, "R%d pointer arithmetic prohibited", in.dst)
	}
	if in.class == asm.ClassNeg && dst.typ == scalar && v.profile.NegBounds {
		zero := constBounds(0)
		aluScalar(&zero, asm.Sub, &dst.bounds, in.width)
		*dst = reg{typ: scalar, bounds: zero}
		return nil
	}
	if in.class == asm.ClassSwap && dst.typ == scalar && v.profile.SwapBits {
		if op := asm.SwapOp(in.op); op != asm.ToLE || in.size < 8 { // else it stays what it is
			dst.unlink()
			dst.swap(op, in.size)
		}
		return nil
	}
	*dst = unknownReg()
	return nil
}

// stepMov copies a register or an immediate, with or without sign extension.
func (v *verifier) stepMov(in *insn) *Error {
	regs := v.regs()
	dst := &regs[in.dst]
	if !in.useSrc && in.class != asm.ClassMovsx {
		if in.width == 32 {
			*dst = constReg(uint64(uint32(in.imm)))
		} else {
			*dst = constReg(in.imm)
		}
		return nil
	}
	src := &regs[in.src]
	switch {
	case in.class == asm.ClassALU && in.width == 64:
		v.link(src)
		*dst = *src
	case src.typ != scalar:
		if v.leaks(src) {
			if in.class == asm.ClassMovsx && in.width == 64 {
				return v.fail(PointerLeak, "R%d sign-extension part of pointer", in.src)
			}
			return v.fail(PointerLeak, "R%d partial copy of pointer", in.src)
		}
		*dst = unknownReg()
		if in.width == 32 {
			dst.zext32()
		}
	case in.class == asm.ClassALU: // 32 bits: the same value when nothing is cut off
		v.copyScalar(dst, src, src.umax <= math.MaxUint32)
		v.profile.zext(&dst.bounds)
	default:
		v.copyScalar(dst, src, src.umax < 1<<(in.size*8-1))
		if in.width == 64 {
			dst.signExtend(in.size)
		} else {
			dst.signExtend32(in.size)
		}
	}
	return nil
}

// copyScalar copies src to dst; same says that dst will have the same value, so that they stay linked.
func (v *verifier) copyScalar(dst, src *reg, same bool) {
	if same {
		v.link(src)
	}
	*dst = *src
	if !same {
		dst.unlink()
	}
}

// link gives a scalar that is about to be copied an id, so that what is learnt of one copy holds for all
// (kernel: assign_scalar_id_before_mov).
func (v *verifier) link(r *reg) {
	if r.typ != scalar || !v.profile.LinkedCopies {
		return
	}
	if r.flags&(linkedAdd|linkedAdd32) != 0 {
		r.unlink()
	}
	if r.id == 0 && !r.isConst() {
		r.id = v.newID()
	}
}

// unlink says that r's value is no longer that of others.
func (r *reg) unlink() {
	r.id, r.off = 0, 0
	r.flags &^= linkedAdd | linkedAdd32
}

// adjust is dst op= src for anything but moves (kernel: adjust_reg_min_max_vals).
func (v *verifier) adjust(in *insn, op asm.ALUOp, dst *reg) *Error {
	imm := reg{}
	src := &imm
	if in.useSrc {
		src = &v.regs()[in.src]
	} else {
		imm = constReg(in.imm)
	}
	if v.arenaMap >= 0 {
		if done, err := v.adjustArena(in, dst, src); done || err != nil {
			return err
		}
	}
	switch {
	case dst.isPtr() && src.isPtr():
		if op == asm.Sub && v.profile.PointerLeaks {
			*dst = unknownReg()
			return nil
		}
		return v.fail(PointerPointer, "R%d pointer %s pointer prohibited", in.dst, aluSigns[op])
	case dst.isPtr():
		if in.useSrc {
			v.markPrecise(in.src)
		}
		return v.adjustPtr(in, op, in.dst, dst, src)
	case src.isPtr():
		v.markPrecise(in.dst)
		off := *dst
		ptr := *src
		if err := v.adjustPtr(in, op, in.src, &ptr, &off); err != nil {
			return err
		}
		*dst = ptr
		return nil
	}
	if (op == asm.And || op == asm.Or) && src.isConst() && v.profile.ForkSigns {
		if err := v.forkSigns(in, dst); err != nil {
			return err
		}
	}
	if err := v.noteScalars(in, op); err != nil {
		return err
	}
	sum := v.keepsLink(in, op, dst, src)
	v.profile.alu(&dst.bounds, op, &src.bounds, in.width)
	if !sum {
		dst.unlink()
	}
	return nil
}

// forkSigns walks on with -1 in a scalar that is 0 or -1, the sign that a shift spreads, and saves the way of 0 for later
// (kernel: maybe_fork_scalars).
func (v *verifier) forkSigns(in *insn, dst *reg) *Error {
	whole := dst.smin == -1 && dst.smax == 0
	if !whole && (dst.smin32 != -1 || dst.smax32 != 0) {
		return nil
	}
	other, err := v.push(v.pc)
	if err != nil {
		return err
	}
	zero := &other.top().regs[in.dst]
	if whole {
		*zero, *dst = constReg(0), constReg(math.MaxUint64)
		return nil
	}
	zero.known32(0)
	dst.known32(math.MaxUint32)
	return nil
}

// keepsLink reports whether dst op= src leaves dst linked, as the shared value plus a constant, and notes which. The sum
// of 32 bits counts when nothing is above them.
func (v *verifier) keepsLink(in *insn, op asm.ALUOp, dst, src *reg) bool {
	if !v.profile.LinkedAdd || op != asm.Add && op != asm.Sub || dst.id == 0 || !src.bitsOf(in.width).IsConst() ||
		dst.flags&(linkedAdd|linkedAdd32) != 0 {
		return false
	}
	val, flag := int64(src.tn.Value), linkedAdd
	if in.width == 32 {
		if dst.umax > math.MaxUint32 {
			return false
		}
		val, flag = int64(int32(val)), linkedAdd32
	}
	if op == asm.Sub {
		val = -val
	}
	if val != int64(int32(val)) || !v.profile.LinkedSub && (val < 0 || op == asm.Sub || in.width == 32) {
		return false
	}
	dst.flags |= flag
	dst.off = int32(val)
	return true
}

// adjustPtr is dst = ptr op off, where dst holds ptr (kernel: adjust_ptr_min_max_vals). n is the pointer's register.
func (v *verifier) adjustPtr(in *insn, op asm.ALUOp, n uint8, ptr, off *reg) *Error {
	if in.width == 32 {
		if op == asm.Sub && v.profile.PointerLeaks {
			*ptr = unknownReg() // as in the kernel: not even zero-extended
			return nil
		}
		return v.fail(PointerArith32, "R%d 32-bit pointer arithmetic prohibited", in.dst)
	}
	known := off.isConst()
	if off.empty() || off.broken() {
		*ptr = unknownReg()
		return nil
	}
	if ptr.null() {
		return v.fail(NullArith, "R%d pointer arithmetic on %s prohibited, null-check it first", in.dst, ptr.typeString())
	}
	switch ptr.typ {
	case ptrFlowKeys:
		if !known {
			return v.failPtrArith(in.dst, ptr)
		}
	case ptrMap:
		if !known || off.tn.Value != 0 || op != asm.Add {
			return v.failPtrArith(in.dst, ptr)
		}
	case ptrPacketEnd, ptrSocket, ptrSockCommon, ptrTCPSock, ptrXDPSock, ptrFunc:
		return v.failPtrArith(in.dst, ptr)
	}
	if ptr.typ == ptrMem && ptr.flags&untrusted != 0 {
		return nil // any address may be read
	}
	if err := v.checkSaneOffset(off, ptr.typ); err != nil {
		return err
	}
	var w window
	if v.mitigations != nil {
		var err *Error
		if w, err = v.openWindow(in, op, n, ptr, off); err != nil {
			return err
		}
	}
	switch op {
	case asm.Add:
		v.addPtr(ptr, off, known)
	case asm.Sub:
		if n != in.dst {
			return v.fail(PointerArith, "R%d tried to subtract pointer from scalar", in.dst)
		}
		if ptr.typ == ptrStack {
			return v.fail(PointerArith, "R%d subtraction from stack pointer prohibited", in.dst)
		}
		v.subPtr(ptr, off, known)
	case asm.And, asm.Or, asm.Xor:
		return v.fail(PointerArith, "R%d bitwise operator %s on pointer prohibited", in.dst, aluSigns[op])
	default:
		return v.fail(PointerArith, "R%d pointer arithmetic with %s operator prohibited", in.dst, aluSigns[op])
	}
	if err := v.checkSaneOffset(ptr, ptr.typ); err != nil {
		return err
	}
	v.profile.syncNumber(&ptr.bounds)
	if v.mitigations != nil {
		return v.closeWindow(in, op, ptr, w)
	}
	return nil
}

func (v *verifier) failPtrArith(n uint8, ptr *reg) *Error {
	return v.fail(PointerArith, "R%d pointer arithmetic on %s prohibited", n, ptr.typeString())
}

// addPtr adds off to a pointer: a known number to the fixed part while it fits, else to the variable part. The kernel
// follows no 32-bit ranges of pointers beyond what the others say.
func (v *verifier) addPtr(ptr, off *reg, known bool) {
	if off.smin < 0 {
		ptr.rng = max(ptr.rng, 0) // it may no longer be past the end
	}
	if known {
		if sum := int64(ptr.off) + off.smin; sum == int64(int32(sum)) {
			ptr.off = int32(sum)
			return
		}
	}
	ptr.unbound32()
	if !v.profile.WrapSums {
		ptr.narrowSum(asm.Add, &off.bounds)
	}
	ptr.add64(&off.bounds)
	ptr.tn = ptr.tn.Add(off.tn)
	if ptr.isPacket() {
		ptr.id = v.newID()
		ptr.rng = 0 // something unknown was added: what was compared no longer counts
	}
}

func (v *verifier) subPtr(ptr, off *reg, known bool) {
	if off.smax > 0 {
		ptr.rng = max(ptr.rng, 0)
	}
	if known {
		if diff := int64(ptr.off) - off.smin; diff == int64(int32(diff)) {
			ptr.off = int32(diff)
			return
		}
	}
	ptr.unbound32()
	if !v.profile.WrapSums {
		ptr.narrowSum(asm.Sub, &off.bounds)
	}
	ptr.sub64(&off.bounds)
	ptr.tn = ptr.tn.Sub(off.tn)
	if ptr.isPacket() {
		ptr.id = v.newID()
		if off.smin < 0 { // the pointer may have moved up
			ptr.rng = 0
		}
	}
}

// checkSaneOffset keeps pointers' offsets so small that sums of them can't wrap (kernel: check_reg_sane_offset).
func (v *verifier) checkSaneOffset(r *reg, t regType) *Error {
	known := r.isConst()
	val := int64(r.tn.Value)
	name := typeNames[t]
	switch {
	case known && (val >= maxVarOff || val <= -maxVarOff):
		return v.fail(PointerRange, "math between %s pointer and %d is not allowed", name, val)
	case r.off >= maxVarOff || r.off <= -maxVarOff: // also of a linked number: what was added
		return v.fail(PointerRange, "%s pointer offset %d is not allowed", name, r.off)
	case r.smin == math.MinInt64:
		return v.fail(PointerRange, "math between %s pointer and register with unbounded min value is not allowed", name)
	case r.smin >= maxVarOff || r.smin <= -maxVarOff:
		return v.fail(PointerRange, "value %d makes %s pointer be out of bounds", r.smin, name)
	}
	return nil
}

// stepImm64 loads a 64-bit immediate, a map, a map's value or a function.
func (v *verifier) stepImm64(in *insn) *Error {
	dst := &v.regs()[in.dst]
	switch asm.Reg(in.src) {
	case asm.PseudoNone:
		*dst = constReg(in.imm)
	case asm.PseudoFunc:
		*dst = ptrReg(ptrFunc)
		dst.aux = v.subOf[in.target]
	case asm.PseudoMapIdx:
		*dst = ptrReg(ptrMap)
		dst.aux = int32(uint32(in.imm))
	case asm.PseudoMapIdxValue:
		if v.prog.Maps[uint32(in.imm)].Type == maps.Arena { // what it is, only user space may follow
			*dst = unknownReg()
			break
		}
		*dst = ptrReg(ptrMapValue)
		dst.aux = int32(uint32(in.imm))
		dst.off = int32(in.imm >> 32)
		if v.hasLock(dst) {
			dst.id = v.newID()
		}
	case asm.PseudoBTFID:
		v.loadKfuncAddr(in)
	default:
		return v.fail(Unsupported, "unrecognized bpf_ld_imm64 insn")
	}
	return nil
}
