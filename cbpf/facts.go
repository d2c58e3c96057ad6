package cbpf

// What a conversion knows about every instruction. Classic programs only jump forwards, so one pass in order sees each
// instruction after all that lead to it, and one in reverse order before them.

// maxDirect is how far into a packet verifiers let pointers reach (kernel: MAX_PACKET_OFF).
const maxDirect = 0xffff

// Bits of facts.set beside those of M[0] to M[15].
const (
	setA uint32 = 1 << (MemWords + iota)
	setX
)

// facts hold on every path to an instruction.
type facts struct {
	reached bool
	have    uint32 // the packet has at least that many bytes: it was looked at
	xmax    uint32 // X is at most that
	set     uint32 // registers and words of memory that were written
}

// join makes f what holds on both paths.
func (f *facts) join(g facts) {
	if !f.reached {
		*f = g
		return
	}
	f.have, f.xmax, f.set = min(f.have, g.have), max(f.xmax, g.xmax), f.set&g.set
}

// reads returns what an instruction reads, as bits of facts.set.
func (in Insn) reads() (set uint32) {
	switch in.row().arg {
	case opX, opCondX:
		set = setX
	case opInd:
		return setX
	}
	switch in.Op & 7 {
	case ClassAlu, ClassJmp:
		if in.row().arg != opJa {
			set |= setA
		}
	case ClassSt:
		set = setA
	case ClassStx:
		set = setX
	case ClassRet:
		if in.row().arg == opA {
			set = setA
		}
	case ClassMisc:
		if set = setA; in.Op == ClassMisc|MiscTxa {
			set = setX
		}
	case ClassLd, ClassLdx:
		if in.row().arg == opMem {
			set = 1 << in.K
		}
		if which, ok := in.Ancillary(); ok && which == AncXorX {
			set = setA | setX
		}
	}
	return set
}

// writes returns what an instruction writes.
func (in Insn) writes() uint32 {
	switch in.Op & 7 {
	case ClassLd, ClassAlu:
		return setA
	case ClassLdx:
		return setX
	case ClassSt, ClassStx:
		return 1 << in.K
	case ClassMisc:
		if in.Op == ClassMisc|MiscTxa {
			return setA
		}
		return setX
	}
	return 0
}

// targets returns the instructions that can follow the one at pc; both are the same where there is only one. None follows a return.
func (in Insn) targets(pc int) (a, b int, ok bool) {
	switch in.row().arg {
	case opJa:
		to := pc + 1 + int(in.K)
		return to, to, true
	case opCondK, opCondX:
		return pc + 1 + int(in.Jt), pc + 1 + int(in.Jf), true
	}
	return pc + 1, pc + 1, in.Op&7 != ClassRet
}

// reach is how many bytes a packet must have for an absolute load or a header length not to end the program; ok is false
// for other instructions, and for loads that don't read at a place counted from the start.
func (in Insn) reach(mode Mode) (end uint32, ok bool) {
	size := uint32(1)
	switch in.row().arg {
	case opAbs:
		if _, anc := ancillary(in.K); anc || mode == Seccomp {
			return 0, false
		}
		size = uint32(in.size())
	case opMsh:
	default:
		return 0, false
	}
	k := in.K
	if mode == Socket && k >= LinkOff && k < NetOff {
		k -= LinkOff
	}
	if k > maxDirect-size {
		return 0, false
	}
	return k + size, true
}

// needs tells how many bytes a packet must have for the program to give anything but 0 from each instruction on: what
// is known to end in 0 may as well do so early. It is at most maxDirect.
func (p Program) needs(mode Mode) []uint32 {
	need := make([]uint32, len(p)+1)
	for pc := len(p) - 1; pc >= 0; pc-- {
		in := p[pc]
		a, b, follows := in.targets(pc)
		switch {
		case follows:
			need[pc] = min(need[a], need[b])
		case in.Op == ClassRet|RetK && in.K == 0:
			need[pc] = maxDirect
		}
		if end, ok := in.reach(mode); ok {
			need[pc] = max(need[pc], end)
		}
	}
	return need
}

// boundX returns the most that X can be after in, when in writes it.
func (in Insn) boundX() uint32 {
	switch in.row().arg {
	case opMsh:
		return 0xf * 4
	case opImm:
		return in.K
	}
	return 1<<32 - 1
}
