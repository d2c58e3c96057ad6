package cbpf

import (
	"github.com/skepvm/skep/asm"
)

// aluKinds are the operations by Op & 0xf0, with an immediate and with a register.
var aluKinds = [16][2]asm.Kind{
	AluAdd >> 4: {asm.Add32K, asm.Add32X},
	AluSub >> 4: {asm.Sub32K, asm.Sub32X},
	AluMul >> 4: {asm.Mul32K, asm.Mul32X},
	AluDiv >> 4: {asm.Div32K, asm.Div32X},
	AluOr >> 4:  {asm.Or32K, asm.Or32X},
	AluAnd >> 4: {asm.And32K, asm.And32X},
	AluLsh >> 4: {asm.Lsh32K, asm.Lsh32X},
	AluRsh >> 4: {asm.Rsh32K, asm.Rsh32X},
	AluMod >> 4: {asm.Mod32K, asm.Mod32X},
	AluXor >> 4: {asm.Xor32K, asm.Xor32X},
}

func (c *converter) alu(in Insn) {
	if in.row().arg == opNone {
		c.emit(asm.Neg32, ebpfA, 0, 0, 0)
		return
	}
	kinds := aluKinds[in.Op>>4&0xf]
	if in.row().arg == opImm {
		c.emit(kinds[0], ebpfA, 0, 0, int32(in.K))
		return
	}
	switch op := in.Op & 0xf0; {
	case op == AluDiv || op == AluMod:
		c.missIf(asm.Jeq64K, asm.Jne64K, ebpfX, 0, 0)
		c.emit(kinds[1], ebpfA, ebpfX, 0, 0)
	case (op == AluLsh || op == AluRsh) && c.o.Mode == Pcap:
		c.emit(asm.Jle64K, ebpfX, 0, 2, 31)
		c.emit(asm.Mov32K, ebpfA, 0, 0, 0)
		c.emit(asm.Ja, 0, 0, 1, 0)
		c.emit(kinds[1], ebpfA, ebpfX, 0, 0)
	default:
		c.emit(kinds[1], ebpfA, ebpfX, 0, 0)
	}
}

// jumpKinds are the conditions by Op & 0xf0: with an immediate, with a register, and the opposites; bit tests have none.
// Registers hold 32 bits with zeros above, so comparing 64 is the same.
var jumpKinds = [16][4]asm.Kind{
	JmpEq >> 4:  {asm.Jeq64K, asm.Jeq64X, asm.Jne64K, asm.Jne64X},
	JmpGt >> 4:  {asm.Jgt64K, asm.Jgt64X, asm.Jle64K, asm.Jle64X},
	JmpGe >> 4:  {asm.Jge64K, asm.Jge64X, asm.Jlt64K, asm.Jlt64X},
	JmpSet >> 4: {asm.Jset64K, asm.Jset64X},
}

func (c *converter) branch(pc int, in Insn) {
	a, b, _ := in.targets(pc)
	next := pc + 1
	if a == b {
		if a != next {
			c.jump(asm.Ja, 0, 0, 0, a)
		}
		return
	}
	kinds := jumpKinds[in.Op>>4&0xf]
	src, imm, form := ebpfX, int32(0), 1
	if in.row().arg == opCondK {
		src, imm, form = 0, int32(in.K), 0
		if imm < 0 { // immediates of 64-bit comparisons are sign-extended
			c.emit(asm.Mov32K, ebpfTmp, 0, 0, imm)
			src, imm, form = ebpfTmp, 0, 1
		}
	}
	switch {
	case b == next:
		c.jump(kinds[form], ebpfA, src, imm, a)
	case a == next && kinds[form+2] != asm.Invalid:
		c.jump(kinds[form+2], ebpfA, src, imm, b)
	case a == next:
		c.emit(kinds[form], ebpfA, src, 1, imm)
		c.jump(asm.Ja, 0, 0, 0, b)
	default:
		c.jump(kinds[form], ebpfA, src, imm, a)
		c.jump(asm.Ja, 0, 0, 0, b)
	}
}

// load converts what loads A or X.
func (c *converter) load(pc int, in Insn) {
	dst := ebpfA
	if in.Op&7 == ClassLdx {
		dst = ebpfX
	}
	switch in.row().arg {
	case opImm:
		c.emit(asm.Mov32K, dst, 0, 0, int32(in.K))
	case opMem:
		c.emit(asm.Ldx32, dst, asm.R10, memSlot(in.K), 0)
	case opLen:
		c.length(dst)
	case opMsh:
		c.headerLength(pc, in)
	case opInd:
		c.indirect(pc, in)
	case opAbs:
		switch which, anc := ancillary(in.K); {
		case c.o.Mode == Seccomp:
			c.emit(asm.Ldx32, dst, ebpfCtx, int16(in.K), 0)
		case anc:
			c.ancillary(pc, which)
		default:
			c.absolute(pc, ebpfA, in)
		}
	}
}

func (c *converter) length(dst asm.Reg) {
	switch {
	case c.o.Mode == Seccomp:
		c.emit(asm.Mov32K, dst, 0, 0, SeccompDataSize)
	case c.form.length != "":
		c.ctxField(dst, ebpfCtx, c.form.length)
	default:
		c.emit(asm.Mov64X, dst, ebpfLast, 0, 0)
		c.emit(asm.Sub64X, dst, ebpfData, 0, 0)
		c.emit(asm.Mov32X, dst, dst, 0, 0)
	}
}

// ancillary loads a fact about the packet into A.
func (c *converter) ancillary(pc int, which Ancillary) {
	src := c.form.anc[which/4]
	switch {
	case which == AncXorX:
		c.emit(asm.Xor32X, ebpfA, ebpfX, 0, 0)
	case src.helper != 0:
		c.emit(asm.CallHelper, 0, 0, 0, src.helper)
	case src.field != "":
		c.ctxField(ebpfA, ebpfCtx, src.field)
		if src.swap {
			c.emit(asm.Be16, ebpfA, 0, 0, 0)
		}
	case which == AncNlAttr || which == AncNlAttrNest:
		c.fail(pc, "netlink attributes can't be converted")
	default:
		c.fail(pc, "programs of type %s don't know %s", c.form.typ, ancTable[which/4].tcpdump)
	}
}

// loadKind returns the loads of size bytes: through a pointer, LD_ABS, LD_IND, and the swap after the first.
func loadKind(size int) (direct, abs, ind, swap asm.Kind) {
	switch size {
	case 1:
		return asm.Ldx8, asm.LdAbs8, asm.LdInd8, asm.Invalid
	case 2:
		return asm.Ldx16, asm.LdAbs16, asm.LdInd16, asm.Be16
	}
	return asm.Ldx32, asm.LdAbs32, asm.LdInd32, asm.Be32
}

// absolute loads from a constant place; into another register than A it must be a byte through a pointer.
func (c *converter) absolute(pc int, dst asm.Reg, in Insn) {
	size := 1
	if in.row().arg == opAbs {
		size = in.size()
	}
	direct, abs, _, swap := loadKind(size)
	switch place, at := c.place(pc); place {
	case placeNowhere:
		c.miss()
	case placeLoad:
		c.emit(abs, 0, 0, 0, int32(in.K))
	case placeDirect:
		if n := c.guard(pc); n > 0 {
			c.emit(asm.Mov64X, ebpfEnd, ebpfData, 0, 0)
			c.emit(asm.Add64K, ebpfEnd, 0, 0, int32(n))
			c.missIf(asm.Jgt64X, asm.Jle64X, ebpfEnd, ebpfLast, 0)
		}
		base := ebpfData
		if at > 1<<15-1 {
			c.emit(asm.Mov64X, ebpfTmp, ebpfData, 0, 0)
			c.emit(asm.Add64K, ebpfTmp, 0, 0, int32(at))
			base, at = ebpfTmp, 0
		}
		c.emit(direct, dst, base, int16(at), 0)
		if swap != asm.Invalid {
			c.emit(swap, dst, 0, 0, 0)
		}
	}
}

// headerLength loads X = 4*([k]&0xf), which leaves A as it is.
func (c *converter) headerLength(pc int, in Insn) {
	switch place, _ := c.place(pc); {
	case place != placeLoad:
		c.absolute(pc, ebpfX, in)
	case c.direct:
		c.emit(asm.Stx32, asm.R10, ebpfA, savedA, 0)
		c.absolute(pc, ebpfA, in)
		c.emit(asm.Mov32X, ebpfX, ebpfA, 0, 0)
		c.emit(asm.Ldx32, ebpfA, asm.R10, savedA, 0)
	default:
		c.emit(asm.Mov32X, ebpfData, ebpfA, 0, 0)
		c.absolute(pc, ebpfA, in)
		c.emit(asm.Mov32X, ebpfX, ebpfA, 0, 0)
		c.emit(asm.Mov32X, ebpfA, ebpfData, 0, 0)
	}
	if c.endsProgram(pc) {
		return
	}
	c.emit(asm.And32K, ebpfX, 0, 0, 0xf)
	c.emit(asm.Lsh32K, ebpfX, 0, 0, 2)
}

// indirect loads from X + k. Within the reach of pointers that is done with one; beyond it, where there are packets so
// long, with LD_IND, which the offset's sign is for as Linux has it.
func (c *converter) indirect(pc int, in Insn) {
	size := uint32(in.size())
	direct, _, _, swap := loadKind(int(size))
	if c.endsProgram(pc) {
		c.miss()
		return
	}
	if !c.direct || c.loads && in.K > maxDirect-size {
		c.loadIndirect(pc, in)
		return
	}
	index, k, limit, most := ebpfX, in.K, maxDirect-size-in.K, c.at[pc].xmax
	if !c.loads && c.o.Mode == Socket && (in.K > maxDirect-size || most > limit) { // the sum may wrap
		c.emit(asm.Mov32X, ebpfEnd, ebpfX, 0, 0)
		c.emit(asm.Add32K, ebpfEnd, 0, 0, int32(in.K))
		index, k, limit, most = ebpfEnd, 0, maxDirect-size, 1<<32-1
	}
	var done int
	switch {
	case most <= limit:
	case c.loads:
		near := len(c.insns)
		c.emit(asm.Jle64K, index, 0, 0, int32(limit))
		c.loadIndirect(pc, in)
		done = len(c.insns)
		c.emit(asm.Ja, 0, 0, 0, 0)
		c.land(near)
	default:
		c.missIf(asm.Jgt64K, asm.Jle64K, index, 0, int32(limit))
	}
	c.emit(asm.Mov64X, ebpfTmp, ebpfData, 0, 0)
	c.emit(asm.Add64X, ebpfTmp, index, 0, 0)
	if k > 1<<15-1 {
		c.emit(asm.Add64K, ebpfTmp, 0, 0, int32(k))
		k = 0
	}
	c.emit(asm.Mov64X, ebpfEnd, ebpfTmp, 0, 0)
	c.emit(asm.Add64K, ebpfEnd, 0, 0, int32(k+size))
	c.missIf(asm.Jgt64X, asm.Jle64X, ebpfEnd, ebpfLast, 0)
	c.emit(direct, ebpfA, ebpfTmp, int16(k), 0)
	if swap != asm.Invalid {
		c.emit(swap, ebpfA, 0, 0, 0)
	}
	if done != 0 {
		c.land(done)
	}
}

// loadIndirect is LD_IND. In Pcap mode the sum is not to wrap, nor to be below 0, where Linux has other places.
func (c *converter) loadIndirect(pc int, in Insn) {
	_, _, ind, _ := loadKind(in.size())
	if c.o.Mode == Pcap && uint64(c.at[pc].xmax)+uint64(in.K) >= 1<<31 {
		c.emit(asm.Mov64X, ebpfTmp, ebpfX, 0, 0)
		c.emit(asm.Add64K, ebpfTmp, 0, 0, int32(in.K))
		c.missIf(asm.Jgt64K, asm.Jle64K, ebpfTmp, 0, 1<<31-1)
		c.emit(ind, 0, ebpfTmp, 0, 0)
		return
	}
	c.emit(ind, 0, ebpfX, 0, int32(in.K))
}
