package verifier

import (
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
)

// insn is an instruction as the walk wants it: everything looked up once.
type insn struct {
	kind     asm.Kind
	class    asm.Class
	op       uint8 // ALUOp, Cond, AtomicOp or SwapOp, by class
	width    uint8 // 32 or 64
	size     uint8 // bytes of memory, of a swap, of a sign extension
	dst, src uint8
	useSrc   bool
	signed   bool
	fetch    bool
	illegal  bool // asm.Check refuses it: an error if the walk gets here

	prune bool // states are kept and compared here
	force bool // … always
	store bool // it may write to the stack
	entry bool // a jump leads here, or a local call returns here

	live   asm.RegSet // registers that may be read from here on before they are written
	use    asm.RegSet // registers that it reads
	def    asm.RegSet // … and surely writes
	off    int32
	target int32  // of a jump or local call
	visits uint32 // how often the walk got here
	imm    uint64
	memTyp regType // what this load or store went through, on any path so far; see adjustArena for arithmetic
	states uint32  // states that were kept here
	inline inlining
	scc    int32 // the loop that it belongs to; 0 none
	helper *helpers.Row
	kfunc  *helpers.Kfunc // that is called, or whose address is loaded
}

// decode fills v.insns.
func (v *verifier) decode() {
	prog := v.prog.Insns
	v.insns = v.newInsns(len(prog))
	for pc := 0; pc < len(prog); pc++ {
		in := prog[pc]
		k := asm.KindOf(in)
		row := k.Info()
		d := &v.insns[pc]
		*d = insn{
			kind: k, class: row.Class, width: row.Width, size: row.Size, dst: uint8(in.Dst), src: uint8(in.Src),
			useSrc: row.UseSrc, signed: row.Signed, fetch: row.Fetch, off: int32(in.Off), imm: uint64(int64(in.Imm)),
			target: int32(in.Target(pc)),
		}
		switch row.Class {
		case asm.ClassALU:
			d.op = uint8(row.ALU)
		case asm.ClassBranch:
			d.op = uint8(row.Cond)
		case asm.ClassAtomic:
			d.op = uint8(row.Atomic)
		case asm.ClassSwap:
			d.op = uint8(row.Swap)
		case asm.ClassImm64:
			if pc+1 < len(prog) {
				d.imm = asm.Imm64(in, prog[pc+1])
			}
		}
		switch row.Class {
		case asm.ClassStore, asm.ClassStoreRel, asm.ClassAtomic, asm.ClassCall:
			d.store = true
		}
		d.illegal = k == asm.Invalid || asm.Check(in) != nil || !v.profile.Kernel.AtLeast(row.Since)
		if k == asm.CallHelper {
			if r := v.tables.ByID(in.Imm); r != nil {
				d.helper = r.For(v.prog.Type)
			}
		}
		if k == asm.CallKfunc || k == asm.LdImm64 && in.Src == asm.PseudoBTFID {
			d.kfunc = v.kfuncOf(in.Imm)
		}
		if k == asm.LdImm64 {
			pc++ // the second slot stays invalid
		}
	}
}

// stepsIter reports whether the instruction is the step of an open-coded iterator.
func (in *insn) stepsIter() bool {
	return in.kind == asm.CallKfunc && in.kfunc != nil && in.kfunc.Flags.Has(helpers.KfuncIterNext)
}

// checkLegal rejects an instruction whose fields are illegal.
func (v *verifier) checkLegal(pc int) *Error {
	in := v.prog.Insns[pc]
	if err := asm.Check(in); err != nil {
		fe := err.(*asm.FieldError)
		switch {
		case fe.Field == asm.FieldOp:
			return v.failAt(pc, UnknownOpcode, "%s", fe.Reason)
		case fe.Reason == "frame pointer is read only" && v.insns[pc].class == asm.ClassAtomic && !v.profile.PointerLeaks:
			return v.failAt(pc, PointerLeak, "R10 leaks addr into mem") // looked at before what the instruction writes
		case fe.Reason == "frame pointer is read only":
			return v.failAt(pc, FramePointerWrite, "%s", fe.Reason)
		case (fe.Field == asm.FieldDst || fe.Field == asm.FieldSrc) && fe.Value > 10:
			return v.failAt(pc, BadRegister, "%s", fe.Reason)
		}
		return v.failAt(pc, ReservedField, "%s", fe.Reason)
	}
	return v.failTooNew(pc)
}

// failTooNew rejects an instruction that the profile's kernel does not have: it sees an opcode that it does not know, or a
// field that it takes for unused.
func (v *verifier) failTooNew(pc int) *Error {
	row := v.insns[pc].kind.Info()
	words := fmt.Sprintf("unknown opcode %02x", v.prog.Insns[pc].Op)
	switch {
	case row.Selector() == asm.FieldOff:
		words = row.Words
	case row.Class == asm.ClassALU:
		words = "BPF_ARSH not supported for 32 bit ALU"
	case row.Selector() == asm.FieldImm && !v.profile.Kernel.AtLeast(asm.AtomicXchg64.Info().Since):
		words = "BPF_XADD uses reserved fields"
	case row.Selector() == asm.FieldImm:
		words = fmt.Sprintf("BPF_ATOMIC uses invalid atomic opcode %02x", v.prog.Insns[pc].Imm)
	}
	e := v.failAt(pc, UnknownOpcode, "%s", words)
	if name := insnNames[row.Class]; name != nil {
		e.needs(NeedInsns, name(row), row.Since)
	}
	return e
}
