package verifier

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
)

// stepBranch walks on into one side of a conditional jump and saves the other, unless what is known decides it
// (kernel: check_cond_jmp_op).
func (v *verifier) stepBranch(in *insn) *Error {
	if in.useSrc {
		if err := v.readReg(in.src); err != nil {
			return err
		}
	}
	if err := v.readReg(in.dst); err != nil {
		return err
	}
	regs := v.regs()
	dst := &regs[in.dst]
	imm := constReg(in.imm)
	src := &imm
	if in.useSrc {
		src = &regs[in.src]
		if v.leaks(src) && !packetPair(dst, src) {
			return v.fail(PointerLeak, "R%d pointer comparison prohibited", in.src)
		}
	}
	cond := asm.Cond(in.op)
	if o := v.decideBranch(in, cond, dst, src); o != unknown {
		if dst.typ == scalar {
			v.markPrecise(in.dst)
		}
		if in.useSrc && src.typ == scalar {
			v.markPrecise(in.src)
		}
		if v.mitigations != nil {
			if err := v.mispredict(in, o); err != nil {
				return err
			}
		}
		v.log.branched(v)
		v.pc++
		if o == always {
			v.pc = int(in.target)
		}
		return nil
	}
	leak := v.leaks(dst) && !harmless(in, cond, dst, src)
	links := v.recordLinks(in, dst, src)
	other, err := v.push(int(in.target))
	if err != nil {
		return err
	}
	v.split(in, cond, other, &links)
	if leak {
		return v.fail(PointerLeak, "R%d pointer comparison prohibited", in.dst)
	}
	v.log.branched(v)
	v.pc++
	return nil
}

// harmless reports whether comparing dst, a pointer, tells nothing of its address: a check for NULL, or one of the packet's
// length.
func harmless(in *insn, cond asm.Cond, dst, src *reg) bool {
	if !in.useSrc {
		return dst.null() && in.imm == 0 && in.width == 64 && (cond == asm.Jeq || cond == asm.Jne)
	}
	_, _, _, ok := againstEnd(in, cond, dst, src)
	return ok
}

// packetPair reports whether both are pointers into the packet or to its end.
func packetPair(a, b *reg) bool {
	pkt := func(r *reg) bool { return r.isPacket() || r.typ == ptrPacketEnd }
	return pkt(a) && pkt(b)
}

// decideBranch says whether the branch is taken on every run that gets here (kernel: is_branch_taken).
func (v *verifier) decideBranch(in *insn, cond asm.Cond, dst, src *reg) outcome {
	if in.useSrc && dst.isPtr() && src.isPtr() && in.width == 64 {
		if !v.profile.PacketEnds {
			return unknown
		}
		return decidePacket(cond, dst, src)
	}
	if dst.isPtr() || src.isPtr() {
		ptr, val := dst, src
		if !dst.isPtr() {
			ptr, val = src, dst
		}
		if val.typ != scalar || !val.bitsOf(in.width).Equals(0) || !v.profile.NullBranches || !surelyNotNull(ptr) || ptr.typ == ptrMap && !v.profile.MapNotNull {
			return unknown
		}
		if in.width == 32 && !ptr.isBase() {
			return unknown // guest addresses have 32 bits, but what was added may carry beyond
		}
		switch cond {
		case asm.Jeq:
			return never
		case asm.Jne:
			return always
		}
		return unknown
	}
	return v.profile.decideNumbers(cond, in.width, &dst.bounds, &src.bounds)
}

// narrows reports whether a comparison of two numbers tells something of them. Before 6.8 that of two unknown ones did
// only when they are equal, in 64 bits.
func (v *verifier) narrows(in *insn, cond asm.Cond, holds bool, dst, src *reg) bool {
	return v.profile.RegBounds || src.bitsOf(in.width).IsConst() || dst.bitsOf(in.width).IsConst() ||
		in.width == 64 && (cond == asm.Jeq && holds || cond == asm.Jne && !holds)
}

// surelyNotNull reports whether a pointer cannot be zero (kernel: reg_not_null).
// Pointers that were moved down may be zero in the guest's small address space.
func surelyNotNull(r *reg) bool {
	if r.null() || r.off < 0 || r.smin < 0 {
		return false
	}
	switch r.typ {
	case ptrSocket, ptrTCPSock, ptrMapValue, ptrMapKey, ptrSockCommon, ptrMap:
		return true
	case ptrMem:
		return r.flags&untrusted == 0
	case ptrBTF:
		return r.trusted()
	}
	return false
}

// decidePacket decides comparisons of a packet pointer with the packet's end that were made before.
func decidePacket(cond asm.Cond, dst, src *reg) outcome {
	pkt := dst
	if src.typ == ptrPacketEnd {
	} else if dst.typ == ptrPacketEnd {
		pkt = src
		cond = swapped[cond]
	} else {
		return unknown
	}
	if pkt.typ != ptrPacket || pkt.rng >= 0 {
		return unknown
	}
	switch cond {
	case asm.Jle: // pkt <= end
		if pkt.rng == pktBeyondEnd {
			return never
		}
	case asm.Jgt:
		if pkt.rng == pktBeyondEnd {
			return always
		}
	case asm.Jlt: // pkt < end
		return never
	case asm.Jge:
		return always
	}
	return unknown
}

// split narrows both sides of an undecided branch: v.cur falls through, other jumps.
func (v *verifier) split(in *insn, cond asm.Cond, other *state, links *link) {
	regs, oregs := v.regs(), &other.top().regs
	dst, src := &regs[in.dst], &regs[in.src]
	odst, osrc := &oregs[in.dst], &oregs[in.src]
	switch {
	case in.useSrc && dst.typ == scalar && src.typ == scalar:
		if v.narrows(in, cond, false, dst, src) {
			v.narrow(v.cur, cond, false, in, dst, src, links)
		}
		if v.narrows(in, cond, true, odst, osrc) {
			v.narrow(other, cond, true, in, odst, osrc, links)
		}
	case in.useSrc:
		v.splitPointers(in, cond, other, dst, src)
	case dst.typ == scalar:
		imm, oimm := constReg(in.imm), constReg(in.imm)
		v.narrow(v.cur, cond, false, in, dst, &imm, links)
		v.narrow(other, cond, true, in, odst, &oimm, links)
	case in.imm == 0 && in.width == 64 && (cond == asm.Jeq || cond == asm.Jne) && dst.null():
		v.markNull(v.cur, *dst, cond == asm.Jne)
		v.markNull(other, *odst, cond == asm.Jeq)
	}
}

// narrow applies what a comparison says to its operands and to the scalars that are linked to them.
func (v *verifier) narrow(st *state, cond asm.Cond, holds bool, in *insn, dst, src *reg, links *link) {
	v.profile.narrowNumbers(cond, holds, in.width, &dst.bounds, &src.bounds)
	if in.useSrc && src.id != 0 {
		st.syncLinked(src, links)
	}
	if dst.id != 0 {
		st.syncLinked(dst, links)
	}
}

// syncLinked tells what is known of a scalar to those of links with its id (kernel: sync_linked_regs).
func (st *state) syncLinked(known *reg, links *link) {
	for i := 0; i <= st.depth; i++ {
		f := st.frames[i]
		for m := uint16(links.regs[i]); m != 0; m &= m - 1 {
			f.regs[bits.TrailingZeros16(m)].follow(known)
		}
		for m := links.slots[i]; m != 0; m &= m - 1 {
			if s := &f.stack[bits.TrailingZeros64(m)]; s.spilledScalar() {
				s.reg.follow(known)
			}
		}
	}
}

// follow narrows r to what is known of a scalar that it is linked to.
func (r *reg) follow(known *reg) {
	const widths = linkedAdd | linkedAdd32
	if r == known || r.typ != scalar || r.id != known.id || (r.flags^known.flags)&widths == widths {
		return
	}
	if (r.flags|known.flags)&widths == 0 || r.off == known.off {
		r.bounds, r.flags = known.bounds, known.flags
		return
	}
	diff := constBounds(uint64(int64(r.off) - int64(known.off)))
	r.bounds = known.bounds
	alu64(&r.bounds, asm.Add, &diff)
	if (r.flags|known.flags)&linkedAdd32 != 0 {
		r.zext32()
	}
	r.sync()
}

// splitPointers learns from comparisons of pointers: with the packet's end, or of a maybe-null pointer with one that
// surely is not.
func (v *verifier) splitPointers(in *insn, cond asm.Cond, other *state, dst, src *reg) {
	if in.width != 64 {
		return
	}
	if (cond == asm.Jeq || cond == asm.Jne) && dst.isPtr() && src.isPtr() {
		equal := other // where dst == src
		if cond == asm.Jne {
			equal = v.cur
		}
		if !v.profile.PointerEquals {
			return
		}
		if dst.null() && !src.null() && surelyNotNull(src) && dst.typ != ptrBTF && src.typ != ptrBTF {
			v.markNull(equal, equal.top().regs[in.dst], false)
		} else if src.null() && !dst.null() && surelyNotNull(dst) && dst.typ != ptrBTF && src.typ != ptrBTF {
			v.markNull(equal, equal.top().regs[in.src], false)
		}
		return
	}
	v.splitPacket(in, cond, other, dst, src)
}

// againstEnd reports whether a comparison is one of a packet pointer with the end of its memory (kernel:
// try_match_pkt_pointers), which register the pointer is in, and the condition read as "pkt cond end".
func againstEnd(in *insn, cond asm.Cond, dst, src *reg) (pkt *reg, n uint8, c asm.Cond, ok bool) {
	isEnd := func(p, e *reg) bool {
		return p.typ == ptrPacket && e.typ == ptrPacketEnd || p.typ == ptrPacketMeta && e.typ == ptrPacket && e.isBase() && e.id == 0
	}
	pkt, n = dst, in.dst
	switch {
	case in.width != 64:
		return nil, 0, 0, false
	case isEnd(dst, src):
	case isEnd(src, dst):
		pkt, n, cond = src, in.src, swapped[cond]
	default:
		return nil, 0, 0, false
	}
	switch cond {
	case asm.Jgt, asm.Jlt, asm.Jge, asm.Jle:
		return pkt, n, cond, true
	}
	return nil, 0, 0, false
}

// splitPacket learns how many bytes of packet there are.
func (v *verifier) splitPacket(in *insn, cond asm.Cond, other *state, dst, src *reg) {
	p, n, cond, ok := againstEnd(in, cond, dst, src)
	if !ok {
		return
	}
	pkt := *p
	// The condition holds in other and not in v.cur.
	switch cond {
	case asm.Jgt: // not: pkt <= end
		v.cur.foundPacket(&pkt, false)
		other.markPacketEnd(n, true)
	case asm.Jlt: // pkt < end
		other.foundPacket(&pkt, true)
		v.cur.markPacketEnd(n, false)
	case asm.Jge: // not: pkt < end
		v.cur.foundPacket(&pkt, true)
		other.markPacketEnd(n, false)
	case asm.Jle: // pkt <= end
		other.foundPacket(&pkt, false)
		v.cur.markPacketEnd(n, true)
	}
}

// isBase reports whether r points to the very start of something.
func (r *reg) isBase() bool { return r.off == 0 && r.tn.Equals(0) }

// foundPacket notes that pkt, or with open one byte more, is not past the end: everything from its variable base up to
// it may be accessed, through every pointer with that base (kernel: find_good_pkt_pointers).
func (st *state) foundPacket(pkt *reg, open bool) {
	if pkt.off <= 0 {
		return // nothing from the base on is known to be inside
	}
	if pkt.umax > maxPacketOff || pkt.umax+uint64(pkt.off) > maxPacketOff {
		return // the sum might wrap
	}
	n := pkt.off
	if open {
		n++
	}
	st.eachReg(func(r *reg) {
		if r.typ == pkt.typ && r.id == pkt.id {
			r.rng = max(r.rng, n)
		}
	})
}

// markPacketEnd notes that register n, a packet pointer, is at or past the end (kernel: mark_pkt_end).
func (st *state) markPacketEnd(n uint8, beyond bool) {
	r := &st.top().regs[n]
	switch {
	case r.typ != ptrPacket:
	case beyond:
		r.rng = pktBeyondEnd
	default:
		r.rng = pktAtEnd
	}
}

// markNull settles a maybe-null pointer and all its copies: NULL becomes the scalar 0, else the mark goes
// (kernel: mark_ptr_or_null_regs).
func (v *verifier) markNull(st *state, p reg, isNull bool) {
	if p.ref != 0 && p.ref == p.id && isNull {
		st.releaseRef(p.id) // nothing was acquired
	}
	st.eachReg(func(r *reg) {
		if !r.isPtr() || !r.null() || r.id != p.id {
			return
		}
		if isNull {
			*r = constReg(0)
			return
		}
		v.notNull(r)
	})
}

// notNull removes the mark of a pointer that was compared.
func (v *verifier) notNull(r *reg) {
	r.flags &^= maybeNull
	switch {
	case r.typ == ptrMapValue && v.becomesOther(r):
		return
	case (r.typ == ptrMapValue || r.typ == ptrBTF) && v.hasLock(r):
		return // the id tells which lock
	}
	r.id = 0
}

// becomesOther turns the value of a map of maps or of sockets into what it stands for.
func (v *verifier) becomesOther(r *reg) bool {
	m := v.mapOf(r)
	row := m.Type.Row()
	switch {
	case row.MapInMap && r.aux >= 0:
		*r = reg{typ: ptrMap, bounds: constBounds(0), aux: ^r.aux, id: 0}
	case isXSK(m):
		r.typ, r.id, r.aux = ptrXDPSock, 0, 0
	case isSockMap(m):
		r.typ, r.id, r.aux = ptrSocket, 0, 0
	default:
		return false
	}
	return true
}

// stepMayGoto goes on with the jump and saves the fall-through for later: the kernel bounds how often that happens.
func (v *verifier) stepMayGoto(in *insn) *Error {
	next, err := v.push(v.pc + 1)
	if err != nil {
		return err
	}
	next.mayGotoDepth++
	if p := v.cur.parent.entry(v.pc, v.cur); p != nil {
		v.widen(p, next)
	}
	v.pc = int(in.target)
	return nil
}

// entry is the newest kept state before s on the path to cur that was at pc in the same chain of calls, nil when there is
// none (kernel: find_prev_entry).
func (s *state) entry(pc int, cur *state) *state {
	if s == nil {
		return nil
	}
	for s = s.parent; s != nil; s = s.parent {
		if s.pc == pc && !s.thin && s.sameCalls(cur) {
			return s
		}
	}
	return nil
}

// sameCalls reports whether both are in the same chain of calls.
func (s *state) sameCalls(o *state) bool {
	if s.depth != o.depth {
		return false
	}
	for i := 1; i <= s.depth; i++ {
		if s.frames[i].callsite != o.frames[i].callsite {
			return false
		}
	}
	return true
}
