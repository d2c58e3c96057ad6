package verifier

import (
	"github.com/skepvm/skep/asm"
)

// A CPU runs on past a branch that it mispredicts, and what it reads there can be measured (Spectre v1). So loaders without
// CAP_PERFMON get more than what runs checked:
//
//   - a branch that is decided is walked the other way too, as a speculative path; so is each addition of an unknown number
//     to a pointer with the number left out, which is what the mask that the kernel puts there makes of a bad number;
//   - a number that is added to a pointer must be such that one mask fits every path, and the sum must stay in bounds.
//
// What is wrong on a speculative path is a rejection; since Linux 6.17 it is the place of a barrier, which ends such paths.
// Barriers for Spectre v4, behind stores that may be overtaken, end them as well (kernel: sanitize_ptr_alu,
// sanitize_speculative_path, do_check).

// mask says how the kernel will mask one side of an addition or subtraction (kernel: BPF_ALU_*).
type mask uint8

const (
	maskSrc      mask = 1 << iota // the source is the number, or else the destination:
	maskDst                       //
	maskNegative                  // the number may be below zero
	maskNothing                   // there is no pointer
	maskConst                     // the number is known
)

// mitigation is what will be done about one instruction, as far as known.
type mitigation struct {
	mask     mask // 0: not known yet
	mixed    bool // tail call: through several maps
	before   bool // barrier before it
	after    bool // barrier behind it
	executed bool // not only speculatively
	tailMap  int32
	limit    uint32 // largest number that the mask lets through
}

// window is the first half of what is known of a mask, before the pointer has moved.
type window struct {
	mask   mask
	limit  uint32
	toLeft bool // the pointer moves down
}

// visitMitigated is what visit does about an instruction for a loader without CAP_PERFMON.
func (v *verifier) visitMitigated(in *insn) (done bool, err *Error) {
	m := &v.mitigations[v.pc]
	speculative := v.cur.speculative
	switch {
	case !speculative:
		m.executed = true
	case m.before:
		return true, nil
	}
	if done, err = v.execute(in); !speculative || !v.profile.SpecBarriers {
		return done, err
	}
	if err != nil && err.Code.avoidable() {
		v.log.averted(err)
		m.before, m.mask = true, 0
		return true, nil
	}
	return done || err == nil && m.after, err
}

// avoidable reports whether a barrier does instead of a rejection, on a speculative path: not where the verifier itself
// gives up (kernel: error_recoverable_with_nospec).
func (c Code) avoidable() bool {
	switch c {
	case TooComplex, TooManyJumps, CallDepth, InfiniteLoop, Unsupported, Internal:
		return false
	}
	return true
}

// pushSpeculative saves the current state to walk on from pc as a CPU would that guessed wrong.
func (v *verifier) pushSpeculative(pc int) (*state, *Error) {
	st, err := v.push(pc)
	if err != nil {
		return nil, err
	}
	st.speculative = true
	return st, nil
}

// mispredict saves the way of a decided branch that is not taken: its operands can be anything there.
func (v *verifier) mispredict(in *insn, o outcome) *Error {
	pc := int(in.target)
	if o == always {
		pc = v.pc + 1
	}
	st, err := v.pushSpeculative(pc)
	if err != nil {
		return err
	}
	regs := &st.top().regs
	regs[in.dst] = unknownReg()
	if in.useSrc {
		regs[in.src] = unknownReg()
	}
	return nil
}

// noteScalars notes that an addition or subtraction has no pointer in it (kernel: sanitize_val_alu).
func (v *verifier) noteScalars(in *insn, op asm.ALUOp) *Error {
	if v.mitigations == nil || !v.masked(in, op) {
		return nil
	}
	return v.setMask(in, op, maskNothing, 0)
}

// masked reports whether the kernel masks an operation: numbers that the instruction has in itself need none.
func (v *verifier) masked(in *insn, op asm.ALUOp) bool {
	return in.useSrc && (op == asm.Add || op == asm.Sub) && !v.mitigations[v.pc].before
}

// setMask settles how the instruction is masked. There is one way for all paths.
func (v *verifier) setMask(in *insn, op asm.ALUOp, how mask, limit uint32) *Error {
	m := &v.mitigations[v.pc]
	if m.mask != 0 && (m.mask != how || m.limit != limit) {
		return v.failMask("R%d tried to %s from different maps, paths or scalars", in.dst, maskVerb(op))
	}
	m.mask, m.limit = how, limit
	return nil
}

func maskVerb(op asm.ALUOp) string {
	if op == asm.Add {
		return "add"
	}
	return "sub"
}

func (v *verifier) failMask(format string, args ...any) *Error {
	return v.fail(Speculation, format+", pointer arithmetic with it prohibited for !root", args...)
}

// openWindow looks at a pointer and the number that moves it, before it moves, and saves the speculative path on which it
// does not.
func (v *verifier) openWindow(in *insn, op asm.ALUOp, n uint8, ptr, off *reg) (w window, err *Error) {
	if !v.masked(in, op) {
		return w, nil
	}
	known, negative := off.isConst(), off.smin < 0
	if !v.cur.speculative { // else only what goes wrong matters
		number := in.dst
		w.mask = maskDst
		if n == in.dst {
			number, w.mask = in.src, maskSrc
		}
		if !known && negative != (off.smax < 0) {
			return w, v.failMask("R%d has unknown scalar with mixed signed bounds", number)
		}
		w.toLeft = negative == (op == asm.Add)
		if w.limit, err = v.maskLimit(in, op, n, ptr, w.toLeft); err != nil {
			return w, err
		}
		if negative {
			w.mask |= maskNegative
		}
		if known {
			w.mask |= maskConst
		} else {
			v.exactScalars = true
		}
	}
	if known {
		return w, nil
	}
	st, err := v.pushSpeculative(v.pc + 1)
	if err != nil {
		return w, err
	}
	still := &st.top().regs[in.dst]
	*still = *ptr
	if n == in.dst { // the kernel forgets these in place
		still.unbound32()
	}
	return w, nil
}

// maskLimit is how far a pointer can move within its memory (kernel: retrieve_ptr_limit).
func (v *verifier) maskLimit(in *insn, op asm.ALUOp, n uint8, ptr *reg, toLeft bool) (uint32, *Error) {
	var limit, end uint32
	switch {
	case ptr.typ == ptrStack:
		limit, end = -uint32(int32(ptr.tn.Value)+ptr.off), stackBytes
		if toLeft {
			end++ // the frame pointer itself is a place to start from
		}
	case ptr.typ == ptrMapValue && ptr.flags == 0:
		limit, end = uint32(ptr.umax)+uint32(ptr.off), v.mapOf(ptr).ValueSize
		if toLeft {
			limit = uint32(ptr.smin) + uint32(ptr.off)
		}
	default:
		return 0, v.failMask("R%d has pointer with unsupported alu operation", n)
	}
	if limit >= end {
		return 0, v.failMask("R%d tried to %s beyond pointer bounds", in.dst, maskVerb(op))
	}
	return limit, nil
}

// closeWindow checks where a pointer moved to, and settles the mask.
func (v *verifier) closeWindow(in *insn, op asm.ALUOp, ptr *reg, w window) *Error {
	if err := v.checkMoved(in.dst, ptr); err != nil {
		return err
	}
	if !v.masked(in, op) || v.cur.speculative {
		return nil
	}
	limit, err := v.maskLimit(in, op, in.dst, ptr, w.toLeft)
	if err != nil {
		return err
	}
	moved := int32(w.limit - limit)
	return v.setMask(in, op, w.mask, uint32(max(moved, -moved)))
}

// checkMoved checks that a pointer still is in bounds where it may be masked later (kernel: sanitize_check_bounds).
func (v *verifier) checkMoved(n uint8, ptr *reg) *Error {
	switch ptr.typ {
	case ptrStack:
		off := int64(ptr.off) + int64(ptr.tn.Value)
		if !ptr.isConst() {
			return v.fail(Speculation, "R%d variable stack access prohibited for !root, var_off=%v off=%d", n, ptr.tn, off)
		}
		if off >= 0 || off < -stackBytes {
			return v.fail(Speculation, "R%d stack pointer arithmetic goes out of range, prohibited for !root; off=%d", n, off)
		}
	case ptrMapValue:
		if err := v.checkMapRange(n, ptr, v.mapOf(ptr), int64(ptr.off), 1, false, true); err != nil {
			words := err.Kernel
			err = v.fail(Speculation, "R%d pointer arithmetic of map value goes out of range, prohibited for !root", n)
			err.Kernel = words + "\n" + err.Kernel
			return err
		}
	}
	return nil
}

// noteStore decides whether a store to the stack gets a barrier behind it: one that puts a pointer there, or something
// where a pointer or nothing was (Spectre v4).
func (v *verifier) noteStore(f *frame, off, size int, val *reg) {
	after := val != nil && val.isPtr()
	for b := 0; b < size && !after; b++ {
		k := *f.byteAt(off + b)
		after = k != stackMisc && k != stackZero
	}
	if after {
		v.mitigations[v.pc].after = true
	}
}

// noteTailCall remembers through which maps a tail call goes: the kernel bounds its index by the size of one map.
func (v *verifier) noteTailCall(mapAux int32) {
	m := &v.mitigations[v.pc]
	if m.tailMap == 0 {
		m.tailMap = mapAux + 1
	}
	m.mixed = m.mixed || m.tailMap != mapAux+1
}

// checkTailCalls rejects tail calls whose index can't be bounded (kernel: do_misc_fixups).
func (v *verifier) checkTailCalls() *Error {
	for pc := range v.mitigations {
		if m := &v.mitigations[pc]; m.mixed && m.executed {
			return v.failAt(pc, Speculation, "tail_call abusing map_ptr")
		}
	}
	return nil
}
