package jit

import (
	"bytes"
	"fmt"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/internal/amd64"
	"github.com/skepvm/skep/vm"
)

// target is what code generation needs to know of the machine that the code will run on. It is plain data, so the
// same program and target give the same bytes anywhere.
type target struct {
	id    uint32 // of the program
	mask  uint32 // of guest addresses
	bmi2  bool   // the processor has shifts by any register
	array func(handle uint32) (arrayMap, bool)
}

// arrayMap is what an inlined lookup needs to know of an array.
type arrayMap struct {
	data      uint32 // guest address of element 0, of virtual CPU 0
	stride    uint32 // bytes between elements
	entries   uint32
	cpuStride uint32 // bytes between the same element of two CPUs; 0 when all share one
}

// code is the machine code of one program, position-independent, and all that Go must know to run it.
type code struct {
	bytes  []byte
	stubs  stubOffsets
	slots  []int // offset of each slot's code; -1 for the second slot of a 64-bit load
	sites  []site
	leader []bool // by slot: a basic block, and with it a charge to the fuel, begins there
	insns  []asm.Insn
}

// stubOffsets are the ways in: see gen.stubs.
type stubOffsets struct{ run, batch, callback, resume, ret int }

// gen makes the code of one program.
type gen struct {
	a      amd64.Asm
	t      target
	insns  []asm.Insn
	kinds  []asm.Kind
	leader []bool // by slot: a basic block begins here
	slots  amd64.Label
	saved  asm.RegSet // of R6-R9, those that a call of a local function must keep
	loops  bool       // there is a may_goto
	left   int32      // instructions of the block behind the current one
	known  constants
	sites  []pendingSite
	cold   []coldPath

	leave, leaveDone, run, batch, callback, resume, ret amd64.Label
}

type pendingSite struct {
	site
	label amd64.Label // resume
}

// compile makes the machine code of a linked program. An error is a program that vm.Link would not have let through.
func compile(insns []asm.Insn, t target) (*code, error) {
	g := &gen{t: t, insns: insns}
	g.a.Grow(len(insns) * 16)
	if err := g.findBlocks(); err != nil {
		return nil, err
	}
	g.slots = g.a.Labels(len(insns))
	for _, l := range []*amd64.Label{&g.leave, &g.leaveDone, &g.run, &g.batch, &g.callback, &g.resume, &g.ret} {
		*l = g.a.Labels(1)
	}
	g.sites = append(g.sites, pendingSite{label: g.run}) // siteDone
	for pc := 0; pc < len(insns); pc += width(g.kinds[pc]) {
		if err := g.insn(pc); err != nil {
			return nil, &Error{PC: pc, Insn: insns[pc], Reason: err.Error()}
		}
	}
	g.coldPaths()
	g.stubs()
	return g.finish(), nil
}

func (g *gen) finish() *code {
	c := &code{bytes: bytes.Clone(g.a.Finish()), leader: g.leader, insns: g.insns}
	c.stubs = stubOffsets{
		run: g.a.Offset(g.run), batch: g.a.Offset(g.batch), callback: g.a.Offset(g.callback),
		resume: g.a.Offset(g.resume), ret: g.a.Offset(g.ret),
	}
	c.slots = make([]int, len(g.insns))
	for i := range c.slots {
		c.slots[i] = g.a.Offset(g.slots + amd64.Label(i))
	}
	c.sites = make([]site, len(g.sites))
	for i, s := range g.sites {
		c.sites[i] = s.site
		c.sites[i].resume = int32(g.a.Offset(s.label))
	}
	return c
}

// Error is a program that cannot be compiled: vm.Link accepts none.
type Error struct {
	PC     int // slot
	Insn   asm.Insn
	Reason string
}

func (e *Error) Error() string { return fmt.Sprintf("jit: pc %d: %s", e.PC, e.Reason) }

// width is the number of slots of an instruction.
func width(k asm.Kind) int {
	if k == asm.LdImm64 {
		return 2
	}
	return 1
}

// findBlocks tells kinds and marks where basic blocks begin: the entry, jump targets, functions, and behind everything
// that does not simply go on with the next slot.
func (g *gen) findBlocks() error {
	n := len(g.insns)
	g.kinds = make([]asm.Kind, n)
	g.leader = make([]bool, n+1)
	second := make([]bool, n)
	g.leader[0] = true
	for pc := 0; pc < n; pc++ {
		in := g.insns[pc]
		k := asm.KindOf(in)
		g.kinds[pc] = k
		writes := asm.Writes(in)
		g.survey(in, k, writes)
		if writes.Has(asm.R10) || in.Dst > asm.R10 || in.Src > asm.R10 {
			return &Error{PC: pc, Insn: in, Reason: "illegal register"}
		}
		if hasTarget(in, k) {
			to := in.Target(pc)
			if to < 0 || to >= n {
				return &Error{PC: pc, Insn: in, Reason: "jump out of the program"}
			}
			g.leader[to] = true
		}
		if endsBlock(k) {
			g.leader[pc+1] = true
		}
		if k == asm.LdImm64 {
			if pc+1 == n {
				return &Error{PC: pc, Insn: in, Reason: "half a 64-bit load at the end"}
			}
			pc++
			second[pc] = true
		}
	}
	for pc, is := range second {
		if is && g.leader[pc] {
			return &Error{PC: pc, Insn: g.insns[pc], Reason: "jump into a 64-bit load"}
		}
	}
	if n == 0 || !neverFallsThrough(g.lastKind()) {
		return &Error{PC: n - 1, Reason: "the last instruction falls off the end"}
	}
	return nil
}

func hasTarget(in asm.Insn, k asm.Kind) bool {
	switch k.Info().Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto:
		return true
	case asm.ClassImm64:
		return in.Src == asm.PseudoFunc
	}
	return k == asm.CallLocal
}

// survey notes what local calls have to save. After a tail call another program runs, which may write all registers.
func (g *gen) survey(in asm.Insn, k asm.Kind, writes asm.RegSet) {
	g.saved |= writes & calleeSaved
	g.loops = g.loops || k == asm.MayGoto
	if k == asm.CallHelper && in.Imm == tailCallID {
		g.saved = calleeSaved
	}
}

// calleeSaved are R6-R9.
const calleeSaved asm.RegSet = 0x3c0

func (g *gen) lastKind() asm.Kind { return g.kinds[len(g.kinds)-1] }

// endsBlock reports whether control may not go to the next slot, or whether the count must be exact behind it.
func endsBlock(k asm.Kind) bool {
	switch k.Info().Class {
	case asm.ClassJump, asm.ClassBranch, asm.ClassMayGoto, asm.ClassExit, asm.ClassInvalid:
		return true
	}
	return k == asm.CallLocal || k == asm.CallKfunc || k == asm.CallReg
}

func neverFallsThrough(k asm.Kind) bool {
	switch k {
	case asm.Ja, asm.Ja32, asm.Exit, asm.CallKfunc, asm.CallReg:
		return true
	}
	return false
}

// startBlock charges the fuel for the block that begins at pc.
func (g *gen) startBlock(pc int) {
	g.known = constants{}
	g.left = blockRest(g.insns, g.leader, pc)
	g.arith(asm.Sub, amd64.Q, fuelReg, g.left)
}

// blockRest counts the instructions from pc to the end of its basic block.
func blockRest(insns []asm.Insn, leader []bool, pc int) int32 {
	n := int32(0)
	for i := pc; i < len(insns) && (i == pc || !leader[i]); i += width(asm.KindOf(insns[i])) {
		n++
	}
	return n
}

// insn emits the code of the instruction at pc.
func (g *gen) insn(pc int) error {
	g.a.Bind(g.slots + amd64.Label(pc))
	if g.leader[pc] {
		g.startBlock(pc)
	}
	g.left--
	in, k := g.insns[pc], g.kinds[pc]
	info := k.Info()
	switch info.Class {
	case asm.ClassALU:
		g.alu(in, info)
	case asm.ClassNeg:
		g.a.R(amd64.NegM, amd64.Width(info.Width == 64), regMap[in.Dst])
	case asm.ClassMovsx:
		g.movsx(in, info)
	case asm.ClassSwap:
		g.swap(in, info)
	case asm.ClassImm64:
		g.a.Imm(regMap[in.Dst], asm.Imm64(in, g.insns[pc+1]))
	case asm.ClassLoad, asm.ClassLoadAcq:
		g.load(info, in.Dst, g.mem(in.Src, in.Off))
	case asm.ClassStore, asm.ClassStoreRel:
		g.store(in, info)
	case asm.ClassAtomic:
		g.atomic(pc, in, info)
	case asm.ClassJump:
		g.jump(pc, in.Target(pc))
	case asm.ClassBranch:
		g.branch(pc, info)
	case asm.ClassMayGoto:
		g.mayGoto(pc)
	case asm.ClassExit:
		g.a.Z(amd64.Ret, amd64.L)
	case asm.ClassCall:
		g.call(pc)
	case asm.ClassAbs, asm.ClassInd:
		g.exitAt(exitPacket, pc)
	case asm.ClassAddrCast:
		g.a.RR(amd64.MovRM, amd64.L, regMap[in.Dst], regMap[in.Src]) // both address spaces are the guest's
	default:
		return fmt.Errorf("no such instruction: opcode %#02x", in.Op)
	}
	g.known.after(in, k, g.insns[pc:])
	return nil
}

// constants are the registers whose value is known within a basic block.
type constants struct {
	set   asm.RegSet
	value [asm.NumRegs]uint64
}

// after follows one instruction.
func (c *constants) after(in asm.Insn, k asm.Kind, rest []asm.Insn) {
	if k == asm.Mov64X && c.set.Has(in.Src) {
		c.put(in.Dst, c.value[in.Src])
		return
	}
	c.set &^= asm.Writes(in)
	switch k {
	case asm.LdImm64:
		c.put(in.Dst, asm.Imm64(in, rest[1]))
	case asm.Mov64K:
		c.put(in.Dst, uint64(int64(in.Imm)))
	}
}

func (c *constants) put(r asm.Reg, v uint64) {
	c.set |= 1 << r
	c.value[r] = v
}

// newSite makes a site that continues at resume and returns its number.
func (g *gen) newSite(kind siteKind, pc int, resume amd64.Label) int32 {
	g.sites = append(g.sites, pendingSite{site{kind: kind, pc: int32(pc), over: g.left}, resume})
	return int32(len(g.sites) - 1)
}

// exitAt emits an exit to Go that continues with the next instruction.
func (g *gen) exitAt(kind siteKind, pc int) {
	next := g.a.Labels(1)
	g.leaveFor(kind, pc, next)
	g.a.Bind(next)
}

// leaveFor emits the exit to Go that continues at resume.
func (g *gen) leaveFor(kind siteKind, pc int, resume amd64.Label) {
	g.a.Imm(scratch, uint64(g.newSite(kind, pc, resume)))
	g.a.Jmp(g.leave)
}

// inFrame reports whether base+off is in the running frame whatever the program does: nothing can write R10.
func inFrame(base asm.Reg, off int16) bool { return base == asm.R10 && off < 0 && off >= -vm.FrameSize }

// mem gives the operand for the guest address uint32(base+off), computing it in scratch unless it is in the frame.
func (g *gen) mem(base asm.Reg, off int16) amd64.Mem {
	if inFrame(base, off) {
		return amd64.Indexed(baseReg, regMap[asm.R10], int32(off))
	}
	g.address(regMap[base], int32(off))
	return amd64.Indexed(baseReg, scratch, 0)
}

// address puts the guest address uint32(r+off), masked, into scratch.
func (g *gen) address(r amd64.Reg, off int32) {
	if off == 0 {
		g.a.RR(amd64.MovRM, amd64.L, scratch, r)
	} else {
		g.a.RM(amd64.LeaRM, amd64.L, scratch, amd64.At(r, off))
	}
	g.maskScratch()
}

func (g *gen) maskScratch() {
	if g.t.mask != ^uint32(0) {
		g.a.RI(amd64.AndI32, amd64.L, scratch, int32(g.t.mask))
	}
}
