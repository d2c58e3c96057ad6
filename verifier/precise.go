package verifier

import (
	"math/bits"

	"github.com/skepvm/skep/asm"
)

// Pruning treats two states as alike although a scalar differs in them, as long as its value decided nothing. What
// decided something is marked precise: when a scalar's exact value is relied on, the path is followed backward and the
// scalars that the value came from are marked in the kept states on the way (kernel: mark_chain_precision).

// backtracker is the set of registers and stack slots whose values matter at a point of the path, frame by frame.
type backtracker struct {
	depth int
	regs  [maxFrames]asm.RegSet
	slots [maxFrames]uint64
}

// link is a set of scalars of one value: what a branch learns of one it learns of all.
type link struct {
	regs  [maxFrames]asm.RegSet
	slots [maxFrames]uint64
}

func (b *backtracker) has(n uint8) bool { return b.regs[b.depth]>>n&1 != 0 }
func (b *backtracker) set(n uint8)      { b.regs[b.depth] |= 1 << n }
func (b *backtracker) clear(n uint8)    { b.regs[b.depth] &^= 1 << n }

func (b *backtracker) empty() bool {
	for i := 0; i <= b.depth; i++ {
		if b.regs[i] != 0 || b.slots[i] != 0 {
			return false
		}
	}
	return true
}

const (
	framePointer = 10
	callArgs     = asm.RegSet(0x3e) // R1 to R5
)

// markPrecise notes that the value of register n, before the current instruction, is relied on.
func (v *verifier) markPrecise(n uint8) {
	if v.regs()[n].typ != scalar {
		return
	}
	v.back = backtracker{depth: v.cur.depth}
	v.back.set(n)
	v.backtrack(v.cur, v.pc, true)
}

// markPreciseSlot is markPrecise for a spilled scalar.
func (v *verifier) markPreciseSlot(frame, slot int) {
	v.back = backtracker{depth: v.cur.depth}
	v.back.slots[frame] = 1 << slot
	v.backtrack(v.cur, v.pc, true)
}

// inheritPrecision notes that what was relied on after the kept state old is relied on after cur too, which is at pc. It
// is false when that was known.
func (v *verifier) inheritPrecision(old, cur *state, pc int) bool {
	v.back = backtracker{depth: cur.depth}
	b := &v.back
	for i := old.depth; i >= 0; i-- {
		f := old.frames[i]
		for n := range f.regs[:10] {
			if r := &f.regs[n]; r.precise && r.typ == scalar {
				b.regs[i] |= 1 << n
			}
		}
		for k := range f.stack {
			if s := &f.stack[k]; s.spilledScalar() && s.reg.precise {
				b.slots[i] |= 1 << k
			}
		}
		v.log.propagating(i, uint16(b.regs[i]), b.slots[i])
	}
	return v.backtrack(cur, pc, false)
}

// backtrack follows the path from st, which is at pc, backward until nothing is left to mark. running says that the path
// has the instruction at pc already, which has not changed anything yet. It is false when all was marked before (kernel:
// __mark_chain_precision).
func (v *verifier) backtrack(st *state, pc int, running bool) (changed bool) {
	b := &v.back
	if b.empty() {
		return false
	}
	from, h, last, next := st, st.hist, pc, -1
	if running {
		h = v.steps.at(h).prev
	}
	for {
		v.log.backFrom(v, b, st, last, next)
		if next < 0 {
			next = pc
		}
		for h != st.histBase {
			s := v.steps.at(h)
			if !v.backStep(s, next) {
				v.allPrecise(from)
				return true
			}
			if b.empty() {
				return changed
			}
			next = int(s.pc)
			h = s.prev
		}
		if st = st.parent; st == nil {
			v.allPrecise(from)
			return true
		}
		changed = v.markIn(st) || changed
		if b.empty() {
			return changed
		}
		last = int(v.steps.at(h).pc)
	}
}

// markIn marks in a kept state what matters, and drops what was marked before or is no scalar. It is false when that is
// all of it.
func (v *verifier) markIn(st *state) (changed bool) {
	b := &v.back
	if b.depth > st.depth {
		b.depth = st.depth
	}
	if st.thin {
		return
	}
	for i := b.depth; i >= 0; i-- {
		f := st.frames[i]
		for m := b.regs[i]; m != 0; m &= m - 1 {
			n := bits.TrailingZeros16(uint16(m))
			if r := &f.regs[n]; r.typ != scalar || r.precise {
				b.regs[i] &^= 1 << n
			} else {
				r.precise, changed = true, true
			}
		}
		for m := b.slots[i]; m != 0; m &= m - 1 {
			k := bits.TrailingZeros64(m)
			if k >= len(f.stack) || !f.stack[k].spilledScalar() || f.stack[k].reg.precise {
				b.slots[i] &^= 1 << k
			} else {
				f.stack[k].reg.precise, changed = true, true
			}
		}
		v.log.marked(v, b, st, i)
	}
	return changed
}

// allPrecise gives up following values: every scalar of every kept state on the path to st matters (kernel:
// mark_all_scalars_precise).
func (v *verifier) allPrecise(st *state) {
	v.log.giveUp(st)
	for st = st.parent; st != nil && !st.allPrecise; st = st.parent {
		st.allPrecise = true
		if st.thin {
			continue
		}
		for i, f := range st.frames[:st.depth+1] {
			for n := range f.regs[:10] {
				if r := &f.regs[n]; r.typ == scalar && !r.precise {
					r.precise = true
					v.log.forced(i, 'r', n)
				}
			}
			for k := range f.stack {
				if s := &f.stack[k]; s.spilledScalar() && !s.reg.precise {
					s.reg.precise = true
					v.log.forced(i, 'f', k)
				}
			}
		}
	}
}

// backStep moves the set back over one instruction: from what matters after it to what matters before it. next is the
// instruction that followed. It is false when values can't be followed (kernel: backtrack_insn).
func (v *verifier) backStep(s *step, next int) bool {
	b := &v.back
	in := &v.insns[s.pc]
	v.log.backOver(v, b, int(s.pc))
	if s.links != 0 {
		b.join(&v.links[s.links])
	}
	switch in.class {
	case asm.ClassALU:
		if !b.has(in.dst) {
			break
		}
		if asm.ALUOp(in.op) == asm.Mov {
			b.clear(in.dst)
		}
		if in.useSrc && in.src != framePointer {
			b.set(in.src)
		}
	case asm.ClassMovsx:
		if b.has(in.dst) {
			b.clear(in.dst)
			b.set(in.src)
		}
	case asm.ClassImm64:
		b.clear(in.dst)
	case asm.ClassAbs, asm.ClassInd:
		return !b.has(0)
	case asm.ClassLoad, asm.ClassLoadAcq:
		b.load(in.dst, s)
	case asm.ClassAtomic:
		if in.fetch {
			dst := in.src
			if asm.AtomicOp(in.op) == asm.AtomicCmpxchg {
				dst = 0
			}
			b.load(dst, s)
		}
		return !b.has(in.dst)
	case asm.ClassStore, asm.ClassStoreRel:
		return b.store(in, s)
	case asm.ClassBranch:
		if in.useSrc && (b.has(in.dst) || b.has(in.src)) {
			if s.stack&srcIsStack == 0 {
				b.set(in.src)
			}
			if s.stack&dstIsStack == 0 {
				b.set(in.dst)
			}
		}
		if s.links != 0 {
			b.join(&v.links[s.links])
		}
	case asm.ClassCall:
		return b.call(in, int(s.pc), next)
	case asm.ClassExit:
		if b.depth+1 >= maxFrames {
			return false
		}
		if v.callsBack(next) { // the helper's arguments were marked when it was called
			b.regs[b.depth] &^= callArgs
		}
		fromCallee := b.has(0)
		b.clear(0)
		b.depth++
		b.regs[b.depth], b.slots[b.depth] = 0, 0
		if fromCallee {
			b.set(0)
		}
	}
	return true
}

func (b *backtracker) load(dst uint8, s *step) {
	if !b.has(dst) {
		return
	}
	b.clear(dst)
	if frame, slot, ok := s.slot(); ok {
		b.slots[frame] |= 1 << slot
	}
}

func (b *backtracker) store(in *insn, s *step) bool {
	if b.has(in.dst) {
		return false // the address came from pointer arithmetic on scalars
	}
	frame, slot, ok := s.slot()
	if !ok || b.slots[frame]>>slot&1 == 0 {
		return true
	}
	b.slots[frame] &^= 1 << slot
	if in.useSrc || in.class == asm.ClassStoreRel {
		b.set(in.src)
	}
	return true
}

// call moves back over a call: out of the function that it entered, or over a helper.
func (b *backtracker) call(in *insn, pc, next int) bool {
	const args, scratched = callArgs, asm.RegSet(0x3f)
	entered := next != pc+1
	switch {
	case !entered:
		b.regs[b.depth] &^= scratched
		return true
	case in.kind == asm.CallHelper && int32(in.imm) == helperTailCall: // another program returned
		if b.depth+1 >= maxFrames {
			return false
		}
		b.regs[b.depth] &^= 1
		b.depth++
		b.regs[b.depth], b.slots[b.depth] = 0, 0
		return true
	case b.depth == 0:
		return false
	}
	passed := b.regs[b.depth] & args
	b.regs[b.depth], b.slots[b.depth] = 0, 0
	b.depth--
	if in.kind != asm.CallLocal {
		const counter = 1 << 1 // which the helper makes; what else it passes on may be the caller's
		return passed&^counter == 0
	}
	b.regs[b.depth] |= passed
	return true
}

// join adds all of a set of linked scalars when one of them matters.
func (b *backtracker) join(l *link) {
	hit := false
	for i := 0; i <= b.depth; i++ {
		hit = hit || b.regs[i]&l.regs[i] != 0 || b.slots[i]&l.slots[i] != 0
	}
	for i := 0; hit && i <= b.depth; i++ {
		b.regs[i] |= l.regs[i]
		b.slots[i] |= l.slots[i]
	}
}

// maxLinked is how many scalars of one value the kernel narrows together (LINKED_REGS_MAX).
const maxLinked = 6

// recordLinks finds the scalars that a branch narrows together, and remembers them for the way back. Of those of one
// value that are too many, the last lose their link; one that both operands are linked to counts twice
// (kernel: collect_linked_regs).
func (v *verifier) recordLinks(in *insn, dst, src *reg) (l link) {
	n := 0
	if in.useSrc && src.typ == scalar && src.id != 0 {
		n = v.collectLinks(&l, n, src.id)
	}
	if dst.typ == scalar && dst.id != 0 {
		n = v.collectLinks(&l, n, dst.id)
	}
	if n < 2 {
		return l
	}
	if len(v.links) == 0 {
		v.links = append(v.links, link{})
	}
	v.steps.at(v.cur.hist).links = uint32(len(v.links))
	v.links = append(v.links, l)
	return l
}

// collectLinks adds to l, which has n scalars, those with that id. Registers that nobody reads any more are left out.
func (v *verifier) collectLinks(l *link, n int, id uint32) int {
	for i := v.cur.depth; i >= 0; i-- {
		f := v.cur.frames[i]
		live := v.liveAt(v.cur, i)
		for k := range f.regs[:10] {
			switch r := &f.regs[k]; {
			case live>>k&1 == 0 || r.typ != scalar || r.id != id:
			case n < maxLinked:
				l.regs[i] |= 1 << k
				n++
			default:
				r.unlink()
			}
		}
		for k := range f.stack {
			switch s := &f.stack[k]; {
			case !s.spilledScalar() || s.reg.id != id:
			case n < maxLinked:
				l.slots[i] |= 1 << k
				n++
			default:
				s.reg.unlink()
			}
		}
	}
	return n
}
