package verifier

import (
	"github.com/skepvm/skep/asm"
)

// walkAll walks the program, and each global function by itself (kernel: bpf_check).
func (v *verifier) walkAll() *Error {
	if !v.profile.Kernel.AtLeast(globalTags) {
		if err := v.walkGlobals(false); err != nil {
			return err
		}
	}
	if err := v.walk(0, func(f *frame) { f.regs[1] = ptrReg(ptrCtx) }); err != nil {
		return err
	}
	return v.walkGlobals(true)
}

// walk explores every path of function fn, one at a time, depth first (kernel: do_check). set fills its argument registers.
func (v *verifier) walk(fn int, set func(f *frame)) *Error {
	first := &state{branches: 1}
	f := v.pool.newFrame(fn, -1)
	first.frames[0] = f
	v.log.begin()
	v.cur = first
	f.regs[10] = ptrReg(ptrStack)
	set(f)
	v.walking, v.pc = fn, v.subs[fn].start
	for {
		done, err := v.visit()
		if err != nil {
			return err
		}
		if done && !v.nextPath() {
			v.forgetStates(v.arena)
			v.log.walked()
			return nil
		}
	}
}

// visit processes one instruction; done says that the path ends here.
func (v *verifier) visit() (done bool, err *Error) {
	if v.pc < 0 || v.pc >= len(v.insns) {
		return false, v.failAt(-1, Internal, "invalid insn idx %d insn_cnt %d", v.pc, len(v.insns))
	}
	in := &v.insns[v.pc]
	v.stats.Processed++
	in.visits++
	if v.stats.Processed > v.profile.MaxProcessed {
		return false, v.fail(TooComplex, "BPF program is too large. Processed %d insn", v.stats.Processed)
	}
	v.countEntry()
	if in.prune {
		if pruned, err := v.pruned(in); pruned || err != nil {
			if pruned && v.log != nil {
				v.log.safe(v)
			}
			return pruned, err
		}
	}
	if v.cur.length-v.cur.lengthBase >= maxBack && v.log == nil {
		v.checkpoint(-1)
	}
	if v.log.paths() {
		v.log.insn(v)
	}
	v.cur.hist = v.steps.add(v.cur.hist, v.pc)
	if v.trace != nil {
		v.trace.step(v)
	}
	v.cur.returned = false
	v.cur.length++
	if v.mitigations != nil {
		return v.visitMitigated(in)
	}
	return v.execute(in)
}

// execute checks the form of one instruction and does it.
func (v *verifier) execute(in *insn) (done bool, err *Error) {
	if in.illegal {
		return false, v.checkLegal(v.pc)
	}
	v.live.pc = v.pc
	if !in.store {
		return v.step(in)
	}
	v.running()
	done, err = v.step(in)
	v.commitWrites()
	return done, err
}

// countEntry counts the path's last step when the kernel's history has an entry for it: at the end of a jump, of an access
// to a spilled register, and of a branch that narrows several registers (kernel: push_jmp_history).
func (v *verifier) countEntry() {
	cur := v.cur
	if cur.hist == cur.histBase {
		return
	}
	if s := v.steps.at(cur.hist); s.stack|s.links != 0 || v.insns[s.pc].entry {
		cur.entries++
	}
}

// step checks and executes one instruction, and moves pc on.
func (v *verifier) step(in *insn) (done bool, err *Error) {
	switch in.class {
	case asm.ClassALU, asm.ClassNeg, asm.ClassMovsx, asm.ClassSwap:
		err = v.stepALU(in)
	case asm.ClassAddrCast:
		err = v.stepCast(in)
	case asm.ClassImm64:
		err = v.stepImm64(in)
		v.pc++
	case asm.ClassLoad, asm.ClassLoadAcq:
		err = v.stepLoad(in)
	case asm.ClassStore, asm.ClassStoreRel:
		err = v.stepStore(in)
	case asm.ClassAtomic:
		err = v.stepAtomic(in)
	case asm.ClassAbs, asm.ClassInd:
		err = v.stepPacketLoad(in)
	case asm.ClassJump:
		v.jumps++
		v.pc = int(in.target)
		return false, nil
	case asm.ClassBranch:
		v.jumps++
		return false, v.stepBranch(in)
	case asm.ClassMayGoto:
		v.jumps++
		return false, v.stepMayGoto(in)
	case asm.ClassCall:
		v.jumps++
		return v.stepCall(in)
	case asm.ClassExit:
		v.jumps++
		return v.stepExit()
	default:
		return false, v.fail(Unsupported, "%s is not supported", asm.Format(v.prog.Insns[v.pc], nil))
	}
	v.pc++
	return false, err
}

// push saves the current state to walk on from pc later, and returns the saved copy.
func (v *verifier) push(pc int) (*state, *Error) {
	if len(v.pending) >= v.profile.MaxJumpSeq {
		return nil, v.fail(TooManyJumps, "The sequence of %d jumps is too complex.", len(v.pending)+1)
	}
	st := v.pool.copy(v.cur)
	st.branches = 1
	if st.parent != nil {
		st.parent.branches++
	}
	v.pending = append(v.pending, branch{st, pc, v.pc, v.log.pos()})
	return st, nil
}

// endPath tells the kept states on a path that it has ended (kernel: update_branch_counts).
func (v *verifier) endPath(st *state) {
	for ; st != nil; st = st.parent {
		st.branches--
		if st.branches > 0 {
			return
		}
		if st == v.cur || st.pc < 0 {
			continue
		}
		v.leaveLoop(st)
		if st.evicted && v.settled(st) {
			st.evicted = false
			v.evictedNow--
		}
	}
}

// nextPath ends the current path and takes up the newest pending one; false when there is none.
func (v *verifier) nextPath() bool {
	st := v.cur
	v.stats.LongestPath = max(v.stats.LongestPath, st.length)
	v.endPath(st)
	v.updateLiveness()
	v.pool.put(st)
	n := len(v.pending)
	if n == 0 {
		v.cur = nil
		return false
	}
	b := v.pending[n-1]
	v.pending = v.pending[:n-1]
	v.cur, v.pc = b.st, b.pc
	v.log.next(b.logged, b.from)
	return true
}

// regs of the running frame.
func (v *verifier) regs() *[11]reg { return &v.cur.top().regs }

// readReg checks that a register may be read (kernel: check_reg_arg, SRC_OP).
func (v *verifier) readReg(n uint8) *Error {
	if v.regs()[n].typ == notInit {
		return v.fail(UninitReg, "R%d !read_ok", n).aboutReg(n)
	}
	return nil
}

// leaks reports whether r is a pointer that the loader may not see.
func (v *verifier) leaks(r *reg) bool { return r.isPtr() && !v.profile.PointerLeaks }
