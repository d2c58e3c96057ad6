package vm_test

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
	"github.com/skepvm/skep/helpers"
	"github.com/skepvm/skep/prog"
	"github.com/skepvm/skep/vm"
)

// reference steps through a linked program with nothing but package asm's reference semantics: slow, small, and
// written apart from the interpreter. It has no programs to tail-call.
type reference struct {
	cpu    *vm.CPU
	insns  []asm.Insn
	ctx    uint32
	budget uint64

	regs   [asm.NumRegs]uint64
	pc     int
	count  uint64
	frames []refFrame
	loops  []int
	fault  vm.FaultKind
	zero   bool // frames begin zeroed
}

type refFrame struct {
	pc    int
	saved [4]uint64
}

func newReference(cpu *vm.CPU, l *vm.Linked, ctx uint32) *reference {
	f := &reference{cpu: cpu, insns: l.Insns(), ctx: ctx, budget: cpu.Machine().Budget(), loops: []int{vm.MaxLoops},
		zero: l.ZeroesFrames()}
	f.regs[1], f.regs[10] = uint64(ctx), uint64(cpu.FrameTop(0))
	f.begin()
	return f
}

// begin is the start of an activation.
func (f *reference) begin() {
	for i := uint32(8); f.zero && i <= vm.FrameSize; i += 8 {
		f.store(uint32(f.regs[10])-i, 8, 0)
	}
}

func (f *reference) run() {
	for f.fault == vm.NoFault && f.step() {
	}
}

// step runs one instruction and reports whether the program goes on. After a fault pc is that of the instruction.
func (f *reference) step() bool {
	in := f.insns[f.pc]
	k := asm.KindOf(in)
	info := k.Info()
	next := f.pc + 1
	f.count++
	dst, src := &f.regs[in.Dst], f.regs[in.Src]
	switch info.Class {
	case asm.ClassALU:
		*dst = asm.Eval(info.ALU, info.Width, *dst, asm.Operand(in, src))
	case asm.ClassNeg:
		*dst = asm.EvalNeg(info.Width, *dst)
	case asm.ClassMovsx:
		*dst = asm.SignExtend(src, info.Size, info.Width)
	case asm.ClassSwap:
		*dst = asm.EvalSwap(info.Swap, info.Size, *dst)
	case asm.ClassAddrCast:
		*dst = uint64(uint32(src))
	case asm.ClassJump:
		return f.jump(in.Target(f.pc))
	case asm.ClassBranch:
		if asm.Taken(info.Cond, info.Width, *dst, asm.Operand(in, src)) {
			return f.jump(in.Target(f.pc))
		}
	case asm.ClassMayGoto:
		if f.loops[len(f.loops)-1] == 0 {
			return f.jump(in.Target(f.pc))
		}
		f.loops[len(f.loops)-1]--
	case asm.ClassImm64:
		*dst = asm.Imm64(in, f.insns[f.pc+1])
		next++
	case asm.ClassAbs:
		return f.packet(int64(in.Imm), info.Size)
	case asm.ClassInd:
		return f.packet(int64(int32(src)+in.Imm), info.Size)
	case asm.ClassExit:
		return f.exit()
	case asm.ClassCall:
		return f.call(k, in)
	default:
		f.memory(info, in)
	}
	f.pc = next
	return true
}

func (f *reference) jump(target int) bool {
	if target <= f.pc && f.count > f.budget {
		f.fault = vm.BudgetExceeded
		return false
	}
	f.pc = target
	return true
}

// helper calls what Go implements; there are no maps, and so no tail call succeeds.
func (f *reference) helper(id uint64) {
	switch {
	case id == 12:
		f.regs[0] = vm.TailCallFailed
	case id == 0 || id >= uint64(len(helpers.Table)) || !helpers.Table[id].Implemented():
		f.fault = vm.HelperError
	case helpers.Table[id].Fn == nil:
		f.callBack(id)
	default:
		r0, err := helpers.Table[id].Fn(f.cpu.Env, f.regs[1], f.regs[2], f.regs[3], f.regs[4], f.regs[5])
		if f.regs[0] = r0; err != nil {
			f.fault = vm.HelperError
		}
	}
	if f.fault == vm.NoFault {
		f.pc++
	}
}

// callBack does bpf_loop, the only one of its sort that works without maps.
func (f *reference) callBack(id uint64) {
	nr, fn, ctx := uint32(f.regs[1]), f.regs[2], f.regs[3]
	switch {
	case !f.starts(fn):
		f.fault = vm.HelperError
		return
	case id != 181 || f.regs[4] != 0:
		f.regs[0] = ^uint64(21) // -EINVAL
		return
	case nr > vm.MaxLoops:
		f.regs[0] = ^uint64(6) // -E2BIG
		return
	}
	for i := range nr {
		depth, pc := len(f.frames), f.pc
		if copy(f.regs[1:], []uint64{uint64(i), ctx, 0, 0, 0}); !f.enter(int(fn)) {
			return
		}
		for f.fault == vm.NoFault && len(f.frames) > depth {
			f.step()
		}
		if f.fault != vm.NoFault {
			return
		}
		f.pc = pc
		if f.regs[0] != 0 {
			nr = i + 1
			break
		}
	}
	f.regs[0] = uint64(nr)
}

// starts reports whether an instruction starts at the slot.
func (f *reference) starts(slot uint64) bool {
	for pc := uint64(0); pc < uint64(len(f.insns)); pc++ {
		if pc == slot {
			return true
		}
		if asm.KindOf(f.insns[pc]) == asm.LdImm64 {
			pc++
		}
	}
	return false
}

// enter starts an activation of the function at a slot; it continues behind f.pc.
func (f *reference) enter(target int) bool {
	switch {
	case f.count > f.budget:
		f.fault = vm.BudgetExceeded
	case len(f.loops) == vm.MaxFrames:
		f.fault = vm.CallDepth
	default:
		f.frames = append(f.frames, refFrame{f.pc + 1, [4]uint64(f.regs[6:10])})
		f.loops = append(f.loops, vm.MaxLoops)
		f.regs[10] -= vm.FrameSize
		f.begin()
		f.pc = target
	}
	return f.fault == vm.NoFault
}

func (f *reference) call(k asm.Kind, in asm.Insn) bool {
	switch {
	case k == asm.CallHelper:
		f.helper(uint64(in.Imm))
	case k == asm.CallReg && in.Dst == 0:
		f.helper(f.regs[in.Imm])
	case k == asm.CallReg:
		f.helper(f.regs[in.Dst])
	case k != asm.CallLocal:
		f.fault = vm.BadInsn
	default:
		f.enter(in.Target(f.pc))
	}
	return f.fault == vm.NoFault
}

func (f *reference) exit() bool {
	n := len(f.frames) - 1
	if n < 0 {
		return false
	}
	f.pc = f.frames[n].pc
	copy(f.regs[6:], f.frames[n].saved[:])
	f.regs[10] += vm.FrameSize
	f.frames, f.loops = f.frames[:n], f.loops[:n+1]
	return true
}

func (f *reference) packet(off int64, size uint8) bool {
	s := f.cpu.Machine().Space()
	start, end := s.Load32(f.ctx+prog.SKBData), s.Load32(f.ctx+prog.SKBDataEnd)
	if off < -0x200000 {
		off = 1 << 40
	} else if off < -0x100000 {
		off += 0x200000
	} else if off < 0 {
		off += 0x100000 + 14
	}
	f.regs[0] = 0
	if off+int64(size) > int64(end)-int64(start) {
		return f.exit()
	}
	f.regs[0] = bits.ReverseBytes64(f.load(start+uint32(off), size)) >> (64 - 8*size)
	f.pc++
	return true
}

func (f *reference) load(addr uint32, size uint8) uint64 {
	s := f.cpu.Machine().Space()
	return s.Load64(addr) & (^uint64(0) >> (64 - 8*size))
}

func (f *reference) store(addr uint32, size uint8, v uint64) {
	s := f.cpu.Machine().Space()
	switch size {
	case 1:
		s.Store8(addr, uint8(v))
	case 2:
		s.Store16(addr, uint16(v))
	case 4:
		s.Store32(addr, uint32(v))
	default:
		s.Store64(addr, v)
	}
}

func (f *reference) memory(info *asm.Info, in asm.Insn) {
	dst, src := &f.regs[in.Dst], f.regs[in.Src]
	off := uint64(int64(in.Off))
	from, to := uint32(src+off), uint32(*dst+off)
	switch info.Class {
	case asm.ClassLoad, asm.ClassLoadAcq:
		*dst = f.load(from, info.Size)
		if info.Signed {
			*dst = asm.SignExtend(*dst, info.Size, 64)
		}
	case asm.ClassStore, asm.ClassStoreRel:
		v := src
		if info.Class == asm.ClassStore {
			v = asm.Operand(in, src)
		}
		f.store(to, info.Size, v)
	case asm.ClassAtomic:
		old := f.load(to, info.Size)
		if v, ok := asm.EvalAtomic(info.Atomic, info.Size, old, src, f.regs[0]); ok {
			f.store(to, info.Size, v)
		}
		if info.Atomic == asm.AtomicCmpxchg {
			f.regs[0] = old
		} else if info.Fetch {
			f.regs[in.Src] = old
		}
	}
}
