package cbpf

import "slices"

// Marks on statements, in the fields that only jumps use, between a round and the sweep after it.
const (
	markSafe   = 1 // in Jt: can't end the filter
	markNoWrap = 1 // in Jf, of add #k: the sum does not wrap around
)

func clearMarks(stmts []Insn) {
	for i := range stmts {
		stmts[i].Jt, stmts[i].Jf = 0, 0
	}
}

// defines returns the register that a statement writes, and which it reads, as a set.
func defines(in Insn) (reg int, used uint32) {
	switch in.Op & 7 {
	case ClassSt:
		return regM + int(in.K), 1 << regA
	case ClassStx:
		return regM + int(in.K), 1 << regX
	case ClassMisc:
		if in.Op == ClassMisc|MiscTax {
			return regX, 1 << regA
		}
		return regA, 1 << regX
	case ClassAlu:
		if in.Op&SrcX != 0 {
			return regA, 1<<regA | 1<<regX
		}
		return regA, 1 << regA
	}
	switch in.Op & 0xe0 {
	case ModeInd:
		used = 1 << regX
	case ModeMem:
		used = 1 << (regM + in.K)
	case ModeAbs:
		if _, is := ancillary(in.K); is { // some of them read both
			used = 1<<regA | 1<<regX
		}
	}
	return int(in.Op & 1), used
}

func uses(in Insn) uint32 { _, used := defines(in); return used }

// termUses returns the registers that the end of a block reads.
func termUses(b *block) uint32 {
	switch {
	case b.term.Op == ClassRet|RetA:
		return 1 << regA
	case b.returns() || b.t == b.f:
		return 0
	case b.term.Op&SrcX != 0:
		return 1<<regA | 1<<regX
	}
	return 1 << regA
}

// isLoad says if a statement reads the packet, up to which byte, and whether it counts from X.
func isLoad(in Insn) (end uint64, fromX, is bool) {
	if in.Op&7 > ClassLdx {
		return 0, false, false
	}
	switch in.Op & 0xe0 {
	case ModeAbs:
		if _, is := ancillary(in.K); is {
			return 0, false, false
		}
	case ModeInd:
		fromX = true
	case ModeMsh:
	default:
		return 0, false, false
	}
	return uint64(in.K) + uint64(in.size()), fromX, true
}

// near bounds the offsets that are reasoned about; beyond, libpcap and the kernel differ.
const near = 1 << 31

// safe reports whether a statement can't end the filter in state s.
func (o *opt) safe(in Insn, s *state) bool {
	if op := in.Op & 0xf0; in.Op&7 == ClassAlu && in.Op&SrcX != 0 && (op == AluDiv || op == AluMod) {
		k, known := o.constOf(s.reg[regX])
		return known && k != 0
	}
	end, fromX, is := isLoad(in)
	if !is {
		return true
	}
	if !fromX {
		return end <= s.bytes
	}
	x := s.reg[regX]
	if end+uint64(o.values[x].max) <= s.bytes {
		return true
	}
	for i := s.facts; i != 0 && o.work < maxWork; i = o.facts[i].up {
		o.work++
		if f := &o.facts[i]; f.op == factBytes && f.a == x && f.low <= in.K && f.end >= end {
			return true
		}
	}
	return false
}

// run makes s the state after a statement.
func (o *opt) run(in Insn, s *state) {
	reg, v := o.result(in, s)
	o.set(in, s, reg, v)
}

// set is run for a statement whose result is known.
func (o *opt) set(in Insn, s *state, reg int, v valueID) {
	if end, fromX, is := isLoad(in); is {
		x := s.reg[regX]
		switch {
		case !fromX && end < near:
			s.bytes = max(s.bytes, end)
		case fromX && end < near && !o.safe(in, s):
			f := fact{op: factBytes, a: x, low: in.K, end: end, up: s.facts}
			if end+uint64(o.values[x].max) < near { // no sum is below 0 to anybody, so what comes before is there too
				f.low = 0
				s.bytes = max(s.bytes, end)
			}
			s.facts = o.fact(f)
		}
	}
	s.reg[reg] = v
}

// rewrite makes b's statements simpler without changing what any register holds after them, and leaves s as the state
// after them. Registers that hold what is loaded are only relied on when they were written in this block, or reuse is set.
func (o *opt) rewrite(b *block, s *state) {
	o.stmts = o.stmts[:0]
	known := ^uint32(1<<regA | 1<<regX)
	if o.reuse {
		known = ^uint32(0)
	}
	for _, in := range b.stmts {
		in.Jt, in.Jf = 0, 0
		if k, ok := o.constOf(s.reg[regA]); ok && in.Op&7 == ClassAlu && in.Op&SrcX != 0 && commutes(in.Op&0xf0) {
			if _, both := o.constOf(s.reg[regX]); !both { // k + X is X + k
				known = o.emit(Insn{Op: ClassMisc | MiscTxa}, s, known)
				in.Op, in.K = in.Op&^SrcX, k
			}
		}
		known = o.emit(in, s, known)
	}
	if !b.returns() && b.t != b.f {
		o.rewriteTerm(b, s, known)
	}
	o.keep(b)
}

// keep makes o.stmts b's statements.
func (o *opt) keep(b *block) {
	if !slices.EqualFunc(b.stmts, o.stmts, sameInsn) {
		o.changed = true
	}
	if len(o.stmts) <= cap(b.stmts) {
		b.stmts = b.stmts[:len(o.stmts)]
		copy(b.stmts, o.stmts)
	} else {
		b.stmts = slices.Clone(o.stmts)
	}
}

// emit appends the simplest form of a statement, if there must be one. known are the registers whose values may be relied on.
func (o *opt) emit(in Insn, s *state, known uint32) uint32 {
	in = o.simplify(in, s)
	reg, v := o.result(in, s)
	safe := o.safe(in, s)
	if safe && s.reg[reg] == v && known>>reg&1 != 0 {
		return known
	}
	load := in.Op&7 <= ClassLdx
	if k, ok := o.constOf(v); ok && safe && reg < regM && in.Op&7 != ClassMisc {
		in = Insn{Op: uint16(reg) | ModeImm, K: k}
	} else if other := regX - reg; load && in.Op&0xe0 == ModeMem && s.reg[other] == v && known>>other&1 != 0 {
		in = Insn{Op: []uint16{ClassMisc | MiscTxa, ClassMisc | MiscTax}[reg]}
	}
	if safe {
		in.Jt = markSafe
	}
	if in.Op == ClassAlu|AluAdd && uint64(o.values[s.reg[regA]].max)+uint64(in.K) < 1<<32 {
		in.Jf = markNoWrap
	}
	o.stmts = append(o.stmts, in)
	o.set(in, s, reg, v)
	return known | 1<<reg
}

// simplify replaces an operand X that is a constant by it.
func (o *opt) simplify(in Insn, s *state) Insn {
	k, ok := o.constOf(s.reg[regX])
	if !ok {
		return in
	}
	op := in.Op & 0xf0
	switch {
	case in.Op&7 == ClassAlu && in.Op&SrcX != 0 && op != AluNeg:
		// There are no such instructions with a constant, and libpcap refuses filters that come to one.
		if _, both := o.constOf(s.reg[regA]); (op == AluLsh || op == AluRsh) && k >= 32 {
			if !both {
				o.refused = refusedShift
			}
			return in
		}
		if (op == AluDiv || op == AluMod) && k == 0 {
			o.refused = refusedDivide
			return in
		}
		in.Op, in.K = in.Op&^SrcX, k
	case in.Op&7 == ClassLd && in.Op&0xe0 == ModeInd && uint64(in.K)+uint64(k) < near:
		in.Op, in.K = in.Op&^0xe0|ModeAbs, in.K+k
	}
	return in
}

// rewriteTerm replaces a register that is compared by the constant that it holds.
func (o *opt) rewriteTerm(b *block, s *state, known uint32) {
	if b.term.Op&SrcX == 0 {
		return
	}
	left, leftIs := o.constOf(s.reg[regA])
	right, rightIs := o.constOf(s.reg[regX])
	switch {
	case rightIs:
		b.term.Op, b.term.K = b.term.Op&^SrcX, right
		o.changed = true
	case leftIs && (o.live[b.t]|o.live[b.f])&(1<<regA) == 0:
		o.emit(Insn{Op: ClassMisc | MiscTxa}, s, known)
		op := b.term.Op & 0xf0
		if op == JmpGt || op == JmpGe { // k > X unless X >= k, k >= X unless X > k
			op ^= JmpGt ^ JmpGe
			b.t, b.f = b.f, b.t
		}
		b.term = Insn{Op: ClassJmp | op, K: left}
		o.changed = true
	}
}

// sort puts the blocks that can be reached into an order in which each comes before its successors.
func (o *opt) sort() {
	mark := o.mark[:len(o.g.blocks)]
	clear(mark)
	o.order = o.order[:0]
	o.visit(o.g.entry)
	slices.Reverse(o.order)
}

func (o *opt) visit(id blockID) {
	if o.mark[id] {
		return
	}
	o.mark[id] = true
	if b := &o.g.blocks[id]; !b.returns() {
		o.visit(b.f)
		o.visit(b.t)
	}
	o.order = append(o.order, id)
}

// always is what opt.must has of a block that answers 0 to every packet.
const always = 1 << 63

// reach returns how long a packet must be for a statement not to end the filter: always when that is no matter of a
// constant.
func reach(in Insn) uint64 {
	end, fromX, is := isLoad(in)
	if !is || fromX || end >= near {
		return always
	}
	return end
}

// sweep removes statements that nobody misses, from the last blocks to the first, and finds out which registers matter at
// the start of each block, and how long a packet must be to get another answer than 0 from there.
func (o *opt) sweep() {
	o.sort()
	for _, id := range slices.Backward(o.order) {
		b := &o.g.blocks[id]
		out, must := uint32(0), uint64(0)
		switch {
		case !b.returns():
			out, must = o.live[b.t]|o.live[b.f], min(o.must[b.t], o.must[b.f])
		case o.g.rejects(id):
			must = always
		}
		n := len(b.stmts)
		for o.fuse(b, out) || o.join(b, out) {
			o.changed = true
		}
		o.live[id], o.must[id] = dead(b, out, must)
		o.changed = o.changed || len(b.stmts) != n
	}
}

// dead removes b's statements whose results nobody reads. From which registers matter after b and how long a packet must be there, it finds
// both before b.
func dead(b *block, out uint32, must uint64) (live uint32, before uint64) {
	live = out | termUses(b)
	kept := len(b.stmts)
	for i := len(b.stmts) - 1; i >= 0; i-- {
		in := b.stmts[i]
		reg, used := defines(in)
		can := !harmless(in)
		if live>>reg&1 == 0 && (!can || reach(in) <= must) {
			continue
		}
		if end := reach(in); can && end != always {
			must = max(must, end)
		}
		live = live&^(1<<reg) | used
		kept--
		b.stmts[kept] = in
	}
	b.stmts = b.stmts[kept:]
	return live, must
}

// harmless says if a statement can't end the filter.
func harmless(in Insn) bool {
	if in.Jt == markSafe {
		return true
	}
	if op := in.Op & 0xf0; in.Op&7 == ClassAlu {
		return in.Op&SrcX == 0 || op != AluDiv && op != AluMod
	}
	_, _, load := isLoad(in)
	return !load
}

// fuse takes the last statement into the jump, if A is not read after it.
func (o *opt) fuse(b *block, out uint32) bool {
	n := len(b.stmts) - 1
	if n < 0 || b.returns() || b.t == b.f || out>>regA&1 != 0 || b.stmts[n].Op&7 != ClassAlu {
		return false
	}
	last := b.stmts[n]
	term, swap, ok := fused(last.Op&0xf8, last.K, b.term)
	if !ok {
		return false
	}
	b.term, b.stmts = term, b.stmts[:n]
	if swap {
		b.t, b.f = b.f, b.t
	}
	return true
}

// fused returns one jump for an operation on A and a jump, and whether its branches are swapped.
func fused(alu uint16, k uint32, term Insn) (to Insn, swap, ok bool) {
	op := term.Op & 0xf0
	if term.Op&SrcX != 0 {
		return to, false, false
	}
	jump := func(op uint16, k uint32) Insn { return Insn{Op: ClassJmp | op, K: k} }
	switch {
	case op == JmpEq && alu == AluSub:
		return jump(JmpEq, term.K+k), false, true
	case op == JmpEq && alu == AluAdd:
		return jump(JmpEq, term.K-k), false, true
	case op == JmpEq && alu == AluXor:
		return jump(JmpEq, term.K^k), false, true
	case op == JmpEq && alu == AluNeg:
		return jump(JmpEq, -term.K), false, true
	case op == JmpEq && term.K == 0 && (alu == AluSub|SrcX || alu == AluXor|SrcX):
		return jump(JmpEq|SrcX, 0), false, true
	case op == JmpEq && term.K == 0 && alu == AluAnd:
		return jump(JmpSet, k), true, true
	case op == JmpEq && term.K == 0 && alu == AluAnd|SrcX:
		return jump(JmpSet|SrcX, 0), true, true
	case op == JmpEq && alu == AluAnd && term.K == k && k != 0 && k&(k-1) == 0: // one bit
		return jump(JmpSet, k), false, true
	case op == JmpSet && alu == AluAnd:
		return jump(JmpSet, term.K&k), false, true
	case op == JmpEq && term.K == 0 && alu == AluRsh && k < 32:
		return jump(JmpGe, 1<<k), true, true
	case op == JmpGe && alu == AluRsh && k < 32 && term.K<<k>>k == term.K:
		return jump(JmpGe, term.K<<k), false, true
	case op == JmpGt && alu == AluRsh && k < 32 && term.K != 1<<32-1 && (term.K+1)<<k>>k == term.K+1:
		return jump(JmpGe, (term.K+1)<<k), false, true
	}
	return to, false, false
}

// join makes one statement of two: what is loaded for X only, and what is added to X before a load.
func (o *opt) join(b *block, out uint32) bool {
	for i := 0; i+1 < len(b.stmts); i++ {
		in, next := b.stmts[i], b.stmts[i+1]
		if next.Op != ClassMisc|MiscTax {
			continue
		}
		if in.Op == ClassLd|ModeImm || in.Op == ClassLd|ModeMem || in.Op == ClassLd|ModeLen {
			if liveAfter(b, i+1, out)>>regA&1 == 0 {
				b.stmts[i].Op |= ClassLdx
				b.stmts = slices.Delete(b.stmts, i+1, i+2)
				return true
			}
		}
		if in.Op != ClassAlu|AluAdd || in.Jf != markNoWrap || i+2 >= len(b.stmts) {
			continue
		}
		load := &b.stmts[i+2]
		if load.Op&0xe7 != ClassLd|ModeInd || uint64(load.K)+uint64(in.K) >= near || liveAfter(b, i+2, out)>>regX&1 != 0 {
			continue
		}
		load.K += in.K
		b.stmts = slices.Delete(b.stmts, i, i+1)
		return true
	}
	return false
}

// liveAfter returns the registers that matter after b's i-th statement.
func liveAfter(b *block, i int, out uint32) uint32 {
	live := out | termUses(b)
	for j := len(b.stmts) - 1; j > i; j-- {
		reg, used := defines(b.stmts[j])
		live = live&^(1<<reg) | used
	}
	return live
}

// regroup changes the order of tests that are a chain, each with one branch to the next and one to the same block as the
// others, so that those of the same value follow each other and need one load. Only tests whose loads are known to be in bounds change places.
func (o *opt) regroup() {
	preds := o.next[:len(o.g.blocks)]
	clear(preds)
	for _, id := range o.order {
		if b := &o.g.blocks[id]; !b.returns() {
			preds[b.t]++
			if b.t != b.f {
				preds[b.f]++
			}
		}
	}
	done := o.mark[:len(o.g.blocks)]
	clear(done)
	for _, id := range o.order {
		if !done[id] {
			o.regroupFrom(id, preds, done)
		}
	}
}

// regroupFrom does it with the longest chain that starts at a block.
func (o *opt) regroupFrom(id blockID, preds []blockID, done []bool) {
	first := &o.g.blocks[id]
	if !o.in[id].seen || !o.movable(id, &o.in[id]) {
		return
	}
	chain, next := []blockID(nil), noBlock
	for _, exit := range []blockID{first.t, first.f} {
		c := append([]blockID(nil), id)
		at := first.t ^ first.f ^ exit
		for preds[at] == 1 && o.movable(at, &o.in[id]) {
			b := &o.g.blocks[at]
			if b.t != exit && b.f != exit || b.t == b.f {
				break
			}
			c, at = append(c, at), b.t^b.f^exit
		}
		if len(c) > len(chain) {
			chain, next = c, at
		}
	}
	for _, c := range chain {
		done[c] = true
	}
	if len(chain) < 3 {
		return
	}
	exit := first.t ^ first.f ^ chain[1]
	o.reorder(chain, exit, next)
}

// movable reports whether a block only tests the packet: its statements end no filter in state s, read no register that
// was written before, and leave nothing behind.
func (o *opt) movable(id blockID, s *state) bool {
	b := &o.g.blocks[id]
	if b.returns() || b.t == b.f || len(b.stmts) == 0 || o.live[id] != 0 || (o.live[b.t]|o.live[b.f]) != 0 {
		return false
	}
	sim := *s
	for _, in := range b.stmts {
		if reg, _ := defines(in); reg >= regM || !o.safe(in, &sim) {
			return false
		}
		o.run(in, &sim)
	}
	return true
}

// reorder rewrites the blocks of a chain so that equal statements follow each other. The ids stay in their order.
func (o *opt) reorder(chain []blockID, exit, next blockID) {
	sorted := make([]block, 0, len(chain))
	taken := make([]bool, len(chain))
	for i, id := range chain {
		for j := i; j < len(chain) && !taken[i]; j++ {
			if a, b := o.g.blocks[id].stmts, o.g.blocks[chain[j]].stmts; j == i || !taken[j] && slices.EqualFunc(a, b, sameInsn) {
				sorted = append(sorted, o.g.blocks[chain[j]])
				if j > i {
					taken[j] = true
				}
			}
		}
	}
	for i, b := range sorted {
		to := next
		if i+1 < len(chain) {
			to = chain[i+1]
		}
		if b.t == exit {
			b.f = to
		} else {
			b.t = to
		}
		o.g.blocks[chain[i]] = b
	}
}

func sameInsn(a, b Insn) bool { return a.Op == b.Op && a.K == b.K }

// merge makes one block of those that do the same and go to the same blocks.
func (o *opt) merge() {
	n := len(o.g.blocks)
	if cap(o.equal) < n {
		o.equal, o.next = make([]blockID, n+n/2), make([]blockID, n+n/2)
	}
	var heads [64]blockID
	for i := range heads {
		heads[i] = noBlock
	}
	for _, id := range slices.Backward(o.order) {
		b := &o.g.blocks[id]
		o.equal[id] = id
		if !b.returns() {
			if t, f := o.equal[b.t], o.equal[b.f]; t != b.t || f != b.f {
				b.t, b.f, o.changed = t, f, true
			}
		}
		h := blockHash(b) % uint32(len(heads))
		o.next[id] = heads[h]
		heads[h] = id
		for other := o.next[id]; other != noBlock; other = o.next[other] {
			if equalBlocks(b, &o.g.blocks[other]) {
				o.equal[id] = other
				break
			}
		}
	}
	if to := o.equal[o.g.entry]; to != o.g.entry {
		o.g.entry, o.changed = to, true
	}
}

func blockHash(b *block) uint32 {
	h := uint32(b.t)*31 + uint32(b.f)
	for _, in := range b.stmts {
		h = (h^uint32(in.Op))*0x01000193 + in.K
	}
	h = (h^uint32(b.term.Op))*0x01000193 + b.term.K
	return h ^ h>>16
}

func equalBlocks(a, b *block) bool {
	if a.t != b.t || a.f != b.f || a.term.Op != b.term.Op || a.term.K != b.term.K {
		return false
	}
	return slices.EqualFunc(a.stmts, b.stmts, sameInsn)
}
